"""Owns the inlets of the project file as the triggers' room takes them, secrets included. Proves nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from recloser.app.platform import Platform
from recloser.app.project.tables.triggers import InletSection
from recloser.core import Unavailable
from recloser.triggers import TriggerKind
from recloser.triggers.webhooks import Inlet, InletKind, unproven

SHORTEST = 16
"""Bytes of a secret: what can be guessed proves nothing."""


def inlet_of(platform: Platform, name: str, environment: Mapping[str, str] | None = None) -> Inlet:
    """Return an inlet of the project, its secrets read anew so that they may be replaced at any time.

    Raises:
        Unproven: there is none of that name, or its secret cannot be read; a caller is not told which.
    """
    section = next((item for item in platform.project.triggers.inlets if item.name == name), None)
    if section is None:
        raise unproven("there is no inlet of that name")
    try:
        secrets = secrets_of(section, platform.layout.root, os.environ if environment is None else environment)
    except Unavailable as error:
        raise unproven(error.explain()) from error
    return Inlet(
        name=section.name,
        kind=InletKind(section.kind),
        secrets=secrets,
        refs=section.refs,
        paths=section.paths,
        events=section.events,
        models=section.models,
        own_model=platform.model_name,
        kind_of_trigger=TriggerKind(section.counts_as),
        areas=platform.areas,
        people=section.people,
        tolerance=timedelta(seconds=section.tolerance_seconds),
    )


def secrets_of(section: InletSection, root: Path, environment: Mapping[str, str]) -> tuple[bytes, ...]:
    """Return the secrets of an inlet, one a line of its file or variable; none where it names neither.

    Raises:
        Unavailable: the file or the variable is not there, empty, or holds one that is too short.
    """
    if section.secret_file is not None:
        where = section.secret_file
        try:
            content = (root / where).read_bytes()
        except OSError as error:
            raise Unavailable("a secret cannot be read", got=error.strerror, where=where) from error
    elif section.secret_env is not None:
        where = section.secret_env
        content = environment.get(where, "").encode()
    else:
        return ()
    found = tuple(line.strip() for line in content.splitlines() if line.strip())
    if not found or min(map(len, found)) < SHORTEST:
        raise Unavailable(
            "no secret, or one that can be guessed",
            expected=f"at least {SHORTEST} letters, one secret a line",
            where=where,
        )
    return found
