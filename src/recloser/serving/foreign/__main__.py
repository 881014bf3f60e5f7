"""Owns the program of a model's process: `python -m recloser.serving.foreign FOLDER SOCKET MEMORY_MB PARENT`.

It loads one saved model, code of its own included, and answers requests on the inherited socket. Whether the code may
run was decided by whoever starts this.
"""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from recloser.core import RecloserError
from recloser.models import load_model
from recloser.serving.foreign.exchange import ERROR, Disturbed, answer_requests, send
from recloser.serving.foreign.lifeline import hang_on
from recloser.serving.foreign.loaders import LOADERS


def main(words: Sequence[str]) -> int:
    """Load the model and answer until the other side ends; return the exit code."""
    folder, number, memory_mb, parent = words
    hang_on(os.environ)
    threading.Thread(target=_end_with, args=(int(parent),), daemon=True).start()
    most = int(memory_mb) << 20
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.dup2(2, 1)  # what foreign code prints is for the log
    with socket.socket(fileno=int(number)) as link:
        try:
            model = load_model(Path(folder), LOADERS, allow_code=True)
        except RecloserError as error:
            return _failed(link, error.explain(), error.exit_code)
        # The outermost loop of the process: whatever foreign code raises is told on the other side.
        except Exception as error:  # noqa: BLE001
            return _failed(link, f"{type(error).__name__}: {error}", RecloserError.exit_code)
        answer_requests(link, model.predict)
    return 0


def _failed(link: socket.socket, why: str, code: int) -> int:
    sys.stderr.write(f"model process: {why}\n")
    with contextlib.suppress(Disturbed):
        send(link, ERROR, why[:300].encode(errors="replace"))
    return code


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
