"""What a canary does while something that it rests on is gone: its labels for weeks, or its gateways for longer than
the lease.

In virtual time, on a real project: real packages, the loop as `recloser up` runs it, its own gateway.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from recloser.app import Platform
from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.loop.retraining import RunOrder
from recloser.core import LOAD, Unavailable, VirtualClock
from recloser.ledger import ForecastRecord, NoticeRecord, PairedDayRecord, ReleaseRecord, RolloutRecord, RouteRecord
from recloser.rollout import Rollout, RolloutState
from recloser.testing import small_project
from recloser.testing.puppets import puppet_release, put_on_trial

pytestmark = pytest.mark.story

ISSUE = time(9, tzinfo=ZoneInfo("Europe/Amsterdam"))
DAY = timedelta(days=1)
LEASE_S = 200_000
"""Somewhat over two days: an issue a day renews it."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, datetime]:
    """A project whose first model serves, and the instant; its data ends five days later."""
    folder = small_project(tmp_path_factory.mktemp("outage") / "grid")
    file = folder / "recloser.toml"
    text = file.read_text(encoding="utf-8")
    text = text.replace("[rollout]", f"[rollout]\nlease_seconds = {LEASE_S}", 1)
    file.write_text(text.replace("[model]", "[model]\nallow_code = true", 1), encoding="utf-8")
    with Platform.open(folder, clock=VirtualClock(datetime(2020, 1, 1, tzinfo=UTC))) as platform:
        extent = platform.store.extent(LOAD)
    assert extent is not None
    now = datetime.combine(extent[1].date(), ISSUE).astimezone(UTC) - 5 * DAY
    with Platform.open(folder, clock=VirtualClock(now)) as platform:
        loop = ControlLoop(platform, LoopOptions(retrain=False))
        order = RunOrder(loop.retraining.run_key(now, "first"), now, "api", "the first model", {"history_days": 60})
        loop.retraining.run(order)
        loop.cycle(now)
        assert platform.ledger.get(RouteRecord, "route") is not None
    return folder, now


class Life:
    """A loop that lives day by day, with a canary that answers for everybody."""

    def __init__(self, platform: Platform, clock: VirtualClock) -> None:
        self.platform, self.clock = platform, clock
        self.loop = ControlLoop(platform, LoopOptions(retrain=False))
        strings = platform.layout.root / "strings"
        strings.write_text("honest", encoding="utf-8")
        self.canary = puppet_release(platform, strings)
        lease = clock.now() + timedelta(seconds=LEASE_S)
        self.key = put_on_trial(platform, self.canary, RolloutState.CANARY, lease_until=lease).key
        self.loop.controller.tick(self.loop.evidence)

    def day(self) -> None:
        self.clock.advance_to(self.clock.now() + DAY)
        self.loop.cycle(self.clock.now())

    def state(self) -> str:
        record = self.platform.ledger.get(RolloutRecord, self.key)
        assert record is not None
        return record.state

    def answered_by(self) -> set[str]:
        """Return who is meant to have answered the latest issue, by arm."""
        records = self.platform.ledger.find(ForecastRecord, issued_at=self.clock.now())
        assert records
        return {record.served_by for record in records}


@pytest.fixture
def lived(trained: tuple[Path, datetime], tmp_path: Path) -> Iterator[Callable[[int], Life]]:
    """Return what begins a life so many days after the first model."""
    folder, now = trained
    clock = VirtualClock(now)
    with Platform.open(Path(shutil.copytree(folder, tmp_path / "grid")), clock=clock) as platform:

        def begin(days: int) -> Life:
            clock.advance_to(now + days * DAY)
            return Life(platform, clock)

        yield begin


def test_without_labels_for_weeks_a_canary_holds_people_are_told_once_and_a_rollback_works(
    lived: Callable[[int], Life],
) -> None:
    life = lived(7)
    share = life.platform.ledger.get(RouteRecord, "route").share
    for _ in range(21):
        life.day()
        assert life.state() == "canary", life.platform.ledger.get(RolloutRecord, life.key).reason
    assert not [day for day in life.platform.ledger.find(PairedDayRecord, rollout=life.key) if day.n > 0]
    assert life.platform.ledger.get(RouteRecord, "route").share == share
    alarms = life.platform.ledger.find(NoticeRecord, kind="alarm", subject=life.canary)
    assert len(alarms) == 1
    assert "no label has told anything" in alarms[0].data["alarms"][0]
    life.loop.controller.rollback(reason="nothing tells how it does", actor="ann")
    route = life.platform.ledger.get(RouteRecord, "route")
    assert (life.state(), route.canary) == ("rolled_back", None)
    assert route.champion is not None
    life.day()
    assert "canary" not in life.answered_by()


def test_without_labels_until_the_deadline_it_is_rolled_back(lived: Callable[[int], Life]) -> None:
    life = lived(7)
    life.clock.advance_to(life.clock.now() + timedelta(days=59))
    life.loop.controller.tick(life.loop.evidence)  # its lease was lost meanwhile: no traffic, but the trial goes on
    assert life.state() == "shadow"
    life.clock.advance_to(life.clock.now() + DAY)
    life.loop.controller.tick(life.loop.evidence)
    assert life.state() == "rolled_back"


def test_a_champion_whose_answers_are_refused_in_issue_after_issue_gives_way(lived: Callable[[int], Life]) -> None:
    """The former champion serves again; before that each refused answer was the ladder's."""
    life = lived(1)
    platform, ledger = life.platform, life.platform.ledger
    now, route = life.clock.now(), ledger.get(RouteRecord, "route")
    trial = Rollout.from_record(ledger.get(RolloutRecord, life.key))
    serves = replace(trial, state=RolloutState.CHAMPION, promoted_at=now)
    with ledger.change("test", now) as change:  # as if its probation had ended
        change.put(serves.to_record())
        change.put(
            replace(route, epoch=route.epoch + 1, champion=life.canary, canary=None, share=0.0, lease_until=None)
        )
        change.put(replace(ledger.get(ReleaseRecord, life.canary), state="champion"))
        (first,) = [r for r in ledger.find(RolloutRecord, state="champion") if r.release == route.champion]
        change.put(replace(Rollout.from_record(first), state=RolloutState.RETIRED, finished_at=now).to_record())
        change.put(replace(ledger.get(ReleaseRecord, first.release), state="retired"))
        change.note("test", life.canary)
    (platform.layout.root / "strings").write_text("nan", encoding="utf-8")
    for expected in ("champion", "champion", "tripped"):
        life.day()
        assert life.state() == expected, ledger.get(RolloutRecord, life.key).reason
    assert ledger.get(RouteRecord, "route").champion == first.release
    assert not ledger.find(NoticeRecord, kind="alarm")
    life.day()
    assert life.answered_by() == {"champion"}


def test_gateways_that_the_controller_cannot_reach_go_back_to_the_champion_alone(
    lived: Callable[[int], Life], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A partition: the controller decides on, and nothing of it arrives. The gateway needs nobody to end the lease."""
    life = lived(1)
    life.day()
    assert life.answered_by() == {"canary"}
    router, gateway = life.loop.router, life.loop.router.gateway

    def unreachable(*_: object) -> None:
        raise Unavailable("the network is cut")

    with monkeypatch.context() as cut:
        for name in ("set_route", "current", "settled"):
            cut.setattr(router, name, unreachable)
        until = gateway.route.lease_until
        assert until is not None
        life.clock.advance_to(until - timedelta(minutes=1))
        with pytest.raises(Unavailable):  # it renews the lease, and nobody hears of it
            life.loop.controller.tick(life.loop.evidence)
        issue = life.clock.now()
        rows = life.loop.frames.frame(issue, issue, None)
        last = gateway.answer(rows, issue, issue)
        assert {served.served_by for served in last.served} == {"canary"}
        life.clock.advance_to(until)
        alone = gateway.answer(rows, issue, life.clock.now())
        assert "canary" not in {served.served_by for served in alone.served}
        with pytest.raises(Unavailable):  # a person rolls back: it is decided, although nobody can be told
            life.loop.controller.rollback(reason="no contact", actor="ann")
    assert life.state() == "rolled_back"
    life.loop.controller.tick(life.loop.evidence)
    assert gateway.route.canary is None
    assert gateway.route.epoch == life.platform.ledger.get(RouteRecord, "route").epoch
