// The vertices of a job: which of them run, and how wide. There it can be told to run wider or narrower.

import { ask, Refused } from "./ask.js";
import { el, link, state, table } from "./dom.js";
import { count } from "./format.js";

const typed = new Map(); // by job: what was typed for its vertices, kept because pages are made anew every few seconds
const refused = new Map(); // by job: why it could not be rescaled

/** Return the table of the vertices of a job, with fields for their parallelism while that can be another one. */
export function vertices(told, over) {
  const widths = typed.get(told.jid) ?? new Map();
  typed.set(told.jid, widths);
  const fixed = over || told.stages.length > 0;
  const field = (vertex) => el("input", {
    type: "number", min: 1, max: vertex.maxParallelism, value: widths.get(vertex.id) ?? vertex.parallelism,
    "aria-label": `parallelism of ${vertex.name}`, oninput: (event) => {
      widths.set(vertex.id, event.target.value);
      refused.delete(told.jid);
    },
  });
  const columns = [
    ["Vertex", (vertex) => link(["jobs", told.jid, vertex.id], vertex.name)],
    ["State", (vertex) => state(vertex.status)],
    ...(told.stages.length ? [["Stage", (vertex) => stageOf(told, vertex)]] : []),
    ["Subtasks finished", (vertex) => `${count(vertex.tasks.FINISHED)} of ${count(vertex.parallelism)}`, true],
    ["Parallelism", (vertex) => (fixed ? count(vertex.parallelism) : field(vertex)), true],
  ];
  const button = el("button", { onclick: () => rescale(told, widths) }, "Rescale");
  return [
    el("div", { class: "row" }, [el("h2", { class: "grow" }, "Vertices"), progress(told), fixed ? null : button]),
    refused.has(told.jid) ? el("p", { class: "error", role: "alert" }, refused.get(told.jid)) : null,
    table(columns, told.vertices, "It has none."),
  ];
}

function stageOf(told, vertex) {
  const at = told.stages.findIndex((stage) => stage.vertices.includes(vertex.id));
  return [`${count(at + 1)} of ${count(told.stages.length)} `, state(told.stages[at].status)];
}

function progress(told) {
  if (!told.rescaling) return null;
  return el("span", { class: "dim" }, `being rescaled to ${count(told.rescaling.parallelism)}: ${told.rescaling.phase}`);
}

/** Ask for what was typed, and note why it cannot be. The page is made anew, and shows either. */
async function rescale(told, widths) {
  const changed = told.vertices.filter(({ id, parallelism }) => widths.has(id) && widths.get(id) !== String(parallelism));
  const lines = changed.map(({ id, name, parallelism }) => `${name}: ${parallelism} → ${widths.get(id)}`);
  if (!changed.length || !confirm(`Rescale ${told.name}? It stands still for a moment.\n\n${lines.join("\n")}`)) return;
  const path = ["jobs", told.jid, "resource-requirements"];
  try {
    const asked = await ask(path);
    const body = Object.fromEntries(changed.map(({ id }) => [id, { parallelism: bounds(asked[id], Number(widths.get(id))) }]));
    await ask(path, { method: "PUT", body });
    widths.clear();
    refused.delete(told.jid);
  } catch (error) {
    refused.set(told.jid, error instanceof Refused ? error.message : "the JobManager does not answer");
  }
  dispatchEvent(new Event("changed"));
}

/** Return the bounds of a vertex that is to be as wide as this: it must have no less than before, unless all of it is less. */
function bounds(asked, upperBound) {
  return { lowerBound: Math.min(asked?.parallelism.lowerBound ?? 1, upperBound), upperBound };
}
