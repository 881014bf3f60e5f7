"""Owns what is known of one edge node between its birth and its death: aliases, types, sequence. Makes no reading."""

from __future__ import annotations

from dataclasses import dataclass, field

from recloser.connectors.sparkplug import BD_SEQ, Metric, Payload

NUMBERS = 256  # sequence numbers run 0 .. 255


@dataclass(slots=True)
class EdgeNode:
    """State of an edge node, changed by the host only.

    Attributes:
        born: its birth was heard and nothing was missed since.
        seq: of its latest message; bd_seq: of its birth.
        types: (device, name) -> data type as the births told.
        aliases: alias -> (device, name), unique over the node and its devices; valid while `born`.
        devices: that were born, '' for the node itself.
        blind_ns: since when what it says may not all be understood, None while it is.
        heard_ns: of its latest message.
        asked_ns: when it was asked for its birth, None for never.
        latest: topic and bytes of its latest message: once more the same is a repetition.
    """

    born: bool = False
    seq: int | None = None
    bd_seq: int | None = None
    types: dict[tuple[str, str], int] = field(default_factory=dict)
    aliases: dict[int, tuple[str, str]] = field(default_factory=dict)
    devices: set[str] = field(default_factory=set)
    blind_ns: int | None = None
    heard_ns: int | None = None
    asked_ns: int | None = None
    latest: tuple[str, bytes] = ("", b"")

    def begin(self, payload: Payload) -> None:
        """Take its birth: what was known before is void."""
        self.born, self.seq, self.blind_ns, self.asked_ns = True, payload.seq, None, None
        found = payload.metric(BD_SEQ)
        self.bd_seq = None if found is None or not isinstance(found.value, int) else found.value
        self.types.clear()
        self.aliases.clear()
        self.devices.clear()
        self.learn("", payload)

    def learn(self, device: str, payload: Payload) -> None:
        """Take the metrics of a birth."""
        self.devices.add(device)
        for metric in payload.metrics:
            if metric.name:
                self.types[device, metric.name] = metric.datatype
                if metric.alias is not None:
                    self.aliases[metric.alias] = (device, metric.name)

    def follows(self, payload: Payload) -> bool:
        """Return whether a message is the one after the latest; it is the latest then."""
        if payload.seq is not None and self.seq is not None and payload.seq != (self.seq + 1) % NUMBERS:
            return False
        self.seq = payload.seq
        return True

    def doubt(self, since_ns: int) -> None:
        """Trust no alias any more until the next birth."""
        self.born = False
        self.blind_ns = since_ns if self.blind_ns is None else self.blind_ns
        self.aliases.clear()
        self.devices.clear()

    def names(self, device: str, metric: Metric) -> tuple[str, int] | None:
        """Return name and type of a device's metric; None where no birth has told, or it is another device's."""
        if metric.name:
            return metric.name, metric.datatype or self.types.get((device, metric.name), 0)
        known = None if metric.alias is None else self.aliases.get(metric.alias)
        if known is None or known[0] != device:
            return None
        return known[1], metric.datatype or self.types.get(known, 0)
