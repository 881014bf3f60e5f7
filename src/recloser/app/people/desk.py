"""Owns carrying out what people ask of the gateway, by the same code as the command line's. Decides nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from recloser.app.explanations import explain_rollout
from recloser.app.loop.control_loop import ControlLoop
from recloser.app.people.acts import approve_in, order_in
from recloser.app.people.advice import agreement_in
from recloser.app.people.freezes import add_freeze_in, freezes_in, lift_freeze_in
from recloser.app.people.once import once
from recloser.app.requests import ask_to_retrain_in
from recloser.app.verbs import rollback_in
from recloser.ledger import RolloutRecord
from recloser.rollout import Rollout, RolloutState
from recloser.serving.http import Done, Wish
from recloser.serving.http.people.desk import Told


class LoopDesk:
    """The Desk of a gateway: what is asked goes to the loop of its process, and so to the ledger first.

    Acts take turns, except rollbacks, which wait for nobody.
    """

    def __init__(self, loop: ControlLoop) -> None:
        self._loop, self._platform = loop, loop.platform
        self._turn = threading.Lock()
        self._acts: dict[str, Callable[[Wish], Mapping[str, Any]]] = {
            "rollback": self._rollback,
            "approve": self._approve,
            "freeze": self._freeze,
            "lift": lambda wish: lift_freeze_in(
                self._platform, wish.subject or "", reason=wish.reason, actor=wish.actor
            ),
            "retrain": lambda wish: ask_to_retrain_in(self._platform, reason=wish.reason, actor=wish.actor),
            **dict.fromkeys(("reject", "hold", "resume", "override"), self._order),
        }

    def carry_out(self, wish: Wish) -> Done:
        """Do it; see `Desk`."""
        act = self._acts[wish.kind]
        if wish.kind == "rollback":
            return once(self._platform.ledger, self._platform.clock, wish, lambda: act(wish))
        with self._turn:
            return once(self._platform.ledger, self._platform.clock, wish, lambda: act(wish))

    def tell(self, what: Told, subject: str | None) -> Mapping[str, Any]:
        """Return the rollouts under way, the explanation of one, the freezes, or how often advice was followed."""
        if what == "agreement":
            return agreement_in(self._platform, since=None)
        if what == "freezes":
            return freezes_in(self._platform)
        if what == "explain":
            return explain_rollout(self._platform.layout.root, subject or "")
        found = self._platform.ledger.find(RolloutRecord, finished_at=None, order_by="started_at")
        rows = [
            {"key": r.key, "release": r.release, "state": str(r.state), "reason": r.reason, "case": r.case}
            for r in map(Rollout.from_record, found)
            if r.state is not RolloutState.CHAMPION
        ]
        return {"rollouts": rows}

    def _rollback(self, wish: Wish) -> Mapping[str, Any]:
        done = rollback_in(self._loop, to=wish.subject, reason=wish.reason, actor=wish.actor)
        kept = {key: done[key] for key in ("epoch", "recalled", "reason", "sentence")}
        return {"released": done["from"], "champion": done["to"], **kept}

    def _approve(self, wish: Wish) -> Mapping[str, Any]:
        evidence = str(wish.more["evidence"])
        return approve_in(self._loop, wish.subject or "", name=wish.actor, reason=wish.reason, evidence=evidence)

    def _order(self, wish: Wish) -> Mapping[str, Any]:
        return order_in(self._loop, wish.kind, wish.subject or "", name=wish.actor, reason=wish.reason)

    def _freeze(self, wish: Wish) -> Mapping[str, Any]:
        start, end = wish.more["from"], wish.more["to"]
        return add_freeze_in(self._platform, start=start, end=end, reason=wish.reason, actor=wish.actor)
