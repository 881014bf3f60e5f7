"""Owns what is to be done about the InferenceServices of a project, purely of what is wanted and what is there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from recloser.serving.kserve.manifest import MANIFEST, ServicePlan, inference_service, service_name
from recloser.serving.kserve.states import ServiceState


class Deed(StrEnum):
    """What may be done to one InferenceService."""

    CREATE = "create"
    REPLACE = "replace"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do.

    Attributes:
        deed: what.
        release: whose InferenceService.
        manifest: what to ask for, None to delete.
        known: the object as it was read, None if there is none.
    """

    deed: Deed
    release: str
    manifest: Mapping[str, Any] | None = None
    known: ServiceState | None = None


def steps(
    plan: ServicePlan,
    wanted: Mapping[str, str],
    found: Iterable[ServiceState],
    unwanted_since: Mapping[str, datetime],
    before: datetime,
) -> tuple[Step, ...]:
    """Return what brings the cluster nearer to what is wanted; starting comes first, deleting last.

    Done twice, or broken off anywhere and begun again, the same state is reached: each step is about one object and
    names the version that it was decided on. An object that is being deleted is waited for. What nobody wants any more
    is kept for a while, because a rollback may return to it.

    Args:
        plan: of the project.
        wanted: release -> digest of its package.
        found: what is there, of all projects in the namespace.
        unwanted_since: release -> since when nobody wants it (aware UTC).
        before: what nobody has wanted since then or earlier goes.
    """
    ours = {state.name: state for state in found if state.owner == plan.project}
    done: list[Step] = []
    for release, digest in sorted(wanted.items()):
        manifest = inference_service(plan, release, digest)
        known = ours.pop(service_name(plan.project, release), None)
        if known is None:
            done.append(Step(Deed.CREATE, release, manifest))
        elif not known.leaving and not as_wanted(known, manifest):
            done.append(Step(Deed.REPLACE, release, manifest, known))
    gone = [state for state in ours.values() if not state.leaving and state.release in unwanted_since]
    return (
        *done,
        *(Step(Deed.DELETE, s.release, None, s) for s in gone if unwanted_since[s.release] <= before),
    )


def as_wanted(known: ServiceState, manifest: Mapping[str, Any]) -> bool:
    """Tell whether an object is what the manifest asks for; what the cluster added by default does not count."""
    noted = known.manifest == manifest["metadata"]["annotations"][MANIFEST]
    return noted and contains(known.spec, manifest["spec"])


def contains(found: Any, wanted: Any) -> bool:
    """Tell whether everything wanted is there; mappings may hold more, lists may not."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(
            name in found and contains(found[name], item) for name, item in wanted.items()
        )
    if isinstance(wanted, list):
        same = isinstance(found, list) and len(found) == len(wanted)
        return same and all(contains(a, b) for a, b in zip(found, wanted, strict=True))
    return bool(found == wanted)


def since_when(
    before: Mapping[str, datetime], found: Iterable[ServiceState], wanted: Iterable[str], now: datetime
) -> dict[str, datetime]:
    """Return since when nobody wants each release that has an InferenceService; a wanted one is not among them."""
    needed = set(wanted)
    return {state.release: before.get(state.release, now) for state in found if state.release not in needed}


WAIT, LONGEST_WAIT = timedelta(seconds=10), timedelta(minutes=10)


def next_try(count: int, at: datetime) -> datetime:
    """Return when an object that does not stay as it was asked for may be replaced again, after `count` times."""
    return at + min(WAIT * (1 << min(count, 10)), LONGEST_WAIT)
