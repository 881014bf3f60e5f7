"""What docs/triggers.md says is what the product does: keys, settings, the hook and the request by curl."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from pydantic_core import PydanticUndefined

from recloser.app import Platform, add_token
from recloser.app.inlets.checking import check_inlets
from recloser.app.project.settings import parse_project
from recloser.app.project.tables.triggers import OWN_KEYS, InletSection
from recloser.app.requests import standing_requests
from recloser.core import InvalidInput

PAGE = (Path(__file__).parents[4] / "docs" / "triggers.md").read_text(encoding="utf-8")
HEAD = '[project]\nareas = ["N"]\ntime_zone = "UTC"\n'
SECRET = b"a secret that nobody guesses"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)


def test_every_key_of_an_inlet_is_documented_with_its_default() -> None:
    table = PAGE.partition("### Keys of an inlet")[2].partition("###")[0]
    told = dict(re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", table, flags=re.MULTILINE))
    words = {None: "none", (): "`[]`", ("main", "master"): '`["main", "master"]`', "api": '`"api"`', 300.0: "`300.0`"}

    def default(name: str) -> str:
        found = InletSection.model_fields[name].default
        if found is PydanticUndefined:
            return "required"
        return "`{}`" if found == {} else words[found]

    assert told == {name: default(name) for name in InletSection.model_fields}


def test_the_settings_of_the_page_are_valid() -> None:
    parsed = [parse_project(HEAD + block, "docs").triggers for block in blocks("toml")]
    assert parsed[0].recurrence(ZoneInfo("UTC")) is not None
    assert [item.inlets[0].kind for item in parsed[1:]] == ["github", "cloudevents", "mlflow"]


@pytest.mark.parametrize(
    "wrong",
    [
        'kind = "github"',
        'kind = "github"\nsecret_file = "a"\nsecret_env = "B"',
        'kind = "github"\nsecret_file = "a"\nevents = ["x"]',
        'kind = "mlflow"\nsecret_file = "a"\nrefs = ["main"]',
        'kind = "cloudevents"\ncounts_as = "drift"',
        'kind = "bitbucket"\nsecret_file = "a"',
        'kind = "github"\nsecret = "in the file itself"',
        'kind = "mlflow"\nsecret_env = "NOT A NAME"',
    ],
)
def test_an_inlet_that_could_not_work_is_refused(wrong: str) -> None:
    with pytest.raises(InvalidInput):
        parse_project(f'{HEAD}[[triggers.inlets]]\nname = "a"\n{wrong}\n', "x")


@pytest.mark.parametrize("schedule", ["daily", "0 2 * *", "0 25 * * *", "60 * * * *", ""])
def test_a_schedule_that_nobody_can_read_is_refused(schedule: str) -> None:
    with pytest.raises(InvalidInput, match="not a schedule"):
        parse_project(f'{HEAD}[triggers]\nschedule = "{schedule}"\n', "x")


def test_two_inlets_of_one_name_are_refused() -> None:
    one = '[[triggers.inlets]]\nname = "a"\nkind = "cloudevents"\n'
    assert set(OWN_KEYS) == {"github", "gitlab", "gitea", "cloudevents", "mlflow"}
    with pytest.raises(InvalidInput, match="two inlets of one name"):
        parse_project(HEAD + one + one, "x")


def program(folder: Path) -> Path:
    """Put the program under test where a shell finds it by name."""
    folder.mkdir()
    script = folder / "recloser"
    script.write_text(f"#!{sys.executable}\nfrom recloser.cli.main import run\nrun()\n", encoding="utf-8")
    script.chmod(0o755)
    return folder


def test_the_hook_of_the_page_tells_a_push(address: str, grid: Path, platform: Platform, tmp_path: Path) -> None:
    script = next(block for block in blocks("sh") if block.startswith("#!/bin/sh"))
    script = script.replace("http://127.0.0.1:8080", address)
    (tmp_path / "hook").write_text(script.replace("/etc/recloser/forge.secret", str(grid / "forge.secret")), "utf-8")
    path = f"{program(tmp_path / 'bin')}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", str(tmp_path / "hook")],
        input=f"{'0' * 40} {'c' * 40} refs/heads/main\n",
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PATH": path},
    )
    assert f"asked to retrain (commit:{'c' * 40})" in done.stdout, done.stderr
    assert len(standing_requests(platform)) == 1


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_request_of_the_page_asks(address: str, grid: Path, platform: Platform) -> None:
    token = add_token(grid, name="lake-loader", scopes=("trigger",))["token"]
    command = next(block for block in blocks("sh") if "curl" in block).partition("\n")[2]
    command = command.replace("http://127.0.0.1:8080", address).replace("curl", "curl -s", 1)
    said = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, check=True, env={**os.environ, "TOKEN": str(token)}
    )
    assert '"trigger":"event:' in said.stdout, said
    (standing,) = standing_requests(platform)
    assert standing.reason.endswith("meters of the north were replaced")


def test_the_doctor_says_which_inlet_could_prove_nobody(platform: Platform, grid: Path) -> None:
    (grid / "forge.secret").chmod(0o600)
    found = check_inlets(platform)
    assert (found["state"], found["detail"]) == (
        "note",
        "lake: no secret and no tokens: whoever is on this host may ask",
    )
    add_token(grid, name="lake-loader", scopes=("trigger",))
    assert check_inlets(platform) == {"name": "inlets", "state": "ok", "detail": "4 can prove their senders"}
    (grid / "forge.secret").chmod(0o644)
    assert "chmod 600" in check_inlets(platform)["detail"]
    (grid / "forge.secret").write_bytes(b"short")
    found = check_inlets(platform)
    assert found["state"] == "FAIL"
    assert "forge: " in found["detail"]
