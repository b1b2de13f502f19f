// Which worker ran which of the listed tasks when: a picture, and a file that Perfetto opens.

import { fit } from "./chart.js";
import { make, save, setHidden, setText } from "./dom.js";
import * as format from "./format.js";
import { names } from "./table.js";
import { shortTask } from "./tables.js";

const LANES_MAX = 40;
const LANE = 20;
const LEFT = 150;
const BOTTOM = 22;

const began = (task) => task.ended_ms - task.run_us / 1000;

export class Timeline {
  constructor(model, tell) {
    this.model = model;
    this.tell = tell;
    this.bars = [];
    this.note = make("span", { class: "note" });
    const button = make("button", { type: "button", title: "Save the listed tasks for Perfetto or chrome:tracing", onclick: () => saveTrace(model) }, "Trace");
    this.read = make("span", { class: "read" });
    this.canvas = make("canvas", { role: "img", "aria-label": "Timeline of the listed tasks by worker; the list of tasks has the same as text" });
    this.frame = make("div", { class: "canvas lanes" }, this.canvas);
    this.empty = make("div", { class: "empty" }, make("p", {}, "No task has ended yet: each will be a bar in the lane of its worker."));
    this.element = make("section", { class: "list", "aria-label": "Timeline" }, make("div", { class: "tools" }, this.note, this.read, button), this.frame, this.empty);
    this.canvas.addEventListener("pointermove", (event) => {
      const bar = this.at(event);
      this.canvas.classList.toggle("over", Boolean(bar));
      setText(this.read, bar ? `${bar.call} ${bar.state}, ${format.duration(bar.run_us)}, ${shortTask(bar)}` : "");
    });
    this.canvas.addEventListener("click", (event) => {
      const bar = this.at(event);
      if (bar) this.tell(bar);
    });
    new ResizeObserver(() => this.render()).observe(this.frame);
  }

  at({ offsetX, offsetY }) {
    const hit = this.bars.findLast(({ x, y, w }) => offsetX >= x - 1 && offsetX <= x + w + 1 && offsetY >= y && offsetY <= y + LANE - 4);
    return hit?.task;
  }

  render() {
    const tasks = this.model.recent.filter((task) => task.worker !== "");
    setHidden(this.empty, tasks.length > 0);
    setHidden(this.frame, tasks.length === 0);
    if (tasks.length === 0 || this.frame.clientWidth === 0) return;
    const lanes = new Map();
    for (const task of tasks) {
      const key = `${task.cluster}/${task.worker}`;
      if (!lanes.has(key)) lanes.set(key, []);
      lanes.get(key).push(task);
    }
    const shown = [...lanes].sort(([one], [other]) => names.compare(one, other)).slice(0, LANES_MAX);
    // What is drawn is said as well.
    const lanesSaid = shown.map(([, lane]) => laneName(this.model, lane)).join(", ");
    const label = `Timeline of the listed tasks by worker, from top to bottom ${lanesSaid}; the list of tasks has the same as text`;
    if (this.canvas.getAttribute("aria-label") !== label) this.canvas.setAttribute("aria-label", label);
    this.frame.style.height = `${shown.length * LANE + BOTTOM}px`;
    const { width, height, context } = fit(this.canvas, this.frame);
    const from = Math.min(...tasks.map(began));
    const to = Math.max(...tasks.map((task) => task.ended_ms));
    const scale = (width - LEFT - 12) / Math.max(to - from, 1);
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    context.font = "12px system-ui, sans-serif";
    context.textBaseline = "middle";
    context.textAlign = "left";
    this.bars = [];
    shown.forEach(([, lane], index) => {
      const y = index * LANE;
      context.fillStyle = colour("--grid");
      context.fillRect(LEFT, y + LANE - 1, width - LEFT, 1);
      context.fillStyle = colour("--text");
      context.fillText(clip(context, laneName(this.model, lane), LEFT - 12), 4, y + LANE / 2);
      for (const task of lane) {
        const x = LEFT + (began(task) - from) * scale;
        const w = Math.max((task.run_us / 1000) * scale, 1.5);
        context.fillStyle = colour(`--state-${task.state}`) || colour("--faint");
        context.fillRect(x, y + 2, Math.max(w - 0.5, 1), LANE - 5);
        // Failed ones stand out by form as well.
        if (task.state !== "succeeded") context.fillRect(x - 1, y + LANE - 4, Math.max(w, 3) + 1, 3);
        this.bars.push({ x, y: y + 2, w, task });
      }
    });
    context.fillStyle = colour("--faint");
    const now = Date.now();
    for (const [part, align] of [[0, "left"], [0.5, "center"], [1, "right"]]) {
      context.textAlign = align;
      const at = this.model.moment(from + (to - from) * part);
      // Moments that a clock cannot tell apart are told by what lies between them.
      const isNear = part > 0 && to - from < 10_000;
      const told = isNear ? `+${format.duration((to - from) * part * 1000)}` : `${format.clock(at)} (${format.ago(now - at)})`;
      context.fillText(told, LEFT + (width - LEFT - 12) * part, height - BOTTOM / 2);
    }
    const all = lanes.size > LANES_MAX ? `${LANES_MAX} of ${format.plural(lanes.size, "worker")}` : format.plural(lanes.size, "worker");
    const span = this.model.recentSpan();
    const some = span > this.model.recent.length ? `; in that time ${format.count(span)} ended, not all are listed` : "";
    setText(this.note, `${format.plural(tasks.length, "task")} on ${all}, ${format.duration((to - from) * 1000)}${some}`);
  }
}

function laneName(model, [task]) {
  return model.worker(task.worker, task.cluster);
}

function clip(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  let kept = text;
  while (kept.length > 1 && context.measureText(`${kept}…`).width > width) kept = kept.slice(0, -1);
  return `${kept}…`;
}

export function saveTrace(model) {
  const lanes = new Map();
  const clusters = new Map();
  const events = [];
  for (const task of model.recent.filter((task) => task.worker !== "")) {
    if (!clusters.has(task.cluster)) {
      clusters.set(task.cluster, clusters.size + 1);
      events.push({ ph: "M", name: "process_name", pid: clusters.size, args: { name: `cluster ${task.cluster}` } });
    }
    const pid = clusters.get(task.cluster);
    const key = `${task.cluster}/${task.worker}`;
    if (!lanes.has(key)) {
      lanes.set(key, lanes.size + 1);
      events.push({ ph: "M", name: "thread_name", pid, tid: lanes.size, args: { name: task.worker } });
    }
    const { id, number, state, attempt, queued_us, start_us, cpu_us, peak_memory_bytes, error } = task;
    events.push({
      ph: "X",
      name: task.call,
      cat: state,
      pid,
      tid: lanes.get(key),
      ts: Math.round(began(task) * 1000),
      dur: task.run_us,
      args: { id, number, state, attempt, queued_us, start_us, cpu_us, peak_memory_bytes, error },
    });
  }
  save("scaler-trace.json", "application/json", JSON.stringify({ traceEvents: events, displayTimeUnit: "ms" }));
}
