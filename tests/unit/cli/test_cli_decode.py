"""`recloser decode`: JSON Lines in capture order, text for people, exit codes."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

from recloser.cli.main import main
from recloser.connectors.c37118 import command_frame, header_frame
from recloser.testing import CaptureBuilder

A, B = (1, 4712), (2, 50_000)


def run(*words: object) -> tuple[int, str]:
    out = StringIO()
    return main([str(word) for word in words], out), out.getvalue()


def test_json_lines_one_object_a_frame(tmp_path: Path) -> None:
    file = CaptureBuilder().tcp(B, A, command_frame(7, 2)).tcp(A, B, header_frame(7, "hi") + b"\xaa\x11\x00\x20 cut")
    code, text = run("decode", "c37118", file.write(tmp_path / "a.pcap"), "--json")
    rows = [json.loads(line) for line in text.splitlines()]
    assert code == 0
    assert [row["packet"] for row in rows] == [1, 2, 2]
    assert ["error" in row for row in rows] == [False, False, True]


def test_text_for_people_ends_with_counts(tmp_path: Path) -> None:
    file = CaptureBuilder().tcp(B, A, command_frame(7, 2))
    code, text = run("decode", "c37118", file.write(tmp_path / "a.pcap"))
    assert code == 0
    assert "turn on transmission" in text
    assert text.splitlines()[-1] == "1 rows (1 CMD); 0 with an error"


def test_what_is_no_capture_is_bad_input_with_its_facts(tmp_path: Path) -> None:
    file = tmp_path / "a.pcap"
    file.write_text("no capture")
    code, text = run("decode", "c37118", file, "--json")
    assert code == 2
    assert json.loads(text)["error"] == "InvalidInput"
    assert run("decode", "morse", file)[0] == 2
    assert run("decode", "c37118", tmp_path / "none.pcap")[0] == 2
