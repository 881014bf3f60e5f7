"""A scenario file becomes events and candidates; what a bad one says stands in tests/unit/cli."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recloser.app.replay.answering import Answer
from recloser.app.replay.scenario import load_scenario
from recloser.core import InvalidInput
from recloser.simulation import Lockdown, Scaled, Stuck

TEXT = """
seed = 3
first_history_days = 90
notes = ["one", "two"]

[creeping]
from = 2020-05-01T08:00:00+02:00
per_day = 2.5

[[event]]
kind = "stuck"
areas = ["a"]
start = 2020-04-02
end = 2020-04-03T12:00:00Z

[[event]]
kind = "scaled"
areas = []
start = 2020-04-04
end = 2020-04-05T00:00:00+02:00
factor = 0.001

[[event]]
kind = "lockdown"
start = 2020-04-10
onset = 7
lasting = 10.5
zone = "Europe/Berlin"

[[candidate]]
at = 2020-04-20T06:00:00Z
reason = "an engineer's idea"
actor = "ann"

[[answer]]
name = "ann"
reason = "checked"

[[answer]]
name = "ben"
says = "reject"
about = "idea"
reason = "not now"
after_hours = 0.5

[[candidate]]
at = 2020-04-21
reason = "creeps"
sabotage = "creeping"
"""


def test_everything_is_read_and_times_are_utc(tmp_path: Path) -> None:
    path = tmp_path / "scenario.toml"
    path.write_text(TEXT, encoding="utf-8")
    scenario = load_scenario(path, ["a", "b"])
    stuck, scaled, lockdown = scenario.events
    april = [datetime(2020, 4, day, tzinfo=UTC) for day in range(1, 31)]
    assert stuck == Stuck(("a",), april[1], april[2] + timedelta(hours=12))
    assert scaled == Scaled((), april[3], april[4] - timedelta(hours=2), factor=0.001)
    day = timedelta(days=1)
    assert lockdown == Lockdown(april[9], onset=7 * day, lasting=10.5 * day, zone="Europe/Berlin")
    assert scenario.creeping == (datetime(2020, 5, 1, 6, tzinfo=UTC), 2.5)
    assert [(c.at, c.reason, c.sabotage, c.actor) for c in scenario.candidates] == [
        (datetime(2020, 4, 20, 6, tzinfo=UTC), "an engineer's idea", "", "ann"),
        (april[20], "creeps", "creeping", "engineer"),
    ]
    assert (scenario.seed, scenario.notes) == (3, ("one", "two"))
    assert scenario.first_history_days == 90
    for wrong in ("30", '"90"', "true", "90.5"):
        path.write_text(TEXT.replace("first_history_days = 90", f"first_history_days = {wrong}"), encoding="utf-8")
        with pytest.raises(InvalidInput, match="at least 60"):
            load_scenario(path, ["a", "b"])
    assert scenario.drifts() == (lockdown,)
    assert scenario.answers == (
        Answer("ann", "checked", reject=False, about="", after=timedelta(hours=2)),
        Answer("ben", "not now", reject=True, about="idea", after=timedelta(minutes=30)),
    )
    assert set(scenario.saboteur()) == {"corrupted", "creeping"}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ('reason = "x"', "key is missing"),
        ('name = "ann"', "key is missing"),
        ('name = "ann"\nreason = "x"\nsays = "aprove"', "unknown answer"),
        ('name = "ann"\nreason = "x"\nafter_hours = 0', "not a time to answer in"),
        ('name = "ann"\nreason = "x"\nafter_hours = true', "not a time to answer in"),
        ('name = "ann"\nreason = "x"\nafter = 3', "unknown key"),
    ],
)
def test_an_answer_that_nobody_could_give_is_refused(wrong: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "scenario.toml"
    path.write_text(f"[[answer]]\n{wrong}\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match=said):
        load_scenario(path, ["a"])
