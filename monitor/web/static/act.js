// What a person has done: asked of the server with the token, which stays in this tab.

import { setText } from "./ward.js";

const TOKEN = "ecg-monitor-token";
const BY = "ecg-monitor-by";

export class Acts {
  constructor() {
    this.button = document.getElementById("token-button");
    this.dialog = document.getElementById("token-dialog");
    this.token = document.getElementById("token");
    this.by = document.getElementById("by");
    this.said = document.getElementById("token-answer");
    this.answer = document.getElementById("answer");
    this.may = false;
    this.onChange = () => {};
    this.button.addEventListener("click", () => this.ask());
    document.getElementById("token-cancel").addEventListener("click", () => this.dialog.close());
    this.dialog.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.enter();
    });
    if (sessionStorage.getItem(TOKEN)) this.check();
  }

  ask() {
    if (this.may) {
      sessionStorage.removeItem(TOKEN);
      this.set(false);
      return;
    }
    this.token.value = "";
    this.by.value = sessionStorage.getItem(BY) || "";
    setText(this.said, "");
    this.dialog.showModal();
    this.token.focus();
  }

  async enter() {
    sessionStorage.setItem(TOKEN, this.token.value.trim());
    sessionStorage.setItem(BY, this.by.value.trim());
    this.token.value = "";
    if (await this.check()) this.dialog.close();
    else sessionStorage.removeItem(TOKEN);
  }

  async check() {
    const { ok, text } = await this.fetched("/may-act", {});
    setText(this.said, ok ? "" : text);
    this.set(ok);
    return ok;
  }

  set(may) {
    this.may = may;
    const by = sessionStorage.getItem(BY);
    setText(this.button, may ? `May act${by ? `: ${by}` : ""} (end)` : "Read-only");
    this.onChange();
  }

  async fetched(path, options) {
    try {
      // A header of its own: no other site's page can send it, and it is in no address or log.
      const token = (sessionStorage.getItem(TOKEN) || "").replace(/[^\x20-\x7e]/g, "?");
      const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
      const reply = await fetch(path, { ...options, headers });
      const { text } = await reply.json();
      return { ok: reply.ok, text };
    } catch {
      return { ok: false, text: "no answer from this page's server; try again" };
    }
  }

  async act(action) {
    setText(this.answer, "asked…");
    const by = sessionStorage.getItem(BY) || "";
    const body = JSON.stringify({ by, ...action });
    const { ok, text } = await this.fetched("/act", { method: "POST", body });
    setText(this.answer, ok ? text : `not done: ${text}`);
  }

  confirmed(question) {
    const dialog = document.getElementById("confirm");
    setText(document.getElementById("confirm-text"), question);
    dialog.returnValue = "";
    dialog.showModal();
    return new Promise((resolve) => {
      dialog.addEventListener("close", () => resolve(dialog.returnValue === "ok"), { once: true });
    });
  }
}
