// One task's story: what happened to it when, where it ran, what it used, why it failed, what it wrote.

import { byId, command, copy, make, setState, setText, stateMark } from "./dom.js";
import * as format from "./format.js";
import { isRunning, taskKey } from "./model.js";

// The running task whose story is open, and where its age stands.
let told = null;

export function tellStory(model, task) {
  const dialog = byId("story");
  told = null;
  if (isRunning(task)) {
    tellRunning(model, task, dialog);
    return;
  }
  const ended = model.moment(task.ended_ms);
  const ranFrom = ended - task.run_us / 1000;
  const accepted = ranFrom - task.queued_us / 1000;
  const worker = model.worker(task.worker, task.cluster);
  const steps = [step(accepted, "accepted", "")];
  if (task.worker !== "") {
    steps.push(step(ranFrom, `run on ${worker}`, `after ${format.duration(task.queued_us)} in queues`));
    steps.push(step(ended, task.state, `after ${format.duration(task.run_us)}`));
  } else {
    steps.push(step(ended, `${task.state} before it ran`, `after ${format.duration(task.queued_us)} in queues`));
  }
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
  const children = [...heading(task, dialog), make("ol", { class: "steps" }, ...steps), facts];
  if (task.error) children.push(make("h3", {}, "Error"), make("pre", {}, task.error));
  const { trace } = model.failures.find((failure) => taskKey(failure) === taskKey(task)) ?? task;
  if (trace) children.push(make("h3", {}, "Where"), make("pre", {}, trace));
  dialog.replaceChildren(...children, ...written(model, task));
  if (!dialog.open) dialog.showModal();
}

// As far as it is known: where it runs, since when, what it wrote, and how to end it.
function tellRunning(model, task, dialog) {
  const worker = model.worker(task.worker, task.cluster);
  const home = model.workers.get(`${task.cluster}/${task.worker}`);
  const age = make("span", { class: "faint" });
  const facts = make(
    "dl",
    { class: "facts-list" },
    ...fact("Worker", worker),
    ...fact("Cluster", task.cluster),
    ...fact("Attempt", format.count(task.attempt)),
    ...fact("Time limit", home?.task_timeout_ms ? `${format.duration(home.task_timeout_ms * 1000)}, by its cluster, unless its call set less` : "none, unless its call set one"),
    ...fact("Memory limit", home?.task_memory_limit_bytes ? format.bytes(home.task_memory_limit_bytes) : "not known"),
  );
  const end = command(`scaler cancel ${model.scheduler?.scheduler_address ?? "ADDRESS"} ${task.id}`);
  dialog.replaceChildren(
    ...heading(task, dialog),
    make("ol", { class: "steps" }, step(model.moment(task.since_ms), `runs on ${worker}`, age)),
    facts,
    make("h3", {}, "To end it"),
    end,
    ...written(model, task),
  );
  told = { task, age };
  keepTelling(model);
  if (!dialog.open) dialog.showModal();
}

// The story of a running task grows older while it is open, and is told anew when the task has ended.
export function keepTelling(model) {
  if (!told) return;
  const { task, age } = told;
  const ended = model.recent.findLast((other) => other.id === task.id) ?? model.failures.findLast((other) => other.id === task.id);
  const goesOn = model.running().some((other) => taskKey(other) === taskKey(task));
  if (goesOn) setText(age, `for ${format.long(model.ageMs(task.since_ms))} until now`);
  else if (!ended) setText(age, "not any more; what became of it is not known yet");
  else if (byId("story").open) tellStory(model, ended);
}

function heading(task, dialog) {
  const mark = stateMark();
  setState(mark, task.state);
  const close = make("button", { type: "button", class: "close", "aria-label": "Close", onclick: () => dialog.close() }, "✕");
  const id = make("button", { type: "button", class: "link id", title: "Copy" }, task.id);
  id.addEventListener("click", () => copy(task.id, id));
  return [close, make("h2", { id: "story-title" }, mark, " ", task.call), make("p", { class: "faint" }, "Task ", id)];
}

function step(at, what, took) {
  const faint = typeof took === "string" ? make("span", { class: "faint" }, took) : took;
  return make("li", {}, make("time", { datetime: new Date(at).toISOString() }, format.exact(at)), make("span", {}, what), faint);
}

function fact(name, value) {
  return [make("dt", {}, name), make("dd", {}, value)];
}

// The lines that it wrote, of those that are kept.
function written(model, task) {
  const lines = model.logs.filter((line) => line.task === task.id);
  if (lines.length === 0) return [];
  const text = lines.map((line) => `${format.clock(model.moment(line.at_ms))} ${line.source}: ${line.text}`).join("\n");
  return [make("h3", {}, `What it wrote (${format.plural(lines.length, "line")})`), make("pre", {}, text)];
}

// The shorter of the call's own and its cluster's, as far as they are known.
function timeLimit(task, home) {
  const own = task.timeout_ms ?? 0;
  const clusters = home?.task_timeout_ms ?? 0;
  if (own === 0 && clusters === 0) return home ? "none" : "not known";
  if (own !== 0 && (clusters === 0 || own <= clusters)) return `${format.duration(own * 1000)}, by the call`;
  return `${format.duration(clusters * 1000)}, by its cluster`;
}
