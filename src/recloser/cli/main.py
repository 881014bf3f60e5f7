"""Owns the entry point: parses, runs a verb, turns errors into exit codes.

Exit codes: 0 done, 1 refused by a gate or policy, 2 bad input, 3 unavailable, 4 internal error; 130 after Ctrl-C.
With --json stdout holds exactly one JSON document, the error's facts included; everything else goes to stderr.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout, suppress
from typing import Any, TextIO

import click

from recloser import __version__
from recloser.app.processes.garbage import look_rarely_for_garbage
from recloser.cli import backups, cluster, operate, prepare, simulate, triggers, watch
from recloser.cli.field import decode, devices, events, points
from recloser.cli.look import console
from recloser.cli.options import example
from recloser.cli.output import json_text, say, write_line
from recloser.cli.people import access, keys, orders
from recloser.cli.releases import dossiers, packages
from recloser.cli.stages import ci, promotions
from recloser.core import RecloserError, Unavailable

REFUSED, BAD_INPUT, INTERNAL, STOPPED = 1, 2, 4, 130


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=example(
        "recloser init mygrid --area VIC --time-zone Australia/Melbourne\n"
        "  recloser ingest load.csv --project mygrid --time utc --load demand\n"
        "  recloser run --project mygrid"
    ),
)
@click.version_option(__version__, prog_name="recloser")
def program() -> None:
    """The MLOps platform for AI models that run the electric grid."""


ROOMS = (
    prepare,
    ci,
    cluster,
    operate,
    triggers,
    orders,
    watch,
    events,
    simulate,
    console,
    access,
    keys,
    packages,
    promotions,
    dossiers,
    backups,
    decode,
    devices,
    points,
)
for room in ROOMS:
    for verb in room.VERBS:
        program.add_command(verb)


def main(arguments: Sequence[str] | None = None, out: TextIO | None = None) -> int:
    """Run one verb and return its exit code.

    Args:
        arguments: the words after the program's name; those of the process when None.
        out: where the result goes; sys.stdout when None.
    """
    look_rarely_for_garbage()
    words = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in words
    stream = sys.stdout if out is None else out
    # What a project's own code prints must not spoil the one document on stdout.
    with redirect_stdout(sys.stderr if as_json else stream):
        code, facts = _outcome(words, stream)
    if as_json and facts is not None:
        with suppress(OSError):  # the error was told on stderr; a stdout that is full or gone changes no exit code
            write_line(stream, json_text(facts))
    return code


def _outcome(words: list[str], stream: TextIO) -> tuple[int, Mapping[str, Any] | None]:
    """Return the exit code and, after an error, its facts; the error was told on stderr."""
    try:
        outcome = program.main(args=words, prog_name="recloser", standalone_mode=False, obj=stream)
    except RecloserError as error:
        say(f"recloser: {error.explain()}")
        return error.exit_code, error.facts()
    except click.exceptions.Exit as leaving:
        return leaving.exit_code, None
    except click.ClickException as error:
        error.show(sys.stderr)
        return BAD_INPUT, _facts("InvalidInput", error.format_message(), where="command line", next_step=_help(error))
    except (click.Abort, KeyboardInterrupt):
        say("recloser: stopped")
        return STOPPED, _facts("Stopped", "stopped before it was done", next_step="Run it again.")
    except OSError as error:
        told = Unavailable("the system said no", got=error.strerror or str(error), where=_file(error))
        say(f"recloser: {told.explain()}")
        return told.exit_code, told.facts()
    except Exception as error:  # noqa: BLE001 - the outermost loop: told with its traceback, exit code 4
        say(traceback.format_exc())
        say("recloser: internal error; nothing was half-written. Please report the lines above.")
        return INTERNAL, _facts("InternalError", f"{type(error).__name__}: {error}", next_step="Please report it.")
    return outcome if isinstance(outcome, int) else 0, None


def _help(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f"See: {'recloser' if context is None else context.command_path} --help"


def _file(error: OSError) -> str | None:
    return None if error.filename is None else str(error.filename)


def _facts(error: str, what: str, *, where: str | None = None, next_step: str) -> dict[str, Any]:
    return {"error": error, "what": what, "got": None, "expected": None, "where": where, "next_step": next_step}


def run() -> None:
    """Run as a program: the process exits with the verb's code."""
    _open_closed_streams()
    out = _own_stdout() if "--json" in sys.argv[1:] else None
    code = main(None, out)
    try:
        sys.stdout.flush()
    except OSError:
        # The reader has gone, or the disk is full: nothing is left to be told, nor to fail at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _open_closed_streams() -> None:
    """Give a process that was started without stdout or stderr (`>&-`) an empty one, before a file takes its number."""
    for number in (1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
    if sys.stdout is None:
        sys.stdout = os.fdopen(os.dup(1), "w", encoding="utf-8")
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.dup(2), "w", encoding="utf-8")


def _own_stdout() -> TextIO:
    """Return the real stdout, and let whatever libraries and child processes print go to stderr."""
    sys.stdout.flush()
    own = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="strict")
    os.dup2(2, 1)
    return own
