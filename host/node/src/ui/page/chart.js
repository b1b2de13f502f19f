// Throughput and queue over the last minutes: two small pictures over one time axis, drawn by hand.

import { make, setHidden, setText } from "./dom.js";
import * as format from "./format.js";

const PAD = { left: 52, right: 10, top: 6, bottom: 18 };
const SHOWN_S = 300;

export class Chart {
  constructor(model, parent, legend) {
    this.model = model;
    this.hover = null;
    const key = (name, variable) => {
      const swatch = make("i", { class: "swatch", "aria-hidden": "true" });
      swatch.style.background = `var(${variable})`;
      return make("span", {}, swatch, name);
    };
    this.read = make("span", { class: "read" });
    this.aborted = key("aborted", "--state-aborted");
    legend.append(key("ended", "--state-succeeded"), key("failed", "--state-failed"), this.aborted, key("waiting", "--state-waiting"), key("assigned", "--state-assigned"), this.read);
    this.canvas = make("canvas", { role: "img" });
    this.frame = make("div", { class: "canvas" }, this.canvas);
    parent.append(this.frame);
    this.canvas.addEventListener("pointermove", (event) => {
      this.hover = event.offsetX;
      this.render();
    });
    this.canvas.addEventListener("pointerleave", () => {
      this.hover = null;
      this.render();
    });
    new ResizeObserver(() => this.render()).observe(this.frame);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.render());
  }

  render() {
    const { width, height, context } = fit(this.canvas, this.frame);
    if (width < 40) return;
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    context.font = "11px system-ui, sans-serif";
    const samples = this.model.history.slice(-SHOWN_S);
    setHidden(this.aborted, !samples.some((sample) => sample.aborted));
    const end = samples.at(-1)?.at_ms ?? 0;
    const plotWidth = width - PAD.left - PAD.right;
    const x = (sample) => PAD.left + plotWidth * (1 - (end - sample.at_ms) / (SHOWN_S * 1000));
    const half = (height - PAD.top - PAD.bottom - 14) / 2;
    const parts = [
      { top: PAD.top, unit: "tasks/s", series: [["finished", "--state-succeeded", true], ["failed", "--state-failed", true], ["aborted", "--state-aborted", true]] },
      { top: PAD.top + half + 14, unit: "tasks", series: [["assigned", "--state-assigned", false], ["waiting", "--state-waiting", false]] },
    ];
    for (const part of parts) {
      const most = nice(samples.reduce((most, sample) => Math.max(most, ...part.series.map(([key]) => sample[key])), 1));
      const y = (value) => part.top + half * (1 - value / most);
      context.textAlign = "right";
      context.textBaseline = "middle";
      context.strokeStyle = colour("--grid");
      context.lineWidth = 1;
      for (const value of [0, most / 2, most]) {
        const line = Math.round(y(value)) + 0.5;
        context.beginPath();
        context.moveTo(PAD.left, line);
        context.lineTo(width - PAD.right, line);
        context.stroke();
        context.fillStyle = colour("--faint");
        if (value !== most / 2) context.fillText(compact(value), PAD.left - 6, value === 0 ? y(value) - 4 : y(value) + 4);
      }
      context.fillText(part.unit, PAD.left - 6, y(most / 2));
      for (const [key, variable, filled] of part.series) {
        if (samples.length === 0 || (["failed", "aborted"].includes(key) && !samples.some((sample) => sample[key]))) continue;
        context.beginPath();
        samples.forEach((sample, index) => (index ? context.lineTo(x(sample), y(sample[key])) : context.moveTo(x(sample), y(sample[key]))));
        context.strokeStyle = colour(variable);
        context.lineWidth = 1.6;
        context.lineJoin = "round";
        context.stroke();
        if (filled) {
          context.lineTo(x(samples.at(-1)), y(0));
          context.lineTo(x(samples[0]), y(0));
          context.closePath();
          context.globalAlpha = 0.16;
          context.fillStyle = colour(variable);
          context.fill();
          context.globalAlpha = 1;
        }
      }
    }
    context.fillStyle = colour("--faint");
    context.textBaseline = "alphabetic";
    for (const minutes of plotWidth < 360 ? [5, 3, 1, 0] : [5, 4, 3, 2, 1, 0]) {
      context.textAlign = minutes === 5 ? "left" : minutes === 0 ? "right" : "center";
      const at = PAD.left + plotWidth * (1 - minutes / 5);
      context.fillText(minutes ? `−${minutes} min` : "now", at, height - 4);
    }
    this.describe(samples, x, context, colour, height, width);
  }

  // The values under the pointer, else the newest; read out as well.
  describe(samples, x, context, colour, height, width) {
    if (samples.length === 0) {
      context.textAlign = "center";
      context.fillStyle = colour("--faint");
      context.fillText("One point a second, from now on", (width + PAD.left) / 2, height / 2 - 6);
      setText(this.read, "");
      this.canvas.setAttribute("aria-label", "No history yet");
      return;
    }
    let sample = samples.at(-1);
    if (this.hover !== null) {
      sample = samples.reduce((best, other) => (Math.abs(x(other) - this.hover) < Math.abs(x(best) - this.hover) ? other : best));
      context.strokeStyle = colour("--faint");
      context.beginPath();
      context.moveTo(Math.round(x(sample)) + 0.5, PAD.top);
      context.lineTo(Math.round(x(sample)) + 0.5, height - PAD.bottom);
      context.stroke();
    }
    const bad = ["failed", "aborted"].filter((key) => sample[key]).map((key) => `${format.count(sample[key])} ${key}`);
    const failed = bad.length ? ` (${bad.join(", ")})` : "";
    const text = `${format.clock(this.model.moment(sample.at_ms))}: ${format.count(sample.finished)} task${sample.finished === 1 ? "" : "s"}/s${failed}, ${format.count(sample.waiting)} waiting, ${format.count(sample.assigned)} assigned`;
    setText(this.read, text);
    this.canvas.setAttribute("aria-label", `Throughput and queue over the last minutes. ${text}`);
  }
}

// Makes a canvas as large as its frame, sharp on every screen.
export function fit(canvas, frame) {
  const ratio = devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = frame;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { width, height, context };
}

function nice(most) {
  const power = 10 ** Math.floor(Math.log10(most));
  const step = [1, 2, 5, 10].find((step) => step * power >= most);
  return Math.max(step * power, 2);
}

function compact(value) {
  if (value >= 1e6) return `${value / 1e6} M`;
  return value >= 1e4 ? `${value / 1e3} k` : format.count(value);
}
