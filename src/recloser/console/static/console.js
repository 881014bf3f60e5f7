// Keeps an open page up to date and honest: what changed is loaded again, ages go on counting, and a lost connection
// is said at once. Every page is whole without this script; then the browser loads it again every 30 seconds.
"use strict";

const SILENT_MS = 12000; // the server speaks every 5 s
const AT_MOST_EVERY_MS = 1500;
const ASK_EVERY_MS = 2000;
const UNSEEN_MS = 10000; // a load that is due for longer is told
const LONGEST_LOAD_MS = 60000;

let shownAt = Date.parse(document.body.dataset.now);
let shownTick = performance.now();
let heardTick = performance.now();
let askedTick = 0;
let connected = true;
let alone = false; // no stream tells this tab anything
let asking = false;
let loading = false;
let toldLength = null;
let unreadable = false;
let wanted = null; // since when another load is due
let trouble = "";
let lastLoad = 0;

function words(seconds) {
  const size = Math.abs(seconds);
  const told = size >= 172800 ? `${Math.floor(size / 86400)} days`
    : size >= 7200 ? `${Math.floor(size / 3600)} h`
      : size >= 120 ? `${Math.floor(size / 60)} min` : `${Math.floor(size)} s`;
  return seconds >= 0 ? told : `in ${told}`;
}

function now() {
  const moved = document.body.hasAttribute("data-standing") ? 0 : performance.now() - shownTick;
  return shownAt + moved;
}

function count() {
  for (const age of document.querySelectorAll("[data-age]")) {
    const text = words((now() - Date.parse(age.dataset.age)) / 1000);
    if (age.textContent !== text) age.textContent = text;
  }
  const link = document.getElementById("link");
  if (!link) return;
  const text = doubt();
  if (link.textContent !== text) link.textContent = text;
  link.hidden = !text;
}

function doubt() {
  // What to say of a page that may be old; nothing of one that is not.
  const silent = performance.now() - heardTick;
  const from = document.getElementById("clock").dataset.at;
  const may = `this page shows what was known at ${from} and may be out of date`;
  if (unreadable && silent < SILENT_MS) return `▲ The project cannot be read now: ${may}.`;
  if (!connected || silent >= SILENT_MS) return `▲ No connection for ${words(silent / 1000)}: ${may}.`;
  if (wanted === null || performance.now() - wanted < UNSEEN_MS) return "";
  const why = [
    busy() ? "a form is open or a field is being filled in (close it, or leave the field)" : "",
    trouble || (busy() ? "" : "the server has not answered yet"),
  ];
  return `▲ What came after ${from} is not shown: ${why.filter(Boolean).join("; ")}.`;
}

function busy() {
  // Nothing is replaced under a person's hands.
  const active = document.activeElement;
  const typing = active && active.closest("main") && ["INPUT", "TEXTAREA", "SELECT"].includes(active.tagName);
  if (typing && active.id === "step") return performance.now() - theatre.touched < UNSEEN_MS / 2;
  return typing || document.querySelector("dialog[open], details.act[open], form[data-keep]") !== null;
}

async function load() {
  wanted ??= performance.now();
  if (loading || busy()) return;
  loading = true;
  lastLoad = performance.now();
  try {
    const signal = AbortSignal.timeout(LONGEST_LOAD_MS);
    const answer = await fetch(location.href, { credentials: "same-origin", signal });
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (answer.redirected) {
      trouble = "somebody must sign in again";
      if (!busy()) location.reload();
    } else if (answer.ok) replace(fresh);
    else trouble = `the server cannot make the page now (${[answer.status, said(fresh)].filter(Boolean).join(": ")})`;
  } catch {
    trouble = "the server did not answer";
  } finally {
    loading = false;
  }
}

function said(problem) {
  return problem.querySelector("p.care")?.textContent.slice(0, 200);
}

function typed() {
  // What somebody has written into fields and not sent, by where it stands.
  const found = new Map();
  for (const field of fields()) {
    const written = field.tagName === "SELECT"
      ? [...field.options].some((item) => item.selected !== item.defaultSelected)
      : field.value !== field.defaultValue || field.checked !== field.defaultChecked;
    if (written) found.set(placeOf(field), field);
  }
  return found;
}

function fields() {
  return [...document.querySelectorAll("#bar input, #bar select, #main input, #main select, #main textarea")]
    .filter((field) => field.type !== "hidden" && field.id !== "step");
}

function placeOf(field) {
  return `${field.closest("details[id]")?.id ?? field.form?.className} ${field.name}`;
}

function replace(fresh) {
  if (busy()) return;
  const kept = typed();
  const open = [...document.querySelectorAll("details[open][id]")].map((item) => item.id);
  const focus = document.activeElement;
  const place = focus && focus.id ? `#${CSS.escape(focus.id)}`
    : focus && focus.getAttribute("href") ? `a[href="${CSS.escape(focus.getAttribute("href"))}"]` : null;
  for (const id of ["bar", "main"]) {
    const [old, made] = [document.getElementById(id), fresh.getElementById(id)];
    if (old && made) old.replaceWith(document.adoptNode(made));
  }
  for (const name of ["now", "length"]) document.body.dataset[name] = fresh.body.dataset[name];
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  for (const field of kept.size ? fields() : []) {
    const old = kept.get(placeOf(field));
    if (old) [field.value, field.checked] = [old.value, old.checked];
  }
  if (place) document.querySelector(place)?.focus({ preventScroll: true });
  shownAt = Date.parse(fresh.body.dataset.now);
  shownTick = performance.now();
  trouble = "";
  wanted = toldLength > Number(document.body.dataset.length) ? shownTick : null; // changed again meanwhile
  count();
}

function hear(told) {
  heardTick = performance.now() - (told.ageMs ?? 0);
  unreadable = told.length === null;
  connected = !unreadable;
  toldLength = told.length;
  if (connected && String(told.length) !== document.body.dataset.length) wanted ??= performance.now();
}

function cutOff(refused) {
  connected = unreadable = false;
  if (refused) wanted ??= performance.now(); // the next load finds out whether somebody must sign in
}

// One stream for all tabs of a browser: stream.js. Where a browser has no shared workers, or that one is refused or
// silent, the tab asks by itself, which holds no connection.
function listen() {
  if (!window.SharedWorker) {
    alone = true;
    return;
  }
  const worker = new SharedWorker("/static/stream.js");
  worker.addEventListener("error", () => { alone = true; });
  worker.port.onmessage = ({ data }) => {
    if (data.cut) {
      if (!alone) cutOff(data.refused);
      alone ||= data.refused;
      return;
    }
    alone = false;
    hear(data);
  };
  addEventListener("pagehide", () => worker.port.postMessage("leave"));
  addEventListener("pageshow", (event) => { if (event.persisted) worker.port.postMessage("join"); });
}

async function ask() {
  asking = true;
  askedTick = performance.now();
  try {
    const answer = await fetch("/events.json", { credentials: "same-origin", signal: AbortSignal.timeout(SILENT_MS) });
    if (answer.ok) hear(await answer.json());
    else cutOff(answer.status === 401);
  } catch {
    cutOff(false);
  } finally {
    asking = false;
  }
}

// The replay theatre: the slider goes to a moment without loading the whole page; without a script its button does.
const theatre = { due: 0, shown: null, touched: -Infinity, waiting: false };

function stepTo(step) {
  const slider = document.getElementById("step");
  slider.value = step;
  slider.dispatchEvent(new Event("input", { bubbles: true }));
}

async function showMoment() {
  const slider = document.getElementById("step");
  if (theatre.waiting || !slider || slider.value === theatre.shown) return;
  theatre.waiting = true;
  const wanted = slider.value;
  const address = new URL("/theatre", location.href);
  address.search = new URLSearchParams({ name: slider.form.elements.name.value, step: wanted });
  try {
    const answer = await fetch(address, { credentials: "same-origin" });
    if (answer.redirected) {
      location.reload();
      return;
    }
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const id of ["moment", "cursor"]) {
      const [old, made] = [document.getElementById(id), fresh.getElementById(id)];
      if (old && made) old.replaceWith(document.adoptNode(made));
    }
    const words = fresh.getElementById("step").getAttribute("aria-valuetext");
    document.getElementById("step").setAttribute("aria-valuetext", words);
    const at = document.getElementById("when").dataset.at;
    document.querySelector("form.filter input[name=at]").value = at;
    address.search = new URLSearchParams({ name: slider.form.elements.name.value, at });
    history.replaceState(null, "", address);
    theatre.shown = wanted;
  } catch {
    theatre.shown = null; // asked for again with the next look
  } finally {
    theatre.waiting = false;
  }
}

function onTheatre(event) {
  const slider = document.getElementById("step");
  if (!slider) return;
  if (event.type === "input" && event.target === slider) {
    theatre.touched = performance.now();
    theatre.due = theatre.touched + 60;
  }
  if (event.type === "click" && !event.defaultPrevented) {
    const axis = event.target.closest("#course");
    if (!axis || event.target.closest("a")) return;
    const box = axis.getBoundingClientRect();
    const { left, right, width } = axis.dataset;
    const x = (event.clientX - box.left) / box.width * width;
    stepTo(Math.round((x - left) / (right - left) * slider.max));
  }
  if (event.type !== "keydown" || event.ctrlKey || event.altKey || event.metaKey) return;
  const day = Math.max(1, Math.round(24 / document.getElementById("course").dataset.stride));
  const onSlider = event.target === slider;
  if (onSlider && event.key === "PageUp") stepTo(Number(slider.value) + day);
  else if (onSlider && event.key === "PageDown") stepTo(Number(slider.value) - day);
  else if (["n", "p"].includes(event.key.toLowerCase()) && !["TEXTAREA", "SELECT"].includes(event.target.tagName)
    && (onSlider || event.target.tagName !== "INPUT")) {
    document.getElementById(event.key.toLowerCase() === "n" ? "next" : "previous")?.click();
  } else return;
  event.preventDefault();
}

if (document.getElementById("step")) {
  theatre.shown = document.getElementById("step").value;
  for (const kind of ["input", "click", "keydown"]) document.addEventListener(kind, onTheatre);
  setInterval(() => {
    if (theatre.due && performance.now() > theatre.due) {
      if (document.getElementById("step")?.value === theatre.shown) theatre.due = 0;
      else showMoment();
    }
  }, 30);
}

function tick() {
  const since = (instant) => performance.now() - instant;
  count();
  if (!asking && (alone || since(heardTick) > SILENT_MS) && since(askedTick) > ASK_EVERY_MS) ask();
  if (wanted !== null && since(lastLoad) > AT_MOST_EVERY_MS) load();
  else if (connected && since(lastLoad) > 60000) load();
}

if (document.getElementById("bar")) {
  listen();
  setInterval(tick, 500);
  document.addEventListener("visibilitychange", tick); // a hidden tab counts rarely
}
