"""Network decisions: counted by a small network of our own; power flow by pandapower where it is installed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from recloser.core import Unavailable
from recloser.staging import GatePolicy, NetworkProbe, check_network
from recloser.staging.network import Assessment

POLICY = GatePolicy()
START = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class OneLine:
    """Two areas behind one line; half of it when one of two circuits is lost."""

    limit_mw: float = 100.0

    def areas(self) -> Sequence[str]:
        return ("north", "south")

    def assess(self, load_mw: Mapping[str, float], *, lost_elements: bool) -> Assessment:
        total = sum(load_mw.values())
        limit = self.limit_mw * (0.9 if lost_elements else 1.0)
        return Assessment(total <= limit, "" if total <= limit else f"line loaded {100 * total / limit:.0f} %")


def probe(candidate: float, reference: float = 1.0, *, peak: float = 44.0) -> NetworkProbe:
    """Twenty days of two areas whose peaks differ a little; forecasts are the truth times a factor, +-2 %."""
    hours = np.arange(20 * 24)
    load = 30 + (peak - 30) * np.sin(2 * np.pi * (hours - 6) / 24) + 0.02 * (hours // 24)
    at = [START + timedelta(hours=int(hour)) for hour in hours]
    rows = {"at": at * 2, "area": ["north"] * len(at) + ["south"] * len(at), "truth": np.tile(load, 2)}
    truth = rows["truth"]
    sides = {"candidate": candidate, "reference": reference}
    columns = {
        f"{who}_{end}": truth * factor * k
        for who, factor in sides.items()
        for end, k in (("low", 0.98), ("high", 1.02))
    }
    return NetworkProbe(pl.DataFrame(rows | columns).cast({"at": pl.Datetime("us", "UTC")}), "champion")


def test_a_forecast_like_the_champions_passes_and_is_counted() -> None:
    found = check_network(OneLine(), probe(1.0), POLICY)
    assert found.verdict == "pass", found.reason
    assert found.numbers["intervals"] == 16
    assert found.numbers["with_lost_elements"] == 3
    assert found.numbers["candidate_missed"] == found.numbers["reference_missed"] == 0


def test_a_forecast_that_is_too_low_misses_violations() -> None:
    found = check_network(OneLine(limit_mw=86.0), probe(0.9), POLICY)
    assert found.verdict == "refuse"
    assert found.numbers["insecure_in_truth"] == 12
    assert found.numbers["candidate_missed"] > found.numbers["reference_missed"] == 0
    assert "missed" in found.reason
    assert "line loaded" in found.numbers["first"]


def test_a_forecast_that_is_too_high_calls_in_vain() -> None:
    found = check_network(OneLine(limit_mw=102.0), probe(1.15), POLICY)
    assert (found.verdict, "(vain)" in found.reason) == ("refuse", True)


def test_without_truth_for_every_area_it_is_a_hold() -> None:
    known = probe(1.0)
    one = replace(known, frame=known.frame.filter(pl.col("area") == "north"))
    assert check_network(OneLine(), one, POLICY).verdict == "hold"


needs_pandapower = pytest.mark.skipif(
    importlib.util.find_spec("pandapower") is None, reason="the extra `network` (pandapower) is not installed"
)


@pytest.mark.skipif(importlib.util.find_spec("pandapower") is not None, reason="pandapower is installed")
def test_without_the_extra_it_says_what_to_install() -> None:
    from recloser.staging.network.power_flow import require_pandapower

    with pytest.raises(Unavailable, match="pandapower is not installed"):
        require_pandapower()


FLOW = """
import sys, warnings
warnings.simplefilter("ignore")
import pandapower.networks as networks
from recloser.core import InvalidInput
from recloser.staging.network.power_flow import NetworkLimits, PandapowerGrid
net = networks.create_cigre_network_mv()
names = net.load["name"].tolist()
own = float(net.load["p_mw"].sum())
limits = NetworkLimits(lowest_pu=0.9, loading_percent=105.0, lost_loading_percent=160.0)
grid = PandapowerGrid(net, {"all": names}, limits)
assert grid.areas() == ("all",)
usual = grid.assess({"all": own}, lost_elements=False)
assert usual.secure, usual
half = grid.assess({"all": 0.5 * own}, lost_elements=True)
heavy = grid.assess({"all": 1.6 * own}, lost_elements=False)
assert not heavy.secure and ("loaded" in heavy.reason or "voltage" in heavy.reason), heavy
absurd = grid.assess({"all": 60 * own}, lost_elements=False)
assert not absurd.secure and "converge" in absurd.reason, absurd
assert grid.assess({"all": own}, lost_elements=False) == usual
try:
    PandapowerGrid(net, {"all": ["no such load"]})
except InvalidInput as error:
    assert "no such load" in str(error.got)
else:
    sys.exit("an unknown load was accepted")
print("ok", half.secure)
"""


@needs_pandapower
def test_power_flow_of_a_cigre_network_finds_overload_low_voltage_and_collapse() -> None:
    # In a process of its own: pandapower warns at import, and warnings are errors here.
    done = subprocess.run([sys.executable, "-c", FLOW], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ok")


SIMBENCH = """
import warnings
warnings.simplefilter("ignore")
import simbench
from recloser.staging.network.power_flow import NetworkLimits, PandapowerGrid
net = simbench.get_simbench_net("1-MV-rural--0-sw")
names = net.load["name"].tolist()
areas = {f"F{k:02d}": names[k::4] for k in range(4)}
own = {area: float(net.load.loc[net.load["name"].isin(mine), "p_mw"].sum()) for area, mine in areas.items()}
grid = PandapowerGrid(net, areas, NetworkLimits())
light = grid.assess({area: 0.5 * mw for area, mw in own.items()}, lost_elements=False)
heavy = grid.assess({area: 6.0 * mw for area, mw in own.items()}, lost_elements=False)
assert light.secure, light
assert not heavy.secure, heavy
print("ok", heavy.reason)
"""


@needs_pandapower
@pytest.mark.skipif(importlib.util.find_spec("simbench") is None, reason="SimBench is not installed")
def test_the_worked_example_on_a_simbench_network() -> None:
    done = subprocess.run([sys.executable, "-c", SIMBENCH], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ok")
