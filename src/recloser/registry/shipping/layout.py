"""Owns images as OCI image layouts (image-spec 1.1), written and read without a container engine. Runs none.

No maintained Python library writes a layout without a registry or an engine; the format is a few JSON documents.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from recloser.core import InvalidInput, canonical_json, digest_bytes
from recloser.registry.shipping.archive import tar_bytes

INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"

NOBODY = "65532:65532"


@dataclass(frozen=True, slots=True)
class BaseImage:
    """An image that others are built on, verified.

    Attributes:
        digest: 'sha256:' and 64 hex digits of its manifest.
        manifest, config: its documents.
        blobs: its layers by digest.
    """

    digest: str
    manifest: Mapping[str, Any]
    config: Mapping[str, Any]
    blobs: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class ImagePlan:
    """What an image is to be.

    Attributes:
        reference: name in the layout, such as the release id.
        files: content by absolute path without the leading '/'.
        architecture: as Go names it: amd64 or arm64.
        labels: facts about it; also its annotations.
        entry: program and arguments; none for an image that is only mounted.
        base: what it is built on; None for an image of files alone.
    """

    reference: str
    files: Mapping[str, bytes]
    architecture: str = "amd64"
    labels: Mapping[str, str] = field(default_factory=dict)
    entry: tuple[str, ...] = ()
    base: BaseImage | None = None


def write_layout(plan: ImagePlan) -> bytes:
    """Return the layout as a tar archive; equal plans give equal bytes (layers are not compressed for that reason)."""
    layer = tar_bytes(dict(sorted(plan.files.items())), folders=True)
    config = canonical_json(_config(plan, layer))
    blobs = {} if plan.base is None else dict(plan.base.blobs)
    layers = [] if plan.base is None else list(plan.base.manifest["layers"])
    layers.append(_descriptor(LAYER_TYPE, layer))
    manifest = canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": _descriptor(CONFIG_TYPE, config),
            "layers": layers,
            "annotations": dict(plan.labels),
        }
    )
    blobs |= {_digest(content): content for content in (layer, config, manifest)}
    named = {"org.opencontainers.image.ref.name": plan.reference}
    described = _descriptor(MANIFEST_TYPE, manifest)
    described |= {"annotations": named, "platform": {"architecture": plan.architecture, "os": "linux"}}
    index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [described]}
    files = {"oci-layout": canonical_json({"imageLayoutVersion": "1.0.0"}), "index.json": canonical_json(index)}
    files |= {f"blobs/sha256/{name.removeprefix('sha256:')}": blobs[name] for name in sorted(blobs)}
    return tar_bytes(files, folders=True)


def read_base(files: Mapping[str, bytes], digest: str, where: str) -> BaseImage:
    """Return the image of a layout whose manifest has that digest, all of it verified.

    Args:
        files: the layout's files by path.
        digest: 'sha256:' and 64 hex digits.
        where: names the layout in errors.

    Raises:
        InvalidInput: no such image there, or a blob is missing or not what its digest says.
    """
    manifest = _document(files, digest, where)
    if manifest.get("mediaType", MANIFEST_TYPE) != MANIFEST_TYPE or "layers" not in manifest:
        raise InvalidInput(
            "the digest is not that of an image manifest", got=str(manifest.get("mediaType")), where=where
        )
    config = _document(files, manifest["config"]["digest"], where)
    blobs = {item["digest"]: _blob(files, item["digest"], where) for item in manifest["layers"]}
    return BaseImage(digest, manifest, config, blobs)


def _config(plan: ImagePlan, layer: bytes) -> dict[str, Any]:
    base: Mapping[str, Any] = {} if plan.base is None else plan.base.config
    runs = {**base.get("config", {}), "User": NOBODY, "WorkingDir": "/", "Labels": dict(plan.labels)}
    if plan.entry:
        runs |= {"Entrypoint": list(plan.entry), "Cmd": []}
    before = base.get("rootfs", {}).get("diff_ids", [])
    history = [*base.get("history", []), {"created_by": "recloser package oci", "comment": plan.reference}]
    return {
        **{key: base[key] for key in ("variant", "os.version", "os.features") if key in base},
        "architecture": base.get("architecture", plan.architecture),
        "os": "linux",
        "config": runs,
        "rootfs": {"type": "layers", "diff_ids": [*before, _digest(layer)]},
        "history": history,
    }


def _descriptor(kind: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": kind, "digest": _digest(content), "size": len(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{digest_bytes(content)}"


def _document(files: Mapping[str, bytes], digest: str, where: str) -> dict[str, Any]:
    try:
        data = json.loads(_blob(files, digest, where))
    except ValueError as error:
        raise InvalidInput("not a JSON document", got=digest, where=where) from error
    if not isinstance(data, dict):
        raise InvalidInput("not a JSON object", got=digest, where=where)
    return data


def _blob(files: Mapping[str, bytes], digest: str, where: str) -> bytes:
    content = files.get(f"blobs/{digest.replace(':', '/', 1)}")
    if content is None:
        raise InvalidInput("the image layout has no such blob", got=digest, where=where)
    if _digest(content) != digest:
        raise InvalidInput("a blob is not what its digest says", got=_digest(content), expected=digest, where=where)
    return content
