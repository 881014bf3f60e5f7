"""Owns turning audit entries into OpenLineage events (spec 2-0-2). Pure; sends and stores nothing.

The audit log is the truth, so lineage is drawn from it afterwards: equal entries give equal events, ids included.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from recloser.core import digest_of, format_utc
from recloser.ledger import Entry

SCHEMA = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
VERSION_FACET = (
    "https://openlineage.io/spec/facets/1-0-1/DatasetVersionDatasetFacet.json#/$defs/DatasetVersionDatasetFacet"
)
ERROR_FACET = "https://openlineage.io/spec/facets/1-0-1/ErrorMessageRunFacet.json#/$defs/ErrorMessageRunFacet"
FACTS_FACET = "urn:recloser:lineage-facts:1"

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class LineageContext:
    """What entries do not say themselves.

    Attributes:
        project: names the namespace.
        version: of Recloser.
        snapshots: run -> (store version, digest) that it was trained on.
        digests: release -> content digest.
    """

    project: str
    version: str
    snapshots: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        """Return the namespace of jobs and data sets."""
        return f"recloser://{self.project}"

    @property
    def producer(self) -> str:
        """Return who makes the events, a URI."""
        return f"urn:recloser:{self.version}"


def lineage_events(entries: Iterable[Entry], context: LineageContext) -> list[Event]:
    """Return the events of audit entries, in order; entries that move no data have none."""
    return [event for entry in entries for event in _of(entry, context)]


def _of(entry: Entry, context: LineageContext) -> list[Event]:
    action, facts = entry.action, entry.facts
    if action == "store.ingest":
        source = {"namespace": "file", "name": entry.subject.removeprefix("file:")}
        told = {name: facts.get(name) for name in ("rows", "accepted")}
        data = _samples(context, facts.get("version"))
        return [_event("COMPLETE", entry, context, ("ingest", entry.hash), ([source], [data]), told)]
    if action in {"run.start", "run.done", "run.failed"}:
        return [_run(entry, context)]
    if action in {"staging.pass", "staging.refuse", "staging.hold"}:
        evidence = _version(context, str(facts.get("evidence", "")))
        verdict = {"namespace": context.namespace, "name": f"verdicts/{entry.subject}", "facets": evidence}
        told = {"verdict": action.partition(".")[2], "reason": facts.get("reason")}
        ends = ([_package(context, entry.subject)], [verdict])
        return [_event("COMPLETE", entry, context, ("gate", entry.hash), ends, told)]
    if action == "forecast.issue":
        by = [str(name) for name in facts.get("served_by", [])]
        releases = sorted({name.partition(":")[2] for name in by if name.partition(":")[2].startswith("rel-")})
        inputs = [*(_package(context, name) for name in releases), _samples(context, None)]
        output = {"namespace": context.namespace, "name": f"forecasts/{entry.subject}"}
        told = {"areas": facts.get("areas"), "served_by": by}
        return [_event("COMPLETE", entry, context, ("forecast", entry.hash), (inputs, [output]), told)]
    return []


def _run(entry: Entry, context: LineageContext) -> Event:
    kind = {"run.start": "START", "run.done": "COMPLETE", "run.failed": "FAIL"}[entry.action]
    version, digest = context.snapshots.get(entry.subject, (None, None))
    inputs = [_samples(context, version)]
    candidate = entry.facts.get("candidate")
    outputs = [_package(context, str(candidate))] if candidate else []
    told = {name: entry.facts.get(name) for name in ("trigger", "reason", "verdict") if entry.facts.get(name)}
    if digest:
        told["snapshot"] = digest
    event = _event(kind, entry, context, ("pipeline", entry.subject), (inputs, outputs), told)
    if kind == "FAIL":
        message = str(entry.facts.get("what") or entry.facts.get("reason") or "failed")
        facet = {"_producer": context.producer, "_schemaURL": ERROR_FACET}
        event["run"]["facets"]["errorMessage"] = {**facet, "message": message[:500], "programmingLanguage": "python"}
    return event


def _event(
    kind: str,
    entry: Entry,
    context: LineageContext,
    job: tuple[str, str],
    ends: tuple[list[dict[str, Any]], list[dict[str, Any]]],
    told: Mapping[str, Any],
) -> Event:
    name, identity = job
    facet = {"_producer": context.producer, "_schemaURL": FACTS_FACET, "audit_entry": entry.seq, "actor": entry.actor}
    inputs, outputs = ends
    return {
        "eventType": kind,
        "eventTime": format_utc(entry.at),
        "producer": context.producer,
        "schemaURL": SCHEMA,
        "run": {"runId": run_id(context.project, name, identity), "facets": {"recloser_facts": {**facet, **told}}},
        "job": {"namespace": context.namespace, "name": name},
        "inputs": inputs,
        "outputs": outputs,
    }


def run_id(project: str, job: str, identity: str) -> str:
    """Return the UUID of a run of a job, the same for all of its events and whenever they are drawn."""
    return str(UUID(digest_of([project, job, identity])[:32], version=5))


def _samples(context: LineageContext, version: Any) -> dict[str, Any]:
    data: dict[str, Any] = {"namespace": context.namespace, "name": "store/samples"}
    return data if version is None else {**data, "facets": _version(context, str(version))}


def _package(context: LineageContext, release: str) -> dict[str, Any]:
    data: dict[str, Any] = {"namespace": context.namespace, "name": f"packages/{release}"}
    digest = context.digests.get(release)
    return data if digest is None else {**data, "facets": _version(context, f"sha256:{digest}")}


def _version(context: LineageContext, version: str) -> dict[str, Any]:
    return {"version": {"_producer": context.producer, "_schemaURL": VERSION_FACET, "datasetVersion": version}}
