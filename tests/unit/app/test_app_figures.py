"""Figures of gateway processes that share a port: read by a real Prometheus parser, and never going backwards."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recloser.app.processes.figures import Publishing, SharedFigures
from recloser.app.processes.hosts.identity import Identity
from recloser.app.processes.reports import Report, write_report
from recloser.serving.wire.figures import (
    Family,
    Figures,
    ModelCounts,
    Sample,
    by_worker,
    carried_on,
    family,
    model_sums,
    text_of,
)


def figures(count: int, epoch: int) -> Figures:
    buckets = [Sample({"handler": "infer", "le": bound}, count, "_bucket") for bound in ("0.1", "+Inf")]
    ends = [Sample({"handler": "infer"}, count / 8, "_sum"), Sample({"handler": "infer"}, count, "_count")]
    families = [
        family("recloser_answers_total", "counter", "Answers.", [({"release": 'rel"1\\\n'}, count)]),
        family("recloser_route_epoch", "gauge", "Epoch.", [({}, epoch)]),
        Family("recloser_http_request_seconds", "histogram", "Seconds.", [*buckets, *ends]),
    ]
    return Figures(families, {"forecast": ModelCounts({"rows": count}, last_ms=count)})


def numbers(text: str) -> dict[tuple[str, ...], float]:
    """Return every sample as an independent parser reads it."""
    parser = pytest.importorskip("prometheus_client.parser", reason="prometheus_client is not installed")
    return {
        (sample.name, *sorted(f"{name}={label}" for name, label in sample.labels.items())): sample.value
        for metric in parser.text_string_to_metric_families(text)
        for sample in metric.samples
    }


def test_several_processes_are_told_apart_by_a_label() -> None:
    found = numbers(text_of(by_worker({"1": figures(3, 7), "2": figures(5, 8)})))
    assert found["recloser_answers_total", 'release=rel"1\\\n', "worker=1"] == 3
    assert found["recloser_answers_total", 'release=rel"1\\\n', "worker=2"] == 5
    assert found["recloser_route_epoch", "worker=2"] == 8
    assert found["recloser_http_request_seconds_bucket", "handler=infer", "le=+Inf", "worker=2"] == 5
    assert len(found) == 12


def test_one_process_has_no_label() -> None:
    assert numbers(text_of(figures(3, 7).families))["recloser_route_epoch",] == 7


@given(st.lists(st.integers(0, 50), min_size=1, max_size=6))
def test_what_is_carried_on_adds_up_and_never_goes_backwards(lives: list[int]) -> None:
    before, told = Figures(), 0.0
    for count in lives:
        before = carried_on(before, figures(count, 7))
        (answers, _, seconds) = before.families
        assert answers.samples[0].number >= told
        told = answers.samples[0].number
        assert {sample.number for sample in seconds.samples} <= {told, told / 8}
    assert told == sum(lives)
    assert model_sums([before], "forecast") == ModelCounts({"rows": sum(lives)}, last_ms=max(lives))
    assert before.families[1].samples == [Sample({}, 7)]


def dead_pid() -> int:
    gone = subprocess.Popen([sys.executable, "-S", "-c", ""])
    gone.wait()
    return gone.pid


def test_a_process_goes_on_where_the_one_before_it_ended(tmp_path: Path) -> None:
    first, other = SharedFigures(tmp_path, Identity.here("1"), 2), SharedFigures(tmp_path, Identity.here("2"), 2)
    assert set(first.share(lambda: figures(10, 7)) or {}) == {"1"}
    assert set(other.share(lambda: figures(4, 7)) or {}) == {"1", "2"}
    heir = SharedFigures(tmp_path, Identity.here("1"), 2)
    shared = heir.share(lambda: figures(2, 8)) or {}
    assert model_sums(shared.values(), "forecast").counts == {"rows": 16}
    assert numbers(text_of(by_worker(shared)))["recloser_route_epoch", "worker=1"] == 8


def test_of_a_dead_process_only_its_counts_are_told(tmp_path: Path) -> None:
    SharedFigures(tmp_path, Identity.here("1"), 2).share(lambda: figures(10, 7))
    file = tmp_path / "gateways" / "figures" / f"{Identity.here().seat}.json"
    file.write_text(file.read_text().replace(str(os.getpid()), str(dead_pid())))
    (tmp_path / "gateways" / "figures" / f"{Identity.here('3').seat}.json").write_text("{")
    found = numbers(
        text_of(by_worker(SharedFigures(tmp_path, Identity.here("2"), 2).share(lambda: figures(1, 9)) or {}))
    )
    assert found["recloser_answers_total", 'release=rel"1\\\n', "worker=1"] == 10
    assert ("recloser_route_epoch", "worker=1") not in found


def test_a_process_alone_publishes_nothing(tmp_path: Path) -> None:
    alone = SharedFigures(tmp_path, Identity.here("1"), 1)
    assert alone.share(lambda: figures(1, 1)) is None
    assert list(tmp_path.iterdir()) == []
    write_report(tmp_path, Report("1", os.getpid(), 5, ("rel-2",)))
    told = {"worker": "1", "pid": os.getpid(), "epoch": 5, "tripped": ["rel-2"], "problem": ""}
    assert alone.states() == [told | {"host": "", "port": 0, "started": 0, "at": None}]


def test_a_disk_that_takes_nothing_keeps_nobody_from_telling(tmp_path: Path) -> None:
    (tmp_path / "gateways").write_text("in the way")
    shared = SharedFigures(tmp_path, Identity.here("1"), 2).share(lambda: figures(3, 7)) or {}
    assert model_sums(shared.values(), "forecast").counts == {"rows": 3}


def test_the_last_words_are_published_at_the_end() -> None:
    said: list[int] = []
    publishing = Publishing(lambda: said.append(1))
    publishing.start()
    publishing.stop()
    assert said
