"""Owns tensors of the Open Inference Protocol v2 and their raw form in little-endian bytes. Knows no model.

Raw form: numbers side by side in row order; a BYTES element is its length as an unsigned 32-bit number and its bytes.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recloser.core import FloatArray, InvalidInput
from recloser.serving.wire.strict import MalformedBody

BYTES = "BYTES"
LONGEST_SHAPE = 8
"""Dimensions of a tensor; more cannot be meant."""

DTYPES: Mapping[str, np.dtype[Any]] = {
    "BOOL": np.dtype("u1"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
"""Numeric datatypes; BOOL is one byte per element, 0 or 1."""

_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor, flat in row order.

    Attributes:
        name: of the input or output.
        datatype: as the protocol names it.
        shape: of the data, never negative.
        values: numbers (NaN is missing) or texts, shape (prod(shape),).
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: npt.NDArray[Any] | list[str]

    def floats(self) -> FloatArray:
        """Return the numbers as float64, without copying where they are.

        Raises:
            InvalidInput: texts.
        """
        if isinstance(self.values, list):
            raise InvalidInput("another datatype", got=self.datatype, expected=", ".join(DTYPES), where=self.name)
        if self.values.dtype == np.float64:
            return self.values
        with np.errstate(invalid="ignore"):  # a signalling NaN is missing like any other
            floats: FloatArray = self.values.astype(np.float64)
        return floats

    def texts(self) -> list[str]:
        """Return the texts.

        Raises:
            InvalidInput: numbers.
        """
        if not isinstance(self.values, list):
            raise InvalidInput("another datatype", got=self.datatype, expected=BYTES, where=self.name)
        return self.values


def count_of(name: str, shape: Sequence[int]) -> int:
    """Return the number of elements of a shape.

    Raises:
        InvalidInput: no dimension, too many or a negative one.
    """
    if not 1 <= len(shape) <= LONGEST_SHAPE or min(shape) < 0:
        expected = f"1 to {LONGEST_SHAPE} sizes, none negative"
        raise InvalidInput("a shape that cannot be", got=list(shape[:LONGEST_SHAPE]), expected=expected, where=name)
    return math.prod(shape)


def require_count(name: str, shape: Sequence[int], found: int) -> None:
    """Check that a shape fits the number of elements found.

    Raises:
        InvalidInput: it does not.
    """
    if count_of(name, shape) != found:
        raise InvalidInput("a shape that does not fit the data", got=list(shape), expected=str(found), where=name)


def from_raw(name: str, datatype: str, shape: Sequence[int], raw: memoryview) -> Tensor:
    """Read a tensor from its raw form; numbers are a view of `raw`, not a copy.

    Allocates nothing before the lengths are known to fit.

    Raises:
        InvalidInput: an unknown datatype or an impossible shape.
        MalformedBody: lengths that do not fit, BYTES that are not UTF-8, BOOL beyond 0 and 1.
    """
    count = count_of(name, shape)
    if datatype == BYTES:
        return Tensor(name, datatype, tuple(shape), _texts_from_raw(name, count, raw))
    dtype = dtype_of(name, datatype)
    if count * dtype.itemsize != len(raw):
        expected = f"{count * dtype.itemsize} bytes for shape {list(shape)} of {datatype}"
        raise MalformedBody("raw data of another length", got=len(raw), expected=expected, where=name)
    values = np.frombuffer(raw, dtype=dtype)
    if datatype == "BOOL" and count and values.max() > 1:
        raise MalformedBody("a BOOL that is neither 0 nor 1", got=int(values.max()), expected="0 or 1", where=name)
    return Tensor(name, datatype, tuple(shape), values)


def dtype_of(name: str, datatype: str) -> np.dtype[Any]:
    """Return the numpy type of a numeric datatype.

    Raises:
        InvalidInput: there is no such one.
    """
    if datatype not in DTYPES:
        known = ", ".join((BYTES, *DTYPES))
        raise InvalidInput("an unknown datatype", got=datatype, expected=known, where=name)
    return DTYPES[datatype]


def to_raw(tensor: Tensor) -> bytes:
    """Return the raw form of a tensor."""
    if not isinstance(tensor.values, list):
        return tensor.values.astype(DTYPES[tensor.datatype], copy=False).tobytes()
    encoded = {text: text.encode() for text in set(tensor.values)}
    packed = {text: _LENGTH.pack(len(content)) + content for text, content in encoded.items()}
    return b"".join([packed[text] for text in tensor.values])


def _texts_from_raw(name: str, count: int, raw: memoryview) -> list[str]:
    if count * _LENGTH.size > len(raw):
        expected = f"{count} lengths of 4 bytes and their texts"
        raise MalformedBody("raw data of another length", got=len(raw), expected=expected, where=name)
    texts, end, size = [], 0, len(raw)
    try:
        for _ in range(count):
            start = end + _LENGTH.size
            end = start + _LENGTH.unpack_from(raw, end)[0]
            if end > size:
                raise MalformedBody("a text longer than the data", got=end - start, expected=str(size), where=name)
            texts.append(str(raw[start:end], "utf-8"))
    except struct.error as error:
        raise MalformedBody("raw data that end within a length", got=size, where=name) from error
    except UnicodeDecodeError as error:
        raise MalformedBody("a text that is not UTF-8", where=name) from error
    if end != size:
        raise MalformedBody("raw data beyond the last element", got=size, expected=str(end), where=name)
    return texts
