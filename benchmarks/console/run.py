"""How soon a page of the console shows something useful: `python benchmarks/console/run.py`.

A project of 1,000 assets (`--assets`) is served by the console's own process, and opened in headless Chromium with an
empty cache, `--repetitions` times each: the overview, an area, the replay theatre, and for comparison an empty page of
the same toolkit (Starlette under uvicorn, no style sheet and no script). Told are medians and the slowest: when the
server's first byte came, when something was painted first, and when the first useful content stood there (the first
row of the table, or the chart), all in milliseconds from the start of the navigation by the browser's own clock.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError

sys.path += [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[2] / "tests" / "browser")]

from chromium import Browser, chromium, find_chromium
from world import world

from recloser.core import format_utc

EMPTY = """
import uvicorn
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route
page = "<!doctype html><html lang=en><head><title>x</title></head><body><main id=areas><p>x</p></main></body></html>"
uvicorn.run(Starlette(routes=[Route("/", lambda _: HTMLResponse(page))]), port={port}, log_level="error")
"""
WATCH = """
(() => {
  const look = () => {
    if (document.querySelector(%s)) window.__useful ??= performance.now();
    else requestAnimationFrame(look);
  };
  look();
})()
"""
PAGES = {
    "overview": ("/", "#areas tr svg"),
    "area": ("/area?name=A0500", "#chart svg"),
    "theatre": ("/theatre?name=A0500", "#moment svg"),
}
PATIENCE_S = 120.0


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(words: list[str], url: str) -> Iterator[None]:
    """Run a server's process until the block ends, and wait until it answers."""
    with subprocess.Popen(words) as process:
        try:
            deadline = time.monotonic() + PATIENCE_S
            while True:
                try:
                    with urllib.request.urlopen(url, timeout=PATIENCE_S):  # noqa: S310 - our own server
                        break
                except (URLError, ConnectionError):
                    if time.monotonic() > deadline or process.poll() is not None:
                        raise
                    time.sleep(0.05)
            yield
        finally:
            process.terminate()


def opened(browser: Browser, url: str, selector: str) -> dict[str, float]:
    """Open a page in a fresh profile and return its times in ms and what was received in kB."""
    with browser.page() as page:
        page.call("Page.addScriptToEvaluateOnNewDocument", source=WATCH % json.dumps(selector))
        page.go(url)
        page.wait("window.__useful !== undefined && performance.getEntriesByType('paint').length > 0")
        return {
            "first_byte_ms": float(page.js("performance.getEntriesByType('navigation')[0].responseStart")),
            "first_paint_ms": float(page.js("performance.getEntriesByType('paint')[0].startTime")),
            "useful_ms": float(page.js("window.__useful")),
            "kb": page.received / 1000.0,
        }


def measured(browser: Browser, url: str, selector: str, repetitions: int) -> dict[str, Any]:
    """Return median and slowest of each figure over the repetitions, after one that does not count."""
    opened(browser, url, selector)
    found = [opened(browser, url, selector) for _ in range(repetitions)]
    by_name = {name: [one[name] for one in found] for name in found[0]}
    return {
        name: {"median": round(statistics.median(numbers), 1), "worst": round(max(numbers), 1)}
        for name, numbers in by_name.items()
    }


def main() -> int:
    """Measure and print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--assets", type=int, default=1000)
    parser.add_argument("--repetitions", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    program = find_chromium()
    if program is None:
        sys.stderr.write("no Chromium is installed (Debian: apt-get install chromium)\n")
        return 3
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        folder, now = world(Path(place) / "grid", asked.assets)
        ours, theirs = free_port(), free_port()
        words = [sys.executable, "-m", "recloser.console", str(folder), "127.0.0.1", str(ours), str(os.getpid())]
        stack.enter_context(serving([*words, format_utc(now)], f"http://127.0.0.1:{ours}/static/icon.svg"))
        stack.enter_context(serving([sys.executable, "-c", EMPTY.format(port=theirs)], f"http://127.0.0.1:{theirs}/"))
        browser = stack.enter_context(chromium(program))
        table = {"empty page of the toolkit": measured(browser, f"http://127.0.0.1:{theirs}/", "p", asked.repetitions)}
        for name, (path, selector) in PAGES.items():
            table[name] = measured(browser, f"http://127.0.0.1:{ours}{path}", selector, asked.repetitions)
    if asked.json:
        sys.stdout.write(json.dumps({"assets": asked.assets, "pages": table}, indent=1) + "\n")
        return 0
    sys.stdout.write(f"{asked.assets} assets; ms, median (worst of {asked.repetitions})\n")
    for name, row in table.items():
        cells = [f"{key} {one['median']:.0f} ({one['worst']:.0f})" for key, one in row.items()]
        sys.stdout.write(f"{name:<28}{'  '.join(cells)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
