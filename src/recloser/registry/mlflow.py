"""Owns the ModelRegistry on MLflow tracking and its model registry. The only file that imports mlflow.

Importing costs about 5 CPU seconds and reads the environment: the application sets MLFLOW_DISABLE_TELEMETRY and
DO_NOT_TRACK (`MLFLOW_QUIET` in registry.model_registry) before it imports this module.
"""

from __future__ import annotations

import importlib
import logging
import re
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sqlalchemy.exc import SQLAlchemyError

from recloser.core import InvalidInput, Unavailable, canonical_json
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

_TEXT_LIMIT = 4000
_SIGN_IN = "Check [registry] username and password_file, or token_file; nothing that serves waits for it."
_MAY = "Give this account EDIT on the experiment and the registered model, or let it make them."
_TRUST = "Set [registry] ca_file to the certificate of its authority."
_UP = "Check [registry] tracking_uri and that the server is up; nothing that serves waits for it."


class MlflowRegistry:
    """Runs, versions and aliases in MLflow: SQLite or PostgreSQL by database URI, or a server by http URI.

    A version's source is the package path for a database on this machine. An MLflow server refuses local paths: there
    the package is kept among the run's artifacts, and the digest tag tells which one it is. The first use of a new
    SQLite file creates its tables (about 5 CPU seconds).

    Args:
        tracking_uri: e.g. 'sqlite:////var/lib/recloser/mlflow.db' or 'https://mlflow.example'.
        experiment: experiment of the runs.
        model: registered model of the versions.
        artifact_root: folder for run artifacts; a server decides for itself, so None there.

    Raises:
        InvalidInput: a database URI without `artifact_root`, or a name with quotes.
        Unavailable: the store cannot be reached.
    """

    def __init__(self, tracking_uri: str, experiment: str, model: str, artifact_root: Path | None = None) -> None:
        self._remote = tracking_uri.startswith(("http://", "https://"))
        if not self._remote and artifact_root is None:
            raise InvalidInput(
                "a database registry needs a folder for run artifacts", expected="artifact_root", where=tracking_uri
            )
        for name in (experiment, model):
            if not name or "'" in name or "`" in name:
                raise InvalidInput("an MLflow name may hold no quotes", got=name, where="MlflowRegistry")
        self._model = model
        with _quiet(), _seam():
            self._client = MlflowClient(tracking_uri, tracking_uri)
            self._experiment = self._ensure_experiment(experiment, artifact_root)

    def log_run(self, run: RunFacts) -> str:
        """See ModelRegistry."""
        with _seam():
            found = self._run(run.key)
            if found is not None and found.info.status in {"FINISHED", "FAILED"}:
                return str(found.info.run_id)
            if found is None:
                tags = {name: text[:_TEXT_LIMIT] for name, text in run.tags().items()}
                found = self._client.create_run(
                    self._experiment, start_time=_milliseconds(run.started_at), tags=tags, run_name=run.key
                )
            self._fill(str(found.info.run_id), run)
            return str(found.info.run_id)

    def register(self, package: Package, run_key: str) -> ModelVersion:
        """See ModelRegistry."""
        with _seam():
            run = self._run(require_key(run_key))
            if run is None:
                raise no_such_run(run_key)
            known = self._versions(f"tag.`recloser.digest` = '{package.digest}'")
            if known:
                return min(known.values(), key=lambda version: version.version)
            self._ensure_model()
            source = self._kept(package, run) if self._remote else str(package.path)
            made = self._client.create_model_version(
                self._model,
                source=source,
                run_id=run.info.run_id,
                tags={
                    "recloser.digest": package.digest,
                    "recloser.release": package.release,
                    "recloser.run_key": run_key,
                },
            )
            return _version(made)

    def _kept(self, package: Package, run: Any) -> str:
        """Keep the package among the run's artifacts and return where: a server takes no source beside them."""
        folder = f"package/{package.release}"
        self._client.log_artifacts(run.info.run_id, str(package.path), folder)
        return f"{run.info.artifact_uri.rstrip('/')}/{folder}"

    def set_alias(self, alias: str, release: str | None) -> None:
        """See ModelRegistry."""
        require_alias(alias)
        with _seam():
            if release is None:
                if self.resolve(alias) is not None:
                    self._client.delete_registered_model_alias(self._model, alias)
                return
            known = self._versions()
            if release not in known:
                raise unregistered(release)
            self._client.set_registered_model_alias(self._model, alias, str(known[release].version))

    def resolve(self, alias: str) -> ModelVersion | None:
        """See ModelRegistry."""
        require_alias(alias)
        try:
            found = self._client.get_model_version_by_alias(self._model, alias)
        except MlflowException as error:
            # A missing alias is told as an invalid parameter, a missing model as a missing resource.
            if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                return None
            raise _unavailable(error) from error
        return _version(found)

    def sync_aliases(self, desired: Mapping[str, str | None]) -> tuple[AliasChange, ...]:
        """See ModelRegistry."""
        with _seam():
            return repair_aliases(self, desired, self._versions())

    def _fill(self, run_id: str, run: RunFacts) -> None:
        at = _milliseconds(run.finished_at)
        metrics = [Metric(name, number, at, 0) for name, number in sorted(run.numbers().items())]
        params = [Param(name, _text(item)) for name, item in sorted(run.params.items())]
        self._client.log_batch(run_id, metrics=metrics, params=params)
        files = {"environment.json": canonical_json(run.environment.to_dict()), **run.artifacts}
        with tempfile.TemporaryDirectory(prefix="recloser-run-") as folder:
            for name, content in files.items():
                (Path(folder) / name).write_bytes(content)
            self._client.log_artifacts(run_id, folder)
        self._client.set_terminated(run_id, "FINISHED" if run.succeeded else "FAILED", end_time=at)

    def _ensure_experiment(self, name: str, artifact_root: Path | None) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is None:
            location = None if artifact_root is None or self._remote else artifact_root.absolute().as_uri()
            try:
                return str(self._client.create_experiment(name, artifact_location=location))
            except MlflowException as error:
                found = self._client.get_experiment_by_name(name)
                if found is None:
                    raise _unavailable(error) from error
        return str(found.experiment_id)

    def _ensure_model(self) -> None:
        try:
            self._client.create_registered_model(self._model)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _run(self, key: str) -> Any | None:
        found = self._client.search_runs(
            [self._experiment],
            f"tags.`recloser.run_key` = '{key}'",
            max_results=1,
            order_by=["attribute.start_time ASC"],
        )
        return found[0] if found else None

    def _versions(self, extra: str = "") -> dict[str, ModelVersion]:
        """Return release -> version, the first one where a release stands twice."""
        text = f"name = '{self._model}'" + (f" AND {extra}" if extra else "")
        found: dict[str, ModelVersion] = {}
        token = None
        while True:
            page = self._client.search_model_versions(text, max_results=1000, page_token=token)
            for version in map(_version, page):
                first = found.get(version.release)
                if first is None or version.version < first.version:
                    found[version.release] = version
            token = page.token
            if not token:
                return found


def open_pyfunc(path: Path) -> Any:
    """Return the MLflow pyfunc logged in a folder; runs code of its own, so only a model's process calls this.

    Raises:
        Unavailable: MLflow's pyfunc is not usable here (it needs pandas).
        InvalidInput: the folder holds none that loads.
    """
    try:
        pyfunc = importlib.import_module("mlflow.pyfunc")
    except ImportError as error:
        raise Unavailable("MLflow's pyfunc cannot be used", got=str(error), next_step="Install pandas.") from error
    try:
        return pyfunc.load_model(str(path))
    # Loading runs code of the model's own, which may raise anything.
    except Exception as error:
        got = f"{type(error).__name__}: {error}"[:300]
        raise InvalidInput("a pyfunc that does not load", got=got, where=str(path)) from error


def _version(found: Any) -> ModelVersion:
    tags = found.tags
    return ModelVersion(
        int(found.version),
        tags.get("recloser.release", ""),
        tags.get("recloser.digest", ""),
        found.source,
        tags.get("recloser.run_key", ""),
    )


def _milliseconds(instant: datetime) -> int:
    return round(instant.timestamp() * 1000)


def _text(item: Any) -> str:
    return item if isinstance(item, str) else canonical_json(item).decode()


@contextmanager
def _seam() -> Iterator[None]:
    try:
        yield
    except MlflowException as error:
        raise _unavailable(error) from error
    except SQLAlchemyError as error:  # MLflow opens a database without converting what goes wrong
        raise Unavailable(
            "the MLflow database cannot be used",
            got=str(getattr(error, "orig", None) or error)[:500],
            where="MLflow",
            next_step="Check [registry] tracking_uri; restore the database, or move it away to begin a new one.",
        ) from error
    except OSError as error:
        raise Unavailable("run artifacts cannot be written", got=str(error), where="MLflow") from error


# What MLflow says -> what that means, and what to do.
_CAUSES = (
    (
        ("error code 401", "not authenticated", "HTTP 401"),
        "the MLflow server does not accept these credentials",
        _SIGN_IN,
    ),
    (("error code 403", "Permission denied", "HTTP 403"), "the MLflow server does not allow this", _MAY),
    (("certificate", "SSLError", "SSL:"), "the MLflow server's certificate is not trusted", _TRUST),
    (("timed out", "Timeout"), "the MLflow server does not answer in time", _UP),
    (("Connection refused", "Max retries", "failed with exception"), "the MLflow server cannot be reached", _UP),
)


def _unavailable(error: MlflowException) -> Unavailable:
    said = re.sub(r"://[^/@\s]+@", "://***@", str(error.message))  # an address may hold credentials
    what, next_step = "the MLflow store did not do it", "Check the tracking URI and that the database or server is up."
    for words, meaning, act in _CAUSES:
        if any(word in said for word in words):
            what, next_step = meaning, act
            break
    return Unavailable(what, got=f"{error.error_code}: {said}"[:500], where="MLflow", next_step=next_step)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what MLflow's own start-up says about itself: one SQLAlchemy deprecation and its table-creation log."""
    logger = logging.getLogger("mlflow.store.db.utils")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The ``noload`` loader strategy is deprecated")
            yield
    finally:
        logger.setLevel(level)
