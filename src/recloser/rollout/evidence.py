"""Owns what a decision about a rollout may look at. Gathers nothing: sources fill it in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from recloser.core import digest_of
from recloser.rollout.paired.pairing import PairedDay
from recloser.rollout.paired.retreat import Harm
from recloser.rollout.people.approval import Approval, told
from recloser.rollout.people.proposers import Proposers
from recloser.rollout.rollout import Rollout


class CommandKind(StrEnum):
    """What an operator may ask of a rollout."""

    ROLLBACK = "rollback"
    HOLD = "hold"
    RESUME = "resume"
    REJECT = "reject"
    OVERRIDE = "override"


@dataclass(frozen=True, slots=True)
class Command:
    """An operator's order; `key` makes it take effect once."""

    key: str
    kind: CommandKind
    actor: str
    reason: str
    role: str | None = None


@dataclass(frozen=True, slots=True)
class CutOff:
    """A gateway has cut the release off by its own guard: why, and what was wrong with the answers, oldest first."""

    reason: str
    failures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that one decision sees; every default means "not known", and not known never promotes.

    Attributes:
        ready: the candidate's package verifies and every gateway has it loaded; None unknown.
        ready_reason: why not.
        target_ready: the same for the release a rollback would return to; None unknown.
        settled: every gateway follows the present route.
        incidents: T0 guard incidents by release, faults of the inputs left out, in the source's window.
        cut_off: T0, a gateway cut the release off under the present route; None: none did.
        input_incidents: T0 incidents caused by bad inputs; shown, never held against a model.
        divergence: T1, consecutive steps with |candidate - champion| over its staging limit.
        level_gap: T1, mean of (candidate - champion) over the latest issue, per unit of recent level; None unknown.
        level_limit: what |level_gap| may be by staging; None: not judged.
        odd: T1, in plain words for which causes the latest issue does not look like the other model's.
        days: closed paired days of this rollout, in order (T2; those after the promotion are T3).
        labels_missing_since: since when labels are overdue (aware UTC), None while they flow.
        command: the operator's latest order.
        freeze: why promotions are frozen; empty when they are not.
        gate: why the staging gate no longer passes the release (an expired waiver); empty while it does.
        newer: a release queued after this one.
        slot_free: no other rollout is on trial.
        reference_serves: the champion this rollout is compared with still serves.
        package: digest of the release's package, by the ledger.
        approvals: what people have approved about this rollout, of any case.
        proposers: the people behind the release by now, besides those the rollout remembers.
        today: the instant by the clock (aware UTC), by which approvals expire; None: the decision's own.
        lease_lost: the controller was silent longer than the lease: gateways returned to the champion alone.
        harm: what harms the champion now, and who could serve instead; None: no signal says so.
        rung_at_hand: the rung whose answers were kept beside the forecasts handed out; empty where none were.
    """

    ready: bool | None = None
    ready_reason: str = ""
    target_ready: bool | None = None
    settled: bool = True
    incidents: Mapping[str, int] = field(default_factory=dict)
    cut_off: CutOff | None = None
    input_incidents: int = 0
    divergence: int = 0
    level_gap: float | None = None
    level_limit: float | None = None
    odd: tuple[str, ...] = ()
    days: tuple[PairedDay, ...] = ()
    labels_missing_since: datetime | None = None
    command: Command | None = None
    freeze: str = ""
    gate: str = ""
    newer: str | None = None
    slot_free: bool = True
    reference_serves: bool = True
    lease_lost: bool = False
    package: str = ""
    approvals: tuple[Approval, ...] = ()
    proposers: Proposers = field(default_factory=Proposers)
    today: datetime | None = None
    harm: Harm | None = None
    rung_at_hand: str = ""

    def summary(self) -> dict[str, Any]:
        """Return the evidence as JSON-ready data; paired days by digest and count."""
        command = self.command
        return {
            "ready": self.ready,
            "ready_reason": self.ready_reason,
            "target_ready": self.target_ready,
            "settled": self.settled,
            "incidents": dict(sorted(self.incidents.items())),
            "cut_off": None if self.cut_off is None else [self.cut_off.reason, *self.cut_off.failures],
            "input_incidents": self.input_incidents,
            "divergence": self.divergence,
            "level_gap": self.level_gap,
            "level_limit": self.level_limit,
            **({"odd": list(self.odd)} if self.odd else {}),
            "days": len(self.days),
            "days_digest": digest_of([[d.day.isoformat(), d.difference, d.n] for d in self.days]),
            "labels_missing_since": self.labels_missing_since,
            "command": None if command is None else [command.key, str(command.kind), command.actor, command.reason],
            "freeze": self.freeze,
            **({"gate": self.gate} if self.gate else {}),
            "newer": self.newer,
            "slot_free": self.slot_free,
            "reference_serves": self.reference_serves,
            "lease_lost": self.lease_lost,
            "package": self.package,
            "approvals": [told(approval) for approval in self.approvals],
            **({"proposers": self.proposers.to_dict()} if self.proposers != Proposers() else {}),
            **({"today": self.today} if self.today is not None and self.approvals else {}),
            **({"harm": self.harm.to_dict()} if self.harm is not None else {}),
        }


class EvidenceSource(Protocol):
    """Gathers evidence for the controller.

    Guarantees: `gather` reads and never writes, may be called any number of times, raises Unavailable when a source
    is down (the tick then repeats later). Fields about queue, lease, reference and signatures are overwritten by the
    controller; days already in the ledger win over the days given here.
    """

    def gather(self, rollout: Rollout, now: datetime) -> Evidence:
        """Return what is known about `rollout` at `now` (aware UTC)."""
        ...


def trailing_exceedances(distances: Sequence[float | None], limit: float) -> int:
    """Return how many of the latest steps lie over `limit` in a row; a step without data neither counts nor breaks.

    `distances` are |candidate - champion| per step in time order, in the unit of `limit`. Leave out steps whose inputs
    were faulty. NaN counts as over: a model that answers no number has diverged.
    """
    run = 0
    for distance in reversed(distances):
        if distance is None:
            continue
        if distance <= limit:
            break
        run += 1
    return run
