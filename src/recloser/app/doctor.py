"""Owns the check-up of an installation and a project. Repairs nothing."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from recloser.app.platform import Platform
from recloser.app.project.settings import FILE_NAME
from recloser.app.security.certificates import read_certificate, state_of, tls_options
from recloser.app.security.tokens import read_tokens
from recloser.core import LOAD, RecloserError, format_utc
from recloser.ledger import RouteRecord

NEEDED = ("polars", "deltalake", "lightgbm", "sqlalchemy", "mlflow-skinny", "cryptography", "starlette", "uvicorn")
EXTRAS = {"kubeflow": "kfp", "postgres": "psycopg", "onnx": "onnxruntime", "grpc": "grpc"}
LEAST_FREE_GB = 1.0

Check = dict[str, str]


def check_installation(folder: Path) -> dict[str, Any]:
    """Check Python, libraries, disk, and the project in `folder` if there is one.

    Returns:
        {"ok", "checks": [{"name", "state": ok|note|FAIL, "detail"}]}.
    """
    checks = [_python(), *_libraries(), _disk(folder)]
    if (folder / FILE_NAME).exists():
        checks += _project(folder)
    else:
        checks.append(_check("project", "note", f"no {FILE_NAME} in {folder}; 'recloser init' makes one"))
    return {"ok": all(check["state"] != "FAIL" for check in checks), "checks": checks}


def _check(name: str, state: str, detail: str) -> Check:
    return {"name": name, "state": state, "detail": detail}


def _python() -> Check:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return _check("python", "ok", version)


def _libraries() -> list[Check]:
    checks = []
    for name in NEEDED:
        try:
            checks.append(_check(name, "ok", metadata.version(name)))
        except metadata.PackageNotFoundError:
            checks.append(_check(name, "FAIL", "not installed; install recloser again"))
    for extra, module in EXTRAS.items():
        there = find_spec(module) is not None
        detail = "installed" if there else f"not installed (optional: pip install 'recloser[{extra}]')"
        checks.append(_check(f"extra {extra}", "ok" if there else "note", detail))
    return checks


def _disk(folder: Path) -> Check:
    here = folder if folder.exists() else Path()
    free = shutil.disk_usage(here).free / 1e9
    return _check("disk", "ok" if free >= LEAST_FREE_GB else "FAIL", f"{free:.1f} GB free")


def _project(folder: Path) -> list[Check]:
    try:
        platform = Platform.open(folder)
    except RecloserError as error:
        return [_check("project", "FAIL", error.explain())]
    with platform:
        checks = [_check("project", "ok", f"{platform.project.project.name}, {len(platform.areas)} areas")]
        parts: list[tuple[str, Callable[[Platform], Check]]] = [
            ("data", _data),
            ("audit", _audit),
            ("champion", _champion),
            ("rollout", _rollout),
            ("access", _access),
            ("tls", _tls),
        ]
        for name, part in parts:
            try:
                checks.append(part(platform))
            except RecloserError as error:
                checks.append(_check(name, "FAIL", error.explain()))
        return checks


def _data(platform: Platform) -> Check:
    extent = platform.store.extent(LOAD)
    if extent is None:
        return _check("data", "note", "no load yet; run 'recloser ingest'")
    missing = sorted(set(platform.areas) - set(platform.store.areas()))
    if missing:
        return _check(
            "data", "FAIL", f"no data of {', '.join(missing[:5])}; check [project] areas and the ingested files"
        )
    return _check("data", "ok", f"load from {format_utc(extent[0])} to {format_utc(extent[1])}")


def _audit(platform: Platform) -> Check:
    result = platform.ledger.verify()
    state = "ok" if result.ok else "FAIL"
    return _check(
        "audit", state, f"{result.entries} entries" if result.ok else f"broken at {result.first_bad}: {result.reason}"
    )


def _champion(platform: Platform) -> Check:
    route = platform.ledger.get(RouteRecord, "route")
    if route is None or route.champion is None:
        return _check("champion", "note", "none serves yet; run 'recloser run'")
    problem = platform.verify(route.champion)
    return _check("champion", "FAIL" if problem else "ok", problem or f"{route.champion} verifies")


def _rollout(platform: Platform) -> Check:
    plan = platform.project.rollout
    if plan.promotion == "no_evidence_of_harm":
        return _check(
            "rollout",
            "note",
            "promotion 'no_evidence_of_harm' is the weaker policy: absence of evidence promotes; prefer 'evidence'",
        )
    return _check("rollout", "ok", f"promotes on evidence within a margin of {100 * plan.margin:g} %")


def _access(platform: Platform) -> Check:
    known = read_tokens(platform.layout.tokens)
    if known is not None:
        return _check("access", "ok", f"every call of the gateway needs one of {len(known)} tokens")
    host = platform.project.gateway.host
    if host in ("127.0.0.1", "::1", "localhost"):
        return _check("access", "ok", "no tokens; the gateway listens on this host only")
    return _check("access", "note", f"no tokens, and {host} can be reached from elsewhere; see 'recloser token add'")


def _tls(platform: Platform) -> Check:
    tls = platform.project.gateway.tls
    if tls.certificate is None:
        return _check("tls", "ok", "not in use")
    tls_options(platform.layout.root, tls)
    state, why = state_of(read_certificate(platform.layout.root / tls.certificate), platform.clock.now())
    return _check("tls", state, why)
