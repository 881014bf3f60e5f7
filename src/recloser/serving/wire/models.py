"""Owns what models are called over the wire, and what is told about them. Loads none."""

from __future__ import annotations

from typing import Any

from recloser.core import InvalidInput
from recloser.serving.gateway import Gateway
from recloser.serving.wire.rows import InputColumns, tensors_of

FORECAST = "forecast"
"""Name of the model that follows the route; releases are models under their own names, without the ladder."""

PLATFORM = "recloser"


class UnknownModel(InvalidInput):
    """The gateway has no model of that name or version."""


def model_names(gateway: Gateway) -> tuple[str, ...]:
    """Return the models that can be asked: the routed one first, then the loaded ones."""
    return (FORECAST, *gateway.loaded)


def version_of(gateway: Gateway, name: str) -> str:
    """Return the version of a model: the route's epoch for the routed one, the name itself for a release."""
    return str(gateway.route.epoch) if name == FORECAST else name


def known_model(gateway: Gateway, name: str, version: str = "") -> str:
    """Return the name of a model that can be asked; an empty version means the present one.

    Raises:
        UnknownModel: no such model, or another version of it.
    """
    if name != FORECAST and name not in gateway.loaded:
        known = ", ".join(model_names(gateway))
        raise UnknownModel("no such model", got=name[:100], expected=f"one of {known}", where="model")
    if version not in ("", version_of(gateway, name)):
        expected = f"{version_of(gateway, name)}, the version in force"
        raise UnknownModel("no such version of the model", got=version[:100], expected=expected, where=name)
    return name


def model_metadata(gateway: Gateway, columns: InputColumns, name: str) -> dict[str, Any]:
    """Return the protocol's metadata of a model: versions, inputs and outputs."""
    inputs, outputs = tensors_of(columns, gateway.quantiles)
    versions = [version_of(gateway, name)]
    return {"name": name, "versions": versions, "platform": PLATFORM, "inputs": inputs, "outputs": outputs}


def model_config(gateway: Gateway, columns: InputColumns, name: str) -> dict[str, Any]:
    """Return the configuration of a model in the words of Triton's model configuration extension."""
    inputs, outputs = tensors_of(columns, gateway.quantiles)
    return {
        "name": name,
        "platform": PLATFORM,
        "backend": PLATFORM,
        "max_batch_size": 0,
        "input": [_configured(tensor) for tensor in inputs],
        "output": [_configured(tensor) for tensor in outputs],
    }


def repository_index(gateway: Gateway) -> list[dict[str, str]]:
    """Return what is loaded, as the protocol's repository index; all of it is ready or it would not be loaded."""
    return [
        {"name": name, "version": version_of(gateway, name), "state": "READY", "reason": ""}
        for name in model_names(gateway)
    ]


def _configured(tensor: dict[str, Any]) -> dict[str, Any]:
    kind = {"BYTES": "TYPE_STRING"}.get(tensor["datatype"], f"TYPE_{tensor['datatype']}")
    return {"name": tensor["name"], "data_type": kind, "dims": tensor["shape"]}
