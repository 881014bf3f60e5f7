"""The proof of safety: requests over real HTTP through a canary that goes wrong in every way, every answer checked.

`python benchmarks/serving/safety.py [--requests 1000000] [--connections 32] [--parts ...] [--json FILE]`. Exit code 1
if anything unsafe left the gateway, a request got no answer, or a trip came late. An answer is unsafe if it is not
finite, its quantiles cross, it lies outside the asset's limits or farther from the champion than allowed, or if it is
said to be the champion's and is not. A canary that repeats an old answer (frozen) is plausible and close: the guard
lets it pass, the statistics of the rollout find it. Where `wrk` is installed it repeats a part with a check of its own.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from faulty import DEADLY, QUICK, SLOW, sequence
from load import Job, Outcome, load, request
from processes import free_port, ours, started, wrk
from world import AREAS, COLUMNS, FEATURES, LIMITS, POLICY, START, Named, body, gateway, models, route

from recloser.core import ModelRows
from recloser.models import Model
from recloser.serving.wire.oip import read_call
from recloser.serving.wire.rows import rows_from_tensors, rows_of

PATH = "/v2/models/forecast/infer"
LUA = """
unsafe, seen = 0, 0
local function numbers(body, name)
  local found = {}
  local list = body:match('"name":"' .. name .. '","shape":%[%d+%],"datatype":"FP64","data":%[([^%]]*)%]')
  for text in (list or ""):gmatch("[^,]+") do found[#found + 1] = tonumber(text) or 0 / 0 end
  return found
end
response = function(status, headers, body)
  local low, middle, high = numbers(body, "q10"), numbers(body, "q50"), numbers(body, "q90")
  local good = status == 200 and #low > 0 and #low == #middle and #low == #high
  for k = 1, #low do
    good = good and LOWEST <= low[k] and low[k] <= middle[k] and middle[k] <= high[k] and high[k] <= HIGHEST
  end
  seen = seen + 1
  if not good then unsafe = unsafe + 1 end
end
local only
function setup(thread) only = thread end
function done(summary, latency, requests)
  print("checked " .. only:get("seen") .. " unsafe " .. only:get("unsafe"))
end
"""
"""Looks at every answer as `wrk` gets it: finite, in order, within the limits; a missing number is none of these."""


@dataclass
class Judge:
    """Knows what the champion answers to each request, and looks at every answer that comes back.

    Attributes:
        champion: per request, rows of MW.
        scales: per request, MW per row.
        served: who answered -> rows.
    """

    champion: list[list[list[float]]]
    scales: list[list[float]]
    served: Counter[str] = field(default_factory=Counter)

    def __call__(self, index: int, status: int, text: bytes) -> str | None:
        if status != 200:
            return f"HTTP {status}: {text[:200]!r}"
        outputs = {output["name"]: output["data"] for output in msgspec.json.decode(text)["outputs"]}
        rows = list(zip(outputs["q10"], outputs["q50"], outputs["q90"], strict=True))
        if len(rows) != len(self.champion[index]):
            return f"{len(rows)} rows for {len(self.champion[index])}"
        for k, row in enumerate(rows):
            by = outputs["served_by"][k]
            self.served[by] += 1
            why = self.fault(row, by, self.champion[index][k], self.scales[index][k])
            if why:
                return f"{why}: {row} by {by} ({outputs['reason'][k]})"
        return None

    def fault(self, row: tuple[Any, ...], by: str, champion: list[float], scale: float) -> str:
        """Return why a row may not have left the gateway; empty if it may."""
        if any(number is None or not math.isfinite(number) for number in row):
            return "not finite"
        if list(row) != sorted(row):
            return "quantiles cross"
        if row[0] < LIMITS.minimum_mw or row[-1] > LIMITS.maximum_mw:
            return "outside the limits"
        far = max(abs(a - b) for a, b in zip(row, champion, strict=True)) / scale
        if by == "canary" and not far <= (POLICY.divergence_default or math.inf):
            return "far from the champion"
        if by == "champion" and list(row) != champion:
            return "not the champion's answer"
        return ""


def prepared(options: argparse.Namespace) -> tuple[list[bytes], Judge]:
    """Return the requests and the judge who knows the champion's answers to them."""
    found = models(options.folder, options.trees)
    gate = gateway({name: Named(name, model) for name, model in found.items()}, route())
    texts = [body(1, seed) for seed in range(60)] + [body(5, seed) for seed in range(60, 75)]
    champion, scales = [], []
    for text in texts:
        rows = rows_from_tensors(read_call(text, None).tensors, COLUMNS)
        batch, order = rows.batch()
        champion.append(rows_of(gate.score(batch, START), batch, order, 3).mw.tolist())
        scales.append(rows.numbers["scale_mw"].tolist())
    return [request(PATH, text) for text in texts], Judge(champion, scales)


def counts(port: int) -> dict[str, float]:
    """Return the incidents by kind of the canary, from the metrics."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    pattern = r'recloser_incidents_total\{kind="(\w+)",release="rel-canary"\} (\d+)'
    return {kind: float(count) for kind, count in re.findall(pattern, text)}


def told(outcome: Outcome, judge: Judge, incidents: dict[str, float]) -> dict[str, Any]:
    """Return the result of a part, JSON-ready."""
    answered = sum(outcome.statuses.values())
    return {
        "requests": answered,
        "statuses": dict(outcome.statuses),
        "unsafe": outcome.wrong_count,
        "first_unsafe": outcome.wrong[:5],
        "dropped": outcome.broken,
        "rows_served_by": dict(judge.served),
        "incidents_of_the_canary": incidents,
        "seconds": round(outcome.seconds, 1),
        "p99_ms": round(outcome.quantile_ms(0.99), 2),
        "worst_ms": round(outcome.quantile_ms(1.0), 2),
    }


def through_faults(options: argparse.Namespace, steps: list[str], most: int, *flags: str) -> dict[str, Any]:
    """Send requests through a canary on all areas that never trips, so that it can do its worst to the end."""
    requests, judge = prepared(options)
    port = free_port()
    command = ours(port, "ours", "--canary", "1.0", "--trip-after", str(10**9), "--faults", ",".join(steps), *flags)
    common = ["--folder", str(options.folder), "--trees", str(options.trees)]
    with started([*command, *common], port):
        outcome = load(Job(port, requests, options.connections, options.seconds, most), judge)
        return told(outcome, judge, counts(port))


def trips(options: argparse.Namespace, after: int = 3) -> dict[str, Any]:
    """Tell at which failed answer each fault trips the canary, one request after another, and that it stays tripped."""
    requests, found = prepared(options)[0][: len(AREAS)], {}
    for fault in (*(name for name in QUICK if name != "frozen"), *SLOW):
        judge, port = prepared(options)[1], free_port()
        command = ours(port, "ours", "--canary", "1.0", "--trip-after", str(after), "--faults", f"none,none,{fault}")
        with started([*command, "--folder", str(options.folder), "--trees", str(options.trees)], port):
            outcome = load(Job(port, requests, 1, most=12 * after), judge)
            failed = counts(port)
        bad = failed.get("output", 0) + failed.get("late", 0)
        found[fault] = {
            "failed_answers_before_trip": bad,
            "tripped": failed.get("trip", 0) == 1,
            "unsafe": outcome.wrong_count,
            "dropped": outcome.broken + sum(n for status, n in outcome.statuses.items() if status != 200),
            "in_time": bad == after and failed.get("trip", 0) == 1,
        }
    return found


def swaps(options: argparse.Namespace) -> dict[str, Any]:
    """Bring in a new package every second under load: good, slow, broken and tampered ones in turn."""
    found = models(options.folder, options.trees)
    requests, judge = prepared(options)
    known = {name: by_model(found[name]) for name in ("rel-champion", "rel-canary")}
    log, port = Path(tempfile.mkdtemp()) / "swaps.json", free_port()
    command = ours(port, "ours", "--swap", str(options.swap_seconds / 60.0), "--swap-log", str(log))

    def check(index: int, status: int, text: bytes) -> str | None:
        judge.champion[index] = known["rel-champion"][index]
        first = judge(index, status, text)
        judge.champion[index] = known["rel-canary"][index]
        return first and judge(index, status, text)

    with started([*command, "--folder", str(options.folder), "--trees", str(options.trees)], port):
        outcome = load(Job(port, requests, 8, options.swap_seconds), check)
    return {**told(outcome, judge, {}), "swaps": json.loads(log.read_text())}


def by_model(model: Model) -> list[list[list[float]]]:
    """Return a model's own answers to the requests of `prepared`."""
    texts = [body(1, seed) for seed in range(60)] + [body(5, seed) for seed in range(60, 75)]
    found = []
    for text in texts:
        batch, order = rows_from_tensors(read_call(text, None).tensors, COLUMNS).batch()
        assert isinstance(batch.rows, ModelRows)
        found.append(model.predict(batch.rows.frame())[order.argsort()].tolist())
    return found


def sensors(options: argparse.Namespace) -> dict[str, Any]:
    """Send good rows, rows whose newest readings are missing and rows without any reading, in turn.

    Good ones are the canary's; the second are answered by a naive rung, the third refused as nothing safe is known.
    """
    good, judge = prepared(options)
    requests = [(good[k], blinded(k, ("load_level_24h",)), blinded(k, FEATURES))[k % 3] for k in range(60)]

    def check(index: int, status: int, text: bytes) -> str | None:
        if index % 3 == 0:
            return judge(index, status, text)
        if index % 3 == 2:
            judge.served["refused"] += status == 503 and b"input: " in text
            return None if status == 503 and b"input: " in text else f"HTTP {status}: {text[:200]!r}"
        by = next(one for one in msgspec.json.decode(text)["outputs"] if one["name"] == "served_by")["data"]
        return judge(index, status, text) if by[0].startswith("fallback:") else f"blind rows served by {by[0]}"

    port = free_port()
    command = ours(port, "ours", "--canary", "1.0", "--folder", str(options.folder), "--trees", str(options.trees))
    with started(command, port):
        most = min(max(options.requests // 50, 300), 20_000)
        outcome = load(Job(port, requests, options.connections, most=most), check)
        return told(outcome, judge, counts(port))


def blinded(seed: int, names: tuple[str, ...]) -> bytes:
    """Return the request of one row with these columns missing."""
    document = json.loads(body(1, seed))
    for name in names:
        document["inputs"][2]["data"][COLUMNS.numbers.index(name)] = None
    return request(PATH, json.dumps(document).encode())


def by_wrk(options: argparse.Namespace) -> dict[str, Any] | None:
    """Let `wrk` send requests through the faults that take no time and look at every answer; None without it."""
    port = free_port()
    steps = ",".join(sequence(QUICK, 2))
    command = ours(port, "ours", "--canary", "1.0", "--trip-after", str(10**9), "--faults", steps)
    check = LUA.replace("LOWEST", str(LIMITS.minimum_mw)).replace("HIGHEST", str(LIMITS.maximum_mw))
    with started([*command, "--folder", str(options.folder), "--trees", str(options.trees)], port):
        job = Job(port, prepared(options)[0], options.connections, options.wrk_seconds)
        said = wrk(job, check)
        if said is None:
            return None
        seen, unsafe = map(int, re.findall(r"checked (\d+) unsafe (\d+)", said.said)[0])
        held = counts(port)
    facts = {"requests": said.count, "checked": seen, "unsafe": unsafe, "dropped": said.broken}
    return {**facts, "statuses": {200: said.count - said.bad} | ({0: said.bad} if said.bad else {}), "held": held}


def inside(options: argparse.Namespace) -> dict[str, Any]:
    """Send the requests through every fault that a model in the gateway's own process can have."""
    rounds = min(max(options.requests // 16_000, 2), 60)
    return through_faults(options, [*(sequence(QUICK, 2) * rounds), *SLOW], options.requests)


def apart(options: argparse.Namespace) -> dict[str, Any]:
    """Send a twentieth of the requests through a model that ends, blocks or fills a process of its own."""
    steps = sequence(DEADLY, min(max(options.requests // 20_000, 3), 50))
    return through_faults(options, steps, max(options.requests // 20, 1_000), "--apart")


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any] | None]] = {
    "inside": inside,
    "apart": apart,
    "trips": trips,
    "swaps": swaps,
    "sensors": sensors,
    "wrk": by_wrk,
}


def judged(report: dict[str, Any]) -> dict[str, Any]:
    """Return the report with what is safe in it: each part, each trip, all."""
    parts = {name: part for name, part in report.items() if name != "trips"}
    for name, part in parts.items():
        allowed = {200, 503} if name == "sensors" else {200}
        part["safe"] = part["unsafe"] == 0 and part["dropped"] == 0 and set(part["statuses"]) <= allowed
    if "sensors" in report:
        report["sensors"]["safe"] &= not report["sensors"]["incidents_of_the_canary"]
    late = [fault for fault, facts in report.get("trips", {}).items() if not facts["in_time"] or facts["unsafe"]]
    return report | {"safe": not late and all(part["safe"] for part in parts.values()), "late_trips": late}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=7_200.0, help="longest time of each part")
    parser.add_argument("--trees", type=int, default=300)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "recloser-serving-models")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=[*PARTS])
    parser.add_argument("--wrk-seconds", type=float, default=60.0, help="length of the part that `wrk` does")
    parser.add_argument("--swap-seconds", type=float, default=60.0, help="how long; a new package every sixtieth of it")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    begun, seen = time.monotonic(), {name: PARTS[name](options) for name in options.parts}
    report = judged({name: part for name, part in seen.items() if part is not None})
    report["wall_s"] = round(time.monotonic() - begun, 1)
    text = json.dumps(report, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")
    return 0 if report["safe"] else 1


if __name__ == "__main__":
    sys.exit(main())
