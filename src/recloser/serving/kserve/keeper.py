"""Owns keeping the InferenceServices of a project as its route needs them: level-triggered, one round at a time.

Decides no route. Gateways never ask it: they go on with the addresses they know, whatever becomes of it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from recloser.core import Clock, InvalidInput, RecloserError, Refused, Unavailable
from recloser.serving.kserve.api import Event, KServeApi
from recloser.serving.kserve.deciding import Deed, Step, next_try, since_when, steps
from recloser.serving.kserve.manifest import ServicePlan, service_name
from recloser.serving.kserve.states import ServiceState


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a keeper waits.

    Attributes:
        start: a release that is not ready for so long is not fit to serve.
        linger: a release that nobody wants any more is kept for so long.
    """

    start: timedelta = timedelta(minutes=15)
    linger: timedelta = timedelta(hours=1)


class ServiceKeeper:
    """Starts, mends and ends InferenceServices; thread safe.

    What it remembers only saves time: a new one, also after a kill at any call, comes to the same state.

    Args:
        api: where they are.
        plan: of the project.
        clock: the present.
        patience: how long it waits.
        woken: called when there is something to do.
    """

    def __init__(
        self,
        api: KServeApi,
        plan: ServicePlan,
        clock: Clock,
        patience: Patience | None = None,
        woken: Callable[[], None] = lambda: None,
    ) -> None:
        self._api, self._plan, self._clock, self.woken = api, plan, clock, woken
        self._patience = patience or Patience()
        self._lock = threading.Lock()
        self._routed: dict[str, str] = {}
        self._asked: dict[str, tuple[str, datetime]] = {}
        self._found: dict[str, ServiceState] = {}
        self._waited: dict[str, datetime] = {}
        self._unwanted: dict[str, datetime] = {}
        self._replaced: dict[str, tuple[int, datetime]] = {}
        self._refused: dict[str, str] = {}
        self.problem = "the API server was not asked yet"
        self.version = ""

    def want(self, releases: Mapping[str, str]) -> None:
        """Say what the route needs: release -> digest of its package. Returns at once."""
        with self._lock:
            news, self._routed = dict(releases) != self._routed, dict(releases)
        if news:
            self.woken()

    def ask(self, release: str, digest: str) -> None:
        """Say that a release may be needed soon; it is kept for a while after the last time. Returns at once."""
        with self._lock:
            news = release not in self._asked and release not in self._routed
            self._asked[release] = (digest, self._clock.now() + self._patience.linger)
            self._waited.setdefault(release, self._clock.now())
        if news:
            self.woken()

    def address(self, release: str) -> str:
        """Return where a release that is ready answers.

        Raises:
            Refused: it does not get ready, or its place is taken.
            Unavailable: not yet; why is told.
        """
        with self._lock:
            state, now = self._found.get(release), self._clock.now()
            waited = now - self._waited.setdefault(release, now)
            refused, problem = self._refused.get(release, ""), self.problem
        if state is not None and state.ready and state.url is not None:
            return state.url
        where = service_name(self._plan.project, release)
        if refused:
            raise Refused("its InferenceService cannot be made", got=refused, where=where)
        told = problem or (state.problem if state is not None else "it is being made") or "its pods are starting"
        if waited >= self._patience.start and not problem:
            raise Refused("its InferenceService does not get ready", got=told, where=where)
        raise Unavailable("its InferenceService is not ready", got=told, where=where, next_step="Wait for its pods.")

    def tend(self) -> bool:
        """Look at what is there and take each step that is due; return whether to look again at once.

        Raises:
            InvalidInput: KServe is not installed, or its API takes no such InferenceService.
            Refused: this caller may not.
            Unavailable: the API server cannot now; what was begun goes on at the next round.
        """
        try:
            listing = self._api.listing()
        except RecloserError as error:
            self.problem = error.explain()
            raise
        self.problem, self.version = "", listing.version
        now = self._clock.now()
        with self._lock:
            self._take({state.release: state for state in listing.services if state.owner == self._plan.project})
            self._asked = {name: item for name, item in self._asked.items() if item[1] > now}
            wanted = {name: digest for name, (digest, _) in self._asked.items()} | self._routed
            self._unwanted = since_when(self._unwanted, self._found.values(), wanted, now)
            self._waited = {name: at for name, at in self._waited.items() if name in wanted}
            due = steps(self._plan, wanted, listing.services, self._unwanted, now - self._patience.linger)
            self._refused = {name: why for name, why in self._refused.items() if name in wanted}
        return self._carry_out(due, now)

    def note(self, event: Event) -> None:
        """Take an event of a watch: what it tells is known at once, what it asks for is done in the next round."""
        state = event.service
        if state is None or state.owner != self._plan.project:
            return
        with self._lock:
            if event.kind == "DELETED":
                self._found.pop(state.release, None)
            else:
                self._take({**self._found, state.release: state})
        self.woken()

    def _take(self, found: dict[str, ServiceState]) -> None:
        """Take what is there; one that is ready is waited for anew once it no longer is."""
        self._found = found
        for release, state in found.items():
            if state.ready:
                self._waited.pop(release, None)

    def _carry_out(self, due: tuple[Step, ...], now: datetime) -> bool:
        """Take the steps and return whether one was lost; one that fails keeps no other waiting, unless all would."""
        again, failed = False, None
        for step in due:
            try:
                again |= not self._take_step(step, now)
            except (InvalidInput, Refused) as error:
                with self._lock:
                    self._refused[step.release] = error.explain()
                failed = error
        if failed is not None:
            raise failed
        return again

    def _take_step(self, step: Step, now: datetime) -> bool:
        """Take one step; return whether it was done, or need not be. False: somebody was quicker."""
        if step.deed is Deed.DELETE and step.known is not None:
            return self._api.delete(step.known)
        assert step.manifest is not None
        if step.deed is Deed.REPLACE and step.known is not None:
            count, due = self._replaced.get(step.release, (0, now))
            if now < due:
                return True
            self._replaced[step.release] = (count + 1, next_try(count, now))
            made = self._api.replace(step.manifest, step.known)
        else:
            made = self._api.create(step.manifest)
            if made is None:
                self._require_ours(step)
        if made is None:
            return False
        with self._lock:
            self._found[step.release] = made
            self._refused.pop(step.release, None)
        return True

    def _require_ours(self, step: Step) -> None:
        """Check who has the name of an InferenceService that could not be made.

        Raises:
            Refused: somebody else, whose object is left alone.
        """
        name = service_name(self._plan.project, step.release)
        state = self._api.find(name)
        if state is not None and state.owner != self._plan.project:
            raise Refused(
                "an InferenceService of this name that Recloser did not make",
                where=name,
                next_step="Delete it, or choose another [kserve] name.",
            )
