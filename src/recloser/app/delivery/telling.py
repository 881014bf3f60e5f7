"""Owns what people are told of deliveries: what waits on each channel and why, and its check-up. Delivers nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from recloser.app.delivery.channels import channels_of
from recloser.app.delivery.commits.opening import forge_document, forges_of
from recloser.app.delivery.courier import SETTLED, WORTH
from recloser.app.delivery.webhook import Webhook
from recloser.app.platform import Platform
from recloser.app.security.certificates import read_certificate, state_of
from recloser.core import RecloserError, format_utc
from recloser.ledger import DeliveryRecord, Ledger, NoticeRecord

WORST = ("ok", "note", "FAIL")


def delivery_document(ledger: Ledger, names: Sequence[tuple[str, str]], now: datetime) -> list[dict[str, Any]]:
    """Return what became of the last two weeks' notices, a row a channel.

    Args:
        ledger: holds notices and deliveries.
        names: (name, kind) of the channels.
        now: aware UTC.

    Returns:
        Rows of "name", "kind" (webhook, mqtt, mail, syslog), "state" (ok, waiting, failing), "waiting" (notices
        without a receipt), "since" (of the oldest of them, or None), "error" (the last one, or None), "given_up",
        "last_delivered".
    """
    notices = ledger.find(NoticeRecord, since=("at", now - 2 * WORTH), order_by="at")
    told = {record.key: record for record in ledger.find(DeliveryRecord, since=("at", now - 2 * WORTH), order_by="at")}
    rows = []
    for name, kind in names:
        records = {notice.key: told.get(f"{notice.key}/{name}") for notice in notices}
        open_ = [notice for notice in notices if (found := records[notice.key]) is None or found.state not in SETTLED]
        failing = [found for n in open_ if (found := records[n.key]) is not None]
        known = [found for found in records.values() if found is not None]
        delivered = [found.at for found in known if found.state == "delivered"]
        rows.append(
            {
                "name": name,
                "kind": kind,
                "state": "failing" if failing else "waiting" if open_ else "ok",
                "waiting": len(open_),
                "since": open_[0].at if open_ else None,
                "error": max(failing, key=lambda found: found.at).error if failing else None,
                "given_up": sum(found.state == "given_up" for found in known),
                "last_delivered": max(delivered, default=None),
            }
        )
    return rows


def channel_names(platform: Platform) -> list[tuple[str, str]]:
    """Return (name, kind) of the project's channels."""
    return [(section.name, kind) for kind, section in platform.project.notify.channels]


def delivery_sentences(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return what a person should know of channels: none when all is well."""
    found = []
    for row in rows:
        if row["waiting"]:
            many = "1 notice waits" if row["waiting"] == 1 else f"{row['waiting']} notices wait"
            why = f": {row['error']}" if row["error"] else "."
            found.append(f"{many} for {row['name']} since {format_utc(row['since'])}{why}")
        if row["given_up"]:
            found.append(f"{row['given_up']} notice(s) were given up for {row['name']}: it never took them.")
    return found


def check_delivery(platform: Platform) -> dict[str, str]:
    """Return {"name", "state", "detail"} about all channels; each is connected to, nothing is sent."""
    channels, now = (*channels_of(platform), *forges_of(platform)), platform.clock.now()
    if not channels:
        return {"name": "notify", "state": "ok", "detail": "nobody is told of recalls, alarms and absences"}
    found: list[tuple[str, str]] = []
    for channel in channels:
        try:
            channel.check()
        except RecloserError as error:
            waits = "notices wait until that is mended"
            found.append(("FAIL", f"{error.explain()} ({waits})"))
        if isinstance(channel, Webhook) and channel.secret_file is None:
            found.append(("note", f"{channel.name}: not signed; set secret_file"))
    sections = [*(section for _, section in platform.project.notify.channels), *platform.project.notify.forges]
    for section in sections:
        for file in (section.tls_ca, section.tls_certificate):
            if file is not None:
                state, why = _certificate(platform, file, now)
                found.append((state, f"{section.name}: {why}"))
    rows = [*delivery_document(platform.ledger, channel_names(platform), now), *forge_document(platform)]
    found += [("note", told) for told in delivery_sentences(rows)]
    state = max((state for state, _ in found), key=WORST.index, default="ok")
    told = [why for level, why in found if level == state and state != "ok"]
    return {"name": "notify", "state": state, "detail": "; ".join(told) or f"{len(channels)} channels can be reached"}


def _certificate(platform: Platform, file: str, now: datetime) -> tuple[str, str]:
    try:
        return state_of(read_certificate(platform.layout.root / file), now)
    except RecloserError as error:
        return "FAIL", error.explain()
