"use strict";
/* What all pages share: data that arrives in scripts, texts, tabs, tables and charts. Texts are set as text, never as
   markup; plotly takes some markup in names, so what goes there passes through `plain`. */

const Page = {
  waiting: new Map(),

  /* Data files call this. */
  receive(name, content) {
    const waiting = Page.waiting.get(name);
    if (waiting) waiting.resolve(content);
  },

  /* The content of data/NAME.js, loaded now. */
  load(name, root = "") {
    if (Page.waiting.has(name)) return Page.waiting.get(name).promise;
    const entry = {};
    entry.promise = new Promise((resolve, reject) => {
      const script = document.createElement("script");
      entry.resolve = (content) => { script.remove(); Page.waiting.delete(name); resolve(content); };
      script.onerror = () => { script.remove(); Page.waiting.delete(name); reject(new Error(`data/${name}.js is missing`)); };
      script.src = `${root}data/${name}.js`;
      document.head.append(script);
    });
    Page.waiting.set(name, entry);
    return entry.promise;
  },
};

const byId = (id) => document.getElementById(id);

/* An element with a text, attributes and children. */
function make(kind, text = null, attributes = {}, children = []) {
  const element = document.createElement(kind);
  if (text !== null) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/* A text for plotly, which would read "<b>" as markup. */
const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

const number = (value, digits = 2) => (value === null || value === undefined ? "-" : Number(value).toFixed(digits));
const signed = (value, digits = 1) => (value === null ? "-" : (value < 0 ? "-" : "+") + Math.abs(value).toFixed(digits));

function fillSelect(select, options, chosen) {
  select.replaceChildren(...options.map(([value, text]) => make("option", text, { value })));
  if (chosen !== undefined) select.value = chosen;
}

/* Columns: [heading, cell of a row, is a number]. */
function fillTable(table, caption, columns, rows) {
  const head = make("tr", null, {}, columns.map(([heading, , right]) =>
    make("th", heading, right ? { scope: "col", class: "number" } : { scope: "col" })));
  const body = rows.map((row) => make("tr", null, {}, columns.map(([, cell, right], column) =>
    make(column ? "td" : "th", cell(row), column ? (right ? { class: "number" } : {}) : { scope: "row" }))));
  table.replaceChildren(make("caption", caption, { class: "hidden" }), make("thead", null, {}, [head]),
    make("tbody", null, {}, body));
}

/* Rows of a table in groups that agree in some columns. */
function grouped(rows, columns) {
  const groups = new Map();
  for (const row of rows) {
    const key = columns.map((column) => row[column]).join(" ");
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(row);
  }
  return [...groups.values()];
}

/* Tabs of the page; the one that is shown stands in the address. */
function startTabs(onShow = () => {}) {
  const tabs = [...document.querySelectorAll("[role=tab]")];
  const show = (tab) => {
    for (const other of tabs) {
      const mine = other === tab;
      other.setAttribute("aria-selected", mine);
      other.tabIndex = mine ? 0 : -1;
      byId(other.getAttribute("aria-controls")).hidden = !mine;
    }
    onShow(tab.dataset.part);
    window.dispatchEvent(new Event("resize"));
  };
  const fromAddress = () => tabs.find((tab) => location.hash.slice(1).split("=")[0] === tab.dataset.part) || tabs[0];
  for (const tab of tabs) {
    tab.addEventListener("click", () => { history.replaceState(null, "", `#${tab.dataset.part}`); show(tab); });
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      event.stopPropagation();
      const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
      next.focus();
      next.click();
    });
  }
  window.addEventListener("hashchange", () => show(fromAddress()));
  show(fromAddress());
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/* Colour with an opacity, of "#rrggbb". */
const faint = (hex, opacity) => `rgba(${[1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)).join(",")},${opacity})`;

const redraws = new Set();
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraws.forEach((redraw) => redraw()));

/* Draw with plotly in the page's colours. The label says to a screen reader what is drawn. */
function chart(element, label, traces, layout = {}, config = {}) {
  const line = { gridcolor: colour("--line"), zerolinecolor: colour("--line"), linecolor: colour("--line"),
    tickfont: { color: colour("--muted") } };
  const full = {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", margin: { l: 46, r: 10, t: 30, b: 40 },
    font: { color: colour("--ink"), family: "system-ui, sans-serif", size: 12 }, showlegend: false, hovermode: "x",
    dragmode: false, ...layout,
    xaxis: { ...line, fixedrange: true, ...layout.xaxis }, yaxis: { ...line, fixedrange: true, ...layout.yaxis },
  };
  element.setAttribute("role", "img");
  element.setAttribute("aria-label", label);
  return Plotly.react(element, traces, full, { displayModeBar: false, responsive: true, ...config });
}

/* As many boxes for charts in an area as are needed; all are there before the first is drawn, so that none is drawn too
   wide. */
function boxes(area, count, kind = "chart") {
  while (area.children.length > count) area.lastChild.remove();
  while (area.children.length < count) area.append(make("div", null, { class: kind }));
  return [...area.children];
}

/* Which attributes have no curve of a measure because their classes have no order, in words. */
function notShown(names, curves, view, measure) {
  const left = names.filter((name) => !curves.some((c) => c.attribute === name && c.view === view && c.measure === measure));
  return left.length && measure.startsWith("closeness") ? `Not shown, classes without an order: ${left.join(", ")}.` : "";
}

/* The points of a curve that no line reaches, since their neighbours are missing, with their bounds as bars: traces for
   `chart`. */
function lonePoints(x, curve, look) {
  const missing = (place) => curve.mean[place] === null || curve.mean[place] === undefined;
  const places = curve.mean.map((_, place) => place).filter((k) => !missing(k) && missing(k - 1) && missing(k + 1));
  if (!places.length) return [];
  const width = look.width || 2;
  const reach = (bounds) => places.map((k) => Math.abs((bounds[k] ?? curve.mean[k]) - curve.mean[k]));
  const bars = { type: "data", symmetric: false, array: reach(curve.high), arrayminus: reach(curve.low),
    color: faint(look.colour, look.bar ? look.band : 1), thickness: look.bar || width, width: look.bar ? 0 : 6 };
  return [{ x: places.map((k) => x[k]), y: places.map((k) => curve.mean[k]), mode: "markers", hoverinfo: "skip",
    marker: { color: look.colour, size: 4 + 2 * width }, ...(look.band ? { error_y: bars } : {}) }];
}

/* A curve with its bounds as a band: traces for `chart`. `look.bar` is the breadth of the band at a point that stands
   alone, which has a bar with ends where none is given. */
function curveTraces(x, curve, name, look) {
  const traces = [];
  if (look.band && curve.low.some((value) => value !== null)) {
    const base = { x, mode: "lines", line: { width: 0 }, hoverinfo: "skip" };
    traces.push({ ...base, y: curve.low }, { ...base, y: curve.high, fill: "tonexty", fillcolor: faint(look.colour, look.band) });
  }
  traces.push({ x, y: curve.mean, name: plain(name), mode: "lines", hovertemplate: "%{y:.2f}",
    line: { color: look.colour, width: look.width || 2, dash: look.dash || "solid" } });
  return [...traces, ...lonePoints(x, curve, look)];
}

async function copyText(text, button) {
  const area = make("textarea", text, { class: "hidden", "aria-hidden": "true" });
  document.body.append(area);
  area.select();
  document.execCommand("copy");  // the newer way asks for https
  area.remove();
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}
