"""A program: whole lives with a clock that jumps, with labels that come twice and in any order, with a broken package.

Prints one JSON document: what each life came to.
"""

from __future__ import annotations

import json
import random
import resource
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from crash_compare import AGAIN, state_of
from crash_drive import forked, verify
from crash_scenario import FIRST_DAY, live, make_project, moments

PARTS = 12
JUMPS = {"an issue": (0, 1), "ann approves": (-1, 1), "bob approves": (-1, 1)}
"""Hours by which the clock may be fast or slow then; by a slow one an issue is not due yet."""


def life(folder: Path, *, jump: bool = False, parts: int = 1, broken: int | None = None) -> dict[str, Any]:
    """Live the whole story in a project of its own and return what it came to.

    Args:
        folder: of the project.
        jump: the clock is fast or slow by JUMPS, and goes back in between.
        parts: the history comes in so many parts, each twice, in any order; 1 is once and whole.
        broken: day of the story on which a byte of the champion's model changes on the disk; it is the last.
    """
    assert forked(lambda: make_project(folder, parts)) == 0
    chance, codes = random.Random(7), []
    for moment in moments():
        day = (moment.at.date() - FIRST_DAY).days
        if broken is not None and day > broken:
            break
        if broken == day and moment.name == "an issue":
            change_a_byte(folder)
        shift = timedelta(hours=chance.choice(JUMPS.get(moment.name, (0,))) if jump else 0)
        codes.append(forked(lambda moment=moment, shift=shift: live(folder, moment, shift)))
    assert forked(lambda: verify(folder)) == 0
    state = state_of(folder)
    rollouts = sorted(state["rollouts"].values(), key=lambda row: row["started_at"])
    return {
        "codes": sorted(set(codes)),
        "actions": [action for _, _, action, _, _ in state["entries"] if action not in {*AGAIN, "store.ingest"}],
        "rollouts": [[row["state"], row["share"]] for row in rollouts],
        "reasons": [row["reason"] for row in rollouts],
        "days": [[row["day"], row["n"], round(row["difference"], 9)] for row in state["paired_days"].values()],
        "trips": sorted(row["tier"] for row in state["trips"].values()),
        "issues": len({row["issued_at"] for row in state["forecasts"].values()}),
    }


def change_a_byte(folder: Path) -> None:
    route = next(iter(state_of(folder)["routes"].values()))
    model = min((folder / "state" / "packages" / route["champion"] / "model").glob("*.txt"))
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.chmod(0o644)
    model.write_bytes(bytes(content))


def main(work: Path) -> dict[str, Any]:
    return {
        "calm": life(work / "calm"),
        "clock": life(work / "clock", jump=True),
        "labels": life(work / "labels", parts=PARTS),
        "broken": life(work / "broken", broken=10),
    }


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    json.dump(main(Path(sys.argv[1])), sys.stdout)
