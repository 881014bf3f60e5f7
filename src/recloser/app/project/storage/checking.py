"""Owns what doctor says of the place of the tables: whether it can be reached, written, and keeps its word."""

from __future__ import annotations

from recloser.app.platform import Platform


def check_storage(platform: Platform) -> dict[str, str]:
    """Write, read and remove one object, and try that a second writer of it is refused.

    Raises:
        Refused: the service does not honour conditional puts.
        Unavailable: the bucket cannot be used now.
    """
    section = platform.project.store
    if section.url is None:
        return {"name": "storage", "state": "ok", "detail": "tables lie in the project's folder"}
    platform.places.series.prove()
    kept = section.credentials_file
    if kept is not None and (platform.layout.root / kept).stat().st_mode & 0o077:
        return {"name": "storage", "state": "note", "detail": f"works, but others can read {kept}: run 'chmod 600'"}
    where = section.url if section.endpoint is None else f"{section.url} at {section.endpoint}"
    if section.endpoint is not None and section.endpoint.startswith("http://"):
        return {"name": "storage", "state": "note", "detail": f"{where} works, but is reached without TLS"}
    return {"name": "storage", "state": "ok", "detail": f"{where}: written, read, listed; conditional puts hold"}
