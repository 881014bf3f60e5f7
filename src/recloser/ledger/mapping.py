"""Owns how a record becomes a row and back, by the annotations of its fields. Knows no record by name and no session.

Stored forms are the same in every database, so digests and order are too: times are fixed-width ISO 8601 UTC text
(`2020-03-01T09:00:00.000000Z`, which sorts as time), nested data is JSON text.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import types
import typing
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from recloser.core import InvalidInput, Refused, canonical_json, require_utc, unknown_name

T = TypeVar("T")

TEXT = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
_INT64 = 1 << 63
_PLAIN = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode
"""Canonical JSON of data that JSON knows as it is, in half the time: a recall digests each of its rows."""


def time_text(instant: datetime, where: str = "time") -> str:
    """Return fixed-width ISO 8601 UTC text, which sorts as the time does.

    Raises:
        InvalidInput: the time is naive.
    """
    return require_utc(instant, where).isoformat(timespec="microseconds")[:26] + "Z"


def read_time(text: str) -> datetime:
    """Return the aware UTC time of stored text."""
    return datetime.fromisoformat(text).astimezone(UTC)


def plain_text(item: Any, where: str) -> str:
    """Return `item` if every database can hold it as text.

    Raises:
        InvalidInput: not text, or text with a NUL or a lone surrogate.
    """
    if not isinstance(item, str):
        raise InvalidInput("not text", got=item, expected="str", where=where)
    if not item.isascii():
        try:
            item.encode()
        except UnicodeEncodeError as error:
            raise InvalidInput("text that is not Unicode", got=ascii(item), where=where) from error
    if "\x00" in item:
        raise InvalidInput("text with a NUL character", got=ascii(item), where=where)
    return item


def _integer(item: Any, where: str) -> int:
    if isinstance(item, bool) or not isinstance(item, int) or not -_INT64 <= item < _INT64:
        raise InvalidInput("not a 64-bit integer", got=item, expected="int", where=where)
    return item


def _number(item: Any, where: str) -> float:
    if isinstance(item, bool) or not isinstance(item, int | float) or not math.isfinite(item):
        raise InvalidInput("not a finite number", got=item, expected="float", where=where)
    return float(item)


def _flag(item: Any, where: str) -> bool:
    if not isinstance(item, bool):
        raise InvalidInput("not true or false", got=item, expected="bool", where=where)
    return item


def _time(item: Any, where: str) -> str:
    if not isinstance(item, datetime):
        raise InvalidInput("not a time", got=item, expected="an aware datetime", where=where)
    return time_text(item, where)


def _foreign(item: Any) -> Any:
    for plain in (float, int, str):
        if isinstance(item, plain):  # a subclass, such as numpy's float64
            return plain(item)
    if hasattr(item, "tolist"):
        return item.tolist()
    raise TypeError(type(item).__name__)


_JSON = msgspec.json.Encoder(enc_hook=_foreign, order="deterministic")


def _json(item: Any, where: str) -> str:
    if not isinstance(item, dict | list | tuple):
        raise InvalidInput("not nested data", got=item, expected="a dict or a list", where=where)
    try:
        return _JSON.encode(item).decode()
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidInput(f"not expressible as JSON ({error})", where=where) from error


def _read_tuple(text: str) -> tuple[Any, ...]:
    return tuple(msgspec.json.decode(text))


def _same(item: Any) -> Any:
    return item


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """How one kind of field is stored: its column type, the check on the way in and the reading on the way out."""

    column: sa.types.TypeEngine[Any]
    write: Callable[[Any, str], Any]
    read: Callable[[Any], Any]


_KINDS: Mapping[Any, Kind] = {
    str: Kind(TEXT, plain_text, _same),
    int: Kind(sa.BigInteger(), _integer, _same),
    float: Kind(sa.Double(), _number, float),
    bool: Kind(sa.Boolean(), _flag, bool),
    datetime: Kind(TEXT, _time, read_time),
    dict: Kind(TEXT, _json, msgspec.json.decode),
    list: Kind(TEXT, _json, msgspec.json.decode),
    tuple: Kind(TEXT, _json, _read_tuple),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """One field of a record as a column."""

    name: str
    kind: Kind
    nullable: bool


def _column(name: str, annotation: Any, where: str) -> Column:
    arms = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    solid = [arm for arm in arms if arm is not types.NoneType]
    kind = _KINDS.get(typing.get_origin(solid[0]) or solid[0]) if len(solid) == 1 else None
    if kind is None:
        raise InvalidInput("a field the ledger cannot store", got=str(annotation), where=f"{where}.{name}")
    return Column(name, kind, nullable=len(arms) > 1)


class RecordMapping(Generic[T]):
    """One record type, its table and the way between them."""

    def __init__(self, record_type: type[T], table_name: str, metadata: sa.MetaData) -> None:
        hints = typing.get_type_hints(record_type)
        self.record_type = record_type
        self.columns = tuple(
            _column(field.name, hints[field.name], record_type.__name__)
            for field in dataclasses.fields(record_type)  # type: ignore[arg-type]
        )
        self.table = sa.Table(
            table_name,
            metadata,
            *(
                sa.Column(column.name, column.kind.column, primary_key=column.name == "key", nullable=column.nullable)
                for column in self.columns
            ),
            sa.Column("row_version", sa.BigInteger(), nullable=False),
        )
        self.select = sa.select(*(self.table.c[column.name] for column in self.columns))
        self._by_name = {column.name: column for column in self.columns}

    def encode(self, record: T) -> dict[str, Any]:
        """Return the stored form of each field.

        Raises:
            InvalidInput: a field does not hold what its annotation says.
        """
        name = self.record_type.__name__
        return {column.name: _stored(column, getattr(record, column.name), name) for column in self.columns}

    def decode(self, row: Any) -> T:
        """Return the record of a row as `select` gives it.

        Raises:
            Refused: the row was damaged outside the ledger.
        """
        try:
            return self.record_type(
                *(
                    None if item is None else column.kind.read(item)
                    for column, item in zip(self.columns, row, strict=True)
                )
            )
        except (ValueError, TypeError, AttributeError, msgspec.MsgspecError) as error:
            raise Refused(
                f"a stored row that cannot be read ({error})",
                got=row[0],
                where=f"ledger table {self.table.name}",
                next_step="It was changed outside Recloser: run `recloser audit verify`.",
            ) from error

    def literal(self, field: str, item: Any) -> Any:
        """Return the stored form of a value that a field is compared with.

        Raises:
            InvalidInput: no such field, or a value of another type.
        """
        column = self.column(field)
        return None if item is None else column.kind.write(item, f"{self.record_type.__name__}.{field}")

    def column(self, field: str) -> Column:
        """Return the column of that field.

        Raises:
            InvalidInput: there is none.
        """
        found = self._by_name.get(field)
        if found is None:
            raise unknown_name("field", field, self._by_name, where=self.record_type.__name__)
        return found


def _stored(column: Column, item: Any, where: str) -> Any:
    if item is None:
        if column.nullable:
            return None
        raise InvalidInput("a missing value", got=None, where=f"{where}.{column.name}")
    return column.kind.write(item, f"{where}.{column.name}")


def row_digest(table_name: str, values: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a row's stored values. Null fields do not count, so that a nullable one may be added."""
    row = [table_name, {name: item for name, item in values.items() if item is not None}]
    try:
        text = _PLAIN(row).encode()
    except (TypeError, ValueError):  # not what the ledger stores; canonical JSON says what that is
        text = canonical_json(row)
    return hashlib.sha256(text).hexdigest()
