"""Where the CPU of one request goes, without a network: decode, batch, each model, guard, encode; microseconds.

`python benchmarks/serving/parts.py [--folder DIR] [--rows 1 100]`. Medians of repeated calls on one thread.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

from world import COLUMNS, POLICY, START, Named, body, gateway, models, route

from recloser.serving import Gateway
from recloser.serving.answer import Scoring
from recloser.serving.guard import answer_faults, input_faults
from recloser.serving.predictor import ask
from recloser.serving.wire.oip import Reply, read_call, write_reply
from recloser.serving.wire.rows import outputs_of, rows_from_tensors, rows_of

QUANTILES = (0.1, 0.5, 0.9)


def us(call: Callable[[], object], seconds: float = 0.4) -> float:
    """Return the median time of a call in microseconds."""
    call()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5:
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return 1e6 * statistics.median(times)


def measure(predictors: dict[str, Named], n: int) -> dict[str, float]:
    """Return part -> microseconds for a request of n rows."""
    text, now = body(n), START + timedelta(hours=1)
    call = read_call(text, None)
    rows = rows_from_tensors(call.tensors, COLUMNS)
    batch, order = rows.batch()
    found = {"decode": us(lambda: rows_from_tensors(read_call(text, None).tensors, COLUMNS)), "batch": us(rows.batch)}
    champion = predictors["rel-champion"]
    found["ask champion"] = us(lambda: ask(champion, batch.rows, 3))
    gate = gateway(predictors, route())
    mw = ask(champion, batch.rows, 3)
    assert not isinstance(mw, str), mw
    found["input guard"] = us(lambda: input_faults(batch, gate.limits, POLICY))
    found["answer guard"] = us(lambda: answer_faults(mw, batch, gate.limits))

    def scored(gate: Gateway) -> Scoring:
        return gate.score(rows.batch()[0], now)

    for name, chosen in (
        ("score: champion", route()),
        ("score: + canary split", route(share=0.5)),
        ("score: + shadow", route(shadow="rel-canary")),
    ):
        gate = gateway(predictors, chosen)
        found[name] = us(partial(scored, gate))
        assert not gate.tripped
    scoring = gate.score(batch, now)
    answers = rows_of(scoring, batch, order, 3)
    found["spread over rows"] = us(lambda: rows_of(scoring, batch, order, 3))
    found["encode"] = us(lambda: write_reply(call, Reply("forecast", "1", outputs_of(answers, QUANTILES))))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "recloser-serving-models")
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 100])
    options = parser.parse_args()
    predictors = {name: Named(name, model) for name, model in models(options.folder).items()}
    found = {n: measure(predictors, n) for n in options.rows}
    print(f"{'part':28}" + "".join(f"{n:>10} rows" for n in found))
    for part in found[options.rows[0]]:
        print(f"{part:28}" + "".join(f"{parts[part]:>12.1f} us" for parts in found.values()))


if __name__ == "__main__":
    main()
