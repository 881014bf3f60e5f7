"""Owns the check-up of an installation and a project. Repairs nothing."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from recloser.app.cluster.checking import check_cluster, check_kserve
from recloser.app.delivery.telling import check_delivery
from recloser.app.inlets.checking import check_inlets
from recloser.app.links.checking import check_links
from recloser.app.platform import Platform
from recloser.app.project.settings import FILE_NAME
from recloser.app.project.storage.checking import check_storage
from recloser.app.releases.promotion.accepting import check_origins
from recloser.app.security.certificates import read_certificate, state_of, tls_options
from recloser.app.security.oidc.checking import check_sign_in
from recloser.app.security.tokens import read_tokens
from recloser.core import LOAD, RecloserError, Unavailable, format_utc
from recloser.ledger import PinRecord, ReleaseRecord, RouteRecord
from recloser.registry import open_package
from recloser.rollout import unsound

NEEDED = ("polars", "deltalake", "lightgbm", "sqlalchemy", "mlflow-skinny", "cryptography", "starlette", "uvicorn")
EXTRAS = {"kubeflow": "kfp", "postgres": "psycopg", "onnx": "onnxruntime", "grpc": "grpc"}
EXTRAS |= {"s3": "obstore", "oidc": "joserfc"}
EXTRAS |= {"mqtt": "paho", "opcua": "asyncua", "otel": "opentelemetry.exporter.otlp.proto.http"}
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
    elif not folder.exists():
        checks.append(_check("project", "FAIL", f"there is no folder {folder}; check --project"))
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
        there = _there(module)
        detail = "installed" if there else f"not installed (optional: pip install 'recloser[{extra}]')"
        checks.append(_check(f"extra {extra}", "ok" if there else "note", detail))
    return checks


def _there(module: str) -> bool:
    """Tell whether a module could be imported; one inside a package that is not there could not."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


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
            ("storage", check_storage),
            ("data", _data),
            ("clock", _clock),
            ("audit", _audit),
            ("keys", _keys),
            ("lock", _lock),
            ("champion", _champion),
            ("packages", _packages),
            ("registry", _registry),
            ("rollout", _rollout),
            ("access", _access),
            ("tls", _tls),
            ("sign-in", check_sign_in),
            ("links", check_links),
            ("notify", check_delivery),
            ("inlets", check_inlets),
            ("kubeflow", check_cluster),
            ("promotion", check_origins),
            ("kserve", check_kserve),
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
        pins = platform.ledger.find(PinRecord, order_by="at", descending=True, limit=1)
        if pins:
            lost = f"the store is empty, but {pins[0].owner} was trained on its version {pins[0].version}"
            return _check("data", "FAIL", f"{lost}: restore {platform.places.series.uri} from a backup")
        return _check("data", "note", "no load yet; run 'recloser ingest'")
    missing = sorted(set(platform.areas) - set(platform.store.areas()))
    if missing:
        return _check(
            "data", "FAIL", f"no data of {', '.join(missing[:5])}; check [project] areas and the ingested files"
        )
    return _check("data", "ok", f"load from {format_utc(extent[0])} to {format_utc(extent[1])}")


def _clock(platform: Platform) -> Check:
    """A clock that is behind, or data of another zone, shows as what was known before now."""
    now = platform.clock.now()
    extent = platform.store.extent(LOAD)
    if extent is not None and extent[1] > now:
        detail = f"it is {format_utc(now)}, but there is load of {format_utc(extent[1])}"
        return _check("clock", "FAIL", f"{detail}; set the clock, or check zone and stamp of the ingested files")
    return _check("clock", "ok", format_utc(now))


def _audit(platform: Platform) -> Check:
    result = platform.ledger.verify()
    state = "ok" if result.ok else "FAIL"
    return _check(
        "audit", state, f"{result.entries} entries" if result.ok else f"broken at {result.first_bad}: {result.reason}"
    )


def _keys(platform: Platform) -> Check:
    keys = platform.trusted
    revoked = sum(bool(key.revoked) for key in keys)
    told = f"{platform.signer.public_key.key_id} signs; {len(keys) - revoked} trusted, {revoked} revoked"
    if platform.trust.revoked(platform.signer.public_key.key_id):
        return _check("keys", "FAIL", f"{told}; the one that signs is revoked: run 'recloser key rotate'")
    return _check("keys", "ok", told)


def _lock(platform: Platform) -> Check:
    """What is installed should be what is locked: packages say what differs, and bundles install the lock."""
    around = platform.surroundings()
    if not around.pins:
        return _check("lock", "note", "no lock: packages cannot say which hashes they need; see [package] lock")
    names = sorted(around.differing)
    if names:
        some = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        return _check("lock", "note", f"installed otherwise than locked: {some}")
    return _check("lock", "ok", f"{len(around.pins)} libraries as locked")


def _champion(platform: Platform) -> Check:
    route = platform.ledger.get(RouteRecord, "route")
    if route is None or route.champion is None:
        return _check("champion", "note", "none serves yet; run 'recloser run'")
    try:
        problem = platform.verify(route.champion)
    except Unavailable as error:
        problem = error.explain()
    return _check("champion", "FAIL" if problem else "ok", problem or f"{route.champion} verifies")


def _packages(platform: Platform) -> Check:
    """Every package that the ledger knows must be there and unchanged, and nothing else may be."""
    folder = platform.layout.packages
    known = {record.key: record.digest for record in platform.ledger.find(ReleaseRecord)}
    afar = platform.project.store.url is not None  # what is not here is fetched when it is to serve
    here = {name: digest for name, digest in known.items() if not afar or (folder / name).exists()}
    for release, digest in sorted(here.items()):
        try:
            package = open_package(folder / release, platform.trusted)
        except RecloserError as error:
            return _check("packages", "FAIL", error.explain())
        if package.digest != digest:
            return _check("packages", "FAIL", f"{release} is not the package that the ledger knows")
    found = {path.name for path in folder.iterdir() if path.is_dir() and path.name.startswith("rel-")}
    if not known and found:
        detail = f"{len(found)} package(s), such as {min(found)}, but the ledger knows no release"
        return _check("packages", "FAIL", f"{detail}: it was lost or replaced; restore it from a backup")
    rest = f", {len(known) - len(here)} not on this host" if len(here) < len(known) else ""
    return _check("packages", "ok", f"{len(here)} verify{rest}")


def _registry(platform: Platform) -> Check:
    champion = platform.registry.resolve("champion")
    return _check(
        "registry", "ok", "no champion yet" if champion is None else f"champion is version {champion.version}"
    )


def _rollout(platform: Platform) -> Check:
    plan = platform.project.rollout
    wrong = unsound(plan.plan())
    if wrong:
        return _check("rollout", "FAIL", "statistically unsound: " + "; ".join(wrong))
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
