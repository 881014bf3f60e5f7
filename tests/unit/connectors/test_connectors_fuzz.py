"""Malformed frames: thousands of new ones a run, and all that ever broke a decoder; millions by `tests/fuzz/run.py`."""

from __future__ import annotations

from pathlib import Path

import pytest

from recloser.connectors.decoding import DECODERS
from recloser.testing.fuzzing import check, event_of, fuzz, seeds

CORPUS = Path(__file__).parents[2] / "fuzz" / "corpus"


@pytest.mark.parametrize("protocol", sorted(DECODERS))
def test_no_malformed_frame_ends_a_decoder(protocol: str) -> None:
    assert list(fuzz(protocol, 1_500, seed=20)) == []


@pytest.mark.parametrize("protocol", sorted(DECODERS))
def test_every_seed_is_a_good_frame(protocol: str) -> None:
    for number, frame in enumerate(seeds(protocol), 1):
        rows = list(DECODERS[protocol]().add(event_of(protocol, frame, number)))
        assert rows or protocol == "dnp3"  # a segment that others must follow gives no row yet


def test_the_corpus_is_survived() -> None:
    files = sorted(CORPUS.glob("*.hex"))
    assert files
    for file in files:
        protocol = file.name.split("-")[0]
        for frame in file.read_text().split():
            for number in range(4):
                decoder = DECODERS[protocol]()
                check(decoder, event_of(protocol, bytes.fromhex(frame), number))
                list(decoder.finish())
