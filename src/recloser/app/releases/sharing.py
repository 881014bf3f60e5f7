"""Owns carrying packages to and from the bucket that hosts share. Believes nothing that comes from there unverified."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from recloser.core import RecloserError, Refused, Unavailable
from recloser.ledger import Ledger, ReleaseRecord
from recloser.registry import PublicKey, open_package
from recloser.registry.manifest import SIGNATURE
from recloser.registry.package import walk
from recloser.store.places import Bucket, Place

FOLDER = "packages"


class PackageShare:
    """Puts packages of this host into the bucket, each once, and again when it was signed again.

    Args:
        ledger: knows the releases.
        place: where the project's tables lie; in a folder of this host nothing is put.
        packages: folder of this host's packages.
    """

    def __init__(self, ledger: Ledger, place: Place, packages: Path) -> None:
        self._ledger, self._place, self._packages = ledger, place, packages
        self._done: dict[str, tuple[int, int]] = {}

    def tick(self) -> list[str]:
        """Put what is new; return those releases. A package's signature comes last: one that has it is there whole.

        Raises:
            Unavailable: the bucket or the ledger cannot be reached now; call again.
        """
        if not isinstance(self._place, Bucket):
            return []
        new = {name: stamp for name, stamp in self._here().items() if self._done.get(name) != stamp}
        there = self._place.sizes(FOLDER) if new else {}
        put = []
        for release, stamp in new.items():
            folder = self._packages / release
            names = sorted(walk(folder), key=lambda name: name == SIGNATURE)
            whole = all(f"{FOLDER}/{release}/{name}" in there for name in names)
            signed = f"{FOLDER}/{release}/{SIGNATURE}"
            if not whole or self._place.read(signed) != (folder / SIGNATURE).read_bytes():
                for name in names:
                    self._place.write(f"{FOLDER}/{release}/{name}", (folder / name).read_bytes())
                put.append(release)
            self._done[release] = stamp
        return put

    def try_now(self, say: Callable[[str], None]) -> None:
        """Put what is new, or say why not: the controller that leads tries again every minute."""
        try:
            self.tick()
        except RecloserError as error:
            say(f"packages are not in the bucket yet: {error.explain()}")

    def _here(self) -> dict[str, tuple[int, int]]:
        """Return the releases whose packages lie here, with what changes when one is signed or attested again."""
        found = {}
        for record in self._ledger.find(ReleaseRecord):
            folder = self._packages / record.key
            if (folder / SIGNATURE).is_file():
                found[record.key] = (folder / SIGNATURE).stat().st_mtime_ns, sum(1 for _ in walk(folder))
        return found


def fetch_package(place: Bucket, packages: Path, release: str, trusted: Sequence[PublicKey]) -> bool:
    """Bring a package here from the bucket, whole and verified or not at all; False if it is not there.

    Raises:
        Refused: what is there does not verify; nothing of it is kept.
        Unavailable: the bucket or the disk cannot be used now.
    """
    inside = f"{FOLDER}/{release}/"
    names = place.sizes(inside.rstrip("/"))
    if inside + SIGNATURE not in names:
        return False
    draft = Path(tempfile.mkdtemp(prefix=".fetching-", dir=packages))
    try:
        for name in names:
            relative = PurePosixPath(name.removeprefix(inside))
            if relative.is_absolute() or ".." in relative.parts:
                raise Refused("an unsafe name in the bucket", got=name, where=place.uri)
            path = draft / release / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(place.read(name))
        open_package(draft / release, trusted)
        if not (packages / release).exists():
            (draft / release).rename(packages / release)
    except OSError as error:
        if not (packages / release).is_dir():  # else another process was faster
            raise Unavailable("a package cannot be kept here", got=str(error), where=str(packages)) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return True
