"""Owns reading what the cluster tells of an InferenceService. Asks and decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from recloser.core import Unavailable
from recloser.serving.kserve.manifest import MANAGER, MANIFEST, PROJECT, RELEASE


@dataclass(frozen=True, slots=True)
class ServiceState:
    """An InferenceService as the API server last told.

    Attributes:
        name: of the object.
        uid: of this object; one made again under the same name has another.
        version: its resourceVersion, which is given back unread.
        owner: the project it belongs to, None if Recloser did not make it.
        release: that it runs, empty if it is not ours.
        manifest: digest of the spec that was asked for, as noted on it.
        ready: whether KServe says that it answers.
        leaving: whether it is being deleted.
        url: where it is reached within the cluster, None before KServe has said so.
        problem: why it is not ready, in the words of the cluster; empty if nothing is said.
        spec: what the cluster is asked to run, with what was added by default.
    """

    name: str
    uid: str
    version: str
    owner: str | None
    release: str
    manifest: str
    ready: bool = False
    leaving: bool = False
    url: str | None = None
    problem: str = ""
    spec: Mapping[str, Any] = field(default_factory=dict)


def read_service(document: Mapping[str, Any]) -> ServiceState:
    """Return the state of an InferenceService in JSON; whatever is missing in its status is not known.

    Raises:
        Unavailable: it is none.
    """
    metadata = _mapping(document.get("metadata"))
    if not metadata.get("name") or not metadata.get("uid"):
        raise Unavailable("the API answered something that is no object", got=str(dict(document))[:200])
    labels, notes = _mapping(metadata.get("labels")), _mapping(metadata.get("annotations"))
    ours = labels.get(MANAGER[0]) == MANAGER[1]
    status = _mapping(document.get("status"))
    conditions = [item for item in status.get("conditions") or () if isinstance(item, Mapping)]
    ready = any(item.get("type") == "Ready" and item.get("status") == "True" for item in conditions)
    return ServiceState(
        name=str(metadata["name"]),
        uid=str(metadata["uid"]),
        version=str(metadata.get("resourceVersion", "")),
        owner=str(labels.get(PROJECT, "")) if ours else None,
        release=str(labels.get(RELEASE, "")) if ours else "",
        manifest=str(notes.get(MANIFEST, "")),
        ready=ready and not metadata.get("deletionTimestamp"),
        leaving=bool(metadata.get("deletionTimestamp")),
        url=_address(status),
        problem="" if ready else _problem(conditions, status),
        spec=_mapping(document.get("spec")),
    )


def _address(status: Mapping[str, Any]) -> str | None:
    """Return the address within the cluster; `status.url` would lead through an ingress."""
    url = str(_mapping(status.get("address")).get("url") or "")
    try:
        parts = urlsplit(url)
        return url.rstrip("/") if parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0 else None
    except ValueError:
        return None


def _problem(conditions: list[Mapping[str, Any]], status: Mapping[str, Any]) -> str:
    failure = _mapping(_mapping(status.get("modelStatus")).get("lastFailureInfo"))
    said = [failure.get("message") or failure.get("reason")]
    said += [item.get("message") or item.get("reason") for item in conditions if item.get("status") == "False"]
    return "; ".join(dict.fromkeys(str(text)[:300] for text in said if text))


def _mapping(item: Any) -> Mapping[str, Any]:
    return item if isinstance(item, Mapping) else {}
