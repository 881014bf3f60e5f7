"""Owns what goes in and comes out of reading a delivery: inlet, delivery, what is wanted or why nothing is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any

from recloser.triggers.trigger import Trigger, TriggerKind


class InletKind(StrEnum):
    """Whose deliveries an inlet reads."""

    GITHUB = "github"
    GITLAB = "gitlab"
    GITEA = "gitea"
    CLOUDEVENTS = "cloudevents"
    MLFLOW = "mlflow"


@dataclass(frozen=True, slots=True)
class Inlet:
    """One way in for requests to retrain.

    Attributes:
        name: of the inlet, part of its address.
        kind: see `InletKind`; GITEA is Forgejo too.
        secrets: any of them proves a sender; several while one is being replaced. Empty: only a token's owner may ask.
        refs: branches or tags whose pushes ask, in full or as a name; of git.
        paths: only pushes that change something below one of them ask; empty: every push. Of git.
        events: types that ask; of CloudEvents and MLflow.
        models: registered models whose events ask; empty: every model. Of MLflow.
        own_model: this project's registered model, whose aliases follow its rollouts; of MLflow.
        kind_of_trigger: what an event counts as; of CloudEvents.
        areas: of the project; an event may name some of them.
        people: name at the sender -> name of the person here, for the two-person rule; others keep their name.
        tolerance: a signed time may be so far from now.
    """

    name: str
    kind: InletKind
    secrets: tuple[bytes, ...] = ()
    refs: tuple[str, ...] = ("main", "master")
    paths: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    own_model: str = ""
    kind_of_trigger: TriggerKind = TriggerKind.API
    areas: tuple[str, ...] = ()
    people: Mapping[str, str] = field(default_factory=dict)
    tolerance: timedelta = timedelta(minutes=5)

    def person(self, name: str) -> str:
        """Return who somebody at the sender is here, without what could deceive a reader of the log."""
        clean = "".join(c if c.isprintable() else "?" for c in name).strip()[:100]
        return self.people.get(clean, clean)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A request as it came.

    Attributes:
        headers: names in lower case.
        body: the very bytes that were signed.
        holder: owner of a bearer token that may ask for retrainings, who is proven by it; empty without one.
    """

    headers: Mapping[str, str]
    body: bytes
    holder: str = ""

    def header(self, name: str) -> str:
        """Return a header without blanks around it, empty if it is not there."""
        return self.headers.get(name, "").strip()


@dataclass(frozen=True, slots=True)
class Wanted:
    """A delivery that asks for a retraining: the trigger, the sender's id of the delivery, what is told of it."""

    trigger: Trigger
    delivery: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ignored:
    """A delivery that is genuine and asks for nothing, and why."""

    delivery: str
    why: str
