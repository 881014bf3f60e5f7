"""Owns the table of the project file about the model registry: `[registry]`, and how an MLflow server is reached."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from recloser.app.project.tables.section import Section
from recloser.core import InvalidInput, Unavailable
from recloser.registry.model_registry import MLFLOW_QUIET

REPEATS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1"}
"""Its client repeats for minutes by default, in which a control loop renews no lease."""


class RegistrySection(Section):
    """Where runs and model versions are mirrored: `[registry]`; file names are relative to the project."""

    kind: Literal["mlflow", "folder"] = "mlflow"
    tracking_uri: str | None = None
    username: str | None = None
    password_file: str | None = None
    token_file: str | None = None
    ca_file: str | None = None
    timeout_seconds: Annotated[int, Field(ge=1, le=600)] = 10

    @model_validator(mode="after")
    def _is_one_way_in(self) -> Self:
        if (self.username is None) != (self.password_file is None):
            raise InvalidInput(
                "a username and its password_file belong together", where="registry", next_step="Set both, or neither."
            )
        if self.username is not None and self.token_file is not None:
            raise InvalidInput(
                "two ways to sign in", where="registry", next_step="Set username or token_file, not both."
            )
        return self


def mlflow_environment(section: RegistrySection, root: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return what MLflow's client is told by its environment; it reads that at each request, so files may change.

    What is there already stands, except for what the project file says.

    Raises:
        Unavailable: a file cannot be read.
        InvalidInput: a file is empty.
    """
    found = {name: text for name, text in {**MLFLOW_QUIET, **REPEATS}.items() if name not in environ}
    found["MLFLOW_HTTP_REQUEST_TIMEOUT"] = str(section.timeout_seconds)
    if section.username is not None and section.password_file is not None:
        found["MLFLOW_TRACKING_USERNAME"] = section.username
        found["MLFLOW_TRACKING_PASSWORD"] = _secret(root / section.password_file, "registry.password_file")
    if section.token_file is not None:
        found["MLFLOW_TRACKING_TOKEN"] = _secret(root / section.token_file, "registry.token_file")
    if section.ca_file is not None:
        path = root / section.ca_file
        if not path.is_file():
            raise Unavailable("no such file of certificates", got=str(path), where="registry.ca_file")
        found["MLFLOW_TRACKING_SERVER_CERT_PATH"] = str(path.absolute())
    return found


def _secret(path: Path, where: str) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable("cannot read the MLflow server's secret", got=str(error), where=where) from error
    if not text:
        raise InvalidInput("a file without the MLflow server's secret", got=str(path), where=where)
    return text
