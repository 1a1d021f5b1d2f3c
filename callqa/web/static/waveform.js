// The waveform of one recording, a lane a channel, drawn on one canvas from the server's peaks. It knows no audio: at(ms) moves
// its cursor, and a click or a drag calls onSeek(ms). Stretches (gaps, silences, evidence) are elements above the canvas, so that
// each has its title; where they lie is said in per cent and stays right when the window changes.
"use strict";

class Waveform {
  static BAR_PX = 2;
  static STEP_PX = 3;
  static QUIETEST_FULL = 0.05; // a channel that is never louder is not blown up to fill its lane

  // channels: loudest of each stretch in 0..1, first to last; colours: [{rest, played}] by channel.
  constructor(box, { channels, durationMs, colours, onSeek, onDrawn }) {
    Object.assign(this, { box, channels, durationMs, colours, onDrawn });
    this.ms = 0;
    this.held = false; // by the pointer, which the cursor then follows
    this.canvas = document.createElement("canvas");
    this.cursor = document.createElement("i");
    this.cursor.className = "cq-wave-cursor";
    box.replaceChildren(this.canvas, this.cursor);
    this._take(onSeek);
    new ResizeObserver(() => this._fit()).observe(box); // called once at the beginning too, after layout and before paint
  }

  at(ms) {
    if (this.held) return;
    this.ms = ms;
    if (this.pen && this._playedPx() !== this.drawnPx) this._draw();
  }

  // lane: of one channel; null or undefined: of all.
  addStretch({ startMs, endMs, lane, kind, title }) {
    const mark = document.createElement("i");
    const share = (ms) => `${(100 * ms) / this.durationMs}%`;
    mark.className = `cq-wave-mark cq-wave-${kind}`;
    mark.style.left = share(startMs);
    mark.style.width = share(endMs - startMs);
    if (lane !== null && lane !== undefined && this.channels.length > 1) {
      mark.style.top = `${(100 * lane) / this.channels.length}%`;
      mark.style.height = `${100 / this.channels.length}%`;
    }
    if (title) mark.title = title;
    this.cursor.before(mark);
  }

  _fit() {
    const scale = window.devicePixelRatio || 1;
    this.width = this.box.clientWidth;
    this.height = this.box.clientHeight;
    this.canvas.width = Math.round(this.width * scale);
    this.canvas.height = Math.round(this.height * scale);
    this.pen = this.canvas.getContext("2d");
    this.pen.scale(scale, scale);
    this.lanes = this.channels.map((levels, lane) => this._bars(levels, lane));
    this._draw();
    if (this.onDrawn) this.onDrawn();
    this.onDrawn = null;
  }
  _bars(levels, lane) {
    const bars = new Path2D(), n = Math.max(1, Math.floor(this.width / Waveform.STEP_PX));
    const high = this.height / this.channels.length, middle = high * (lane + 0.5);
    const full = Math.max(Waveform.QUIETEST_FULL, ...levels);
    for (let k = 0; k < n; k += 1) {
      let top = 0;
      for (let i = Math.floor((k * levels.length) / n); i < Math.max((k + 1) * levels.length / n, 1) && i < levels.length; i += 1) top = Math.max(top, levels[i]);
      const tall = Math.max(1, (top / full) * (high - 2));
      bars.rect(k * Waveform.STEP_PX, middle - tall / 2, Waveform.BAR_PX, tall);
    }
    return bars;
  }
  _playedPx() { return Math.round((this.width * Math.min(this.ms, this.durationMs)) / this.durationMs); }
  _draw() {
    const px = this._playedPx();
    this.pen.clearRect(0, 0, this.width, this.height);
    this._fill(px, this.width, "rest");
    if (px) this._fill(0, px, "played");
    this.cursor.style.transform = `translateX(${px}px)`;
    this.drawnPx = px;
  }
  _fill(from, to, kind) {
    const pen = this.pen;
    pen.save();
    pen.beginPath();
    pen.rect(from, 0, to - from, this.height);
    pen.clip();
    this.lanes.forEach((bars, lane) => { pen.fillStyle = this.colours[lane][kind]; pen.fill(bars); });
    pen.restore();
  }

  _take(onSeek) {
    const box = this.box;
    const follow = (event) => {
      const edges = box.getBoundingClientRect();
      this.ms = Math.min(1, Math.max(0, (event.clientX - edges.left) / edges.width)) * this.durationMs;
      this._draw();
    };
    box.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !this.pen) return;
      box.setPointerCapture(event.pointerId);
      this.held = true;
      follow(event);
    });
    box.addEventListener("pointermove", (event) => { if (this.held) follow(event); });
    box.addEventListener("pointerup", () => { if (this.held) { this.held = false; onSeek(this.ms); } });
    box.addEventListener("pointercancel", () => { this.held = false; }); // a finger that scrolls the page
  }
}
