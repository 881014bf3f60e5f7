"""Owns `python -m recloser.console`: how the supervisor starts the console."""

import sys
from collections.abc import Sequence

import uvicorn

from recloser.app import assigned, console_tls, listen, say_of, told
from recloser.console.console import Console
from recloser.core import RecloserError


def main(words: Sequence[str]) -> int:
    """Serve the pages until told to stop; return the exit code."""
    task = assigned(words)
    say = say_of("console", task)
    try:
        secure = console_tls(task.folder)
        listening = listen(task.host, task.port)
    except RecloserError as error:
        say(told(f"console: {error.explain()}", "error"))
        return error.exit_code
    config = uvicorn.Config(
        Console(task.folder, task.clock).app(),
        log_config=None,  # what it logs goes where this process's log goes
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=3,
        **secure,
    )
    say(told(f"console serves on port {task.port}"))
    with listening:
        uvicorn.Server(config).run(sockets=[listening])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
