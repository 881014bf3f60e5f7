"""Drives a real headless Chromium over its DevTools protocol: pages, real clicks and keys, network, screenshots."""

from __future__ import annotations

import base64
import itertools
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

PATIENCE_S = 120.0  # for a machine that is busy with other tests
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # tests may run as root in a container, where the sandbox cannot start
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--remote-debugging-port=0",
)


def find_chromium() -> str | None:
    """Return the path of an installed Chromium, None without one."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Page:
    """One tab. Everything it loads, every console message and every breach of the content policy is kept."""

    def __init__(self, link: ClientConnection) -> None:
        self._link, self._numbers = link, itertools.count(1)
        self.requests: list[str] = []
        self.problems: list[str] = []
        self.received = 0
        self._heard: dict[str, dict[str, Any]] = {}
        for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        number = next(self._numbers)
        self._link.send(json.dumps({"id": number, "method": method, "params": parameters}))
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            message = json.loads(self._link.recv(timeout=PATIENCE_S))
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']['message']}")
                return dict(message["result"])
            self._note(message)
        raise TimeoutError(method)

    def event(self, method: str) -> dict[str, Any]:
        """Return the latest event of that name, waiting for the first."""
        deadline = time.monotonic() + PATIENCE_S
        while method not in self._heard and time.monotonic() < deadline:
            self._note(json.loads(self._link.recv(timeout=PATIENCE_S)))
        return self._heard[method]

    def _note(self, message: dict[str, Any]) -> None:
        facts = message.get("params", {})
        self._heard[str(message.get("method"))] = facts
        match message.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(facts["request"]["url"])
            case "Network.loadingFinished":
                self.received += int(facts["encodedDataLength"])
            case "Log.entryAdded" if facts["entry"]["level"] == "error":
                self.problems.append(facts["entry"]["text"])
            case "Runtime.exceptionThrown":
                self.problems.append(str(facts["exceptionDetails"].get("exception", facts["exceptionDetails"])))

    def go(self, url: str) -> None:
        """Open a page and wait until it is loaded."""
        self.act(lambda: self.call("Page.navigate", url=url))

    def act(self, what: Callable[[], object]) -> None:
        """Do what leads to another page, and wait until that one is loaded."""
        self.js("window.__before = true")
        what()
        self.wait("!window.__before && document.readyState === 'complete'")

    def js(self, expression: str) -> Any:
        """Return what an expression comes to in the page; a promise is awaited."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(str(found["exceptionDetails"].get("exception", {}).get("description")))
        return found["result"].get("value")

    def wait(self, condition: str, why: str = "") -> None:
        """Wait until an expression is true in the page."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                if self.js(condition):
                    return
            except RuntimeError:  # the page is being replaced
                pass
            time.sleep(0.03)
        raise TimeoutError(f"{why or condition}; the page says: {self.text()[:1500]}")

    def text(self, selector: str = "body") -> str:
        """Return the text that a person sees in the first element of a CSS selector."""
        return str(self.js(f"(document.querySelector({json.dumps(selector)}) || {{innerText: ''}}).innerText"))

    def count(self, selector: str) -> int:
        """Return how many elements a CSS selector finds."""
        return int(self.js(f"document.querySelectorAll({json.dumps(selector)}).length"))

    def click(self, selector: str) -> None:
        """Click the middle of the first element with a real mouse."""
        found = self.js(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); if (!e) return null;"
            "e.scrollIntoView({block: 'center'}); const r = e.getBoundingClientRect();"
            "return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        if found is None:
            raise LookupError(f"nothing to click: {selector}; the page says: {self.text()[:800]}")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=found[0], y=found[1], button="left", clickCount=1)

    def fill(self, selector: str, text: str) -> None:
        """Put text into a field as typing it would."""
        self.js(f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.value = ''; e.focus(); }})()")
        self.call("Input.insertText", text=text)

    def key(self, key: str, code: int, text: str = "") -> None:
        """Press and release a key."""
        facts = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", **facts, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **facts)

    def size(self, width: int, height: int) -> None:
        """Make the window so large, in pixels."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Write what is seen as a PNG file."""
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

    def pdf(self) -> bytes:
        """Return the page as it is printed."""
        return base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"])


class Browser:
    """A running Chromium with a fresh profile for each page."""

    def __init__(self, port: int) -> None:
        self._port = port

    def _get(self, path: str, method: str = "GET") -> Any:
        address = urllib.request.Request(f"http://127.0.0.1:{self._port}{path}", method=method)
        with urllib.request.urlopen(address, timeout=PATIENCE_S) as answer:  # noqa: S310 - our own browser
            return json.loads(answer.read())

    @contextmanager
    def page(self, width: int = 1366, height: int = 768) -> Iterator[Page]:
        """Open a tab with cookies of its own, close it at the end."""
        with self.tabs(1, width, height) as (page,):
            yield page

    @contextmanager
    def tabs(self, count: int, width: int = 1366, height: int = 768) -> Iterator[list[Page]]:
        """Open tabs that share cookies, as those of one person do; close them at the end."""
        version = self._get("/json/version")
        with ExitStack() as stack:
            control = stack.enter_context(
                connect(version["webSocketDebuggerUrl"], max_size=None, open_timeout=PATIENCE_S)
            )
            numbers = itertools.count(1)

            def call(method: str, **parameters: Any) -> dict[str, Any]:
                number = next(numbers)
                control.send(json.dumps({"id": number, "method": method, "params": parameters}))
                while True:
                    message = json.loads(control.recv(timeout=PATIENCE_S))
                    if message.get("id") == number:
                        return dict(message["result"])

            context = call("Target.createBrowserContext")["browserContextId"]
            stack.callback(call, "Target.disposeBrowserContext", browserContextId=context)
            pages = []
            for _ in range(count):
                target = call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
                url = f"ws://127.0.0.1:{self._port}/devtools/page/{target}"
                link = stack.enter_context(connect(url, max_size=None, open_timeout=PATIENCE_S, ping_interval=None))
                pages.append(Page(link))
                pages[-1].size(width, height)
            yield pages


@contextmanager
def chromium(program: str) -> Iterator[Browser]:
    """Run Chromium while the block lasts."""
    with tempfile.TemporaryDirectory(prefix="recloser-chromium-") as home:
        # stderr tells the address of the protocol; the file cannot fill up like a pipe
        log = Path(home) / "log"
        with log.open("wb") as told:
            process = subprocess.Popen(
                [program, *FLAGS, f"--user-data-dir={home}/profile", "about:blank"],
                stdout=told,
                stderr=told,
                env={**os.environ, "HOME": home, "no_proxy": "*"},
            )
        try:
            yield Browser(_port(process, log))
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        found = re.search(r"DevTools listening on ws://[^:]+:(\d+)/", log.read_text(errors="replace"))
        if found:
            return int(found.group(1))
        time.sleep(0.05)
    raise RuntimeError(f"Chromium did not start: {log.read_text(errors='replace')[-800:]}")


__all__ = ["Browser", "Page", "chromium", "find_chromium"]
