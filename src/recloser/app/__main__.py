"""Owns `python -m recloser.app`: how the supervisor starts gateway and controller."""

import logging
import os
import sys

from recloser.app.processes.process import main

code = main(sys.argv[1:])
logging.shutdown()
sys.stdout.flush()
sys.stderr.flush()
# All is closed by now. A thread that still loads a model would crash in native code while the interpreter ends.
os._exit(code)
