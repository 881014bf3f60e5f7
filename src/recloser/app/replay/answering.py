"""Owns what the people of a scenario say when a rollout asks them. What it comes to is for the rollout to decide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from recloser.app.loop.control_loop import ControlLoop
from recloser.app.people.acts import approve_in, order_in
from recloser.core import VirtualClock
from recloser.ledger import ActRecord, ReleaseRecord, RolloutRecord, RunRecord
from recloser.rollout import CommandKind, Rollout, RolloutState


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person says to a rollout that awaits approval.

    Attributes:
        name: who, as in `[rollout.approval] roles`.
        reason: why.
        reject: True ends the rollout, False approves it.
        about: text in what the release was asked for; empty fits every release. A person's first answer that fits is
            the one that is given.
        after: so long after the question.
    """

    name: str
    reason: str
    reject: bool = False
    about: str = ""
    after: timedelta = timedelta(hours=2)


class ScenarioPeople:
    """Answers questions in virtual time by the code of the verbs; who proposed a release does not answer for it.

    Args:
        loop: the control loop of the replay.
        clock: its clock, which is moved to the time of each answer.
        answers: what people say.
    """

    def __init__(self, loop: ControlLoop, clock: VirtualClock, answers: Sequence[Answer]) -> None:
        self._loop, self._clock, self._answers = loop, clock, tuple(answers)

    def answer_until(self, end: datetime) -> int:
        """Give all answers that are due before `end` (aware UTC), each at its time; return how many there were."""
        count = 0
        while (due := min(self._due(end), key=lambda item: (item[0], item[1].name), default=None)) is not None:
            at, answer, rollout = due
            self._clock.advance_to(max(at, self._clock.now()))
            self._give(answer, rollout)
            self._loop.advance()
            count += 1
        return count

    def _due(self, end: datetime) -> Iterator[tuple[datetime, Answer, Rollout]]:
        ledger = self._loop.platform.ledger
        for record in ledger.find(RolloutRecord, state=str(RolloutState.AWAITING_APPROVAL)):
            rollout = Rollout.from_record(record)
            spoken = {act.name for act in ledger.find(ActRecord, rollout=rollout.key, evidence_digest=rollout.case)}
            for answer in self._fitting(rollout):
                at = rollout.since + answer.after
                if at < end and answer.name not in spoken and not rollout.proposers.bar(answer.name):
                    yield at, answer, rollout

    def _fitting(self, rollout: Rollout) -> list[Answer]:
        asked = self._asked(rollout)
        first: dict[str, Answer] = {}
        for answer in self._answers:
            if answer.about in asked:
                first.setdefault(answer.name, answer)
        return list(first.values())

    def _asked(self, rollout: Rollout) -> str:
        ledger = self._loop.platform.ledger
        release = ledger.get(ReleaseRecord, rollout.release)
        run = None if release is None else ledger.get(RunRecord, release.run)
        return "" if run is None else run.reason

    def _give(self, answer: Answer, rollout: Rollout) -> None:
        if answer.reject:
            order_in(self._loop, str(CommandKind.REJECT), rollout.key, name=answer.name, reason=answer.reason)
        else:
            approve_in(self._loop, rollout.key, name=answer.name, reason=answer.reason, evidence=rollout.case)
