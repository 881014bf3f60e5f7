"""Builds docs/ and the pages at the top of the repository into one site, without network; warnings are errors.

    python docs/site/build.py [build/site]

The pages stay as they are read in the repository: what a site needs beside them (the order of the pages, links between
the top and docs/) is made here, in a copy.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from pathlib import Path

from sphinx.cmd.build import build_main

ROOT = Path(__file__).parents[2]
TOP = {"README.md": "readme.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
FILES = {"LICENSE": "license.txt"}
CAPTIONS = {"Documentation": "Guides and reference", "Rooms": "Rooms", "Decisions": "Decisions"}


def prepare(into: Path) -> None:
    """Copy all pages into an empty folder, with their links as they are there."""
    shutil.copytree(ROOT / "docs", into, dirs_exist_ok=True, ignore=shutil.ignore_patterns("site", "__pycache__"))
    for page in into.rglob("*.md"):
        up = "../" * len(page.relative_to(into).parts)
        text = page.read_text(encoding="utf-8")
        for name, target in (TOP | FILES).items():
            text = text.replace(f"]({up}{name}", f"]({up.removeprefix('../')}{target}")
        page.write_text(text, encoding="utf-8")
    for name, target in TOP.items():
        text = (ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](").replace("](./", "](")
        for other, place in (TOP | FILES).items():
            text = text.replace(f"]({other}", f"]({place}")
        (into / target).write_text(text, encoding="utf-8")
    for name, target in FILES.items():
        shutil.copyfile(ROOT / name, into / target)
    _order(into / "index.md")


def _order(index: Path) -> None:
    """Give the site its order of pages: that in which the index names them."""
    text = index.read_text(encoding="utf-8")
    parts = re.split(r"^#+ (.+)$", text, flags=re.MULTILINE)
    trees = []
    for heading, body in zip(parts[1::2], parts[2::2], strict=True):
        pages = dict.fromkeys(re.findall(r"\]\(([\w/-]+)\.md(?:#[\w-]*)?\)", body))
        caption = CAPTIONS.get(heading, heading)
        trees.append("\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```"]))
    index.write_text(text + "\n" + "\n\n".join(trees) + "\n", encoding="utf-8")


def build(out: Path) -> int:
    """Build the site into a folder that is replaced; return 0, or what Sphinx says."""
    with tempfile.TemporaryDirectory(prefix="recloser-site-") as scratch:
        pages = Path(scratch) / "pages"
        prepare(pages)
        made = Path(scratch) / "site"
        options = ["-q", "-W", "--keep-going", "-b", "html", "-c", str(Path(__file__).parent)]
        code = build_main([*options, "-d", f"{scratch}/trees", str(pages), str(made)])
        if code == 0:
            shutil.rmtree(out, ignore_errors=True)
            shutil.copytree(made, out)
    return code


if __name__ == "__main__":
    sys.exit(build(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build" / "site")))
