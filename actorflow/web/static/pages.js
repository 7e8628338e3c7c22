// The pages of jobs. Each asks REST for what it shows, and returns the elements; it is called again every few seconds.

import { ask, Refused } from "./ask.js";
import { el, figure, link, state, table } from "./dom.js";
import { bytes, count, duration, share, time } from "./format.js";
import { graph } from "./graph.js";
import { ratesOf } from "./rates.js";
import { vertices } from "./scale.js";

const OVER = ["FINISHED", "FAILED", "CANCELED"];

/** Return what `asked` answers, or null if it is not there (any more): a job that is over has no subtasks. */
async function ifThere(asked) {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof Refused && (error.status === 404 || error.status === 409)) return null;
    throw error;
  }
}

export async function overview() {
  const [figures, { jobs }] = await Promise.all([ask(["overview"]), ask(["jobs", "overview"])]);
  const columns = [
    ["Job", (job) => link(["jobs", job.jid], job.name)],
    ["State", (job) => state(job.state)],
    ["Since", (job) => time(job["start-time"])],
    ["For", (job) => duration(job.duration), true],
    ["Attempt", (job) => count(job.attempt), true],
    ["Read", (job) => count(job["read-records"]), true],
    ["Written", (job) => count(job["write-records"]), true],
  ];
  const latest = jobs.toSorted((one, other) => other["start-time"] - one["start-time"]);
  return [
    el("h1", {}, "Overview"),
    el("div", { class: "figures" }, [
      figure(count(figures.taskmanagers), "TaskManagers"),
      figure(`${count(figures["slots-available"])} of ${count(figures["slots-total"])}`, "slots free"),
      figure(count(figures["jobs-running"]), "jobs running"),
      figure(count(figures["jobs-finished"]), "finished"),
      figure(count(figures["jobs-cancelled"]), "cancelled"),
      figure(count(figures["jobs-failed"]), "failed"),
    ]),
    el("h2", {}, "Running jobs"),
    table(columns, latest.filter((job) => !OVER.includes(job.state)), "No job is running: actorflow run --cluster … job.py"),
    el("h2", {}, "Jobs that are over"),
    table(columns, latest.filter((job) => OVER.includes(job.state)), "None yet."),
  ];
}

export async function job(id) {
  const path = ["jobs", id];
  const [told, checkpoints, exceptions, slow] = await Promise.all([
    ask(path), ifThere(ask([...path, "checkpoints"])), ifThere(ask([...path, "exceptions"])), ifThere(ask([...path, "why-slow"])),
  ]);
  const rates = ratesOf(told);
  const over = OVER.includes(told.state);
  const cancel = el("button", { onclick: () => confirm(`Cancel ${told.name}?`) && ask(path, { method: "PATCH", query: "?mode=cancel" }) }, "Cancel");
  return [
    el("div", { class: "row" }, [
      el("h1", {}, told.name), state(told.state), el("span", { class: "dim grow" }, told.jid), over ? null : cancel,
    ]),
    el("div", { class: "figures" }, [
      figure(duration(told.duration), `since ${time(told["start-time"])}`),
      figure(count(told.attempt), "attempt"),
      figure(count(told.parallelism), "parallelism"),
      figure(count(checkpoints?.counts.completed), "checkpoints completed"),
      figure(duration(checkpoints?.latest.completed?.end_to_end_duration), "for the last one"),
    ]),
    told.error ? el("pre", { class: "error" }, told.error) : null,
    told.vertices.length ? [
      el("h2", {}, "Graph"),
      el("div", { class: "graph" }, graph(told.vertices, told.edges, rates, (vertex) => { location.hash = `#/jobs/${id}/${vertex}`; })),
      vertices(told, over),
    ] : null,
    slow ? [el("h2", {}, "Why is it not faster?"), el("pre", {}, slow.text)] : null,
    checkpointTable(id, checkpoints),
    exceptionList(exceptions),
  ];
}

function checkpointTable(id, checkpoints) {
  if (!checkpoints) return null;
  const columns = [
    ["Checkpoint", (each) => link(["jobs", id, "checkpoints", each.id], count(each.id)), true],
    ["State", (each) => state(each.status)],
    ["Triggered", (each) => time(each.trigger_timestamp)],
    ["Took", (each) => duration(each.end_to_end_duration), true],
    ["Aligning", (each) => duration(each.alignment), true],
    ["Stored", (each) => bytes(each.checkpointed_size), true],
    ["All state", (each) => bytes(each.state_size), true],
    ["In", (each) => each.external_path ?? "the JobManager's memory"],
  ];
  const { counts, error } = checkpoints;
  return [
    el("h2", {}, "Checkpoints"),
    el("p", { class: "dim" }, `${count(counts.total)} begun, ${count(counts.completed)} completed, ${count(counts.in_progress)} under way, ${count(counts.failed)} given up`),
    error ? el("pre", { class: "error" }, error) : null,
    table(columns, checkpoints.history, "None is completed yet."),
  ];
}

function exceptionList(exceptions) {
  const entries = exceptions?.exceptionHistory.entries ?? [];
  if (!entries.length) return null;
  return [
    el("h2", {}, "Exceptions"),
    entries.map((each) => el("div", { class: "card" }, [
      el("b", {}, each.exceptionName), " ",
      el("span", { class: "dim" }, [each.timestamp === null ? "" : time(each.timestamp), " ", each.taskName ?? ""]),
      el("pre", {}, each.stacktrace),
    ])),
  ];
}

export async function vertex(id, vertexId) {
  const [told, found] = await Promise.all([ask(["jobs", id]), ask(["jobs", id, "vertices", vertexId])]);
  const bar = (ratio) => el("span", {}, [el("meter", { value: ratio ?? 0, min: 0, max: 1 }), " ", share(ratio)]);
  const columns = [
    ["Subtask", (each) => count(each.subtask), true],
    ["State", (each) => state(each.status)],
    ["Busy", (each) => bar(each["busy-ratio"])],
    ["Held up", (each) => bar(each["backpressure-ratio"])],
    ["Read", (each) => count(each.metrics["read-records"]), true],
    ["Written", (each) => count(each.metrics["write-records"]), true],
    ["From others", (each) => bytes(each.metrics["read-bytes"]), true],
    ["To others", (each) => bytes(each.metrics["write-bytes"]), true],
    ["Event time", (each) => time(each.watermark)],
    ["Waits for", (each) => each["waits-for"] ?? ""],
    ["On", (each) => each["taskmanager-id"]],
  ];
  return [
    el("div", { class: "row" }, [link(["jobs", id], told.name), el("h1", {}, found.name)]),
    table(columns, found.subtasks, "It has no subtasks."),
  ];
}

/** What each subtask took for a checkpoint. */
export async function checkpoint(id, number) {
  const at = ["jobs", id, "checkpoints", "details", number];
  const [told, found] = await Promise.all([ask(["jobs", id]), ask(at)]);
  const parts = await Promise.all(told.vertices.map(({ id: vertex }) => ask([...at, "subtasks", vertex])));
  const columns = [
    ["Subtask", (each) => count(each.index), true],
    ["Barrier came after", (each) => duration(each.start_delay), true],
    ["Aligning", (each) => duration(each.alignment.duration), true],
    ["Held up by the snapshot", (each) => duration(each.checkpoint.sync), true],
    ["Storing", (each) => duration(each.checkpoint.async), true],
    ["Stored", (each) => bytes(each.checkpointed_size), true],
    ["All state", (each) => bytes(each.state_size), true],
    ["In flight", (each) => bytes(each.alignment.persisted), true],
  ];
  return [
    el("div", { class: "row" }, [link(["jobs", id], told.name), el("h1", {}, `Checkpoint ${number}`), state(found.status)]),
    el("p", { class: "dim" }, found.external_path),
    told.vertices.map((vertex, index) => [
      el("h2", {}, vertex.name),
      table(columns, parts[index].subtasks, "No subtask has stored anything."),
    ]),
  ];
}
