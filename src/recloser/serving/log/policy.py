"""Owns how the prediction log behaves: what it keeps, when it syncs, how much may wait. Also what it reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from recloser.core import InvalidInput
from recloser.serving.log.record import Inputs

Sync = Literal["group", "each", "none"]
State = Literal["ok", "stalled", "closed"]


@dataclass(frozen=True, slots=True)
class LogPolicy:
    """Settings of one log.

    Attributes:
        inputs: keep a digest of each request's inputs, all of them, or nothing.
        sync: 'group': answers leave at once and are synced together; 'each': an answer leaves once it is durable, or
            once that has failed; 'none': written, synced only when a segment is sealed.
        segment_bytes, segment_age_s: a segment is sealed at this size, or when its first record is so old.
        queue_bytes: what may wait in memory; beyond it answers are served and counted as a gap.
        pause_s: time between two syncs of a group, which bounds their number.
        retry_s: time between two attempts after the disk failed.
        patience_s: with sync 'each' an answer waits no longer than this.

    Raises:
        InvalidInput: a number that is not positive.
    """

    inputs: Inputs = "digest"
    sync: Sync = "group"
    segment_bytes: int = 16 * 1024 * 1024
    segment_age_s: float = 60.0
    queue_bytes: int = 64 * 1024 * 1024
    pause_s: float = 0.05
    retry_s: float = 1.0
    patience_s: float = 1.0

    def __post_init__(self) -> None:
        for name in ("segment_bytes", "segment_age_s", "queue_bytes", "retry_s", "patience_s"):
            if not getattr(self, name) > 0:
                raise InvalidInput("not positive", got=getattr(self, name), expected="> 0", where=f"log.{name}")


@dataclass(frozen=True, slots=True)
class LogStatus:
    """What a log tells about itself.

    Attributes:
        state: 'stalled' while the disk does not take records; answers go on.
        error: why it is stalled, else empty.
        written: records made durable (or, with sync 'none', written) since the start.
        dropped: answers given but not logged since the start.
        gaps: times that dropping began since the start.
        durable: highest durable sequence.
        waiting_bytes: what waits in memory, about.
        syncs: groups synced.
        cut_bytes, damaged: what the recovery at the start cut off and found damaged.
    """

    state: State = "ok"
    error: str = ""
    written: int = 0
    dropped: int = 0
    gaps: int = 0
    durable: int = 0
    waiting_bytes: int = 0
    syncs: int = 0
    cut_bytes: int = 0
    damaged: int = 0

    def to_dict(self) -> dict[str, object]:
        """Return what consumers of the gateway are told."""
        return {
            "state": self.state,
            "error": self.error,
            "written": self.written,
            "dropped": self.dropped,
            "gaps": self.gaps,
            "waiting_bytes": self.waiting_bytes,
        }
