"""A bucket that fails: what is repeated, what is refused, and that nothing is lost, doubled or taken for empty."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from s3_server import KEY, SECRET, Rule, S3Server
from store_writer import begun, go

from recloser.core import InvalidInput, Refused, Sample, Unavailable, sample_frame
from recloser.store import PREDICTION_SCHEMA, PredictionTable, Store
from recloser.store.maintenance import Upkeep
from recloser.store.places import Bucket, BucketAccess
from recloser.testing.certificates import Authority

pytestmark = pytest.mark.services
T0 = datetime(2020, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
LATER = datetime(2030, 1, 1, tzinfo=UTC)


def bucket(s3: S3Server, key: str = KEY, **more: float) -> Bucket:
    return Bucket("s3://grid/recloser", BucketAccess(s3.endpoint, "us-east-1", key, SECRET, **more))  # type: ignore[arg-type]


def day(number: int, area: str = "a") -> pl.DataFrame:
    start = T0 + timedelta(days=number)
    return sample_frame(
        [Sample(area, "load_mw", start + i * HOUR, start + (i + 1) * HOUR, float(i)) for i in range(24)]
    )


def first_times(trouble: str, count: int, method: str = "", part: str = "") -> Rule:
    """Let this go wrong for the first `count` requests of a kind to each object."""
    done: Counter[tuple[str, str]] = Counter()

    def rule(asked: str, path: str) -> str | None:
        if not asked.startswith(method) or part not in path:
            return None
        done[asked, path.partition("?")[0]] += 1
        return trouble if done[asked, path.partition("?")[0]] <= count else None

    return rule


@pytest.mark.parametrize("trouble", ["500", "503", "cut"])
def test_passing_trouble_of_every_request_is_waited_out(s3: S3Server, trouble: str) -> None:
    s3.rule = first_times(trouble, 2)
    store = Store.open(bucket(s3), HOUR)
    assert store.append(day(0), "x", 1).accepted == 24
    assert Store.open(bucket(s3), HOUR).read(as_of=LATER).frame.height == 24


def test_a_slow_answer_is_waited_for_and_one_beyond_the_timeout_is_asked_for_again(s3: S3Server) -> None:
    Store.open(bucket(s3), HOUR).append(day(0), "x", 1)
    s3.rule = first_times("slow", 1, "GET", ".parquet")
    assert Store.open(bucket(s3), HOUR).read(as_of=LATER).frame.height == 24
    s3.rule = first_times("slow", 1, "GET", ".parquet")
    assert Store.open(bucket(s3, timeout_s=1.0), HOUR).read(as_of=LATER).frame.height == 24


def test_a_commit_whose_answer_was_lost_is_told_as_done_and_done_once(s3: S3Server) -> None:
    store = Store.open(bucket(s3), HOUR)
    store.append(day(0), "x")
    s3.rule = first_times("lost", 1, "PUT", "_delta_log/0")
    result = store.append(day(1), "x")
    assert (result.accepted, result.duplicates, result.version) == (24, 0, 2)
    table = PredictionTable(bucket(s3))
    rows = pl.DataFrame([{"sequence": 1, "made_at": T0}], schema=PREDICTION_SCHEMA)
    assert table.append(rows, "s", 1)
    assert table.append(rows.with_columns(sequence=pl.lit(2, pl.Int64)), "s", 2)
    s3.rule = lambda _method, _path: None
    assert Store.open(bucket(s3), HOUR).read(as_of=LATER).frame.height == 48
    assert table.read().height == 2


def test_a_service_that_stays_away_is_unavailable_and_never_an_empty_store(s3: S3Server) -> None:
    hurried = bucket(s3, timeout_s=2.0, retry_s=1.0)
    store = Store.open(hurried, HOUR)
    store.append(day(0), "x")
    for trouble in ("500", "cut"):
        s3.rule = lambda _method, _path, trouble=trouble: trouble  # type: ignore[misc]
        with pytest.raises(Unavailable, match=r"\[store\]"):
            Store.open(hurried, HOUR)
        with pytest.raises(Unavailable):
            store.append(day(1), "x")
        with pytest.raises(Unavailable):
            store.read(as_of=LATER)
    s3.rule = lambda _method, _path: None
    assert store.append(day(1), "x").accepted == 24
    assert store.read(as_of=LATER).frame.height == 48


def test_a_wrong_key_or_bucket_is_told_and_the_secret_is_not(s3: S3Server) -> None:
    for wrong in (bucket(s3, key="nobody"), Bucket("s3://none/here", bucket(s3)._access)):
        with pytest.raises(Unavailable) as caught:
            Store.open(wrong, HOUR)
        told = caught.value.explain()
        assert ("InvalidAccessKeyId" in told) or ("NoSuchBucket" in told)
        assert SECRET not in told + repr(wrong) + repr(wrong._access)


def test_a_service_that_ignores_conditions_gets_no_table(s3: S3Server) -> None:
    s3.conditions = False
    store = Store.open(bucket(s3), HOUR)
    with pytest.raises(Refused, match="conditional puts"):
        store.append(day(0), "x")
    with pytest.raises(Refused, match="conditional puts"):
        PredictionTable(bucket(s3)).append(
            pl.DataFrame([{"sequence": 1, "made_at": T0}], schema=PREDICTION_SCHEMA), "s", 1
        )
    assert s3.keys() == []


def test_a_big_batch_is_uploaded_in_parts(s3: S3Server) -> None:
    rng = np.random.default_rng(1)
    hours = 24 * 28
    at = pl.datetime_range(T0, T0 + timedelta(hours=hours - 1), "1h", eager=True, time_zone="UTC")
    frames = [
        pl.DataFrame(
            {
                "area": f"feeder-{number:04}",
                "quantity": "load_mw",
                "at": at,
                "available_at": at + HOUR,
                "value": rng.normal(size=hours),
                "quality": 0,
                "source": "x",
            }
        )
        for number in range(2000)
    ]
    store = Store.open(bucket(s3), HOUR)
    assert store.append(pl.concat(frames), "x").accepted == hours * 2000
    assert sum((method == "POST" and path.endswith("?uploads=")) or "uploads" in path for method, path, _ in s3.seen)
    assert store.read(["feeder-0007"], as_of=LATER).frame.height == hours


def test_no_grace_time_is_refused_where_others_may_write(s3: S3Server) -> None:
    with pytest.raises(InvalidInput, match="grace"):
        Store.open(bucket(s3), HOUR).maintain([], LATER, Upkeep(grace_hours=0))


@pytest.mark.parametrize("url", ["http://grid/x", "s3://", "s3:///x", "grid/x", "s3://grid/../x"])
def test_what_is_no_place_in_a_bucket(url: str) -> None:
    with pytest.raises(InvalidInput):
        Bucket(url, BucketAccess(None, "us-east-1", KEY, SECRET))


@pytest.mark.parametrize("prefix", ["a%20b", "a#b", "a?b", "a=b", "a|b", "a[b", "a\\b", "a b", "a\nb", "a*b"])
def test_a_prefix_that_the_libraries_read_differently_is_refused_by_its_character(prefix: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Bucket(f"s3://grid/{prefix}", BucketAccess(None, "us-east-1", KEY, SECRET))
    assert repr(prefix[1]) in caught.value.explain()
    assert "store.url" in caught.value.explain()


@pytest.mark.parametrize("url", ["s3://grid//a", "s3://grid/a//b", "s3://grid/./a", "s3://grid/a//", "s3://a:b@grid/a"])
def test_a_place_has_no_empty_parts_and_no_other_path_than_it_says(url: str) -> None:
    with pytest.raises(InvalidInput, match=r"store\.url"):
        Bucket(url, BucketAccess(None, "us-east-1", KEY, SECRET))


@pytest.mark.parametrize("prefix", ["nörd", "a+b", "a.b~c/d-e_f", "北/1"])
def test_what_is_written_below_a_prefix_is_where_the_bucket_lists_it(s3: S3Server, prefix: str) -> None:
    place = Bucket(f"s3://grid/{prefix}/", BucketAccess(s3.endpoint, "us-east-1", KEY, SECRET))
    Store.open(place, HOUR).append(day(0), "x")
    assert any(name.endswith(".parquet") for name in place.sizes(""))
    assert Store.open(place, HOUR).read(as_of=LATER).frame.height == 24


OPENING = """
from recloser.store.places import Bucket, BucketAccess
endpoint, key, secret = sys.argv[4:]
store = Store.open(Bucket("s3://grid/recloser", BucketAccess(endpoint, "us-east-1", key, secret)), timedelta(hours=1))
"""


def writer(s3: S3Server, area: str, batches: int, size: int) -> subprocess.Popen[str]:
    return begun(OPENING, [s3.endpoint, KEY, SECRET], area, batches, size)


@pytest.mark.slow
def test_processes_that_append_at_once_to_a_failing_bucket_lose_and_double_nothing(s3: S3Server) -> None:
    s3.rule = first_times("lost", 1, "PUT", "_delta_log/0")  # the answer to each commit is lost once
    writers = [writer(s3, f"p{i}", 6, 50) for i in range(3)]
    for process in writers:
        go(process)
    for process in writers:
        process.communicate(timeout=600)
        assert process.returncode == 0
    frame = Store.open(bucket(s3), HOUR).read(as_of=LATER).frame
    counts = dict(frame.group_by("area").len().iter_rows())
    assert counts == {"p0": 300, "p1": 300, "p2": 300, "shared": 6}
    assert any(status == 412 for method, path, status in s3.seen if method == "PUT"), "nobody was overtaken"


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.parametrize("steps", [1, 3])
def test_kill_9_leaves_whole_batches_and_the_repeat_completes(s3: S3Server, steps: int) -> None:
    killed = writer(s3, "k", 10_000, 200)
    go(killed)
    assert killed.stdout is not None
    for _ in range(steps):
        killed.stdout.readline()
    killed.send_signal(signal.SIGKILL)
    told, _ = killed.communicate()
    confirmed = steps + told.count("\n")
    store = Store.open(bucket(s3), HOUR)
    rows = store.read(["k"], as_of=LATER).frame.height
    assert rows % 200 == 0
    assert rows // 200 in (confirmed, confirmed + 1)
    rest = writer(s3, "k", confirmed + 3, 200)
    go(rest)
    rest.communicate(timeout=600)
    assert store.read(["k"], as_of=LATER).frame.height == (confirmed + 3) * 200


SECURE = """
import sys
from datetime import timedelta
from recloser.core import Unavailable
from recloser.store import Store
from recloser.store.places import Bucket, BucketAccess
from recloser.testing import small_grid
endpoint, key, secret = sys.argv[1:]
place = Bucket("s3://grid/recloser", BucketAccess(endpoint, "us-east-1", key, secret, timeout_s=10, retry_s=2))
try:
    store = Store.open(place, timedelta(hours=1))
    frame = small_grid(2).frame()
    print(store.append(frame, "x").accepted == store.read(as_of=frame["available_at"].max()).frame.height > 0)
except Unavailable:
    print("unavailable")
"""


@pytest.mark.slow
def test_a_certificate_of_a_private_authority_is_trusted_where_the_environment_says_so(
    s3: S3Server, tmp_path: Path
) -> None:
    authority = Authority(tmp_path, "authority")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("s3"))
    s3.gate.socket = context.wrap_socket(s3.gate.socket, server_side=True)

    def told(**environ: str) -> str:
        words = [sys.executable, "-c", SECURE, s3.endpoint.replace("http", "https"), KEY, SECRET]
        done = subprocess.run(words, env={**os.environ, **environ}, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    assert told() == "unavailable"
    assert told(SSL_CERT_FILE=str(authority.path)) == "True"
