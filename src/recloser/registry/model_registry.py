"""Owns the ModelRegistry protocol: runs, model versions and aliases. The ledger, not this, says who serves."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from recloser.core import InvalidInput, canonical_json, require_utc, unknown_name
from recloser.registry.commit import CodeCommit
from recloser.registry.environment import EnvironmentLock
from recloser.registry.package import Package

ALIASES = ("champion", "challenger", "fallback")

# What the application puts into its environment before it imports registry.mlflow: no telemetry, ever.
MLFLOW_QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,120}")
_ARTIFACT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,120}")
_ARTIFACT_LIMIT = 4 * 2**20


@dataclass(frozen=True, slots=True)
class RunFacts:
    """One training run as a registry keeps it.

    Attributes:
        key: run id of the ledger; the registry holds one run per key.
        started_at: aware UTC, from the caller's clock.
        finished_at: aware UTC, not before `started_at`.
        succeeded: False for a failed run.
        environment: environment lock.
        commit: code commit, None outside a repository.
        params: small values.
        metrics: by name; None or NaN where one could not be computed (kept as 'missing', never as a number).
        snapshots: data trained on, as dicts.
        artifacts: plain file name -> content, small (4 MiB in all).

    Raises:
        InvalidInput: unsafe key or file name, artifacts too large, or a time without zone.
    """

    key: str
    started_at: datetime
    finished_at: datetime
    succeeded: bool
    environment: EnvironmentLock
    commit: CodeCommit | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float | int | None] = field(default_factory=dict)
    snapshots: tuple[Mapping[str, Any], ...] = ()
    artifacts: Mapping[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_key(self.key)
        require_utc(self.started_at, "RunFacts.started_at")
        require_utc(self.finished_at, "RunFacts.finished_at")
        for name in self.artifacts:
            if not _ARTIFACT.fullmatch(name):
                raise InvalidInput("an artifact needs a plain file name", got=name, where=self.key)
        size = sum(map(len, self.artifacts.values()))
        if size > _ARTIFACT_LIMIT:
            raise InvalidInput("run artifacts too large", got=size, expected=f"<= {_ARTIFACT_LIMIT}", where=self.key)

    def tags(self) -> dict[str, str]:
        """Return what identifies and explains the run beside params and metrics, as short texts."""
        tags = {
            "recloser.run_key": self.key,
            "recloser.environment": self.environment.digest,
            "recloser.snapshots": canonical_json(list(self.snapshots)).decode(),
            "recloser.missing_metrics": ",".join(sorted(set(self.metrics) - set(self.numbers()))),
        }
        if self.commit is not None:
            tags |= {"recloser.commit": self.commit.commit, "recloser.dirty": str(self.commit.dirty).lower()}
        return tags

    def numbers(self) -> dict[str, float]:
        """Return the metrics that are numbers."""
        given = {name: float(number) for name, number in self.metrics.items() if number is not None}
        return {name: number for name, number in given.items() if math.isfinite(number)}


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A package as the registry knows it.

    Attributes:
        version: number that only grows, from 1.
        release: release id of the package.
        digest: package digest.
        source: package path, or where the registry keeps it if that runs on another machine.
        run_key: run that made it.
    """

    version: int
    release: str
    digest: str
    source: str
    run_key: str


@dataclass(frozen=True, slots=True)
class AliasChange:
    """One repair of an alias: the release it pointed at and the one it points at now."""

    alias: str
    before: str | None
    after: str | None


class ModelRegistry(Protocol):
    """Keeps runs, versions and the aliases champion, challenger, fallback; a mirror that people browse.

    Idempotent: every call may be repeated after a crash, with the same result and nothing kept twice. Aliases are
    last-writer-wins without history, so decisions never read them: the ledger is the truth and `sync_aliases`
    repairs the mirror. Calls of one instance come from one thread at a time; several processes may share a store.
    Every method raises Unavailable when the store cannot be reached.
    """

    def log_run(self, run: RunFacts) -> str:
        """Keep a run once per key and return the registry's own id of it; a half-kept run is completed."""
        ...

    def register(self, package: Package, run_key: str) -> ModelVersion:
        """Keep a verified package as a version, one per digest; a rerun returns the first one.

        Raises:
            InvalidInput: no run of that key was logged.
        """
        ...

    def set_alias(self, alias: str, release: str | None) -> None:
        """Point an alias at a registered release, or remove it with None.

        Raises:
            InvalidInput: unknown alias, or a release that is not registered.
        """
        ...

    def resolve(self, alias: str) -> ModelVersion | None:
        """Return what an alias points at, None where it is not set.

        Raises:
            InvalidInput: unknown alias.
        """
        ...

    def sync_aliases(self, desired: Mapping[str, str | None]) -> tuple[AliasChange, ...]:
        """Make the named aliases as the ledger says and return what had to be repaired; others are left alone.

        Raises:
            InvalidInput: unknown alias, or a release that is not registered; nothing was changed then.
        """
        ...


def require_alias(alias: str) -> str:
    """Return the alias if it is one of ALIASES, else raise InvalidInput."""
    if alias not in ALIASES:
        raise unknown_name("alias", alias, ALIASES)
    return alias


def require_key(key: str) -> str:
    """Return the run key if it is safe in file names and filters, else raise InvalidInput."""
    if not _KEY.fullmatch(key):
        raise InvalidInput("an unsafe run key", got=key, expected="letters, digits and ._:- (at most 121)")
    return key


def unregistered(release: str) -> InvalidInput:
    """Build the error for an alias on a release that the registry does not know."""
    return InvalidInput("a release that is not registered", got=release, next_step="Register its package first.")


def no_such_run(run_key: str) -> InvalidInput:
    """Build the error for a version without its run."""
    return InvalidInput("no run of that key is logged", got=run_key, next_step="Log the run first.")


def repair_aliases(
    registry: ModelRegistry, desired: Mapping[str, str | None], known: Mapping[str, ModelVersion]
) -> tuple[AliasChange, ...]:
    """Compare and repair, shared by implementations; `known` maps release -> version."""
    for alias, release in desired.items():
        require_alias(alias)
        if release is not None and release not in known:
            raise unregistered(release)
    changes = []
    for alias, release in sorted(desired.items()):
        version = registry.resolve(alias)
        before = None if version is None else version.release
        if before != release:
            registry.set_alias(alias, release)
            changes.append(AliasChange(alias, before, release))
    return tuple(changes)
