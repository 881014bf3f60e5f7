"""Leaf masks against LightGBM itself: the same bits for every kind of number, and a fallback for every other tree."""

import subprocess
import sys

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recloser.core import Refused
from recloser.models import forest
from recloser.models.forest import BLOCK, forest_of
from recloser.models.lightgbm_native import NativeTrees, booster_of

WIDTH = 6


def grown(seed=1, rounds=25, categories="auto", **parameters):
    """Return the text of a small booster that met missing numbers, zeros and large numbers."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(800, WIDTH)).astype(np.float32)
    inputs[:, 1] = np.round(inputs[:, 1])  # many zeros
    inputs[:, 2] *= 1e9
    inputs[rng.random(inputs.shape) < 0.1] = np.nan
    inputs[:, 3] = np.abs(np.nan_to_num(inputs[:, 3]))  # never missing in training
    truth = np.abs(np.nan_to_num(inputs[:, 0])) + 0.3 * np.nan_to_num(inputs[:, 1]) ** 2 + np.isnan(inputs[:, 4])
    truth += 2.0 * (inputs[:, 3].astype(int) == 1)
    plan = {"objective": "huber", "num_leaves": 31, "min_data_in_leaf": 5, "verbosity": -1, "num_threads": 1}
    return lgb.train(
        {**plan, **parameters}, lgb.Dataset(inputs, truth, categorical_feature=categories), rounds
    ).model_to_string()


@pytest.fixture(scope="module")
def texts():
    return grown(), grown(seed=2, rounds=7, num_leaves=64)


@pytest.fixture(scope="module")
def numbers(texts):
    """Return the thresholds, their neighbours and what else is special."""
    lines = [line.partition("=")[2] for text in texts for line in text.splitlines() if line.startswith("threshold=")]
    near = np.array([float(word) for line in lines for word in line.split()]).astype(np.float32)
    around = [near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf))]
    tiny = np.float32(1e-35)
    special = [0.0, -0.0, tiny, -tiny, tiny / 2, -tiny / 2, np.nan, np.inf, -np.inf, 3e38, -3e38]
    return np.concatenate([*around, np.array(special, dtype=np.float32)])


def native(text, inputs):
    return booster_of(text).predict(inputs, num_threads=1)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1), n=st.sampled_from([1, 2, 4, 5, 33, BLOCK, BLOCK + 1, 150]))
def test_the_bits_are_those_of_lightgbm(texts, numbers, seed, n):
    rng = np.random.default_rng(seed)
    inputs = np.where(rng.random((n, WIDTH)) < 0.5, rng.choice(numbers, (n, WIDTH)), rng.normal(size=(n, WIDTH)))
    inputs = inputs.astype(np.float32)
    for text, answers in zip(texts, forest_of(texts, WIDTH).predict(inputs), strict=True):
        assert answers.tobytes() == native(text, inputs).tobytes()


def test_a_row_alone_gets_what_it_gets_among_others(texts):
    inputs = np.random.default_rng(5).normal(size=(200, WIDTH)).astype(np.float32)
    made = forest_of(texts, WIDTH)
    together = np.stack(made.predict(inputs))
    assert np.hstack([np.stack(made.predict(inputs[k : k + 1])) for k in range(200)]).tobytes() == together.tobytes()


def test_trees_of_one_leaf(texts):
    stumps = grown(rounds=3, min_data_in_leaf=700)
    assert "num_leaves=1\n" in stumps
    inputs = np.random.default_rng(6).normal(size=(9, WIDTH)).astype(np.float32)
    both = forest_of((stumps, texts[0]), WIDTH)
    assert both.predict(inputs)[0].tobytes() == native(stumps, inputs).tobytes()
    assert forest_of((stumps,), WIDTH).predict(inputs)[0].tobytes() == native(stumps, inputs).tobytes()


@pytest.mark.parametrize(
    "parameters",
    [
        {"num_leaves": 65, "min_data_in_leaf": 2},
        {"zero_as_missing": True},
        {"linear_tree": True, "objective": "regression"},
        {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
        {"reg_sqrt": True, "objective": "regression"},
        {"objective": "poisson"},
        {"categories": [3]},
    ],
    ids=lambda parameters: next(iter(parameters)),
)
def test_what_it_cannot_do_is_left_to_lightgbm(parameters):
    text = grown(rounds=3, **parameters)
    assert forest_of((text,), WIDTH) is None
    inputs = np.random.default_rng(7).normal(size=(6, WIDTH)).astype(np.float32)
    trees = NativeTrees(text)
    expected = native(text, inputs).tobytes()
    assert trees.predict(inputs).tobytes() == expected
    assert np.hstack([trees.predict(inputs[k : k + 1]) for k in range(6)]).tobytes() == expected


def test_damaged_texts_make_no_forest(texts):
    assert forest_of((texts[0].replace("leaf_value=", "leaf_value=x"),), WIDTH) is None
    assert forest_of((texts[0].replace("left_child=1", "left_child=0", 1),), WIDTH) is None  # a circle
    assert forest_of((texts[0].replace("split_feature=", "feature="),), WIDTH) is None
    assert forest_of(texts, WIDTH + 1) is None
    with pytest.raises(Refused):
        booster_of("rubbish")


def test_too_large_a_table_makes_no_forest(texts, monkeypatch):
    monkeypatch.setattr(forest, "MOST_BYTES", 10_000)
    assert forest_of(texts, WIDTH) is None


def test_serving_needs_no_lightgbm(trained, tmp_path):
    trained.save(tmp_path)
    program = f"""
import sys
from pathlib import Path
import recloser.serving.http
from recloser.models import load_model
assert load_model(Path({str(tmp_path)!r})).prompt
assert not {{"lightgbm", "scipy", "sklearn"}} & set(sys.modules), sorted(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
