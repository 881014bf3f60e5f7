"""Owns what a package says about itself (release.json). Pure data; does not compute any of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from recloser.core import InvalidInput, canonical_json, digest_of, parse_utc
from recloser.registry.commit import CodeCommit
from recloser.registry.environment import EnvironmentLock


@dataclass(frozen=True, slots=True)
class PackageFacts:
    """What a release is made of. All of it enters the package digest, so it holds no build time and no host name.

    Attributes:
        model_kind: kind in model.json, e.g. 'lightgbm_quantile'.
        quantiles: levels the model answers, ascending.
        feature_set: FeatureSet.to_dict().
        training_window: first and last instant trained on (aware UTC).
        snapshots: store snapshots as dicts (table, version, digest, selection).
        metrics: hold-out metrics by name; None where one could not be computed.
        environment: what it was trained with.
        commit: code it was trained from; None outside a repository.
        scales: numbers that later tiers need from staging, e.g. sd of the paired daily difference.
        notes: further small JSON facts.
    """

    model_kind: str
    quantiles: tuple[float, ...]
    feature_set: Mapping[str, Any]
    training_window: tuple[datetime, datetime]
    snapshots: tuple[Mapping[str, Any], ...]
    metrics: Mapping[str, float | int | None]
    environment: EnvironmentLock
    commit: CodeCommit | None = None
    scales: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def feature_digest(self) -> str:
        """Return the SHA-256 of the feature set's canonical JSON."""
        return digest_of(self.feature_set)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-ready form."""
        return {
            "model_kind": self.model_kind,
            "quantiles": list(self.quantiles),
            "feature_set": dict(self.feature_set),
            "feature_digest": self.feature_digest,
            "training_window": list(self.training_window),
            "snapshots": [dict(snapshot) for snapshot in self.snapshots],
            "metrics": dict(self.metrics),
            "environment": self.environment.to_dict(),
            "environment_digest": self.environment.digest,
            "commit": None if self.commit is None else self.commit.to_dict(),
            "scales": dict(self.scales),
            "notes": dict(self.notes),
        }

    def to_bytes(self) -> bytes:
        """Return release.json's content."""
        return canonical_json(self.to_dict())

    @classmethod
    def from_bytes(cls, content: bytes, where: str) -> PackageFacts:
        """Read release.json.

        Raises:
            InvalidInput: not JSON, or a field is missing or of another form.
        """
        try:
            data = json.loads(content)
            first, last = (parse_utc(text, where) for text in data["training_window"])
            return cls(
                model_kind=str(data["model_kind"]),
                quantiles=tuple(float(level) for level in data["quantiles"]),
                feature_set=data["feature_set"],
                training_window=(first, last),
                snapshots=tuple(data["snapshots"]),
                metrics=data["metrics"],
                environment=EnvironmentLock.from_dict(data["environment"]),
                commit=None if data["commit"] is None else CodeCommit.from_dict(data["commit"]),
                scales=data["scales"],
                notes=data["notes"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput("unreadable package facts", got=str(error)[:200], where=where) from error
