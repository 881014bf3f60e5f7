"""Owns the tables of the project file about finished releases: `[package]`, `[lineage]`. Opens nothing they name."""

from __future__ import annotations

from recloser.app.project.tables.section import Section


class PackageSection(Section):
    """What goes into packages: `[package]`; file names are relative to the project."""

    lock: str | None = None


class LineageSection(Section):
    """Where OpenLineage events go: `[lineage]`; the file is relative to the project."""

    file: str = "state/lineage.jsonl"
    url: str | None = None
