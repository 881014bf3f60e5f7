"""Owns the translation of a source's own quality words into core.Quality. Does not judge values."""

from __future__ import annotations

import polars as pl

from recloser.connectors.mapping import FileMapping
from recloser.core import Quality

# Anomaly classes of the cleaned EIA 930 data (Ruggles et al., Sci Data 7:155, 2020, table 2). The number beside a class
# is that data set's estimate, not a measurement: SUBSTITUTED, with the bit of what was wrong with the original.
_REPLACED = Quality.SUBSTITUTED
CATEGORY_QUALITY: dict[str, Quality] = {
    "MISSING": Quality.MISSING | _REPLACED,
    "NEG_OR_ZERO": Quality.OUT_OF_RANGE | _REPLACED,
    "GLOBAL_DEM": Quality.OUT_OF_RANGE | _REPLACED,
    "GLOBAL_DEM_PLUS_MINUS": Quality.OUT_OF_RANGE | _REPLACED,
    "IDENTICAL_RUN": Quality.STUCK | _REPLACED,
    "LOCAL_DEM_UP": Quality.SPIKE | _REPLACED,
    "LOCAL_DEM_DOWN": Quality.SPIKE | _REPLACED,
    "DELTA": Quality.SPIKE | _REPLACED,
    "SINGLE_DELTA": Quality.SPIKE | _REPLACED,
    "ANOMALOUS_REGION": Quality.SPIKE | _REPLACED,
}
# A source that says "not good" in a word we do not know: excluded as if there were no measurement.
DISTRUSTED = Quality.QUESTIONABLE | Quality.MISSING


def quality_bits(words: pl.Series, mapping: FileMapping) -> pl.Series:
    """Return the Int32 quality bits of a column of words or codes: good ones 0, unknown or empty ones DISTRUSTED."""
    text = words.cast(pl.String).str.strip_chars().fill_null("")
    known = {**CATEGORY_QUALITY, **mapping.quality_meaning}
    found = text.unique().sort()
    bits = [0 if word in mapping.good else int(known.get(word, DISTRUSTED)) for word in found]
    return text.replace_strict(found, pl.Series(bits, dtype=pl.Int32), return_dtype=pl.Int32)
