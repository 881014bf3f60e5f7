"""Owns reading CloudEvents 1.0 over HTTP, structured and binary, strictly. Proves nothing of who sent one.

CloudEvents 1.0.2, its JSON format and its HTTP binding; batches are not read.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import unquote

import msgspec

from recloser.core import InvalidInput, digest_of, unknown_name
from recloser.serving.wire.strict import MalformedBody, decode
from recloser.triggers.trigger import Trigger
from recloser.triggers.webhooks.delivery import Delivery, Ignored, Inlet, Wanted

RETRAIN = "io.recloser.retrain.v1"
STRUCTURED = "application/cloudevents+json"
REQUIRED = ("id", "source", "specversion", "type")
NAME = re.compile(r"[a-z0-9]{1,20}")
RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt][0-2]\d:[0-5]\d:[0-6]\d(\.\d+)?([Zz]|[+-][0-2]\d:[0-5]\d)", re.ASCII)
LONGEST = 2000
ANY = msgspec.json.Decoder(Any)


@dataclass(frozen=True, slots=True)
class Event:
    """A CloudEvent: its attributes as text, and its data if they were JSON."""

    attributes: Mapping[str, str]
    data: Any = field(default=None)

    @property
    def key(self) -> str:
        """Return what identifies the event: id and source together."""
        return "event:" + digest_of([self.attributes["source"], self.attributes["id"]])[:16]


class Asked(msgspec.Struct, forbid_unknown_fields=True):
    """Data of an event of the type `io.recloser.retrain.v1`."""

    reason: str | None = None
    areas: list[str] | None = None


def read_event(delivery: Delivery) -> Event:
    """Return the CloudEvent that a delivery holds.

    Raises:
        InvalidInput: an attribute is missing, or not one that CloudEvents allows.
        MalformedBody: not JSON where JSON is promised.
    """
    media, _, parameters = delivery.header("content-type").lower().partition(";")
    if not media.startswith("application/cloudevents"):
        return _binary(delivery, media.strip())
    if media.strip() != STRUCTURED or parameters.replace(" ", "").replace('"', "") not in ("", "charset=utf-8"):
        raise InvalidInput("a form of CloudEvents that is not read", got=media[:80], expected=f"{STRUCTURED} in UTF-8")
    whole = decode(delivery.body, ANY, "CloudEvent")
    if not isinstance(whole, dict):
        raise MalformedBody("not a CloudEvent", expected="a JSON object", where="CloudEvent")
    given = {name: _text(name, item) for name, item in whole.items() if name not in _DATA and item is not None}
    return Event(_checked(given), _data(whole, given))


def read_wanted(inlet: Inlet, delivery: Delivery, now: datetime) -> Wanted | Ignored:
    """Return the retraining that an event asks for, or why it asks for none.

    Raises:
        InvalidInput, MalformedBody: see `read_event`; or the event names an area that is none.
    """
    event = read_event(delivery)
    told = event.attributes
    if not _fits(told["type"], inlet.events or (RETRAIN,)):
        return Ignored(event.key, f"events of the type {told['type'][:120]} ask for nothing here")
    by = delivery.holder or inlet.person(told["source"])
    asked = _asked(event, inlet)
    reason = asked.reason or f"event {told['type']} of {told['source']}"
    said = f"asked for by {by}: {_line(reason)}"
    trigger = Trigger(event.key, inlet.kind_of_trigger, now, said, tuple(asked.areas or ()), (by,))
    facts = {name: told[name][:200] for name in ("id", "source", "type", "subject", "time") if name in told}
    return Wanted(trigger, event.key, {"event": facts})


_DATA = frozenset({"data", "data_base64"})


def _binary(delivery: Delivery, media: str) -> Event:
    given = {name[3:]: _unescaped(text) for name, text in delivery.headers.items() if name.startswith("ce-")}
    if "datacontenttype" in given:
        raise InvalidInput("told twice", got="ce-datacontenttype", expected="content-type", where="CloudEvent")
    if media:
        given["datacontenttype"] = media
    attributes = _checked(given)
    if not delivery.body.strip():
        return Event(attributes)
    return Event(attributes, decode(delivery.body, ANY, "data") if _is_json(media) else None)


def _unescaped(text: str) -> str:
    """Return a header's value: quotes and their escapes undone, then percent encoding (HTTP binding, 3.1.3.2)."""
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = re.sub(r"\\(.)", r"\1", text[1:-1])
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError as error:
        raise InvalidInput("not percent-encoded UTF-8", got=text[:80], where="CloudEvent") from error


def _text(name: str, item: Any) -> str:
    if isinstance(item, str):
        return item
    if isinstance(item, bool) or (isinstance(item, int) and -(2**31) <= item < 2**31):
        return str(item).lower()
    raise InvalidInput("not a value of an attribute", expected="text, a boolean or an integer", where=name[:40])


def _checked(given: Mapping[str, str]) -> dict[str, str]:
    for name in REQUIRED:
        if not given.get(name):
            raise InvalidInput("not a CloudEvent: an attribute is missing", expected=name, where="CloudEvent")
    if given["specversion"] != "1.0":
        got = given["specversion"][:20]
        raise InvalidInput("another version of CloudEvents", got=got, expected="1.0", where="specversion")
    for name, text in given.items():
        if not NAME.fullmatch(name):
            raise InvalidInput("not a name of an attribute", got=name[:40], expected="1 to 20 of a-z, 0-9")
        if len(text) > LONGEST or any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in text):
            raise InvalidInput("not a value of an attribute", expected=f"at most {LONGEST} letters", where=name)
    if any(letter.isspace() for letter in given["source"]):
        raise InvalidInput("not a URI reference", got=given["source"][:80], where="source")
    if "time" in given and not RFC3339.fullmatch(given["time"]):
        raise InvalidInput("not a time of RFC 3339", got=given["time"][:40], where="time")
    return dict(given)


def _data(whole: Mapping[str, Any], attributes: Mapping[str, str]) -> Any:
    media = attributes.get("datacontenttype", "application/json").partition(";")[0].strip().lower()
    if whole.get("data_base64") is None:
        return whole.get("data")
    if whole.get("data") is not None:
        raise InvalidInput("data told twice", expected="data or data_base64", where="CloudEvent")
    text = whole["data_base64"]
    try:
        raw = base64.b64decode(text if isinstance(text, str) else "*", validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput("not base64", where="data_base64") from error
    return decode(raw, ANY, "data_base64") if _is_json(media) and "datacontenttype" in attributes else None


def _is_json(media: str) -> bool:
    return media in {"application/json", "text/json"} or media.endswith("+json")


def _fits(kind: str, wanted: Iterable[str]) -> bool:
    return any(kind == one or (one.endswith("*") and kind.startswith(one[:-1])) for one in wanted)


def _asked(event: Event, inlet: Inlet) -> Asked:
    """Return reason and areas; only our own type promises them, of another type they are taken where they fit."""
    if event.data is None:
        return Asked()
    try:
        asked = msgspec.convert(event.data, Asked)
    except msgspec.ValidationError as error:
        if event.attributes["type"] == RETRAIN:
            raise InvalidInput(f"data of another form: {str(error)[:200]}", where="data") from error
        return Asked()
    for area in asked.areas or ():
        if area not in inlet.areas:
            raise unknown_name("area", area[:80], inlet.areas, "data.areas")
    return asked


def _line(text: str) -> str:
    """Return a reason as one printable line of bounded length."""
    return " ".join("".join(c if c.isprintable() or c.isspace() else "?" for c in text).split())[:LONGEST]
