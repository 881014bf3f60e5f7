// A shared worker: holds the one stream of a browser and passes on to all its tabs what that tells. A stream in each
// tab would leave nothing for pages and acts: browsers open six connections to a server. It ends with the last tab.
"use strict";

const AGAIN_MS = 5000;
const tabs = new Set();
let latest = null;
let heardTick = 0;

function tell(told) {
  for (const tab of tabs) tab.postMessage(told);
}

function listen() {
  const source = new EventSource("/events");
  source.addEventListener("state", (event) => {
    latest = JSON.parse(event.data);
    heardTick = performance.now();
    tell(latest);
  });
  source.addEventListener("error", () => {
    const refused = source.readyState === EventSource.CLOSED; // else the browser connects again by itself
    latest = null;
    tell({ cut: true, refused });
    if (refused) setTimeout(listen, AGAIN_MS);
  });
}

addEventListener("connect", (event) => {
  const [tab] = event.ports;
  tabs.add(tab);
  tab.onmessage = ({ data }) => (data === "leave" ? tabs.delete(tab) : tabs.add(tab));
  if (latest) tab.postMessage({ ...latest, ageMs: performance.now() - heardTick });
});

listen();
