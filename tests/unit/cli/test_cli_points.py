"""`recloser points import` and `check`: a sheet becomes a registry, all of it or nothing."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

from recloser.cli.main import main


def run(*words: object) -> tuple[int, str]:
    out = StringIO()
    return main([str(word) for word in words], out), out.getvalue()


def test_a_sheet_becomes_a_registry_that_is_sound(tmp_path: Path) -> None:
    sheet, out = tmp_path / "sheet.csv", tmp_path / "points" / "rtu.csv"
    sheet.write_text("SIGNAL,CA,IOA,Units,Remark\nfeeder,3,1300,MW,x\nbreaker,3,1301,state,\n")
    code, text = run(
        "points", "import", sheet, "--protocol", "iec104", "--column", "name=SIGNAL", "--out", out, "--json"
    )
    document = json.loads(text)
    assert code == 0
    assert (document["points"], document["unused"]) == (2, ["Remark"])
    code, text = run("points", "check", out, "--protocol", "iec104", "--json")
    assert code == 0
    assert json.loads(text)["roles"] == {"other": 2}
    again = ("points", "import", sheet, "--protocol", "iec104", "--column", "name=SIGNAL", "--out", out)
    assert run(*again)[0] == 2
    assert run(*again, "--replace")[0] == 0


def test_a_bad_sheet_writes_nothing(tmp_path: Path) -> None:
    sheet, out = tmp_path / "sheet.csv", tmp_path / "rtu.csv"
    sheet.write_text("name,CA,IOA,Units\nfeeder,3,1300,parsecs\n")
    assert run("points", "import", sheet, "--protocol", "iec104", "--out", out)[0] == 2
    assert run("points", "import", sheet, "--protocol", "iec104", "--column", "name", "--out", out)[0] == 2
    assert not out.exists()
