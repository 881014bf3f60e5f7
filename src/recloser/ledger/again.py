"""Owns deciding again where somebody else wrote in between. Knows nothing of what is decided."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from recloser.core import Conflict, Unavailable

T = TypeVar("T")
TRIES = 40
"""Of writers at one moment one gets through each time, so that only very many of them could use these up."""
LONGEST_PAUSE_S = 0.1


def decided_again(attempt: Callable[[], T]) -> T:
    """Return what `attempt` does; each time somebody else's change comes before its own, it reads and decides anew.

    Nobody who asks should have to repeat by hand what only met another's write. The second attempt follows at once,
    later ones after a short random pause of real time.

    Args:
        attempt: reads, decides and writes one change; what it does after that must raise no Conflict.

    Raises:
        Unavailable: others write at the same time without end; nothing was written.
    """
    conflict: Conflict | None = None
    for tried in range(TRIES):
        try:
            return attempt()
        except Conflict as error:
            conflict = error
        if tried:
            time.sleep(random.uniform(0.0, min(LONGEST_PAUSE_S, 0.005 * 2**tried)))
    raise Unavailable(
        "others write at the same time", where="ledger", next_step="Nothing was written. Ask again in a moment."
    ) from conflict
