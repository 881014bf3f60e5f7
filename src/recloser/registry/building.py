"""Owns building a package: all of it or nothing, the same bytes for the same inputs. Does not judge the model."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from recloser.core import InvalidInput, Refused, Unavailable, digest_bytes
from recloser.registry.facts import PackageFacts
from recloser.registry.golden import Golden, golden_files
from recloser.registry.manifest import (
    MANIFEST,
    RELEASE,
    SIGNATURE,
    FileEntry,
    safe_path,
    write_manifest,
    write_signature,
)
from recloser.registry.package import Package, open_package, release_name, walk
from recloser.registry.trust.keys import Signer

_BUILDING = ".building-"
_LOCK = ".lock"


def build_package(
    packages: Path,
    model_folder: Path,
    facts: PackageFacts,
    signer: Signer,
    golden: Golden,
    documents: Mapping[str, bytes] | None = None,
) -> Package:
    """Build `<packages>/rel-<12 hex>/` from a saved model and return it, opened and verified.

    The folder appears by one rename after every byte is on disk, so a killed build leaves nothing half-made; what
    it leaves under a hidden name the next build removes. The same inputs give the same digest, byte for byte, and
    building again what is there already returns it. One build at a time per folder (advisory lock).

    Args:
        packages: folder of packages.
        model_folder: the saved model.
        facts: what the package says about itself.
        signer: whose key signs it.
        golden: rows with the answers to them.
        documents: further files by path, as `recloser.registry.content.describe` makes them.

    Raises:
        InvalidInput: the model folder is empty, or holds a link, a special file or an unsafe name.
        Unavailable: a file cannot be read or written (disk full, permissions).
        Refused: the release is there already with other content.
    """
    try:
        contents = {f"model/{name}": path.read_bytes() for name, path in _model_files(model_folder).items()}
        contents |= {**(documents or {}), **golden_files(golden), RELEASE: facts.to_bytes()}
        manifest = write_manifest(FileEntry(name, digest_bytes(data), len(data)) for name, data in contents.items())
        contents |= {MANIFEST: manifest, SIGNATURE: write_signature(manifest, signer)}
        target = packages / release_name(digest_bytes(manifest))
        packages.mkdir(parents=True, exist_ok=True)
        with _locked(packages):
            if not os.path.lexists(target):
                _write_whole(packages, target, contents)
    except OSError as error:
        raise Unavailable("a package cannot be built", got=error.strerror, where=str(packages)) from error
    return open_package(target, [signer.public_key])


def _model_files(folder: Path) -> dict[str, Path]:
    try:
        names = list(walk(folder))
    except Refused as error:
        raise InvalidInput("a model folder holds plain files only", got=error.what, where=error.where) from error
    for name in names:
        if not safe_path(f"model/{name}"):
            raise InvalidInput(
                "a model file with an unsafe name",
                got=name,
                expected="letters, digits and _.+=@- with no leading dot",
                where=str(folder),
            )
    if not names:
        raise InvalidInput("a model folder without files", where=str(folder), next_step="Save the model there first.")
    return {name: folder / name for name in names}


def adopt_package(packages: Path, package: Package, documents: Mapping[str, bytes], signer: Signer) -> Package:
    """Put a package that was made and verified elsewhere among one's own, signed by one's own key; return it opened.

    Content and digest stay. It appears by one rename; what is there already is left as it is.

    Args:
        packages: folder of packages.
        package: opened with the keys of whoever made it.
        documents: what lies beside the manifest here, by path: attestations, signed by one's own key.
        signer: whose key signs it.

    Raises:
        Refused: it changed since it was opened, or another is there already.
        Unavailable: a file cannot be read or written.
    """
    target = packages / package.release
    try:
        contents = {entry.path: package.read_bytes(entry.path) for entry in package.files}
        manifest = write_manifest(package.files)
        contents |= {**documents, MANIFEST: manifest, SIGNATURE: write_signature(manifest, signer)}
        packages.mkdir(parents=True, exist_ok=True)
        with _locked(packages):
            if not os.path.lexists(target):
                _write_whole(packages, target, contents)
    except OSError as error:
        raise Unavailable("a package cannot be taken in", got=error.strerror, where=str(packages)) from error
    return open_package(target, [signer.public_key])


def put_in(package: Path, name: str, content: bytes) -> None:
    """Put a file into a package that is there already, in place of an older one; never a draft or an empty folder.

    A killed process leaves at most a draft beside the packages, which the next build removes.

    Args:
        package: its folder.
        name: path below it, at most one folder deep.
        content: of the file.

    Raises:
        OSError: it cannot be written.
    """
    target = package / name
    with _locked(package.parent):
        building = Path(tempfile.mkdtemp(prefix=_BUILDING, dir=package.parent))
        try:
            draft = building / name
            draft.parent.mkdir(mode=0o755, exist_ok=True)
            with draft.open("xb") as file:
                file.write(content)
                file.flush()
                os.fchmod(file.fileno(), 0o444)
                os.fsync(file.fileno())
            if target.parent.is_dir():
                draft.replace(target)
            else:
                _sync(draft.parent)
                draft.parent.rename(target.parent)
            _sync(target.parent)
            _sync(package)
        finally:
            shutil.rmtree(building, ignore_errors=True)


@contextmanager
def _locked(packages: Path) -> Iterator[None]:
    descriptor = os.open(packages / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        for left in packages.glob(f"{_BUILDING}*"):
            shutil.rmtree(left)
        yield
    finally:
        os.close(descriptor)


def _write_whole(packages: Path, target: Path, contents: Mapping[str, bytes]) -> None:
    building = Path(tempfile.mkdtemp(prefix=_BUILDING, dir=packages))
    try:
        building.chmod(0o755)
        folders = {building}
        for name, data in sorted(contents.items()):
            path = building / name
            path.parent.mkdir(parents=True, exist_ok=True)
            folders.update(parent for parent in path.parents if parent.is_relative_to(building))
            with path.open("xb") as file:
                file.write(data)
                file.flush()
                os.fchmod(file.fileno(), 0o444)
                os.fsync(file.fileno())
        for folder in sorted(folders, reverse=True):
            _sync(folder)
        building.rename(target)
        _sync(packages)
    except OSError:
        shutil.rmtree(building, ignore_errors=True)
        raise


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
