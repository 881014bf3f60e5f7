"""Owns putting a package's documents together. Reads nothing: the environment is read once, by `read_surroundings`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recloser.core import canonical_json, digest_bytes
from recloser.registry.content.card import card_document
from recloser.registry.content.lock import Pin, installed_differences, load_lock, shipped_lock, write_lock
from recloser.registry.content.meaning import FORECAST, Meaning, meaning_of
from recloser.registry.content.sbom import PROGRAM, Distribution, read_distributions, write_sbom
from recloser.registry.content.schema import InputColumn, schema_document
from recloser.registry.facts import PackageFacts

SCHEMA = "schema.json"
CARD = "card.json"
ENTRY = "entry.json"
LOCK = "environment/requirements.lock"
WHEELHOUSE = "environment/wheelhouse.json"
SBOM = "sbom.cdx.json"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a release runs on here.

    Attributes:
        pins: locked distributions that this kind of machine needs; empty without a lock.
        differing: installed otherwise than locked: name -> (locked, installed).
        distributions: what is installed of it, for the bill of materials.
    """

    pins: tuple[Pin, ...]
    differing: Mapping[str, tuple[str, str | None]]
    distributions: tuple[Distribution, ...]


def read_surroundings(lock: Path | None = None) -> Surroundings:
    """Read lock and installed distributions.

    Args:
        lock: a lock with hashes; None for the one that came with Recloser.

    Raises:
        InvalidInput: the lock is none.
        Unavailable: it cannot be read.
    """
    path = lock or shipped_lock()
    pins = () if path is None else load_lock(path)
    distributions = read_distributions([*(pin.name for pin in pins), PROGRAM])
    return Surroundings(pins, installed_differences(pins), distributions)


def describe(
    facts: PackageFacts,
    columns: Sequence[InputColumn],
    areas: Sequence[str],
    model_files: Mapping[str, bytes],
    around: Surroundings,
) -> dict[str, bytes]:
    """Return the documents of a package by path.

    Args:
        facts: what the package says about itself.
        columns: inputs with the ranges seen in training.
        areas: areas in the training rows.
        model_files: the saved model's files by path inside its folder.
        around: what it runs on.
    """
    meaning, horizon = meaning_of(facts.model_kind), facts.feature_set.get("horizon", {})
    files = [(f"model/{name}", digest_bytes(content)) for name, content in model_files.items()]
    return {
        SCHEMA: canonical_json(schema_document(columns, facts.quantiles, horizon, meaning)),
        CARD: canonical_json(card_document(facts, areas, columns, _calibration(model_files))),
        ENTRY: canonical_json(entry_document(meaning)),
        LOCK: write_lock(around.pins),
        WHEELHOUSE: canonical_json(wheelhouse_document(facts, around)),
        SBOM: write_sbom(facts.model_kind, files, around.distributions),
    }


def entry_document(meaning: Meaning = FORECAST) -> dict[str, Any]:
    """Return entry.json: how to score rows with nothing but the package and its environment."""
    return {
        "format": "recloser-entry/1",
        "install": ["pip", "install", "--require-hashes", "--no-deps", "-r", LOCK],
        "load": {"callable": "recloser.models:load_model", "argument": "model"},
        "score": {
            "method": "predict",
            "rows": "a polars frame as in schema.json",
            "answer": f"{meaning.unit}, (n_rows, n_quantiles)",
        },
        "command": ["recloser", "package", "score", ".", "--rows", "ROWS", "--out", "ANSWERS"],
        "golden": {"rows": "golden/rows.arrow", "answers": "golden/answers.arrow"},
    }


def wheelhouse_document(facts: PackageFacts, around: Surroundings) -> dict[str, Any]:
    """Return wheelhouse.json: which archives may be installed, by SHA-256, and what differed when it was made."""
    return {
        "format": "recloser-wheelhouse/1",
        "python": facts.environment.python,
        "platform": facts.environment.platform,
        "wheels": [{"name": pin.name, "version": pin.version, "sha256": list(pin.hashes)} for pin in around.pins],
        "installed_otherwise": {name: list(pair) for name, pair in sorted(around.differing.items())},
    }


def _calibration(model_files: Mapping[str, bytes]) -> Mapping[str, Any]:
    """Return what the model's own file says of its calibration; empty where it has none."""
    try:
        told = json.loads(model_files.get("model.json", b"{}"))
    except ValueError:
        return {}
    found = {key: told[key] for key in ("calibration", "widths") if isinstance(told, dict) and key in told}
    return {**found, "file": "model/model.json"} if found else {}
