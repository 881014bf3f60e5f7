"""A forecast looked up by its id, or by that of one of its predictions: what it said and what became of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np

from recloser.core import Served
from recloser.serving.http import PastForecast
from recloser.serving.http.lookup import past_document

NOON = datetime(2020, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def served(key: str, first: int, many: int, release: str = "rel-2") -> Served:
    """Return a forecast of some hours after noon."""
    targets = tuple(NOON + (first + k) * HOUR for k in range(many))
    answers = {release: np.array([[k, k + 1.0, k + 2.0] for k in range(many)])}
    return Served(key, "NORTH", NOON, NOON, targets, (0.1, 0.5, 0.9), release, "canary", "", answers)


def fates(found: PastForecast) -> list[tuple[Any, ...]]:
    points = past_document(found, found.served.id, None)["points"]
    return [(point["status"], point["replaced_by"], point["in_force"]) for point in points]


def test_a_forecast_that_nothing_happened_to_is_valid() -> None:
    found = PastForecast(served("fc-1", 0, 2), HOUR)
    assert fates(found) == [("valid", None, "fc-1:0"), ("valid", None, "fc-1:1")]
    document = past_document(found, "fc-1:1", 1)
    assert (document["status"], document["asked"], document["id"]) == ("valid", "fc-1:1", "fc-1")
    assert document["points"] == [
        {
            "id": "fc-1:1", "at": "2020-03-01T13:00:00Z", "q10": 1.0, "q50": 2.0, "q90": 3.0,
            "status": "valid", "replaced_by": None, "in_force": "fc-1:1",
        }
    ]  # fmt: skip


def test_a_recall_concerns_only_what_had_not_ended() -> None:
    new = served("fc-2", 1, 3, "rel-1")
    found = PastForecast(
        served("fc-1", 0, 4), HOUR, (new,), NOON + HOUR, "tripped", "trip-1", replaced_by="fc-2", replacement=new
    )
    assert fates(found) == [
        ("valid", None, "fc-1:0"),  # it ended at the instant of the recall
        ("void", "fc-2:0", "fc-2:0"),
        ("void", "fc-2:1", "fc-2:1"),
        ("void", "fc-2:2", "fc-2:2"),
    ]
    document = past_document(found, "fc-1", None)
    assert (document["status"], document["void_at"], document["trip"]) == ("void", "2020-03-01T13:00:00Z", "trip-1")


def test_a_replacement_that_was_recalled_too_is_named_but_not_in_force() -> None:
    found = PastForecast(
        served("fc-1", 0, 2), HOUR, (served("fc-3", 1, 1),), NOON, replaced_by="fc-2", replacement=served("fc-2", 0, 2)
    )
    assert fates(found) == [("void", "fc-2:0", None), ("void", "fc-2:1", "fc-3:0")]


def test_nothing_may_be_able_to_replace_it() -> None:
    assert fates(PastForecast(served("fc-1", 0, 1), HOUR, void_at=NOON)) == [("void", None, None)]


def test_newer_forecasts_supersede_the_targets_that_they_share() -> None:
    found = PastForecast(served("fc-1", 0, 2), HOUR, (served("fc-3", 1, 2), served("fc-2", 1, 1)))
    assert fates(found) == [("valid", None, "fc-1:0"), ("superseded", None, "fc-3:0")]
    assert past_document(found, "fc-1", None)["status"] == "valid"
    whole = replace(found, newer=(served("fc-4", 0, 2),))
    assert past_document(whole, "fc-1", None)["status"] == "superseded"


def test_over_http(kit: SimpleNamespace) -> None:
    client = kit.Client(kit.service())
    current = client("GET", "/v1/areas/a/forecast").json()
    every = client("GET", f"/v1/forecasts/{current['id']}").json()
    assert [point["id"] for point in every["points"]] == [point["id"] for point in current["points"]]
    assert (every["release"], every["status"]) == (current["release"], "valid")
    one = client("GET", f"/v1/forecasts/{current['id']}:2").json()
    assert one["points"] == [every["points"][2]]
    for index in ("", len(current["points"]), "x", "-1", "01"):
        assert client("GET", f"/v1/forecasts/{current['id']}:{index}").status_code == 404
    assert client("GET", "/v1/forecasts/fc-0").status_code == 404
