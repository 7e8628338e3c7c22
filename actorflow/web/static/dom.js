// Elements from data. Text is only ever set as text: names of jobs and records of users are never read as HTML.

/** Return an element. `content` is a text, an element, or a list of these; attributes that are null are left out. */
export function el(tag, attributes = {}, content = []) {
  return fill(document.createElement(tag), attributes, content);
}

const SVG = "http://www.w3.org/2000/svg";

/** Return an element of a drawing. */
export function svg(tag, attributes = {}, content = []) {
  return fill(document.createElementNS(SVG, tag), attributes, content);
}

function fill(element, attributes, content) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...[content].flat(Infinity).filter((part) => part !== null && part !== undefined));
  return element;
}

/** Return a table. Columns are `[title, read, numeric]`; what `read` returns of a row is a text or an element. */
export function table(columns, rows, nothing) {
  const kind = (numeric) => ({ class: numeric ? "number" : null });
  const head = columns.map(([title, , numeric]) => el("th", kind(numeric), title));
  const body = rows.map((row) => el("tr", {}, columns.map(([, read, numeric]) => el("td", kind(numeric), read(row)))));
  const none = el("tr", {}, el("td", { class: "none", colspan: columns.length }, nothing));
  return el("table", {}, [el("thead", {}, el("tr", {}, head)), el("tbody", {}, body.length ? body : none)]);
}

export const link = (to, text) => el("a", { href: `#/${to.map(encodeURIComponent).join("/")}` }, text);
export const state = (name) => el("span", { class: `state ${name}` }, name);
export const figure = (value, what) => el("div", { class: "figure" }, [el("b", {}, value), el("span", {}, what)]);
