"""Owns the way between protobuf messages and calls, replies and documents. Knows no server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf import json_format
from google.protobuf.message import DecodeError

from recloser.core import InvalidInput
from recloser.serving.grpc.messages import MESSAGES
from recloser.serving.wire.oip import Call, Parameters, Reply, chosen_outputs, refuse_unsupported
from recloser.serving.wire.strict import MalformedBody
from recloser.serving.wire.tensors import BYTES, DTYPES, Tensor, dtype_of, from_raw, require_count, to_raw

TYPED: Mapping[str, str] = {
    BYTES: "bytes_contents",
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
}
"""Where typed contents of a datatype stand; FP16 travels raw only."""

CONFIG_TYPES = (
    *("INVALID", "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"),
    *("FP16", "FP32", "FP64", "STRING"),
)
"""Datatypes of a model configuration in the order of their numbers."""


def parse(kind: str, content: bytes) -> Any:
    """Read a message.

    Raises:
        MalformedBody: the bytes are no such message.
    """
    try:
        return MESSAGES[kind].FromString(content)
    except DecodeError as error:
        raise MalformedBody("bytes that are no message", expected=kind, where="grpc") from error


def message_of(kind: str, document: Mapping[str, Any]) -> Any:
    """Return a document as the message with the same names."""
    return json_format.ParseDict(document, MESSAGES[kind]())


def call_of(request: Any) -> tuple[Call, bool]:
    """Return a ModelInferRequest as a call, and whether its data came raw.

    Raises:
        MalformedBody: raw data for some inputs only, or lengths that do not fit.
        InvalidInput: data that do not fit shape or datatype, an extension that is not spoken.
    """
    raws = request.raw_input_contents
    if raws and len(raws) != len(request.inputs):
        expected = f"{len(request.inputs)}, one per input"
        raise MalformedBody("raw data for some inputs only", got=len(raws), expected=expected, where="infer.inputs")
    tensors = tuple(_tensor_of(given, memoryview(raws[k]) if raws else None) for k, given in enumerate(request.inputs))
    for output in request.outputs:
        refuse_unsupported(output.name, _parameters(output.parameters))
    wanted = tuple((output.name, True) for output in request.outputs)
    call = Call(tensors, request.id or None, wanted, binary=True, parameters=_parameters(request.parameters))
    return call, bool(raws)


def reply_of(call: Call, reply: Reply, *, raw: bool) -> Any:
    """Return the ModelInferResponse of a reply, its data raw or typed."""
    response = MESSAGES["ModelInferResponse"](model_name=reply.model, model_version=reply.version, id=call.id or "")
    for tensor, _ in chosen_outputs(call, reply):
        output = response.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        if raw:
            response.raw_output_contents.append(to_raw(tensor))
            continue
        contents = getattr(output.contents, TYPED[tensor.datatype])
        if isinstance(tensor.values, list):
            contents.extend(text.encode() for text in tensor.values)
        else:
            contents.extend(tensor.values.tolist())
    return response


def config_of(document: Mapping[str, Any]) -> Any:
    """Return a model configuration as a ModelConfigResponse."""

    def numbered(tensors: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**one, "data_type": CONFIG_TYPES.index(one["data_type"].removeprefix("TYPE_"))} for one in tensors]

    config = {**document, "input": numbered(document["input"]), "output": numbered(document["output"])}
    return message_of("ModelConfigResponse", {"config": config})


def _tensor_of(given: Any, raw: memoryview | None) -> Tensor:
    name, datatype, shape = given.name, given.datatype, list(given.shape)
    refuse_unsupported(name, _parameters(given.parameters))
    if raw is not None:
        if given.contents.ByteSize():
            raise MalformedBody("typed and raw data at once", expected="one form", where=name)
        return from_raw(name, datatype, shape, raw)
    if datatype not in TYPED:
        dtype_of(name, datatype)
        raise InvalidInput("a datatype without typed contents", got=datatype, expected="raw contents", where=name)
    contents = getattr(given.contents, TYPED[datatype])
    require_count(name, shape, len(contents))
    if datatype == BYTES:
        return Tensor(name, datatype, tuple(shape), [_text(name, item) for item in contents])
    wide = {"INT8": "INT32", "INT16": "INT32", "UINT8": "UINT32", "UINT16": "UINT32"}.get(datatype, datatype)
    return Tensor(name, datatype, tuple(shape), np.fromiter(contents, DTYPES[wide], len(contents)))


def _text(name: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise MalformedBody("a text that is not UTF-8", where=name) from error


def _parameters(entries: Any) -> Parameters:
    found: Parameters = {}
    for entry in entries:
        choice = entry.value.WhichOneof("choice")
        if choice is not None:
            found[entry.key] = getattr(entry.value, choice)
    return found
