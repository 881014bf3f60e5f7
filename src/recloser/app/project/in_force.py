"""Owns the copy of the last project file that could be used, for who must stop a model while the present one cannot.

Kept under `state/`, where the ledger is; a mistake in the file that people edit does not reach it.
"""

from __future__ import annotations

from recloser.app.project.files import replace_file
from recloser.app.project.layout import Layout
from recloser.app.project.settings import FILE_NAME, Project, parse_project
from recloser.core import InvalidInput

KEPT = "project-in-force.toml"


def keep_settings(layout: Layout) -> None:
    """Keep the project file as it is now if it can be used; a disk that takes no file now is no reason to end."""
    try:
        now = (layout.root / FILE_NAME).read_bytes()
        kept = layout.state / KEPT
        if kept.exists() and kept.read_bytes() == now:
            return
        parse_project(now.decode("utf-8-sig"), FILE_NAME)  # it may be another one by now than was opened
        replace_file(kept, now)
        kept.chmod(0o600)
    except (OSError, UnicodeDecodeError, InvalidInput):
        return


def kept_settings(layout: Layout) -> Project | None:
    """Return the settings that could be used last, None if none were kept."""
    kept = layout.state / KEPT
    try:
        return parse_project(kept.read_bytes().decode("utf-8-sig"), str(kept))
    except (OSError, UnicodeDecodeError, InvalidInput):
        return None
