"""Records to rows and back, for every record type and any content."""

from __future__ import annotations

import dataclasses
import types
import typing
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from recloser.core import InvalidInput, Refused, digest_of
from recloser.ledger import RECORD_TYPES, PairedDayRecord, PinRecord, StateRecord
from recloser.ledger.mapping import RecordMapping, read_time, row_digest, time_text
from recloser.ledger.schema import MAPPINGS

NOW = datetime(2020, 3, 1, 9, tzinfo=UTC)

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)
times = st.datetimes(min_value=datetime(1000, 1, 2), max_value=datetime(9998, 1, 1)).map(  # noqa: DTZ001
    lambda time: time.replace(tzinfo=UTC)
)
floats = st.floats(allow_nan=False, allow_infinity=False)
json = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 53), 1 << 53) | floats | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
KINDS: dict[Any, st.SearchStrategy[Any]] = {
    str: texts,
    int: st.integers(-(1 << 63), (1 << 63) - 1),
    float: floats,
    bool: st.booleans(),
    datetime: times,
    dict: st.dictionaries(texts, json, max_size=3),
    list: st.lists(json, max_size=3),
}


def field_strategy(annotation: Any) -> st.SearchStrategy[Any]:
    if isinstance(annotation, types.UnionType):
        solid = next(arm for arm in typing.get_args(annotation) if arm is not types.NoneType)
        return st.none() | field_strategy(solid)
    return KINDS[typing.get_origin(annotation) or annotation]


def record_strategy(record_type: type[Any]) -> st.SearchStrategy[Any]:
    hints = typing.get_type_hints(record_type)
    return st.builds(record_type, **{name: field_strategy(hint) for name, hint in hints.items()})


@given(st.one_of(*(record_strategy(record_type) for record_type in RECORD_TYPES)))
def test_any_record_reads_back_equal_and_has_one_digest(record: Any) -> None:
    mapping = MAPPINGS[type(record)]
    row = mapping.encode(record)
    again = mapping.decode(list(row.values()))
    assert again == record
    assert row_digest("t", mapping.encode(again)) == row_digest("t", row)


@given(times, times)
def test_stored_times_sort_as_times_and_read_back(one: datetime, other: datetime) -> None:
    assert (time_text(one) < time_text(other)) == (one < other)
    assert read_time(time_text(one)) == one


def test_times_of_any_zone_are_stored_as_utc() -> None:
    assert time_text(NOW.astimezone(timezone(timedelta(hours=10)))) == "2020-03-01T09:00:00.000000Z"


def state(content: Any) -> StateRecord:
    return StateRecord("k", NOW, content)


@pytest.mark.parametrize(
    "record",
    [
        PinRecord("k", "t", True, "d", "o", NOW),
        PinRecord("k", "t", 1.0, "d", "o", NOW),  # type: ignore[arg-type]
        PinRecord("k", "t", 1 << 63, "d", "o", NOW),
        PinRecord("k", "t", None, "d", "o", NOW),  # type: ignore[arg-type]
        PinRecord("k\x00", "t", 1, "d", "o", NOW),
        PinRecord("\ud800", "t", 1, "d", "o", NOW),
        PinRecord("k", 5, 1, "d", "o", NOW),  # type: ignore[arg-type]
        PinRecord("k", "t", 1, "d", "o", NOW.replace(tzinfo=None)),
        PinRecord("k", "t", 1, "d", "o", "2020-03-01"),  # type: ignore[arg-type]
        PairedDayRecord("k", "r", "d", float("nan"), 1, NOW, {}),
        PairedDayRecord("k", "r", "d", float("inf"), 1, NOW, {}),
        state("text"),
        state({"a": object()}),
        state({"a": "\ud800"}),
        state({("a", 1): 1}),
    ],
)
def test_fields_that_do_not_hold_what_they_say_are_named(record: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        MAPPINGS[type(record)].encode(record)
    assert str(caught.value.where).startswith(type(record).__name__ + ".")


def test_endless_nesting_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InvalidInput):
        MAPPINGS[StateRecord].encode(state({"a": endless}))


def test_what_numpy_and_python_mean_as_json_is_stored_as_json() -> None:
    content = {"b": np.float64(1.5), "a": np.arange(2), "t": NOW, "s": (1, 2), "nan": float("nan")}
    assert MAPPINGS[StateRecord].encode(state(content))["state"] == (
        '{"a":[0,1],"b":1.5,"nan":null,"s":[1,2],"t":"2020-03-01T09:00:00Z"}'
    )


def test_a_whole_number_in_a_float_field_becomes_a_float() -> None:
    row = MAPPINGS[PairedDayRecord].encode(PairedDayRecord("k", "r", "d", 1, 1, NOW, {}))
    assert isinstance(row["difference"], float)


@given(st.dictionaries(texts, json | st.floats() | st.binary(max_size=4), max_size=4))
def test_a_digest_is_that_of_canonical_json_whatever_a_row_holds(row: dict[str, Any]) -> None:
    present = {name: item for name, item in row.items() if item is not None}
    assert row_digest("t", row) == digest_of(["t", present])


def test_null_fields_do_not_count_in_the_digest() -> None:
    assert row_digest("t", {"a": 1, "new": None}) == row_digest("t", {"a": 1})
    assert row_digest("t", {"a": 1}) != row_digest("u", {"a": 1})


def test_a_damaged_row_is_refused() -> None:
    with pytest.raises(Refused, match="audit verify"):
        MAPPINGS[StateRecord].decode(["k", "no time", "{}"])


def test_a_field_of_an_unknown_kind_is_refused() -> None:
    @dataclasses.dataclass(frozen=True)
    class Strange:
        key: str
        content: bytes

    Strange.__annotations__ = {"key": str, "content": bytes}
    with pytest.raises(InvalidInput, match="cannot store"):
        RecordMapping(Strange, "strange", sa.MetaData())


def test_tuples_read_back_as_tuples() -> None:
    @dataclasses.dataclass(frozen=True)
    class Pair:
        key: str
        content: tuple[int, ...]

    Pair.__annotations__ = {"key": str, "content": tuple[int, ...]}
    mapping = RecordMapping(Pair, "pairs", sa.MetaData())
    assert mapping.decode(list(mapping.encode(Pair("k", (1, 2))).values())) == Pair("k", (1, 2))
