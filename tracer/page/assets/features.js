"use strict";
/* Features of an autoencoder: a list that is searched and sorted, one of them in full, and the classes. */

const SHOWN = 100;  // rows of the list at a time

class Features {
  constructor(data) {
    Object.assign(this, { data, shown: SHOWN, chosen: null, blocks: new Map(), asked: 0 });
    fillSelect(byId("sort"), [["number", "number"], ["density", "how often it fires"], ["maximum", "how strongly it fires"]]);
    byId("search").addEventListener("input", () => { this.shown = SHOWN; this.fillList(); });
    byId("sort").addEventListener("change", () => { this.shown = SHOWN; this.fillList(); });
    byId("more").addEventListener("click", () => { this.shown += SHOWN; this.fillList(); });
    fillSelect(byId("attribute"), Object.keys(data.classes).map((name) => [name, name]));
    byId("attribute").addEventListener("change", () => this.fillClasses());
    window.addEventListener("hashchange", () => this.follow());
    redraws.add(() => this.drawHistogram());
    this.fillList();
    this.fillClasses();
    this.follow();
  }

  /* The feature in the address, or the one that fires most strongly. */
  follow() {
    const wanted = new URLSearchParams(location.hash.slice(1)).get("feature");
    const count = this.data.density.length;
    const known = wanted !== null && /^\d+$/.test(wanted) && Number(wanted) < count;
    this.open(known ? Number(wanted) : this.chosen ?? this.data.maximum.indexOf(Math.max(...this.data.maximum)));
  }

  fillList() {
    const { density, maximum, speaks_for } = this.data;
    const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (j) => words.every((word) => (/^\d+$/.test(word) ? String(j) === word :
      ` ${speaks_for[j].toLowerCase().replace(/,/g, " ")} `.includes(` ${word} `)));
    const found = density.map((_, j) => j).filter(fits);
    const sort = byId("sort").value;
    if (sort !== "number") found.sort((a, b) => this.data[sort][b] - this.data[sort][a]);
    byId("count").textContent = `${found.length} of ${density.length}`;
    byId("list").replaceChildren(...found.slice(0, this.shown).map((j) => {
      const said = maximum[j] > 0 ? `fires in ${percent(density[j])}, up to ${maximum[j]}; ${speaks_for[j]}` : "never fires here";
      const button = make("button", `Feature ${j}`, { "data-feature": j, "aria-current": j === this.chosen }, [make("small", said)]);
      button.addEventListener("click", () => { location.hash = `feature=${j}`; });
      return make("li", null, {}, [button]);
    }));
    byId("more").hidden = found.length <= this.shown;
  }

  async open(j) {
    const asked = ++this.asked;
    const block = Math.floor(j / this.data.block);
    const held = this.blocks.get(block) || await Page.load(`features-${String(block).padStart(3, "0")}`);
    if (asked !== this.asked) return;
    this.blocks.set(block, held);
    if (this.blocks.size > 4) this.blocks.delete(this.blocks.keys().next().value);
    this.chosen = j;
    const own = held[j - block * this.data.block];
    this.own = own;
    byId("which").textContent = `Feature ${j}`;
    byId("facts").textContent = own.moments.length ?
      `Active in ${percent(this.data.density[j])} of the frames, at most ${this.data.maximum[j]}.` : "It never fires in this corpus.";
    byId("link").href = `#feature=${j}`;
    for (const button of byId("list").querySelectorAll("button")) button.setAttribute("aria-current", Number(button.dataset.feature) === j);
    byId("moments").replaceChildren(...own.moments.map((moment) => {
      const labels = Object.entries(moment.labels).map(([name, label]) => `${name} ${label}`).join(", ");
      const said = `${moment.value} at ${(2 * moment.at).toFixed(1)} s: ${labels} (${moment.file})`;
      return make("li", null, {}, [make("audio", null, { controls: "", preload: "none", src: moment.sound, "aria-label": said }),
        make("div", said, { class: "note" })]);
    }));
    const cell = (side) => (vote) => vote[side].map(([label, weight]) => `${label} (${signed(weight, 2)})`).join(", ");
    fillTable(byId("votes"), `Classes that feature ${j} speaks for and against`, [["attribute", (vote) => vote.attribute],
      ["for", cell("for")], ["against", cell("against")]], own.classes);
    byId("neighbours").replaceChildren(...own.neighbours.flatMap(([other, cosine]) =>
      [make("a", `${other}`, { href: `#feature=${other}` }), ` (${cosine.toFixed(2)})  `]));
    this.drawHistogram();
  }

  drawHistogram() {
    if (!this.own) return;
    const { edges } = this.data;
    const x = [edges[0] - 0.25, ...edges.slice(1).map((edge, k) => (edge + edges[k]) / 2), edges.at(-1) + 0.25];
    const held = this.own.histogram.map((count, k) => [x[k], count]).filter(([, count]) => count > 0);
    chart(byId("histogram"), `Histogram of the activations of feature ${this.chosen}`, [{ type: "bar", x: held.map(([at]) => at),
      y: held.map(([, count]) => count), width: 0.45, marker: { color: colour("--accent") }, hovertemplate: "%{y} frames<extra></extra>" }], {
      xaxis: { title: { text: "log2 of the activation" } }, yaxis: { title: { text: "frames" } }, margin: { l: 60, r: 10, t: 10, b: 40 } });
  }

  fillClasses() {
    const rows = this.data.classes[byId("attribute").value] || [];
    fillTable(byId("classes"), "Features of each class", [["class", (row) => row.label], ["features (contribution)", () => ""]], rows);
    [...byId("classes").querySelectorAll("tbody td")].forEach((cell, k) => {
      const row = rows[k];
      if (row.contribution[0] === null) { cell.textContent = "nothing has this label"; return; }
      cell.replaceChildren(...row.features.flatMap((j, place) =>
        [make("a", `${j}`, { href: `#feature=${j}` }), ` (${signed(row.contribution[place], 2)})  `]));
    });
  }
}

const percent = (share) => `${(100 * share).toFixed(share < 0.1 ? 2 : 0)} %`;

Page.load("features").then((data) => {
  byId("name").textContent = `Features of ${data.name}`;
  byId("about").textContent = `${data.about}; looked for in ${data.corpus}.`;
  new Features(data);
  startTabs();
});
