"""The documentation names everything there is, and nothing that is not: verbs, options, keys, records, paths, rooms."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import click
import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from recloser.cli.main import program
from recloser.ledger.records import RECORD_TYPES

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
SOURCE = ROOT / "src" / "recloser"
EVERYWHERE = {"--json", "--project", "-h", "--help"}


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def sections(text: str, level: int) -> dict[str, str]:
    """Return heading -> text of each section of a level, code marks stripped from the heading."""
    parts = re.split(rf"^{'#' * level} (.+)$", text, flags=re.MULTILINE)
    return {heading.replace("`", ""): body for heading, body in zip(parts[1::2], parts[2::2], strict=True)}


def named(text: str) -> set[str]:
    """Return the words in code marks, outside code blocks."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return {word for span in re.findall(r"`([^`]+)`", text) for word in re.split(r"[\s,:=()]+", span)}


def verbs(group: click.Group, path: str = "recloser") -> Iterator[tuple[str, click.Command]]:
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from verbs(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


VERBS = dict(verbs(program))


def test_every_verb_has_a_section_and_every_section_a_verb() -> None:
    headings = [heading for heading in sections(page("cli.md"), 3) if heading.startswith("recloser ")]
    documented = {" ".join(word for word in heading.split() if not word.isupper()) for heading in headings}
    assert documented == set(VERBS)


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_option_of_a_verb_is_named_in_its_section_and_no_other(verb: str) -> None:
    body = next(
        text
        for heading, text in sections(page("cli.md"), 3).items()
        if heading == verb or heading.startswith(f"{verb} ")
    )
    body = re.split(r"^## ", body, flags=re.MULTILINE)[0]
    options = {name for item in VERBS[verb].params if isinstance(item, click.Option) for name in item.opts}
    known = {word for word in named(body) if word.startswith("-")}
    assert options - known == set()
    assert known - options - EVERYWHERE == set()
    shared = {"--json", "--project"}
    assert known & shared == options & shared


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_has_help_with_an_example(verb: str) -> None:
    command = VERBS[verb]
    assert command.help
    assert f"{verb} " in (command.epilog or "") + " "


def project_model() -> type[BaseModel]:
    """Return the model of recloser.toml, wherever app keeps it."""
    from recloser.app import platform

    model: type[BaseModel] = platform.Project
    return model


def tables() -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield the tables of the project file, those too that may be absent."""
    for section, field in project_model().model_fields.items():
        kinds = [kind for kind in get_args(field.annotation) or [field.annotation] if kind is not type(None)]
        (kind,) = kinds
        assert isinstance(kind, type)
        assert issubclass(kind, BaseModel)
        yield section, kind


def keys() -> Iterator[tuple[str, str, Any]]:
    """Yield (section, key, default) of the project file; a section inside a section is `outer.inner`."""
    for section, kind in tables():
        yield from keys_of(section, kind)


def keys_of(section: str, kind: type[BaseModel]) -> Iterator[tuple[str, str, Any]]:
    for key, field in kind.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from keys_of(f"{section}.{key}", inner)
        else:
            yield section, key, field.default


def toml_text(default: Any) -> str:
    """Return a default as the page writes it."""
    if default is PydanticUndefined:
        return "required"
    if default is None:
        return "none"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, (int, float)):
        return f"`{default}`"
    if hasattr(default, "strftime"):
        return f'`"{default:%H:%M}"`'
    return f"`{json.dumps(default)}`"


def documented_keys() -> dict[tuple[str, str], str]:
    rows = {}
    for heading, body in sections(page("project-file.md"), 2).items():
        for key, default in re.findall(r"^\| `(\w+)` \| (.+?) \|", body, flags=re.MULTILINE):
            rows[heading.strip("[]"), key] = default
    return rows


def test_every_key_of_the_project_file_is_documented_with_its_default() -> None:
    real = {(section, key): toml_text(default) for section, key, default in keys()}
    assert documented_keys() == real


def test_keys_of_tables_inside_a_key_are_named() -> None:
    text = page("project-file.md")
    for _, table in tables():
        for inner in table.model_fields.values():
            for kind in get_args(inner.annotation):
                if isinstance(kind, type) and issubclass(kind, BaseModel):
                    assert {f"`{key}`" for key in kind.model_fields} <= set(re.findall(r"`\w+`", text))


def test_every_record_type_and_every_field_is_documented() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", page("records.md"), flags=re.MULTILINE))
    assert set(rows) == {kind.__name__ for kind in RECORD_TYPES}
    for kind in RECORD_TYPES:
        fields = {field.name for field in dataclasses.fields(kind)} - {"key"}
        assert fields - named(rows[kind.__name__]) == set(), kind.__name__


def http_paths(folder: Path) -> set[str]:
    found = {
        path
        for file in folder.rglob("*.py")
        for path in re.findall(r"\bRoute\(\s*\"([^\"]+)\"", file.read_text(encoding="utf-8"))
    }
    assert found, f"no routes in {folder}"
    return {re.sub(r"\{(\w+):\w+\}", r"{\1}", path) for path in found}


def test_every_http_path_is_documented() -> None:
    listed = set(re.findall(r"`(?:GET|POST) (/[^`]*)`", page("contract.md")))
    assert listed == http_paths(SOURCE / "serving") | http_paths(SOURCE / "console")
    serving = page("rooms/serving.md")
    assert [path for path in http_paths(SOURCE / "serving") if path.split("{")[0] not in serving] == []


def schema_keys(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        for inner in schema.values():
            yield from schema_keys(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from schema_keys(inner)


SCHEMAS = sorted(path.name for path in (DOCS / "schemas").glob("*.json"))


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_key_of_a_schema_is_named_on_the_contract_page(name: str) -> None:
    schema = json.loads(page(f"schemas/{name}"))
    assert set(schema_keys(schema)) - named(page("contract.md")) == set()
    assert f"](schemas/{name})" in page("contract.md")


# The keys that were promised to acceptance checks; schemas may grow, but these stay, and stay required.
PROMISED = {
    "ingest": ["rows", "accepted", "duplicates", "corrected", "flagged", "version"],
    "run": ["run", "candidate", "verdict", "checks"],
    "forecast": ["areas"],
    "audit-verify": ["entries", "ok", "first_bad"],
    "report": ["from", "to", "areas", "policies", "naive", "seed", "version", "wall_s", "cpu_s"],
}
PROMISED_INSIDE = {
    "run": {"name", "verdict", "reason", "numbers"},
    "forecast": {"release", "served_by", "issued_at", "points", "id", "at", "q10", "q50", "q90", "void"},
    "report": {
        *("months", "total", "signals", "runs", "rollouts", "trips", "incumbent"),
        *("month", "area", "mape", "wmape", "rcrps", "coverage80", "bias_pct", "n"),
        *("class", "trigger", "tier", "recalled", "release", "state", "reason", "at"),
    },
}


def test_promised_keys_are_in_the_schemas() -> None:
    for name, wanted in PROMISED.items():
        assert set(wanted) <= set(json.loads(page(f"schemas/{name}.json"))["required"]), name
    for name, inside in PROMISED_INSIDE.items():
        assert inside <= set(schema_keys(json.loads(page(f"schemas/{name}.json")))), name


def test_every_event_and_key_of_a_scenario_is_documented() -> None:
    from recloser.app.replay import scenario
    from recloser.app.replay.happening import EVENTS

    text = page("scenario.md")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", text, flags=re.MULTILINE))
    assert set(rows) == set(EVENTS)
    for name, kind in EVENTS.items():
        assert set(inspect.signature(kind.make).parameters) == set(kind.keys), name
        assert set(kind.keys) - named(text) == set(), name
    example = tomllib.loads(re.findall(r"^```toml\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)[0])
    fields = {field.name for field in dataclasses.fields(scenario.Candidate)}
    assert set(example["candidate"][0]) == fields


def test_the_example_scenario_is_read(tmp_path: Path) -> None:
    from recloser.app.replay.scenario import load_scenario

    example = re.findall(r"^```toml\n(.*?)^```", page("scenario.md"), flags=re.DOTALL | re.MULTILINE)[0]
    (tmp_path / "scenario.toml").write_text(example, encoding="utf-8")
    scenario = load_scenario(tmp_path / "scenario.toml", ("NORTH",))
    assert (len(scenario.events), len(scenario.candidates), scenario.seed) == (1, 1, 7)


def rooms() -> list[str]:
    return sorted(path.parent.name for path in SOURCE.glob("*/__init__.py"))


@pytest.mark.parametrize("room", rooms())
def test_every_room_has_a_page_that_the_index_links(room: str) -> None:
    where = "edges" if room in {"cli", "console", "testing"} else room
    text = page(f"rooms/{where}.md")
    assert re.search(r"^#+ .*\b" + room, text, flags=re.MULTILINE)
    assert "it does not do" in text or "they do not do" in text, "a page says what the room does not do"
    assert f"](rooms/{where}.md)" in page("index.md")
    assert f"](rooms/{where}.md)" in page("architecture.md")


def test_the_index_links_every_page_and_decision() -> None:
    pages = [path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md") if path.name != "index.md"]
    assert [name for name in pages if f"]({name}" not in page("index.md")] == []


def test_every_proof_that_the_threats_name_is_there() -> None:
    proofs = re.findall(r"`((?:tests|benchmarks)/[^`]+)`", page("security.md"))
    assert len(proofs) > 20
    assert [proof for proof in proofs if not (ROOT / proof).exists()] == []
