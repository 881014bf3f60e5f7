"""What the records say: medians and spread over the rounds, tables for people, and the verdict on each target.

Pure: measures nothing. A ratio of two servers is taken within each round, then the median of the rounds.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

Record = dict[str, Any]
GUARD, SPLIT, FULL = "ours: guard", "ours: guard, split", "ours: guard, split, log"
ALL = "ours: guard, split, log, shadow"
PEERS = ("mlflow", "fastapi", "mlserver", "kserve", "bentoml")
JSON, BINARY = "closed json", "closed binary"


@dataclass(frozen=True, slots=True)
class Spread:
    """A median and the range it was taken from."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        if self.low == self.high:
            return _short(self.median)
        half = 100.0 * (self.high - self.low) / 2.0 / abs(self.median) if self.median else 0.0
        return f"{_short(self.median)} ±{half:.0f}%"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One target of the gateway's issue, judged.

    Attributes:
        got: None if a server it needs was not measured.
        limit: the most that meets the target.
        met: None without `got`.
    """

    target: str
    at: str
    got: Spread | None
    limit: float
    met: bool | None

    @property
    def over(self) -> float | None:
        """How many times the limit was taken; below one the target is met."""
        return None if self.got is None else self.got.median / self.limit

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "over": self.over}


class Results:
    """The records of all rounds, asked by server and kind."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = list(records)
        self.servers = list(dict.fromkeys(record["server"] for record in self.records))

    def by_round(self, number: str, **key: Any) -> dict[int, float]:
        """Return round -> number, of the records with these fields; without those that lack the number."""
        return {
            record["round"]: record[number]
            for record in self.records
            if all(record.get(name) == wanted for name, wanted in key.items()) and record.get(number) is not None
        }

    def spread(self, number: str, **key: Any) -> Spread | None:
        """Return median and range over the rounds."""
        return _spread(self.by_round(number, **key).values())

    def ratio(self, number: str, ours: str, other: str, **key: Any) -> Spread | None:
        """Return one server's number over another's, within each round."""
        above, below = self.by_round(number, server=ours, **key), self.by_round(number, server=other, **key)
        return _spread(above[k] / below[k] for k in above.keys() & below.keys())

    def keys(self, kind: str, *names: str) -> list[tuple[Any, ...]]:
        """Return which combinations of fields there are, in the order they were measured."""
        return list(dict.fromkeys(tuple(r[name] for name in names) for r in self.records if r["kind"] == kind))


def judged(results: Results) -> list[Verdict]:
    """Return the verdict on every target."""
    connections = [c for rows, c in results.keys(JSON, "rows", "connections") if rows == 1]
    found = []
    for peer, limit in (("mlflow", 1 / 40), ("mlserver", 1 / 8), ("kserve", 1 / 8)):
        for count in connections:
            key = {"kind": JSON, "rows": 1, "connections": count}
            got = results.ratio("cpu_us", FULL, peer, **key)
            found.append(_verdict(f"CPU per request / {peer}", _at(key), got, limit))
    for rows, count in results.keys(JSON, "rows", "connections"):
        key = {"kind": JSON, "rows": rows, "connections": count}
        found.append(_verdict("CPU of the shadow / one evaluation", _at(key), shadow_cost(results, key), 1.0))
    if connections:
        key = {"kind": JSON, "rows": 1, "connections": max(connections)}
        for name in (GUARD, FULL):
            got = results.ratio("cpu_us", name, "echo", **key)
            found.append(_verdict("CPU per request / echo", f"{_at(key)}, {name}", got, 2.5))
    for kind in ("open even", "open random"):
        got = results.spread("tail", server=FULL, kind=kind, load=0.5)
        found.append(_verdict("p99 / p50 in an open loop", f"half of capacity, {kind[5:]} arrivals", got, 5.0))
    for title, number, kind in (
        ("memory (PSS)", "pss_mb", "memory"),
        ("CPU until ready", "cpu_s", "ready"),
        ("time until ready", "wall_s", "ready"),
    ):
        found += [
            _verdict(f"{title} / {peer}", "", results.ratio(number, FULL, peer, kind=kind), 1.0) for peer in PEERS
        ]
    return found


def shadow_cost(results: Results, key: dict[str, Any]) -> Spread | None:
    """Return what the shadow adds over what the second model of the split adds: one evaluation and its guard.

    Both are differences of medians, as a difference within one round is mostly noise; None if the split adds nothing.
    """
    found = [results.spread("cpu_us", server=name, **key) for name in (ALL, FULL, SPLIT, GUARD)]
    if any(one is None for one in found):
        return None
    everything, full, split, guard = (one.median for one in found if one is not None)
    return _spread([(everything - full) / (split - guard)]) if split > guard else None


def _verdict(target: str, at: str, got: Spread | None, limit: float) -> Verdict:
    return Verdict(target, at, got, limit, None if got is None else got.median <= limit)


def _spread(numbers: Iterable[float]) -> Spread | None:
    found = sorted(numbers)
    return Spread(statistics.median(found), found[0], found[-1]) if found else None


def _at(key: dict[str, Any]) -> str:
    return f"{key['rows']} row{'s' if key['rows'] > 1 else ''}, {key['connections']} conn."


def _short(number: float | None) -> str:
    if number is None:
        return "-"
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"


def _cell(spread: Spread | None) -> str:
    return "-" if spread is None else str(spread)


def _plain(spread: Spread | None) -> str:
    return "-" if spread is None else _short(spread.median)


def _table(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([f"\n{title}\n", f"| {' | '.join(heads)} |", "|" + "---|" * len(heads), *lines])


def report(results: Results) -> str:
    """Return all tables as Markdown."""
    parts = [
        _ratios(results),
        _costs(results),
        _latencies(results),
        _open(results),
        _overload(results),
        _checks(results),
    ]
    return "\n".join([*(part for part in parts if part), _judgements(judged(results))])


def _closed_keys(results: Results) -> list[dict[str, Any]]:
    names = ("rows", "connections")
    return [
        {"kind": kind, **dict(zip(names, pair, strict=True))}
        for kind in (JSON, BINARY)
        for pair in results.keys(kind, *names)
    ]


def _head(key: dict[str, Any]) -> str:
    return _at(key) + (", binary" if key["kind"] == BINARY else "")


def _ratios(results: Results) -> str:
    keys = [key for key in _closed_keys(results) if key["kind"] == JSON]
    heads = ["server", *(_head(key) for key in keys), "PSS MB", "ready CPU s", "ready s"]
    rows = []
    for name in results.servers:
        cells = [_plain(results.ratio("cpu_us", name, FULL, **key)) for key in keys]
        pss = _plain(results.spread("pss_mb", server=name, kind="memory"))
        ready = [_plain(results.spread(number, server=name, kind="ready")) for number in ("cpu_s", "wall_s")]
        rows.append([name, *cells, pss, *ready])
    return _table(f"CPU per request, `{FULL}` = 1; memory after the load; until the first answer", heads, rows)


def _costs(results: Results) -> str:
    keys = _closed_keys(results)
    rows = [[name, *(_cell(results.spread("cpu_us", server=name, **key)) for key in keys)] for name in results.servers]
    return _table("CPU us per request, closed loop", ["server", *map(_head, keys)], rows)


def _latencies(results: Results) -> str:
    keys = _closed_keys(results)
    rows = [
        [
            name,
            *(
                " / ".join(_plain(results.spread(n, server=name, **key)) for n in ("p50_ms", "p99_ms", "per_s"))
                for key in keys
            ),
        ]
        for name in results.servers
    ]
    return _table("p50 ms / p99 ms / requests a second, closed loop", ["server", *map(_head, keys)], rows)


def _open(results: Results) -> str:
    rows = []
    for name in results.servers:
        for kind in ("open even", "open random"):
            for (load,) in results.keys(kind, "load"):
                key = {"server": name, "kind": kind, "load": load}
                numbers = ("rate", "p50_ms", "p99_ms", "p999_ms", "tail", "generator_late_p99_ms")
                cells = [_plain(results.spread(number, **key)) for number in numbers]
                rows.append([name, f"{load:g} {kind[5:]}", *cells])
    heads = ["server", "load, arrivals", "requests/s", "p50 ms", "p99 ms", "p99.9 ms", "p99/p50", "generator late ms"]
    return _table("Open loop, 1 row, at shares of the measured capacity; latency from the due time", heads, rows)


def _overload(results: Results) -> str:
    rows = []
    for record in (r for r in results.records if r["kind"] == "overload"):
        numbers = ("accepted_share", "shed_share", "p50_ms", "p99_ms", "worst_ms")
        lost = f"{record['broken']} / {record['unanswered']}"
        rows.append([record["server"], _short(record["rate"]), *(_short(record[n]) for n in numbers), lost])
    heads = ["server", "requests/s", "accepted", "shed", "p50 ms", "p99 ms", "worst ms", "broken / unanswered"]
    return _table("Overload, 1 row; latency of the accepted from the due time", heads, rows) if rows else ""


def _checks(results: Results) -> str:
    rows = []
    for record in (r for r in results.records if r["kind"] == "wrk"):
        key = {"server": record["server"], "kind": JSON, "rows": 1, "connections": record["connections"]}
        ours = [_plain(results.spread(n, **key)) for n in ("per_s", "cpu_us", "generator_cpu_us", "generator_busy")]
        rows.append([record["server"], *ours, _short(record["per_s"]), _short(record["cpu_us"]), str(record["bad"])])
    heads = ["server", "requests/s", "CPU us", "generator CPU us", "generator busy", "wrk: requests/s", "CPU us", "bad"]
    return _table("The load generator beside wrk, 1 row, most connections", heads, rows) if rows else ""


def _judgements(verdicts: Sequence[Verdict]) -> str:
    rows = []
    for one in verdicts:
        said = "not measured" if one.met is None else "met" if one.met else f"missed, {one.over:.3g} times the limit"
        rows.append([one.target, one.at, _cell(one.got), f"{one.limit:.3g}", said])
    return _table(f"Targets, of `{FULL}`", ["target", "at", "got", "limit", "verdict"], rows)
