"""Owns the software bill of materials of a release as CycloneDX 1.6. No time of its own: same in, same out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from uuid import UUID

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from recloser.core import digest_of

PROGRAM = "recloser"
_LONGEST = 80  # some distributions put the whole licence text where its name belongs


@dataclass(frozen=True, slots=True)
class Distribution:
    """An installed Python distribution, as its own metadata tell it.

    Attributes:
        name: normalised name.
        version: the version.
        licence: SPDX expression or name; empty where none is told.
        needs: normalised names of what it requires here, sorted.
    """

    name: str
    version: str
    licence: str = ""
    needs: tuple[str, ...] = ()


def read_distributions(names: Iterable[str]) -> tuple[Distribution, ...]:
    """Return those of the named distributions that are installed, sorted; each name once."""
    found = []
    for name in sorted({canonicalize_name(name) for name in names}):
        try:
            told = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        needs = {needed for text in told.requires or () for needed in _needed(text)}
        found.append(Distribution(name, told.version, _licence(told.metadata), tuple(sorted(needs))))
    return tuple(found)


def _needed(text: str) -> Iterable[str]:
    try:
        wanted = Requirement(text)
    except InvalidRequirement:
        return ()
    here = wanted.marker is None or wanted.marker.evaluate({"extra": ""})
    return (canonicalize_name(wanted.name),) if here else ()


def _licence(told: metadata.PackageMetadata) -> str:
    for key in ("License-Expression", "License"):
        text = str(told.get_all(key, [""])[0]).strip()
        if text and text.upper() != "UNKNOWN" and "\n" not in text and len(text) <= _LONGEST:
            return text
    classed = [text.rsplit("::", 1)[1].strip() for text in told.get_all("Classifier", []) if text.startswith("License")]
    return " AND ".join(sorted(set(classed))) if len(classed) == 1 else ", ".join(sorted(set(classed)))


def write_sbom(kind: str, files: Sequence[tuple[str, str]], distributions: Sequence[Distribution]) -> bytes:
    """Return the bill of materials of a model and the software that runs it.

    Args:
        kind: kind of the model, such as 'lightgbm_quantile'.
        files: path and SHA-256 of each file of the model.
        distributions: what it runs on.
    """
    model = Component(name=kind, type=ComponentType.MACHINE_LEARNING_MODEL, bom_ref=f"model:{kind}")
    for path, sha256 in sorted(files):
        digest = HashType(alg=HashAlgorithm.SHA_256, content=sha256)
        model.components.add(Component(name=path, type=ComponentType.FILE, bom_ref=f"file:{path}", hashes=[digest]))
    bom = Bom()
    # Both are random or the present by default; a release must not differ by when its list was written.
    bom.serial_number = UUID(digest_of([kind, sorted(files), [asdict(item) for item in distributions]])[:32], version=4)
    bom.metadata.timestamp = None  # type: ignore[assignment]
    bom.metadata.component = model
    known = {item.name: _component(item) for item in distributions}
    for component in known.values():
        bom.components.add(component)
    for item in distributions:
        bom.register_dependency(known[item.name], [known[name] for name in item.needs if name in known])
    bom.register_dependency(model, [known[PROGRAM]] if PROGRAM in known else known.values())
    return (JsonV1Dot6(bom).output_as_string(indent=1) + "\n").encode()


def _component(item: Distribution) -> Component:
    licences = [LicenseFactory().make_from_string(item.licence)] if item.licence else []
    return Component(
        name=item.name,
        version=item.version,
        type=ComponentType.APPLICATION if item.name == PROGRAM else ComponentType.LIBRARY,
        bom_ref=f"{item.name}@{item.version}",
        purl=PackageURL("pypi", None, item.name, item.version),
        licenses=licences,
        properties=[] if item.licence else [Property(name="recloser:licence", value="not told by the distribution")],
    )
