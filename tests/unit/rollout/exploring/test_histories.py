"""Long random histories of the same world: the ten invariants after each event, whatever is interrupted where."""

from __future__ import annotations

import os

from explored_events import enabled
from explored_search import Fault, faults_of, perform, settle
from explored_world import World
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

FULL = bool(os.environ.get("RECLOSER_FULL"))


class Histories(RuleBasedStateMachine):
    """The real controller over a ledger and gateways in memory; every event holds I1 to I10 (`explored_invariants`)."""

    @initialize(plan=st.sampled_from(["plain", "people"]))
    def a_world(self, plan: str) -> None:
        self.world = World(plan, releases=6)
        self.kept = self.world.end()

    @rule(data=st.data())
    def something_happens(self, data: st.DataObject) -> None:
        self.happens(data, fault=None)

    @rule(data=st.data(), kind=st.sampled_from(["crash", "failure", "rival"]))
    def something_is_interrupted(self, data: st.DataObject, kind: str) -> None:
        """The process dies, the ledger or the gateways fail, or another controller comes first; then it goes on."""
        self.happens(data, fault=kind)

    @rule(days=st.integers(1, 4), data=st.data())
    def days_go_by(self, days: int, data: st.DataObject) -> None:
        wanted = data.draw(st.sampled_from(["a good day", "a good day", "a bad day", "a day without labels"]))
        for _ in range(days):
            self.world.begin(self.kept)
            found = [event for event in enabled(self.world) if event.name in {wanted, "a day without labels"}]
            if found:
                perform(self.world, self.kept, found[-1])
                settle(self.world)
                self.kept = self.world.end()

    def happens(self, data: st.DataObject, fault: str | None) -> None:
        self.world.begin(self.kept)
        events = {event.name: event for event in enabled(self.world)}
        event = events[data.draw(st.sampled_from(sorted(events)))]
        chosen: Fault | None = None
        if fault is not None:
            perform(self.world, self.kept, event)
            places = [one for one in faults_of(list(self.world.points)) if one.kind == fault]
            chosen = data.draw(st.sampled_from(places)) if places else None
        perform(self.world, self.kept, event, chosen)
        if chosen is not None:
            settle(self.world)
        event.leave(self.world)
        self.kept = self.world.end()


Histories.TestCase.settings = settings(
    max_examples=300 if FULL else 12, stateful_step_count=60 if FULL else 40, deadline=None
)
TestHistories = Histories.TestCase
