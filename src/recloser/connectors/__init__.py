"""Owns readers of the outside world: files, and captures of SCADA and PMU traffic; live sources follow.

Does not own storage, repair of bad data, or the decision what a flag means for a model.
"""

from recloser.connectors.decoding import PROTOCOLS, decode_file, plain
from recloser.connectors.file import read_file, usual_step
from recloser.connectors.mapping import FileMapping
from recloser.connectors.quality import CATEGORY_QUALITY
from recloser.connectors.reading import Reading
from recloser.connectors.times import READ_AS_UTC

__all__ = [
    "CATEGORY_QUALITY",
    "PROTOCOLS",
    "READ_AS_UTC",
    "FileMapping",
    "Reading",
    "decode_file",
    "plain",
    "read_file",
    "usual_step",
]
