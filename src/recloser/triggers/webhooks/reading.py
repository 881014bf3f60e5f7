"""Owns reading a delivery at its inlet: proof first, then meaning. Knows no sender's form itself."""

from __future__ import annotations

from datetime import datetime

from recloser.core import require_utc
from recloser.triggers.webhooks.cloudevents import read_wanted
from recloser.triggers.webhooks.delivery import Delivery, Ignored, Inlet, InletKind, Wanted
from recloser.triggers.webhooks.git import read_push
from recloser.triggers.webhooks.mlflow import read_notice
from recloser.triggers.webhooks.signatures import prove


def read_delivery(inlet: Inlet, delivery: Delivery, now: datetime) -> Wanted | Ignored:
    """Return what a delivery asks for, or why it asks for nothing; not a byte of it is read before it is proven.

    The same delivery gives the same trigger key each time, whatever `now` within the tolerance.

    Args:
        inlet: where it came in.
        delivery: headers and body.
        now: aware UTC.

    Raises:
        Unproven: it is not proven who sent it.
        InvalidInput: it is proven, and not what the inlet reads.
    """
    key = prove(inlet, delivery, require_utc(now, "read_delivery"))
    if inlet.kind is InletKind.CLOUDEVENTS:
        return read_wanted(inlet, delivery, now)
    if inlet.kind is InletKind.MLFLOW:
        return read_notice(inlet, delivery, key, now)
    return read_push(inlet, delivery, key, now)
