// One task's story: what happened to it when, where it ran, what it used, why it failed, what it wrote.

import { byId, copy, make, setState, stateMark } from "./dom.js";
import * as format from "./format.js";
import { taskKey } from "./model.js";

export function tellStory(model, task) {
  const dialog = byId("story");
  const ended = model.moment(task.ended_ms);
  const ranFrom = ended - task.run_us / 1000;
  const accepted = ranFrom - task.queued_us / 1000;
  const worker = model.worker(task.worker, task.cluster);
  const mark = stateMark();
  setState(mark, task.state);
  const close = make("button", { type: "button", class: "close", "aria-label": "Close", onclick: () => dialog.close() }, "✕");
  const id = make("button", { type: "button", class: "link id", title: "Copy" }, task.id);
  id.addEventListener("click", () => copy(task.id, id));
  const step = (at, what, took) => make("li", {}, make("time", { datetime: new Date(at).toISOString() }, format.exact(at)), make("span", {}, what), make("span", { class: "faint" }, took));
  const steps = [step(accepted, "accepted", "")];
  if (task.worker !== "") {
    steps.push(step(ranFrom, `run on ${worker}`, `after ${format.duration(task.queued_us)} in queues`));
    steps.push(step(ended, task.state, `after ${format.duration(task.run_us)}`));
  } else {
    steps.push(step(ended, `${task.state} before it ran`, `after ${format.duration(task.queued_us)} in queues`));
  }
  const fact = (name, value) => [make("dt", {}, name), make("dd", {}, value)];
  const home = model.workers.get(`${task.cluster}/${task.worker}`);
  const facts = make(
    "dl",
    { class: "facts-list" },
    ...fact("Worker", worker || "none"),
    ...fact("Cluster", task.cluster || "none"),
    ...fact("Attempt", format.count(task.attempt)),
    ...fact("Asked for", task.capabilities || "no capabilities"),
    ...fact("Time limit", timeLimit(task, home)),
    ...fact("Memory limit", home?.task_memory_limit_bytes ? format.bytes(home.task_memory_limit_bytes) : "not known"),
    ...fact("Instance made in", format.duration(task.start_us)),
    ...fact("CPU time", task.cpu_us ? format.duration(task.cpu_us) : "not measured"),
    ...fact("Peak memory", task.peak_memory_bytes ? format.bytes(task.peak_memory_bytes) : "not measured"),
  );
  const children = [
    close,
    make("h2", { id: "story-title" }, mark, " ", task.call),
    make("p", { class: "faint" }, "Task ", id),
    make("ol", { class: "steps" }, ...steps),
    facts,
  ];
  if (task.error) children.push(make("h3", {}, "Error"), make("pre", {}, task.error));
  const { trace } = model.failures.find((failure) => taskKey(failure) === taskKey(task)) ?? task;
  if (trace) children.push(make("h3", {}, "Where"), make("pre", {}, trace));
  const lines = model.logs.filter((line) => line.task === task.id);
  if (lines.length > 0) {
    const text = lines.map((line) => `${format.clock(model.moment(line.at_ms))} ${line.source}: ${line.text}`).join("\n");
    children.push(make("h3", {}, `What it wrote (${format.plural(lines.length, "line")})`), make("pre", {}, text));
  }
  dialog.replaceChildren(...children);
  if (!dialog.open) dialog.showModal();
}

// The shorter of the call's own and its cluster's, as far as they are known.
function timeLimit(task, home) {
  const own = task.timeout_ms ?? 0;
  const clusters = home?.task_timeout_ms ?? 0;
  if (own === 0 && clusters === 0) return home ? "none" : "not known";
  if (own !== 0 && (clusters === 0 || own <= clusters)) return `${format.duration(own * 1000)}, by the call`;
  return `${format.duration(clusters * 1000)}, by its cluster`;
}
