"""Every command of docs/promotion.md is run, in order, in one folder with two projects."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from recloser.cli.main import main
from recloser.testing import small_project

pytestmark = pytest.mark.story

PAGE = (Path(__file__).parents[2] / "docs" / "promotion.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)


def run(line: str) -> str:
    """Run one command of the page."""
    words = line.split("--reason")
    out = io.StringIO()
    if line.startswith("recloser "):
        arguments = words[0].split()[1:] + (["--reason", words[1].strip().strip('"')] if len(words) > 1 else [])
        code = main(arguments, out)
        assert code == 0, f"{line}: {code}: {out.getvalue()}"
        return out.getvalue()
    done = subprocess.run(["bash", "-euc", line], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{line}: {done.stderr}"
    return done.stdout


def test_the_walk_through_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small_project(Path("grid-dev"))
    shutil.copytree("grid-dev", "grid-prod")
    shutil.rmtree("grid-prod/state/keys")
    for folder, settings in zip(("grid-dev", "grid-prod"), blocks("toml"), strict=True):
        file = Path(folder) / "recloser.toml"
        file.write_text(file.read_text(encoding="utf-8") + "\n" + settings, encoding="utf-8")
    found = re.search(r"rel-[0-9a-f]{12}", run("recloser run --project grid-dev"))
    assert found is not None
    said = {}
    for line in "".join(blocks("bash")).splitlines():
        said[line] = run(line.replace("RELEASE", found[0]))
    (accepted,) = (text for line, text in said.items() if "promote accept" in line)
    assert "development -> production, offered by dora" in accepted
    assert Path(f"dossiers/{found[0]}.html").exists()
