"use strict";
// The page renews itself when the server says that something has changed, and answers to keys. It builds no markup of
// its own: what it puts in place is the server's page, parsed without running anything.

const LEAST = 400; // milliseconds between two renewals
const answers = new Map(); // by form: what the server said last
const pulse = document.getElementById("pulse");
let source = null, last = 0, timer = null, late = false;

function say(words, kind) {
  pulse.textContent = words;
  pulse.dataset.kind = kind;
}

function listen() {
  if (source) source.close();
  source = new EventSource(document.body.dataset.events);
  source.onopen = () => say("live", "on");
  source.onerror = () => {
    say("the server is gone; trying again", "off");
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 3000); // refused: the browser does not try again
  };
  source.addEventListener("changed", soon);
}

function soon() {
  if (document.hidden || reading()) { late = true; return; }
  if (timer === null) timer = setTimeout(renew, Math.max(0, last + LEAST - Date.now()));
}

// Nothing moves under somebody who has marked a text, or ticks boxes.
function reading() {
  const marked = getSelection();
  if (marked && !marked.isCollapsed && document.getElementById("main").contains(marked.anchorNode)) return true;
  const at = document.activeElement;
  if (at && at.closest("form.hand") && at.matches("input, textarea") && at.value) return true;
  return document.querySelector("main input:checked") !== null;
}

async function renew() {
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (reading()) { late = true; return; }
    late = false;
    const kept = place();
    for (const id of ["top", "main"]) {
      const old = document.getElementById(id), next = fresh.getElementById(id);
      if (id === "top") next.querySelector("#pulse").replaceWith(pulse);
      if (old.innerHTML !== next.innerHTML) old.replaceChildren(...next.childNodes);
      else if (id === "top") old.querySelector(".where").append(pulse);
    }
    document.title = fresh.title;
    for (const name of ["previous", "next", "up", "events"]) {
      if (fresh.body.dataset[name] === undefined) delete document.body.dataset[name];
      else document.body.dataset[name] = fresh.body.dataset[name];
    }
    restore(kept);
    hands();
    document.body.dataset.renewed = Number(document.body.dataset.renewed || 0) + 1;
  } catch (problem) {
    late = true; // the server is gone: the page stays as it is
  } finally {
    timer = null;
    last = Date.now();
  }
}

function place() {
  const main = document.getElementById("main"), at = document.activeElement;
  return {
    open: [...main.querySelectorAll("details")].map((one) => one.open),
    scrolled: [...main.querySelectorAll(".scroll")].map((one) => one.scrollLeft),
    href: main.contains(at) && at.getAttribute ? at.getAttribute("href") : null,
  };
}

function restore(kept) {
  const main = document.getElementById("main");
  const folds = [...main.querySelectorAll("details")], wide = [...main.querySelectorAll(".scroll")];
  if (folds.length === kept.open.length) folds.forEach((one, n) => { one.open = kept.open[n]; });
  if (wide.length === kept.scrolled.length) wide.forEach((one, n) => { one.scrollLeft = kept.scrolled[n]; });
  if (kept.href) {
    const again = [...main.querySelectorAll("a")].find((one) => one.getAttribute("href") === kept.href);
    if (again) again.focus({ preventScroll: true });
  }
}

function step(by) {
  const rows = [...document.querySelectorAll("main a.row")];
  if (!rows.length) return;
  const here = rows.indexOf(document.activeElement);
  const next = here < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, here + by));
  rows[next].focus();
}

// In a picture with lanes the arrow keys lead along a lane, and to the nearest stretch of the lane above or below.
function along(key) {
  const at = document.activeElement, lane = at && at.closest ? at.closest("svg.lanes .lane") : null;
  if (!lane || !at.matches("a")) return null;
  const own = [...lane.querySelectorAll("a")], here = own.indexOf(at);
  if (key === "ArrowLeft") return own[here - 1];
  if (key === "ArrowRight") return own[here + 1];
  if (key === "Home") return own[0];
  if (key === "End") return own[own.length - 1];
  const full = [...lane.parentNode.querySelectorAll(".lane")].filter((one) => one.querySelector("a"));
  const other = full[full.indexOf(lane) + (key === "ArrowUp" ? -1 : 1)];
  const middle = (one) => { const box = one.getBoundingClientRect(); return box.left + box.width / 2; };
  const off = (one) => Math.abs(middle(one) - middle(at));
  return other && [...other.querySelectorAll("a")].reduce((best, one) => (off(one) < off(best) ? one : best));
}

// What a stretch is stands below the picture, for the one that is looked at; the Tab key comes back to it.
function told(event) {
  const at = event.target.closest ? event.target.closest("svg.lanes a") : null;
  if (!at) return;
  const svg = at.closest("svg");
  svg.nextElementSibling.textContent = at.querySelector("title").textContent;
  if (event.type !== "focusin") return;
  for (const one of svg.querySelectorAll("a")) one.setAttribute("tabindex", one === at ? 0 : -1);
}

// The token comes behind the # of an address, which is sent nowhere; it stays in this tab.
function token() {
  const found = new URLSearchParams(location.hash.slice(1)).get("token");
  if (found) {
    sessionStorage.setItem("token", found);
    history.replaceState(null, "", location.pathname + location.search);
  }
  return sessionStorage.getItem("token");
}

function tell(form, words, kind) {
  const said = form.querySelector("output");
  said.textContent = words;
  said.dataset.kind = kind;
  answers.set(form.querySelector("legend").textContent, [words, kind]);
}

function hands() {
  const known = token() !== null;
  for (const one of document.querySelectorAll(".hands")) one.hidden = !known;
  for (const one of document.querySelectorAll(".handless")) one.hidden = known;
  for (const form of document.querySelectorAll("form.hand")) {
    const before = answers.get(form.querySelector("legend").textContent);
    if (before) tell(form, ...before);
  }
}

async function give(form, button) {
  const body = new URLSearchParams(new FormData(form, button));
  try {
    const answer = await fetch(form.action, { method: "POST", body, headers: { Authorization: `Bearer ${token()}` } });
    const words = await answer.text();
    if (answer.ok) form.reset();
    tell(form, answer.ok ? words : `refused: ${words}`, answer.ok ? "on" : "off");
    soon();
  } catch (problem) {
    tell(form, "the server is gone", "off");
  }
}

function go(target) {
  if (target) location.href = target;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, dialog[open]")) return;
  const arrows = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"];
  const next = arrows.includes(event.key) ? along(event.key) : null;
  if (next) { event.preventDefault(); next.focus(); return; }
  const known = {
    j: () => step(1), k: () => step(-1), u: () => go(document.body.dataset.up),
    "[": () => go(document.body.dataset.previous), "]": () => go(document.body.dataset.next),
    "?": () => document.getElementById("help").showModal(),
  };
  const tab = /^[0-9a-z]$/.test(event.key) ? document.querySelector(`[data-key="${event.key}"]`) : null;
  const act = tab ? () => tab.click() : known[event.key];
  if (act) { event.preventDefault(); act(); }
});
document.addEventListener("focusin", told);
document.addEventListener("mouseover", told);
document.addEventListener("submit", (event) => {
  if (!event.target.matches("form.hand")) return;
  event.preventDefault();
  give(event.target, event.submitter);
});
document.getElementById("keys").addEventListener("click", () => document.getElementById("help").showModal());
document.addEventListener("visibilitychange", () => { if (!document.hidden && late) soon(); });
document.addEventListener("selectionchange", () => { if (late && !reading()) soon(); });
document.addEventListener("change", () => { if (late && !reading()) soon(); });
addEventListener("hashchange", hands);
addEventListener("pagehide", () => { if (source) source.close(); });
addEventListener("pageshow", (event) => { if (event.persisted) { listen(); soon(); } });
listen();
hands();
