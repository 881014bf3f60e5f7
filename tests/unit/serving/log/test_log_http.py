"""The log behind the HTTP service: what is answered is logged, and a sick log harms no answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

from recloser.core import Unavailable, VirtualClock
from recloser.serving.log import AnswerRecord, GapRecord, LogPolicy, PredictionLog, StandbyLog

Opened = Callable[..., PredictionLog]


def body(areas: list[str], request_id: str | None = None) -> dict[str, object]:
    n = len(areas)

    def tensor(name: str, kind: str, data: list[object]) -> dict[str, object]:
        return {"name": name, "shape": [n], "datatype": kind, "data": data}

    inputs = [tensor("area", "BYTES", list(areas)), tensor("at", "BYTES", ["2020-03-02T14:00:00Z"] * n)]
    inputs += [tensor(name, "FP64", [level] * n) for name, level in (("scale_mw", 1000.0), ("swing", 0), ("lag", 1))]
    return {"inputs": inputs} if request_id is None else {"inputs": inputs, "id": request_id}


def test_every_answer_is_logged_with_all_models_and_why(
    kit: SimpleNamespace, opened: Opened, folder: Path, logbook: SimpleNamespace
) -> None:
    gate = kit.gateway({"rel-2": kit.Faulty("rel-2", "x1000", ["b"])})
    log = opened()
    client = kit.Client(kit.service(gate, log=log))
    served = client("POST", "/v2/models/forecast/infer", json=body(["b", "a"], "mine"))
    assert served.status_code == 200
    assert client("POST", "/v2/models/rel-0/infer", json=body(["a"])).status_code == 200
    assert client("POST", "/v2/models/forecast/infer", json=body(["nowhere"])).status_code == 422
    split = {"columns": ["area", "at", "scale_mw", "swing", "lag"], "data": [["c", "2020-03-02T14:00:00Z", 1e3, 0, 1]]}
    assert client("POST", "/invocations", json={"dataframe_split": split}).status_code == 200
    metrics = client("GET", "/metrics").text
    assert "recloser_log_stalled 0" in metrics
    patience = time.monotonic() + 10.0  # a record is told once its evidence is whole, which may be after the answer
    while (told := client("GET", "/v1/route").json()["prediction_log"])["written"] < 4 and time.monotonic() < patience:
        time.sleep(0.01)
    assert (told["state"], told["dropped"]) == ("ok", 0)
    assert log.close()
    first, direct, nowhere, mlflow = [
        record for _, record in logbook.everything(folder) if isinstance(record, AnswerRecord)
    ]
    assert (first.request_id, first.asked, first.epoch) == ("mine", "forecast", 1)
    by_area = {area.area: area for area in first.areas}
    assert (by_area["a"].served_by, by_area["a"].release) == ("canary", "rel-2")
    assert (by_area["b"].served_by, by_area["b"].release) == ("champion", "rel-1")
    assert set(by_area["b"].answers) == {"rel-1", "rel-2"}
    assert by_area["b"].answer("rel-1").tolist() == [[960.0, 1000.0, 1040.0]]
    assert [(held.kind, held.area, held.release, held.tier) for held in first.incidents] == [
        ("output", "b", "rel-2", "T0")
    ]
    assert (direct.asked, direct.areas[0].served_by) == ("rel-0", "direct")
    assert (nowhere.areas[0].release, nowhere.areas[0].served_by) == (None, "unavailable")
    assert mlflow.areas[0].area == "c"


def test_a_request_that_waits_for_the_disk_leaves_when_the_disk_fails(
    kit: SimpleNamespace, opened: Opened, logbook: SimpleNamespace
) -> None:
    faults = SimpleNamespace(create=False, write=False, sync=False)
    log = opened(replace(logbook.QUICK, sync="each"), faults)
    client = kit.Client(kit.service(log=log))
    assert client("POST", "/v2/models/forecast/infer", json=body(["a"])).status_code == 200
    assert log.status().durable == 1
    faults.write = True
    assert client("POST", "/v2/models/forecast/infer", json=body(["a"])).status_code == 200
    assert client("GET", "/v1/route").json()["prediction_log"]["state"] == "stalled"
    assert "recloser_log_stalled 1" in client("GET", "/metrics").text


def test_without_a_log_nothing_is_told_of_one(kit: SimpleNamespace) -> None:
    client = kit.Client(kit.service())
    assert client("GET", "/v1/route").json()["prediction_log"] is None
    assert "recloser_log" not in client("GET", "/metrics").text


def test_a_log_that_cannot_be_opened_yet_stops_no_answer_and_its_time_is_a_gap(
    kit: SimpleNamespace, folder: Path, logbook: SimpleNamespace
) -> None:
    ready = threading.Event()

    def open_log() -> PredictionLog:
        if not ready.is_set():
            raise Unavailable("the log folder cannot be used", got="No space left on device")
        return PredictionLog(folder, LogPolicy(pause_s=0.0), VirtualClock(logbook.NOW))

    log = StandbyLog(open_log, retry_s=0.01)
    service = kit.service(log=log)
    client = kit.Client(service)
    for _ in range(3):
        assert client("POST", "/v2/models/forecast/infer", json=body(["a"])).status_code == 200
    pause = threading.Event()
    for _ in range(1000):  # the log is told of an answer after it left
        if log.status().dropped == 3:
            break
        pause.wait(0.01)
    told = client("GET", "/v1/route").json()["prediction_log"]
    assert (told["state"], told["dropped"]) == ("stalled", 3)
    assert "No space left" in told["error"]
    ready.set()
    for _ in range(1000):
        if log.status().state == "ok":
            break
        pause.wait(0.01)
    assert client("POST", "/v2/models/forecast/infer", json=body(["a"], "late")).status_code == 200
    service.plane.close()  # evidence may follow an answer
    assert log.close()
    assert logbook.request_ids(folder) == ["late"]
    [gap] = [record for _, record in logbook.everything(folder) if isinstance(record, GapRecord)]
    assert (gap.first, gap.last) == (1, 3)
