from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recloser.core import InvalidInput
from recloser.serving import Route, arm_of

NOW = datetime(2020, 3, 1, tzinfo=UTC)
AREAS = [f"feeder {k}" for k in range(400)]
names = st.text(max_size=20)
shares = st.floats(0, 1)


@given(names, shares, shares)
def test_a_higher_share_only_adds_areas(area: str, one: float, other: float) -> None:
    low, high = sorted((one, other))
    if arm_of(Route(1, "rel-1", "rel-2", low), area, NOW) == "canary":
        assert arm_of(Route(2, "rel-1", "rel-2", high), area, NOW) == "canary"


@given(names)
def test_the_ends_of_the_share(area: str) -> None:
    assert arm_of(Route(1, "rel-1", "rel-2", 0.0), area, NOW) == "champion"
    assert arm_of(Route(1, "rel-1", "rel-2", 1.0), area, NOW) == "canary"
    assert arm_of(Route(1, "rel-1"), area, NOW) == "champion"


@given(names, shares, st.integers(0, 9), st.integers(-5, 5))
def test_the_arm_depends_on_nothing_but_release_share_and_area(area: str, share: float, epoch: int, days: int) -> None:
    first = arm_of(Route(1, "rel-1", "rel-2", share), area, NOW)
    assert first == arm_of(Route(epoch, "rel-9", "rel-2", share, shadow="s"), area, NOW + timedelta(days=days))


def test_the_split_is_the_same_on_every_machine_and_differs_per_rollout() -> None:
    cohorts = {
        canary: [area for area in AREAS if arm_of(Route(1, "rel-1", canary, 0.25), area, NOW) == "canary"]
        for canary in ("rel-2", "rel-3")
    }
    assert cohorts["rel-2"][:4] == ["feeder 8", "feeder 11", "feeder 14", "feeder 16"]
    assert all(70 <= len(cohort) <= 130 for cohort in cohorts.values())
    assert set(cohorts["rel-2"]) != set(cohorts["rel-3"])


def test_a_cohort_is_the_canarys_whatever_the_share() -> None:
    route = Route(1, "rel-1", "rel-2", 0.0, cohort=("b",))
    assert [arm_of(route, area, NOW) for area in "abc"] == ["champion", "canary", "champion"]


@given(names, st.integers(-10_000, 10_000))
def test_an_expired_lease_is_all_champion(area: str, seconds: int) -> None:
    route = Route(1, "rel-1", "rel-2", 1.0, lease_until=NOW)
    expected = "champion" if seconds >= 0 else "canary"
    assert arm_of(route, area, NOW + timedelta(seconds=seconds)) == expected


def test_the_lease_is_kept_in_utc() -> None:
    local = datetime(2020, 3, 1, 11, tzinfo=timezone(timedelta(hours=11)))
    route = Route(1, "rel-1", "rel-2", 1.0, lease_until=local)
    assert route.lease_until == NOW
    assert route.to_dict()["lease_until"] == "2020-03-01T00:00:00Z"


@pytest.mark.parametrize(
    "wrong",
    [
        {"epoch": -1},
        {"share": 1.1},
        {"share": -0.1},
        {"share": float("nan")},
        {"champion": None},
        {"canary": "rel-1"},
        {"shadow": "rel-2"},
        {"fallback": ("persistence", "persistence")},
        {"fallback": ("rel-1",)},
        {"lease_until": datetime(2020, 3, 1)},  # noqa: DTZ001
    ],
)
def test_contradictions_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        Route(**({"epoch": 1, "champion": "rel-1", "canary": "rel-2", "share": 0.1} | wrong))
