"use strict";
/* Several runs on one axis, with the paired table. */

const LOOKS = [["#0072B2", "solid"], ["#D55E00", "dash"], ["#009E73", "dot"], ["#CC79A7", "dashdot"], ["#E69F00", "longdash"],
  ["#56B4E9", "longdashdot"]];
const AXES = { t: "flow time", logsnr: "log-SNR", index: "state" };

function drawCompared(data) {
  const measure = byId("measure").value, view = byId("view").value, axis = byId("axis").value;
  const area = boxes(byId("curves"), data.attributes.length);
  data.attributes.forEach((attribute, place) => {
    const traces = [];
    data.runs.forEach((run, number) => {
      const curve = run.curves.find((c) => c.attribute === attribute && c.view === view && c.measure === measure);
      const [line, dash] = LOOKS[number % LOOKS.length];
      const x = axis === "index" ? run.t.map((_, index) => index) : run[axis];
      if (curve) traces.push(...curveTraces(x, curve, run.name, { colour: line, dash, band: 0.18, width: 2.4 }));
    });
    area[place].hidden = !traces.length;
    chart(area[place], `${data.labels.measure[measure]} of ${attribute}, ${view}, of ${data.runs.length} runs`, traces, {
      title: { text: plain(attribute), x: 0.06 }, xaxis: { title: { text: AXES[axis] } },
      yaxis: ["paper", "js"].includes(measure) ? {} : { range: [-0.15, 1.15] },
    });
  });
  byId("not-shown").textContent = notShown(data.attributes, data.runs.flatMap((run) => run.curves), view, measure);
}

Page.load("compare").then((data) => {
  byId("runs").replaceChildren(...data.runs.map((run, number) => {
    const [line, dash] = LOOKS[number % LOOKS.length];
    const mark = make("span", null, { style: `display:inline-block;width:26px;border-top:3px ${
      { solid: "solid", dot: "dotted" }[dash] || "dashed"} ${line};vertical-align:middle;margin-right:8px` });
    return make("li", null, {}, [mark, make("a", run.name, { href: run.page }), make("span", `: ${run.summary}`)]);
  }));
  const measures = [...new Set(data.runs.flatMap((run) => run.curves.map((curve) => curve.measure)))];
  fillSelect(byId("measure"), Object.entries(data.labels.measure).filter(([name]) => measures.includes(name)), data.main_measure);
  fillSelect(byId("view"), data.views.map((view) => [view, data.labels.view[view]]));
  fillSelect(byId("axis"), Object.entries(AXES));
  for (const id of ["measure", "view", "axis"]) byId(id).addEventListener("change", () => drawCompared(data));
  redraws.add(() => drawCompared(data));
  drawCompared(data);
  fillTable(byId("pairs"), "Pairs of runs", [
    ["attribute", (row) => row.of], ["view", (row) => row.view], ["first", (row) => row.first], ["is", (row) => row.verdict],
    ["than", (row) => row.second],
    ["difference (95 % interval)", (row) => (row.low === null ? "-" :
      `${signed(row.difference, 2)} (${signed(row.low, 2)} to ${signed(row.high, 2)})`), true],
    ["p", (row) => number(row.p, 3), true], ["prompts", (row) => (row.paired ? `${row.n}, the same` : `${row.n}, unpaired`), true],
  ], data.pairs);
  fillTable(byId("orders"), "Order of attributes", [
    ["run", (row) => row.run], ["view", (row) => row.view], ["order", (row) => row.order]], data.orders);
  if (data.left_out.length) byId("left-out").textContent = `Left out, since their classes have no order: ${data.left_out.join(", ")}.`;
});
