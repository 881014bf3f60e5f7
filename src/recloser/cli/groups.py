"""Owns groups of verbs whose verb `write` may be left out, as in `recloser dossier RELEASE`."""

from __future__ import annotations

import click


class DefaultGroup(click.Group):
    """A group that takes words which are none of its verbs for those of its verb `write`."""

    default = "write"

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the default verb in front where none is named."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [self.default, *args]
        return super().parse_args(ctx, args)
