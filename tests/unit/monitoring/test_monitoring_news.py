"""What is said of changes: one signal a change, neighbours joined to it, what is over closed."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from recloser.monitoring import DriftAlarm, drift_signal
from recloser.monitoring.detectors import Change
from recloser.monitoring.questions import Attributed, News, Standing, action_of, news

NOW = datetime(2020, 3, 20, 7, tzinfo=UTC)
DAY = timedelta(days=1)
CHANGE = Change(date(2020, 3, 19), date(2020, 3, 12), "level", "below", 1.1, -0.09)


def changed(area: str, cause: str = "drift", change: Change = CHANGE) -> Attributed:
    return Attributed(area, change, cause, "5 of 12 areas changed alike")  # type: ignore[arg-type]


def said(*attributed: Attributed, standing: tuple[Standing, ...] = (), now: datetime = NOW) -> News:
    return news(attributed, frozenset(one.area for one in attributed), standing, now)


def test_a_fault_has_its_signal_already() -> None:
    assert said(changed("A", "fault")) == News()


def test_an_unknown_cause_is_a_notice_of_its_area_said_once() -> None:
    first = said(changed("A", "unknown"))
    (signal,) = first.opened
    assert (signal.severity, signal.areas, action_of(signal)) == ("notice", ("A",), "watch")
    assert said(changed("A", "unknown"), standing=(Standing(signal),)) == News()


def test_areas_that_drift_alike_are_one_signal_and_their_notices_end() -> None:
    (notice,) = said(changed("A", "unknown")).opened
    everything = [changed(area) for area in ("A", "B", "C")]
    found = news(everything, frozenset({"B", "C"}), (Standing(notice),), NOW)
    (signal,) = found.opened
    assert (signal.severity, signal.areas, action_of(signal)) == ("warning", ("A", "B", "C"), "retrain")
    assert list(found.closed) == [notice.key]


def test_a_neighbour_that_follows_joins() -> None:
    (signal,) = said(changed("A"), changed("B"), changed("C")).opened
    found = news([changed("D")], frozenset({"D"}), (Standing(signal),), NOW + 3 * DAY)
    assert found.opened == ()
    (wider,) = found.joined
    assert (wider.key, wider.areas) == (signal.key, ("A", "B", "C", "D"))
    assert wider.reason == signal.reason.replace("A, B, C", "A, B, C, D")
    other = replace(CHANGE, direction="above")
    (opposite,) = news([changed("D", change=other)], frozenset({"D"}), (Standing(signal),), NOW).opened
    assert opposite.areas == ("D",)


def test_a_drift_that_stands_open_covers_its_areas() -> None:
    alarm = DriftAlarm(date(2020, 3, 19), date(2020, 3, 12), "below", 9.0, 8.0, -0.08)
    fleet = drift_signal(alarm, NOW)
    assert said(changed("A"), standing=(Standing(fleet),)) == News()
    (signal,) = said(changed("A"), changed("B"), changed("C")).opened
    assert said(changed("A", "unknown"), standing=(Standing(signal),)) == News()


def test_what_is_over_is_closed_and_says_why() -> None:
    (notice,), (drift,) = said(changed("A", "unknown")).opened, said(changed("B")).opened
    for standing, later, why in (
        (Standing(notice, faulty=True), DAY, "fault"),
        (Standing(notice), 35 * DAY, "normal"),
        (Standing(drift, answered=True), DAY, "champion"),
        (Standing(drift), 56 * DAY, "normal"),
    ):
        closed = news([], frozenset(), (standing,), NOW + later).closed
        assert why in closed[standing.signal.key]
    assert not news([], frozenset(), (Standing(notice, answered=True), Standing(drift)), NOW + 30 * DAY).closed
