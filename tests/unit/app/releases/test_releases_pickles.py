from __future__ import annotations

import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from recloser.app import Platform
from recloser.core import Refused
from recloser.ledger import ReleaseRecord
from recloser.pipelines.judging import Evidence, judged
from recloser.pipelines.proving import check_formats
from recloser.registry import Package, build_package, open_package, read_golden
from recloser.testing.builders import sample_panel

ALLOWED = "\n[gateway]\nallow_pickle = true\n"


@pytest.fixture
def pickled(served: Path, release: str, tmp_path: Path) -> str:
    """A second release: the first one's model with a pickle beside it, signed and known to the ledger."""
    with Platform.open(served) as platform:
        first = open_package(platform.layout.packages / release, platform.trusted)
        shutil.copytree(first.model_folder, tmp_path / "model")
        (tmp_path / "model" / "preprocessing.bin").write_bytes(pickle.dumps({"mean": 1.0}))
        golden = read_golden(first)
        made = build_package(platform.layout.packages, tmp_path / "model", first.facts, platform.signer, golden)
        record = platform.ledger.get(ReleaseRecord, release)
        assert record is not None
        with platform.ledger.change("test", platform.clock.now()) as change:
            change.put(replace(record, key=made.release, digest=made.digest, state="accepted"))
            change.note("test", made.release, {})
        return made.release


def opened(platform: Platform, release: str) -> Package:
    return open_package(platform.layout.packages / release, platform.trusted)


def test_a_signed_model_with_a_pickle_is_not_loaded_unless_the_project_allows_it(served: Path, pickled: str) -> None:
    with Platform.open(served) as platform:
        with pytest.raises(Refused, match="pickles") as caught:
            platform.load(pickled)
        assert caught.value.got == "model/preprocessing.bin"
        assert "allow_pickle" in caught.value.explain()
        assert "pickles" in platform.verify(pickled)
    with (served / "recloser.toml").open("a") as file:
        file.write(ALLOWED)
    with Platform.open(served) as platform:
        assert platform.load(pickled).release == pickled


def test_the_verdict_says_so_either_way(served: Path, release: str, pickled: str) -> None:
    with Platform.open(served) as platform:
        refused = check_formats(opened(platform, pickled), allow_pickle=False)
        allowed = check_formats(opened(platform, pickled), allow_pickle=True)
        harmless = check_formats(opened(platform, release), allow_pickle=False)
        key = platform.signer.public_key.key_id
    assert refused.verdict == "refuse"
    assert "model/preprocessing.bin" in refused.reason
    assert allowed.verdict == "pass"
    assert key in allowed.reason
    assert "allowed by the project" in allowed.reason
    assert harmless.verdict == "pass"
    assert harmless.numbers["pickles"] == []


def test_the_gate_refuses_before_it_opens_the_model(served: Path, pickled: str) -> None:
    run = next((served / "state/runs").glob("run-*"))
    with Platform.open(served) as platform:

        def never(folder: Path) -> None:
            raise AssertionError(folder)

        bench = replace(platform.workbench(), load=never)  # type: ignore[arg-type]
        evidence = Evidence.read(run, opened(platform, pickled), sample_panel(), "0" * 64)
        verdict = judged(bench, evidence)
    assert verdict.verdict == "refuse"
    assert [check.name for check in verdict.checks] == ["formats"]
