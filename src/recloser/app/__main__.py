"""Owns `python -m recloser.app`: how the supervisor starts gateway and controller."""

import sys

from recloser.app.processes.process import main

sys.exit(main(sys.argv[1:]))
