// The two-lane player of one recording: citizen above (orange), agent below (blue), gaps, holds and evidence marked.
// Reads everything from data attributes of [data-player]; the element's .callPlayer is the object other scripts use:
//   toggle() play() pause() seek(ms) skip(ms) playFrom(ms, untilMs?) nextMark(±1) positionMs  and the events
//   "player:time" ({positionMs}) on the element. Elements with data-play-from or data-seek act on it. Needs waveform.js.
"use strict";

const LEAD_MS = 2000; // evidence is played from this long before it
const RATES = [0.5, 0.75, 1, 1.25, 1.5, 2];
const QUIET_PEAK = 0.02, QUIET_MIN_S = 1.5, QUIET_KEEP_S = 0.25; // what "skip silence" jumps over
const SHOWN_QUIET_S = 5; // silences of both sides that the waveform marks
const READER_REST_MS = 5000; // after the reader scrolled, the transcript waits this long before it follows again

function clockOf(ms) {
  const total = Math.max(0, Math.floor(ms / 1000));
  return `${Math.floor(total / 60)}:${String(total % 60).padStart(2, "0")}`;
}

class CallPlayer {
  constructor(root) {
    this.root = root;
    this.audio = root.querySelector("audio");
    this.durationMs = Number(root.dataset.durationMs) || 0;
    const spot = (m) => !this.durationMs || m.end_ms - m.start_ms < 0.9 * this.durationMs; // evidence of a whole call is no place in it
    this.marks = JSON.parse(root.dataset.marks || "[]").filter(spot).sort((a, b) => a.start_ms - b.start_ms);
    this.gaps = JSON.parse(root.dataset.gaps || "[]");
    this.loop = null; // {a, b}
    this.stopAt = null;
    this.quiet = [];
    this.wave = null; // drawn when its peaks are there
    this.part = (name) => root.querySelector(`[data-${name}]`);
    this.part("controls").hidden = false;
    this.audio.controls = false;
    this.audio.hidden = true;
    this._listen();
    this._drawWave();
    const start = Number(root.dataset.startMs);
    if (root.dataset.startMs && start >= 0) this.seek(start);
  }

  get positionMs() { return Math.round(this.audio.currentTime * 1000); }
  get playing() { return !this.audio.paused; }

  play() { this._clear(); return this.audio.play().catch((error) => this._fail(error)); }
  pause() { this.audio.pause(); }
  toggle() { if (this.playing) this.pause(); else this.play(); }
  seek(ms) {
    this.stopAt = null;
    this.audio.currentTime = Math.min(Math.max(0, ms), this.durationMs || Infinity) / 1000;
    this._show();
  }
  skip(ms) { this.seek(this.positionMs + ms); }
  playFrom(ms, untilMs) {
    this.seek(ms - LEAD_MS);
    this.stopAt = untilMs ? untilMs + 1000 : null;
    return this.play();
  }
  nextMark(step) {
    const here = this.positionMs + (step > 0 ? LEAD_MS + 50 : LEAD_MS - 1500);
    const list = step > 0 ? this.marks.filter((m) => m.start_ms > here) : this.marks.filter((m) => m.start_ms < here).reverse();
    const mark = list[0] || (step > 0 ? this.marks[0] : this.marks[this.marks.length - 1]);
    if (mark) this.playFrom(mark.start_ms);
  }
  setRate(rate) { this.audio.playbackRate = rate; this.part("rate").value = String(rate); }
  faster(step) {
    const index = RATES.indexOf(this.audio.playbackRate);
    this.setRate(RATES[Math.min(RATES.length - 1, Math.max(0, (index < 0 ? 2 : index) + step))]);
  }
  toggleSkip() { const box = this.part("skip"); box.checked = !box.checked; }
  stepLoop() {
    if (this.loop === null) this.loop = { a: this.positionMs, b: null };
    else if (this.loop.b === null && this.positionMs > this.loop.a + 300) this.loop.b = this.positionMs;
    else this.loop = null;
    this.part("loop").textContent = this.loop === null ? "A–B" : this.loop.b === null ? `A ${clockOf(this.loop.a)} –` : `${clockOf(this.loop.a)}–${clockOf(this.loop.b)}`;
  }

  _listen() {
    const audio = this.audio;
    audio.addEventListener("timeupdate", () => this._tick());
    audio.addEventListener("seeked", () => this._show());
    audio.addEventListener("play", () => { this._buttons(); this._run(); });
    audio.addEventListener("pause", () => this._buttons());
    audio.addEventListener("error", () => this._fail(audio.error));
    this.part("rate").addEventListener("change", (event) => { this.setRate(Number(event.target.value)); if (byMouse) event.target.blur(); });
    const acts = { toggle: () => this.toggle(), back: () => this.skip(-5000), forward: () => this.skip(5000), loop: () => this.stepLoop(), "next-mark": () => this.nextMark(1), "previous-mark": () => this.nextMark(-1) };
    this.root.addEventListener("click", (event) => {
      const button = event.target.closest("[data-do]");
      if (button) acts[button.dataset.do]();
      // After a click with the mouse Space plays and pauses; it does not press the same button or box once more.
      if (event.detail > 0) setTimeout(() => { if (this.root.contains(document.activeElement) && !document.activeElement.matches("select")) document.activeElement.blur(); });
    });
    let byMouse = false; // a speed chosen with the mouse gives the keys back
    this.part("rate").addEventListener("pointerdown", () => { byMouse = true; });
    this.part("rate").addEventListener("keydown", () => { byMouse = false; });
    if (!this.marks.length) this.root.querySelectorAll("[data-do$=-mark]").forEach((b) => { b.disabled = true; });
  }

  _tick() {
    const now = this.positionMs;
    if (this.loop && this.loop.b !== null && now >= this.loop.b) this.audio.currentTime = this.loop.a / 1000;
    if (this.stopAt !== null && now >= this.stopAt) { this.stopAt = null; this.pause(); }
    if (this.playing && this.part("skip").checked) {
      const span = this.quiet.find(([start, end]) => now / 1000 >= start && now / 1000 < end);
      if (span) this.audio.currentTime = span[1];
    }
    this._show();
  }
  _run() { // the cursor, frame by frame; "timeupdate" comes four times a second
    if (!this.playing) return;
    if (this.wave) this.wave.at(this.positionMs);
    requestAnimationFrame(() => this._run());
  }
  _show() {
    if (this.wave) this.wave.at(this.positionMs);
    this.part("position").textContent = clockOf(this.positionMs);
    this.root.dispatchEvent(new CustomEvent("player:time", { detail: { positionMs: this.positionMs }, bubbles: true }));
  }
  _buttons() {
    this.part("icon-play").hidden = this.playing;
    this.part("icon-pause").hidden = !this.playing;
  }
  _clear() { this.part("error").hidden = true; }
  _fail(error) {
    if (error && error.name === "AbortError") return;
    const line = this.part("error");
    line.textContent = "录音播放不了：文件可能已移走，或登录已过期。请刷新页面；仍不行请联系管理员。";
    line.hidden = false;
  }

  async _drawWave() {
    let peaks;
    try {
      const answer = await fetch(this.root.dataset.peaks);
      if (!answer.ok) throw new Error(String(answer.status));
      peaks = await answer.json();
    } catch (error) {
      this.audio.hidden = false; // the waveform is a comfort: playing still works
      return;
    }
    this.durationMs = Math.round(peaks.duration_s * 1000);
    this.part("duration").textContent = clockOf(Math.round(this.durationMs / 1000) * 1000); // as the page says it
    this._findQuiet(peaks);
    const css = getComputedStyle(document.documentElement);
    const lane = (name) => ({ rest: css.getPropertyValue(`--cq-${name}-wave`).trim(), played: css.getPropertyValue(`--cq-${name}`).trim() });
    const channels = peaks.channels.slice(0, 2), colours = [lane("citizen"), lane("agent")];
    if (channels.length === 1) {
      this.root.classList.add("cq-one-lane"); // nobody can tell whose voice it is
      this.root.querySelector(".cq-lane-names").replaceChildren("未分离");
      colours.unshift({ rest: "#a3adba", played: css.getPropertyValue("--cq-ink-2").trim() });
    }
    this.wave = new Waveform(this.part("wave"), {
      channels, colours, durationMs: this.durationMs, onSeek: (ms) => this.seek(ms),
      // For whoever measures (bench/page.py): the page takes orders and is painted; the task comes after the frame.
      onDrawn: () => setTimeout(() => performance.mark("callqa-usable")),
    });
    this.wave.at(this.positionMs);
    this._addStretches();
  }
  _addStretches() {
    for (const gap of this.gaps) this.wave.addStretch({ startMs: gap.start_ms, endMs: gap.end_ms, lane: gap.channel, kind: gap.kind });
    for (const [from, to] of this.quiet) {
      if (to - from >= SHOWN_QUIET_S) this.wave.addStretch({ startMs: from * 1000, endMs: to * 1000, kind: "quiet", title: `双方静音 ${Math.round(to - from)} 秒` });
    }
    for (const mark of this.marks) this.wave.addStretch({ startMs: mark.start_ms, endMs: mark.end_ms, lane: mark.channel, kind: mark.fatal ? "fatal" : "evidence", title: mark.text });
  }
  _findQuiet(peaks) {
    const n = peaks.channels[0].length, step = peaks.duration_s / n;
    const top = Math.max(0.05, ...peaks.channels.map((channel) => Math.max(...channel)));
    let start = null;
    for (let i = 0; i <= n; i += 1) {
      const quiet = i < n && peaks.channels.every((channel) => channel[i] < QUIET_PEAK * Math.max(1, top * 2));
      if (quiet && start === null) start = i;
      if (!quiet && start !== null) {
        const from = start * step + QUIET_KEEP_S, to = i * step - QUIET_KEEP_S;
        if (to - from >= QUIET_MIN_S) this.quiet.push([from, to]);
        start = null;
      }
    }
  }
}

// The transcript: lights the sentence being played, follows, and lets the reader scroll in peace.
class FollowingTranscript {
  constructor(box, player) {
    this.box = box;
    this.lines = [...box.querySelectorAll("[data-utterance]")];
    this.back = box.parentElement.querySelector("[data-follow]");
    this.readerUntil = 0;
    this.current = null;
    const reader = () => { this.readerUntil = Date.now() + READER_REST_MS; if (this.current) this.back.hidden = false; };
    for (const kind of ["wheel", "touchmove", "pointerdown"]) box.addEventListener(kind, reader, { passive: true });
    box.addEventListener("keydown", (event) => { if (["ArrowUp", "ArrowDown", "PageUp", "PageDown", "Home", "End"].includes(event.key)) reader(); });
    this.back.addEventListener("click", () => { this.readerUntil = 0; this.show(true); });
    box.addEventListener("click", (event) => {
      const line = event.target.closest("[data-utterance]");
      if (!line || window.getSelection().toString()) return;
      this.readerUntil = 0;
      player.seek(Number(line.dataset.start));
      player.play();
    });
    player.root.addEventListener("player:time", (event) => this.at(event.detail.positionMs));
  }
  at(ms) {
    let found = null;
    for (const line of this.lines) if (Number(line.dataset.start) <= ms + 50 && ms < Number(line.dataset.end) + 400) found = line;
    if (found === this.current) return;
    if (this.current) this.current.classList.remove("now");
    this.current = found;
    if (found) { found.classList.add("now"); this.show(false); }
  }
  show(asked) {
    if (!this.current || (!asked && Date.now() < this.readerUntil)) return;
    this.back.hidden = true;
    this._bring();
    requestAnimationFrame(() => this._bring()); // what was out of sight had only a guessed height (content-visibility)
  }
  _bring() {
    const box = this.box, line = this.current;
    if (!line) return;
    const top = line.getBoundingClientRect().top - box.getBoundingClientRect().top;
    if (top < 20 || top + line.offsetHeight > box.clientHeight - 40) box.scrollTop += top - box.clientHeight / 3;
  }
}

function isTyping(event) {
  if (event.isComposing || event.keyCode === 229) return true;
  return event.target.closest && event.target.closest("input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable=true]") !== null;
}

(() => { // deferred: the page is read
  const root = document.querySelector("[data-player]");
  if (!root) return;
  const player = root.callPlayer = new CallPlayer(root);
  document.querySelectorAll("[data-transcript]").forEach((box) => new FollowingTranscript(box, player));

  document.addEventListener("click", (event) => {
    const chip = event.target.closest("[data-play-from]");
    // After a click with the mouse Space is the player's again: it pauses, and does not press the same button once more.
    if (chip && event.detail > 0) chip.blur();
    if (chip) { player.playFrom(Number(chip.dataset.playFrom), Number(chip.dataset.playUntil) || undefined); return; }
    const seek = event.target.closest("[data-seek]");
    if (seek && !seek.closest("[data-utterance]")) { player.seek(Number(seek.dataset.seek)); player.play(); }
  });

  const keys = {
    " ": () => player.toggle(), j: (e) => player.skip(e.shiftKey ? -15000 : -5000), l: (e) => player.skip(e.shiftKey ? 15000 : 5000),
    "[": () => player.faster(-1), "]": () => player.faster(1), s: () => player.toggleSkip(), b: () => player.stepLoop(),
    e: (e) => player.nextMark(e.shiftKey ? -1 : 1), "?": () => { const help = root.querySelector(".cq-help"); help.open = !help.open; },
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || isTyping(event)) return;
    // A focused button keeps its own Space.
    if (event.key === " " && event.target.closest && event.target.closest("button, a, summary, input")) return;
    const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    event.preventDefault();
    act(event);
  });
})();
