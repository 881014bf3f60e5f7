"""Owns `python -m recloser.app.trial`: the process in which the gate runs a candidate."""

import sys

from recloser.app.trial.process import main

sys.exit(main(sys.argv[1:]))
