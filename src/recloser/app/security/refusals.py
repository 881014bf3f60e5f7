"""Owns writing down what the console refused to people who have signed in, at a bounded rate. Refuses nothing."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from recloser.app.clock import timer_of
from recloser.core import Clock, RecloserError
from recloser.ledger import Ledger
from recloser.serving.http.admission.rates import Rates

PER_SECOND, AT_ONCE = 0.1, 20
"""Refusals of one person that are worth an entry of their own; the next entry tells how many were not."""
LOG = logging.getLogger(__name__)


class Refusals:
    """Writes refusals into the audit log; thread safe.

    Args:
        lent: lends the ledger for a moment.
        clock: of the machine.
    """

    def __init__(self, lent: Callable[[], AbstractContextManager[Ledger]], clock: Clock) -> None:
        self._lent, self._clock = lent, clock
        self._lock = threading.Lock()
        self._rates, self._unnoted = Rates(PER_SECOND, AT_ONCE, timer_of(clock)), Counter[str]()

    def note(self, name: str, kind: str, facts: Mapping[str, Any]) -> None:
        """Write that a person was refused an act; with the ledger gone it goes to the process's log."""
        with self._lock:
            if self._rates.wait_s(name) > 0.0:
                self._unnoted[name] += 1
                return
            unnoted = self._unnoted.pop(name, 0)
        try:
            with self._lent() as ledger, ledger.change(name, self._clock.now()) as change:
                change.note("console.act_refused", kind, {**facts, "unnoted": unnoted})
        except RecloserError as error:
            LOG.warning("not in the audit log: %s was refused to %s: %s", kind, name, error.explain())
