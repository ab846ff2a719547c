// The tiles of all patients, worst first. Text goes in as text, never as markup.

import { Trace } from "./trace.js";

export const TRACE_COLOUR = "#4fd1a5";
export const MARKS = { high: "!!! HIGH", medium: "!! MEDIUM", low: "! LOW", technical: "? TECHNICAL", calm: "OK", learning: "LEARNING", ended: "ENDED" };
const TILE_SECONDS = 6;
const HOLD_MS = 5000; // the order stays so long after a person moved in it
const STILL_S = 3; // without signal
const MOST = 256;

export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export class Ward {
  constructor(list, onLooks) {
    this.list = list;
    this.onLooks = onLooks;
    this.tiles = new Map(); // by number
    this.order = [];
    this.visible = new Set();
    this.query = "";
    this.heldUntil = 0;
    this.sorted = true;
    this.observer = new IntersectionObserver((entries) => this.seen(entries), { rootMargin: "200px" });
    const hold = () => { this.heldUntil = performance.now() + HOLD_MS; };
    for (const event of ["pointermove", "keydown", "focusin"]) list.addEventListener(event, hold);
    list.addEventListener("keydown", (event) => this.move(event));
    window.addEventListener("resize", () => this.resize());
  }

  resize() {
    for (const one of this.tiles.values()) one.trace.resize();
  }

  make(told) {
    const item = document.createElement("li");
    const link = document.createElement("a");
    const [top, name, rate, said, quality] = ["div", "span", "span", "div", "div"].map((tag) => document.createElement(tag));
    const canvas = document.createElement("canvas");
    const bpm = document.createElement("span");
    const unit = document.createElement("small");
    unit.textContent = " /min";
    rate.append(bpm, unit);
    top.append(name, rate);
    link.append(top, canvas, said, quality);
    item.append(link);
    top.className = "top";
    name.className = "name";
    rate.className = "rate";
    said.className = "said";
    quality.className = "quality";
    canvas.setAttribute("aria-hidden", "true");
    link.href = `#patient=${encodeURIComponent(told.key)}`;
    item.dataset.id = String(told.id);
    const one = { item, link, name, bpm, said, quality, canvas, told };
    this.list.append(item);
    one.trace = new Trace(canvas, TILE_SECONDS, TRACE_COLOUR);
    this.tiles.set(told.id, one);
    this.observer.observe(item);
    this.sorted = false;
    return one;
  }

  take(told) {
    const one = this.tiles.get(told.id) || this.make(told);
    one.told = told;
    setText(one.name, told.name);
    const words = [...told.alarms, told.said].join("; ");
    setText(one.said, words);
    one.said.title = words;
    if (one.rank !== told.rank) {
      one.rank = told.rank;
      one.link.className = `tile ${told.rank}`;
      one.said.dataset.mark = MARKS[told.rank] || "";
    }
    this.still(one, performance.now());
    this.rate(one);
    this.filter(one);
  }

  rate(one) {
    setText(one.bpm, this.isOld ? "--" : one.told.heart_rate);
    one.link.setAttribute("aria-label", `${one.told.name}, heart rate ${this.isOld ? "not known" : one.told.heart_rate}, ${MARKS[one.told.rank]}: ${one.said.textContent}`);
  }

  age(isOld, now) {
    for (const id of this.visible) this.still(this.tiles.get(id), now);
    if (this.isOld === isOld) return;
    this.isOld = isOld;
    for (const one of this.tiles.values()) this.rate(one);
  }

  // A signal that came and comes no longer stands still: it is dimmed, and said.
  still(one, now) {
    if (!one) return;
    const seconds = one.trace.arrived && one.told.rank !== "ended" ? Math.floor((now - one.trace.arrived) / 1000) : 0;
    const isStill = seconds > STILL_S;
    one.link.classList.toggle("still", isStill);
    const { quality, position, n_alerts } = one.told;
    setText(one.quality, `${isStill ? `NO SIGNAL FOR ${seconds} s` : quality} · ${position} · ${n_alerts} ${n_alerts === "1" ? "alert" : "alerts"}`);
  }

  takeOrder(order) {
    this.order = order;
    this.sorted = false;
    const there = new Set(order);
    for (const [id, one] of this.tiles) {
      if (there.has(id)) continue;
      this.observer.unobserve(one.item);
      one.item.remove();
      this.tiles.delete(id);
      this.visible.delete(id);
    }
  }

  sort(now) {
    if (this.sorted || now < this.heldUntil) return;
    this.sorted = true;
    let place = this.list.firstElementChild;
    for (const id of this.order) {
      const one = this.tiles.get(id);
      if (!one) continue;
      if (place === one.item) place = place.nextElementSibling;
      else this.list.insertBefore(one.item, place);
    }
  }

  search(text) {
    this.query = text.trim().toLowerCase();
    for (const one of this.tiles.values()) this.filter(one);
  }

  filter(one) {
    const isIn = !this.query || one.told.name.toLowerCase().includes(this.query) || one.told.record.toLowerCase().includes(this.query);
    if (one.item.hidden === isIn) one.item.hidden = !isIn;
  }

  seen(entries) {
    for (const entry of entries) {
      const id = Number(entry.target.dataset.id);
      if (entry.isIntersecting) {
        this.visible.add(id);
        this.tiles.get(id)?.trace.resize();
      } else this.visible.delete(id);
    }
    this.onLooks();
  }

  looks() {
    return [...this.visible].slice(0, MOST);
  }

  signal(chunk) {
    if (chunk.lead === 0) this.tiles.get(chunk.patient)?.trace.take(chunk);
  }

  draw(now) {
    this.sort(now);
    for (const id of this.visible) this.tiles.get(id)?.trace.draw(now);
  }

  byKey(key) {
    for (const one of this.tiles.values()) if (one.told.key === key) return one.told;
    return null;
  }

  move(event) {
    const shown = [...this.list.children].filter((item) => !item.hidden);
    const at = shown.findIndex((item) => item.contains(document.activeElement));
    const columns = getComputedStyle(this.list).gridTemplateColumns.split(" ").length;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -at, End: shown.length - 1 - at };
    if (!(event.key in steps) || at < 0) return;
    event.preventDefault();
    shown[Math.min(Math.max(at + steps[event.key], 0), shown.length - 1)].querySelector("a").focus();
  }

  focusFirst() {
    this.list.querySelector("li:not([hidden]) a")?.focus();
  }
}
