"use strict";
/* Versions of one clip on a switch at the same second, and the charts of steering. */

const NAMES = { steered: "dose", random: "random push", "random-data": "random push shaped like the data" };

/* Buttons of which one version of a clip is heard. */
class Switch {
  constructor() {
    Object.assign(this, { versions: [], chosen: 0, onChange: () => {}, player: new Player(() => {}) });
    this.player.listen(byId("listen"), () => this.step(-1), () => this.step(1));
  }

  show(versions) {
    Object.assign(this, { versions, chosen: Math.min(this.chosen, versions.length - 1) });
    this.player.reset();
    const legend = byId("versions").firstElementChild;
    byId("versions").replaceChildren(legend, ...versions.map((version, place) => {
      const button = make("button", version.name, { type: "button" });
      button.disabled = !version.sound;
      button.addEventListener("click", () => this.choose(place));
      return button;
    }));
    this.choose(this.chosen);
  }

  choose(place) {
    this.chosen = place;
    [...byId("versions").querySelectorAll("button")].forEach((button, k) => button.setAttribute("aria-pressed", k === place));
    const version = this.versions[place];
    byId("told").textContent = version.told;
    this.player.change(version.name, version.sound);
    this.onChange(version);
  }

  step(by) {
    let place = this.chosen + by;
    while (this.versions[place] && !this.versions[place].sound) place += by;
    if (this.versions[place]) this.choose(place);
  }
}

const shift = (data, name, value) => (value === null || value === undefined || value === "" ? null :
  `${name} ${signed(value, 2)} ${data.units[name]}`);

function startDose(data) {
  const player = new Switch();
  const show = async () => {
    const index = byId("prompt").value;
    const clips = await Page.load(`prompt-${index.padStart(5, "0")}`);
    const edit = byId("edit").value;
    byId("caption").textContent = data.prompts.find((prompt) => String(prompt.index) === index).caption;
    const plainClip = clips.find((clip) => clip.kind === "plain");
    const versions = [{ name: "plain", sound: plainClip.sound, told: "The plain clip, without an edit." }];
    for (const clip of clips.filter((one) => one.edit === edit)) {
      const moved = Object.keys(data.units).map((name) => shift(data, name, clip[`shift_${name}`])).filter(Boolean).join(", ");
      versions.push({ name: `${NAMES[clip.kind]} ${clip.alpha}`, sound: clip.sound, told: `Against the plain clip: ${moved}.` });
    }
    player.show(versions);
  };
  fillSelect(byId("prompt"), data.prompts.map((prompt) => [prompt.index, `${prompt.index}: ${prompt.caption.slice(0, 70)}`]));
  fillSelect(byId("edit"), data.edits.map((edit) => [edit, edit]));
  byId("prompt").addEventListener("change", show);
  byId("edit").addEventListener("change", show);
  byId("listen").hidden = byId("dose-part").hidden = false;
  show();
  drawDoses(data);
  redraws.add(() => drawDoses(data));
}

function drawDoses(data) {
  const attributes = Object.keys(data.units);
  const area = byId("doses");
  area.replaceChildren();
  for (const edit of data.edits) {
    const rows = data.doses.filter((row) => row.edit === edit);
    const boxes = attributes.map(() => make("div", null, { class: "chart", style: "height:220px" }));
    area.append(make("h3", edit), make("div", null, { class: "charts" }, boxes));
    attributes.forEach((name, place) => {
      const x = rows.map((row) => String(row.alpha));
      const column = (key) => rows.map((row) => (typeof row[key] === "number" ? row[key] : null));
      const band = column(`band_${name}`);
      const grey = colour("--shuffled");
      const traces = [
        ...curveTraces(x, { mean: band.map((b) => (b === null ? null : 0)), low: band.map((b) => (b === null ? null : -b)), high: band }, "random push",
          { colour: grey, band: 0.3, width: 0.5, bar: 26 }),
        ...curveTraces(x, { mean: column(`shift_${name}`), low: column(`low_${name}`), high: column(`high_${name}`) }, name,
          { colour: data.colours[name], band: 0.25, width: 2.4 }),
      ];
      const own = rows[0].attribute === name ? " (steered)" : "";
      chart(boxes[place], `Shift of ${name} under ${edit} by dose`, traces, { title: { text: plain(name + own), x: 0.06,
        font: { size: 13 } }, xaxis: { type: "category", title: { text: "dose" } },
        yaxis: { title: { text: data.units[name] } }, margin: { l: 56, r: 10, t: 30, b: 40 } });
    });
  }
  drawLeakage(data.leakage, attributes);
}

function drawLeakage(rows, attributes) {
  const z = rows.map((row) => attributes.map((name) => (typeof row[name] === "number" ? row[name] : null)));
  if (z.flat().every((value) => value === null)) {
    byId("leakage").className = "note";
    byId("leakage").textContent = "Nothing to compare: no edit reaches the effect at which leakage is read. Larger doses (--alpha) may.";
    return;
  }
  const most = Math.max(1, ...z.flat().map(Math.abs));
  chart(byId("leakage"), "Leakage of each target attribute into each measured one", [{ type: "heatmap", z, x: attributes,
    y: rows.map((row) => row.target), colorscale: [[0, "#0072B2"], [0.5, colour("--panel")], [1, "#D55E00"]], zmin: -most, zmax: most, showscale: false, hoverinfo: "skip", texttemplate: "%{text}",
    text: z.map((row) => row.map((value) => (value === null ? "-" : value.toFixed(2)))) }], {
    xaxis: { title: { text: "measured" } }, yaxis: { title: { text: "steered" }, autorange: "reversed" },
    margin: { l: 90, r: 10, t: 10, b: 40 } });
}

function drawLockin(data) {
  const edits = [...new Set(data.lockin.map((row) => row.edit))];
  const area = boxes(byId("lockin"), edits.length);
  edits.forEach((edit, place) => {
    const rows = data.lockin.filter((row) => row.edit === edit);
    const x = rows.map((row) => (row.from + row.to) / 2);
    const column = (key) => rows.map((row) => (typeof row[key] === "number" ? row[key] : null));
    const traces = [
      ...curveTraces(x, { mean: column("heard_null"), low: [], high: [] }, "linear flow", { colour: colour("--flow"), dash: "dot" }),
      ...curveTraces(x, { mean: column("heard_share"), low: column("heard_low"), high: column("heard_high") }, "heard",
        { colour: data.colours[rows[0].attribute], band: 0.25, width: 2.4 }),
    ];
    chart(area[place], `Share of ${edit} that the finished clip keeps, by flow time`, traces, {
      title: { text: plain(edit), x: 0.06 }, xaxis: { title: { text: "flow time" }, range: [0, 1] } });
  });
}

function startEdit(data) {
  const player = new Switch();
  byId("prompt-field").hidden = byId("edit-field").hidden = true;
  byId("listen").hidden = false;
  byId("summary").textContent = data.edits.join(" and ");
  const lanes = [["pitch_midi", "pitch (MIDI number)", "pitch"], ["rms", "loudness (RMS)", "loudness"],
    ["centroid_hz", "centroid (Hz)", "timbre"]];
  byId("tracks").replaceChildren(...lanes.map(() => make("div", null, { class: "lane" })));
  const first = data.versions[0];
  const draw = () => {
    const chosen = data.versions[player.chosen];
    lanes.forEach(([key, title, name], place) => {
      const line = (version, look) => ({ x: version.curves.seconds, y: version.curves[key], mode: "lines", hoverinfo: "skip", line: look });
      chart(byId("tracks").children[place], `${title} of ${chosen.version}`, [
        line(first, { color: colour("--shuffled"), width: 4 }), line(chosen, { color: data.colours[name], width: 2 })],
      { title: { text: plain(title), x: 0.06, font: { size: 13 } }, margin: { l: 62, r: 12, t: 24, b: 22 } });
    });
  };
  player.onChange = draw;
  redraws.add(draw);
  player.show(data.versions.map((row) => ({ name: row.version === "alpha 0" ? "codec alone" : row.version, sound: row.sound,
    told: `Level ${number(row.level_db, 1)} dB, pitch ${number(row.pitch_midi, 1)}, centroid ${number(row.centroid_hz, 0)} Hz, voiced ${
      number(row.voiced)}${row.log_mel_db ? `, ${number(row.log_mel_db, 1)} dB of log-mel from the codec alone` : ""}.` })));
}

Page.load("steering").then((data) => {
  document.title = `${data.name}: steering`;
  byId("name").textContent = data.name;
  if (data.kind === "dose") {
    byId("summary").textContent = `${data.prompts.length} prompts, ${data.edits.length} edits, beside random pushes of equal size.`;
    startDose(data);
  } else if (data.kind === "edit") {
    startEdit(data);
  } else {
    byId("lockin-part").hidden = false;
    drawLockin(data);
    redraws.add(() => drawLockin(data));
  }
});
