"""Owns a gateway process's figures as data: metric families and counts by model; how those of several go together.

Counts nothing itself and publishes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

Kind = Literal["counter", "gauge", "histogram"]


class Sample(msgspec.Struct, array_like=True, frozen=True):
    """One number of a family: its labels, and what its name has behind the family's ('_bucket', '_sum', ...)."""

    labels: dict[str, str]
    number: float
    suffix: str = ""


class Family(msgspec.Struct, array_like=True, frozen=True):
    """One metric with its samples, as Prometheus knows it."""

    name: str
    kind: Kind
    text: str
    samples: list[Sample]


class ModelCounts(msgspec.Struct, frozen=True):
    """What one model was asked: 'rows', '<duration>.count' and '<duration>.ns'; when last (ms since 1970, 0: never)."""

    counts: dict[str, int] = {}
    last_ms: int = 0


class Figures(msgspec.Struct, frozen=True):
    """All figures of one process."""

    families: list[Family] = []
    models: dict[str, ModelCounts] = {}


def family(name: str, kind: Kind, text: str, samples: Iterable[tuple[Mapping[str, str], float]]) -> Family:
    """Return a family of samples without suffixes."""
    return Family(name, kind, text, [Sample(dict(labels), number) for labels, number in samples])


def text_of(families: Iterable[Family]) -> str:
    """Return the families in Prometheus' text format 0.0.4."""
    lines: list[str] = []
    for one in families:
        lines += [f"# HELP {one.name} {one.text}", f"# TYPE {one.name} {one.kind}"]
        lines += [f"{one.name}{sample.suffix}{_labels(sample.labels)} {sample.number!r}" for sample in one.samples]
    return "\n".join([*lines, ""])


def by_worker(figures: Mapping[str, Figures]) -> list[Family]:
    """Return the families of several processes as one list, each sample with a label `worker`."""
    found: dict[str, Family] = {}
    for worker, own in figures.items():
        for one in own.families:
            samples = found.setdefault(one.name, Family(one.name, one.kind, one.text, [])).samples
            samples += [Sample({"worker": worker, **s.labels}, s.number, s.suffix) for s in one.samples]
    return list(found.values())


def model_sums(figures: Iterable[Figures], name: str) -> ModelCounts:
    """Return what a model was asked in all processes together."""
    return _sum([own.models[name] for own in figures if name in own.models])


def carried_on(before: Figures, now: Figures) -> Figures:
    """Return the figures of a process that goes on where the one before it ended: counts add up, gauges are its own."""
    old = {one.name: one for one in before.families}
    families = [_added(old.pop(one.name, None), one) for one in now.families]
    families += [one for one in old.values() if one.kind != "gauge"]
    models = {
        name: _sum([own.models[name] for own in (before, now) if name in own.models])
        for name in {**before.models, **now.models}
    }
    return Figures(families, models)


def without_gauges(figures: Figures) -> Figures:
    """Return what stays true of a process that has ended."""
    return Figures([one for one in figures.families if one.kind != "gauge"], figures.models)


def _added(before: Family | None, now: Family) -> Family:
    if before is None or now.kind == "gauge":
        return now
    totals: dict[tuple[str, tuple[tuple[str, str], ...]], Sample] = {}
    for sample in (*before.samples, *now.samples):
        key = (sample.suffix, tuple(sorted(sample.labels.items())))
        known = totals.get(key)
        totals[key] = sample if known is None else Sample(sample.labels, known.number + sample.number, sample.suffix)
    return Family(now.name, now.kind, now.text, list(totals.values()))


def _sum(parts: Sequence[ModelCounts]) -> ModelCounts:
    counts: dict[str, int] = {}
    for part in parts:
        for name, number in part.counts.items():
            counts[name] = counts.get(name, 0) + number
    return ModelCounts(counts, max((part.last_ms for part in parts), default=0))


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items()) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
