// A running signal on a canvas, as bedside monitors sweep it: the newest beside a gap, the oldest
// after it. Only what is new is drawn; all is when the scale or the size changes.

const MISSING = -32768;
const HEADER = 20;
const AHEAD = 0.06; // of the width, blank before the oldest
const RUNS_MS = 200; // how fast what came at once is drawn, however often that is
const STEPS_MV = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64];

export function* chunks(buffer) {
  const view = new DataView(buffer);
  let at = 0;
  while (at + HEADER <= buffer.byteLength) {
    const n = view.getUint16(at + 6, true);
    if (at + HEADER + 2 * n > buffer.byteLength) return;
    yield {
      patient: view.getUint32(at, true),
      lead: view.getUint8(at + 4),
      fs: view.getFloat32(at + 8, true),
      first: view.getFloat64(at + 12, true),
      values: new Int16Array(buffer, at + HEADER, n),
    };
    at += HEADER + 2 * (n + (n % 2));
  }
}

export class Trace {
  constructor(canvas, seconds, colour) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.seconds = seconds;
    this.colour = colour;
    this.fs = 0;
    this.end = 0; // index behind the newest value
    this.drawn = 0; // index behind the newest value that is drawn
    this.values = new Float32Array(0);
    this.low = 0;
    this.high = 0;
    this.rangeDue = 0;
    this.arrived = 0; // when signal came last
    this.total = 0; // values taken: for tests and for who looks
    this.marks = [];
    this.before = 0; // when it was drawn last
    this.resize();
  }

  resize() {
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const box = this.canvas.getBoundingClientRect();
    const width = Math.max(1, Math.round(box.width * ratio));
    const height = Math.max(1, Math.round(box.height * ratio));
    if (this.canvas.width === width && this.canvas.height === height && this.ratio) return;
    this.canvas.width = width;
    this.canvas.height = height;
    this.ratio = ratio;
    this.all = true;
  }

  take(chunk) {
    if (!(chunk.fs > 0)) return;
    if (chunk.fs !== this.fs) {
      this.fs = chunk.fs;
      this.values = new Float32Array(Math.ceil((this.seconds + 4) * chunk.fs)).fill(NaN);
      this.end = this.drawn = chunk.first;
      this.all = true;
    }
    const size = this.values.length;
    const stop = chunk.first + chunk.values.length;
    if (stop < this.end - size) { // the record began again
      this.values.fill(NaN);
      this.end = this.drawn = chunk.first;
      this.all = true;
    }
    for (let i = Math.max(this.end, chunk.first - size); i < chunk.first; i++) this.values[i % size] = NaN;
    for (let k = Math.max(0, chunk.values.length - size); k < chunk.values.length; k++) {
      const one = chunk.values[k];
      this.values[(chunk.first + k) % size] = one === MISSING ? NaN : one / 1000;
    }
    if (chunk.first < this.drawn) this.all = true; // the past came
    this.end = Math.max(this.end, stop);
    this.total += chunk.values.length;
    this.arrived = performance.now();
  }

  // Draw what is new; what came together is spread over some frames, so that the signal runs.
  draw(now) {
    if (!this.fs) return;
    const waiting = this.end - this.drawn;
    if (!this.all && waiting <= 0) return;
    const share = 1 - Math.exp(-Math.min(now - this.before, 1000) / RUNS_MS);
    this.before = now;
    const upTo = waiting > 2 * this.fs ? this.end : this.drawn + Math.ceil(waiting * share);
    if (now >= this.rangeDue) this.fit(now);
    const from = this.all ? upTo - Math.floor(this.seconds * this.fs) : this.drawn;
    this.line(Math.max(from, 0), upTo);
    this.drawn = upTo;
    this.all = false;
  }

  fit(now) {
    this.rangeDue = now + 1000;
    let low = Infinity;
    let high = -Infinity;
    for (const one of this.values) {
      if (one < low) low = one;
      if (one > high) high = one;
    }
    if (low > high) return;
    const span = STEPS_MV.find((step) => step >= (high - low) * 1.02) || 64;
    const fits = low >= this.low && high <= this.high && this.high - this.low <= span * 1.01;
    if (fits) return;
    const middle = (low + high) / 2;
    this.low = middle - span / 2;
    this.high = middle + span / 2;
    this.all = true;
  }

  x(index) {
    const inWindow = (index / this.fs) % this.seconds;
    return (inWindow / this.seconds) * this.canvas.width;
  }

  y(value) {
    const share = (value - this.low) / (this.high - this.low || 1);
    return this.canvas.height * (0.95 - 0.9 * share);
  }

  line(from, upTo) {
    const { context, canvas } = this;
    const size = this.values.length;
    const ground = "#121920";
    if (this.all) {
      context.fillStyle = ground;
      context.fillRect(0, 0, canvas.width, canvas.height);
    }
    const wide = (canvas.width * (upTo - from)) / (this.seconds * this.fs);
    this.clear(this.x(from), wide + canvas.width * AHEAD, ground);
    context.strokeStyle = this.colour;
    context.lineWidth = 1.4 * this.ratio;
    context.lineJoin = "round";
    context.beginPath();
    let isOpen = false;
    let before = Infinity;
    for (let i = Math.max(from - 2, 0); i < upTo; i++) {
      const value = this.values[i % size];
      const x = this.x(i);
      if (Number.isNaN(value) || x < before) isOpen = false;
      before = x;
      if (Number.isNaN(value)) continue;
      const y = this.y(value);
      if (isOpen) context.lineTo(x, y);
      else context.moveTo(x, y);
      isOpen = true;
    }
    context.stroke();
    if (this.marks.length) this.drawMarks();
  }

  // Beats that were called anomalous, as a mark below the line; they come later than the signal.
  drawMarks() {
    const { context, canvas } = this;
    context.fillStyle = "#ff5a4f";
    const size = 5 * this.ratio;
    for (const time of this.marks) {
      const index = time * this.fs;
      if (index > this.drawn || index < this.drawn - this.seconds * this.fs * (1 - AHEAD) + size) continue;
      const x = this.x(index);
      context.beginPath();
      context.moveTo(x, canvas.height - 2 * size);
      context.lineTo(x - size, canvas.height);
      context.lineTo(x + size, canvas.height);
      context.fill();
    }
  }

  clear(x, width, colour) {
    const { context, canvas } = this;
    const left = Math.floor(x); // whole pixels: halves would leave shadows of what was there
    const right = Math.ceil(x + width);
    context.fillStyle = colour;
    context.fillRect(left, 0, right - left, canvas.height);
    const over = right - canvas.width;
    if (over > 0) context.fillRect(0, 0, over, canvas.height);
  }
}
