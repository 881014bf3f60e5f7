"""Owns the options and the kind of group that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from recloser.core import parse_utc, within_reach

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class Instant(click.ParamType[datetime]):
    """An ISO 8601 time with its offset, or a date (midnight UTC); becomes aware UTC."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return aware UTC.

        Raises:
            InvalidInput: unreadable, without an offset, or not in 1900 .. 2199.
        """
        del ctx
        if isinstance(value, datetime):
            return value
        text = str(value)
        where = "time" if param is None else param.opts[-1]
        return within_reach(parse_utc(text + "T00:00:00Z" if len(text) == len("2020-01-01") else text, where), where)


project_option: Decorator = click.option(
    "--project",
    "project",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Project folder (default: here).",
)
json_option: Decorator = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document on stdout; logs on stderr."
)
as_of_option: Decorator = click.option(
    "--as-of", "as_of", type=Instant(), help="Use only what was known at TIME (default: the newest data)."
)


def said(_context: click.Context, param: click.Parameter, value: str) -> str:
    """Return a text that must say something.

    Raises:
        BadParameter: empty or blank.
    """
    if not value.strip():
        raise click.BadParameter("must not be empty.", param=param)
    return value.strip()


reason_option: Decorator = click.option(
    "--reason", required=True, callback=said, help="Why; it goes into the audit log."
)
actor_option: Decorator = click.option(
    "--actor", default="operator", show_default=True, callback=said, help="Who asks."
)


def example(text: str) -> str:
    """Return the epilog that shows an example of a verb."""
    return "\b\nExample:\n  " + text


class DefaultGroup(click.Group):
    """A group whose verb `write` may be left out: `dossier RELEASE` is `dossier write RELEASE`."""

    default = "write"

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the default verb in front where none is named."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [self.default, *args]
        return super().parse_args(ctx, args)
