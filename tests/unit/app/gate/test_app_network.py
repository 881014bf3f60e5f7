"""A run of a project that names a network, where pandapower is installed; and what it says where it is not."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recloser.app import Platform, run_pipeline
from recloser.app.trial.runner import with_trials
from recloser.core import InvalidInput

NOW = datetime(2020, 4, 30, tzinfo=UTC)
INSTALLED = importlib.util.find_spec("pandapower") is not None
SECTION = """
[staging.network]
file = "network.json"
loading_percent = 140.0
lost_loading_percent = 300.0
loads = {loads}
"""
MAKE = """
import json, sys, warnings
warnings.simplefilter("ignore")
import pandapower, pandapower.networks
net = pandapower.networks.create_cigre_network_mv()
pandapower.to_json(net, sys.argv[1])
print(json.dumps(net.load["name"].tolist()))
"""
RUN = """
import json, sys, warnings
warnings.simplefilter("ignore")
from datetime import UTC, datetime
from pathlib import Path
from recloser.app import run_pipeline
ran = run_pipeline(Path(sys.argv[1]), as_of=datetime(2020, 4, 30, tzinfo=UTC), engine="local", progress=lambda _l: None)
print(json.dumps(ran["checks"]))
"""


def named(project: Path, loads: str) -> None:
    file = project / "recloser.toml"
    file.write_text(file.read_text(encoding="utf-8") + SECTION.format(loads=loads), encoding="utf-8")


def by_itself(program: str, argument: Path) -> str:
    """Run a program in a process of its own: pandapower warns at import, and warnings are errors here."""
    done = subprocess.run([sys.executable, "-c", program, str(argument)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not INSTALLED, reason="the extra `network` (pandapower) is not installed")
def test_a_run_tries_the_forecasts_decisions_on_the_projects_network(project: Path) -> None:
    names = json.loads(by_itself(MAKE, project / "network.json"))
    named(project, f"{{ F01 = {json.dumps(names[0::2])}, F02 = {json.dumps(names[1::2])} }}")
    checks = {check["name"]: check for check in json.loads(by_itself(RUN, project))}
    network = checks["safety.network"]
    assert network["verdict"] == "pass", network["reason"]
    numbers = network["numbers"]
    assert numbers["intervals"] == 16
    assert numbers["insecure_in_truth"] > 0
    assert numbers["candidate_missed"] <= numbers["reference_missed"]


@pytest.mark.skipif(INSTALLED, reason="pandapower is installed")
def test_without_the_extra_the_gate_holds_and_says_what_to_install(project: Path) -> None:
    named(project, '{ F01 = ["a load"] }')
    ran = run_pipeline(project, as_of=NOW, engine="local", progress=lambda _line: None)
    network = next(check for check in ran["checks"] if check["name"] == "safety.network")
    assert (ran["verdict"], network["verdict"]) == ("hold", "hold")
    assert "pandapower is not installed" in network["reason"]


def test_loads_of_an_unknown_area_are_refused_when_the_file_is_read(project: Path) -> None:
    named(project, '{ F11 = ["a load"] }')
    with pytest.raises(InvalidInput, match="area"), Platform.open(project) as platform:
        with_trials(platform)
