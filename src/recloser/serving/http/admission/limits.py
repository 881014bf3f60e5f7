"""Owns the numbers that bound traffic. Applies none of them."""

from __future__ import annotations

from dataclasses import dataclass

from recloser.core import InvalidInput


@dataclass(frozen=True, slots=True)
class TrafficLimits:
    """Bounds of what callers may do to one gateway process.

    Attributes:
        requests_per_second: of one caller (token, or address without tokens); 0: no such limit.
        burst: requests a caller may send at once beyond that.
        concurrent: requests under way; forecast reads may use all of it, routed inference 4/5, the rest 1/2.
        overload_ms: requests may wait so long to be read, and for the models; beyond it routed inference is shed, the
            rest beyond half of it.
        connections: open at once.
        header_bytes: of a request line with its headers.
        header_seconds: a connection must have sent them by then.
        body_seconds: the same for the body behind them.
        write_seconds: a caller that takes too little of its answer for so long loses the connection.

    Raises:
        InvalidInput: a number out of its range.
    """

    requests_per_second: float = 0.0
    burst: int = 100
    concurrent: int = 256
    overload_ms: float = 500.0
    connections: int = 1000
    header_bytes: int = 32_768
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    write_seconds: float = 30.0

    def __post_init__(self) -> None:
        if not self.requests_per_second >= 0:
            raise InvalidInput("a negative rate", got=self.requests_per_second, where="limits.requests_per_second")
        for name in self.__slots__[1:]:
            if not getattr(self, name) > 0:
                raise InvalidInput("not positive", got=getattr(self, name), expected="> 0", where=f"limits.{name}")
