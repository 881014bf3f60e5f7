"""Owns a Kubernetes API server for tests: InferenceServices over HTTP with versions, watches, conflicts and rights.

What it refuses, it refuses as a real one does: with a Status document and its reason.
"""

from __future__ import annotations

import copy
import itertools
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from recloser.testing.apis.http_api import HttpApi, Reply
from recloser.testing.apis.kserve_definition import problems

GROUP, VERSION = "serving.kserve.io", "v1beta1"
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete")
REASONS = {400: "BadRequest", 403: "Forbidden", 404: "NotFound", 409: "Conflict", 410: "Expired", 422: "Invalid"}
Document = dict[str, Any]


def failure(code: int, message: str, reason: str = "") -> Document:
    """Return a Status document of a failure."""
    said = reason or REASONS.get(code, "InternalError")
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": said, "code": code}


class KubeServer(HttpApi):
    """An API server with KServe installed, and one namespace.

    Args:
        token: what callers must send, None for none.
        namespace: that exists.
        page: most items of one page of a list, whatever was asked for.

    Attributes:
        allowed: verbs that the caller may use on InferenceServices.
        complaints: what was wrong with manifests that were refused.
        installed: False: KServe is not there.
        bookmark_s: between two bookmarks of a watch.
        changed: called after each change with the name of what changed.
        graceful: deleting only marks an object, `finish` removes it.
    """

    def __init__(self, token: str | None = None, namespace: str = "recloser", page: int = 2) -> None:
        super().__init__(self._dispatch, token)
        self.namespace, self._page = namespace, page
        self.allowed = set(VERBS)
        self.complaints: list[str] = []
        self.installed, self.graceful, self.bookmark_s = True, False, 0.2
        self.changed: Callable[[str], None] = lambda _name: None
        self._state = threading.Condition()
        self._versions = itertools.count(1000)
        self._version = 1000
        self._objects: dict[str, Document] = {}
        self._log: list[tuple[int, str, Document]] = []
        self._oldest = 0
        self._broken = 0
        self._pages: dict[str, tuple[int, list[Document]]] = {}

    def objects(self) -> dict[str, Document]:
        """Return the InferenceServices by name."""
        with self._state:
            return copy.deepcopy(self._objects)

    def set_status(self, name: str, status: Mapping[str, Any]) -> None:
        """Set the status of an object, as KServe's controller does; nothing if it is gone."""
        with self._state:
            if name in self._objects and self._objects[name].get("status") != status:
                self._put(name, {**self._objects[name], "status": dict(status)}, "MODIFIED")

    def edit(self, name: str, change: Callable[[Document], None]) -> None:
        """Change an object by hand, past all checks."""
        with self._state:
            document = copy.deepcopy(self._objects[name])
            change(document)
            self._put(name, document, "MODIFIED")

    def put(self, document: Document) -> None:
        """Make an object as somebody else would, past all checks."""
        with self._state:
            self._put(str(document["metadata"]["name"]), self._born(document), "ADDED")

    def remove(self, name: str) -> None:
        """Delete an object as somebody else would, or finish a deletion."""
        with self._state:
            self._gone(name)

    def compact(self) -> None:
        """Forget old versions: watches and pages that need them get 410."""
        with self._state:
            self._oldest = self._version
            self._log.clear()
            self._pages.clear()
            self._state.notify_all()

    def break_watches(self) -> None:
        """Break every open watch off within a line."""
        with self._state:
            self._broken += 1
            self._state.notify_all()

    def _dispatch(
        self, method: str, path: str, query: dict[str, str], body: Document | None, headers: Mapping[str, str]
    ) -> Reply:
        del headers
        if path == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews" and method == "POST":
            return self._review(body or {})
        if not self.installed:
            return Reply(404, failure(404, "the server could not find the requested resource"))
        if path == f"/apis/{GROUP}":
            version = {"groupVersion": f"{GROUP}/{VERSION}", "version": VERSION}
            return Reply(200, {"kind": "APIGroup", "name": GROUP, "versions": [version], "preferredVersion": version})
        parts = path.strip("/").split("/")
        if parts[:3] != ["apis", GROUP, VERSION] or parts[3:4] != ["namespaces"] or parts[5:6] != ["inferenceservices"]:
            return Reply(404, failure(404, "the server could not find the requested resource"))
        name = parts[6] if len(parts) == 7 else ""
        verb = self._verb(method, query, name)
        if verb not in self.allowed or parts[4] != self.namespace:
            told = f'User "recloser" cannot {verb} resource "inferenceservices" in the namespace "{parts[4]}"'
            return Reply(403, failure(403, f"inferenceservices.{GROUP} is forbidden: {told}"))
        with self._state:
            if verb == "watch":
                return self._watch(query)
            if verb == "list":
                return self._list(query)
            return getattr(self, f"_{verb}")(name, query, body or {})  # type: ignore[no-any-return]

    def _verb(self, method: str, query: Mapping[str, str], name: str) -> str:
        if method == "GET" and not name:
            return "watch" if query.get("watch") in {"true", "1"} else "list"
        return {"GET": "get", "POST": "create", "PUT": "update", "DELETE": "delete"}.get(method, "patch")

    def _review(self, body: Document) -> Reply:
        asked = body.get("spec", {}).get("resourceAttributes", {})
        fits = asked.get("group") == GROUP and asked.get("namespace") == self.namespace
        allowed = fits and asked.get("verb") in self.allowed
        return Reply(201, {**body, "status": {"allowed": allowed}})

    def _get(self, name: str, query: Mapping[str, str], body: Document) -> Reply:
        del query, body
        return Reply(200, self._objects[name]) if name in self._objects else self._missing(name)

    def _create(self, name: str, query: Mapping[str, str], body: Document) -> Reply:
        name = str(body.get("metadata", {}).get("name", ""))
        wrong = self._wrong(query, body)
        if wrong is not None:
            return wrong
        if name in self._objects:
            told = f'inferenceservices.{GROUP} "{name}" already exists'
            return Reply(409, failure(409, told, "AlreadyExists"))
        document = self._born(body)
        if query.get("dryRun") == "All":
            return Reply(201, document)
        return Reply(201, self._put(name, document, "ADDED"))

    def _update(self, name: str, query: Mapping[str, str], body: Document) -> Reply:
        if name not in self._objects:
            return self._missing(name)
        wrong = self._wrong(query, body)
        if wrong is not None:
            return wrong
        old, given = self._objects[name]["metadata"], body["metadata"]
        if given.get("uid") not in (None, old["uid"]) or given.get("resourceVersion") != old["resourceVersion"]:
            told = "the object has been modified; please apply your changes to the latest version and try again"
            return Reply(409, failure(409, f'Operation cannot be fulfilled on inferenceservices "{name}": {told}'))
        kept = {key: old[key] for key in ("uid", "creationTimestamp", "deletionTimestamp") if key in old}
        metadata = {**given, **kept, "generation": old["generation"] + 1}
        document = {**body, "metadata": metadata, "status": self._objects[name].get("status", {})}
        return Reply(200, self._put(name, document, "MODIFIED"))

    def _delete(self, name: str, query: Mapping[str, str], body: Document) -> Reply:
        del query
        if name not in self._objects:
            return self._missing(name)
        metadata = self._objects[name]["metadata"]
        for key, asked in (body.get("preconditions") or {}).items():
            if metadata.get(key) != asked:
                told = f"Precondition failed: {key} in precondition: {asked}, in object meta: {metadata.get(key)}"
                return Reply(409, failure(409, told))
        if self.graceful:
            marked = {**metadata, "deletionTimestamp": _now()}
            return Reply(202, self._put(name, {**self._objects[name], "metadata": marked}, "MODIFIED"))
        self._gone(name)
        return Reply(200, {"kind": "Status", "status": "Success"})

    def _wrong(self, query: Mapping[str, str], body: Document) -> Reply | None:
        found = problems(body)
        if not found:
            return None
        self.complaints += found
        if query.get("fieldValidation") != "Strict" and all("unknown field" in item for item in found):
            return None  # dropped without a word, as the API server does
        return Reply(422, failure(422, "; ".join(found)))

    def _born(self, body: Document) -> Document:
        uid = str(uuid.uuid4())
        metadata = {**body["metadata"], "uid": uid, "creationTimestamp": _now(), "generation": 1}
        spec = copy.deepcopy(body.get("spec", {}))
        # What KServe's defaulting webhook adds to what was asked for.
        for container in spec.get("predictor", {}).get("containers", ()):
            container.setdefault("resources", {}).setdefault("limits", {}).setdefault("cpu", "1")
        return {**body, "metadata": metadata, "spec": spec, "status": {}}

    def _put(self, name: str, document: Document, kind: str) -> Document:
        self._version = next(self._versions)
        metadata = {**document["metadata"], "resourceVersion": str(self._version)}
        self._objects[name] = document = {**document, "metadata": metadata}
        self._tell(name, kind, document)
        return document

    def _gone(self, name: str) -> None:
        document = self._objects.pop(name, None)
        if document is not None:
            self._version = next(self._versions)
            metadata = {**document["metadata"], "resourceVersion": str(self._version)}
            self._tell(name, "DELETED", {**document, "metadata": metadata})

    def _tell(self, name: str, kind: str, document: Document) -> None:
        self._log.append((self._version, kind, copy.deepcopy(document)))
        self._state.notify_all()
        self.changed(name)

    def _missing(self, name: str) -> Reply:
        return Reply(404, failure(404, f'inferenceservices.{GROUP} "{name}" not found'))

    def _list(self, query: Mapping[str, str]) -> Reply:
        token = query.get("continue", "")
        if token and token not in self._pages:
            return Reply(410, failure(410, "The provided continue parameter is too old"))
        found = [item for item in self._objects.values() if _chosen(item, query)]
        version, left = self._pages.pop(token) if token else (self._version, copy.deepcopy(found))
        size = min(self._page, int(query.get("limit") or len(left) or 1))
        metadata: Document = {"resourceVersion": str(version)}
        if len(left) > size:
            metadata["continue"] = uuid.uuid4().hex
            self._pages[metadata["continue"]] = (version, left[size:])
        kind = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "InferenceServiceList"}
        return Reply(200, {**kind, "metadata": metadata, "items": left[:size]})

    def _watch(self, query: Mapping[str, str]) -> Reply:
        since = int(query.get("resourceVersion") or self._version)
        if since < self._oldest:
            return Reply(200, stream=iter([{"type": "ERROR", "object": failure(410, "too old resource version")}]))
        return Reply(200, stream=self._events(since, query, self._broken))

    def _events(self, since: int, query: Mapping[str, str], broken: int) -> Iterator[Document]:
        end = time.monotonic() + float(query.get("timeoutSeconds") or 300)
        while time.monotonic() < end and not self.ended.is_set():
            with self._state:
                if self._broken != broken:
                    raise ConnectionError("told to break off")
                news = [item for item in self._log if item[0] > since]
                if not news and since >= self._oldest:
                    self._state.wait(self.bookmark_s)
                    news = [item for item in self._log if item[0] > since]
                version, expired = self._version, since < self._oldest
            if expired:
                yield {"type": "ERROR", "object": failure(410, "too old resource version")}
                return
            for number, kind, document in news:
                since = number
                if _chosen(document, query):
                    yield {"type": kind, "object": json.loads(json.dumps(document, default=str))}
            if not news and query.get("allowWatchBookmarks") == "true":
                since = version
                mark = {"kind": "InferenceService", "apiVersion": f"{GROUP}/{VERSION}"}
                yield {"type": "BOOKMARK", "object": {**mark, "metadata": {"resourceVersion": str(version)}}}


def _chosen(document: Document, query: Mapping[str, str]) -> bool:
    labels = document["metadata"].get("labels") or {}
    pairs = [part.partition("=") for part in query.get("labelSelector", "").split(",") if part]
    return all(labels.get(name) == text for name, _, text in pairs)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
