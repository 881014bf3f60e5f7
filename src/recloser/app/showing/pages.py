"""Owns the console on its own: over a project, or over a finished replay with the clock standing at its end."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from recloser.app.processes.server import listen
from recloser.app.processes.supervisor import Child, pages_command, supervise
from recloser.app.project.settings import load_project
from recloser.app.replay.policies.scratch import is_scratch
from recloser.app.security.gatekeeping import scheme_of
from recloser.core import InvalidInput, parse_utc, unknown_name

MAIN = "recloser"
"""The policy that is shown where none is named."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What is shown: a project's folder, and the instant (aware UTC) at which its clock stands, or None."""

    folder: Path
    at: datetime | None = None


def replayed(out: Path, policy: str | None = None) -> Shown:
    """Return what a replay or a demo has left to be shown.

    Args:
        out: the folder of its report.
        policy: whose life; None for the loop's, or the first where there is no loop.

    Raises:
        InvalidInput: no report there, no such policy, or what the policy lived in was removed.
    """
    try:
        report = json.loads((out / "report.json").read_text(encoding="utf-8"))
        at, policies = parse_utc(report["to"], "report.json"), list(report["policies"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(
            "no report of a replay",
            got=str(error)[:200],
            where=str(out),
            next_step="Name the folder that was given to `recloser replay --out` or `recloser demo --out`.",
        ) from error
    chosen = policy or (MAIN if MAIN in policies else policies[0])
    if chosen not in policies:
        raise unknown_name("policy", chosen, policies, where="--policy")
    folder = out / "work" / chosen
    if not is_scratch(folder):
        raise InvalidInput(
            "what the policy lived in is not there",
            got=str(folder),
            where=str(out),
            next_step="Run the replay again: its report alone does not hold the forecasts.",
        )
    return Shown(folder, at)


def show_pages(
    shown: Shown,
    *,
    host: str | None,
    port: int | None,
    say: Callable[[str], None],
    ready: Callable[[dict[str, str]], None] = lambda _address: None,
) -> int:
    """Serve the pages until told to stop; no gateway and no controller is started.

    Args:
        shown: the project.
        host: where to listen, None for the project file's; a replay is shown on this host alone.
        port: the same, None for one above the gateway's; 0 lets the system choose.
        say: told of starts and restarts.
        ready: told {"console": url} before the process starts.

    Raises:
        InvalidInput: no project.
        Unavailable: the port is taken.
    """
    gateway = load_project(shown.folder).gateway
    over = is_scratch(shown.folder)
    where = host or ("127.0.0.1" if over else gateway.host)
    probe = listen(where, gateway.port + 1 if port is None else port)
    number = probe.getsockname()[1]
    probe.close()
    address = f"{'http' if over else scheme_of(gateway.tls)}://{where}:{number}"
    ready({"console": address})
    say(f"console {address}  (stop with Ctrl-C)")
    return supervise([Child("console", pages_command(shown.folder, where, number, shown.at))], say)
