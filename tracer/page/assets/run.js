"use strict";
/* The part "Run": curves with their controls, verdicts, settled points, and how the run was made. */

const PROBES = {  // in drawing order; the trained probe has the attribute's own colour
  generic: { colour: "--generic", band: 0.22, dash: "dash", width: 1.2 },
  shuffled: { colour: "--shuffled", dash: "dashdot", width: 1.2 },
  raw: { colour: "--generic", dash: "solid", width: 1 },
  untrained: { colour: "--shuffled", dash: "solid", width: 1 },
  linear_flow: { colour: "--flow", dash: "dot", width: 1.6 },
  measured: { colour: "--measured", dash: "longdash", width: 1.8 },
};
const LINES = { dash: "dashed", dashdot: "dash-dotted", solid: "thin", dot: "dotted", longdash: "long dashes" };
const AXES = { index: "state", t: "flow time", logsnr: "log-SNR" };

function drawCurves(run) {
  const measure = byId("measure").value, view = byId("view").value, axis = byId("axis").value;
  const x = axis === "index" ? run.t.map((_, index) => index) : run[axis];
  const held = new Set();
  const area = boxes(byId("curves"), run.attributes.length);
  run.attributes.forEach((attribute, place) => {
    const found = run.curves.filter((c) => c.attribute === attribute.name && c.view === view && c.measure === measure);
    const traces = [];
    for (const [probe, look] of Object.entries(PROBES)) {
      for (const curve of found.filter((c) => c.probe === probe)) {
        held.add(probe);
        traces.push(...curveTraces(x, curve, run.labels.probe[probe] || probe, { ...look, colour: colour(look.colour) }));
      }
    }
    for (const curve of found.filter((c) => c.probe === "trained")) {
      traces.push(...curveTraces(x, curve, attribute.name, { colour: attribute.colour, band: 0.25, width: 2.6 }));
    }
    const box = area[place];
    box.hidden = !traces.length;
    const trained = found.find((c) => c.probe === "trained");
    const said = trained ? ` From ${number(trained.mean[0])} at the first state to ${number(trained.mean.at(-1))}.` : "";
    const limits = ["paper", "js"].includes(measure) ? undefined : [-0.15, 1.15];
    chart(box, `${run.labels.measure[measure]} of ${attribute.name}, ${view}, by ${AXES[axis]}.${said}`, traces, {
      title: { text: plain(attribute.name), font: { color: attribute.colour, size: 14 }, x: 0.06 },
      xaxis: { title: { text: AXES[axis] } }, yaxis: limits ? { range: limits } : {},
    });
  });
  const names = Object.keys(PROBES).filter((probe) => held.has(probe)).map((probe) =>
    `${run.labels.probe[probe] || probe} (${LINES[PROBES[probe].dash]})`);
  const why = notShown(run.attributes.map((attribute) => attribute.name), run.curves, view, measure);
  byId("legend").textContent = `Thick and coloured: the probes of this run, with the 95 % interval over prompts. ${
    names.length ? `Beside them: ${names.join(", ")}.` : "No control is kept for this measure."} ${why}`;
}

function fillRun(run) {
  document.title = `${run.name}: trace`;
  byId("name").textContent = run.name;
  byId("summary").textContent = run.summary;
  const measures = [...new Set(run.curves.map((curve) => curve.measure))];
  const order = Object.keys(run.labels.measure).filter((measure) => measures.includes(measure));
  fillSelect(byId("measure"), order.map((m) => [m, run.labels.measure[m]]), run.main_measure);
  fillSelect(byId("view"), run.views.map((v) => [v, run.labels.view[v]]));
  const axes = Object.entries(AXES).filter(([axis]) => axis !== "logsnr" || run.logsnr.filter((v) => v !== null).length > 1);
  fillSelect(byId("axis"), axes);
  for (const id of ["measure", "view", "axis"]) byId(id).addEventListener("change", () => drawCurves(run));
  redraws.add(() => drawCurves(run));
  drawCurves(run);

  const interval = (row) => (row.low === null ? "" : ` (${signed(row.low)} to ${signed(row.high)})`);
  const nulls = [...new Set(run.verdicts.map((row) => row.null))];
  fillTable(byId("verdicts"), "Settles earlier, like or later than its nulls, in states, with 95 % interval", [
    ["attribute", (rows) => rows[0].attribute], ["view", (rows) => rows[0].view], ["measure", (rows) => rows[0].measure],
    ...nulls.map((name) => [`than ${run.labels.probe[name] || name}`, (rows) => {
      const row = rows.find((one) => one.null === name);
      if (!row) return "-";
      return row.difference === null ? row.verdict : `${row.verdict} ${signed(row.difference)}${interval(row)}`;
    }]),
  ], grouped(run.verdicts, ["measure", "view", "attribute"]));
  byId("verdict-note").textContent = "Closeness knows no bins and compares attributes; agreement compares an attribute " +
    "with its own controls. Generic directions: any quantity of the latent with the same spread and classes. Linear flow: " +
    "a generator that knows mean and covariance alone. Shuffled labels: a check that the probe is selective." +
    (run.missing.length ? ` This run's readout lacks: ${run.missing.join(", ")}.` : "");
  fillTable(byId("settled"), "State from which a curve stays within 0.1 of its end, with 95 % interval over prompts", [
    ["attribute", (rows) => rows[0].attribute], ["view", (rows) => rows[0].view],
    ...order.filter((measure) => run.settled.some((row) => row.measure === measure)).map((measure) =>
      [run.labels.measure[measure], (rows) => {
        const row = rows.find((one) => one.measure === measure);
        return row ? `${row.index} (${row.low === null ? "-" : `${row.low}-${row.high}`})` : "-";
      }, true]),
  ], grouped(run.settled, ["view", "attribute"]));
  byId("command").textContent = run.command;
  byId("copy").addEventListener("click", () => copyText(run.command, byId("copy")));
  fillTable(byId("made"), "Options and versions", [["name", (row) => row[0]], ["value", (row) => row[1]]], run.made);
}

Page.load("run").then((run) => {
  byId("back").hidden = !run.others;
  fillRun(run);
  const songs = new Songs(run);
  startTabs((part) => { if (part === "song") songs.start(); else songs.stop(); });
});
