"""Owns the interval length of a new project: as its first file has it, written into the project file. Reads no data."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

from recloser.app.project.files import replace_file
from recloser.app.project.settings import FILE_NAME, Project, fitting_minutes, parse_project
from recloser.core import InvalidInput, Unavailable

PLACE = re.compile(r"^[ \t]*#?[ \t]*resolution_minutes[ \t]*=.*$", re.MULTILINE)
HEAD = re.compile(r"^[ \t]*\[project\][ \t]*(#.*)?$", re.MULTILINE)


def fits(project: Project, step: timedelta | None) -> bool:
    """Return whether a file's usual step can be the project's interval length."""
    minutes = 0.0 if step is None else step / timedelta(minutes=1)
    return minutes == int(minutes) and int(minutes) in fitting_minutes(project.zone)


def with_resolution(project: Project, step: timedelta) -> Project:
    """Return the project with that interval length."""
    section = project.project.model_copy(update={"resolution_minutes": int(step / timedelta(minutes=1))})
    return project.model_copy(update={"project": section})


def write_resolution(folder: Path, step: timedelta) -> str:
    """Write the interval length into the project file, where the template has its place, and return a note.

    Raises:
        InvalidInput: the file has no [project] table to write it into.
        Unavailable: it cannot be written.
    """
    path, minutes = folder / FILE_NAME, int(step / timedelta(minutes=1))
    text = path.read_text(encoding="utf-8")
    line = f"resolution_minutes = {minutes}   # as found in the first file"
    new, count = PLACE.subn(line, text, count=1)
    if not count:
        new, count = HEAD.subn(lambda found: f"{found.group(0)}\n{line}", text, count=1)
    if not count or parse_project(new, str(path)).project.resolution_minutes != minutes:
        raise InvalidInput(
            "no place for the interval length",
            where=str(path),
            expected="a table [project]",
            next_step=f"Write resolution_minutes = {minutes} into it.",
        )
    try:
        replace_file(path, new.encode())
    except OSError as error:
        raise Unavailable("cannot write the project file", got=str(error), where=str(path)) from error
    return f"intervals are {minutes} minutes long, as found in this file; written into {FILE_NAME}"
