"""Owns a Sparkplug B host: births, aliases, sequences, deaths, and what is missed between them. No I/O.

Source: Eclipse Sparkplug 3.0.0, chapter 5. A host here can say two things only: that it is there (STATE, if it has a
name) and, where it is allowed to, that a node shall tell its birth again. It cannot write a metric.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace

from recloser.connectors.live.conversation import Heard, Opening, Publication
from recloser.connectors.live.sparkplug.node import NUMBERS, EdgeNode
from recloser.connectors.points import Missed, Point, PointQuality, PointReading, PointRegistry, measured
from recloser.connectors.sparkplug import (
    BD_SEQ,
    Kind,
    Metric,
    Payload,
    Topic,
    read_payload,
    read_topic,
    rebirth_request,
    state_topic,
    wanted_topics,
)
from recloser.core import InvalidInput

MS_NS = 1_000_000
ASK_AGAIN_NS = 30_000_000_000  # a node that does not answer is asked again after so long
GOOD, STALE, UNCERTAIN = 192, 500, 64  # the property Quality; between 64 and 191 as in OPC

Found = list[PointReading | Missed]


@dataclass(slots=True)
class SparkplugTally:
    """What happened: messages that are damaged, repeated, out of sequence or before a birth; deaths that came late."""

    damaged: int = 0
    repeated: int = 0
    sequence_gaps: int = 0
    unborn: int = 0
    old_deaths: int = 0
    asked: int = 0


class SparkplugHost:
    """Reads the points of a registry from edge nodes; a `Conversation`.

    Args:
        source: the device, as the project names it.
        registry: its points; their addresses are GROUP/EDGE_NODE|METRIC or GROUP/EDGE_NODE/DEVICE|METRIC.
        host_id: name under which it tells that it is there; None to say nothing.
        request_rebirth: it may ask a node for its birth.
    """

    def __init__(
        self, source: str, registry: PointRegistry, *, host_id: str | None = None, request_rebirth: bool = False
    ) -> None:
        self._source, self._host, self._may_ask = source, host_id, request_rebirth
        self._points: dict[tuple[str, str, str, str], Point] = {}
        for point in registry.points:
            place, _, metric = point.address.partition("|")
            group, node, *device = place.split("/")
            self._points[group, node, device[0] if device else "", metric] = point
        self._nodes = {(group, node): EdgeNode() for group, node, _, _ in self._points}
        self._latest: dict[tuple[str, str, str], dict[str, PointReading]] = {}
        self._since_ms = 0
        self.tally = SparkplugTally()

    def begin(self, now_ns: int) -> Opening:
        """Return how a new connection begins: no birth is known any more."""
        self._since_ms = now_ns // MS_NS
        topics: list[str] = []
        asking: list[Publication] = []
        for (group, node), state in self._nodes.items():
            state.doubt(now_ns)
            state.asked_ns = None
            topics += wanted_topics(group, node)
            asking += self._ask((group, node), now_ns)
        if self._host is None:
            return Opening(topics, first=asking, kept=False)
        there, gone = self._state(online=True), self._state(online=False)
        return Opening([state_topic(self._host), *topics], gone, [there, *asking], [gone], kept=False)

    def heard(self, topic: str, payload: bytes, now_ns: int) -> Heard:
        """Return what a message gives."""
        if self._host is not None and topic == state_topic(self._host):
            return Heard(say=[self._state(online=True)] if _says_gone(payload) else [])
        about = read_topic(topic)
        node = None if about is None else self._nodes.get((about.group, about.node))
        if about is None or node is None:
            return Heard()
        if about.kind is not Kind.NDEATH:  # the broker says the same for the node, with the time of its birth
            if node.latest == (topic, payload):
                self.tally.repeated += 1
                return Heard()
            node.latest = (topic, payload)
        try:
            said = read_payload(payload)
        except InvalidInput:
            self.tally.damaged += 1
            return self._doubted(about, node, now_ns)
        if about.kind is Kind.NBIRTH:
            return self._birth(about, node, said, now_ns)
        if about.kind is Kind.NDEATH:
            return self._death(about, node, said, now_ns)
        return self._message(about, node, said, now_ns)

    def counts(self) -> dict[str, int]:
        """Return the tally by name."""
        return asdict(self.tally)

    def _birth(self, about: Topic, node: EdgeNode, said: Payload, now_ns: int) -> Heard:
        found: Found = []
        if node.blind_ns is not None:
            reason = f"{about.group}/{about.node} was not understood before its birth"
            found.append(Missed(min(node.blind_ns, now_ns), now_ns, reason))
        found += self._stale(about, now_ns, "NBIRTH")  # its devices are away until their own births
        node.begin(said)
        node.heard_ns = now_ns
        return Heard(found + self._readings(about, node, said, now_ns))

    def _death(self, about: Topic, node: EdgeNode, said: Payload, now_ns: int) -> Heard:
        told = said.metric(BD_SEQ)
        if node.born and told is not None and isinstance(told.value, int) and node.bd_seq is not None:
            behind = (node.bd_seq - told.value) % NUMBERS
            if 0 < behind < NUMBERS // 2:
                self.tally.old_deaths += 1  # of a session before this one; one that is ahead says that this one is over
                return Heard()
        node.doubt(now_ns)
        return Heard(self._stale(about, now_ns, "NDEATH"))

    def _message(self, about: Topic, node: EdgeNode, said: Payload, now_ns: int) -> Heard:
        """Take a message that has its place in the sequence: everything but a node's birth and death."""
        found: Found = []
        say: list[Publication] = []
        if node.born and not node.follows(said):
            self.tally.sequence_gaps += 1
            lost = self._doubted(about, node, now_ns)
            found, say = list(lost.found), list(lost.say)
        elif not node.born or (about.kind is not Kind.DBIRTH and about.device not in {*node.devices, ""}):
            self.tally.unborn += 1
            say = self._ask((about.group, about.node), now_ns)
        node.heard_ns = now_ns
        if about.kind is Kind.DDEATH:
            node.devices.discard(about.device)
            return Heard(found + self._stale(about, now_ns, "DDEATH"), say)
        if about.kind is Kind.DBIRTH and node.born:
            node.learn(about.device, said)
        return Heard(found + self._readings(about, node, said, now_ns), say)

    def _doubted(self, about: Topic, node: EdgeNode, now_ns: int) -> Heard:
        """Something is missing: what is known is stale, from the last message that was understood on."""
        node.doubt(now_ns if node.heard_ns is None else node.heard_ns)
        whole = replace(about, kind=Kind.NDATA, device="")
        return Heard(self._stale(whole, now_ns, "sequence"), self._ask((about.group, about.node), now_ns))

    def _readings(self, about: Topic, node: EdgeNode, said: Payload, now_ns: int) -> Found:
        found: Found = []
        for metric in said.metrics:
            named = node.names(about.device, metric)
            if named is None:
                continue
            point = self._points.get((about.group, about.node, about.device, named[0]))
            if point is None:
                continue
            whole = isinstance(metric.value, int) and not isinstance(metric.value, bool)
            if whole and not named[1]:
                continue  # nobody has told whether it has a sign
            reading = self._reading(metric, point, named[1], said.timestamp_ms, now_ns)
            reading = replace(reading, origin=f"sparkplug:{about.kind.value}{':historical' * metric.historical}")
            if not metric.historical:
                self._latest.setdefault((about.group, about.node, about.device), {})[point.name] = reading
            found.append(reading)
        return found

    def _reading(self, metric: Metric, point: Point, datatype: int, sent_ms: int | None, now_ns: int) -> PointReading:
        found = measured(point, metric.number(datatype))
        quality = found.quality
        stamp_ms = sent_ms if metric.timestamp_ms is None else metric.timestamp_ms
        source_ns = None if stamp_ms is None or not stamp_ms < 2**63 // MS_NS else stamp_ms * MS_NS
        if metric.quality == STALE:
            quality |= PointQuality.OLD
        elif metric.quality is not None and metric.quality < GOOD:
            quality |= PointQuality.UNCERTAIN if metric.quality >= UNCERTAIN else PointQuality.INVALID
        return PointReading(
            source=self._source,
            point=point.name,
            source_ns=source_ns,
            receive_ns=now_ns,
            number=found.number,
            unit=point.unit,
            quality=quality | (PointQuality.TIME_INVALID if source_ns is None else PointQuality.GOOD),
            raw_flags=metric.quality or 0,
            raw=found.raw,
        )

    def _stale(self, about: Topic, now_ns: int, why: str) -> Found:
        """Return the latest readings of a device, or of a node with all its devices, as stale; told once."""
        found: Found = []
        for key in [key for key in self._latest if key[:2] == (about.group, about.node)]:
            if not about.device or key[2] == about.device:
                latest = self._latest.pop(key)
                found += [last.gone_stale(now_ns, f"sparkplug:{why}") for last in latest.values()]
        return found

    def _ask(self, key: tuple[str, str], now_ns: int) -> list[Publication]:
        node = self._nodes[key]
        if not self._may_ask or (node.asked_ns is not None and now_ns - node.asked_ns < ASK_AGAIN_NS):
            return []
        node.asked_ns = now_ns
        self.tally.asked += 1
        return [Publication(str(Topic(key[0], Kind.NCMD, key[1])), rebirth_request(now_ns // MS_NS))]

    def _state(self, *, online: bool) -> Publication:
        text = json.dumps({"online": online, "timestamp": self._since_ms})
        return Publication(state_topic(self._host or ""), text.encode(), qos=1, retain=True)


def _says_gone(payload: bytes) -> bool:
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and document.get("online") is False
