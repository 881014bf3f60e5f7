"""Owns what a caller is told when a gRPC call fails: status, sentence and when to try again. Ends no call."""

from __future__ import annotations

from dataclasses import dataclass

import grpc

from recloser.core import InvalidInput, RecloserError, Refused, Unavailable
from recloser.serving.http.admission import Refusal
from recloser.serving.wire.models import UnknownModel

LONGEST = 1_000
"""Characters of an error's text; what the caller sent is not echoed without bound."""

STATUSES: dict[type[RecloserError], grpc.StatusCode] = {
    UnknownModel: grpc.StatusCode.NOT_FOUND,
    InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    Refused: grpc.StatusCode.FAILED_PRECONDITION,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
}
REFUSALS = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
}


@dataclass(frozen=True, slots=True)
class Failure:
    """How a call failed.

    Attributes:
        status: what the caller should do about it.
        text: a sentence.
        retry_after_s: seconds after which to try again; 0 if that would change nothing.
    """

    status: grpc.StatusCode
    text: str
    retry_after_s: int = 0

    @property
    def trailing(self) -> tuple[tuple[str, str], ...]:
        """Return the trailing metadata: `retry-after` for people, the pushback that gRPC's own retries obey."""
        if not self.retry_after_s:
            return ()
        return ("retry-after", str(self.retry_after_s)), ("grpc-retry-pushback-ms", str(1000 * self.retry_after_s))


DEFECT = Failure(grpc.StatusCode.INTERNAL, "The gateway met a defect of its own; its log knows more.")
MANY_STREAMS = Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "Too many streams are open.", 1)


def failure_of(error: RecloserError) -> Failure:
    """Return the failure that one of our errors means."""
    status = next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), grpc.StatusCode.INTERNAL)
    return Failure(status, error.explain()[:LONGEST], int(status == grpc.StatusCode.UNAVAILABLE))


def turned_away(refusal: Refusal) -> Failure:
    """Return the failure that a refusal at the gate means."""
    return Failure(REFUSALS[refusal.status], refusal.detail, refusal.retry_after_s)
