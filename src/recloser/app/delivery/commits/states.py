"""Owns what is to be said of a commit, drawn from records. Pure: reads and sends nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from recloser.core import digest_of
from recloser.ledger import RolloutRecord, RunRecord, VerdictRecord
from recloser.pipelines.judging import UNASKED
from recloser.rollout import RolloutState

LONGEST = 140
"""Letters of a description; forges cut or refuse longer ones."""
GOOD = frozenset({RolloutState.CHAMPION, RolloutState.RETIRED})
BAD = frozenset({RolloutState.TRIPPED, RolloutState.ROLLED_BACK, RolloutState.ABORTED})


class Mark(StrEnum):
    """How a commit stands, in GitHub's words."""

    PENDING = "pending"
    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class CommitStatus:
    """What is to be said of a commit.

    Attributes:
        commit: full hex id.
        context: 'gate' or 'rollout'.
        mark: how it stands.
        description: one sentence of at most `LONGEST` letters.
        release: what it is about, None before there is one.
        at: since when it stands so (aware UTC).
    """

    commit: str
    context: str
    mark: Mark
    description: str
    release: str | None
    at: datetime

    @property
    def key(self) -> str:
        """Return what tells this status of this commit from any other, whenever it is said."""
        return digest_of([self.commit, self.context, str(self.mark), self.description])[:16]


def statuses_of(
    runs: Sequence[RunRecord],
    commits: Mapping[str, Iterable[str]],
    verdicts: Mapping[str, VerdictRecord],
    rollouts: Mapping[str, RolloutRecord],
) -> list[CommitStatus]:
    """Return the statuses of all commits, oldest first; the newest run of a commit speaks for it.

    Runs that a schedule, new data or drift asked for say nothing of a commit.

    Args:
        runs: in any order.
        commits: run -> full ids of the commits that it was made for or with.
        verdicts: the newest of each release.
        rollouts: the newest of each release.
    """
    found: dict[tuple[str, str], CommitStatus] = {}
    for run in sorted(runs, key=lambda run: (run.started_at, run.key)):
        if run.trigger in UNASKED:
            continue
        verdict = verdicts.get(run.candidate or "")
        rollout = rollouts.get(run.candidate or "")
        for commit in commits.get(run.key, ()):
            found.pop((commit, "rollout"), None)
            found[commit, "gate"] = _gate(commit, run, verdict)
            if rollout is not None:
                found[commit, "rollout"] = _rollout(commit, rollout)
    return sorted(found.values(), key=lambda status: (status.at, status.commit, status.context))


def _gate(commit: str, run: RunRecord, verdict: VerdictRecord | None) -> CommitStatus:
    if run.state == "running":
        told = f"{run.key}: a candidate is trained and judged"
        return CommitStatus(commit, "gate", Mark.PENDING, told, None, run.started_at)
    at = run.finished_at or run.started_at
    if run.state == "failed" or run.candidate is None or verdict is None:
        return CommitStatus(commit, "gate", Mark.ERROR, f"{run.key} failed before the gate", run.candidate, at)
    words = {"pass": "passed", "refuse": "refused", "hold": "held"}
    told = _cut(f"{run.candidate} {words.get(verdict.verdict, verdict.verdict)}: {verdict.reason}")
    mark = Mark.SUCCESS if verdict.verdict == "pass" else Mark.FAILURE
    return CommitStatus(commit, "gate", mark, told, run.candidate, max(at, verdict.at))


def _rollout(commit: str, rollout: RolloutRecord) -> CommitStatus:
    state = RolloutState(rollout.state)
    mark = Mark.SUCCESS if state in GOOD else Mark.FAILURE if state in BAD else Mark.PENDING
    share = f" ({100 * rollout.share:.0f} % of the traffic)" if state is RolloutState.CANARY else ""
    words = "champion before another" if state is RolloutState.RETIRED else str(state).replace("_", " ")
    told = _cut(f"{rollout.release} {words}{share}: {rollout.reason}")
    return CommitStatus(commit, "rollout", mark, told, rollout.release, rollout.since)


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else line[: LONGEST - 3] + "..."
