// What can be seen without scrolling: whether all is well, tasks by state, workers, the newest failure.

import { byId, command, glyph, make, setCoded, setHidden, setState, setText, setTitle, stateMark } from "./dom.js";
import * as format from "./format.js";
import { shortTask } from "./tables.js";
import { TASK_STATES } from "./states.js";

// States that pass quickly have a tile only while there is a task in them.
const PASSING = new Set(["canceling", "returning", "suspended", "rejected"]);

// What the states of a task mean.
export const MEANINGS = {
  waiting: "accepted; no cluster has taken it yet",
  assigned: "sent to a cluster: in its queues, or running for less than 25 ms",
  running: "has been running on a worker for more than 25 ms",
  canceling: "somebody canceled it; the worker is being told",
  returning: "taken back, to run where there is room",
  succeeded: "its result is there",
  failed: "a run of it failed: an error, a trap, a limit; or no run could: its processors died too often, its module did not work",
  canceled: "somebody did not want it any more",
  aborted: "the system gave it up: its client was silent for too long, its clusters were lost again and again, an object was lost, the storage had no room, no cluster has its module any more, or the scheduler ended",
  rejected: "not accepted: too many were waiting",
};

// What went wrong among the tasks of the last minute.
function failures({ seconds, finished, failed, aborted }) {
  const when = `in the last ${seconds < 60 ? `${seconds} s` : "minute"}`;
  const were = aborted === 1 ? "was" : "were";
  if (aborted === 0) return `${format.count(failed)} of ${format.plural(finished, "task")} failed ${when}.`;
  if (failed === 0) return `${format.count(aborted)} of ${format.plural(finished, "task")} ${were} aborted ${when}.`;
  return `Of ${format.plural(finished, "task")}, ${format.count(failed)} failed and ${format.count(aborted)} ${were} aborted ${when}.`;
}

export class Glance {
  constructor(model, tell) {
    this.model = model;
    this.tell = tell;
    this.tiles = new Map();
    this.counts = new Map();
    this.bar = make("div", { class: "stack", role: "img" });
    this.numbers = make("dl", { class: "tiles small" });
    this.starter = make("div", { class: "starter" });
    byId("workers-glance").append(this.bar, this.numbers, this.starter);
    this.failure = null;
  }

  render() {
    this.renderVerdict();
    this.renderTasks();
    this.renderWorkers();
    this.renderFailure();
  }

  verdict() {
    const { model } = this;
    const workers = model.workerCounts();
    const total = model.workers.size - workers.lost - workers.retired;
    const minute = model.lastSeconds(60);
    const parked = model.parked[0];
    // All of it is worth saying, the worst first.
    const troubles = [];
    if (total === 0 && workers.lost > 0) troubles.push(["lost", `${workers.lost === 1 ? "The only worker is" : `All ${format.count(workers.lost)} workers are`} lost: tasks wait for a cluster.`]);
    else if (parked) troubles.push(["waiting", `${format.plural(parked.held, "call")} of ${parked.call} waiting: ${parked.reason}${model.parked.length > 1 ? `, and ${format.plural(model.parked.length - 1, "more function")}` : ""}.`]);
    else if (total === 0) troubles.push(["waiting", "No workers: tasks wait until a cluster connects."]);
    if (model.scheduler.object_storage_problem) troubles.push(["failed", `The object storage at ${model.scheduler.object_storage_address} does not answer: values above 64 KiB cannot be passed.`]);
    if (minute.failed + minute.aborted > 0) troubles.push([minute.failed > 0 ? "failed" : "aborted", failures(minute)]);
    if (workers.lost > 0 && total > 0) troubles.push(["lost", `${format.plural(workers.lost, "worker")} lost; ${format.count(total)} left.`]);
    if (troubles.length > 0) return [troubles[0][0], troubles.map(([, text]) => text).join(" ")];
    const last = model.lastSeconds(5);
    const unfinished = (model.tasks.waiting ?? 0) + (model.tasks.assigned ?? 0) + (model.tasks.running ?? 0);
    if (unfinished === 0 && last.finished === 0) return ["idle", `Idle: ${format.plural(total, "worker")} ready, nothing to do.`];
    const rate = last.seconds > 0 ? last.finished / last.seconds : 0;
    return ["succeeded", `All is well: ${format.rate(rate)} tasks/s, ${format.count(workers.busy)} of ${format.plural(total, "worker")} busy.`];
  }

  renderVerdict() {
    const { model } = this;
    const [state, text] = model.scheduler ? this.verdict() : ["starting", model.loaded ? "Nothing is known of the cluster yet." : "Loading the cluster’s picture."];
    const line = byId("verdict");
    line.style.setProperty("--state", `var(--state-${state})`);
    setText(byId("verdict-glyph"), glyph(state));
    setCoded(byId("verdict-text"), model.scheduler && model.staleSinceMs ? `When last heard: ${text}` : text);
  }

  renderTasks() {
    const { tasks } = this.model;
    const names = [...TASK_STATES, ...Object.keys(tasks).filter((state) => !TASK_STATES.includes(state))];
    for (const state of names) {
      let tile = this.tiles.get(state);
      if (!tile) {
        const mark = stateMark();
        setState(mark, state);
        tile = make("div", { class: "tile", title: MEANINGS[state] ?? "" }, make("dt", {}, mark), make("dd"));
        this.tiles.set(state, tile);
        byId("tiles").append(tile);
      }
      const number = tasks[state] ?? 0;
      const held = state === "waiting" && this.model.scheduler ? this.model.held() : 0;
      setText(tile.lastChild, this.model.scheduler ? format.count(number) : "–");
      tile.lastChild.classList.toggle("more", held > 0);
      tile.lastChild.dataset.more = held > 0 ? `+ ${format.count(held)} held` : "";
      setTitle(tile, held > 0 ? `${MEANINGS[state]}; held: calls that clients keep until a cluster has their function` : MEANINGS[state] ?? "");
      tile.classList.toggle("zero", number + held === 0);
      setHidden(tile, PASSING.has(state) && number === 0);
    }
  }

  renderWorkers() {
    const { model } = this;
    const counts = model.workerCounts();
    for (const [state, number] of Object.entries(counts)) {
      let part = this.counts.get(state);
      if (!part) {
        const mark = stateMark();
        setState(mark, state);
        part = { piece: make("span"), tile: make("div", { class: "tile" }, make("dt", {}, mark), make("dd")) };
        part.piece.style.background = `var(--state-${state})`;
        this.counts.set(state, part);
        this.bar.append(part.piece);
        this.numbers.append(part.tile);
      }
      part.piece.style.flexGrow = String(number);
      setHidden(part.piece, number === 0);
      setText(part.tile.lastChild, format.count(number));
      part.tile.classList.toggle("zero", number === 0);
      setHidden(part.tile, number === 0 && !["busy", "idle", "lost"].includes(state));
    }
    const said = Object.entries(counts).filter(([, number]) => number > 0).map(([state, number]) => `${number} ${state}`);
    this.bar.setAttribute("aria-label", said.length ? `Workers: ${said.join(", ")}` : "No workers");
    const present = [...model.workers.values()].filter((worker) => worker.state !== "lost");
    const cpu = present.reduce((sum, worker) => sum + worker.cpu_permille, 0);
    const memory = present.reduce((sum, worker) => sum + worker.rss_bytes, 0);
    const clusters = model.clusterCounts();
    const address = model.scheduler?.scheduler_address;
    setText(byId("machine"), model.workers.size ? `${format.plural(clusters.connected, "cluster")}${clusters.lost ? `, ${format.count(clusters.lost)} lost` : ""} · ${(cpu / 1000).toFixed(1)} cores · ${format.bytes(memory)}` : "");
    setHidden(this.bar, model.workers.size === 0);
    setHidden(this.numbers, model.workers.size === 0);
    const wanted = model.workers.size === 0 && address ? `scaler_cluster ${address} -n 4` : "";
    if (this.wanted !== wanted) {
      this.wanted = wanted;
      this.starter.replaceChildren(...(wanted ? [make("p", {}, "None yet. Start some:"), command(wanted)] : []));
    }
  }

  renderFailure() {
    const { model } = this;
    const task = model.newestFailure();
    const box = byId("failure");
    const key = task ? task.id : "";
    if (this.failure !== key || !task) {
      this.failure = key;
      if (task) {
        const mark = stateMark();
        setState(mark, task.state);
        this.when = make("span", { class: "faint" });
        const open = make("button", { type: "button", class: "link", onclick: () => this.tell(task) }, task.call);
        const reason = make("p", { class: "reason" }, task.error ?? "no reason was given");
        setTitle(reason, task.error ?? "");
        box.replaceChildren(
          make("p", {}, mark, " ", open, " ", this.when),
          reason,
          make("p", { class: "faint" }, `task ${shortTask(task)} on ${model.worker(task.worker, task.cluster) || "no worker"}, attempt ${task.attempt}`),
        );
      } else {
        const failed = model.failedInAll();
        const text = !model.scheduler ? "Not known." : failed === 0 ? "None since the scheduler started." : `${format.plural(failed, "task")} failed or ${failed === 1 ? "was" : "were"} aborted, and this page was not told why.`;
        if (box.textContent !== text) box.replaceChildren(make("p", { class: "faint" }, text));
      }
    }
    if (task) {
      const moment = model.moment(task.ended_ms);
      setText(this.when, format.ago(Date.now() - moment));
      setTitle(this.when, format.exact(moment));
    }
  }
}
