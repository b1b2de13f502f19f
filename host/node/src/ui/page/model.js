// The picture as the page has it: a snapshot, and the changes since.

import { plural } from "./format.js";

const RECENT_MAX = 1000;
const FAILURES_MAX = 200;
const HISTORY_MAX = 300;
const LOGS_MAX = 2000;

export const ENDED = ["succeeded", "failed", "canceled", "aborted"];

export class Model {
  constructor() {
    this.loaded = false;
    this.monitorAddress = "";
    this.forget();
  }

  forget() {
    this.scheduler = null;
    this.tasks = {};
    this.parked = [];
    this.workers = new Map();
    this.clients = new Map();
    this.functions = new Map();
    this.shared = new Set();
    this.recent = [];
    this.failures = [];
    this.history = [];
    this.logs = [];
    this.startMs = 0;
    this.atMs = 0;
    this.staleSinceMs = null;
    this.problem = "";
    this.restart = "";
    this.ended = 0;
  }

  apply(update) {
    // The silence of a scheduler that is away counts as well.
    const now = update.stale_since_ms && update.at_ms ? update.at_ms : Date.now();
    if (update.full) this.forget();
    this.loaded = true;
    this.monitorAddress = update.monitor_address;
    this.staleSinceMs = update.stale_since_ms;
    this.problem = update.problem;
    this.restart = update.restart;
    if (update.at_ms) {
      this.atMs = update.at_ms;
      this.startMs = update.start_ms;
    }
    if (update.scheduler) this.scheduler = update.scheduler;
    if (update.tasks) this.tasks = update.tasks;
    this.parked = update.parked;
    for (const [cluster, name] of update.workers_gone) this.workers.delete(`${cluster}/${name}`);
    for (const id of update.clients_gone) this.clients.delete(id);
    for (const call of update.functions_gone) this.functions.delete(call);
    for (const worker of update.workers) {
      worker.heardMs = now - worker.last_seen_ms;
      this.workers.set(`${worker.cluster}/${worker.name}`, worker);
    }
    for (const client of update.clients) {
      client.heardMs = now - client.last_seen_ms;
      this.clients.set(client.id, client);
    }
    for (const fn of update.functions) this.functions.set(fn.call, fn);
    this.ended = ENDED.reduce((sum, state) => sum + (this.tasks[state] ?? 0), 0);
    append(this.recent, update.recent, RECENT_MAX);
    append(this.failures, update.failures, FAILURES_MAX);
    append(this.history, update.history, HISTORY_MAX);
    append(this.logs, update.logs, LOGS_MAX);
    this.shared = sharedNames(this);
  }

  // A worker's name, with the beginning of its cluster's id where several clusters have one of that name.
  worker(name, cluster) {
    return this.shared.has(name) ? `${name}/${cluster.replace(/^cluster-/, "").slice(0, 4)}` : name;
  }

  // How many tasks ended from the first listed one to the last: with very many a second, some in between are not listed.
  recentSpan() {
    return this.recent.length === 0 ? 0 : this.recent.at(-1).number - this.recent[0].number + 1;
  }

  // Calls that wait at clients, for a cluster that has their function.
  held() {
    return [...this.clients.values()].reduce((sum, client) => sum + client.held, 0);
  }

  // How many there are and how many are lost, worded as `scaler status` and `scaler_top` do.
  presence() {
    const all = [...this.workers.values()];
    const headcount = (workers) => `${plural(workers.length, "worker")} in ${plural(clustersOf(workers), "cluster")}`;
    const lost = all.filter(isLost);
    return headcount(all.filter((worker) => !isLost(worker))) + (lost.length ? `, ${headcount(lost)} lost` : "");
  }

  // The clusters alone: those that are connected, and those that are not.
  clusterCounts() {
    const all = [...this.workers.values()];
    return { lost: clustersOf(all.filter(isLost)), connected: clustersOf(all.filter((worker) => !isLost(worker))) };
  }

  // What runs for more than 25 ms, one a worker, as tasks that have not ended.
  running() {
    const busy = [...this.workers.values()].filter((worker) => worker.current);
    return busy.map(({ name, cluster, current }) => ({ ...current, state: "running", worker: name, cluster }));
  }

  // How long something has been going on; while the scheduler is away, as of when it was last heard.
  ageMs(sinceMs) {
    const now = this.staleSinceMs && this.atMs ? this.atMs : Date.now();
    return Math.max(now - this.moment(sinceMs), 0);
  }

  // A moment that the scheduler gave, on this machine's clock.
  moment(sinceStartMs) {
    return this.startMs + sinceStartMs;
  }

  workerCounts() {
    const counts = { busy: 0, idle: 0, starting: 0, leaving: 0, retired: 0, lost: 0 };
    for (const worker of this.workers.values()) {
      const state = worker.state === "ready" ? (worker.running > 0 || worker.queued > 0 ? "busy" : "idle") : worker.state;
      counts[state] = (counts[state] ?? 0) + 1;
    }
    return counts;
  }

  // Tasks that ended, failed and were aborted in the last seconds that are known.
  lastSeconds(seconds) {
    const part = this.history.slice(-seconds);
    const sum = (key) => part.reduce((total, sample) => total + sample[key], 0);
    return { seconds: part.length, finished: sum("finished"), failed: sum("failed"), aborted: sum("aborted") };
  }

  failedInAll() {
    return (this.tasks.failed ?? 0) + (this.tasks.aborted ?? 0);
  }

  newestFailure() {
    return this.failures.at(-1) ?? null;
  }

  // The last tasks that ended, before them the failures that are older, and after them what runs.
  listed() {
    const known = new Set(this.recent.filter(failed).map(taskKey));
    return [...this.failures.filter((task) => !known.has(taskKey(task))), ...this.recent, ...this.running()];
  }
}

// Names that workers of several clusters have: of those that are there, and of those that are only told of.
function sharedNames({ workers, recent, failures, logs }) {
  const homes = new Map();
  const shared = new Set();
  const see = (name, cluster) => {
    if (name === "") return;
    if (!homes.has(name)) homes.set(name, cluster);
    else if (homes.get(name) !== cluster) shared.add(name);
  };
  for (const { name, cluster } of workers.values()) see(name, cluster);
  for (const list of [recent, failures, logs]) for (const { worker, cluster } of list) see(worker, cluster);
  return shared;
}

const isLost = (worker) => worker.state === "lost";

const clustersOf = (workers) => new Set(workers.map((worker) => worker.cluster)).size;

export function isRunning({ state }) {
  return state === "running";
}

export function taskKey(task) {
  return `${task.id}#${task.attempt}`;
}

function failed({ state }) {
  return state === "failed" || state === "aborted";
}

function append(list, more, most) {
  for (const entry of more) list.push(entry);
  if (list.length > most) list.splice(0, list.length - most);
}
