"use strict";
/* The part "Songs": a list of clips, and a player that goes through the states of one. */

const MARGIN = { l: 62, r: 12, t: 24, b: 8 };
const SHOWN = 200;   // clips in the list at a time
const KEPT = 6;      // clips whose readings stay in memory

/* A typed array from base64. */
function unpack(text, Kind) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Kind(bytes.buffer);
}

/* Four or five classes of an attribute with their names, within a range of classes. */
function ticks(attribute, [low, high]) {
  if (!attribute.labels) return {};
  const step = Math.max(1, Math.ceil((high - low) / 5));
  const at = [];
  for (let k = Math.max(0, Math.ceil(low)); k <= Math.min(high, attribute.labels.length - 1); k += step) at.push(k);
  return { tickvals: at, ticktext: at.map((k) => plain(attribute.labels[k])) };
}

class Songs {
  constructor(run) {
    Object.assign(this, { run, list: null, clip: null, view: null, state: run.t.length - 1, kept: new Map(),
      shown: SHOWN, asked: 0, player: new Player(() => this.place()) });
  }

  async start() {
    if (this.list) return;
    this.list = [];
    this.list = await Page.load("songs");
    fillSelect(byId("sort"), [["order", "order"], ["caption", "caption"], ...this.run.attributes
      .filter((a) => this.list.some((clip) => a.name in clip.settled)).map((a) => [a.name, `when ${a.name} is settled`])]);
    for (const [id, event] of [["search", "input"], ["sort", "change"]]) {
      byId(id).addEventListener(event, () => { this.shown = SHOWN; this.fillList(); });
    }
    byId("more").addEventListener("click", () => { this.shown += SHOWN; this.fillList(); });
    byId("state").addEventListener("input", () => this.goTo(Number(byId("state").value)));
    byId("song-view").addEventListener("change", () => { this.view = byId("song-view").value; this.changeSound(); this.draw(); });
    byId("map-of").addEventListener("change", () => this.drawMap());
    this.player.listen(byId("part-song"), () => this.goTo(this.state + 1), () => this.goTo(this.state - 1));
    window.addEventListener("resize", () => this.place());
    redraws.add(() => this.draw());
    byId("state").max = this.run.t.length - 1;
    this.fillList();
    const wanted = new URLSearchParams(location.hash.slice(1)).get("song");
    const first = this.list.find((clip) => clip.stem === wanted) || this.list[0];
    if (first) await this.open(first);
  }

  stop() { this.player.pause(); }

  fillList() {
    const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const sort = byId("sort").value;
    const found = this.list.filter((clip) => words.every((word) => clip.caption.toLowerCase().includes(word)));
    const last = this.run.t.length;
    if (sort === "caption") found.sort((a, b) => a.caption.localeCompare(b.caption));
    else if (sort !== "order") found.sort((a, b) => (a.settled[sort] ?? last) - (b.settled[sort] ?? last));
    byId("count").textContent = `${found.length} of ${this.list.length}`;
    byId("clips").replaceChildren(...found.slice(0, this.shown).map((clip) => {
      const button = make("button", clip.caption, { "data-stem": clip.stem, "aria-current": clip === this.clip },
        [make("small", this.about(clip))]);
      button.addEventListener("click", () => this.open(clip));
      return make("li", null, {}, [button]);
    }));
    byId("more").hidden = found.length <= this.shown;
  }

  about(clip) {
    const seeds = this.list.some((other) => other.seed > 0) ? `, seed ${clip.seed}` : "";
    const when = Object.entries(clip.settled).map(([name, state]) => `${name} ${state}`).join(", ");
    return `prompt ${clip.prompt}${seeds}${when ? `; settled: ${when}` : ""}`;
  }

  async open(clip) {
    const asked = ++this.asked;
    const data = this.kept.get(clip.stem) || await Page.load(`clip-${clip.stem}`);
    if (asked !== this.asked) return;  // another one was chosen meanwhile
    this.kept.delete(clip.stem);
    this.kept.set(clip.stem, data);
    if (this.kept.size > KEPT) this.kept.delete(this.kept.keys().next().value);
    Object.assign(this, { clip, data });
    this.player.reset(data.frames / data.frame_rate || 0);
    this.player.seek(0);
    history.replaceState(null, "", `#song=${clip.stem}`);
    byId("caption").textContent = clip.caption;
    byId("when").textContent = this.about(clip);
    for (const button of byId("clips").querySelectorAll("button")) {
      button.setAttribute("aria-current", button.dataset.stem === clip.stem);
    }
    const views = this.run.views.filter((view) => view in data.read || view in data.sounds);
    if (!views.includes(this.view)) this.view = views[0];
    fillSelect(byId("song-view"), views.map((view) => [view, this.run.labels.view[view]]), this.view);
    const attributes = Object.keys(data.read[this.view] || {});
    const chosen = byId("map-of").value;
    fillSelect(byId("map-of"), attributes.map((name) => [name, name]), attributes.includes(chosen) ? chosen : attributes[0]);
    this.changeSound();
    this.draw();
  }

  /* Sounds of the states that were kept; the finished clip is the endpoint's, also where that view is not read. */

  sounds() {
    return this.data.sounds[this.view] || this.data.sounds.endpoint || {};
  }

  states() {
    const kept = this.sounds();
    return Object.keys(kept).map((key) => (key === "last" ? this.run.t.length - 1 : Number(key))).sort((a, b) => a - b);
  }

  /* The kept state that is nearest to the chosen one. */
  heard() {
    const states = this.states();
    return states.length ? states.reduce((a, b) => (Math.abs(b - this.state) < Math.abs(a - this.state) ? b : a)) : null;
  }

  changeSound() {
    const state = this.heard();
    const kept = this.sounds();
    this.player.change(`${this.view}-${state}`, state === null ? null : kept[state] || kept.last);
  }

  goTo(state) {
    const last = this.run.t.length - 1;
    this.state = Math.max(0, Math.min(state, last));
    this.changeSound();
    this.drawTracks();
    this.place();
  }

  /* The cursor, the level of the state, and the words beside the sliders. */
  place() {
    if (!this.clip) return;
    const width = byId("lanes").clientWidth - MARGIN.l - MARGIN.r;
    const { seconds, duration } = this.player;
    const share = duration ? seconds / duration : 0;
    byId("cursor").style.left = `${MARGIN.l + share * width - 1}px`;
    const map = byId("map");
    const level = byId("level").style;
    level.left = `${MARGIN.l}px`;
    level.width = `${width}px`;
    const height = map.clientHeight - MARGIN.t - MARGIN.b - 14;
    level.top = `${MARGIN.t + height * (1 - (this.state + 0.5) / this.run.t.length)}px`;
    level.display = map.hidden ? "none" : "block";
    byId("state").value = this.state;
    const last = this.run.t.length - 1;
    const heard = this.heard();
    const sound = heard === null ? "no sound was kept"
      : heard === this.state ? "heard at this state" : `the nearest sound is that of state ${heard}`;
    const told = `state ${this.state} of ${last}, flow time ${number(this.run.t[this.state])}; ${sound}`;
    byId("state").setAttribute("aria-valuetext", told);
    byId("where").textContent = `${seconds.toFixed(1)} of ${duration.toFixed(1)} s; ${told}`;
  }

  /* Charts. */

  unpacked(attribute) {
    const own = this.data.read[this.view][attribute];
    if (!own.values) {
      own.values = unpack(own.readings, Uint16Array);
      own.counts = unpack(own.valid, Uint8Array);
      own.heard = own.measured ? unpack(own.measured, Uint8Array) : null;
    }
    return own;
  }

  /* Lowest and highest reading of a clip over all states, with some room. */
  range(attribute) {
    const own = this.unpacked(attribute);
    if (!own.range) {
      let low = Infinity, high = -Infinity;
      own.values.forEach((value, place) => {
        if (own.counts[place % this.data.frames]) { low = Math.min(low, value / 64); high = Math.max(high, value / 64); }
      });
      own.range = low <= high ? [Math.min(low, high - 3) - 0.5, Math.max(high, low + 3) + 0.5] : [-0.5, 3.5];
    }
    return own.range;
  }

  draw() { if (this.clip) { this.drawMap(); this.drawTracks(); this.place(); } }

  axes(title) {
    return { margin: { ...MARGIN, b: MARGIN.b + 14 }, title: { text: plain(title), x: 0, xanchor: "left", xref: "paper",
      font: { size: 13 } }, xaxis: { range: [0, this.player.duration], ticks: "", tickfont: { size: 10, color: colour("--muted") } },
      hovermode: "closest" };
  }

  drawMap() {
    const attribute = byId("map-of").value;
    byId("map").hidden = byId("map-field").hidden = !attribute;
    if (!attribute) { byId("lane-note").textContent = "No reading of frames was kept in this run."; return; }
    const { values, counts } = this.unpacked(attribute);
    const frames = this.data.frames, states = this.run.t.length;
    const final = (states - 1) * frames;
    const about = this.run.attributes.find((one) => one.name === attribute);
    const most = Math.max(2, (about.labels || { length: 20 }).length / 5);
    const z = [];
    for (let state = 0; state < states; state++) {
      const row = new Array(frames);
      for (let frame = 0; frame < frames; frame++) {
        row[frame] = counts[frame] ? Math.abs(values[state * frames + frame] - values[final + frame]) / 64 : null;
      }
      z.push(row);
    }
    const layout = this.axes(`${attribute}: distance from the final reading`);
    layout.yaxis = { range: [-0.5, states - 0.5], title: { text: "state" }, showgrid: false };
    layout.xaxis.showgrid = false;
    const box = byId("map");
    chart(box, `Map of ${attribute}: states against song time, dark where the reading is the final one`, [{
      type: "heatmap", z, x0: 0.5 / this.data.frame_rate, dx: 1 / this.data.frame_rate, zmin: 0, zmax: most,
      colorscale: "Cividis", showscale: false, hovertemplate: "state %{y}, %{x:.1f} s: %{z:.1f} classes<extra></extra>",
    }], layout);
    if (!box.dataset.clicks) {
      box.dataset.clicks = "yes";
      box.on("plotly_click", (event) => { this.player.seek(event.points[0].x); this.goTo(event.points[0].y); });
    }
    byId("lane-note").textContent = `Map: dark is the final reading, bright ${most.toFixed(0)} classes or more away from it; ` +
      "empty where the frame does not count (unvoiced, for pitch). Below, the reading at the chosen state (coloured) over " +
      `the final one (grey)${Object.values(this.data.read[this.view]).some((own) => own.measured) ?
        ", and what was measured on the decoded audio of that state (dotted)" : ""}.`;
  }

  drawTracks() {
    if (!this.clip) return;
    const read = this.data.read[this.view] || {};
    const shown = this.run.attributes.filter((attribute) => attribute.name in read);
    const area = boxes(byId("tracks"), shown.length, "lane");
    const frames = this.data.frames, last = this.run.t.length - 1;
    const x = Array.from({ length: frames }, (_, frame) => (frame + 0.5) / this.data.frame_rate);
    shown.forEach((attribute, place) => {
      const { values, counts, heard } = this.unpacked(attribute.name);
      const track = (state) => x.map((_, frame) => (counts[frame] ? values[state * frames + frame] / 64 : null));
      const traces = [
        { x, y: track(last), mode: "lines", hoverinfo: "skip", line: { color: colour("--shuffled"), width: 5, shape: "hvh" }, opacity: 0.55 },
        { x, y: track(this.state), mode: "lines", hoverinfo: "skip", line: { color: attribute.colour, width: 2, shape: "hvh" } },
      ];
      if (heard) {
        const y = x.map((_, frame) => { const own = heard[this.state * frames + frame]; return own === 255 ? null : own; });
        traces.push({ x, y, mode: "lines", hoverinfo: "skip", line: { color: colour("--measured"), width: 1.6, dash: "dot", shape: "hvh" } });
      }
      const layout = this.axes(attribute.unit ? `${attribute.name} (${attribute.unit})` : attribute.name);
      layout.yaxis = { range: this.range(attribute.name), ...ticks(attribute, this.range(attribute.name)) };
      chart(area[place], `${attribute.name} over the song, read at state ${this.state} and at the end`, traces, layout);
    });
  }
}
