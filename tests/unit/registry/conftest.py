from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recloser.core import FloatArray
from recloser.registry import (
    CodeCommit,
    EnvironmentLock,
    Golden,
    Package,
    PackageFacts,
    Signer,
    build_package,
    create_key,
    make_golden,
)

FEATURES = ("lag_mw", "temperature_c")


def doubled(rows: pl.DataFrame) -> FloatArray:
    """A tiny deterministic model: (n_rows, 3) MW."""
    lag = rows["lag_mw"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return np.column_stack([lag * 0.9, lag, lag * 1.1])


def make_facts(**changes: object) -> PackageFacts:
    known: dict[str, object] = {
        "model_kind": "doubled",
        "quantiles": (0.1, 0.5, 0.9),
        "feature_set": {"names": list(FEATURES)},
        "training_window": (datetime(2020, 1, 1, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC)),
        "snapshots": ({"table": "series", "version": 3, "digest": "ab"},),
        "metrics": {"wmape": 3.1, "mape": None},
        "environment": EnvironmentLock("CPython 3.11.7", "Linux x86_64", {"numpy": "2.4.6"}),
        "commit": CodeCommit("a" * 40, dirty=False),
        "scales": {"sd_day": 0.01},
    }
    return PackageFacts(**{**known, **changes})  # type: ignore[arg-type]


def make_rows(n: int = 8) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "area": ["north"] * n,
            "at": [datetime(2020, 6, 1, hour, tzinfo=UTC) for hour in range(n)],
            "lag_mw": [float(i) + 0.1 for i in range(n)],
            "temperature_c": [None if i == 2 else 10.0 + i for i in range(n)],
        }
    )


@pytest.fixture
def golden() -> Golden:
    return make_golden(make_rows(), FEATURES, doubled, count=4)


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return create_key(tmp_path / "keys" / "signing.pem")


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "saved"
    (folder / "parts" / "deep").mkdir(parents=True)
    (folder / "model.json").write_text('{"kind":"doubled"}')
    (folder / "parts" / "deep" / "trees.txt").write_text("tree\n" * 20)
    return folder


@pytest.fixture
def package(tmp_path: Path, model_folder: Path, signer: Signer, golden: Golden) -> Package:
    return build_package(tmp_path / "packages", model_folder, make_facts(), signer, golden)


@pytest.fixture
def writable(package: Package) -> Path:
    """The package's folder with its files made writable, for tampering."""
    for file in package.path.rglob("*"):
        if file.is_file():
            file.chmod(0o644)
    return package.path


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[[Package, str], Path]:
    def copy(package: Package, name: str) -> Path:
        target = tmp_path / name / package.path.name
        shutil.copytree(package.path, target)
        for file in target.rglob("*"):
            if file.is_file():
                file.chmod(0o644)
        return target

    return copy


@pytest.fixture
def facts_of() -> Callable[..., PackageFacts]:
    return make_facts


@pytest.fixture
def rows() -> pl.DataFrame:
    return make_rows()


@pytest.fixture
def predict() -> Callable[[pl.DataFrame], FloatArray]:
    return doubled
