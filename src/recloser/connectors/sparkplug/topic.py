"""Owns the topics of Sparkplug B: spBv1.0/GROUP/KIND/EDGE_NODE[/DEVICE], and those of a host's state."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

NAMESPACE = "spBv1.0"


class Kind(Enum):
    """What a message is, as its topic says."""

    NBIRTH = "NBIRTH"
    NDATA = "NDATA"
    NDEATH = "NDEATH"
    DBIRTH = "DBIRTH"
    DDATA = "DDATA"
    DDEATH = "DDEATH"
    NCMD = "NCMD"


OF_DEVICES = frozenset({Kind.DBIRTH, Kind.DDATA, Kind.DDEATH})
TOLD = tuple(kind for kind in Kind if kind is not Kind.NCMD)


@dataclass(frozen=True, slots=True)
class Topic:
    """Whose message it is; `device` is '' for those of the edge node itself."""

    group: str
    kind: Kind
    node: str
    device: str = ""

    def __str__(self) -> str:
        return "/".join([NAMESPACE, self.group, self.kind.value, self.node, *([self.device] if self.device else [])])


def read_topic(text: str) -> Topic | None:
    """Return a topic of a node or device; None for every other."""
    parts = text.split("/")
    if len(parts) not in {4, 5} or parts[0] != NAMESPACE or not all(parts):
        return None
    try:
        kind = Kind(parts[2])
    except ValueError:
        return None
    if (kind in OF_DEVICES) != (len(parts) == 5):
        return None
    return Topic(parts[1], kind, parts[3], parts[4] if len(parts) == 5 else "")


def state_topic(host: str) -> str:
    """Return the topic on which a host tells whether it is there."""
    return f"{NAMESPACE}/STATE/{host}"


def wanted_topics(group: str, node: str) -> list[str]:
    """Return the filters for all that an edge node and its devices say."""
    return [f"{NAMESPACE}/{group}/{kind.value}/{node}{'/+' if kind in OF_DEVICES else ''}" for kind in TOLD]
