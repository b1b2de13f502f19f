// The lists of the page: which columns they have, what a row opens, and what to do when there is nothing.

import { command, make } from "./dom.js";
import * as format from "./format.js";
import { Table } from "./table.js";
import { TASK_STATES, WORKER_STATES } from "./states.js";
import { ENDED, isRunning, taskKey } from "./model.js";

const dash = (text) => (text === "" ? "–" : text);
// What a lost worker uses is not known.
const known = (worker, text) => (worker.state === "lost" ? "–" : text);

// `go(name, query)` shows another list with a search; `tell(task)` opens one task's story.
export function makeTables(model, { go, tell, saveTrace }) {
  const address = () => model.scheduler?.scheduler_address ?? "ADDRESS";
  const ago = (ms) => format.ago(Date.now() - ms);
  const host = (worker) => `${dash(worker.host)} ${format.short(worker.cluster.replace(/^cluster-/, ""))}`;
  // Of a task or a line.
  const worker = (row) => model.worker(row.worker, row.cluster);
  const noCluster = () => !model.scheduler ? [make("p", {}, "Nothing is known of the cluster yet.")] : [
    make("p", {}, "No workers are connected. Start some where the components are:"),
    command(`scaler_cluster ${address()} -n 4`),
  ];
  const noTask = (what) => !model.scheduler ? [make("p", {}, "Nothing is known of the cluster yet.")] : [
    make("p", {}, `${what} Call a function, for instance:`),
    command(`scaler submit ${address()} "hello.greeting:greet('world')"`),
  ];

  const workers = new Table({
    name: "workers",
    title: "Workers",
    rows: () => [...model.workers.values()],
    key: (worker) => `${worker.cluster}/${worker.name}`,
    sort: { key: "worker", down: false },
    choices: { label: "State", all: "all states", values: WORKER_STATES.filter((state) => state !== "busy" && state !== "idle"), of: (worker) => worker.state },
    note: () => (model.scheduler ? model.presence() : ""),
    empty: noCluster,
    open: (worker) => go("tasks", model.worker(worker.name, worker.cluster)),
    saved: [{ csv: "runs_since_unix_ms", value: ({ current }) => (current ? model.moment(current.since_ms) : "") }],
    columns: [
      { key: "worker", label: "Worker", value: (row) => row.name, text: (row) => row.name, title: (row) => `${row.name} (Enter or click: its tasks)` },
      { key: "cluster", label: "Cluster", value: (row) => `${row.host} ${row.cluster}`, text: host, title: (row) => `cluster ${row.cluster}`, search: (row) => `${row.host} ${row.cluster}` },
      { key: "state", label: "State", state: true, value: (row) => row.state, text: (row) => row.state },
      { key: "runs", label: "Runs", help: "What it has been running for more than 25 ms, and for how long", falls: true, value: ({ current }) => (current ? model.ageMs(current.since_ms) : -1), save: ({ current }) => current?.call ?? "", text: ({ current }) => (current ? `${current.call} for ${format.long(model.ageMs(current.since_ms))}` : "–"), title: ({ current }) => (current ? `task ${current.id}, attempt ${current.attempt}, since ${format.exact(model.moment(current.since_ms))}` : ""), wide: true },
      { key: "capabilities", label: "Capabilities", value: (row) => row.capabilities, text: (row) => dash(row.capabilities), wide: true },
      { key: "cpu", label: "CPU", number: true, csv: "cpu_permille", help: "Of one core, over the last second", value: (row) => row.cpu_permille, text: (row) => known(row, format.percent(row.cpu_permille)), title: (row) => `its agent: ${format.percent(row.agent_cpu_permille)}` },
      { key: "memory", label: "Memory", number: true, csv: "rss_bytes", help: "Resident memory of its processor", value: (row) => row.rss_bytes, text: (row) => known(row, format.bytes(row.rss_bytes)), title: (row) => `its agent: ${format.bytes(row.agent_rss_bytes)}; its machine has ${format.bytes(row.memory_free_bytes)} left` },
      { key: "running", label: "Running", number: true, help: "Tasks that have run on it for more than 25 ms", value: (row) => row.running, text: (row) => format.count(row.running) },
      { key: "queued", label: "Queued", number: true, help: "In its hands, and not known to run for more than 25 ms", value: (row) => row.queued, text: (row) => format.count(row.queued), title: (row) => `room for ${format.count(row.free)} more` },
      { key: "finished", label: "Finished", number: true, value: (row) => row.finished, text: (row) => format.count(row.finished) },
      { key: "starts", label: "Starts", number: true, help: "Processors started for this worker; more than one: others ended", value: (row) => row.restarts + 1, text: (row) => format.count(row.restarts + 1) },
      { key: "lag", label: "Lag", number: true, csv: "lag_us", help: "Half of the last round trip between agent and scheduler", value: (row) => row.lag_us, text: (row) => (row.lag_us ? format.duration(row.lag_us) : "–") },
      { key: "seen", label: "Seen", csv: "last_seen_unix_ms", value: (row) => row.heardMs, text: (row) => ago(row.heardMs), title: (row) => format.exact(row.heardMs), search: () => "" },
      { key: "pid", label: "PID", number: true, value: (row) => row.pid, text: (row) => (row.pid ? String(row.pid) : "–") },
    ],
  });

  const ran = (row) => Math.max(row.finished - row.canceled, 0);
  const mean = (row, sum) => (ran(row) > 0 ? row[sum] / ran(row) : NaN);
  const functions = new Table({
    name: "functions",
    title: "Functions",
    rows: () => [...model.functions.values()],
    key: (row) => row.call,
    sort: { key: "finished", down: true },
    note: () => format.plural(model.functions.size, "function"),
    empty: () => noTask("No function was called yet."),
    open: (row) => go("tasks", row.call),
    columns: [
      { key: "call", label: "Function", value: (row) => row.call, text: (row) => row.call, title: (row) => `${row.call} (Enter or click: its tasks)`, wide: true },
      { key: "unfinished", label: "Unfinished", number: true, help: "Accepted and not ended", value: (row) => row.unfinished, text: (row) => format.count(row.unfinished) },
      { key: "finished", label: "Calls ended", number: true, value: (row) => row.finished, text: (row) => format.count(row.finished) },
      { key: "failed", label: "Failed", number: true, value: (row) => row.failed, text: (row) => (row.failed ? `✗ ${format.count(row.failed)}` : "0"), title: (row) => (row.finished ? `${((100 * row.failed) / row.finished).toFixed(1)} % of all` : "") },
      { key: "aborted", label: "Aborted", number: true, value: (row) => row.aborted, text: (row) => (row.aborted ? `! ${format.count(row.aborted)}` : "0"), title: (row) => (row.finished ? `${((100 * row.aborted) / row.finished).toFixed(1)} % of all` : "") },
      { key: "canceled", label: "Canceled", number: true, value: (row) => row.canceled, text: (row) => format.count(row.canceled) },
      { key: "mean", label: "Mean", number: true, csv: "mean_us", help: "Mean run time, with the making of the instance", value: (row) => mean(row, "run_us") || 0, text: (row) => format.duration(mean(row, "run_us")) },
      { key: "p99", label: "p99", number: true, csv: "p99_us", help: "99 of 100 ran no longer than this", value: (row) => row.run_us_p99, text: (row) => (ran(row) ? format.duration(row.run_us_p99) : "–") },
      { key: "start", label: "Start cost", number: true, csv: "start_us", help: "Mean time to make the instance that a task runs in", value: (row) => mean(row, "start_us") || 0, text: (row) => format.duration(mean(row, "start_us")) },
      { key: "peak", label: "Peak memory", number: true, csv: "peak_memory_bytes", help: "Most guest memory that one task had", value: (row) => row.peak_memory_bytes, text: (row) => (ran(row) ? format.bytes(row.peak_memory_bytes) : "–") },
    ],
  });

  const runUs = (row) => (isRunning(row) ? model.ageMs(row.since_ms) * 1000 : row.run_us);
  const trace = make("button", { type: "button", title: "Save the listed tasks as a timeline for Perfetto or chrome:tracing", onclick: () => saveTrace() }, "Trace");
  const tasks = new Table({
    name: "tasks",
    title: "Tasks",
    rows: () => model.listed(),
    key: taskKey,
    sort: { key: "ended", down: true },
    choices: { label: "State", all: "all states", values: TASK_STATES.filter((state) => state === "running" || ENDED.includes(state)), of: (task) => task.state },
    note: () => recentNote(model),
    found: (found, { choice, query }) => (choice !== "" && choice !== "running" && query === "" ? `${found < (model.tasks[choice] ?? 0) ? "newest " : ""}${format.count(found)} of ${format.count(model.tasks[choice])} ${choice}` : null),
    nothing: (searched) => noTaskLike(model, searched),
    empty: () => noTask("No task has ended yet."),
    open: tell,
    tools: [trace],
    // Where a number is missing, there are tasks that are not listed.
    saved: [{ csv: "number", value: (row) => row.number }],
    columns: [
      { key: "ended", label: "Ended", csv: "ended_unix_ms", value: (row) => (isRunning(row) ? Infinity : model.moment(row.ended_ms)), save: (row) => (isRunning(row) ? "" : model.moment(row.ended_ms)), text: (row) => (isRunning(row) ? "not yet" : ago(model.moment(row.ended_ms))), title: (row) => (isRunning(row) ? "" : format.exact(model.moment(row.ended_ms))), search: () => "" },
      { key: "id", label: "Task", value: (row) => row.id, text: shortTask, title: (row) => row.id, search: (row) => row.id },
      { key: "call", label: "Function", value: (row) => row.call, text: (row) => row.call, title: (row) => row.call },
      { key: "state", label: "State", state: true, value: (row) => row.state, text: (row) => row.state },
      { key: "run", label: "Run", number: true, csv: "run_us", help: "With the making of its instance, unless that was made ahead", value: runUs, text: (row) => (isRunning(row) ? format.long(model.ageMs(row.since_ms)) : format.duration(row.run_us)), title: (row) => isRunning(row) ? `until now; it began ${format.exact(model.moment(row.since_ms))}` : `its instance was made in ${format.duration(row.start_us)}; CPU ${format.duration(row.cpu_us)}` },
      { key: "queue", label: "Queue", number: true, csv: "queued_us", help: "From the call to the start of its run, with the ways to its worker and back", value: (row) => row.queued_us ?? 0, save: (row) => row.queued_us, text: (row) => format.duration(row.queued_us) },
      { key: "peak", label: "Memory", number: true, csv: "peak_memory_bytes", help: "Most guest memory it had", value: (row) => row.peak_memory_bytes ?? 0, save: (row) => row.peak_memory_bytes, text: (row) => (row.peak_memory_bytes ? format.bytes(row.peak_memory_bytes) : "–") },
      { key: "worker", label: "Worker", value: worker, text: (row) => dash(worker(row)), title: (row) => (row.worker ? `${row.worker} of cluster ${row.cluster}` : "no worker had it") },
      { key: "attempt", label: "Attempt", number: true, value: (row) => row.attempt, text: (row) => format.count(row.attempt) },
      { key: "error", label: "Error", value: (row) => row.error ?? "", text: (row) => (row.error ?? "").split("\n", 1)[0], title: (row) => row.error ?? "", search: (row) => row.error ?? "", wide: true },
    ],
  });

  const log = new Table({
    name: "log",
    title: "Log lines",
    rows: () => model.logs,
    key: (line) => `${line.at_ms} ${line.task} ${line.text}`,
    sort: { key: "at", down: true },
    choices: { label: "Source", all: "all sources", values: ["stdout", "stderr", "trace", "debug", "info", "warn", "error"], of: (line) => line.source },
    note: () => logNote(model),
    empty: () => [
      make("p", {}, "What functions print or log appears here. In a terminal:"),
      command(`scaler logs ${address()} --follow`),
    ],
    columns: [
      { key: "at", label: "Time", csv: "unix_ms", value: (row) => model.moment(row.at_ms), text: (row) => format.clock(model.moment(row.at_ms)), title: (row) => format.exact(model.moment(row.at_ms)), search: () => "" },
      { key: "source", label: "Source", value: (row) => row.source, text: (row) => row.source },
      { key: "worker", label: "Worker", value: worker, text: (row) => dash(worker(row)), title: (row) => `cluster ${row.cluster}` },
      { key: "task", label: "Task", value: (row) => row.task, text: (row) => (row.task ? shortTask({ id: row.task }) : "preload"), title: (row) => row.task, search: (row) => row.task },
      { key: "text", label: "Line", value: (row) => row.text, text: (row) => (row.dropped ? `(${format.plural(row.dropped, "line")} dropped before) ${row.text}` : row.text), title: (row) => row.text, wide: true },
    ],
  });

  const clients = new Table({
    name: "clients",
    title: "Clients",
    rows: () => [...model.clients.values()],
    key: (client) => client.id,
    sort: { key: "unfinished", down: true },
    note: () => format.plural(model.clients.size, "client"),
    empty: () => noTask("No client is connected."),
    columns: [
      { key: "name", label: "Client", value: (row) => row.name, text: (row) => dash(row.name), wide: true },
      { key: "id", label: "Id", value: (row) => row.id, text: (row) => row.id },
      { key: "unfinished", label: "Unfinished tasks", number: true, value: (row) => row.unfinished, text: (row) => format.count(row.unfinished) },
      { key: "held", label: "Held calls", number: true, help: "Waiting at the client for a cluster that has their function", value: (row) => row.held, text: (row) => format.count(row.held) },
      { key: "undelivered", label: "Results not taken", number: true, value: (row) => row.undelivered, text: (row) => format.count(row.undelivered) },
      { key: "seen", label: "Seen", csv: "last_seen_unix_ms", value: (row) => row.heardMs, text: (row) => ago(row.heardMs), title: (row) => format.exact(row.heardMs), search: () => "" },
    ],
  });

  return { workers, functions, tasks, log, clients };
}

// The end of a client's id tells tasks apart no better than its start; the number does.
export function shortTask({ id }) {
  const [client, number] = id.split(":");
  return number === undefined ? format.short(id) : `${format.short(client, 6)}:${number}`;
}

// Why a filter finds nothing: there was none, or those that were are not kept.
function noTaskLike(model, { choice, query }) {
  if (choice === "running" && query === "") return "No task has been running for more than 25 ms.";
  if (choice === "" || choice === "running") return `No listed task has “${query}” in it. Listed are the ${recentNote(model)}.`;
  const inAll = model.tasks[choice] ?? 0;
  const so = { succeeded: "has succeeded", failed: "has failed" }[choice] ?? `was ${choice}`;
  if (inAll === 0) return `No task ${so} since the scheduler started.`;
  if (query !== "") return `No listed task that ${so} has “${query}” in it. Listed are the ${recentNote(model)}.`;
  return `None of the ${recentNote(model)} ${so}; of all ${format.count(inAll)}.`;
}

function recentNote(model) {
  const running = model.running().length;
  return running ? `${format.count(running)} running, ${endedNote(model)}` : endedNote(model);
}

function endedNote(model) {
  const listed = model.recent.length;
  const span = model.recentSpan();
  if (listed === model.ended) return format.plural(listed, "ended task");
  if (span <= listed) return `last ${format.count(listed)} of ${format.count(model.ended)} ended tasks`;
  return `${format.count(listed)} of the last ${format.count(span)}, of ${format.count(model.ended)} ended tasks`;
}

function logNote(model) {
  const dropped = model.logs.reduce((sum, line) => sum + (line.dropped ?? 0), 0);
  const lines = `last ${format.plural(model.logs.length, "line")}`;
  return dropped ? `${lines}; ${format.count(dropped)} more were dropped, because there were too many` : lines;
}
