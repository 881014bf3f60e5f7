"""From a verdict to the last answer of the stopped release, under load: `python benchmarks/rollback/run.py`.

A real project under `recloser up` (supervisor, gateway workers, controller) answers a steady load over HTTP while a
canary with code of its own answers for half of the areas. Each repetition stops that canary in one way and notes when
the last of its answers arrived at the caller. Times count from the verdict: the time of the ledger's entry, which is
taken before the target is verified and the transaction written; for the guard the time of its cut; for the lease its
end. An answer that arrived before the verdict counts as 0. `--repetitions`, `--workers`, `--ways` and `--rate` choose
less; `--patient` lets requests wait as long as they must, so that a busy machine turns nobody away.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path += [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1] / "serving")]

from place import Place, made, running, until
from witness import Witness

from recloser.app.loop.evidence import DIVERGENCE
from recloser.core import parse_utc
from recloser.ledger import RouteRecord, StateRecord

SILENT_S = 1.2
LEASE_S = 2.0
TARGET_MS = 1000.0


@dataclass
class Result:
    """What one way of stopping came to, by repetition: milliseconds from the verdict, and from its cause."""

    ms: list[float] = field(default_factory=list)
    whole_ms: list[float] = field(default_factory=list)
    dropped: int = 0
    sent: int = 0
    alarms: list[int] = field(default_factory=list)
    after: list[dict[str, Any]] = field(default_factory=list)


def entry_at(place: Place, after: int, actions: tuple[str, ...]) -> float | None:
    """Return when the first such entry after a number was decided."""
    for entry in place.platform.ledger.entries(after=after):
        if entry.action in actions:
            return entry.at.timestamp()
    return None


def verdict_by_entry(place: Place, after: int, *actions: str) -> float:
    return float(until(lambda: entry_at(place, after, actions), f"an entry {actions}"))


def by_guard(place: Place, after: int) -> float:
    """One worker is asked about an area the canary fails for; the others learn it from that worker."""
    area = place.areas[-1]
    place.say(f"nan:{area}")
    place.bad_requests(area, 4)
    epoch = place.platform.ledger.get(RouteRecord, "route").epoch  # type: ignore[union-attr]
    folder = place.platform.layout.state / "cuts"
    (path,) = until(lambda: list(folder.glob(f"{epoch}-*.json")) or list(folder.glob(f"{epoch - 1}-*.json")), "the cut")
    place.say("honest")
    verdict_by_entry(place, after, "rollout.trip")
    return parse_utc(json.loads(path.read_text())["at"], "cut").timestamp()


def by_controller(place: Place, after: int) -> float:
    """The controller finds the canary's steps too far from the champion's (tier T1)."""
    now = place.platform.clock.now()
    with place.platform.ledger.change("benchmark", now) as change:
        change.put(StateRecord(f"{DIVERGENCE}/{place.canary}", now, {"trailing": 9}))
        change.note("benchmark.evidence", place.canary, {})
    return verdict_by_entry(place, after, "rollout.trip")


def by_command(place: Place, after: int) -> float:
    """A person at a command line."""
    place.command("rollback", "--reason", "benchmark")
    return verdict_by_entry(place, after, "rollout.rollback")


def by_post(place: Place, after: int) -> float:
    """A program or a person over HTTP."""
    status, said = place.post("/v1/rollback", {"reason": "benchmark"})
    assert status == 200, said
    return verdict_by_entry(place, after, "rollout.rollback")


def by_reject(place: Place, after: int) -> float:
    """A person rejects the rollout over HTTP."""
    status, said = place.post(f"/v1/rollouts/{place.canary}/reject", {"reason": "benchmark"})
    assert status == 200, said
    return verdict_by_entry(place, after, "rollout.reject")


def by_lease(place: Place, _: int) -> float:
    """The controller is stopped: the canary's lease ends, nobody says anything."""
    with place.still():
        place.arm(lease_s=LEASE_S)
        route = place.platform.ledger.get(RouteRecord, "route")
        assert route is not None
        assert route.lease_until is not None
        ends = route.lease_until.timestamp()
        until(lambda: time.time() > ends + SILENT_S, "the end of the lease")
    return ends


def to_older(place: Place, after: int) -> float:
    """The champion goes, a release that was champion before it serves again; no canary is run."""
    place.command("rollback", "--to", place.champion, "--reason", "benchmark")
    return verdict_by_entry(place, after, "rollout.rollback")


def both_bad(place: Place, after: int) -> float:
    """The canary goes, and the champion's package is damaged: the naive ladder serves."""
    with place.damaged(place.champion):
        status, said = place.post("/v1/rollback", {"reason": "benchmark"})
        assert status == 200, said
        verdict = verdict_by_entry(place, after, "rollout.rollback", "rollout.trip")
        until(lambda: route_champion(place) is None, "the ladder")
    return verdict


def route_champion(place: Place) -> str | None:
    route = place.platform.ledger.get(RouteRecord, "route")
    return None if route is None else route.champion


WAYS: dict[str, Callable[[Place, int], float]] = {
    "guard": by_guard,
    "controller": by_controller,
    "command": by_command,
    "post": by_post,
    "reject": by_reject,
    "lease": by_lease,
    "older": to_older,
    "ladder": both_bad,
}


def outcome(place: Place, after: int) -> dict[str, Any]:
    """Return who serves now, by the route and by an answer, and what was begun on the way."""
    route = place.platform.ledger.get(RouteRecord, "route")
    assert route is not None
    entries = place.platform.ledger.entries(after=after)
    return {
        "champion": route.champion,
        "canary": route.canary,
        "served_by": place.served_by(),
        "actions": sorted({entry.action for entry in entries}),
        "notices": [notice.kind for notice in place.notices(entries[0].at if entries else None)],
    }


def repeat(place: Place, way: str, times: int, workers: int, rate: float = 100.0) -> Result:
    """Stop the canary so many times in one way, under load."""
    result = Result()
    areas = place.areas[:-1] if way == "guard" else place.areas
    witness = Witness(place.port, place.requests(areas), rate, connections=12 * workers)
    witness.watch_for(place.canary)
    witness.start()

    def more_than(count: int) -> bool:
        return witness.counts[place.canary] > count

    for _ in range(times):
        if way == "older":
            place.crown()
        else:
            place.arm()
        until(partial(more_than, witness.counts[place.canary] + 20), "answers of the canary")
        followed(place, workers)
        after = place.platform.ledger.entries()[-1].seq
        begun = time.time()
        verdict = WAYS[way](place, after)
        until(lambda: time.time() - witness.last[place.canary] > SILENT_S, f"the canary's silence ({way})")
        result.ms.append(max(0.0, 1e3 * (witness.last[place.canary] - verdict)))
        result.whole_ms.append(max(0.0, 1e3 * (witness.last[place.canary] - begun)))
        entries = place.platform.ledger.entries(after=after)
        result.alarms.append(sum(len(entry.facts.get("alarms", ())) for entry in entries))
        result.after.append(outcome(place, after))
    witness.stop()
    result.sent, result.dropped = witness.sent, witness.dropped
    if result.dropped:
        unused = [round(seconds, 1) for seconds in witness.broken]
        print(f"{way}: {witness.outcome.statuses}, unanswered {witness.unanswered}, broken after {unused} s unused")
        print("\n".join(sorted(set(witness.refusals))))
    return result


def followed(place: Place, workers: int) -> None:
    """Wait until every worker follows the newest route."""

    def there() -> bool:
        route = place.platform.ledger.get(RouteRecord, "route")
        folder = place.platform.layout.state / "gateways"
        epochs = [json.loads(path.read_text())["epoch"] for path in folder.glob("*.json")]
        return route is not None and len(epochs) == workers and all(epoch >= route.epoch for epoch in epochs)

    until(there, "all workers")


def line(way: str, workers: int, result: Result) -> str:
    ms = np.asarray(result.ms)
    whole = float(np.median(result.whole_ms))
    alarms = f"{min(result.alarms)}-{max(result.alarms)}"
    return (
        f"| {way} | {workers} | {len(ms)} | {np.median(ms):.0f} | {np.quantile(ms, 0.99):.0f} | {ms.max():.0f} "
        f"| {whole:.0f} | {result.sent} | {result.dropped} | {alarms} |"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--repetitions", type=int, default=30)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second")
    parser.add_argument("--patient", action="store_true", help="turn nobody away, however long requests wait")
    parser.add_argument("--json", type=Path, help="write what was measured to this file")
    asked = parser.parse_args()
    print(
        "| way | workers | times | median ms | p99 ms | max ms | median ms from the cause | sent | dropped | alarms "
        "| load |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
    found: list[dict[str, Any]] = []
    for workers in asked.workers:
        with tempfile.TemporaryDirectory() as folder:
            project = made(Path(folder) / "grid", workers, patient=asked.patient)
            with running(project) as place:
                for way in asked.ways:
                    load = os.getloadavg()[0]
                    result = repeat(place, way, asked.repetitions, workers, asked.rate)
                    print(f"{line(way, workers, result)} {load:.1f} |", flush=True)
                    found.append({"way": way, "workers": workers, "load": load, **asdict(result)})
                    found[-1] |= {"good": place.champion, "bad": place.canary}
    if asked.json is not None:
        asked.json.write_text(json.dumps(found), encoding="utf-8")
    good = all(max(one["ms"]) <= TARGET_MS and one["dropped"] == 0 for one in found)
    print("\nTarget of at most 1 s and no dropped request: " + ("met" if good else "MISSED"))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
