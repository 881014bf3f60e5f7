"""Owns a ledger in whose first change somebody else's comes first. Knows nothing of either."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from recloser.ledger import Ledger


class Meeting:
    """A ledger that is met by a rival: what is read before the first change is another's by the time it is written.

    Args:
        ledger: what is read and written.
        rival: called once, as the first change begins.
    """

    def __init__(self, ledger: Ledger, rival: Callable[[], object]) -> None:
        self._ledger, self._rivals = ledger, [rival]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def change(self, *given: Any, **named: Any) -> Any:
        """Let the rival come first, once; then as the ledger's."""
        while self._rivals:
            self._rivals.pop()()
        return self._ledger.change(*given, **named)
