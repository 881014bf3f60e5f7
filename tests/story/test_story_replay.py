"""A small project lives 62 virtual days by `recloser replay`, and what is told about it is checked against the records.

Scheduled challenger, a candidate of spoilt data, a vendor's model that goes wrong after it was let in, a stuck sensor;
a pilot area that goes first, and people who are asked before traffic and before promotion and once say no.
Dates, settings and seed are fixed, so the same things happen every time; what is asserted is what must be true of any
such life, not its numbers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from recloser.app import Platform
from recloser.app.replay.telling.shown import STAGES, shown
from recloser.cli import main
from recloser.core import LOAD, Quality, format_utc
from recloser.ledger import ForecastRecord, ReleaseRecord, RolloutRecord, TripRecord, VerdictRecord
from recloser.rollout import Rollout
from recloser.testing import QUICK, small_grid, small_project

pytestmark = pytest.mark.story

DAYS = 230
WINDOW = ("--from", "2020-06-10", "--to", "2020-08-11")
HOUR = timedelta(hours=1)
ZONE = ZoneInfo("Europe/Amsterdam")
STUCK = (datetime(2020, 7, 26, 10, tzinfo=UTC), datetime(2020, 7, 28, 12, tzinfo=UTC))
CREEPS = datetime(2020, 7, 17, 8, tzinfo=UTC)
LATER = datetime(2021, 1, 1, tzinfo=UTC)
SCENARIO = f"""
seed = 5
notes = ["a small story"]

[creeping]
from = {CREEPS.isoformat()}
per_day = 40

[[candidate]]
at = 2020-06-20T06:00:00Z
reason = "trained on an unchecked export"
sabotage = "corrupted"

[[candidate]]
at = 2020-07-13T06:00:00Z
reason = "a vendor's model"
sabotage = "creeping"

[[candidate]]
at = 2020-06-27T06:00:00Z
reason = "the same on newer data"
actor = "eve"

[[answer]]
name = "ben"
says = "reject"
about = "newer data"
reason = "not in the week in which the feeders are switched over"

[[answer]]
name = "ann"
reason = "read the evidence"
after_hours = 3

[[answer]]
name = "eve"
reason = "mine, so it is good"
after_hours = 0.5

[[answer]]
name = "ben"
reason = "the peaks look right"
after_hours = 6.5

[[event]]
kind = "stuck"
areas = ["F02"]
start = {STUCK[0].isoformat()}
end = {STUCK[1].isoformat()}
"""
SETTINGS = {
    "shadow_days = 7": "shadow_days = 2\nprobation_days = 3\nharmless_days = 3\ndeadline_days = 30",
    "canary_steps = [[0.25, 7], [0.5, 7]]": 'canary_steps = [["pilot", 2], [1.0, 3]]\ncohorts = { pilot = ["F01"] }',
    'promotion = "evidence"': 'promotion = "no_evidence_of_harm"',
    "on_drift = true": "on_drift = true\ncooldown_days = 2",
}
APPROVAL = """
[rollout.approval]
before = ["traffic", "promotion"]
roles = { lead = ["ann"], forecasting = ["ben", "eve"] }
required = ["lead"]
"""


@dataclass(frozen=True)
class Life:
    """A finished replay: its project, its folder and its report."""

    project: Path
    scenario: Path
    out: Path
    report: dict[str, Any]

    @property
    def loop(self) -> dict[str, Any]:
        """What the policy 'recloser' did."""
        found: dict[str, Any] = self.report["policies"]["recloser"]
        return found


def replayed(project: Path, scenario: Path, out: Path) -> dict[str, Any]:
    words = ["replay", *WINDOW, "--policy", "recloser", "--policy", "never", "--scenario", str(scenario)]
    assert main([*words, "--out", str(out), "--project", str(project)]) == 0
    report: dict[str, Any] = json.loads((out / "report.json").read_text(encoding="utf-8"))
    return report


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    folder = tmp_path_factory.mktemp("story")
    project = small_project(
        folder / "grid", days=DAYS, settings=QUICK.replace("[registry]", "allow_code = true\n\n[registry]")
    )
    settings = project / "recloser.toml"
    text = settings.read_text(encoding="utf-8")
    for old, new in SETTINGS.items():
        assert old in text
        text = text.replace(old, new)
    settings.write_text(text + APPROVAL, encoding="utf-8")
    scenario = folder / "scenario.toml"
    scenario.write_text(SCENARIO, encoding="utf-8")
    return Life(project, scenario, folder / "out", replayed(project, scenario, folder / "out"))


@pytest.fixture
def lived(life: Life) -> Iterator[Platform]:
    """The scratch project that lived through it, as it was left."""
    with Platform.open(life.out / "work" / "recloser", isolated=True) as platform:
        yield platform


def run_of(life: Life, asked: str) -> dict[str, Any]:
    found = [run for run in life.loop["runs"] if asked in run["asked"]]
    assert found, f"no run asked for by {asked!r}"
    return dict(found[0])


def states_of(life: Life, release: str) -> list[str]:
    return [row["to"] for row in life.loop["rollouts"] if row["release"] == release]


def test_the_first_model_becomes_champion_once_people_say_yes(life: Life) -> None:
    first = run_of(life, "the first model")
    assert first["verdict"] == "pass"
    assert states_of(life, first["candidate"])[:2] == ["awaiting_approval", "champion"]
    assert life.loop["rollouts"][0]["release"] == first["candidate"]


def test_a_scheduled_challenger_goes_all_the_way(life: Life) -> None:
    challenger = run_of(life, "scheduled for 2020-07-01")
    assert (challenger["trigger"], challenger["verdict"]) == ("schedule", "pass")
    asked = "awaiting_approval"
    way = ["shadow", asked, "canary", "canary", asked, "probation", "champion"]
    assert states_of(life, challenger["candidate"]) == way
    canaries = [r for r in life.loop["rollouts"] if r["release"] == challenger["candidate"] and r["to"] == "canary"]
    assert [(row["share"], row["cohort"]) for row in canaries] == [(0.0, ["F01"]), (1.0, ["F01"])]


def test_the_pilot_area_goes_first(life: Life, lived: Platform) -> None:
    challenger = run_of(life, "scheduled for 2020-07-01")["candidate"]
    first, second = (r["at"] for r in life.loop["rollouts"] if r["release"] == challenger and r["to"] == "canary")
    served = [record for record in lived.ledger.find(ForecastRecord) if record.release == challenger]
    alone = {record.area for record in served if first <= format_utc(record.made_at) < second}
    assert alone == {"F01"}
    assert {record.area for record in served} == {"F01", "F02"}


def test_two_people_say_yes_and_who_proposed_is_not_among_them(life: Life, lived: Platform) -> None:
    """A scheduled run has no proposer, so eve's yes counts there; her own candidate she cannot approve."""
    acts = [(act["name"], act["role"], act["kind"]) for act in life.loop["acts"]]
    challenger = run_of(life, "scheduled for 2020-07-01")["candidate"]
    about = [act["name"] for act in life.loop["acts"] if act["release"] == challenger]
    assert about == ["eve", "ann"] * 2  # before the traffic and before the promotion; nobody waited for a third
    assert ("ann", "lead", "approve") in acts
    own = run_of(life, "newer data")["candidate"]
    (record,) = lived.ledger.find(RolloutRecord, release=own)
    assert Rollout.from_record(record).proposers.known == ("eve",)
    assert "eve" not in [act["name"] for act in life.loop["acts"] if act["release"] == own]


def test_what_people_turn_down_ends_and_is_told(life: Life, lived: Platform) -> None:
    own = run_of(life, "newer data")
    assert own["verdict"] == "pass"
    assert states_of(life, own["candidate"]) == ["shadow", "awaiting_approval", "rolled_back"]
    (no,) = [act for act in life.loop["acts"] if act["kind"] == "reject"]
    assert (no["name"], no["release"], no["followed"]) == ("ben", own["candidate"], False)
    assert life.loop["counts"]["rejections"] == 1
    assert life.loop["counts"]["approvals"] == len(life.loop["acts"]) - 1
    told = shown(life.loop | {key: read_times(life.loop[key]) for key in ("rollouts", "trips", "acts")}, ZONE)
    assert list(told) == list(STAGES)
    assert told["rejection"].endswith("ben (forecasting) turned down " + own["candidate"] + f": {no['reason']}")
    page = (life.out / "report.html").read_text(encoding="utf-8")
    assert "ben (forecasting) REJECTS" in page
    assert lived.ledger.verify().ok


def read_times(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row | {"at": datetime.fromisoformat(row["at"])} for row in rows]


def test_a_candidate_of_spoilt_data_never_reaches_traffic(life: Life, lived: Platform) -> None:
    bad = run_of(life, "unchecked export")
    assert bad["verdict"] == "refuse"
    verdict = lived.ledger.get(VerdictRecord, f"verdict-{bad['candidate']}")
    assert verdict is not None
    assert (verdict.verdict, verdict.reason) == ("refuse", bad["reason"])
    notes = [entry for entry in lived.ledger.entries() if entry.action == "staging.refuse"]
    assert bad["candidate"] in {note.subject for note in notes}
    assert states_of(life, bad["candidate"]) == []
    assert lived.ledger.find(RolloutRecord, release=bad["candidate"]) == []
    assert not any(bad["candidate"] in record.answers for record in lived.ledger.find(ForecastRecord))


def test_what_goes_wrong_in_use_is_tripped_and_recalled(life: Life, lived: Platform) -> None:
    """Old ids void, their unexpired targets answered by the champion, their expired ones left as history."""
    vendor = run_of(life, "a vendor's model")
    assert vendor["verdict"] == "pass"  # staging cannot know: the model is right until CREEPS
    assert states_of(life, vendor["candidate"])[-1] == "tripped"
    trips = lived.ledger.find(TripRecord, release=vendor["candidate"])
    assert len(trips) == 1
    trip = trips[0]
    assert CREEPS < trip.at < CREEPS + timedelta(days=3)
    told = [row for row in life.loop["trips"] if row["release"] == vendor["candidate"]]
    assert [(row["tier"], row["recalled"]) for row in told] == [(trip.tier, len(trip.recalled))]
    assert trip.recalled

    records = {record.key: record for record in lived.ledger.find(ForecastRecord)}
    champion = next(r for r in life.loop["rollouts"][::-1] if r["to"] == "champion" and r["at"] < told[0]["at"])
    for key in trip.recalled:
        old = records[key]
        assert (old.release, old.served_by) == (vendor["candidate"], "canary")
        assert (old.void, old.void_at) == (True, trip.at)
        assert old.replaced_by is not None
        new = records[old.replaced_by]
        assert (new.area, new.issued_at, new.made_at) == (old.area, old.issued_at, trip.at)
        assert (new.release, new.void) == (champion["release"], False)
        unexpired = [at for at in old.targets if datetime.fromisoformat(at) + HOUR > trip.at]
        assert new.targets == unexpired
        assert 0 < len(new.targets) < len(old.targets)
        assert new.answers[new.release] == old.answers[new.release][-len(unexpired) :]
    after = [r for r in records.values() if r.made_at >= trip.at]
    assert vendor["candidate"] not in {r.release for r in after}
    tripped = lived.ledger.get(ReleaseRecord, vendor["candidate"])
    assert tripped is not None
    assert tripped.state == "tripped"


def test_a_stuck_sensor_is_a_data_fault_and_its_samples_are_flagged(life: Life, lived: Platform) -> None:
    faults = [s for s in life.loop["signals"] if s["class"] == "data_fault" and s["areas"] == ["F02"]]
    stuck = [s for s in faults if s["kind"] == "stuck"]
    assert stuck
    since = datetime.fromisoformat(stuck[0]["since"])
    assert abs(since - STUCK[0]) <= 2 * HOUR
    assert datetime.fromisoformat(stuck[0]["at"]) <= STUCK[0] + timedelta(days=1)
    assert datetime.fromisoformat(stuck[0]["closed_at"]) <= STUCK[1] + timedelta(days=2)

    frame = lived.store.read(["F02"], [LOAD], start=STUCK[0], end=STUCK[1], as_of=LATER).frame
    checked = pl.col("source").str.starts_with("check:")
    first, last = frame.filter(~checked), frame.filter(checked)
    assert last["at"].n_unique() == int((STUCK[1] - STUCK[0]) / HOUR)
    # A sample that arrives at the very instant of the check is known flagged from its first instant on.
    assert set(first["at"]) >= set(last.filter(pl.col("available_at") > pl.col("at") + HOUR)["at"])
    assert (first["quality"] == int(Quality.GOOD)).all()  # what was received stays readable, as it was received
    assert ((last["quality"].cast(pl.Int64) & int(Quality.STUCK)) != 0).all()
    assert last["value"].unique().to_list() == first["value"].unique().to_list()
    together = first.join(last, on="at", suffix="_flagged")
    assert (together["available_at_flagged"] >= together["available_at"]).all()
    usable = lived.store.read(["F02"], [LOAD], start=STUCK[0], end=STUCK[1], as_of=LATER).wide()
    assert usable.is_empty() or usable[LOAD].null_count() == usable.height
    other = lived.store.read(["F01"], [LOAD], start=STUCK[0], end=STUCK[1], as_of=LATER).frame
    assert (other["quality"] == 0).all()
    held = [run for run in life.loop["runs"] if stuck[0]["at"] <= run["at"] < stuck[0]["closed_at"]]
    assert held == []  # a fault of telemetry is no reason to learn anew


def test_every_hour_has_one_answer_or_a_note_and_the_audit_log_is_unbroken(life: Life, lived: Platform) -> None:
    assert lived.ledger.verify().ok
    assert main(["audit", "verify", "--project", str(life.out / "work" / "recloser")]) == 0
    frame = points(lived).filter(~pl.col("void"))
    assert frame.group_by("area", "at").len().filter(pl.col("len") > 1).is_empty()  # one valid answer for an hour
    issues = [entry for entry in lived.ledger.entries() if entry.action == "forecast.issue"]
    assert len(issues) == 61  # on the first morning people had not said yes yet
    unanswered = sum(len(entry.facts.get("unavailable", ())) for entry in issues)
    assert unanswered < 6  # and each of them stands in the audit log
    assert frame.height == 24 * (2 * 61 - unanswered)


ROWS = {
    "months": {"month", "area", "mape", "wmape", "rcrps", "coverage80", "bias_pct", "n"},
    "signals": {"at", "class", "areas", "reason"},
    "runs": {"at", "trigger", "candidate", "verdict", "reason"},
    "rollouts": {"release", "from", "to", "state", "reason"},
    "trips": {"at", "release", "tier", "reason", "recalled"},
}


def test_the_report_has_the_keys_of_the_contract(life: Life) -> None:
    report = life.report
    assert set(report) >= {"from", "to", "areas", "policies", "naive", "seed", "version", "wall_s", "cpu_s"}
    assert (report["from"], report["to"]) == ("2020-06-10T00:00:00Z", "2020-08-11T00:00:00Z")
    assert (report["areas"], report["seed"]) == (["F01", "F02"], 5)
    assert "incumbent" not in report
    assert set(report["policies"]) == {"recloser", "never"}
    for policy in report["policies"].values():
        for name, keys in ROWS.items():
            assert all(set(row) >= keys for row in policy[name])
        assert set(policy["total"]) >= ROWS["months"] - {"month", "area"}
    assert [run["asked"] for run in report["policies"]["never"]["runs"]] == ["the first model"]
    for section in (report["naive"], report["policies"]["never"], life.loop):
        assert [(row["month"], row["area"]) for row in section["months"]] == [
            (month, area) for month in ("2020-06", "2020-07", "2020-08") for area in ("F01", "F02")
        ]
    kinds = {signal["class"] for signal in life.loop["signals"]}
    assert kinds <= {"data_fault", "covariate_shift", "concept_drift", "degradation"}
    page = (life.out / "report.html").read_text(encoding="utf-8")
    assert re.findall(r"""(?:src|href)=["']?(?!#|data:)[^"' >]+""", page) == []  # nothing is fetched from anywhere
    assert "<script" not in page


def points(platform: Platform) -> pl.DataFrame:
    """Every point of every forecast record, void where its interval had not ended when the record was voided."""
    rows = []
    for record in platform.ledger.find(ForecastRecord):
        for at, (low, middle, high) in zip(record.targets, record.answers[record.release], strict=True):
            begins = datetime.fromisoformat(at)
            void = record.void_at is not None and begins + HOUR > record.void_at
            rows.append((record.area, begins, low, middle, high, void))
    names = ["area", "at", "q10", "q50", "q90", "void"]
    return pl.DataFrame(rows, schema=names, orient="row").with_columns(pl.col("at").cast(pl.Datetime("us", "UTC")))


@pytest.mark.parametrize("area", ["F01", "F02"])
def test_the_scores_of_july_computed_again_from_the_ledger(area: str, life: Life, lived: Platform) -> None:
    """Plain numpy on the valid points and the true load, which the stuck sensor did not show."""
    load = small_grid(DAYS).frame().filter((pl.col("quantity") == LOAD) & (pl.col("area") == area))
    july = [datetime(2020, month, 1, tzinfo=ZoneInfo("Europe/Amsterdam")).astimezone(UTC) for month in (7, 8)]
    valid = points(lived).filter(~pl.col("void") & (pl.col("area") == area))
    with Platform.open(life.out / "work" / "never", isolated=True) as other:  # scored where both policies answered
        valid = valid.join(points(other).filter(~pl.col("void")), on=["area", "at"], how="semi")
    joined = valid.filter(pl.col("at").is_between(*july, closed="left")).join(load, on="at")
    truth, low, middle, high = (joined[name].to_numpy() for name in ("value", "q10", "q50", "q90"))
    row = next(r for r in life.loop["months"] if (r["month"], r["area"]) == ("2020-07", area))
    assert row["n"] == len(truth) > 25 * 24
    assert row["mape"] == pytest.approx(100 * np.mean(np.abs(middle - truth) / np.abs(truth)), rel=1e-9)
    assert row["wmape"] == pytest.approx(100 * np.abs(middle - truth).sum() / np.abs(truth).sum(), rel=1e-9)
    assert row["coverage80"] == pytest.approx(100 * np.mean((low <= truth) & (truth <= high)), rel=1e-9)
    assert row["bias_pct"] == pytest.approx(100 * (middle - truth).sum() / np.abs(truth).sum(), rel=1e-9, abs=1e-12)
    losses = [
        np.mean(np.maximum(level * (truth - answer), (level - 1) * (truth - answer)))
        for level, answer in ((0.1, low), (0.5, middle), (0.9, high))
    ]
    assert row["rcrps"] == pytest.approx(2 * np.mean(losses) / np.subtract(*np.quantile(truth, (0.99, 0.01))), rel=1e-9)


def test_the_same_replay_twice_is_the_same_report(life: Life, tmp_path: Path) -> None:
    again = replayed(life.project, life.scenario, tmp_path / "again")
    for report in (again, first := dict(life.report)):
        del report["wall_s"], report["cpu_s"]
    assert again == first
