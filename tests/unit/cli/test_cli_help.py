"""Every verb explains itself: a sentence and an example that names the verb, on every command of the tree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click
import pytest

from recloser.cli.main import program


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, inner in sorted(command.commands.items()):
            yield from commands(inner, (*path, name))


TREE = dict(commands(program))
LEAVES = [path for path, command in TREE.items() if not isinstance(command, click.Group)]
WANTED = {
    ("init",), ("ingest",), ("run",), ("forecast",), ("replay",), ("status",), ("rollback",), ("audit", "verify"),
    ("gate", "explain"), ("rollout", "explain"), ("doctor",), ("up",), ("demo",),
}  # fmt: skip


def test_the_verbs_of_the_contract_are_there() -> None:
    assert set(LEAVES) >= WANTED


@pytest.mark.parametrize("path", TREE, ids=" ".join)
def test_help_shows_an_example(path: tuple[str, ...], call: Any) -> None:
    told = call(*path, "--help")
    assert told.code == 0
    assert told.err == ""
    assert "Example:" in told.out
    assert "recloser " + " ".join(path) in told.out.split("Example:")[1]
    assert TREE[path].help


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_verb_takes_json_and_every_option_is_explained(path: tuple[str, ...]) -> None:
    options = [p for p in TREE[path].params if isinstance(p, click.Option)]
    assert any("--json" in option.opts for option in options)
    assert [option.name for option in options if not option.help] == []


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_the_example_parses(path: tuple[str, ...]) -> None:
    """An example in the help that the program itself would not take is worse than none."""
    import shlex

    epilog = TREE[path].epilog
    assert epilog is not None
    words = shlex.split(epilog.split("recloser ", 1)[1])
    assert tuple(words[: len(path)]) == path
    context = TREE[path].make_context("recloser", words[len(path) :])
    context.close()


def test_version(call: Any) -> None:
    from recloser import __version__

    assert __version__ in call("--version").out
