"""Driver of test_chaos_run.py: `recloser run` ended at many moments of its CPU time, each time on a project of its own.

Imports once and forks per moment, since nothing but imports has happened before. The timer's signal is not handled, so
the kernel ends the process as SIGKILL does: in the middle of Python, Rust, C++ or SQLite alike. Prints one JSON list.
"""

from __future__ import annotations

import io
import json
import os
import resource
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from recloser.cli import main


def forked(words: list[str], cpu_s: float | None = None) -> tuple[int, str, float]:
    """Run a verb in a child, ended after `cpu_s` of CPU time; return its status, its stdout and its CPU seconds."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        if cpu_s is not None:
            signal.setitimer(signal.ITIMER_PROF, cpu_s)
        out = io.StringIO()
        code = main(words, out)
        with os.fdopen(writer, "w") as stream:
            stream.write(out.getvalue())
        os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as stream:
        text = stream.read()
    _, status, usage = os.wait4(child, 0)
    return status, text, usage.ru_utime + usage.ru_stime


def document(words: list[str]) -> dict[str, Any]:
    """Run a verb to its end and return its JSON document."""
    status, text, _ = forked([*words, "--json"])
    found: dict[str, Any] = json.loads(text)
    return {**found, "code": os.waitstatus_to_exitcode(status)}


def told(run: dict[str, Any]) -> dict[str, Any]:
    """Return what must be the same twice: everything but measured times."""
    checks = [(check["name"], check["verdict"]) for check in run["checks"]]
    return {key: run[key] for key in ("run", "candidate", "verdict", "reason", "code")} | {"checks": checks}


def chaos(project: Path, work: Path, moments: int) -> list[dict[str, Any]]:
    """Return for the undisturbed run and for each moment what came out in the end."""
    calm = Path(shutil.copytree(project, work / "calm"))
    warm = Path(shutil.copytree(project, work / "warm"))  # what is paid once per machine must not stretch the moments
    _, _, first_s = forked(["run", "--project", str(warm), "--json"])
    _, text, second_s = forked(["run", "--project", str(calm), "--json"])
    cpu_s = min(first_s, second_s)
    found = [{"at": None, "run": told({**json.loads(text), "code": 0}), "audit": document(audit(calm))}]
    for k in range(moments):
        folder = Path(shutil.copytree(project, work / f"moment{k}"))
        status, _, _ = forked(["run", "--project", str(folder), "--json"], cpu_s * (k + 0.5) / moments)
        after_kill = document(audit(folder))
        run = document(["run", "--project", str(folder)])
        forecast = document(["forecast", "--project", str(folder)])
        found.append(
            {
                "at": (k + 0.5) / moments,
                "killed": os.WIFSIGNALED(status),
                "after_kill": after_kill,
                "run": told(run),
                "audit": document(audit(folder)),
                "packages": len(list((folder / "state" / "packages").glob("rel-*"))),
                "serves": sorted({area["release"] for area in forecast["areas"].values()}),
            }
        )
        shutil.rmtree(folder)
    return found


def audit(folder: Path) -> list[str]:
    """Return the words that verify a project's audit log."""
    return ["audit", "verify", "--project", str(folder)]


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    json.dump(chaos(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])), sys.stdout)
