"""Owns what is measured of a candidate that runs as it would be deployed, and who measures it. Measures nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import polars as pl

from recloser.core import InvalidInput
from recloser.registry import Package

INSTALLED, FRESH = "installed", "fresh"
ENVIRONMENTS = (INSTALLED, FRESH)


@dataclass(frozen=True, slots=True)
class TrialPlan:
    """How a candidate is tried.

    Attributes:
        rate_per_s: requests a second, sent at fixed times whatever is answered.
        seconds: how long.
        environment: 'installed': this interpreter, after comparing it with the package's lock; 'fresh': a virtual
            environment made from the lock and a wheelhouse, without an index.
        start_within_s: the gateway must be ready by then.

    Raises:
        InvalidInput: numbers that measure nothing, or another environment.
    """

    rate_per_s: float = 50.0
    seconds: float = 10.0
    environment: str = INSTALLED
    start_within_s: float = 120.0

    def __post_init__(self) -> None:
        if not (self.rate_per_s > 0 and self.seconds > 0 and self.start_within_s > 0):
            raise InvalidInput("a trial that measures nothing", got=str(self), where="TrialPlan")
        if self.environment not in ENVIRONMENTS:
            raise InvalidInput("unknown environment", got=self.environment, expected=" or ".join(ENVIRONMENTS))


@dataclass(frozen=True, slots=True)
class LoadReport:
    """Open-loop load: latency counts from the time a request was meant to leave (no coordinated omission).

    Attributes:
        rate_per_s: requests a second that were meant to leave.
        sent: requests that left.
        answered: answers of any status.
        errors: what went wrong -> how often; requests without an answer included.
        p50_ms, p99_ms, p999_ms, largest_ms: of the good answers.
        seconds: from the first meant departure to the last answer.
        late_share: requests that left more than 10 ms late: the load itself was not what it should be.
        compared, different, fallbacks: answers compared with the model's own bit for bit, those that differ, and those
            that somebody else than the candidate gave.
    """

    rate_per_s: float
    sent: int
    answered: int
    errors: Mapping[str, int]
    p50_ms: float
    p99_ms: float
    p999_ms: float
    largest_ms: float
    seconds: float
    late_share: float
    compared: int = 0
    different: int = 0
    fallbacks: int = 0

    @property
    def error_share(self) -> float:
        """Return the share of the requests that got no good answer."""
        return sum(self.errors.values()) / max(1, self.sent)


@dataclass(frozen=True, slots=True)
class GoldenTold:
    """Golden rows scored somewhere else: where, how many rows, whether bits agree, and how it was told."""

    where: str
    rows: int
    agrees: bool
    reason: str


@dataclass(frozen=True, slots=True)
class TrialReport:
    """One candidate run by the real gateway in a process of its own.

    Attributes:
        release: what ran.
        environment: which one, see `TrialPlan`.
        start_s: from the start of the process to its first answer.
        memory_mb: its largest resident memory.
        golden: golden rows by where they were scored.
        load: what the load showed.
        locked: name -> (in the package's lock, in the trial's process), differences only.
        staging: what the trial's process is: interpreter, OS, CPU, threads, libraries.
        differs: name -> (in the trial's process, in the process that would serve), differences only.
    """

    release: str
    environment: str
    start_s: float
    memory_mb: float
    golden: tuple[GoldenTold, ...]
    load: LoadReport
    locked: Mapping[str, tuple[str | None, str | None]] = field(default_factory=dict)
    staging: Mapping[str, Any] = field(default_factory=dict)
    differs: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-ready form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TrialReport:
        """Read what `to_dict` wrote."""
        return cls(
            str(data["release"]),
            str(data["environment"]),
            float(data["start_s"]),
            float(data["memory_mb"]),
            tuple(GoldenTold(**item) for item in data["golden"]),
            LoadReport(**data["load"]),
            {name: (pair[0], pair[1]) for name, pair in data["locked"].items()},
            dict(data["staging"]),
            {name: (pair[0], pair[1]) for name, pair in data["differs"].items()},
        )


class TrialRunner(Protocol):
    """Runs a package as it would be deployed: real gateway, own process. May take minutes; leaves nothing behind."""

    def run(self, package: Package, requests: Sequence[pl.DataFrame], plan: TrialPlan) -> TrialReport:
        """Start it, load it with the requests in turn, and tell what was seen.

        Raises:
            Unavailable: the process, its environment or a wheel is not to be had now.
            Refused: the process says that the package must not serve.
        """
        ...
