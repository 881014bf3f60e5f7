"""Owns a ModelRegistry in plain JSON files: for replays and machines without MLflow. No user interface."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from recloser.core import Unavailable, canonical_json
from recloser.registry.model_registry import (
    AliasChange,
    ModelVersion,
    RunFacts,
    no_such_run,
    repair_aliases,
    require_alias,
    require_key,
    unregistered,
)
from recloser.registry.package import Package

_VERSIONS = "versions.json"
_ALIASES = "aliases.json"


class FolderRegistry:
    """Runs as `runs/<key>/run.json` with their artifacts beside it, versions and aliases in one JSON file each.

    Files are replaced by rename under an advisory lock; a process killed at any point leaves the old or the new file.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def log_run(self, run: RunFacts) -> str:
        """See ModelRegistry."""
        home = self._folder / "runs" / run.key
        with self._changing():
            if not (home / "run.json").exists():
                for name, content in sorted(run.artifacts.items()):
                    _replace(home / "artifacts" / name, content)
                _replace(home / "run.json", canonical_json(_run_json(run)))
        return run.key

    def register(self, package: Package, run_key: str) -> ModelVersion:
        """See ModelRegistry."""
        with self._changing():
            if not (self._folder / "runs" / require_key(run_key) / "run.json").exists():
                raise no_such_run(run_key)
            versions = self._versions()
            for version in versions:
                if version.digest == package.digest:
                    return version
            made = ModelVersion(len(versions) + 1, package.release, package.digest, str(package.path), run_key)
            _replace(self._folder / _VERSIONS, canonical_json([asdict(version) for version in [*versions, made]]))
        return made

    def set_alias(self, alias: str, release: str | None) -> None:
        """See ModelRegistry."""
        require_alias(alias)
        with self._changing():
            aliases = dict(self._read(_ALIASES, {}))
            if release is None:
                aliases.pop(alias, None)
            elif release in self._known():
                aliases[alias] = release
            else:
                raise unregistered(release)
            _replace(self._folder / _ALIASES, canonical_json(aliases))

    def resolve(self, alias: str) -> ModelVersion | None:
        """See ModelRegistry."""
        release = self._read(_ALIASES, {}).get(require_alias(alias))
        return None if release is None else self._known().get(release)

    def sync_aliases(self, desired: Mapping[str, str | None]) -> tuple[AliasChange, ...]:
        """See ModelRegistry."""
        return repair_aliases(self, desired, self._known())

    def _known(self) -> dict[str, ModelVersion]:
        return {version.release: version for version in self._versions()}

    def _versions(self) -> list[ModelVersion]:
        return [ModelVersion(**item) for item in self._read(_VERSIONS, [])]

    def _read(self, name: str, empty: Any) -> Any:
        try:
            return json.loads((self._folder / name).read_bytes())
        except FileNotFoundError:
            return empty
        except (OSError, ValueError) as error:
            raise Unavailable("the registry cannot be read", got=str(error), where=str(self._folder / name)) from error

    @contextmanager
    def _changing(self) -> Iterator[None]:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                yield
            finally:
                os.close(descriptor)
        except OSError as error:
            raise Unavailable("the registry cannot be written", got=error.strerror, where=str(self._folder)) from error


def _run_json(run: RunFacts) -> dict[str, Any]:
    return {
        "key": run.key,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "succeeded": run.succeeded,
        "environment": run.environment.to_dict(),
        "commit": None if run.commit is None else run.commit.to_dict(),
        "params": run.params,
        "metrics": run.metrics,
        "snapshots": list(run.snapshots),
        "tags": run.tags(),
    }


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(content)
    new.replace(path)
