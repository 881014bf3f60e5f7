"""Owns the documents of Open Inference Protocol v2 over REST: JSON and the binary tensor extension.

With the extension a body is a JSON header, its length in `Inference-Header-Content-Length`, then the raw tensors in the
order of the header. Knows neither rows nor models.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
import numpy as np

from recloser.core import InvalidInput, unknown_name
from recloser.serving.wire.strict import MalformedBody, decode
from recloser.serving.wire.tensors import (
    BYTES,
    DTYPES,
    LONGEST_SHAPE,
    Tensor,
    dtype_of,
    from_raw,
    require_count,
    to_raw,
)

Number = float | None
Parameters = dict[str, bool | int | float | str]
Size = Annotated[int, msgspec.Meta(ge=0)]
Shape = Annotated[list[Size], msgspec.Meta(min_length=1, max_length=LONGEST_SHAPE)]
Datatype = Annotated[str, msgspec.Meta(extra_json_schema={"enum": [BYTES, *DTYPES]})]
DATA = msgspec.Meta(
    description="Flat or nested rows, in row order. A missing number is null; BYTES are texts.",
    extra_json_schema={"type": "array", "items": {"type": ["number", "string", "boolean", "null", "array"]}},
)
NESTED = re.compile(rb"\s*\[\s*\[")
KINDS: Mapping[str, tuple[msgspec.json.Decoder[Any], msgspec.json.Decoder[Any]]] = {
    BYTES: (msgspec.json.Decoder(list[str]), msgspec.json.Decoder(list[list[str]])),
    "BOOL": (msgspec.json.Decoder(list[bool]), msgspec.json.Decoder(list[list[bool]])),
    **dict.fromkeys(
        DTYPES.keys() - {"BOOL"}, (msgspec.json.Decoder(list[Number]), msgspec.json.Decoder(list[list[Number]]))
    ),
}
"""Datatype -> decoders of its JSON data, flat and nested."""

UNSUPPORTED = ("shared_memory_region", "classification")
EXTENSIONS = ("binary_tensor_data", "statistics", "model_configuration")
"""Extensions of the protocol that are spoken, as server metadata names them."""


class RequestInput(msgspec.Struct, forbid_unknown_fields=True):
    """One input tensor of a request: `data` in JSON, or `binary_data_size` in its parameters."""

    name: str
    shape: Shape
    datatype: Datatype
    data: Annotated[msgspec.Raw, DATA] | msgspec.UnsetType = msgspec.UNSET
    parameters: Parameters = {}


class RequestOutput(msgspec.Struct, forbid_unknown_fields=True):
    """One output a request asks for; `binary_data` in its parameters says in which form."""

    name: str
    parameters: Parameters = {}


class InferRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Body or header of an inference request; `binary_data_output` asks for all outputs in binary.

    KServe's client repeats the model's name.
    """

    inputs: list[RequestInput]
    id: str | None = None
    outputs: list[RequestOutput] | None = None
    parameters: Parameters = {}
    model_name: str | None = None


REQUEST = msgspec.json.Decoder(InferRequest)


@dataclass(frozen=True, slots=True)
class Call:
    """An inference request as every transport reads it.

    Attributes:
        tensors: the inputs.
        id: the caller's name for the request, or None.
        wanted: (output, in binary) in the order asked for; empty means all.
        binary: whether outputs that say nothing else go out in binary.
        model: the model the request itself names, or None.
        parameters: of the whole request; what is not known is ignored, as the protocol allows.
    """

    tensors: tuple[Tensor, ...]
    id: str | None = None
    wanted: tuple[tuple[str, bool], ...] = ()
    binary: bool = False
    model: str | None = None
    parameters: Parameters = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a call: who answered, and all outputs there are."""

    model: str
    version: str
    tensors: tuple[Tensor, ...]


def read_call(body: bytes, header: str | None) -> Call:
    """Read an inference request.

    Args:
        body: whole body.
        header: value of `Inference-Header-Content-Length`, or None: the whole body is JSON.

    Raises:
        MalformedBody: not JSON, or lengths that do not fit the body.
        InvalidInput: JSON of another form, both or neither form of data, data that do not fit shape or datatype.
    """
    length = len(body) if header is None else _header_length(header, len(body))
    view = memoryview(body)
    request = decode(view[:length], REQUEST, "infer")
    tensors, at = [], length
    for given in request.inputs:
        refuse_unsupported(given.name, given.parameters)
        size = _binary_size(given)
        if size is None:
            tensors.append(_from_json(given))
            continue
        if at + size > len(body):
            raise MalformedBody("a tensor beyond the body", got=size, expected=f"<= {len(body) - at}", where=given.name)
        tensors.append(from_raw(given.name, given.datatype, given.shape, view[at : at + size]))
        at += size
    if at != len(body):
        raise MalformedBody("bytes that belong to no tensor", got=len(body), expected=str(at), where="infer.inputs")
    return Call(tuple(tensors), request.id, *_wanted(request), request.model_name, request.parameters)


def check_call(call: Call, model: str, known: Sequence[str]) -> None:
    """Check that a call means this model and asks only for outputs there are; do so before any model is asked.

    Raises:
        InvalidInput: it does not.
    """
    if call.model not in (None, model):
        raise InvalidInput("a request that names another model", got=call.model, expected=model, where="infer")
    for name, _ in call.wanted:
        if name not in known:
            raise unknown_name("output", name, known, where="infer.outputs")


def chosen_outputs(call: Call, reply: Reply) -> list[tuple[Tensor, bool]]:
    """Return the outputs a call asked for, with whether each goes out in binary."""
    if not call.wanted:
        binary = call.binary
        return [(tensor, binary) for tensor in reply.tensors]
    known = {tensor.name: tensor for tensor in reply.tensors}
    return [(known[name], binary) for name, binary in call.wanted]


def write_reply(call: Call, reply: Reply) -> tuple[bytes, int | None]:
    """Return the body of an answer, and the length of its JSON header if raw tensors follow."""
    chosen = chosen_outputs(call, reply)
    if not any(binary for _, binary in chosen):
        return _document(call, reply, [_described(tensor, None) for tensor, _ in chosen]), None
    raw = [to_raw(tensor) if binary else None for tensor, binary in chosen]
    outputs = [
        _described(tensor, None if data is None else len(data)) for (tensor, _), data in zip(chosen, raw, strict=True)
    ]
    header = _document(call, reply, outputs)
    return b"".join((header, *(data for data in raw if data is not None))), len(header)


def _document(call: Call, reply: Reply, outputs: list[dict[str, Any]]) -> bytes:
    body = {"model_name": reply.model, "model_version": reply.version, "outputs": outputs}
    return msgspec.json.encode(body if call.id is None else {**body, "id": call.id})


def _wanted(request: InferRequest) -> tuple[tuple[tuple[str, bool], ...], bool]:
    binary = _flag(request.parameters, "binary_data_output", "infer.parameters", default=False)
    wanted = []
    for output in request.outputs or ():
        refuse_unsupported(output.name, output.parameters)
        wanted.append((output.name, _flag(output.parameters, "binary_data", output.name, default=binary)))
    return tuple(wanted), binary


def _flag(parameters: Parameters, name: str, where: str, *, default: bool) -> bool:
    flag = parameters.get(name, default)
    if not isinstance(flag, bool):
        raise InvalidInput(f"{name} that is not a truth value", got=flag, expected="true or false", where=where)
    return flag


def timeout_ms(parameters: Parameters) -> float | None:
    """Return the caller's time in milliseconds, from the parameter `timeout` in microseconds; None if not given.

    Raises:
        InvalidInput: not a number.
    """
    given = parameters.get("timeout")
    return None if given is None else milliseconds(given, 1_000.0)


def milliseconds(given: float | str, per_ms: float) -> float:
    """Return a time given as a number or text in milliseconds.

    Raises:
        InvalidInput: not a number.
    """
    try:
        return float(given) / per_ms
    except ValueError as error:
        raise InvalidInput("unusable time for an answer", got=str(given)[:50], expected="a number > 0") from error


def refuse_unsupported(name: str, parameters: Parameters) -> None:
    """Check that the parameters of a tensor ask for no extension that is not spoken.

    Raises:
        InvalidInput: they do.
    """
    for unsupported in UNSUPPORTED:
        if unsupported in parameters:
            raise InvalidInput("an extension that is not spoken", got=unsupported, expected=EXTENSIONS[0], where=name)


def _header_length(header: str, available: int) -> int:
    if not (header.isascii() and header.isdigit() and len(header) < 19):
        where = "Inference-Header-Content-Length"
        raise MalformedBody("a header length that is no number", got=header[:40], expected="bytes", where=where)
    length = int(header)
    if length > available:
        expected = f"<= {available}, the bytes of the body"
        where = "Inference-Header-Content-Length"
        raise MalformedBody("a header longer than the body", got=length, expected=expected, where=where)
    return length


def _binary_size(given: RequestInput) -> int | None:
    """Return how many raw bytes follow for an input, or None if its data are in the JSON."""
    size, has_data = given.parameters.get("binary_data_size"), given.data is not msgspec.UNSET
    if (size is None) != has_data:
        expected = "either data or the parameter binary_data_size"
        raise InvalidInput("not exactly one form of data", expected=expected, where=given.name)
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 0):
        raise MalformedBody("a binary_data_size that is no size", got=size, expected="bytes", where=given.name)
    return size


def _from_json(given: RequestInput) -> Tensor:
    """Read data in JSON, whether written flat or nested."""
    assert given.data is not msgspec.UNSET
    if given.datatype not in KINDS:
        dtype_of(given.name, given.datatype)
    flat, nested = KINDS[given.datatype]
    is_nested = NESTED.match(memoryview(given.data)) is not None
    data = decode(given.data, nested if is_nested else flat, given.name)
    cells = [cell for row in data for cell in row] if is_nested else data
    require_count(given.name, given.shape, len(cells))
    values = cells if given.datatype == BYTES else np.array(cells, dtype=np.float64)
    return Tensor(given.name, given.datatype, tuple(given.shape), values)


def _described(tensor: Tensor, size: int | None) -> dict[str, Any]:
    described: dict[str, Any] = {"name": tensor.name, "shape": tensor.shape, "datatype": tensor.datatype}
    if size is None:
        described["data"] = tensor.values if isinstance(tensor.values, list) else tensor.values.tolist()
    else:
        described["parameters"] = {"binary_data_size": size}
    return described
