"""The walk-through of the page about object storage works against a real service, and so does moving a project."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from s3_server import KEY, SECRET, S3Server

TEXT = (Path(__file__).parents[3] / "docs" / "storage.md").read_text(encoding="utf-8")
BASH = re.findall(r"^```bash\n(.*?)^```", TEXT, flags=re.DOTALL | re.MULTILINE)
(TOML,) = re.findall(r"^```toml\n(.*?)^```", TEXT, flags=re.DOTALL | re.MULTILINE)
(PYTHON,) = re.findall(r"^```python\n(.*?)^```", TEXT, flags=re.DOTALL | re.MULTILINE)
PAGE_ENDPOINT = "https://s3.grid.example:9000"


def write_load(path: Path) -> None:
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["time", "load"])
        for hour in range(48):
            at = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=hour)
            table.writerow([at.isoformat(), 40 + hour % 24])


def run(script: str, folder: Path, s3: S3Server, **more: str) -> str:
    environ = {name: text for name, text in s3.environ.items() if not name.startswith("AWS_")} | more
    environ["PATH"] = f"{Path(sys.executable).parent}:{environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", script], cwd=folder, env=environ, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.services
def test_the_walk_through(s3: S3Server, tmp_path: Path) -> None:
    write_load(tmp_path / "load.csv")
    assert TOML.count(PAGE_ENDPOINT) == 1
    assert KEY in BASH[1]
    assert SECRET in BASH[1]
    project = tmp_path / "mygrid" / "recloser.toml"
    for number, block in enumerate(BASH):
        run(block, tmp_path, s3)
        if number == 0:
            with project.open("a") as file:
                file.write("\n" + TOML.replace(PAGE_ENDPOINT, s3.endpoint))
    told = json.loads(run("recloser doctor --project mygrid --json", tmp_path, s3))
    (storage,) = [check for check in told["checks"] if check["name"] == "storage"]
    assert (storage["state"], "without TLS" in storage["detail"]) == ("note", True)
    assert any(name.startswith("north/samples/_delta_log/") for name in s3.keys())  # noqa: SIM118 - not a mapping
    assert not any("probe" in name for name in s3.keys())  # noqa: SIM118
    assert not (tmp_path / "mygrid" / "state" / "store").exists()


@pytest.mark.slow
@pytest.mark.services
def test_a_project_is_moved_there(s3: S3Server, tmp_path: Path) -> None:
    write_load(tmp_path / "load.csv")
    run(f"{BASH[0]}\nrecloser ingest load.csv --project mygrid --time time --load load", tmp_path, s3)
    keys = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "S3_ENDPOINT": s3.endpoint}
    (tmp_path / "move.py").write_text(PYTHON)
    run("python move.py", tmp_path, s3, **keys)
    before = json.loads(run("recloser status --project mygrid --json", tmp_path, s3))["data"]
    settings = TOML.replace(PAGE_ENDPOINT, s3.endpoint).replace('credentials_file = "bucket.credentials"', "")
    with (tmp_path / "mygrid" / "recloser.toml").open("a") as file:
        file.write("\n" + settings)
    (tmp_path / "mygrid" / "state" / "store").rename(tmp_path / "away")
    assert json.loads(run("recloser status --project mygrid --json", tmp_path, s3, **keys))["data"] == before
    told = run("recloser ingest load.csv --project mygrid --time time --load load --json", tmp_path, s3, **keys)
    assert json.loads(told)["duplicates"] == 48
