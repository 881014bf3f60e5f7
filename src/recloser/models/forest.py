"""Owns evaluation of several LightGBM boosters at once by leaf masks: the same bits as LightGBM's own. Trains nothing.

Each tree has a 64-bit mask of the leaves that can still be reached, from left to right. A test that sends a row to the
right rules out the leaves on its left; what all tests of one feature rule out depends only on where its value lies
among their thresholds, so it is known beforehand: a row costs one table row per feature and the lowest bit left.
Source: Lucchese et al. (2015), QuickScorer: a Fast Algorithm to Rank Documents with Additive Ensembles of Trees.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recloser.core import FloatArray, InvalidInput
from recloser.models.model import FEW, Float32Array

MOST_LEAVES = 64
MOST_BYTES = 64_000_000
"""A table of masks may be so large; forests beyond it are left to LightGBM."""
BLOCK = 64
"""Rows looked up at once, so that their masks stay in the caches."""

ZERO = float(np.float32(1e-35))
"""LightGBM takes numbers up to this, either sign, for 0."""

Masks = npt.NDArray[np.uint64]
IntArray = npt.NDArray[np.int64]

_ALL = (1 << MOST_LEAVES) - 1
_CATEGORICAL, _DEFAULT_LEFT, _MISSING_SHIFT, _MISSING_ZERO, _MISSING_NAN = 1, 2, 2, 1, 2


@dataclass(frozen=True, slots=True)
class _Tree:
    """One tree of a model's text: inner nodes in their order, children below zero are leaves (~leaf)."""

    features: tuple[int, ...]
    thresholds: tuple[float, ...]
    decisions: tuple[int, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    leaf_values: tuple[float, ...]


class Forest:
    """Several boosters over the same inputs, evaluated together; read-only after it is made, so thread safe.

    Args:
        boosters: the trees of each.
        n_features: width of the inputs.
    """

    def __init__(self, boosters: Sequence[Sequence[_Tree]], n_features: int) -> None:
        trees = [tree for booster in boosters for tree in booster]
        ends = list(itertools.accumulate(len(booster) for booster in boosters))
        self._spans = list(itertools.pairwise((0, *ends)))
        self._values = np.zeros((len(trees), MOST_LEAVES))
        nodes: list[list[tuple[float, int, int, bool]]] = [[] for _ in range(n_features)]
        for index, tree in enumerate(trees):
            order, ruled_out = _leaves(tree)
            self._values[index, : len(order)] = [tree.leaf_values[leaf] for leaf in order]
            for feature, threshold, decision, mask in zip(
                tree.features, tree.thresholds, tree.decisions, ruled_out, strict=True
            ):
                nodes[feature].append((threshold, index, mask, _missing_goes_right(decision, threshold)))
        self._used = tuple(feature for feature, tests in enumerate(nodes) if tests)
        self._thresholds = [np.array(sorted({test[0] for test in nodes[feature]})) for feature in self._used]
        self._lists = [thresholds.tolist() for thresholds in self._thresholds]
        # Of each feature: a row per interval between its thresholds, then the row of a missing value.
        lengths = [len(thresholds) + 2 for thresholds in self._lists]
        self._starts = [0, *itertools.accumulate(lengths)]
        ends_of = [start - 1 for start in self._starts[1:]]
        self._lookup = list(zip(self._used, self._starts, self._lists, ends_of, strict=False))
        self._masks: Masks = np.full((self._starts[-1], len(trees)), _ALL, dtype=np.uint64)
        for place, feature in enumerate(self._used):
            self._fill(place, nodes[feature])
        self._offsets = np.arange(len(trees), dtype=np.int64) * MOST_LEAVES - 1023

    def _fill(self, place: int, tests: Sequence[tuple[float, int, int, bool]]) -> None:
        thresholds = self._thresholds[place]
        part = self._masks[self._starts[place] : self._starts[place + 1]]
        given, trees, masks, missing = (np.array(column) for column in zip(*tests, strict=True))
        masks = masks.astype(np.uint64)
        np.bitwise_and.at(part, (np.searchsorted(thresholds, given) + 1, trees), masks)
        np.bitwise_and.at(part, (len(thresholds) + 1, trees[missing]), masks[missing])
        np.bitwise_and.accumulate(part[:-1], axis=0, out=part[:-1])

    def predict(self, inputs: Float32Array) -> list[FloatArray]:
        """Return per booster the raw answers of shape (n_rows,) for float32 inputs of shape (n_rows, n_features)."""
        n = inputs.shape[0]
        if n <= FEW:
            each = [self._one(row) for row in inputs.tolist()]
            return [np.array([answers[booster] for answers in each]) for booster in range(len(self._spans))]
        parts = [self._block(inputs[start : start + BLOCK]) for start in range(0, n, BLOCK)]
        return [np.concatenate(each) for each in zip(*parts, strict=True)]

    def _one(self, row: list[float]) -> list[float]:
        left = np.bitwise_and.reduce(self._masks.take(self._row(row), axis=0), axis=0)
        values = self._chosen(left)
        return [np.add.accumulate(values[start:stop]).item(-1) + 0.0 for start, stop in self._spans]

    def _row(self, row: list[float]) -> list[int]:
        return [
            start + bisect_left(thresholds, row[feature]) if row[feature] == row[feature] else missing
            for feature, start, thresholds, missing in self._lookup
        ]

    def _block(self, inputs: Float32Array) -> list[FloatArray]:
        left: Masks | None = None
        found = np.empty((len(inputs), self._masks.shape[1]), dtype=np.uint64)
        missing: npt.NDArray[np.bool_] = np.isnan(inputs)
        gappy = set(np.flatnonzero(missing.any(axis=0)).tolist())
        columns = inputs.astype(np.float64).T
        for place, feature in enumerate(self._used):
            at = self._thresholds[place].searchsorted(columns[feature])
            if feature in gappy:
                at[missing[:, feature]] = len(self._lists[place]) + 1
            part = self._masks[self._starts[place] : self._starts[place + 1]]
            if left is None:
                left = part[at]
            else:
                part.take(at, axis=0, out=found, mode="clip")
                left &= found
        if left is None:
            left = np.full(found.shape, _ALL, dtype=np.uint64)
        # Tree by tree in their order, as LightGBM adds; rows side by side.
        values = self._chosen(left).T.copy()
        return [np.add.accumulate(values[start:stop], axis=0)[-1] + 0.0 for start, stop in self._spans]

    def _chosen(self, left: Masks) -> FloatArray:
        """Return the value of the lowest leaf left of each tree."""
        left &= np.negative(left)
        places = left.astype(np.float64).view(np.int64)  # the exponent tells which bit it is
        places >>= 52
        places += self._offsets
        values: FloatArray = self._values.take(places)
        return values


def forest_of(texts: Sequence[str], n_features: int) -> Forest | None:
    """Return the forest of some models in LightGBM's text form; None where only LightGBM itself can evaluate them.

    That is: another objective than plain regression or quantiles, several outputs, averaged or linear trees,
    categorical tests, zero as missing, more than 64 leaves, or too many thresholds for a table.
    """
    boosters = []
    for text in texts:
        try:
            trees = _trees(text) if width_of(text) == n_features else None
        except (KeyError, ValueError):  # unreadable: LightGBM says what is wrong with it
            return None
        if trees is None:
            return None
        boosters.append(trees)
    every = [tree for booster in boosters for tree in booster]
    distinct = {pair for tree in every for pair in zip(tree.features, tree.thresholds, strict=True)}
    if not all(boosters) or (len(distinct) + 2 * n_features) * len(every) * 8 > MOST_BYTES:
        return None
    return Forest(boosters, n_features)


def _trees(text: str) -> list[_Tree] | None:
    head, *sections = text.partition("\nend of trees")[0].split("\nTree=")
    facts = _facts(head)
    kinds = {"regression", "regression_l1", "quantile", "huber", "fair", "mape"}
    objective = facts.get("objective", "").split()
    plain = facts.get("num_class") == facts.get("num_tree_per_iteration") == "1" and "average_output" not in head
    if not plain or not objective or objective[0] not in kinds or "sqrt" in objective:
        return None
    trees = []
    for section in sections:
        tree = _tree(_facts(section))
        if tree is None:
            return None
        trees.append(tree)
    return trees


def width_of(text: str) -> int:
    """Return the number of features of a model in LightGBM's text form.

    Raises:
        InvalidInput: it is none.
    """
    told = _facts(text.partition("\nTree=")[0]).get("max_feature_idx", "")
    if not (told.isascii() and told.isdigit()):
        raise InvalidInput("not a model in LightGBM's text form", got=text[:40], expected="max_feature_idx")
    return int(told) + 1


def _facts(section: str) -> dict[str, str]:
    return {key: given for key, mark, given in (line.partition("=") for line in section.splitlines()) if mark}


def _tree(facts: Mapping[str, str]) -> _Tree | None:
    leaves = int(facts["num_leaves"])
    if leaves > MOST_LEAVES or facts.get("num_cat", "0") != "0" or facts.get("is_linear", "0") != "0":
        return None
    values = tuple(map(float, facts["leaf_value"].split()))
    if leaves == 1:
        return _Tree((), (), (), (), (), values)
    features, decisions, left, right = (
        tuple(map(int, facts[name].split())) for name in ("split_feature", "decision_type", "left_child", "right_child")
    )
    thresholds = tuple(_beyond_zero(float(word)) for word in facts["threshold"].split())
    tree = _Tree(features, thresholds, decisions, left, right, values)
    forward = all(child > node for side in (left, right) for node, child in enumerate(side) if child >= 0)
    known = all(not bits & _CATEGORICAL and bits >> _MISSING_SHIFT & 3 != _MISSING_ZERO for bits in decisions)
    whole = len(values) == leaves and len(features) == len(tree.thresholds) == len(left) == leaves - 1
    return tree if forward and known and whole else None


def _beyond_zero(threshold: float) -> float:
    """Return the threshold that parts numbers as LightGBM does, which reads tiny ones as 0."""
    if not -ZERO <= threshold <= ZERO:
        return threshold
    return ZERO if threshold >= 0.0 else math.nextafter(-ZERO, -math.inf)


def _leaves(tree: _Tree) -> tuple[list[int], list[int]]:
    """Return the leaves from left to right, and per node the mask without the leaves on its left."""
    if not tree.left:
        return [0], []
    below: list[list[int]] = [[] for _ in tree.left]
    on_left = [0] * len(tree.left)
    for node in range(len(tree.left) - 1, -1, -1):  # children come behind their parents
        sides = [[~child] if child < 0 else below[child] for child in (tree.left[node], tree.right[node])]
        on_left[node] = len(sides[0])
        below[node] = sides[0] + sides[1]
    order = below[0]
    at = {leaf: place for place, leaf in enumerate(order)}
    masks = []
    for node, count in enumerate(on_left):
        first = at[below[node][0]]
        masks.append(_ALL & ~(((1 << count) - 1) << first))
    return order, masks


def _missing_goes_right(decision: int, threshold: float) -> bool:
    """Tell where LightGBM sends a missing number: by the test's own rule, or as if it were 0 where it has none."""
    if decision >> _MISSING_SHIFT & 3 == _MISSING_NAN:
        return not decision & _DEFAULT_LEFT
    return not threshold >= 0.0
