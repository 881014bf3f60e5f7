from __future__ import annotations

import threading
from datetime import UTC, datetime
from itertools import count

import pytest

from recloser.core import InvalidInput, VirtualClock
from recloser.serving.wire.statistics import Statistics

NOW = datetime(2020, 3, 1, 22, tzinfo=UTC)


def test_phases_follow_each_other_and_failures_are_kept_apart() -> None:
    ticks = count(0, 10)
    statistics, clock = Statistics(lambda: next(ticks)), VirtualClock(NOW)
    with statistics.request("forecast", clock) as watch:  # 0
        watch.lap("compute_input")  # 10
        watch.lap("compute_infer")  # 20
        watch.lap("compute_output")  # 30
        watch.rows = 7

    def fail() -> None:
        with statistics.request("forecast", clock) as watch:  # 50
            watch.lap("compute_input")  # 60
            raise InvalidInput("no")

    with pytest.raises(InvalidInput):
        fail()
    told = statistics.of("forecast", "1")
    assert (told["inference_count"], told["execution_count"]) == (7, 1)
    assert told["last_inference"] == NOW.timestamp() * 1000
    durations = told["inference_stats"]
    assert durations["success"] == {"count": 1, "ns": 40}
    assert durations["compute_infer"] == {"count": 1, "ns": 10}
    assert durations["fail"] == {"count": 1, "ns": 20}
    assert durations["compute_input"]["count"] == 1
    assert statistics.of("rel-1", "rel-1")["last_inference"] == 0
    assert list(statistics.counts()) == ["forecast"]


def test_no_request_is_lost_between_threads() -> None:
    statistics, clock = Statistics(), VirtualClock(NOW)

    def ask() -> None:
        for _ in range(500):
            with statistics.request("forecast", clock) as watch:
                watch.rows = 2

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statistics.of("forecast", "1")["inference_count"] == 4000
    assert statistics.counts()["forecast"]["success.count"] == 2000
