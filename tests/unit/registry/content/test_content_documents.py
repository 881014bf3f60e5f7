from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import jsonschema_rs
import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recloser.core import Horizon, InvalidInput, Refused
from recloser.features import FeatureSet
from recloser.registry import (
    GATE,
    GATE_VERDICT,
    Golden,
    Package,
    PackageFacts,
    Signer,
    attest_package,
    build_package,
    open_package,
)
from recloser.registry.content.card import card_document
from recloser.registry.content.description import CARD, ENTRY, LOCK, SBOM, SCHEMA, WHEELHOUSE, Surroundings, describe
from recloser.registry.content.lock import Pin, applicable, installed_differences, parse_lock, shipped_lock, write_lock
from recloser.registry.content.pickles import holds_pickle, pickle_files
from recloser.registry.content.sbom import Distribution, read_distributions, write_sbom
from recloser.registry.content.schema import InputColumn, feature_units, input_columns

LOCK_TEXT = f"""\
# a comment
tiny-thing==1.2.3 \\
    --hash=sha256:{"b" * 64} \\
    --hash=sha256:{"a" * 64}
    # via something
Other_Thing[extra]==2.0 ; sys_platform == 'win32' \\
    --hash=sha256:{"c" * 64}
"""


def feature_set() -> FeatureSet:
    return FeatureSet.standard(Horizon(ZoneInfo("Europe/Amsterdam"), timedelta(hours=1), time(9), 1), "NL")


def training_rows(n: int = 5) -> pl.DataFrame:
    features = feature_set()
    numbers = {name: np.arange(n, dtype=np.float32) for name in features.names}
    fixed = {
        "area": ["F01"] * n,
        "issued_at": [datetime(2020, 1, 1, tzinfo=UTC)] * n,
        "at": [datetime(2020, 1, 2, hour, tzinfo=UTC) for hour in range(n)],
        "lead_h": [15.0 + hour for hour in range(n)],
        "scale_mw": [10.0] * n,
    }
    frame = pl.DataFrame({**fixed, **numbers})
    gaps = pl.when(pl.int_range(pl.len()) < 2).then(None).otherwise(pl.col("temperature_c"))
    return frame.with_columns(temperature_c=gaps)


@pytest.fixture
def around() -> Surroundings:
    pins = parse_lock(LOCK_TEXT)
    tiny = Distribution("tiny-thing", "1.2.3", "MIT")
    return Surroundings(pins, {}, (Distribution("recloser", "0.1.0", "Apache-2.0", ("tiny-thing",)), tiny))


@pytest.fixture
def documents(facts_of: Callable[..., PackageFacts], around: Surroundings) -> dict[str, bytes]:
    columns = input_columns(training_rows(), feature_set())
    facts = facts_of(feature_set=feature_set().to_dict())
    return describe(facts, columns, ["F01"], {"model.json": b'{"widths":[-1,0,1]}'}, around)


def test_the_lock_is_read_with_its_hashes_and_markers() -> None:
    other, tiny = parse_lock(LOCK_TEXT)
    assert tiny == Pin("tiny-thing", "1.2.3", ("a" * 64, "b" * 64))
    assert other == Pin("other-thing", "2.0", ("c" * 64,), "sys_platform == 'win32'")
    assert applicable([other, tiny]) == (tiny,)
    assert parse_lock(write_lock([other, tiny]).decode()) == (other, tiny)


@pytest.mark.parametrize("line", ["thing==1.0", "thing>=1.0 --hash=sha256:" + "a" * 64, "-r other.txt"])
def test_a_line_that_is_no_pin_with_hashes_is_named(line: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_lock(line, "my.lock")
    assert caught.value.where == "my.lock"
    with pytest.raises(InvalidInput, match="marker"):
        applicable([Pin("a", "1", (), "nonsense ==")])


def test_the_lock_that_comes_with_recloser_names_what_is_installed() -> None:
    path = shipped_lock()
    assert path is not None
    pins = {pin.name: pin for pin in parse_lock(path.read_text())}
    assert {"cryptography", "polars", "lightgbm", "cyclonedx-python-lib"} <= set(pins)
    assert all(pin.hashes for pin in pins.values())
    wrong = Pin("polars", "0.0.1", ())
    assert set(installed_differences([wrong, Pin("absent-thing", "1", ())])) == {"polars", "absent-thing"}


def test_units_follow_from_the_declaration() -> None:
    units = feature_units(feature_set())
    assert units["temperature_c"] == units["temperature_c_mean_24h"] == "degC"
    assert units["load_lag_2d"] == "1 (share of scale_mw)"
    assert units["hour"] == "1"


def test_the_schema_tells_columns_units_ranges_and_gaps(documents: dict[str, bytes]) -> None:
    schema = json.loads(documents[SCHEMA])
    rows = {row["name"]: row for row in schema["inputs"]}
    assert list(rows) == ["area", "issued_at", "at", "lead_h", "scale_mw", *feature_set().names]
    assert rows["temperature_c"] == {
        "name": "temperature_c",
        "dtype": "float32",
        "unit": "degC",
        "nullable": True,
        "minimum": 2.0,
        "maximum": 4.0,
        "missing_share": 0.4,
    }
    assert rows["scale_mw"]["unit"] == "MW"
    assert not rows["scale_mw"]["nullable"]
    assert rows["at"]["dtype"] == "timestamp[us, UTC]"
    assert [(row["name"], row["unit"]) for row in schema["outputs"]] == [("q10", "MW"), ("q50", "MW"), ("q90", "MW")]
    assert schema["horizon"]["zone"] == "Europe/Amsterdam"


def test_a_detector_answers_probabilities_of_windows_and_no_megawatts(
    facts_of: Callable[..., PackageFacts], around: Surroundings
) -> None:
    names = ("scale_mw", "fleet_hz", "fleet_slope_hz_s", "angle_step_rad", "voltage_low", "at", "area")
    columns = [
        InputColumn(
            name, "float32", "MW" if name == "scale_mw" else "UTC" if name == "at" else "", False, 0.0, 1.0, 0.0
        )
        for name in names
    ]
    columns = [
        replace(c, unit="not declared") if c.name[0] in "fav" and c.name not in {"at", "area"} else c for c in columns
    ]
    facts = facts_of(model_kind="event_detector", quantiles=(0.5,))
    documents = describe(facts, columns, ["line_trip"], {}, around)
    schema, card, entry = (json.loads(documents[name]) for name in (SCHEMA, CARD, ENTRY))
    assert [(row["name"], row["unit"]) for row in schema["outputs"]] == [("q50", "1")]
    assert "probability" in schema["output_note"]
    units = {row["name"]: row["unit"] for row in schema["inputs"]}
    assert (units["fleet_hz"], units["fleet_slope_hz_s"], units["voltage_low"]) == ("Hz", "Hz/s", "1")
    assert (units["at"], units["area"]) == ("UTC, end of the window", "class of event")
    assert card["validity"]["ranges"]["fleet_hz"] == [0.0, 1.0, "Hz"]
    assert "probability" in card["intended_use"]
    assert entry["score"]["answer"] == "1, (n_rows, n_quantiles)"
    assert "MW" not in (documents[SCHEMA] + documents[CARD] + documents[ENTRY]).decode()


def test_infinite_and_absent_numbers_make_no_range() -> None:
    rows = training_rows().with_columns(
        hour=pl.Series([float("inf"), 1.0, float("nan"), None, 3.0], dtype=pl.Float32),
        weekday=pl.lit(None, dtype=pl.Float32),
    )
    columns = {column.name: column for column in input_columns(rows, feature_set())}
    assert (columns["hour"].minimum, columns["hour"].maximum, columns["hour"].missing_share) == (1.0, 3.0, 0.4)
    assert columns["weekday"].minimum is None
    assert columns["weekday"].missing_share == 1.0


def test_the_card_tells_use_validity_and_limits(
    documents: dict[str, bytes], facts_of: Callable[..., PackageFacts]
) -> None:
    card = json.loads(documents[CARD])
    assert card["validity"]["areas"] == ["F01"]
    assert card["validity"]["ranges"]["temperature_c"] == [2.0, 4.0, "degC"]
    assert card["model"]["calibration"] == {"widths": [-1, 0, 1], "file": "model/model.json"}
    assert any("control of equipment" in line for line in card["not_for"])
    assert any("temperature_c" in line for line in card["limits"])
    assert any("mape" in line for line in card["limits"])  # the one metric that could not be computed
    short = facts_of(training_window=(datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 3, 1, tzinfo=UTC)), commit=None)
    limits = card_document(short, ["F01"], [], {})["limits"]
    assert any("less than a year" in line for line in limits)
    assert any("no weather" in line for line in limits)
    assert any("no repository" in line for line in limits)


def bom_problems(sbom: dict[str, Any]) -> list[str]:
    """Validate against the schema that the CycloneDX library ships, with its companions; nothing is downloaded."""
    folder = files("cyclonedx.schema") / "_res"
    names = ("bom-1.6.SNAPSHOT", "spdx.SNAPSHOT", "jsf-0.82.SNAPSHOT", "cryptography-defs.SNAPSHOT")
    schemas = {f"{name}.schema.json": json.loads((folder / f"{name}.schema.json").read_text()) for name in names}
    registry = jsonschema_rs.Registry([(f"http://cyclonedx.org/schema/{name}", schemas[name]) for name in schemas])
    validator = jsonschema_rs.Draft7Validator(schemas[f"{names[0]}.schema.json"], registry=registry)
    return [str(error) for error in validator.iter_errors(sbom)]


def test_the_bill_of_materials_is_valid_cyclonedx(documents: dict[str, bytes]) -> None:
    sbom = json.loads(documents[SBOM])
    assert bom_problems(sbom) == []
    assert bom_problems({**sbom, "components": [{"name": "x"}]}) != []
    assert sbom["metadata"]["component"]["type"] == "machine-learning-model"
    assert "timestamp" not in sbom["metadata"]
    assert sbom["metadata"]["component"]["components"][0]["hashes"][0]["alg"] == "SHA-256"
    assert {part["purl"] for part in sbom["components"]} == {"pkg:pypi/recloser@0.1.0", "pkg:pypi/tiny-thing@1.2.3"}
    edges = {row["ref"]: row.get("dependsOn", []) for row in sbom["dependencies"]}
    assert edges["recloser@0.1.0"] == ["tiny-thing@1.2.3"]


def test_the_bill_of_this_installation_is_valid_and_names_licences() -> None:
    found = read_distributions(["polars", "Cryptography", "numpy", "recloser", "not-there"])
    assert [item.name for item in found] == ["cryptography", "numpy", "polars", "recloser"]
    assert all(item.licence for item in found)
    assert "numpy" in {name for item in read_distributions(["scipy"]) for name in item.needs}
    assert bom_problems(json.loads(write_sbom("lightgbm_quantile", [("model/a", "0" * 64)], found))) == []


def test_equal_facts_give_equal_documents(
    documents: dict[str, bytes], facts_of: Callable[..., PackageFacts], around: Surroundings
) -> None:
    columns = input_columns(training_rows(), feature_set())
    facts = facts_of(feature_set=feature_set().to_dict())
    assert describe(facts, columns, ["F01"], {"model.json": b'{"widths":[-1,0,1]}'}, around) == documents
    other = describe(facts, columns, ["F01"], {"model.json": b'{"widths":[-1,0,2]}'}, around)
    assert other[SBOM] != documents[SBOM]


def test_the_documents_are_part_of_the_digest(
    tmp_path: Path,
    model_folder: Path,
    signer: Signer,
    golden: Golden,
    documents: dict[str, bytes],
    facts_of: Callable[..., PackageFacts],
) -> None:
    with_them = build_package(tmp_path / "a", model_folder, facts_of(), signer, golden, documents)
    assert {SCHEMA, CARD, ENTRY, LOCK, WHEELHOUSE, SBOM} <= {entry.path for entry in with_them.files}
    without = build_package(tmp_path / "b", model_folder, facts_of(), signer, golden)
    assert with_them.digest != without.digest
    again = build_package(tmp_path / "c", model_folder, facts_of(), signer, golden, documents)
    assert again.digest == with_them.digest


@pytest.fixture
def whole(
    tmp_path: Path,
    model_folder: Path,
    signer: Signer,
    golden: Golden,
    documents: dict[str, bytes],
    facts_of: Callable[..., PackageFacts],
) -> Package:
    """A package with all its documents and a verdict beside it."""
    package = build_package(tmp_path / "whole", model_folder, facts_of(), signer, golden, documents)
    attest_package(package, GATE, GATE_VERDICT, {"verdict": "pass"}, signer)
    return open_package(package.path, [signer.public_key])


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_changed_byte_of_a_whole_package_is_refused(whole: Package, signer: Signer, data: st.DataObject) -> None:
    """Schema, card, lock, wheelhouse manifest, entry point, bill of materials and attestation included."""
    files_of = sorted(path for path in whole.path.rglob("*") if path.is_file())
    file = data.draw(st.sampled_from(files_of))
    content = file.read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != content[at]))
    file.chmod(0o644)
    file.write_bytes(content[:at] + bytes([byte]) + content[at + 1 :])
    try:
        with pytest.raises(Refused):
            open_package(whole.path, [signer.public_key])
    finally:
        file.write_bytes(content)
    assert open_package(whole.path, [signer.public_key]).attestation(GATE)


def zipped(**content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in content.items():
            archive.writestr(name.replace("__", "."), data)
    return stream.getvalue()


def saved(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


PICKLES = {
    "model.bin": pickle.dumps({"a": 1}, protocol=2),
    "model": pickle.dumps([1, 2], protocol=5),
    "weights.PKL": b"anything",
    "m.joblib": b"",
    "net.zip": zipped(data__pkl=b"x"),
    "objects.npy": saved(np.array([{}, None], dtype=object)),
    "objects.npz": zipped(a__npy=saved(np.array([{}], dtype=object))),
    "broken.zip": b"PK\x03\x04 not really",
}
HARMLESS = {
    "model.json": b"{}",
    "trees.txt": b"tree\n",
    "model.onnx": b"\x08\x07\x12\x07skl2onnx.",
    "numbers.npy": saved(np.arange(3.0)),
    "numbers.npz": zipped(a__npy=saved(np.arange(3.0))),
    "rows.arrow": b"ARROW1\0\0",
    "empty": b"",
}


@pytest.mark.parametrize("name", sorted(PICKLES))
def test_pickles_are_recognised_by_name_or_content(name: str) -> None:
    assert holds_pickle(f"model/{name}", PICKLES[name])


@pytest.mark.parametrize("name", sorted(HARMLESS))
def test_data_is_not_taken_for_a_pickle(name: str) -> None:
    assert not holds_pickle(f"model/{name}", HARMLESS[name])


def test_the_pickles_of_a_package_are_listed_sorted() -> None:
    together = PICKLES | HARMLESS
    assert pickle_files(together, lambda name: together[name]) == tuple(sorted(PICKLES))
