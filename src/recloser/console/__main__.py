"""Owns `python -m recloser.console`: how the supervisor starts the console."""

import sys
from collections.abc import Sequence

import uvicorn

from recloser.app import assigned, listen
from recloser.console.console import Console
from recloser.core import RecloserError


def main(words: Sequence[str]) -> int:
    """Serve the pages until told to stop; return the exit code."""
    task = assigned(words)
    try:
        listening = listen(task.host, task.port)
    except RecloserError as error:
        sys.stderr.write(f"console: {error.explain()}\n")
        return error.exit_code
    config = uvicorn.Config(
        Console(task.folder, task.clock).app(), log_level="warning", access_log=False, timeout_graceful_shutdown=3
    )
    with listening:
        uvicorn.Server(config).run(sockets=[listening])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
