"""The documentation builds into a site without a warning, without network, and with every page in its order."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sphinx", reason="needs Sphinx, MyST and Furo (extra: dev)")
ROOT = Path(__file__).parents[3]


def build(root: Path, out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "docs" / "site" / "build.py"), str(out)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site") / "site"
    done = build(ROOT, out)
    assert (done.returncode, done.stderr) == (0, "")
    return out


@pytest.mark.slow
def test_every_page_is_on_the_site_and_in_its_navigation(site: Path) -> None:
    pages = [path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")]
    assert len(pages) > 40
    front = (site / "index.html").read_text(encoding="utf-8")
    for page in pages:
        assert (site / page.with_suffix(".html")).is_file()
        assert page.name == "index.md" or f'href="{page.with_suffix(".html").as_posix()}' in front


@pytest.mark.slow
def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    found = []
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        found += re.findall(r'<(?:script|img|iframe)[^>]+src="(?:https?:)?//[^"]*"', text)
        found += re.findall(r'<link[^>]+rel="(?:stylesheet|preload|icon)"[^>]+href="(?:https?:)?//[^"]*"', text)
    for style in site.rglob("*.css"):
        found += re.findall(r"url\((?:https?:)?//[^)]*\)", style.read_text(encoding="utf-8"))
    assert found == []


@pytest.mark.slow
def test_a_link_to_nowhere_fails_the_build(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE"):
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, root / name)
    shutil.copytree(ROOT / "docs", root / "docs")
    with (root / "docs" / "tour.md").open("a", encoding="utf-8") as page:
        page.write("\nSee [nothing](nothing-here.md).\n")
    done = build(root, tmp_path / "site")
    assert done.returncode != 0
    assert "nothing-here" in done.stderr
    assert not (tmp_path / "site").exists()
