"""Links resolve, public things explain themselves, and no committed file names a registry's host or this machine."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "src" / "recloser"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def prose(path: Path) -> str:
    """Return a page without its code blocks."""
    return re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(path), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_relative_link_resolves(path: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", prose(path))):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        found = (path.parent / file).resolve() if file else path
        inside = found.is_relative_to(ROOT) and found.exists()
        if not inside or (anchor and found.suffix == ".md" and anchor not in anchors(found)):
            broken.append(target)
    assert broken == []


def undocumented(node: ast.AST, name: str) -> Iterator[str]:
    for inner in getattr(node, "body", []):
        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not inner.name.startswith("_"):
            if not ast.get_docstring(inner):
                yield f"{name}:{inner.lineno} {inner.name}"
            if isinstance(inner, ast.ClassDef):
                yield from undocumented(inner, name)


def test_every_module_class_and_function_has_a_docstring() -> None:
    missing = []
    for path in sorted(SOURCE.rglob("*.py")):
        name, tree = path.relative_to(SOURCE).as_posix(), ast.parse(path.read_text(encoding="utf-8"))
        missing += [] if ast.get_docstring(tree) else [name]
        missing += undocumented(tree, name)
    assert missing == []


# Written in pieces, so that this file does not hold what it looks for.
HOSTS = ("py" + r"pi\.org", "python" + r"hosted\.", "ana" + r"conda\.(org|com)", "npm" + r"js\.", "proxy\\.go" + "lang")
OPTIONS = ("--(extra-)?index" + "-url[ =]+http", "--find" + "-links", "--trusted" + "-host")
PLACES = tuple(
    rf"(?<![\w./])/{name}/[\w.]" for name in ("wo" + "rk", "ro" + "ot", "ho" + "me", "Us" + "ers", "tmp/" + "w")
)
LOCAL = {".venv", ".git", "build", "dist", "demo-out", "replay"}


def committed() -> Iterator[Path]:
    """Yield the text files that are in the repository, or about to be."""
    for top in sorted(ROOT.iterdir()):
        if top.name in LOCAL or top.name.endswith("_cache") or top.name == ".hypothesis":
            continue
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and "__pycache__" not in path.parts and path.suffix not in {".pyc", ".png", ".parquet"}:
                yield path


def test_no_committed_file_names_a_registry_or_a_path_of_this_machine() -> None:
    pattern = re.compile("|".join([*HOSTS, *OPTIONS, *PLACES]))
    found = []
    for path in committed():
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            hit = pattern.search(line)
            if hit:
                found.append(f"{path.relative_to(ROOT)}:{number} {hit[0]!r}")
    assert found == []
