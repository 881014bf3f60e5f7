"""Owns readers of the outside world: files today, SCADA and PMU sources later. They give samples, with quality.

Does not own storage, repair of bad data, or the decision what a flag means for a model.
"""

from recloser.connectors.file import read_file, usual_step
from recloser.connectors.mapping import FileMapping
from recloser.connectors.quality import CATEGORY_QUALITY
from recloser.connectors.reading import Reading

__all__ = ["CATEGORY_QUALITY", "FileMapping", "Reading", "read_file", "usual_step"]
