"""`recloser replay` of a project with its scenario, as a process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAM = (sys.executable, "-c", "from recloser.cli.main import run; run()")


@dataclass(frozen=True, slots=True)
class Replay:
    """A window, with its policies, of a project's history.

    Attributes:
        window: options of the command line.
        environment: of the processes.
        patience_s: the limit only keeps a broken program from hanging the tests.
    """

    window: Sequence[str]
    environment: Mapping[str, str]
    patience_s: float = 900.0

    def words(self, project: Path, out: Path) -> list[str]:
        """Return the command."""
        scenario = ["--scenario", str(project / "scenario.toml")]
        return [*PROGRAM, "replay", *self.window, *scenario, "--project", str(project), "--out", str(out), "--json"]

    def finished(self, project: Path, out: Path) -> dict[str, Any]:
        """Replay to the end and return the report without measured times."""
        done = subprocess.run(
            self.words(project, out),
            check=False,
            capture_output=True,
            text=True,
            timeout=self.patience_s,
            env=self.environment,
        )
        assert done.returncode == 0, done.stderr
        report: dict[str, Any] = json.loads(Path(json.loads(done.stdout)["report_json"]).read_text(encoding="utf-8"))
        del report["wall_s"], report["cpu_s"]
        return report
