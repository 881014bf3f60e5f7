"""Owns what a webhook of MLflow's model registry says. Imports no MLflow; proves nothing of who sent it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from recloser.core import digest_of
from recloser.serving.wire.strict import decode
from recloser.triggers.trigger import Trigger, TriggerKind
from recloser.triggers.webhooks.delivery import Delivery, Ignored, Inlet, Wanted

CREATED = "model_version.created"
OWN_TAG = "recloser.release"
"""Tag of the versions that Recloser registers itself: they answer a run, and must not ask for the next."""


class Notice(msgspec.Struct):
    """What MLflow sends: `data` depends on entity and action."""

    entity: str
    action: str
    timestamp: str
    data: dict[str, Any]


NOTICE = msgspec.json.Decoder(Notice)


def read_notice(inlet: Inlet, delivery: Delivery, key: str, now: datetime) -> Wanted | Ignored:
    """Return the retraining that an event of the registry asks for, or why it asks for none.

    MLflow tells neither who did it nor what was before, so what it says is a reason to look, not a state to apply.

    Raises:
        InvalidInput: another form.
        MalformedBody: not JSON.
    """
    notice = decode(delivery.body, NOTICE, inlet.name)
    event, data = f"{notice.entity}.{notice.action}"[:120], notice.data
    model, version = str(data.get("name", ""))[:200], str(data.get("version", ""))[:40]
    if event not in (inlet.events or (CREATED,)):
        return Ignored(key, f"events of the type {event} ask for nothing here")
    if inlet.models and model not in inlet.models:
        return Ignored(key, f"events about the model {model!r} ask for nothing here")
    tags = data.get("tags")
    if (isinstance(tags, dict) and OWN_TAG in tags) or (notice.entity.endswith("_alias") and model == inlet.own_model):
        return Ignored(key, "Recloser did this itself: it answers a run and asks for none")
    about = [event, data] if event == CREATED else [event, data, notice.timestamp]
    told: Sequence[str] = ("name", "version", "alias", "key", "value")
    facts = {name: str(data[name])[:200] for name in told if name in data}
    what = f"{event} in the model registry: {model}" + (f" version {version}" if version else "")
    trigger = Trigger("registry:" + digest_of(about)[:16], TriggerKind.REGISTRY, now, what)
    return Wanted(trigger, key, {"event": event, **facts})
