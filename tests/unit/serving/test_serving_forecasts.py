from __future__ import annotations

from io import BytesIO
from types import SimpleNamespace

import polars as pl

ARROW = "application/vnd.apache.arrow.stream"


def test_all_areas_or_those_named(kit: SimpleNamespace) -> None:
    client = kit.Client(kit.service())
    every = client("GET", "/v1/forecasts").json()
    assert [one["area"] for one in every["forecasts"]] == ["a", "b", "c", "d"]
    assert every["without_forecast"] == ["idle"]
    assert every["forecasts"][0] == client("GET", "/v1/areas/a/forecast").json()
    some = client("GET", "/v1/forecasts?area=c&area=a&area=c").json()
    assert [one["area"] for one in some["forecasts"]] == ["c", "a"]
    assert some["without_forecast"] == []


def test_the_arrow_stream_holds_the_same(kit: SimpleNamespace) -> None:
    client = kit.Client(kit.service())
    response = client("GET", "/v1/forecasts", headers={"accept": f"{ARROW}, application/json;q=0.5"})
    assert response.headers["content-type"] == ARROW
    table = pl.read_ipc_stream(BytesIO(response.content))
    points = [
        (one["area"], one["release"], point["id"], point["q10"], point["q50"], point["q90"], point["void"])
        for one in client("GET", "/v1/forecasts").json()["forecasts"]
        for point in one["points"]
    ]
    assert table.select("area", "release", "id", "q10", "q50", "q90", "void").rows() == points
    assert table["void"].sum() == 1
    assert table["at"].dtype == pl.Datetime("us", "UTC")
    assert client("GET", "/v1/forecasts?area=idle", headers={"accept": ARROW}).status_code == 200


def test_what_is_unknown_or_down_is_said(kit: SimpleNamespace) -> None:
    client = kit.Client(kit.service())
    unknown = client("GET", "/v1/forecasts?area=idel")
    assert unknown.status_code == 404
    assert "idle" in unknown.json()["detail"]
    assert client("GET", "/v1/forecasts?aera=a").status_code == 422
    whole = kit.service()
    whole.forecasts.areas = lambda: ["a", "down"]
    assert kit.Client(whole)("GET", "/v1/forecasts").status_code == 503
