"""Owns what is asked of a Kubernetes API server about InferenceServices, and how it answers. Decides nothing.

Every write asks for strict validation: KServe's resource definition drops unknown fields silently, so that a misspelt
one would otherwise be taken for done.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from recloser.connectors.rest import Answer, Rest, error_of
from recloser.core import InvalidInput, Unavailable
from recloser.serving.kserve.manifest import GROUP, MANAGER, VERSION
from recloser.serving.kserve.states import ServiceState, read_service

PLURAL = "inferenceservices"
PAGE = 250
BUSY, GONE, CONFLICT, MISSING = 429, 410, 409, 404
STRICT = {"fieldValidation": "Strict", "fieldManager": "recloser"}
VERBS = ("get", "list", "watch", "create", "update", "delete")
"""What the router does with InferenceServices, and so what its Role must allow."""


class Busy(Unavailable):
    """The API server asks to be left alone for `wait_s` seconds."""

    def __init__(self, answer: Answer, where: str) -> None:
        super().__init__("the API server is busy", got=f"{answer.status} {answer.sentence}", where=where)
        self.wait_s = 1.0 if answer.retry_after_s is None else answer.retry_after_s


class Expired(Unavailable):
    """The API server no longer knows the version that a watch would go on from: list anew."""


@dataclass(frozen=True, slots=True)
class Listing:
    """All InferenceServices of ours at one version of the collection."""

    services: tuple[ServiceState, ...]
    version: str


@dataclass(frozen=True, slots=True)
class Event:
    """A line of a watch: ADDED, MODIFIED, DELETED or BOOKMARK; `service` is None for a bookmark."""

    kind: str
    version: str
    service: ServiceState | None = None


class KServeApi:
    """The calls that are used; thread safe.

    Args:
        rest: the API server.
        namespace: of the InferenceServices.
    """

    def __init__(self, rest: Rest, namespace: str) -> None:
        self._rest = rest
        self._namespace = namespace
        self._path = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}"
        self._ours = {"labelSelector": f"{MANAGER[0]}={MANAGER[1]}"}

    def listing(self) -> Listing:
        """Return all InferenceServices that Recloser made in the namespace, at one version.

        Raises:
            Expired: the list took so long that its pages are of different times.
            InvalidInput: KServe is not installed, or the namespace does not exist.
            Refused, Unavailable: as `Rest.call`.
        """
        found: list[ServiceState] = []
        token = ""
        while True:
            query = {**self._ours, "limit": PAGE, **({"continue": token} if token else {})}
            answer = self._rest.call("GET", self._path, query, expect=(GONE, MISSING))
            if answer.status == GONE:
                raise Expired("the pages of the list have expired", got=answer.sentence, where=self._path)
            if answer.status == MISSING:
                raise InvalidInput(
                    "the API server knows no InferenceServices",
                    got=answer.sentence,
                    where=self._path,
                    next_step="Install KServe, or check [kserve] namespace.",
                )
            metadata = answer.document.get("metadata")
            if not isinstance(metadata, Mapping) or not isinstance(answer.document.get("items"), list):
                raise Unavailable("the API answered something that is no list", where=self._path)
            found += [read_service(item) for item in answer.document["items"]]
            token = str(metadata.get("continue") or "")
            if not token:
                return Listing(tuple(found), str(metadata.get("resourceVersion", "")))

    def find(self, name: str) -> ServiceState | None:
        """Return an InferenceService by its name, whoever made it; None if there is none.

        Raises:
            InvalidInput, Refused, Unavailable: as `Rest.call`.
        """
        answer = self._rest.call("GET", f"{self._path}/{name}", expect=(MISSING,))
        return None if answer.status == MISSING else read_service(answer.document)

    def create(self, manifest: Mapping[str, Any]) -> ServiceState | None:
        """Make an InferenceService; None if there is one of its name.

        Raises:
            Busy: later, please.
            InvalidInput: the API server finds fault with the manifest.
            Refused, Unavailable: as `Rest.call`; after Unavailable it may have been made.
        """
        return self._write("POST", self._path, manifest, lost=(CONFLICT,))

    def replace(self, manifest: Mapping[str, Any], known: ServiceState) -> ServiceState | None:
        """Ask for another spec; None if somebody changed or deleted it since it was read.

        Raises:
            Busy, InvalidInput, Refused, Unavailable: as `create`.
        """
        metadata = {**manifest["metadata"], "resourceVersion": known.version, "uid": known.uid}
        body = {**manifest, "metadata": metadata}
        return self._write("PUT", f"{self._path}/{known.name}", body, lost=(CONFLICT, MISSING))

    def delete(self, known: ServiceState) -> bool:
        """Delete exactly the object that was read; False if it is another by now, or gone.

        Raises:
            Busy, InvalidInput, Refused, Unavailable: as `create`.
        """
        conditions = {"uid": known.uid, "resourceVersion": known.version}
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": conditions}
        path = f"{self._path}/{known.name}"
        answer = self._rest.call("DELETE", path, body=body, expect=(CONFLICT, MISSING, BUSY))
        if answer.status == BUSY:
            raise Busy(answer, path)
        return answer.good

    def watch(self, version: str, *, silence_s: float) -> Iterator[Event]:
        """Yield what happens after `version` until the server ends the watch, which it does now and then.

        Args:
            version: of a listing, or of the last event.
            silence_s: without any line for so long the connection counts as dead; bookmarks come more often.

        Raises:
            Expired: the version is too old.
            InvalidInput, Refused, Unavailable: as `Rest.lines`.
        """
        query = {
            **self._ours,
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": max(1, round(silence_s)),
        }
        try:
            for line in self._rest.lines(self._path, query, silence_s=silence_s + 5.0):
                yield _event(line, self._path)
        except InvalidInput as error:
            if str(error.got).startswith(str(GONE)):
                raise Expired("the watch is too old", got=error.got, where=self._path) from error
            raise

    def may(self, verb: str) -> bool:
        """Tell whether this caller may do so with InferenceServices of the namespace.

        Raises:
            InvalidInput, Refused, Unavailable: as `Rest.call`.
        """
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        asked = {"namespace": self._namespace, "verb": verb, "group": GROUP, "resource": PLURAL}
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": asked},
        }
        status = self._rest.call("POST", path, body=body).document.get("status")
        return isinstance(status, Mapping) and status.get("allowed") is True

    def served(self) -> tuple[str, ...]:
        """Return the versions of KServe's API that the server serves, the preferred one first; empty without KServe.

        Raises:
            InvalidInput, Refused, Unavailable: as `Rest.call`.
        """
        answer = self._rest.call("GET", f"/apis/{GROUP}", expect=(MISSING,))
        return tuple(str(item["version"]) for item in answer.document.get("versions") or ())

    def accepts(self, manifest: Mapping[str, Any]) -> str:
        """Return why the server would not take a manifest, empty if it would; a dry run, nothing is kept.

        Raises:
            Refused, Unavailable: as `Rest.call`.
        """
        try:
            answer = self._rest.call("POST", self._path, {**STRICT, "dryRun": "All"}, manifest, expect=(CONFLICT,))
        except InvalidInput as error:
            return str(error.got)
        return "" if answer.good or answer.status == CONFLICT else answer.sentence

    def _write(self, method: str, path: str, body: Mapping[str, Any], lost: tuple[int, ...]) -> ServiceState | None:
        answer = self._rest.call(method, path, STRICT, body, expect=(*lost, BUSY))
        if answer.status == BUSY:
            raise Busy(answer, path)
        return None if answer.status in lost else read_service(answer.document)


def _event(line: Mapping[str, Any], where: str) -> Event:
    kind, item = str(line.get("type", "")), line.get("object")
    if not isinstance(item, Mapping):
        raise Unavailable("a watch that cannot be read", got=str(dict(line))[:200], where=where)
    if kind == "ERROR":
        answer = Answer(int(item.get("code") or 500), dict(item))
        if answer.status == GONE:
            raise Expired("the watch is too old", got=answer.sentence, where=where)
        raise error_of(answer, where)
    if kind == "BOOKMARK":
        metadata = item.get("metadata")
        version = metadata.get("resourceVersion") if isinstance(metadata, Mapping) else None
        return Event(kind, str(version or ""))
    service = read_service(item)
    return Event(kind, service.version, service)
