"""Owns recognising files that run code when they are opened: Python pickles, also inside zip archives. Opens none."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

_SUFFIXES = frozenset({".pkl", ".pickle", ".pck", ".p", ".joblib", ".dill", ".cloudpickle", ".pt", ".pth", ".skops"})
_PROTOCOLS = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))
_STOP = b"."
_ZIP = b"PK\x03\x04"
_NPY = b"\x93NUMPY"


def pickle_files(names: Iterable[str], read: Callable[[str], bytes]) -> tuple[str, ...]:
    """Return the files that hold a pickle, by name or by content, sorted.

    A file is taken for one if it is called so, begins and ends as pickle protocols 2 to 5 do, is an archive that holds
    one (as PyTorch writes), or is a NumPy file of objects. Protocols 0 and 1 are plain text and found by name only.

    Args:
        names: paths.
        read: returns the content of a path.
    """
    return tuple(sorted(name for name in names if holds_pickle(name, read(name))))


def holds_pickle(name: str, content: bytes) -> bool:
    """Tell whether a file is or contains a pickle, as far as name and content show."""
    if PurePosixPath(name.lower()).suffix in _SUFFIXES:
        return True
    if content.startswith(_PROTOCOLS) and content.rstrip(b"\0").endswith(_STOP):
        return True
    if content.startswith(_NPY):
        return b"'|O'" in content[:256]
    if content.startswith(_ZIP):
        return _archived(content)
    return False


def _archived(content: bytes) -> bool:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
            return any(PurePosixPath(name.lower()).suffix in _SUFFIXES for name in names) or any(
                name.endswith(".npy") and b"'|O'" in archive.open(name).read(256) for name in names
            )
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError):
        return True  # an archive that cannot be looked into is not known to be harmless
