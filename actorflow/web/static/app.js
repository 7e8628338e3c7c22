// Which page is shown, and when it is shown anew.

import { ask, keepToken, Refused } from "./ask.js";
import { el } from "./dom.js";
import * as nodes from "./node_pages.js";
import * as pages from "./pages.js";

const page = document.getElementById("page");
const fresh = document.getElementById("fresh");
let refreshMs = 3000;
let timer;
let visit = 0;

/** Return the page that the address asks for: `#/jobs/<id>/<vertex>`, ... */
function chosen() {
  const [place, ...rest] = location.hash.replace(/^#\/?/, "").split("/").map(decoded);
  const found = {
    "": () => pages.overview(),
    "jobs": () => ofJob(...rest),
    "task-managers": () => (rest.length ? nodes.taskManager(rest.join("/")) : nodes.taskManagers()),
    "actors": () => (rest.length ? nodes.actor(rest.join("/")) : nodes.actors()),
    "logs": () => (rest.length ? nodes.log(rest.pop(), rest.join("/")) : nodes.logs()),
    "configuration": () => nodes.configuration(),
  }[place];
  return found ?? (async () => el("p", {}, "There is no such page."));
}

/** Return a part of the address as it was meant; one that somebody has mistyped as it is. */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function ofJob(id, part, number) {
  if (part === undefined) return pages.job(id);
  return number === undefined ? pages.vertex(id, part) : pages.checkpoint(id, number);
}

async function show() {
  clearTimeout(timer);
  const mine = ++visit;
  mark();
  try {
    const content = await chosen()();
    if (mine !== visit) return;
    page.replaceChildren(...[content].flat(Infinity).filter(Boolean));
    say(new Date().toLocaleTimeString(), false);
  } catch (error) {
    if (mine !== visit) return;
    if (error instanceof Refused && error.status === 401) return askForToken();
    if (error instanceof Refused && error.status === 404) page.replaceChildren(el("p", { class: "error" }, error.message));
    say(error instanceof Refused ? error.message : "the JobManager does not answer", true);
  }
  timer = setTimeout(again, refreshMs);
}

/** Show the page anew, but not under the hands of somebody who types. */
function again() {
  if (document.activeElement?.tagName === "INPUT") timer = setTimeout(again, refreshMs);
  else show();
}

function say(text, lost) {
  fresh.textContent = text;
  fresh.classList.toggle("lost", lost);
}

function mark() {
  const place = (location.hash || "#/").split("/")[1];
  for (const entry of document.querySelectorAll("nav a")) {
    const here = (entry.getAttribute("href").split("/")[1] ?? null) === place || (place === "jobs" && entry.hash === "#/");
    if (here && entry.hash) entry.setAttribute("aria-current", "page");
    else entry.removeAttribute("aria-current");
  }
}

function askForToken() {
  const input = el("input", { type: "password", autocomplete: "current-password", "aria-label": "token" });
  const send = () => {
    keepToken(input.value.trim());
    start();
  };
  input.addEventListener("keydown", (event) => event.key === "Enter" && send());
  page.replaceChildren(el("div", { class: "card" }, [
    el("h1", {}, "This cluster wants a token"),
    el("div", { class: "row" }, [input, el("button", { onclick: send }, "Go on")]),
    el("p", { class: "dim" }, "It is that of actorflow.rest.token, and is kept in this tab until it is closed."),
  ]));
  input.focus();
}

async function start() {
  try {
    refreshMs = (await ask(["config"]))["refresh-interval"];
  } catch {
    // the page says what is wrong when it asks itself
  }
  show();
}

addEventListener("hashchange", show);
addEventListener("changed", show);
document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : show()));
start();
