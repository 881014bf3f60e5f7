"""A scenario file becomes events and candidates; what a bad one says stands in tests/unit/cli."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from recloser.app.replay.answering import Answer
from recloser.app.replay.happening import EVENTS, Surroundings
from recloser.app.replay.scenario import Scenario, load_scenario, must_fit
from recloser.core import SAMPLE_SCHEMA, InvalidInput
from recloser.simulation import Fahrenheit, Lockdown, MiddayErosion, Scaled, Stuck

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
        with pytest.raises(InvalidInput, match="from 60"):
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


SPAN = "start = 2024-03-12T06:00:00Z\nend = 2024-03-14T18:00:00Z\n"
DAY = "start = 2024-03-12\n"
NONSENSE = [
    ('kind = ["stuck"]', SPAN, "kind", "'stuck'?"),
    ('kind = "stuck"\nquantity = "load"', SPAN, "quantity", "'load_mw'"),
    ('kind = "fahrenheit"\nquantity = "temp_c"', SPAN, "quantity", "'temperature_c'"),
    ('kind = "stuck"\nareas = ["NORT"]', SPAN, "areas", "'NORTH'"),
    ('kind = "stuck"\nstrat = 2024-03-12', SPAN, "strat", "'start'"),
    ('kind = "stuck"', DAY, "", "needs 'end'"),
    ('kind = "lockdown"\nstart = 9999-12-30', "", "", "calendar"),
    ('kind = "low_actuals"\nstart = 9999-12-30', "", "", "calendar"),
    ('kind = "level_drift"\nend = 2024-03-12\nshare = 0.1', DAY, "end", "after the start"),
    *(('kind = "stamp_shift"\nhours = ' + wrong, SPAN, "hours", "not 0") for wrong in ("1.5", "0", '"1"', "true")),
    *(('kind = "scaled"\nfactor = ' + wrong, SPAN, "factor", "1e+06") for wrong in ("nan", "inf", '"2"', "true", "1")),
    *(('kind = "spikes"\nseed = ' + wrong, SPAN, "seed", "from 0") for wrong in ("-1", '"a"', "1.5")),
    *(('kind = "spikes"\nfactor = ' + wrong, SPAN, "factor", "1e+06") for wrong in ('"x"', "nan")),
    ('kind = "spikes"\nshare = 5', SPAN, "share", "to 1"),
    *(('kind = "low_actuals"\nshare = ' + wrong, DAY, "share", "to 1") for wrong in ("15", '"0.1"', "0", "-0.1")),
    *(('kind = "level_drift"\nshare = ' + wrong, DAY, "share", "-1 to 10") for wrong in ('"-0.1"', "-3", "nan", "0")),
    ('kind = "level_drift"\nshare = 0.1\nonset = -5', DAY, "onset", "from 0"),
    *(('kind = "lockdown"\ndepth = ' + wrong, DAY, "depth", "to 0.5") for wrong in ('"x"', "10", "nan")),
    *(('kind = "lockdown"\nonset = ' + wrong, DAY, "onset", "a number of days") for wrong in ("nan", "-1", "true")),
    *(('kind = "midday_erosion"\nper_month = ' + wrong, DAY, "per_month", "-1 to 1") for wrong in ('"x"', "50")),
]


@pytest.mark.parametrize(("wrong", "times", "key", "expected"), NONSENSE)
def test_what_nobody_can_mean_names_event_key_and_what_is_expected(
    wrong: str, times: str, key: str, expected: str, tmp_path: Path
) -> None:
    path = tmp_path / "scenario.toml"
    path.write_text(f"[[event]]\nkind = 'gap'\n{SPAN}\n[[event]]\n{wrong}\n{times}", encoding="utf-8")
    with pytest.raises(InvalidInput) as told:
        load_scenario(path, ["NORTH", "SOUTH"])
    assert told.value.where == f"{path}: event 2" + (f", {key}" if key else "")
    assert expected in told.value.explain()
    assert "__init__" not in told.value.explain()


def test_an_end_before_the_start_is_told(tmp_path: Path) -> None:
    path = tmp_path / "scenario.toml"
    for kind in [name for name, kind in EVENTS.items() if "end" in kind.keys]:
        share = "share = 0.1\n" if kind == "level_drift" else ""
        path.write_text(f"[[event]]\nkind = '{kind}'\n{share}start = 2024-03-12\nend = 2024-03-12\n", encoding="utf-8")
        with pytest.raises(InvalidInput, match="ends before it begins"):
            load_scenario(path, ["NORTH"])


@pytest.mark.parametrize("per_day", ["nan", "true", '"2"', "0"])
def test_creeping_by_nothing_is_refused(per_day: str, tmp_path: Path) -> None:
    path = tmp_path / "scenario.toml"
    path.write_text(f"[creeping]\nfrom = 2024-03-12\nper_day = {per_day}\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match="percent a day") as told:
        load_scenario(path, ["NORTH"])
    assert told.value.where == f"{path}: creeping, per_day"


def test_no_areas_are_all_areas_and_the_zone_is_the_projects(tmp_path: Path) -> None:
    path = tmp_path / "scenario.toml"
    texts = [f"[[event]]\nkind = '{kind}'\n" for kind in ("stuck", "fahrenheit", "lockdown", "midday_erosion")]
    path.write_text("".join(text + (SPAN if n < 2 else DAY) for n, text in enumerate(texts)), encoding="utf-8")
    around = Surroundings(["NORTH"], zone="America/Sao_Paulo")
    stuck, fahrenheit, lockdown, erosion = load_scenario(path, ["NORTH"], around).events
    assert isinstance(stuck, Stuck)
    assert isinstance(fahrenheit, Fahrenheit)
    assert isinstance(lockdown, Lockdown)
    assert isinstance(erosion, MiddayErosion)
    assert stuck.areas == fahrenheit.areas == lockdown.areas == erosion.areas == ()
    assert (fahrenheit.quantity, lockdown.zone, erosion.zone) == ("temperature_c", *["America/Sao_Paulo"] * 2)


def fit(text: str, folder: Path) -> Scenario:
    """Read a scenario for a replay of 10 to 20 March of an area that has load from 1 to 15 March and nothing else."""
    first = datetime(2024, 3, 1, tzinfo=UTC)
    at = [first + timedelta(hours=k) for k in range(14 * 24)]
    frame = pl.DataFrame([("NORTH", "load_mw", t, t, 1.0, 0, "x") for t in at], schema=SAMPLE_SCHEMA, orient="row")
    path = folder / "scenario.toml"
    path.write_text(text, encoding="utf-8")
    scenario = load_scenario(path, ["NORTH", "SOUTH"])
    must_fit(scenario, path, frame, (datetime(2024, 3, 10, tzinfo=UTC), datetime(2024, 3, 20, tzinfo=UTC)))
    return scenario


@pytest.mark.parametrize(
    ("text", "where", "said"),
    [
        ("[[event]]\nkind = 'gap'\nstart = 1999-03-12\nend = 1999-03-14", "event 1", "outside"),
        ("[[event]]\nkind = 'gap'\nstart = 2024-03-20\nend = 2024-03-24", "event 1", "outside"),
        ("[[event]]\nkind = 'gap'\nstart = 2024-03-16\nend = 2024-03-18", "event 1", "no recorded load_mw"),
        ("[[event]]\nkind = 'gap'\nareas = ['SOUTH']\n" + SPAN, "event 1", "no recorded load_mw"),
        ("[[event]]\nkind = 'fahrenheit'\n" + SPAN, "event 1", "no recorded temperature_c"),
        ("[[candidate]]\nat = 1999-01-01\nreason = 'x'", "candidate 1, at", "outside"),
        ("[[candidate]]\nat = 2024-03-20\nreason = 'x'", "candidate 1, at", "outside"),
        ("[creeping]\nfrom = 2024-03-20\nper_day = 1", "creeping, from", "outside"),
    ],
)
def test_what_would_never_come_in_this_replay_is_refused(text: str, where: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=said) as told:
        fit(text, tmp_path)
    assert told.value.where == f"{tmp_path / 'scenario.toml'}: {where}"
    assert "2024-03-10T00:00:00Z .. 2024-03-20T00:00:00Z" in str(told.value.expected)


def test_what_began_before_and_lasts_fits(tmp_path: Path) -> None:
    text = (
        "[[event]]\nkind = 'level_drift'\nshare = 0.1\nstart = 2024-03-01\n[creeping]\nfrom = 2024-03-01\nper_day = 1"
    )
    assert len(fit(text, tmp_path).events) == 1
