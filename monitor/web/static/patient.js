// One patient's page: leads, the latest anomalous beat, losses, families, alerts, actions.

import { Trace } from "./trace.js";
import { MARKS, TRACE_COLOUR, setText } from "./ward.js";

const LEAD_SECONDS = 10;
const AXIS = { stroke: "#aab6c0", grid: { stroke: "#26313b", width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
const WORDS = { "": "", normal: "normal", always: "always alerts" };

function byId(id) {
  return document.getElementById(id);
}

function made(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function milliseconds(value) {
  return value === null || value === undefined ? "--" : String(Math.round(value));
}

// A loss or score in few characters, as in the terminal.
function short(value) {
  if (Math.abs(value) < 1000) return value.toFixed(1);
  return Math.abs(value) < 1e5 ? value.toFixed(0) : value.toExponential(0).replace("e+", "e");
}

// Powers of ten for a logarithmic axis: at most five, so that labels have room.
function decades(_plot, _axis, least, most) {
  const first = Math.ceil(Math.log10(least)), last = Math.floor(Math.log10(most)), step = Math.max(1, Math.ceil((last - first) / 4));
  const found = [];
  for (let power = first; power <= last; power += step) found.push(10 ** power);
  return found;
}

export class PatientPage {
  constructor(acts) {
    this.acts = acts;
    this.section = byId("patient");
    this.id = null;
    this.traces = [];
    this.plots = {};
    acts.onChange = () => this.buttons();
    byId("acts").addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) this.do(button.dataset.act);
    });
    window.addEventListener("resize", () => this.resize());
  }

  open(told) {
    if (this.id === told.id) return;
    this.id = told.id;
    this.told = null;
    this.page = null;
    byId("leads").replaceChildren();
    this.traces = [];
    for (const plot of Object.values(this.plots)) plot.destroy();
    this.plots = {};
    for (const id of ["families", "rows", "figures", "latest", "losses"]) byId(id).replaceChildren();
    setText(byId("latest-said"), "none so far");
    setText(byId("losses-said"), "");
    setText(byId("answer"), "");
    this.section.hidden = false;
    this.take(told);
    byId("patient-name").scrollIntoView({ block: "nearest" });
  }

  close() {
    this.id = null;
    this.section.hidden = true;
  }

  take(told) {
    if (told.id !== this.id) return;
    this.told = told;
    const record = told.record && told.record !== told.name ? `  record ${told.record}` : "";
    setText(byId("patient-name"), `${told.name}${record}`);
    const said = byId("patient-said");
    setText(said, [...told.alarms, `${told.said}; ${told.quality}`].join("\n"));
    said.className = `said ${told.rank}`;
    said.dataset.mark = MARKS[told.rank] || "";
    this.rate();
    this.leads(told.leads);
    this.buttons();
  }

  age(isOld) {
    this.isOld = isOld;
    if (this.told) this.rate();
  }

  rate() {
    setText(byId("patient-bpm"), this.isOld ? "--" : this.told.heart_rate);
  }

  leads(names) {
    if (this.traces.length === names.length) return;
    const list = byId("leads");
    list.replaceChildren();
    this.traces = names.map((name) => {
      const box = made("div", "lead");
      const canvas = made("canvas");
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `running signal of lead ${name}`);
      const label = made("span", "", name);
      const scale = made("span", "scale");
      box.append(canvas, label, scale);
      list.append(box);
      const trace = new Trace(canvas, LEAD_SECONDS, TRACE_COLOUR);
      trace.label = label;
      trace.scale = scale;
      trace.name = name;
      return trace;
    });
  }

  signal(chunk) {
    if (chunk.patient === this.id) this.traces[chunk.lead]?.take(chunk);
  }

  draw(now) {
    for (const trace of this.traces) {
      trace.draw(now);
      const silent = trace.arrived ? Math.floor((now - trace.arrived) / 1000) : 0;
      const span = trace.high > trace.low ? `${trace.high - trace.low} mV high, ${LEAD_SECONDS} s wide` : "no signal yet";
      setText(trace.scale, silent > 3 && this.told?.rank !== "ended" ? `no signal for ${silent} s` : span);
    }
  }

  resize() {
    for (const trace of this.traces) trace.resize();
    for (const plot of Object.values(this.plots)) plot.setSize({ width: this.width(plot.root.parentElement), height: 170 });
  }

  width(box) {
    return Math.max(200, box.clientWidth);
  }

  takePage(page) {
    if (page.id !== this.id) return;
    this.page = page;
    this.latest(page.latest);
    this.losses(page);
    this.families(page);
    this.rows(page.rows);
    const figures = byId("figures");
    figures.replaceChildren(...Object.entries(page.figures).flatMap(([name, value]) => [made("dt", "", name), made("dd", "", value)]));
    for (const trace of this.traces) {
      const out = page.left_out.includes(trace.name);
      setText(trace.label, out ? `${trace.name} (left out)` : trace.name);
    }
    if (this.traces.length) {
      this.traces[0].marks = page.beats.filter((beat) => beat.state === "anomalous").map((beat) => beat.time_s).slice(-40);
      if (this.traces[0].fs) this.traces[0].drawMarks();
    }
    this.buttons();
  }

  plot(name, options, data) {
    const box = byId(name);
    if (!this.plots[name]) {
      this.plots[name] = new uPlot({ width: this.width(box), height: 170, legend: { show: false }, cursor: { show: false }, ...options }, data, box);
    } else this.plots[name].setData(data);
  }

  latest(latest) {
    if (!latest) return;
    const shares = Object.entries(latest.shares).map(([name, share]) => `${name} ${Math.round(100 * share)} %`).join(", ");
    const why = latest.why.length ? ` ${latest.why.join(", ")};` : "";
    setText(byId("latest-said"), `${latest.time}, lead ${latest.lead}:${why} loss ${short(latest.loss)} of ${short(latest.threshold)} (${latest.score === null ? "x" : "score "}${short(latest.ratio)}); RR ${milliseconds(latest.rr_before_ms)}/${milliseconds(latest.rr_after_ms)} ms${shares ? `; of the loss ${shares}` : ""}`);
    const x = latest.beat.map((_, i) => i);
    this.plot("latest", {
      scales: { x: { time: false } },
      axes: [{ ...AXIS, size: 28 }, { ...AXIS, size: 44 }],
      series: [{}, { stroke: "#ff5a4f", width: 2 }, { stroke: "#56b4e9", width: 2, dash: [6, 4] }],
    }, [x, latest.beat, latest.reconstruction]);
  }

  losses(page) {
    setText(byId("losses-title"), { "loss": "Loss a beat", "loss over threshold": "Loss over threshold, a beat", "score": "Score a beat" }[page.drawn]);
    const withheld = page.beats.filter((beat) => beat.state === "withheld").length;
    setText(byId("losses-said"), `${page.beats.length} latest ${page.beats.length === 1 ? "beat" : "beats"}${withheld ? `, ${withheld} without a verdict` : ""}`);
    if (!page.beats.length) return;
    const x = page.beats.map((beat) => beat.time_s);
    const of = (state) => page.beats.map((beat) => (beat.state === state ? beat.value : null));
    const doubted = page.beats.map((beat) => (beat.state === "withheld" || beat.state === "learning" ? beat.value : null));
    const threshold = page.beats.map(() => page.threshold);
    const points = (colour, size) => ({ paths: () => null, points: { show: true, size, stroke: colour, fill: colour } });
    this.plot("losses", {
      scales: { x: { time: false }, y: { distr: 3, range: (_, least, most) => [(least ?? 1) / 2, (most ?? 1) * 2] } }, // a score of 2 and one of 200 are told apart
      axes: [{ ...AXIS, size: 28, values: (_, ticks) => ticks.map((tick) => `${tick} s`) }, { ...AXIS, size: 52, splits: decades, filter: (_, splits) => splits }],
      series: [{}, points(TRACE_COLOUR, 5), points("#aab6c0", 5), points("#ff5a4f", 9), { stroke: "#f0b429", width: 2, dash: [6, 4], points: { show: false } }],
    }, [x, of("good"), doubted, of("anomalous"), threshold]);
  }

  families(page) {
    const list = byId("families");
    const text = JSON.stringify([page.families, page.latest?.family, this.acts.may]);
    if (list.dataset.told === text) return;
    list.dataset.told = text;
    if (!page.families.length) {
      list.replaceChildren(made("li", "", "none yet; only a learnt patient has them"));
      return;
    }
    list.replaceChildren(...page.families.map((family) => this.family(family, page.latest?.family === family.number)));
  }

  family(family, isLatest) {
    const item = made("li", isLatest ? "of-latest" : "");
    const canvas = made("canvas");
    canvas.width = 256;
    canvas.height = 102;
    const context = canvas.getContext("2d");
    context.strokeStyle = family.word === "normal" ? TRACE_COLOUR : "#ff5a4f";
    context.lineWidth = 3;
    context.beginPath();
    family.shape.forEach((value, i) => {
      const x = (256 * i) / Math.max(1, family.shape.length - 1);
      context.lineTo(x, 51 - value * 0.45);
    });
    context.stroke();
    const word = WORDS[family.word] ? `, ${WORDS[family.word]}` : "";
    item.append(canvas, made("p", "", `${isLatest ? "▶ " : ""}#${family.number}: ${family.beats}x, ${family.per_minute}/min${word}`));
    for (const [value, label] of [["normal", "Normal"], ["always", "Always alert"]]) {
      const isSaid = family.word === value;
      const button = made("button", "", isSaid ? "Take back" : label);
      button.type = "button";
      button.disabled = !this.acts.may;
      button.addEventListener("click", () => this.mark(family.number, isSaid ? "" : value));
      item.append(button, " ");
    }
    return item;
  }

  rows(rows) {
    const list = byId("rows");
    const text = JSON.stringify(rows);
    if (list.dataset.told === text) return;
    list.dataset.told = text;
    if (!rows.length) {
      list.replaceChildren(made("li", "", "none so far"));
      return;
    }
    list.replaceChildren(...rows.map((row) => {
      const item = made("li", row.is_open ? "open" : "");
      item.append(made("span", "", row.time), made("span", "", row.is_open ? row.state.toUpperCase() : row.state), made("span", `p-${row.priority}`, row.priority), made("span", "what", row.what));
      return item;
    }));
  }

  buttons() {
    const { may } = this.acts;
    for (const button of document.querySelectorAll("#acts button")) {
      const isIdle = button.dataset.act === "ack" && !this.told?.asks;
      button.disabled = !may || isIdle;
      button.title = may ? (isIdle ? "nothing asks to be acknowledged" : "") : "read-only: give the token first (button on top)";
    }
    if (this.page) this.families(this.page);
  }

  async mark(family, word) {
    const name = this.told.name;
    const what = { normal: "normal: beats of its shape begin no alert", always: "one that always raises an alert" }[word];
    if (word && !(await this.acts.confirmed(`Family ${family} of ${name} is ${what}?`))) return;
    this.acts.act({ patient: this.told.key, what: "mark", family, word });
  }

  async do(what) {
    if (!this.told || !this.acts.may) return;
    const { key, name } = this.told;
    if (what === "ack") this.acts.act({ patient: key, what });
    if (what === "fewer") this.acts.act({ patient: key, what: "threshold", factor: 1.05 });
    if (what === "more") this.acts.act({ patient: key, what: "threshold", factor: 1 / 1.05 });
    if (what === "relearn" && (await this.acts.confirmed(`Learn ${name} anew? There are no verdicts meanwhile.`))) {
      this.acts.act({ patient: key, what });
    }
  }

  key(key) {
    const latest = this.page?.latest?.family;
    const known = this.page?.families.find((one) => one.number === latest);
    if (key === "a") this.do("ack");
    else if (key === "+") this.do("fewer");
    else if (key === "-") this.do("more");
    else if (key === "r") this.do("relearn");
    else if (key === "n" && known && this.acts.may) this.mark(latest, known.word === "normal" ? "" : "normal");
    else if (key === "x" && known && this.acts.may) this.mark(latest, known.word === "always" ? "" : "always");
  }
}
