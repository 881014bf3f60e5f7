"""Frames: no cut and no changed byte ever yields a record that was not written."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from recloser.journal.frame import HEADER, MAGIC, MARK, frame, scan

SALT = 0x1234ABCD
bodies = st.lists(st.binary(max_size=60), min_size=1, max_size=8)


def segment(contents: list[bytes], first: int = 5, salt: int = SALT) -> bytes:
    return MAGIC + b"".join(frame(body, first + k, salt) for k, body in enumerate(contents))


@given(bodies)
def test_what_was_written_is_read_back(contents: list[bytes]) -> None:
    found = scan(segment(contents), SALT)
    assert found.bodies == list(enumerate(contents, start=5))
    assert found.damages == []
    assert found.good_end == len(segment(contents))


@given(bodies, st.data())
def test_any_cut_leaves_the_records_before_it_and_a_torn_tail(contents: list[bytes], data: st.DataObject) -> None:
    whole = segment(contents)
    cut = data.draw(st.integers(0, len(whole)))
    found = scan(whole[:cut], SALT)
    ends, end = [], len(MAGIC)
    for body in contents:
        end += HEADER.size + len(body)
        ends.append(end)
    complete = sum(end <= cut for end in ends)
    assert found.bodies == list(enumerate(contents, start=5))[:complete]
    torn = cut not in (len(MAGIC), *ends) and cut > 0
    assert [damage.tail for damage in found.damages] == ([True] if torn else [])
    assert found.good_end == (([len(MAGIC), *ends][complete]) if cut >= len(MAGIC) else 0)


@given(bodies, st.data())
def test_a_changed_byte_costs_at_most_its_own_record(contents: list[bytes], data: st.DataObject) -> None:
    whole = bytearray(segment(contents))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    found = scan(bytes(whole), SALT)
    written = list(enumerate(contents, start=5))
    assert set(found.bodies) <= set(written)
    lost = len(written) - len(found.bodies)
    assert lost == (0 if place < len(MAGIC) else 1)
    assert found.damages
    assert any(damage.start <= place < damage.end for damage in found.damages)


@given(bodies, st.binary(max_size=80), st.data())
def test_rubbish_in_the_middle_hides_nothing_behind_it(
    contents: list[bytes], rubbish: bytes, data: st.DataObject
) -> None:
    parts = [frame(body, 5 + k, SALT) for k, body in enumerate(contents)]
    parts.insert(data.draw(st.integers(0, len(parts))), rubbish)
    found = scan(MAGIC + b"".join(parts), SALT)
    assert found.bodies == list(enumerate(contents, start=5))


def test_a_frame_of_another_segment_or_of_an_earlier_sequence_is_none() -> None:
    foreign = frame(b"foreign", 9, SALT + 1)
    found = scan(MAGIC + foreign + frame(b"own", 10, SALT) + frame(b"again", 10, SALT) + frame(b"old", 3, SALT), SALT)
    assert found.bodies == [(10, b"own")]
    assert [damage.tail for damage in found.damages] == [False, True]


def test_a_text_that_looks_like_a_frame_does_not_come_out_of_a_damaged_record() -> None:
    forged = frame(b"forged", 50, 0)
    whole = bytearray(MAGIC + frame(b"x" * 9 + MARK + forged, 5, SALT) + frame(b"next", 6, SALT))
    whole[len(MAGIC) + 5] ^= 1
    assert scan(bytes(whole), SALT).bodies == [(6, b"next")]


def test_zeros_behind_the_records_are_a_torn_tail() -> None:
    found = scan(segment([b"a", b"b"]) + bytes(4096), SALT)
    assert [body for _, body in found.bodies] == [b"a", b"b"]
    assert [damage.tail for damage in found.damages] == [True]
