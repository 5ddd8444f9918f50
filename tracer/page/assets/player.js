"use strict";
/* Sounds of which one plays at a time; a change to another goes on at the same second. */

class Player {
  /* `moved` is called when the second, or what is known of the length, changes. */
  constructor(moved) {
    Object.assign(this, { moved, sounds: new Map(), current: null, seconds: 0, duration: 0, playing: false });
    byId("play").addEventListener("click", () => this.toggle());
    byId("time").addEventListener("input", () => this.seek(Number(byId("time").value)));
    setInterval(() => {
      if (!this.playing || !this.current || this.current.paused) return;
      this.seconds = this.current.currentTime;
      this.place();
    }, 60);
  }

  /* Let another sound be heard, made when it is first asked for; nothing where `source` is missing. */
  change(name, source) {
    if (this.current && this.current.dataset.name === name) return;
    // A sound that is still being fetched knows no second yet.
    if (this.current && this.current.readyState >= 1) this.seconds = this.current.currentTime;
    if (this.current) this.current.pause();
    this.current = source ? this.sounds.get(name) || this.add(name, source) : null;
    const sound = this.current;
    if (!sound) { this.showPlaying(false); return; }
    const go = () => {
      if (sound !== this.current) return;
      if (!this.duration) this.duration = sound.duration;
      sound.currentTime = Math.min(this.seconds, Math.max(0, sound.duration - 0.01));
      this.seconds = sound.currentTime;
      this.place();
      if (this.playing) this.play();
    };
    if (sound.readyState >= 1) go(); else sound.addEventListener("loadedmetadata", go, { once: true });
  }

  add(name, source) {
    const sound = make("audio", null, { preload: "auto", "data-name": name, src: source });
    sound.addEventListener("ended", () => this.pause());
    byId("sounds").append(sound);
    this.sounds.set(name, sound);
    return sound;
  }

  /* Forget all sounds; what is heard next has this length in seconds, 0 where its first sound says it. */
  reset(duration = 0) {
    for (const sound of this.sounds.values()) { sound.pause(); sound.removeAttribute("src"); sound.load(); sound.remove(); }
    this.sounds.clear();
    Object.assign(this, { current: null, duration });
  }

  play() {
    if (!this.current) return;
    if (this.current.ended) this.current.currentTime = 0;
    this.showPlaying(true);
    this.current.play().catch((error) => { if (error.name !== "AbortError") this.showPlaying(false); });
  }
  pause() {
    if (this.current && !this.current.paused) {
      this.current.pause();
      this.seconds = this.current.currentTime;
      this.place();
    }
    this.showPlaying(false);
  }
  toggle() { if (this.playing) this.pause(); else this.play(); }

  /* `playing` is what was asked for: between two sounds nothing is heard for a moment. */
  showPlaying(playing) {
    this.playing = playing;
    byId("play").textContent = playing ? "Pause" : "Play";
    byId("play").setAttribute("aria-pressed", playing);
  }

  seek(seconds) {
    this.seconds = Math.max(0, Math.min(seconds, this.duration));
    if (this.current && this.current.readyState >= 1) this.current.currentTime = this.seconds;
    this.place();
  }

  place() {
    byId("time").max = this.duration || 1;
    byId("time").value = this.seconds;
    byId("time").setAttribute("aria-valuetext", `${this.seconds.toFixed(1)} seconds`);
    this.moved();
  }

  /* Keys: space plays, left and right move in time, up and down do what is given; nothing while `part` is hidden. */
  listen(part, up, down) {
    const acts = { " ": () => this.toggle(), ArrowLeft: () => this.seek(this.seconds - 1),
      ArrowRight: () => this.seek(this.seconds + 1), ArrowUp: up, ArrowDown: down };
    document.addEventListener("keydown", (event) => {
      const target = event.target;
      if (part.hidden || event.ctrlKey || event.metaKey || event.altKey || !(event.key in acts)) return;
      if (target.matches("select, [type=search]") || (event.key === " " && target.matches("button, summary, a"))) return;
      if (target.matches("[type=range]") && event.key !== " ") return;
      event.preventDefault();
      acts[event.key]();
    });
  }
}
