"""Owns a courier's thread: when it looks, and what it says of trouble. Delivers nothing itself."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from recloser.app.delivery.channels import channels_of
from recloser.app.delivery.commits.courier import StatusCourier
from recloser.app.delivery.commits.opening import Wanted, forges_of
from recloser.app.delivery.courier import Courier
from recloser.app.platform import Platform
from recloser.app.processes.alert.repeating import Repeating
from recloser.app.processes.alert.waker import LOOK_S, LedgerLook, Look
from recloser.core import RecloserError

EVERY_S = 1.0
PATIENCE_S = 10.0


class CourierThread(Repeating):
    """Ticks a courier on a thread of its own until the block ends: a slow receiver delays no decision.

    Args:
        courier: delivers notices, or statuses.
        say: told of trouble, of the same in a row only once.
        look: tells that there may be something to deliver before a second is over.
        timer: monotonic seconds.
    """

    def __init__(
        self,
        courier: Courier | StatusCourier,
        say: Callable[[str], None],
        look: Look = lambda: False,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._courier, self._say, self._look, self._timer = courier, say, look, timer
        self._told, self._next = "", 0.0
        super().__init__("courier", self._turn, LOOK_S, PATIENCE_S)

    def _turn(self) -> None:
        if not self._look() and self._timer() < self._next:
            return
        problem = ""
        try:
            self._courier.tick()
        except RecloserError as error:
            problem = error.explain()
        # The outermost loop of the thread: a defect must not end the deliveries of this channel.
        except Exception as error:  # noqa: BLE001
            problem = f"a defect, it goes on: {type(error).__name__}: {error}"
        if problem and problem != self._told:
            self._say(f"courier: {problem}")
        self._told = problem
        self._next = self._timer() + EVERY_S


@contextmanager
def delivering(platform: Platform, say: Callable[[str], None]) -> Iterator[None]:
    """Deliver notices on every channel of the project in the block, each on a thread of its own."""
    with contextlib.ExitStack() as stack:
        for channel in channels_of(platform):
            watch = stack.enter_context(contextlib.closing(platform.ledger.watch()))
            courier = Courier(platform.ledger, [channel], platform.clock)
            stack.enter_context(CourierThread(courier, say, LedgerLook(watch)))
        for forge in forges_of(platform):
            watch = stack.enter_context(contextlib.closing(platform.ledger.watch()))
            wanted = Wanted(platform)
            statuses = StatusCourier(platform.ledger, forge, wanted, platform.clock, LedgerLook(watch))
            stack.enter_context(CourierThread(statuses, say))
        yield
