"""How far a forecast may be trusted: one state, one sentence, the worst reason first."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from recloser.app.views.trust import AreaFacts, Trust, opinion
from recloser.ledger import ForecastRecord, SignalRecord

NOW = datetime(2020, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def forecast(**changed: object) -> ForecastRecord:
    first = datetime(2020, 3, 2, 23, tzinfo=UTC)
    record = ForecastRecord(
        key="fc-1",
        area="F01",
        issued_at=NOW - 4 * HOUR,
        made_at=NOW - 4 * HOUR,
        first_target=first,
        last_target=first + 23 * HOUR,
        release="rel-1",
        served_by="champion",
        reason="",
        targets=[],
        quantiles=[0.1, 0.5, 0.9],
        answers={},
        void=False,
        void_at=None,
        void_reason=None,
        replaced_by=None,
    )
    return replace(record, **changed)  # type: ignore[arg-type]


def facts(**changed: object) -> AreaFacts:
    known = AreaFacts(
        forecast=forecast(),
        recalled=False,
        due=NOW - 4 * HOUR,
        data_until=NOW - HOUR,
        signals=(),
        resolution=HOUR,
        delay=timedelta(0),
    )
    return replace(known, **changed)  # type: ignore[arg-type]


SIGNAL = SignalRecord("s", NOW, "data_fault", "warning", ["F01"], NOW, "load stands still", {}, None)


def test_what_is_as_planned_is_as_planned() -> None:
    found = opinion(facts(), NOW)
    assert (found.state, found.why, found.others) == (Trust.AS_PLANNED, "rel-1 answers as planned", ())
    assert opinion(facts(forecast=forecast(served_by="canary")), NOW).state is Trust.AS_PLANNED


@pytest.mark.parametrize(
    ("changed", "state", "why"),
    [
        ({"forecast": None}, Trust.DO_NOT_USE, "nothing was forecast yet"),
        ({"recalled": True}, Trust.DO_NOT_USE, "recalled"),
        ({"forecast": forecast(last_target=NOW - 3 * HOUR)}, Trust.DO_NOT_USE, "ended 2 h ago"),
        ({"forecast": forecast(last_target=NOW - HOUR)}, Trust.DO_NOT_USE, "ended 0 min ago"),
        ({"forecast": forecast(issued_at=NOW - 28 * HOUR)}, Trust.WITH_CARE, "the issue is 4 h late"),
        ({"forecast": forecast(served_by="fallback:seasonal_naive", reason="ramp")}, Trust.WITH_CARE, "ramp"),
        ({"forecast": forecast(reason="recall of fc-0")}, Trust.AS_PLANNED, "rel-1 answers after recall of fc-0"),
        ({"signals": (SIGNAL,)}, Trust.WITH_CARE, "its measurements are in doubt: load stands still"),
        ({"data_until": None}, Trust.WITH_CARE, "no usable load in the last two days"),
        ({"data_until": NOW - 25 * HOUR}, Trust.WITH_CARE, "25 h old"),
    ],
)
def test_each_doubt_is_told(changed: dict[str, object], state: Trust, why: str) -> None:
    found = opinion(facts(**changed), NOW)
    assert found.state is state
    assert why in found.why


def test_late_is_not_said_before_its_grace_nor_old_before_the_usual_delay() -> None:
    assert opinion(facts(due=NOW - timedelta(minutes=15), forecast=forecast(issued_at=NOW - 30 * HOUR)), NOW).state == 0
    assert opinion(facts(data_until=NOW - 40 * HOUR, delay=timedelta(hours=24)), NOW).state is Trust.AS_PLANNED


def test_the_worst_reason_comes_first_and_the_others_are_kept() -> None:
    found = opinion(facts(signals=(SIGNAL,), recalled=True, data_until=None), NOW)
    assert found.state is Trust.DO_NOT_USE
    assert "recalled" in found.why
    assert len(found.others) == 2
