"""Owns the page of a dossier: one HTML file, ready to print, without scripts or anything from outside."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

STYLE = """
:root{color-scheme:light}
body{font:14px/1.5 system-ui,"Segoe UI",sans-serif;background:#f2f2f0;color:#262626;margin:0}
main{max-width:1040px;margin:0 auto;background:#fff;padding:40px 56px 64px;border:1px solid #dcdcd8;border-width:0 1px}
h1{font-size:26px;font-weight:600;margin:0 0 2px}
h2{font-size:17px;font-weight:600;margin:36px 0 10px;padding-top:12px;border-top:1px solid #d5d5d0;break-after:avoid}
p{margin:6px 0 10px;max-width:76ch}ul{margin:6px 0 12px;padding-left:20px;max-width:76ch}li{margin:3px 0}
.quiet{color:#5c5c58}.lead{font-size:15px}
nav{columns:2;margin:18px 0 0;padding:12px 16px;background:#f6f6f4;border:1px solid #e2e2de}
nav a{display:block;color:#262626;text-decoration:none;padding:1px 0}nav a:hover{text-decoration:underline}
.status{display:flex;gap:12px;flex-wrap:wrap;margin:16px 0 0}
.status div{border:1px solid #d5d5d0;padding:8px 14px;min-width:120px}
.status b{display:block;font-size:16px;font-weight:600;overflow-wrap:anywhere}.status span{color:#5c5c58;font-size:12px}
table{border-collapse:collapse;width:100%;
font-variant-numeric:tabular-nums;margin:8px 0 14px;font-size:12.5px;line-height:1.4}
th{background:#ecece8;text-align:left;font-weight:600}
th,td{padding:4px 8px;border-bottom:1px solid #e2e2de;vertical-align:top;overflow-wrap:break-word}
tr{break-inside:avoid}
table.facts{width:auto;min-width:60%}table.facts td:first-child{color:#5c5c58;width:220px}
tr.refuse td{background:#fbe6dc}tr.hold td{background:#fbf3d6}
tr.refuse td:first-child,tr.hold td:first-child{font-weight:600}
footer{margin-top:40px;color:#5c5c58;font-size:12px}
@page{size:A4;margin:16mm 14mm}
@media print{body{background:#fff;font-size:10pt}main{border:0;padding:0;max-width:none}table{font-size:8.5pt}
nav{columns:2}
a{color:inherit}thead{display:table-header-group}}
"""

FOOTER = (
    "This page is signed: the last line of the file holds the signature, and any change to the file breaks it. "
    "Check it without a network: recloser dossier verify FILE --keys FOLDER. "
    "It supports assessments; it certifies nothing."
)


def render_page(document: Mapping[str, Any]) -> str:
    """Return the page of a dossier, without the signature that is put behind it."""
    title = f"Release dossier {document['release']}"
    sections = document["sections"]
    made = f"Project {document['project']}. Made {document['made_at']} by {document['made_by']}."
    parts = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{_text(title)}</title><style>{STYLE}</style></head>',
        f"<body><main><h1>{_text(title)}</h1>",
        f'<p class="quiet">{_text(made)}</p>',
        _status(document),
        _contents(sections),
        *(_section(number, section) for number, section in enumerate(sections, 1)),
        f"<footer>{FOOTER}</footer>",
        "</main></body></html>",
    ]
    return "\n".join(parts) + "\n"


def _status(document: Mapping[str, Any]) -> str:
    checks = document["checks"]
    passed = sum(check["verdict"] == "pass" for check in checks)
    cells = {
        "gate": document["verdict"] or "not judged",
        "checks passed": f"{passed} of {len(checks)}",
        "state": document["state"],
        "content digest": document["digest"][:16],
    }
    return (
        '<div class="status">'
        + "".join(f"<div><b>{_text(v)}</b><span>{_text(k)}</span></div>" for k, v in cells.items())
        + "</div>"
    )


def _contents(sections: Sequence[Mapping[str, Any]]) -> str:
    links = [f'<a href="#{_text(s["id"])}">{n}. {_text(s["title"])}</a>' for n, s in enumerate(sections, 1)]
    return f"<nav>{''.join(links)}</nav>"


def _section(number: int, section: Mapping[str, Any]) -> str:
    blocks = "\n".join(_block(block) for block in section["blocks"])
    return f'<section id="{_text(section["id"])}"><h2>{number}. {_text(section["title"])}</h2>\n{blocks}</section>'


def _block(block: Mapping[str, Any]) -> str:
    kind = block["kind"]
    if kind == "text":
        return f"<p>{_text(block['text'])}</p>"
    if kind == "list":
        return f"<ul>{''.join(f'<li>{_text(line)}</li>' for line in block['items'])}</ul>"
    if kind == "facts":
        rows = "".join(f"<tr><td>{_text(name)}</td><td>{_text(item)}</td></tr>" for name, item in block["rows"])
        return f'<table class="facts">{rows}</table>'
    return _table(block)


def _table(block: Mapping[str, Any]) -> str:
    if not block["rows"]:
        return '<p class="quiet">None.</p>'
    head = "".join(f"<th>{_text(name)}</th>" for name in block["head"])
    marks = block["marks"] or [""] * len(block["rows"])
    rows = []
    for mark, row in zip(marks, block["rows"], strict=True):
        cells = "".join(f"<td>{_text(cell)}</td>" for cell in row)
        rows.append(f'<tr class="{_text(mark)}">{cells}</tr>' if mark else f"<tr>{cells}</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _text(item: Any) -> str:
    return html.escape(str(item))
