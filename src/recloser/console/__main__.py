"""Owns `python -m recloser.console`: how the supervisor starts the console."""

import sys

import uvicorn

from recloser.app import assigned, listen
from recloser.console.console import Console

task = assigned(sys.argv[1:])
listening = listen(task.host, task.port)
uvicorn.Server(uvicorn.Config(Console(task.folder, task.clock).app(), log_level="warning", access_log=False)).run(
    sockets=[listening]
)
