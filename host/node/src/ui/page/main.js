// Puts the page together: the stream fills the model, the model is drawn once a frame at most, keys move around.

import { Chart } from "./chart.js";
import { byId, command, make, setHidden, setState, setText, setTitle, stateMark } from "./dom.js";
import * as format from "./format.js";
import { Glance, MEANINGS } from "./glance.js";
import { Model } from "./model.js";
import { TASK_STATES } from "./states.js";
import { Stream } from "./stream.js";
import { keepTelling, tellStory } from "./story.js";
import { focusSearch } from "./table.js";
import { makeTables } from "./tables.js";
import { Timeline, saveTrace } from "./timeline.js";

const model = new Model();
const tell = (task) => tellStory(model, task);
const tables = makeTables(model, { go, tell, saveTrace: () => saveTrace(model) });
const timeline = new Timeline(model, tell);
const glance = new Glance(model, tell);
const chart = new Chart(model, byId("chart"), byId("legend"));
const settings = make("section", { class: "list", "aria-label": "Scheduler" });

// The lists, by the name that stands in the address after `#`.
const lists = [
  ["workers", "Workers", tables.workers, () => model.workers.size],
  ["functions", "Functions", tables.functions, () => model.functions.size],
  ["tasks", "Tasks", tables.tasks, () => model.ended],
  ["timeline", "Timeline", timeline, () => null],
  ["log", "Log", tables.log, () => model.logs.length],
  ["clients", "Clients", tables.clients, () => model.clients.size],
  ["scheduler", "Scheduler", { element: settings, render: renderScheduler }, () => null],
];
let current = "workers";
let pausedSinceMs = null;

const tabs = new Map();
for (const [name, label, list] of lists) {
  const number = make("span", { class: "count" });
  const tab = make("button", { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": `panel-${name}`, onclick: () => show(name) }, label, " ", number);
  const panel = make("div", { role: "tabpanel", id: `panel-${name}`, "aria-labelledby": `tab-${name}`, hidden: true }, list.element);
  byId("tabs").append(tab);
  byId("panels").append(panel);
  tabs.set(name, { tab, panel, number });
}
byId("tabs").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  const names = lists.map(([name]) => name);
  show(names[(names.indexOf(current) + step + names.length) % names.length]);
  tabs.get(current).tab.focus();
  event.preventDefault();
});

function show(name) {
  current = tabs.has(name) ? name : "workers";
  for (const [other, { tab, panel }] of tabs) {
    const chosen = other === current;
    tab.setAttribute("aria-selected", String(chosen));
    tab.tabIndex = chosen ? 0 : -1;
    setHidden(panel, !chosen);
  }
  if (location.hash.slice(1) !== current) history.replaceState(null, "", `#${current}`);
  schedule();
}

function go(name, query) {
  show(name);
  tables[name].find(query);
  focusSearch(name);
}

function renderHeader() {
  const { scheduler } = model;
  const now = Date.now();
  setText(byId("cluster"), scheduler?.scheduler_address ?? model.monitorAddress);
  setText(byId("version"), scheduler ? `version ${scheduler.version}` : "");
  const uptime = scheduler && !model.staleSinceMs ? now - model.startMs : null;
  setText(byId("uptime"), uptime === null ? "" : `up ${format.long(uptime)}`);
  setTitle(byId("uptime"), scheduler ? `since ${format.exact(model.startMs)}` : "");
  document.title = scheduler ? `Scaler ${scheduler.scheduler_address.replace(/^.*\/\//, "")}` : "Scaler";
  const since = (ms) => `since ${format.clock(ms)} (${format.long(now - ms)})`;
  let [state, sign, word, detail] = ["live", "●", "Live", `as of ${format.clock(model.atMs)}`];
  if (pausedSinceMs) [state, sign, word, detail] = ["paused", "❚❚", "Paused", since(pausedSinceMs)];
  else if (stream.lostSinceMs) [state, sign, word, detail] = ["stale", "✗", "Page server gone", since(stream.lostSinceMs)];
  else if (!model.loaded) [state, sign, word, detail] = ["loading", "◌", "Loading", ""];
  else if (model.staleSinceMs) [state, sign, word, detail] = ["stale", "✗", "Stale", since(model.staleSinceMs)];
  byId("live").dataset.state = state;
  setText(byId("live-glyph"), sign);
  setText(byId("live-word"), word);
  setText(byId("live-detail"), detail);
  document.body.classList.toggle("stale", state === "stale");
  renderBanner(state);
}

let said = "";
function renderBanner(state) {
  const banner = byId("banner");
  let text = "";
  let type = "";
  if (state === "stale" && stream.lostSinceMs) {
    text = "The program that serves this page does not answer. It is tried again every two seconds; start it with";
    type = model.restart || "scaler_ui MONITOR_ADDRESS";
  } else if (state === "stale") {
    const known = model.scheduler ? "What is shown is the last that was known." : "";
    text = `No scheduler answers at ${model.monitorAddress}${model.problem ? `: ${model.problem}` : ""}. ${known} It is tried again all the time; start one with`;
    type = model.scheduler ? schedulerCommand(model.scheduler) : "scaler_scheduler ADDRESS";
  }
  setHidden(banner, text === "");
  if (said === text + type) return;
  said = text + type;
  banner.replaceChildren(...(text ? [make("span", {}, text), command(type)] : []));
}

// What starts a scheduler as the one that was there, as far as it was told.
function schedulerCommand({ scheduler_address: address, monitor_address: monitor, allocate_policy: policy, protected: kept }) {
  const usual = address.replace(/:(\d+)$/, (_, port) => `:${Number(port) + 2}`);
  const parts = [`scaler_scheduler ${address}`];
  if (monitor && monitor !== usual) parts.push(`--monitor-address ${monitor}`);
  if (policy !== "even") parts.push(`--allocate-policy ${policy}`);
  if (!kept) parts.push("--protected=false");
  return parts.join(" ");
}

function renderScheduler() {
  const { scheduler } = model;
  if (!scheduler) {
    settings.replaceChildren(make("div", { class: "empty" }, make("p", {}, "No scheduler has answered yet.")));
    return;
  }
  const facts = [
    ["Scheduler address", scheduler.scheduler_address],
    ["Object storage", (scheduler.object_storage_address ?? "not connected") + (scheduler.object_storage_problem ? ` does not answer: ${scheduler.object_storage_problem}` : "")],
    ["Monitor address", scheduler.monitor_address ?? "none"],
    ["Version", scheduler.version],
    ["Started", `${format.exact(model.startMs)} (epoch ${scheduler.epoch})`],
    ["Shutdown by clients", scheduler.protected ? "refused (protected)" : "allowed"],
    ["Placement", scheduler.allocate_policy],
    ["CPU", format.percent(scheduler.cpu_permille)],
    ["Memory", `${format.bytes(scheduler.rss_bytes)}; the machine has ${format.bytes(scheduler.memory_free_bytes)} left`],
    ["Clusters", `${format.count(scheduler.clusters)} connected, of which ${format.count(scheduler.clusters_starting)} starting; ${format.count(model.clusterCounts().lost)} lost`],
    ["Objects", format.count(scheduler.objects)],
    ["Results kept for clients", format.bytes(scheduler.result_buffer_bytes)],
    ["Watchers", format.count(scheduler.watchers)],
  ];
  const list = make("dl", { class: "facts-list" });
  for (const [name, value] of facts) list.append(make("dt", {}, name), make("dd", {}, value));
  const kinds = [...new Set([...Object.keys(scheduler.received), ...Object.keys(scheduler.sent)])].sort();
  const body = make("tbody");
  for (const kind of kinds) {
    const cell = (counts) => make("td", { class: "number" }, format.count(counts[kind]));
    body.append(make("tr", {}, make("th", { scope: "row" }, kind), cell(scheduler.received), cell(scheduler.sent)));
  }
  const head = make("tr", {}, make("th", { scope: "col" }, "Message"), make("th", { scope: "col", class: "number" }, "Received"), make("th", { scope: "col", class: "number" }, "Sent"));
  const table = make("table", { class: "rows messages" }, make("caption", { class: "hidden" }, "Messages by kind"), make("thead", {}, head), body);
  settings.replaceChildren(make("div", { class: "pair" }, list, make("div", { class: "scroller" }, table)));
}

let scheduled = false;
function schedule() {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => {
    scheduled = false;
    render();
  });
}

function render() {
  renderHeader();
  glance.render();
  chart.render();
  keepTelling(model);
  for (const [name, , list, number] of lists) {
    const many = number();
    setText(tabs.get(name).number, many === null || !model.scheduler ? "" : format.count(many));
    if (name === current) list.render();
  }
}

function togglePause() {
  pausedSinceMs = pausedSinceMs ? null : Date.now();
  const button = byId("pause");
  button.setAttribute("aria-pressed", String(pausedSinceMs !== null));
  setText(button, pausedSinceMs ? "Go on" : "Pause");
  stream.pause(pausedSinceMs !== null);
}

function help() {
  const list = byId("words");
  if (!list.firstChild) {
    for (const state of TASK_STATES) {
      const mark = stateMark();
      setState(mark, state);
      list.append(make("dt", {}, mark), make("dd", {}, MEANINGS[state] ?? ""));
    }
  }
  byId("help").showModal();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (event.key === "Escape" && typing) {
    tables[current]?.clear();
    event.target.blur();
    tables[current]?.focus();
    return;
  }
  if (typing) return;
  if (event.key === "/") focusSearch(tables[current] ? current : (show("tasks"), "tasks"));
  else if (event.key === "p") togglePause();
  else if (event.key === "?") help();
  else if (event.key >= "1" && event.key <= String(lists.length)) show(lists[Number(event.key) - 1][0]);
  else if (event.key === "Escape") tables[current]?.clear();
  else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && event.target === document.body) tables[current]?.focus();
  else return;
  event.preventDefault();
});
byId("pause").addEventListener("click", togglePause);
byId("help-button").addEventListener("click", help);
addEventListener("hashchange", () => show(location.hash.slice(1)));
for (const dialog of document.querySelectorAll("dialog")) {
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
}

const stream = new Stream((update) => {
  model.apply(update);
  schedule();
}, schedule);
show(location.hash.slice(1));
// Times grow while nothing changes.
setInterval(() => {
  if (!document.hidden) schedule();
}, 1000);
