// Joins the line to the server, the ward, the open patient and the keys.

import { Acts } from "./act.js";
import { Link } from "./link.js";
import { PatientPage } from "./patient.js";
import { chunks } from "./trace.js";
import { Ward, setText } from "./ward.js";

const FRAME_MS = 90;
const byId = (id) => document.getElementById(id);
const acts = new Acts();
const patient = new PatientPage(acts);
const ward = new Ward(byId("ward"), () => looks());
const link = new Link(takeText, takeSignal, () => looks(true));
let lookedAt = "";

function wantedKey() {
  const found = /^#patient=(.*)$/.exec(location.hash);
  try {
    return found ? decodeURIComponent(found[1]) : null;
  } catch {
    return null;
  }
}

function route() {
  const key = wantedKey();
  const told = key === null ? null : ward.byKey(key);
  const wasOpen = patient.id !== null;
  if (told) patient.open(told);
  else patient.close();
  byId("ward").hidden = Boolean(told);
  if (wasOpen && !told) byId("ward").focus({ preventScroll: true });
  looks();
}

function looks(again = false) {
  const said = { type: "looks", tiles: patient.id === null ? ward.looks() : [], page: patient.id };
  const text = JSON.stringify(said);
  if (text === lookedAt && !again) return;
  lookedAt = text;
  link.say(said);
}

function takeText(message) {
  if (message.type === "page") {
    patient.takePage(message);
    return;
  }
  link.monitor = message;
  for (const told of message.tiles || []) {
    ward.take(told);
    patient.take(told);
  }
  if (message.order) ward.takeOrder(message.order);
  byId("none").hidden = ward.tiles.size > 0;
  if (patient.id === null && wantedKey() !== null) route();
  head(message);
}

function head(message) {
  const counts = Object.entries(message.counts).map(([name, n]) => `${n} ${name}`);
  setText(byId("counts"), ward.tiles.size ? `${ward.tiles.size} patient${ward.tiles.size > 1 ? "s" : ""}: ${counts.join(", ")}` : "waiting for the monitor");
  const speed = message.speed === null ? "" : `speed ${message.speed}x; `;
  const signal = message.signal_s === undefined || message.signal_s === null ? `no signal yet${message.signal_hint ? ` (${message.signal_hint})` : ""}` : message.signal_s > 3 ? `no signal for ${message.signal_s} s` : "signal runs";
  setText(byId("monitor"), `${speed}${signal}; ${message.stages.join("; ") || "all stages run"}`);
  const faults = [...message.faults, ...(message.rows || []).map((row) => row.what)];
  const list = byId("faults");
  if (list.dataset.told !== faults.join("\n")) {
    list.dataset.told = faults.join("\n");
    list.replaceChildren(...faults.map((text) => {
      const item = document.createElement("li");
      item.textContent = text;
      return item;
    }));
  }
}

function takeSignal(buffer) {
  for (const chunk of chunks(buffer)) {
    if (patient.id === null) ward.signal(chunk);
    else patient.signal(chunk);
  }
}

function age(now) {
  const found = link.age(now);
  byId("stale").hidden = found === null;
  document.body.classList.toggle("old", found !== null);
  if (found) {
    setText(byId("stale-seconds"), `${found.seconds} s`);
    setText(byId("stale-text"), found.text);
  }
  document.title = found ? `OLD ${found.seconds} s - ecg-monitor` : "ecg-monitor";
  ward.age(found !== null, now);
  patient.age(found !== null);
}

byId("small-button").addEventListener("click", () => {
  const isSmall = document.body.classList.toggle("small");
  byId("small-button").setAttribute("aria-pressed", String(isSmall));
  ward.resize();
});

let dueMs = 0;
function frame(now) {
  requestAnimationFrame(frame);
  if (now < dueMs) return;
  dueMs = now + FRAME_MS;
  if (patient.id === null) ward.draw(now);
  else patient.draw(now);
}

// For who measures: how many seconds of signal came that are not drawn yet, at most.
window.ecgMonitor = {
  behind: () => {
    const traces = patient.id === null ? [...ward.tiles.values()].map((one) => one.trace) : patient.traces;
    const drawn = traces.filter((one) => one.fs);
    const behind = drawn.map((one) => (one.end - one.drawn) / one.fs);
    return { traces: drawn.length, behind_s: Math.max(0, ...behind), values: drawn.reduce((sum, one) => sum + one.total, 0) };
  },
};

setInterval(() => age(performance.now()), 250);
requestAnimationFrame(frame);
window.addEventListener("hashchange", route);
byId("query").addEventListener("input", (event) => ward.search(event.target.value));
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const isTyping = event.target.matches("input");
  if (event.key === "Escape") {
    if (isTyping) {
      event.target.value = "";
      ward.search("");
      event.target.blur();
    } else if (patient.id !== null) location.hash = "";
  } else if (isTyping) {
    if (event.key === "Enter") ward.focusFirst();
  } else if (event.key === "/") {
    event.preventDefault();
    byId("query").focus();
  } else if (patient.id !== null) patient.key(event.key);
  else if (event.key.startsWith("Arrow") && !byId("ward").contains(document.activeElement)) ward.focusFirst();
});
