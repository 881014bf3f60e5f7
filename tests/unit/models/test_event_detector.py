"""Detectors of events: bytes, gaps, files and errors; that they detect is for tests/story/test_story_detector.py."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from recloser.core import InvalidInput, ModelRows, Refused
from recloser.models import DetectorPlan, EventDetector, code_kind, load_model, train_detector

NAMES = ("a", "b", "c")
CLASSES = ("left", "right")


@pytest.fixture(scope="module")
def windows():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(900, 3))
    inputs[rng.random((900, 3)) < 0.05] = np.nan
    labels = ["left" if x < -0.5 else "right" if x > 0.5 else "none" for x in inputs[:, 0]]
    return inputs, labels


@pytest.fixture(scope="module")
def detector(windows) -> EventDetector:
    return train_detector(*windows, NAMES, CLASSES, DetectorPlan(trees=40))


def frame(inputs, area: str = "left") -> pl.DataFrame:
    columns = {name: pl.Series(inputs[:, index]) for index, name in enumerate(NAMES)}
    return pl.DataFrame({"area": [area] * len(inputs), **columns})


def test_it_names_what_it_was_shown(detector, windows):
    inputs, labels = windows
    for kind in CLASSES:
        answer = detector.predict(frame(inputs, kind))[:, 0]
        there = np.array(labels) == kind
        assert answer[there].mean() > 0.75
        assert answer[~there].mean() < 0.1
        assert ((answer >= 0.0) & (answer <= 1.0)).all()


def test_rows_and_arrays_and_batches_give_the_same_bytes(detector, windows):
    inputs = windows[0][:50]
    whole = detector.predict(frame(inputs))
    rows = ModelRows(["left"] * 50, NAMES, np.ascontiguousarray(inputs), None)
    assert detector.predict_rows(rows).tobytes() == whole.tobytes()
    for index in (0, 17, 49):
        assert detector.predict(frame(inputs[index : index + 1])).tobytes() == whole[index : index + 1].tobytes()
    assert detector.all_classes(inputs.astype(np.float32))[:, :1].tobytes() == whole.tobytes()


def test_no_number_where_nothing_is_known(detector):
    blank = np.full((2, 3), np.nan)
    assert np.isnan(detector.predict(frame(blank))).all()
    assert np.isnan(detector.predict(frame(np.zeros((2, 3)), "elsewhere"))).all()
    assert detector.predict(frame(np.empty((0, 3)))).shape == (0, 1)
    with pytest.raises(InvalidInput, match="lack"):
        detector.predict(frame(np.zeros((1, 3))).drop("b"))
    with pytest.raises(InvalidInput, match="lack"):
        detector.predict(frame(np.zeros((1, 3))).drop("area"))


def test_it_is_data_and_answers_the_same_after_saving(detector, windows, tmp_path):
    detector.save(tmp_path)
    assert code_kind(tmp_path) is None
    again = load_model(tmp_path)
    assert again.quantiles == (0.5,)
    assert again.predict(frame(windows[0])).tobytes() == detector.predict(frame(windows[0])).tobytes()


@pytest.mark.parametrize("damage", ["changed", "absent"])
def test_a_damaged_file_is_refused_before_it_is_read(detector, tmp_path, damage):
    detector.save(tmp_path)
    path = tmp_path / "class_1.txt"
    if damage == "changed":
        path.write_bytes(path.read_bytes().replace(b"leaf_value=", b"leaf_value=9", 1))
    else:
        path.unlink()
    with pytest.raises(Refused):
        load_model(tmp_path)


def test_training_is_repeatable(detector, windows):
    assert train_detector(*windows, NAMES, CLASSES, DetectorPlan(trees=40)).boosters == detector.boosters


def test_bad_training_data_are_refused(windows):
    inputs, labels = windows
    with pytest.raises(InvalidInput, match="too few windows"):
        train_detector(inputs[:20], labels[:20], NAMES, CLASSES)
    with pytest.raises(InvalidInput, match="another shape"):
        train_detector(inputs, labels[:-1], NAMES, CLASSES)
    with pytest.raises(InvalidInput, match="classes"):
        train_detector(inputs, labels, NAMES, ("left", "left"))
