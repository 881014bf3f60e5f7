"""A release asked where it runs gives the bits it would give here; whatever happens to its pod costs one rung."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st

from recloser.core import TIME, FloatArray, InvalidInput, ModelRows, Refused, Unavailable
from recloser.serving.kserve import RemoteModel, RemotePlan, RemotePredictor
from recloser.serving.kserve.remote import decode, encode
from recloser.serving.kserve.server import HostedRelease, build_model_app
from recloser.serving.predictor import Late
from recloser.serving.wire.oip import read_call

RELEASE, COLUMNS, QUANTILES = "rel-3f9a12bc04de", ("scale_mw", "x", "y"), (0.1, 0.5, 0.9)
PLAN = RemotePlan(RELEASE, COLUMNS, ("q10", "q50", "q90"), patience_ms=60_000.0)
START = datetime(2026, 11, 2, tzinfo=UTC)


def model(rows: ModelRows) -> FloatArray:
    """Return something that depends on every input, missing numbers included."""
    if "explode" in rows.areas:
        raise Unavailable("told to fail")
    base = rows.column("scale_mw") + rows.column("x") / 3.0
    at = np.zeros(len(rows)) if rows.at_us is None else rows.at_us / 1e15
    return np.stack([base, base + at, rows.column("y")], axis=1)


@contextlib.contextmanager
def served(predict: Callable[[ModelRows], FloatArray] = model) -> Iterator[str]:
    app = build_model_app(HostedRelease(RELEASE, COLUMNS, QUANTILES, predict))
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served() as where:
        yield where


def frame(n: int, area: str = "a") -> pl.DataFrame:
    columns: dict[str, Any] = {
        "area": [area] * n,
        "at": [START + timedelta(hours=k) for k in range(n)],
        "scale_mw": [100.0 + k / 7 for k in range(n)],
        "other": ["not for this model"] * n,
        "x": [None if k == 1 else k / 11 for k in range(n)],
        "y": [k % 2 for k in range(n)],
    }
    return pl.DataFrame(columns, schema_overrides={"at": TIME, "x": pl.Float64, "y": pl.Int8})


def rows_of(table: pl.DataFrame) -> ModelRows:
    numbers = table.select(COLUMNS).cast(pl.Float64).fill_null(float("nan")).to_numpy()
    at_us = table["at"].dt.epoch("us").to_numpy()
    return ModelRows(table["area"].to_list(), COLUMNS, np.ascontiguousarray(numbers), at_us)


@pytest.mark.parametrize("n", [1, 2, 48, 3000])
def test_the_same_bits_as_here(url: str, n: int) -> None:
    predictor = RemotePredictor(url, PLAN)
    table = frame(n)
    want = model(rows_of(table)).tobytes()
    assert predictor.predict(table).tobytes() == want
    assert predictor.predict_rows(rows_of(table)).tobytes() == want
    predictor.close()


numbers = st.floats(allow_nan=True, allow_infinity=True, width=64)


@given(st.lists(st.tuples(st.text(max_size=5), numbers, numbers, numbers), min_size=1, max_size=9))
def test_whatever_the_numbers_they_arrive_as_they_are(cells: list[tuple[str, float, float, float]]) -> None:
    areas = [cell[0].encode("utf-8", "replace").decode() for cell in cells]
    table = np.array([cell[1:] for cell in cells])
    body, header = encode(areas, table, None)
    call = read_call(body, str(header))
    assert call.tensors[0].texts() == areas
    assert call.tensors[1].floats().tobytes() == table.tobytes()


def test_without_targets_and_from_many_threads(url: str) -> None:
    predictor = RemotePredictor(url, PLAN)
    bare = ModelRows(["a", "b"], COLUMNS, np.arange(6.0).reshape(2, 3), None)
    assert predictor.predict_rows(bare).tobytes() == model(bare).tobytes()
    wrong: list[int] = []

    def ask(n: int) -> None:
        want = model(rows_of(frame(n))).tobytes()
        wrong.extend(n for _ in range(20) if predictor.predict(frame(n)).tobytes() != want)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_rows_that_the_model_does_not_take_blame_no_pod(url: str) -> None:
    predictor = RemotePredictor(url, PLAN)
    with pytest.raises(InvalidInput, match="lack columns"):
        predictor.predict(frame(2).drop("x"))
    other = RemotePredictor(url, RemotePlan("rel-000000000000", COLUMNS, PLAN.outputs, 60_000.0))
    with pytest.raises(InvalidInput, match="no such model"):
        other.predict(frame(1))
    assert predictor.predict(frame(1)).shape == (1, 3)
    assert RemoteModel(QUANTILES, predictor).predict(frame(1)).shape == (1, 3)
    with pytest.raises(Refused):
        RemoteModel(QUANTILES, predictor).save("/nowhere")
    for where in ("https://h", "nonsense", "http://"):
        with pytest.raises(InvalidInput):
            RemotePredictor(where, PLAN)


def test_after_a_failure_it_fails_at_once_until_the_wait_is_over(url: str) -> None:
    now = [0.0]
    predictor = RemotePredictor(url, PLAN, lambda: now[0])
    waits = []
    for _ in range(8):
        with pytest.raises(Unavailable, match="told to fail"):
            predictor.predict(frame(1, "explode"))
        with pytest.raises(Unavailable, match="a moment ago"):
            predictor.predict(frame(1))
        waits.append(predictor._shut_until - now[0])
        now[0] = predictor._shut_until
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 10.0]
    assert predictor.predict(frame(1)).shape == (1, 3)
    with pytest.raises(Unavailable, match="told to fail"):
        predictor.predict(frame(1, "explode"))
    assert predictor._shut_until - now[0] == 0.5


def test_a_pod_that_was_replaced_is_found_behind_the_same_name() -> None:
    """The old pod closes the connection that was kept; its successor answers in the same request."""
    with served() as first:
        predictor = RemotePredictor(first, PLAN)
        assert predictor.predict(frame(1)).shape == (1, 3)
        assert len(predictor._idle) == 1
        predictor._idle[0].sock.shutdown(socket.SHUT_RDWR)
        assert predictor.predict(frame(1)).shape == (1, 3)
    with pytest.raises(Unavailable):
        predictor.predict(frame(1))


@contextlib.contextmanager
def answering(said: Callable[[socket.socket], None]) -> Iterator[str]:
    """Serve every connection with a function of its own."""
    listening = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def run() -> None:
        while not ended.is_set():
            try:
                link, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(link,), daemon=True).start()

    def one(link: socket.socket) -> None:
        with link, contextlib.suppress(OSError):
            link.recv(1 << 20)
            said(link)

    threading.Thread(target=run, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        ended.set()
        listening.close()


def never(link: socket.socket) -> None:
    while link.recv(1 << 20):
        pass


def in_drops(link: socket.socket) -> None:
    """Always something, never all of it: no single read is late."""
    link.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
    while True:
        link.sendall(b"x")
        threading.Event().wait(0.02)


@pytest.mark.parametrize("said", [never, in_drops])
def test_a_pod_that_does_not_come_to_an_end_is_late(said: Callable[[socket.socket], None]) -> None:
    with answering(said) as where:
        predictor = RemotePredictor(where, RemotePlan(RELEASE, COLUMNS, PLAN.outputs, patience_ms=200.0))
        with pytest.raises(Late, match="no answer within"):
            predictor.predict(frame(1))


def plain(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> Callable[[socket.socket], None]:
    head = b"\r\n".join([b"HTTP/1.1 " + status, b"content-length: %d" % len(body), *headers, b"", b""])
    return lambda link: link.sendall(head + body)


NONSENSE = {
    "hung up": lambda _link: None,
    "not http": lambda link: link.sendall(b"\x00\x01\x02 hello\r\n\r\n"),
    "cut off": lambda link: link.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n{"),
    "html": plain(b"<html>log in</html>", b"content-type: text/html"),
    "header too long": plain(b"{}", b"inference-header-content-length: 99"),
    "no outputs": plain(b"{}", b"inference-header-content-length: 2"),
    "not a number": plain(b"{}", b"inference-header-content-length: x"),
    "redirect": plain(b"", b"location: http://elsewhere/", status=b"302 Found"),
    "busy": plain(b'{"error": "later"}', status=b"503 Service Unavailable"),
    "fault": plain(b"\xff\xfe", status=b"500 Internal Server Error"),
}


@pytest.mark.parametrize("case", NONSENSE)
def test_nonsense_is_told_as_unavailable(case: str) -> None:
    with answering(NONSENSE[case]) as where:
        with pytest.raises(Unavailable) as caught:
            RemotePredictor(where, PLAN).predict(frame(1))
        assert not isinstance(caught.value, Late)


def test_an_answer_of_another_shape_is_none() -> None:
    good = b'{"outputs":[{"name":"q","shape":[2],"datatype":"FP64","parameters":{"binary_data_size":16}}]}'
    raw = np.array([1.0, 2.0]).tobytes()
    assert decode(good + raw, str(len(good)), ["q"], 2).tolist() == [[1.0], [2.0]]
    for n_rows, names in ((3, ["q"]), (2, ["q", "r"])):
        with pytest.raises(Unavailable):
            decode(good + raw, str(len(good)), names, n_rows)
    with pytest.raises(Unavailable):
        decode(good + raw[:-1], str(len(good)), ["q"], 2)


def test_others_can_ask_the_pod_too(url: str) -> None:
    client_of = pytest.importorskip("tritonclient.http", reason="tritonclient is not installed")
    client = client_of.InferenceServerClient(url.removeprefix("http://"))
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(RELEASE)
    assert not client.is_model_ready("forecast")
    metadata = client.get_model_metadata(RELEASE)
    assert [item["name"] for item in metadata["outputs"]] == ["q10", "q50", "q90"]
    area = client_of.InferInput("area", [1], "BYTES")
    area.set_data_from_numpy(np.array(["a"], dtype=object))
    given = [area]
    for name in COLUMNS:
        tensor = client_of.InferInput(name, [1], "FP64")
        tensor.set_data_from_numpy(np.array([2.0]))
        given.append(tensor)
    answer = client.infer(RELEASE, given)
    assert answer.as_numpy("q90").tolist() == [2.0]
    client.close()
