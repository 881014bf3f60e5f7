"""The ten minutes of the README and the longer tour: every command in them is run, in order, in one folder."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from recloser.cli.main import main

pytestmark = pytest.mark.story

ROOT = Path(__file__).parents[2]
# The tour with the default recipe takes minutes; its commands are the same with a small one.
SMALL = """
[model]
trees = 20
leaves = 7
learning_rate = 0.2
max_rows = 5000
calibration_days = 14

[registry]
kind = "folder"

[gateway.sla]           # a machine that is busy with other tests keeps no promise of speed
requests_per_second = 5.0
p50_ms = 60000.0
p99_ms = 60000.0
start_seconds = 600.0
"""
PATIENCE_S = 240.0


def blocks(text: str, language: str) -> list[str]:
    """Return the code blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def commands(page: str) -> list[str]:
    """Return the shell commands of a page, a here-document as one command."""
    found: list[str] = []
    for block in blocks((ROOT / page).read_text(encoding="utf-8"), "bash"):
        lines = iter(block.splitlines())
        for line in lines:
            if "<<'END'" in line:
                body = itertools.takewhile(lambda text: text != "END", lines)
                found.append("\n".join([line, *body, "END"]))
            elif line.strip() and not line.startswith("#"):
                found.append(line)
    return found


class Shell:
    """Runs the commands of the tour: recloser in this process, `up` and everything else as it is."""

    def __init__(self) -> None:
        self.up: subprocess.Popen[str] | None = None
        self.address = ""

    def run(self, line: str) -> str:
        """Run one command and return what it printed; a wrong exit code fails the test."""
        words = shlex.split(line, comments=True) if "\n" not in line else line.split()
        expected = re.search(r"# exit (\d)$", line)
        if words[:2] == ["recloser", "up"]:
            return self.start(words)
        if words[0] == "recloser":
            out = io.StringIO()
            code = main(words[1:], out)
            assert code == (int(expected[1]) if expected else 0), f"{line!r} ended with {code}: {out.getvalue()}"
            return out.getvalue()
        if words[0] == "curl":
            return self.fetch(words[-1])
        done = subprocess.run(["bash", "-euc", line], capture_output=True, text=True, check=False, env=environment())
        assert done.returncode == 0, f"{line!r}: {done.stderr}"
        return done.stdout

    def start(self, words: list[str]) -> str:
        """Start `recloser up` on free ports; the first line it prints is the document with its addresses."""
        port = words.index("--port")
        program = Path(sys.executable).parent / "recloser"
        command = [str(program), *words[1:port], *words[port + 2 :], "--port", "0", "--json"]
        self.up = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())
        assert self.up.stdout is not None
        text = ""
        for line in self.up.stdout:
            text += line
            with contextlib.suppress(json.JSONDecodeError):
                self.address = json.loads(text)["gateway"]
                return text
        raise AssertionError(f"up ended with {self.up.wait()}: {text}")

    def fetch(self, url: str) -> str:
        """Read what curl would read, waiting for the gateway to come up."""
        path = url.removeprefix("http://127.0.0.1:8080")
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                with urllib.request.urlopen(self.address + path, timeout=30) as answer:  # noqa: S310 - our own gateway
                    return answer.read().decode()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    def stop(self) -> None:
        """Stop `up` as a person does."""
        if self.up is not None:
            self.up.send_signal(signal.SIGINT)
            code = self.up.wait(timeout=60)
            assert self.up.stdout is not None
            self.up.stdout.close()
            self.up = None
            assert code == 0


def environment() -> dict[str, str]:
    """Return this process's environment with our own programs first on the path."""
    here = Path(sys.executable).parent
    return {**os.environ, "PATH": f"{here}{os.pathsep}{os.environ.get('PATH', '')}"}


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    monkeypatch.chdir(tmp_path)
    shell = Shell()
    yield shell
    shell.stop()


def test_every_command_of_the_readme_and_of_the_tour_works(shell: Shell) -> None:
    printed: dict[str, str] = {}
    for line in commands("README.md"):
        printed[line] = shell.run(line)
        if line.startswith("recloser init"):
            with Path("mygrid/recloser.toml").open("a", encoding="utf-8") as file:
                file.write(SMALL)
        if line.startswith("curl"):
            shell.stop()
    told = {" ".join(line.split()[1:3]).replace(" --project", ""): text for line, text in printed.items()}
    assert told["run"].splitlines()[0].endswith("checks passed")
    assert "served by champion" in told["forecast"]
    assert "Champion rel-" in told["status"]
    assert "with the loop" in told["replay"]
    assert "fallback ladder serves now" in told["rollback"]
    assert "unbroken" in told["audit verify"]
    report = json.loads(Path("replay/report.json").read_text(encoding="utf-8"))
    assert set(report["policies"]) == {"never", "recloser"}
    assert Path("replay/report.html").stat().st_size > 10_000
    served = json.loads(next(text for line, text in printed.items() if line.startswith("curl")))
    assert len(served["points"]) == 24

    python = blocks((ROOT / "README.md").read_text(encoding="utf-8"), "python")
    assert len(python) == 1
    Path("mygrid/pipeline.py").write_text(python[0], encoding="utf-8")
    release = ""
    for line in commands("docs/tour.md"):
        text = shell.run(line.replace("RELEASE", release))
        release = text.split()[1].rstrip(":") if line.startswith("recloser run") else release
    assert any("freezing" in path.read_text() for path in Path("mygrid/state/packages").glob("*/release.json"))
