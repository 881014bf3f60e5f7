"""The pure walk over the audit chain: every single change of a chain is found, at the right place."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from recloser.core import canonical_json, digest_of
from recloser.ledger.audit.chain import GENESIS, ChainWalk, Head, StoredEntry, Verification, entry_hash

words = st.text(max_size=6)
facts = st.dictionaries(words, st.one_of(st.none(), st.booleans(), st.integers(), words, st.lists(words, max_size=2)))


def chain(contents: list[tuple[str, dict[str, object]]]) -> list[StoredEntry]:
    rows: list[StoredEntry] = []
    for seq, (subject, evidence) in enumerate(contents, start=1):
        previous = rows[-1].hash if rows else GENESIS
        text = canonical_json(evidence).decode()
        draft = StoredEntry(seq, "2020-03-01T09:00:00.000000Z", "actor", "act", subject, text, "[]", previous, "")
        rows.append(draft._replace(hash=entry_hash(draft)))
    return rows


chains = st.lists(st.tuples(words, facts), min_size=1, max_size=6).map(chain)


def check(rows: list[StoredEntry], head: Head | None) -> Verification:
    walk = ChainWalk()
    walk.walk(rows)
    walk.close(head)
    return walk.verification()


def head_of(rows: list[StoredEntry]) -> Head:
    return Head(len(rows), rows[-1].hash if rows else GENESIS)


@settings(max_examples=40)
@given(chains)
def test_an_untouched_chain_is_ok(rows: list[StoredEntry]) -> None:
    assert check(rows, head_of(rows)) == Verification(len(rows), True, None, "", rows[-1].hash)


def test_an_empty_chain_is_ok() -> None:
    assert check([], Head(0, GENESIS)).ok


@settings(max_examples=40)
@given(chains)
def test_the_hash_is_that_of_the_canonical_json(rows: list[StoredEntry]) -> None:
    for row in rows:
        whole = [*row[:5], json.loads(row.facts), json.loads(row.records), row.previous]
        assert row.hash == digest_of(whole)


@settings(max_examples=40)
@given(chains, st.data())
def test_any_edited_field_is_found_at_its_entry(rows: list[StoredEntry], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(rows) - 1))
    name = data.draw(st.sampled_from(["at", "actor", "action", "subject", "facts", "records", "previous", "hash"]))
    edited = data.draw(st.one_of(words, st.none(), st.integers(), st.binary(max_size=3), st.just("{}"), st.just("[]")))
    if edited == getattr(rows[index], name):
        return
    damaged = [*rows[:index], rows[index]._replace(**{name: edited}), *rows[index + 1 :]]
    found = check(damaged, head_of(rows))
    assert (found.ok, found.first_bad) == (False, index + 1)


@settings(max_examples=40)
@given(chains, st.data())
def test_an_edited_and_rehashed_entry_is_found_at_the_latest_at_the_next_one(
    rows: list[StoredEntry], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(rows) - 1))
    draft = rows[index]._replace(actor="nobody")
    damaged = [*rows[:index], draft._replace(hash=entry_hash(draft)), *rows[index + 1 :]]
    found = check(damaged, head_of(rows))
    assert not found.ok
    assert found.first_bad in {index + 1, index + 2}


@settings(max_examples=40)
@given(chains, st.data())
def test_any_dropped_run_of_entries_is_found_at_its_start(rows: list[StoredEntry], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(rows) - 1))
    stop = data.draw(st.integers(start + 1, len(rows)))
    found = check(rows[:start] + rows[stop:], head_of(rows))
    assert (found.ok, found.first_bad) == (False, start + 1)


@settings(max_examples=40)
@given(chains, st.data())
def test_dropping_and_renumbering_is_found(rows: list[StoredEntry], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(rows) - 1))
    left = [row._replace(seq=seq) for seq, row in enumerate(rows[:start] + rows[start + 1 :], start=1)]
    assert not check(left, head_of(rows)).ok


@settings(max_examples=40)
@given(chains, st.data())
def test_swapped_entries_are_found_at_the_first_of_them(rows: list[StoredEntry], data: st.DataObject) -> None:
    one, other = sorted(data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=2, max_size=2)))
    if one == other:
        return
    damaged = list(rows)
    damaged[one], damaged[other] = rows[other]._replace(seq=one + 1), rows[one]._replace(seq=other + 1)
    assert check(damaged, head_of(rows)).first_bad == one + 1


@settings(max_examples=40)
@given(chains, st.data())
def test_an_inserted_copy_is_found(rows: list[StoredEntry], data: st.DataObject) -> None:
    source = data.draw(st.sampled_from(rows))
    place = data.draw(st.integers(0, len(rows)))
    damaged = [row._replace(seq=seq) for seq, row in enumerate([*rows[:place], source, *rows[place:]], start=1)]
    assert not check(damaged, head_of(rows)).ok


@settings(max_examples=40)
@given(chains)
def test_text_moved_between_facts_and_records_is_found(rows: list[StoredEntry]) -> None:
    last = rows[-1]
    moved = last._replace(facts=last.facts + "," + last.records[:1], records=last.records[1:])
    assert check([*rows[:-1], moved], head_of(rows)).first_bad == len(rows)


@settings(max_examples=40)
@given(chains)
def test_a_missing_head_is_a_fault(rows: list[StoredEntry]) -> None:
    assert check(rows, None).first_bad == len(rows) + 1
