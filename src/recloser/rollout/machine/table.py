"""Owns the transition table of a rollout as data: from which state which event leads where. Decides nothing."""

from __future__ import annotations

from collections.abc import Mapping

from recloser.rollout.rollout import RolloutState

_S = RolloutState
_TRIPS = dict.fromkeys(("unready", "incidents", "divergence", "worse"), (_S.TRIPPED,))
_TRIAL = {
    "rollback": (_S.ROLLED_BACK,),
    "reject": (_S.ROLLED_BACK,),
    **_TRIPS,
    "lost_reference": (_S.ABORTED,),
    "newer": (_S.ABORTED,),
    "deadline": (_S.ROLLED_BACK,),
    "hold": (_S.HELD,),
    "ask": (_S.AWAITING_APPROVAL,),
}
_STOPPED = {  # of a queued release it is aborted, of one on trial it is ended
    **_TRIAL,
    "reject": (_S.ABORTED, _S.ROLLED_BACK),
    "unready": (_S.ABORTED, _S.TRIPPED),
    "deadline": (_S.ABORTED, _S.ROLLED_BACK),
}

TABLE: Mapping[RolloutState, Mapping[str, tuple[RolloutState, ...]]] = {
    _S.QUEUED: {
        "rollback": (_S.ROLLED_BACK,),
        **dict.fromkeys(("reject", "unready", "lost_reference", "newer", "deadline"), (_S.ABORTED,)),
        "hold": (_S.HELD,),
        "ask": (_S.AWAITING_APPROVAL,),
        "override": (_S.SHADOW, _S.CHAMPION, _S.AWAITING_APPROVAL),
        "advance": (_S.SHADOW, _S.CHAMPION),
    },
    _S.AWAITING_APPROVAL: {
        **_STOPPED,
        "lost_lease": (_S.SHADOW,),
        "pull": (_S.SHADOW,),
        "void": (_S.SHADOW, _S.CANARY),
        "override": (_S.SHADOW, _S.CANARY, _S.PROBATION, _S.CHAMPION, _S.AWAITING_APPROVAL),
        "advance": (_S.SHADOW, _S.CANARY, _S.PROBATION, _S.CHAMPION),
    },
    _S.SHADOW: {**_TRIAL, "override": (_S.CANARY, _S.AWAITING_APPROVAL), "advance": (_S.CANARY,)},
    _S.CANARY: {
        **_TRIAL,
        "lost_lease": (_S.SHADOW,),
        "pull": (_S.SHADOW,),
        "override": (_S.CANARY, _S.PROBATION, _S.AWAITING_APPROVAL),
        "advance": (_S.CANARY, _S.PROBATION),
    },
    _S.PROBATION: {
        "rollback": (_S.ROLLED_BACK,),
        **_TRIPS,
        "deadline": (_S.ROLLED_BACK,),
        "hold": (_S.HELD,),
        "override": (_S.CHAMPION,),
        "advance": (_S.CHAMPION,),
    },
    _S.HELD: {
        **{name: to for name, to in _STOPPED.items() if name not in {"hold", "ask"}},
        "lost_lease": (_S.HELD,),
        "pull": (_S.HELD,),
        "resume": (_S.QUEUED, _S.SHADOW, _S.CANARY, _S.PROBATION),
    },
    _S.CHAMPION: {
        "rollback": (_S.ROLLED_BACK,),
        "unready": (_S.TRIPPED,),
        "incidents": (_S.TRIPPED,),
        "harm": (_S.ROLLED_BACK,),
    },
    _S.TRIPPED: {},
    _S.ROLLED_BACK: {},
    _S.RETIRED: {},
    _S.ABORTED: {},
}
"""What `decide` may do about the rollout it looks at. There is no other list of what is allowed."""

_AGAIN = {"serves_again": (_S.ABORTED,)}
_BACK = {"rollback_to": (_S.ROLLED_BACK,), **_AGAIN}
BY_OTHERS: Mapping[RolloutState, Mapping[str, tuple[RolloutState, ...]]] = {
    **dict.fromkeys((_S.SHADOW, _S.CANARY, _S.PROBATION, _S.HELD, _S.AWAITING_APPROVAL), _BACK),
    _S.QUEUED: _AGAIN,
    _S.CHAMPION: {
        "replaced": (_S.RETIRED,),
        "falls_with": (_S.TRIPPED,),
        "rollback_to": (_S.ROLLED_BACK, _S.RETIRED),
    },
    _S.RETIRED: {"restored": (_S.CHAMPION,)},
    _S.ROLLED_BACK: {"restored": (_S.CHAMPION,)},
}
"""What a step about another rollout, or a rollback to a release, does to one in the same transaction (`changes`)."""


def printed() -> str:
    """Return both tables as Markdown; a step within the canary is canary to canary."""
    rows = ["| from | event | to |", "|---|---|---|"]
    for table, note in ((TABLE, ""), (BY_OTHERS, " (of another)")):
        for state, events in table.items():
            rows += [f"| {state} | {event}{note} | {', '.join(to)} |" for event, to in events.items()]
    return "\n".join(rows)
