"""Sparkplug B payloads against the protobuf library, and bytes that another implementation has made."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recloser.connectors.sparkplug import (
    DataType,
    Kind,
    Metric,
    Topic,
    payload_bytes,
    read_payload,
    read_topic,
    rebirth_request,
    wanted_topics,
)
from recloser.connectors.sparkplug.wire import read_fields
from recloser.core import InvalidInput

# An NBIRTH and an NDATA that pysparkplug 0.6.1 wrote.
BIRTH = bytes.fromhex(
    "0880d095ffbc3112120a0562645365711880d095ffbc312004580312210a144e6f646520436f6e74726f6c2f526562697274"
    "681880d095ffbc31200b700012120a02693810011881d095ffbc31200150fb0112160a0369333210021881d095ffbc312003"
    "5090ddfbff0f121b0a0369363410031881d095ffbc312004588080808080e0ffffff0112160a0375333210041881d095ffbc"
    "31200750ffffffff0f12130a016610051881d095ffbc312009650000c03f12170a016410061881d095ffbc31200a69000000"
    "00008028c012120a017310071881d095ffbc31200c7a026f6e12100a016e10081881d095ffbc31200a38011800"
)
DATA = bytes.fromhex("0885d095ffbc31120c10011886d095ffbc3150fa01121410061886d095ffbc312801690000000000001e401801")


@functools.cache
def message_class() -> Any:
    """A payload as the protobuf library reads it, described here and not generated."""
    pytest.importorskip("google.protobuf", reason="needs protobuf as the peer")
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="peer.proto", package="peer", syntax="proto2")

    def message(name: str, *fields: tuple[str, int, int, str, bool]) -> None:
        found = file.message_type.add(name=name)
        for label, number, kind, of, many in fields:
            found.field.add(
                name=label,
                number=number,
                type=kind,
                type_name=of or None,
                label=kinds.LABEL_REPEATED if many else kinds.LABEL_OPTIONAL,
            )

    u32, u64, text = kinds.TYPE_UINT32, kinds.TYPE_UINT64, kinds.TYPE_STRING
    whole, truth = kinds.TYPE_MESSAGE, kinds.TYPE_BOOL
    message("Value", ("type", 1, u32, "", False), ("int_value", 3, u32, "", False))
    message("Set", ("keys", 1, text, "", True), ("values", 2, whole, ".peer.Value", True))
    message(
        "Metric",
        ("name", 1, text, "", False),
        ("alias", 2, u64, "", False),
        ("timestamp", 3, u64, "", False),
        ("datatype", 4, u32, "", False),
        ("is_historical", 5, truth, "", False),
        ("is_null", 7, truth, "", False),
        ("properties", 9, whole, ".peer.Set", False),
        ("int_value", 10, u32, "", False),
        ("long_value", 11, u64, "", False),
        ("float_value", 12, kinds.TYPE_FLOAT, "", False),
        ("double_value", 13, kinds.TYPE_DOUBLE, "", False),
        ("boolean_value", 14, truth, "", False),
    )
    message(
        "Payload",
        ("timestamp", 1, u64, "", False),
        ("metrics", 2, whole, ".peer.Metric", True),
        ("seq", 3, u64, "", False),
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("peer.Payload"))


WHOLE = {
    DataType.INT8: (-(2**7), 2**7 - 1),
    DataType.INT16: (-(2**15), 2**15 - 1),
    DataType.INT32: (-(2**31), 2**31 - 1),
    DataType.INT64: (-(2**63), 2**63 - 1),
    DataType.UINT8: (0, 2**8 - 1),
    DataType.UINT16: (0, 2**16 - 1),
    DataType.UINT32: (0, 2**32 - 1),
    DataType.UINT64: (0, 2**64 - 1),
    DataType.DATETIME: (0, 2**63 - 1),
}
WIDE = {DataType.INT64, DataType.UINT64, DataType.DATETIME}


@st.composite
def metrics(draw: st.DrawFn) -> Metric:
    kind = draw(st.sampled_from([*WHOLE, DataType.FLOAT, DataType.DOUBLE, DataType.BOOLEAN]))
    if kind in WHOLE:
        value: float | int | bool = draw(st.integers(*WHOLE[kind]))
    elif kind is DataType.BOOLEAN:
        value = draw(st.booleans())
    else:
        value = draw(st.floats(allow_nan=False, width=32 if kind is DataType.FLOAT else 64))
    return Metric(
        name=draw(st.text(max_size=20)),
        alias=draw(st.none() | st.integers(0, 2**64 - 1)),
        timestamp_ms=draw(st.none() | st.integers(0, 2**63)),
        datatype=kind,
        value=value,
        quality=draw(st.none() | st.sampled_from([0, 64, 192, 500])),
        historical=draw(st.booleans()),
    )


@settings(deadline=None)
@given(sent=st.lists(metrics(), max_size=4), at_ms=st.integers(0, 2**63), seq=st.none() | st.integers(0, 255))
def test_what_we_write_is_read_alike_by_the_library_and_by_us(sent: list[Metric], at_ms: int, seq: int | None) -> None:
    raw = payload_bytes(at_ms, seq, sent)
    theirs = message_class().FromString(raw)
    assert (theirs.timestamp, theirs.seq if theirs.HasField("seq") else None) == (at_ms, seq)
    ours = read_payload(raw)
    assert (ours.timestamp_ms, ours.seq, len(ours.metrics)) == (at_ms, seq, len(sent))
    for one, other, read in zip(sent, theirs.metrics, ours.metrics, strict=True):
        assert (one.name, one.datatype, one.historical) == (other.name, other.datatype, other.is_historical)
        assert one.alias == (other.alias if other.HasField("alias") else None)
        (field,) = [
            f for f in ("int_value", "long_value", "float_value", "double_value", "boolean_value") if other.HasField(f)
        ]
        bits = 64 if one.datatype in WIDE else 32
        expected = one.value % 2**bits if one.datatype in WHOLE else one.value
        assert getattr(other, field) == expected
        if one.quality is not None:
            assert dict(zip(other.properties.keys, [v.int_value for v in other.properties.values], strict=True)) == {
                "Quality": one.quality
            }
        assert (read.name, read.alias, read.timestamp_ms, read.quality) == (
            one.name,
            one.alias,
            one.timestamp_ms,
            one.quality,
        )
        assert read.number() == float(one.value)


def test_bytes_that_pysparkplug_wrote() -> None:
    birth, data = read_payload(BIRTH), read_payload(DATA)
    assert (birth.timestamp_ms, birth.seq, data.seq) == (1_700_000_000_000, 0, 1)
    assert {metric.name: metric.number() for metric in birth.metrics} == {
        "bdSeq": 3.0,
        "Node Control/Rebirth": 0.0,
        "i8": -5.0,
        "i32": -70_000.0,
        "i64": -(2.0**40),
        "u32": 2.0**32 - 1,
        "f": 1.5,
        "d": -12.25,
        "s": None,
        "n": None,
    }
    assert [(m.name, m.alias, m.historical) for m in data.metrics] == [("", 1, False), ("", 6, True)]
    assert [m.number(kind) for m, kind in zip(data.metrics, (1, 10), strict=True)] == [-6.0, 7.5]


@pytest.mark.parametrize(("raw", "number"), [(0xFFFFFFFB, -5.0), (0xFB, -5.0), (5, 5.0)])
def test_a_negative_small_number_may_fill_its_own_bits_or_all(raw: int, number: float) -> None:
    assert Metric(value=raw, datatype=DataType.INT8).number() == number
    assert Metric(value=raw).number(DataType.INT8) == number


@settings(deadline=None)
@given(data=st.binary(max_size=300))
def test_no_bytes_do_worse_than_invalid(data: bytes) -> None:
    try:
        for metric in read_payload(data).metrics:
            metric.number()
    except InvalidInput:
        return


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\x0a\x05ab", "cut short"),
        (b"\x08", "cut short"),
        (b"\x08" + b"\xff" * 11, "without end"),
        (b"\x0b", "wire type 3"),
        (b"\x00\x01", "field 0"),
    ],
)
def test_damage_has_a_name(data: bytes, what: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        list(read_fields(data))
    assert what in caught.value.explain()


def test_a_payload_has_a_bound() -> None:
    with pytest.raises(InvalidInput, match="too large"):
        read_payload(bytes(1 << 23))


def test_the_only_command_is_a_request_for_the_birth() -> None:
    (metric,) = read_payload(rebirth_request(5)).metrics
    assert (metric.name, metric.value, metric.datatype) == ("Node Control/Rebirth", True, DataType.BOOLEAN)
    with pytest.raises(ValueError, match="DCMD"):
        Kind("DCMD")


def test_topics() -> None:
    assert read_topic("spBv1.0/G/DDATA/E/D") == Topic("G", Kind.DDATA, "E", "D")
    assert str(Topic("G", Kind.NBIRTH, "E")) == "spBv1.0/G/NBIRTH/E"
    for text in ("spBv1.0/G/NDATA/E/D", "spBv1.0/G/DDATA/E", "spBv1.0/STATE/host", "a/b/NDATA/c", "spBv1.0//NDATA/E"):
        assert read_topic(text) is None
    assert "spBv1.0/G/DDATA/E/+" in wanted_topics("G", "E")
    assert len(wanted_topics("G", "E")) == 6
