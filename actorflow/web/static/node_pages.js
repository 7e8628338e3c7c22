// The pages of nodes and actors.

import { ask } from "./ask.js";
import { el, link, table } from "./dom.js";
import { bytes, count, rate, share, time } from "./format.js";

export async function taskManagers() {
  const { taskmanagers } = await ask(["taskmanagers"]);
  const columns = [
    ["TaskManager", (each) => link(["task-managers", each.id], each.id)],
    ["Slots", (each) => count(each.slotsNumber), true],
    ["Free", (each) => count(each.freeSlots), true],
  ];
  return [el("h1", {}, "TaskManagers"), table(columns, taskmanagers, "None is there: actorflow taskmanager --config …")];
}

/** A TaskManager: who has its slots, its files, and where it and its workers stand now, also if user code holds them. */
export async function taskManager(id) {
  const parts = ofTaskManager(id);
  const [told, { logs: files }, { threadInfos }] = await Promise.all([ask(parts), ask([...parts, "logs"]), ask([...parts, "thread-dump"])]);
  const columns = [
    ["Slot", (each) => count(each.index), true],
    ["Job", (each) => link(["jobs", each.jobId], each.jobId)],
  ];
  return [
    el("div", { class: "row" }, [link(["task-managers"], "TaskManagers"), el("h1", {}, told.id)]),
    table(columns, told.allocatedSlots, `All ${count(told.slotsNumber)} slots are free.`),
    el("h2", {}, "Logs of its host"),
    table(fileColumns(id), files, NO_FILES),
    threadInfos.map((each) => [el("h2", {}, each.threadName), el("pre", {}, each.stringifiedThreadInfo)]),
  ];
}

const NO_FILES = "None: env.log.dir says where logs go.";

function ofTaskManager(id) {
  return ["taskmanagers", ...id.split("/")];
}

/** Return the columns of a list of files: of a TaskManager, or without one of the JobManager. */
function fileColumns(manager) {
  const at = manager ? ["logs", manager] : ["logs"];
  return [
    ["File", (each) => link([...at, each.name], each.name)],
    ["Size", (each) => bytes(each.size), true],
    ["Last written", (each) => time(each.mtime)],
  ];
}

/** The files of the JobManager's log. */
export async function logs() {
  const { logs: files } = await ask(["jobmanager", "logs"]);
  return [el("h1", {}, "Logs of the JobManager's host"), table(fileColumns(), files, NO_FILES)];
}

/** The end of a file: of a TaskManager, or without one of the JobManager. */
export async function log(name, manager) {
  const node = manager ? ofTaskManager(manager) : ["jobmanager"];
  const back = manager ? link(["task-managers", manager], manager) : link(["logs"], "Logs");
  return [
    el("div", { class: "row" }, [back, el("h1", {}, name)]),
    el("pre", {}, await ask([...node, "logs", name], { as: "text" })),
  ];
}

export async function actors() {
  const { actors: rows } = await ask(["actors"]);
  const columns = [
    ["Actor", (each) => link(["actors", each.path], each.path)],
    ["Kind", (each) => each.kind],
    ["State", (each) => each.state],
    ["Inbox", (each) => count(each.inbox), true],
    ["Handled", (each) => count(each.handled), true],
    ["Restarts", (each) => count(each.restarts), true],
    ["Busy", (each) => share(each["busy-ratio"]), true],
    ["Held up", (each) => share(each["backpressure-ratio"]), true],
    ["In", (each) => rate(each["records-in-per-second"]), true],
    ["Out", (each) => rate(each["records-out-per-second"]), true],
  ];
  return [el("h1", {}, "Actors"), table(columns, rows, "None.")];
}

export async function actor(path) {
  const parts = ["actors", ...path.split("/").filter(Boolean)];
  const [told, { story }] = await Promise.all([ask(parts), ask([...parts, "story"], { query: "?n=30" })]);
  const columns = [
    ["At", (each) => `${each.at.toFixed(3)} s`, true],
    ["Event", (each) => each.event],
    ["Caused", (each) => each.caused.join(", ")],
  ];
  return [
    el("div", { class: "row" }, [link(["actors"], "Actors"), el("h1", {}, told.path), el("span", { class: "dim" }, told.address)]),
    el("h2", {}, "What it shows"),
    el("pre", {}, JSON.stringify(told.observation, null, 2)),
    el("h2", {}, "Its story"),
    table(columns, story.toReversed(), "It keeps no story."),
  ];
}

export async function configuration() {
  const settings = await ask(["jobmanager", "config"]);
  const columns = [["Option", (each) => each.key], ["Value", (each) => each.value], ["Set in", (each) => each.origin]];
  return [el("h1", {}, "Configuration"), table(columns, settings, "Nothing is set: all options have their defaults.")];
}
