"""Owns the entry point: parses, runs a verb, turns errors into exit codes.

Exit codes: 0 done, 1 refused by a gate or policy, 2 bad input, 3 unavailable, 4 internal error.
"""

from __future__ import annotations

import sys
import traceback

import click

from recloser import __version__
from recloser.cli import operate, prepare, simulate, watch
from recloser.cli.output import stderr, tell_error
from recloser.core import RecloserError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="recloser")
def program() -> None:
    """The MLOps platform for AI models that run the electric grid."""


for room in (prepare, operate, watch, simulate):
    for verb in room.VERBS:
        program.add_command(verb)


def main(arguments: list[str] | None = None) -> int:
    """Run one verb and return its exit code.

    Args:
        arguments: the words after the program's name; those of the process when None.
    """
    words = sys.argv[1:] if arguments is None else arguments
    try:
        outcome = program.main(args=words, prog_name="recloser", standalone_mode=False)
    except RecloserError as error:
        tell_error(error, as_json="--json" in words)
        return error.exit_code
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except click.ClickException as error:
        error.show(sys.stderr)
        return 2
    except (click.Abort, KeyboardInterrupt):
        stderr.print("recloser: stopped")
        return 130
    except BrokenPipeError:
        return 0
    except Exception:  # noqa: BLE001 - the outermost loop: told with its traceback, exit code 4
        stderr.print(traceback.format_exc(), markup=False)
        stderr.print("recloser: internal error; nothing was half-written. Please report the lines above.", markup=False)
        return 4
    return outcome if isinstance(outcome, int) else 0


def run() -> None:
    """Run as a program: the process exits with the verb's code."""
    sys.exit(main())
