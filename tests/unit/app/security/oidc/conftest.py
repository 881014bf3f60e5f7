"""An identity provider for each test."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests are not a package
from identity_provider import FakeProvider, running_provider


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    """A provider that runs and tells the truth."""
    with running_provider() as made:
        yield made
