// The graph of a job: vertices in layers from their sources, coloured by what they do.

import { svg } from "./dom.js";
import { rate, share } from "./format.js";

const WIDTH = 230, HEIGHT = 92, ACROSS = 110, DOWN = 26, MARGIN = 20;

/** Return a drawing of the vertices and edges of a job; `rates` has what each vertex does, by its id. */
export function graph(vertices, edges, rates, open) {
  const layer = layers(vertices, edges);
  const rows = new Map();
  const place = new Map();
  for (const { id } of vertices) {
    const column = layer.get(id);
    const row = rows.get(column) ?? 0;
    rows.set(column, row + 1);
    place.set(id, { x: MARGIN + column * (WIDTH + ACROSS), y: MARGIN + row * (HEIGHT + DOWN) });
  }
  const columns = Math.max(1, ...[...layer.values()].map((column) => column + 1));
  const width = 2 * MARGIN + columns * WIDTH + (columns - 1) * ACROSS;
  const height = 2 * MARGIN + Math.max(1, ...rows.values()) * (HEIGHT + DOWN) - DOWN;
  const lines = edges.map((edge) => arrow(place.get(edge.source), place.get(edge.target), edge.ship_strategy));
  const boxes = vertices.map((vertex) => box(vertex, place.get(vertex.id), rates.get(vertex.id), () => open(vertex.id)));
  const tip = svg("marker", { id: "tip", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" },
    svg("path", { d: "M0 0 8 4 0 8z", fill: "currentColor" }));
  return svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "job graph" },
    [svg("defs", {}, tip), ...lines, ...boxes]);
}

/** A vertex is one layer behind the last of those that it reads from. Graphs have no cycles. */
function layers(vertices, edges) {
  const layer = new Map(vertices.map(({ id }) => [id, 0]));
  for (let pass = 0; pass < vertices.length; pass++) {
    for (const { source, target } of edges) {
      layer.set(target, Math.max(layer.get(target), layer.get(source) + 1));
    }
  }
  return layer;
}

function arrow(from, to, strategy) {
  const [x1, y1, x2, y2] = [from.x + WIDTH, from.y + HEIGHT / 2, to.x, to.y + HEIGHT / 2];
  const bend = Math.max(30, (x2 - x1) / 2);
  return svg("g", {}, [
    svg("path", { d: `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`, "marker-end": "url(#tip)" }),
    svg("text", { class: "strategy", x: (x1 + x2) / 2, y: (y1 + y2) / 2 - 6 }, strategy.toLowerCase()),
  ]);
}

function box(vertex, { x, y }, seen, open) {
  const lines = [
    [`${vertex.status.toLowerCase()}, ${vertex.parallelism} subtask${vertex.parallelism === 1 ? "" : "s"}`],
    seen ? [`in ${rate(seen.in)}   out ${rate(seen.out)}`] : [""],
    seen ? [`busy ${share(seen.busy)}   held up ${share(seen.held)}`] : [""],
  ];
  const texts = lines.map(([text], at) => svg("text", { x: x + 12, y: y + 42 + at * 18 }, text));
  const name = vertex.name.length > 32 ? `${vertex.name.slice(0, 31)}…` : vertex.name;
  return svg("g", { onclick: open, cursor: "pointer" }, [
    svg("title", {}, vertex.name),
    svg("rect", { x, y, width: WIDTH, height: HEIGHT, fill: colour(seen) }),
    svg("text", { class: "name", x: x + 12, y: y + 22 }, name),
    ...texts,
  ]);
}

/** From blue (idle) to red (busy) and to black (back-pressured). */
function colour(seen) {
  if (!seen) return "#8a93a3";
  const mix = [74, 98, 178].map((idle, at) => idle * (1 - seen.busy) + [206, 60, 47][at] * seen.busy);
  const [red, green, blue] = mix.map((part) => Math.round(part * (1 - seen.held) + 20 * seen.held));
  return `rgb(${red},${green},${blue})`;
}
