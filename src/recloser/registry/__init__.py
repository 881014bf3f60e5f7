"""Owns immutable signed packages, their keys and golden answers, and the registry of runs, versions and aliases.

Does not decide who serves (the ledger does) and does not train or check models. MLflow lives in `registry.mlflow`,
which is never imported from here because its import costs seconds; whoever needs it imports it by name.
"""

from recloser.registry.building import build_package
from recloser.registry.commit import (
    CodeCommit,
    has_commit,
    read_authors,
    read_changed_files,
    read_commit,
    read_last_change,
)
from recloser.registry.endorsing import attest_package, sign_again
from recloser.registry.environment import EnvironmentLock, read_environment
from recloser.registry.facts import PackageFacts
from recloser.registry.folder import FolderRegistry
from recloser.registry.golden import Golden, GoldenResult, check_golden, make_golden, read_golden
from recloser.registry.manifest import FileEntry
from recloser.registry.model_registry import ALIASES, MLFLOW_QUIET, AliasChange, ModelRegistry, ModelVersion, RunFacts
from recloser.registry.package import Package, open_package, open_pinned
from recloser.registry.trust.attestation import GATE, GATE_VERDICT, Attestation
from recloser.registry.trust.envelope import Sealed, seal, unseal
from recloser.registry.trust.keys import (
    FileSigner,
    PublicKey,
    Signer,
    create_key,
    own_key,
    public_path,
    replace_file,
    rotate_key,
)
from recloser.registry.trust.revocation import REVOKED, Revocation, RevocationList
from recloser.registry.trust.trusted import load_revocations, load_trusted, save_revocations

__all__ = [
    "ALIASES",
    "GATE",
    "GATE_VERDICT",
    "MLFLOW_QUIET",
    "REVOKED",
    "AliasChange",
    "Attestation",
    "CodeCommit",
    "EnvironmentLock",
    "FileEntry",
    "FileSigner",
    "FolderRegistry",
    "Golden",
    "GoldenResult",
    "ModelRegistry",
    "ModelVersion",
    "Package",
    "PackageFacts",
    "PublicKey",
    "Revocation",
    "RevocationList",
    "RunFacts",
    "Sealed",
    "Signer",
    "attest_package",
    "build_package",
    "check_golden",
    "create_key",
    "has_commit",
    "load_revocations",
    "load_trusted",
    "make_golden",
    "open_package",
    "open_pinned",
    "own_key",
    "public_path",
    "read_authors",
    "read_changed_files",
    "read_commit",
    "read_environment",
    "read_golden",
    "read_last_change",
    "replace_file",
    "rotate_key",
    "save_revocations",
    "seal",
    "sign_again",
    "unseal",
]
