// The line to the server: connects, connects again, and knows how old what is shown is.

const AGAIN_MS = [250, 500, 1000, 2000, 3000];
const SILENT_MS = 3000; // without a word of the server; it speaks once a second

export class Link {
  constructor(onText, onSignal, onOpen) {
    this.onText = onText;
    this.onSignal = onSignal;
    this.onOpen = onOpen;
    this.tries = 0;
    this.heard = 0; // when the server spoke last
    this.began = performance.now();
    this.monitor = { silent_s: null, heard: false };
    this.connect();
  }

  connect() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/live`);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.tries = 0;
      this.onOpen();
    };
    socket.onmessage = (event) => {
      this.heard = performance.now();
      if (typeof event.data === "string") this.onText(JSON.parse(event.data));
      else this.onSignal(event.data);
    };
    socket.onclose = () => {
      if (this.socket !== socket) return;
      const wait = AGAIN_MS[Math.min(this.tries, AGAIN_MS.length - 1)];
      this.tries += 1;
      setTimeout(() => this.connect(), wait);
    };
    this.socket = socket;
  }

  say(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  // What is wrong with what is shown: seconds and words; null where all is well.
  age(now) {
    const since = now - (this.heard || this.began);
    if (since > SILENT_MS) {
      if (this.socket.readyState === WebSocket.OPEN && since > 10000) this.socket.close();
      const what = this.heard ? "what is shown is old" : "nothing is shown yet";
      return { seconds: Math.floor(since / 1000), text: `No word from this page's server: ${what}. Connecting again.` };
    }
    if (!this.monitor.heard && this.heard) {
      const seconds = Math.floor((now - this.began) / 1000);
      return seconds < 3 ? null : { seconds, text: this.monitor.refusal || "No monitor heard yet: nothing is shown." };
    }
    if (this.monitor.silent_s !== null && this.monitor.silent_s !== undefined) {
      const seconds = this.monitor.silent_s + Math.floor(since / 1000);
      return { seconds, text: this.monitor.refusal || "No word from the monitor: what is shown is old." };
    }
    return null;
  }
}
