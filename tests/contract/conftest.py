"""Ledgers on both databases for the contract tests; the PostgreSQL server is started and stopped here."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgresql_server import Cluster, binaries


@pytest.fixture(scope="session")
def postgresql_cluster() -> Iterator[Cluster]:
    found = binaries()
    if found is None:
        pytest.skip("PostgreSQL's server binaries are not installed (Debian: apt-get install postgresql)")
    server = Cluster(found)
    try:
        server.start()
        yield server
        server.stop("immediate")
    finally:
        shutil.rmtree(server.folder)


BACKENDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.services)]


@pytest.fixture(params=BACKENDS)
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    server: Cluster = request.getfixturevalue("postgresql_cluster")
    return server.new_place()
