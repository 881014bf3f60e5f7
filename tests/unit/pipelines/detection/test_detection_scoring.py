"""What rare events cost: silence and noise each lose a vote, whatever the hours of quiet time."""

from __future__ import annotations

import numpy as np
import pytest

from recloser.pipelines.detection.recipe import DetectionRecipe, rows_of, synthetic_windows, truth_of
from recloser.pipelines.detection.scoring import LEAST_LOSS, day_differences, mean_losses, split_parts, unit_losses

KINDS = ("islanding", "line_trip")


def world(quiet: int = 1000) -> np.ndarray:
    """Return the truth of some quiet windows and four of each kind."""
    return np.vstack([np.zeros((quiet, 2)), np.tile([1.0, 0.0], (4, 1)), np.tile([0.0, 1.0], (4, 1))])


def test_a_model_that_never_says_anything_loses_however_quiet_the_year() -> None:
    truth = world(100_000)
    good = np.clip(truth * 0.9 + 0.01, 0.0, 1.0)
    silent = np.zeros_like(truth)
    day = np.zeros(len(truth))
    assert day_differences(truth, (silent, good), day, KINDS)[0] > 5.0
    assert np.square(silent - truth).mean() < 1e-3, "by an ordinary mean it would be nearly perfect"


def test_a_model_that_cries_wolf_loses_too() -> None:
    truth = world()
    good = np.clip(truth * 0.9 + 0.01, 0.0, 1.0)
    noisy = good.copy()
    noisy[:50] = 0.9
    assert day_differences(truth, (noisy, good), np.zeros(len(truth)), KINDS)[0] > 5.0
    assert day_differences(truth, (good, good), np.zeros(len(truth)), KINDS).tolist() == [0.0]


def test_a_model_that_takes_every_event_for_every_kind_loses() -> None:
    truth = world()
    good = np.clip(truth * 0.9 + 0.01, 0.0, 1.0)
    confused = np.where(truth.any(axis=1, keepdims=True), 0.9, good)
    assert day_differences(truth, (confused, good), np.zeros(len(truth)), KINDS)[0] > 5.0


def test_windows_that_nobody_labelled_count_for_nothing() -> None:
    truth = world(10)
    truth[3] = np.nan
    parts = split_parts(truth, KINDS)
    assert list(parts)[:3] == ["islanding", "other as islanding", "no islanding"]
    assert len(parts) == 6
    assert not any(rows[3] for _, rows in parts.values())
    assert parts["no islanding"][1].sum() == 9
    assert parts["other as islanding"][1].sum() == 4
    assert set(mean_losses(truth, np.full_like(truth, 0.5), KINDS).values()) == {0.25}


def test_a_champion_without_error_does_not_make_every_error_infinite() -> None:
    assert unit_losses({}, KINDS)["islanding"] == LEAST_LOSS["event"]
    assert unit_losses({"no islanding": 0.5}, KINDS)["no islanding"] == 0.5


@pytest.fixture(scope="module")
def recipe() -> DetectionRecipe:
    return DetectionRecipe(KINDS, step_s=4.0)


def test_simulated_windows_are_deterministic_and_labelled_in_time(recipe: DetectionRecipe) -> None:
    found = synthetic_windows(recipe, 1, 3)
    assert found.equals(synthetic_windows(recipe, 1, 3))
    assert set(found["label"].unique()) == {"none", *KINDS}
    assert set(found["origin"].unique()) == {"synthetic"}
    assert not found.equals(synthetic_windows(recipe, 2, 3))


def test_the_gateway_is_asked_about_every_kind_of_every_window(recipe: DetectionRecipe) -> None:
    found = synthetic_windows(recipe, 1, 1)[:5]
    rows = rows_of(found, KINDS)
    assert rows["area"].to_list() == list(KINDS) * 5
    assert rows["at"].to_list() == [at for at in found["at"].to_list() for _ in KINDS]
    assert truth_of(found, KINDS).shape == (5, 2)
