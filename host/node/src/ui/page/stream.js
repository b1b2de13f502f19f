// The stream of changes: opened when the page can be seen, closed when it cannot or is paused, and reopened by itself.

const RETRY_MS = 2000;
// The server says something at least every ten seconds; a connection that is silent for longer is dead.
const SILENCE_MS = 30_000;

export class Stream {
  constructor(onUpdate, onState) {
    this.onUpdate = onUpdate;
    this.onState = onState;
    this.source = null;
    this.paused = false;
    this.lostSinceMs = null;
    this.heardMs = Date.now();
    this.retry = 0;
    document.addEventListener("visibilitychange", () => this.adjust());
    addEventListener("pagehide", () => this.close());
    addEventListener("pageshow", () => this.adjust());
    setInterval(() => this.check(), 5000);
    this.adjust();
  }

  pause(paused) {
    this.paused = paused;
    this.adjust();
  }

  adjust() {
    if (document.hidden || this.paused) this.close();
    else if (!this.source) this.open();
    this.onState();
  }

  open() {
    clearTimeout(this.retry);
    this.heardMs = Date.now();
    const source = new EventSource("/api/events");
    this.source = source;
    source.addEventListener("message", (event) => {
      if (this.source !== source) return;
      this.heardMs = Date.now();
      this.lostSinceMs = null;
      this.onUpdate(JSON.parse(event.data));
    });
    source.addEventListener("error", () => {
      if (this.source === source) this.lost();
    });
  }

  // Not left to the browser: it gives up for good when the server refuses.
  lost() {
    this.close();
    this.lostSinceMs ??= Date.now();
    this.retry = setTimeout(() => this.adjust(), RETRY_MS);
    this.onState();
  }

  close() {
    clearTimeout(this.retry);
    this.source?.close();
    this.source = null;
  }

  check() {
    if (this.source && Date.now() - this.heardMs > SILENCE_MS) this.lost();
  }
}
