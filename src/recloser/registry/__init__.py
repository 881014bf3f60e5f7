"""Owns immutable signed packages, their keys and golden answers, and the registry of runs, versions and aliases.

Does not decide who serves (the ledger does) and does not train or check models. MLflow lives in `registry.mlflow`,
which is never imported from here because its import costs seconds; whoever needs it imports it by name.
"""

from recloser.registry.building import build_package
from recloser.registry.commit import CodeCommit, read_commit, read_last_change
from recloser.registry.environment import EnvironmentLock, read_environment
from recloser.registry.facts import PackageFacts
from recloser.registry.folder import FolderRegistry
from recloser.registry.golden import Golden, GoldenResult, check_golden, make_golden, read_golden
from recloser.registry.keys import PublicKey, Signer, create_key, load_trusted, own_key
from recloser.registry.manifest import FileEntry
from recloser.registry.model_registry import ALIASES, MLFLOW_QUIET, AliasChange, ModelRegistry, ModelVersion, RunFacts
from recloser.registry.package import Package, open_package

__all__ = [
    "ALIASES",
    "MLFLOW_QUIET",
    "AliasChange",
    "CodeCommit",
    "EnvironmentLock",
    "FileEntry",
    "FolderRegistry",
    "Golden",
    "GoldenResult",
    "ModelRegistry",
    "ModelVersion",
    "Package",
    "PackageFacts",
    "PublicKey",
    "RunFacts",
    "Signer",
    "build_package",
    "check_golden",
    "create_key",
    "load_trusted",
    "make_golden",
    "open_package",
    "own_key",
    "read_commit",
    "read_environment",
    "read_golden",
    "read_last_change",
]
