"""Owns checking InferenceServices against KServe's own types, as its Python client carries them, and Kubernetes' types.

The client is read, not imported: it would bring its whole server along.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from recloser.testing.apis.definition import mismatches

NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
REQUIRED = re.compile(r"Invalid value for `(\w+)`, must not be `None`")
ALIASES = {"K8sIoApiAppsV1DeploymentStrategy": "V1DeploymentStrategy", "ResourceQuantity": "str"}
IMPLEMENTATIONS = ("sklearn", "xgboost", "tensorflow", "pytorch", "triton", "onnx", "huggingface", "pmml", "lightgbm")


def is_there() -> bool:
    """Tell whether the clients of KServe and Kubernetes are installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("kserve", "kubernetes"))


def problems(document: Mapping[str, Any]) -> list[str]:
    """Return what KServe and Kubernetes would find wrong with an InferenceService: types, then KServe's own rules.

    Without KServe's client only the rules are checked.
    """
    found = _rules(document)
    if is_there():
        known = {name: item for name, item in document.items() if name != "status"}
        found = [*mismatches(known, "V1beta1InferenceService", "InferenceService", Models()), *found]
    return found


class Models:
    """The types of KServe's client, and those of Kubernetes' client for the rest."""

    def __getattr__(self, name: str) -> Any:
        name = ALIASES.get(name, name)
        found = _kserve_types().get(name)
        return getattr(importlib.import_module("kubernetes.client"), name) if found is None else found


@cache
def _kserve_types() -> dict[str, type]:
    spec = importlib.util.find_spec("kserve")
    assert spec is not None
    assert spec.submodule_search_locations
    folder = Path(next(iter(spec.submodule_search_locations))) / "models"
    found = {}
    for path in sorted(folder.glob("v1*_*.py")):
        text = path.read_text(encoding="utf-8")
        for node in ast.parse(text).body:
            if isinstance(node, ast.ClassDef):
                found[node.name] = _type_of(node, text)
    return found


def _type_of(node: ast.ClassDef, text: str) -> type:
    held: dict[str, Any] = {}
    for part in node.body:
        if isinstance(part, ast.Assign) and isinstance(part.targets[0], ast.Name):
            held[part.targets[0].id] = ast.literal_eval(part.value)
    required = set(REQUIRED.findall(text))

    def check(_: Any, **given: Any) -> None:
        for name in required:
            if given.get(name) is None:
                raise ValueError(f"Invalid value for `{name}`, must not be `None`")

    types = {own: _plain(kind) for own, kind in held["openapi_types"].items()}
    return type(node.name, (), {"openapi_types": types, "attribute_map": held["attribute_map"], "__init__": check})


def _plain(kind: str) -> str:
    for name, other in ALIASES.items():
        kind = kind.replace(name, other)
    return kind


def _rules(document: Mapping[str, Any]) -> list[str]:
    """Return what the validating webhook of KServe says."""
    found = []
    name = str((document.get("metadata") or {}).get("name", ""))
    if NAME.fullmatch(name) is None or len(f"{name}-predictor") > 63:
        found.append(f"metadata.name: {name!r} is no name of an InferenceService")
    if document.get("kind") != "InferenceService" or document.get("apiVersion") != "serving.kserve.io/v1beta1":
        found.append("not an InferenceService of serving.kserve.io/v1beta1")
    predictor = (document.get("spec") or {}).get("predictor") or {}
    made = [item for item in ("model", "containers", *IMPLEMENTATIONS) if predictor.get(item)]
    if len(made) != 1:
        found.append(f"spec.predictor: exactly one implementation must be specified, got {made}")
    least, most = predictor.get("minReplicas", 1), predictor.get("maxReplicas", 0)
    counts = [count for count in (least, most) if isinstance(count, int)]
    if len(counts) == 2 and (min(counts) < 0 or 0 < most < least):
        found.append("spec.predictor: minReplicas cannot be greater than maxReplicas")
    if "canaryTrafficPercent" in predictor:
        found.append("spec.predictor.canaryTrafficPercent: ignored in Standard mode")
    return found
