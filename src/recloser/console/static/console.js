// Keeps an open page up to date and honest: what changed is loaded again, ages go on counting, and a lost connection
// is said at once. Every page is whole without this script; then the browser loads it again every 30 seconds.
"use strict";

const SILENT_MS = 12000; // the server speaks every 5 s
const AT_MOST_EVERY_MS = 1500;

let shownAt = Date.parse(document.body.dataset.now);
let shownTick = performance.now();
let heardTick = performance.now();
let connected = true;
let loading = false;
let wanted = false;
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
  const silent = performance.now() - heardTick;
  const link = document.getElementById("link");
  if (!link) return;
  if (connected && silent < SILENT_MS) {
    link.hidden = true;
    return;
  }
  const text = `▲ No connection for ${words(silent / 1000)}: this page shows what was known at `
    + `${new Date(shownAt).toISOString().slice(0, 19).replace("T", " ")} UTC and may be out of date.`;
  if (link.textContent !== text) link.textContent = text;
  link.hidden = false;
}

function busy() {
  // Nothing is replaced under a person's hands.
  const active = document.activeElement;
  const typing = active && active.closest("main") && ["INPUT", "TEXTAREA", "SELECT"].includes(active.tagName);
  return typing || document.querySelector("dialog[open], details.act[open], form[data-keep]") !== null;
}

async function load() {
  if (loading || busy()) {
    wanted = true;
    return;
  }
  loading = true;
  wanted = false;
  lastLoad = performance.now();
  try {
    const answer = await fetch(location.href, { credentials: "same-origin" });
    if (answer.redirected) {
      location.reload();
      return;
    }
    if (answer.ok) replace(new DOMParser().parseFromString(await answer.text(), "text/html"));
    else wanted = true;
  } catch {
    wanted = true;
  } finally {
    loading = false;
  }
}

function replace(fresh) {
  if (busy()) {
    wanted = true;
    return;
  }
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
  if (place) document.querySelector(place)?.focus({ preventScroll: true });
  shownAt = Date.parse(fresh.body.dataset.now);
  shownTick = performance.now();
  count();
}

function listen() {
  const source = new EventSource("/events");
  source.addEventListener("state", (event) => {
    heardTick = performance.now();
    connected = true;
    const told = JSON.parse(event.data);
    if (told.length === null) connected = false;
    else if (String(told.length) !== document.body.dataset.length) wanted = true;
  });
  source.addEventListener("error", () => {
    connected = false;
    if (source.readyState === EventSource.CLOSED) {
      wanted = true;  // the next load finds out whether somebody must sign in
      setTimeout(listen, 5000);
    }
  });
}

// The replay theatre: the slider goes to a moment without loading the whole page; without a script its button does.
const theatre = { due: 0, shown: null, waiting: false };

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
  if (event.type === "input" && event.target === slider) theatre.due = performance.now() + 60;
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

if (document.getElementById("bar")) {
  listen();
  setInterval(() => {
    count();
    if (wanted && performance.now() - lastLoad > AT_MOST_EVERY_MS) load();
    else if (connected && performance.now() - lastLoad > 60000) load();
  }, 500);
}
