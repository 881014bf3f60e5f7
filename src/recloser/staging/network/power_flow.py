"""Owns the GridModel on pandapower: loads of areas, power flow, limits, loss of each line or transformer."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recloser.core import InvalidInput, Unavailable
from recloser.staging.network.decision import Assessment

try:
    import pandapower
    import pandapower.topology
    from pandapower.auxiliary import pandapowerNet
except ImportError:  # the extra is not installed
    pandapower = None


@dataclass(frozen=True, slots=True)
class NetworkLimits:
    """What the network may do.

    Attributes:
        lowest_pu, highest_pu: voltage at every bus; EN 50160 allows 10 % either way.
        loading_percent: of lines and transformers.
        lost_loading_percent: the same with one element lost, for as long as it takes to switch.
        most_lost: most loaded elements that are taken out one by one.
    """

    lowest_pu: float = 0.9
    highest_pu: float = 1.1
    loading_percent: float = 100.0
    lost_loading_percent: float = 120.0
    most_lost: int = 10


class PandapowerGrid:
    """A pandapower network in which each area's load is shared by some of its loads.

    An area's MW are shared in proportion to the loads' own `p_mw`, at their own power factor. Not thread safe.

    Args:
        net: network; it is copied.
        loads: area -> names of loads in `net.load`.
        limits: what it may do.

    Raises:
        Unavailable: pandapower is not installed.
        InvalidInput: an area without loads, or a name that no load or two areas have.
    """

    def __init__(
        self, net: pandapowerNet, loads: Mapping[str, Sequence[str]], limits: NetworkLimits | None = None
    ) -> None:
        require_pandapower()
        self._net = copy.deepcopy(net)
        self._limits = limits or NetworkLimits()
        self._rows = {area: _rows(self._net, area, names) for area, names in sorted(loads.items())}
        used = [row for rows in self._rows.values() for row in rows]
        if not used or len(set(used)) != len(used):
            raise InvalidInput("loads of a network must belong to one area each", got=len(used), where="network loads")
        self._own = self._net.load[["p_mw", "q_mvar"]].copy()

    @classmethod
    def open(
        cls, file: Path, loads: Mapping[str, Sequence[str]], limits: NetworkLimits | None = None
    ) -> PandapowerGrid:
        """Open a network saved by `pandapower.to_json`.

        Raises:
            Unavailable: pandapower is not installed.
            InvalidInput: no such file, or not a network.
        """
        require_pandapower()
        try:
            net = pandapower.from_json(str(file))
        except (OSError, ValueError, KeyError, TypeError, UserWarning) as error:
            raise InvalidInput("not a network of pandapower", got=str(error)[:200], where=str(file)) from error
        return cls(net, loads, limits)

    def areas(self) -> Sequence[str]:
        """Return the areas that have loads in the network, sorted."""
        return tuple(self._rows)

    def assess(self, load_mw: Mapping[str, float], *, lost_elements: bool) -> Assessment:
        """Return whether the network is secure at these loads in MW by area."""
        self._set(load_mw)
        fault = self._fault("", self._limits.loading_percent)
        if fault or not lost_elements:
            return Assessment(not fault, fault)
        for table, index in self._most_loaded():
            self._net[table].at[index, "in_service"] = False
            try:
                fault = self._fault(f"without {table} {index}: ", self._limits.lost_loading_percent)
            finally:
                self._net[table].at[index, "in_service"] = True
            if fault:
                return Assessment(secure=False, reason=fault)
        return Assessment(secure=True)

    def _set(self, load_mw: Mapping[str, float]) -> None:
        for area, rows in self._rows.items():
            own = self._own.loc[rows]
            share = load_mw[area] / own["p_mw"].sum()
            self._net.load.loc[rows, "p_mw"] = own["p_mw"] * share
            self._net.load.loc[rows, "q_mvar"] = own["q_mvar"] * share

    def _fault(self, prefix: str, loading_percent: float) -> str:
        """Return the first violation of a power flow, empty if there is none."""
        net, limits = self._net, self._limits
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of its numerics; what does not converge is raised
                pandapower.runpp(net, numba=False)
        except pandapower.LoadflowNotConverged:
            return f"{prefix}the power flow does not converge"
        voltage = net.res_bus["vm_pu"]
        if voltage.isna().any():
            return f"{prefix}{int(voltage.isna().sum())} buses without supply"
        if voltage.min() < limits.lowest_pu or voltage.max() > limits.highest_pu:
            worst = voltage.min() if voltage.min() < limits.lowest_pu else voltage.max()
            return f"{prefix}voltage {worst:.3f} pu"
        for table in ("line", "trafo"):
            loading = net[f"res_{table}"]["loading_percent"]
            if len(loading) and loading.max() > loading_percent:
                return f"{prefix}{table} {loading.idxmax()} loaded {loading.max():.0f} %"
        return ""

    def _most_loaded(self) -> list[tuple[str, Any]]:
        """Return the most loaded elements in service whose loss leaves every bus supplied in the model's layout."""
        found = [
            (float(percent), table, index)
            for table in ("line", "trafo")
            for index, percent in self._net[f"res_{table}"]["loading_percent"].items()
            if bool(self._net[table].at[index, "in_service"]) and not self._is_bridge(table, index)
        ]
        return [
            (table, index) for _, table, index in sorted(found, key=lambda item: -item[0])[: self._limits.most_lost]
        ]

    def _is_bridge(self, table: str, index: Any) -> bool:
        """Return whether some bus has no other way: a radial part is switched, not kept secure, when it is lost."""
        self._net[table].at[index, "in_service"] = False
        try:
            return bool(pandapower.topology.unsupplied_buses(self._net))
        finally:
            self._net[table].at[index, "in_service"] = True


def require_pandapower() -> None:
    """Raise Unavailable where the extra is not installed."""
    if pandapower is None:
        raise Unavailable(
            "pandapower is not installed",
            expected="the extra `network`",
            where="[staging.network]",
            next_step="pip install 'recloser[network]'",
        )


def _rows(net: Any, area: str, names: Sequence[str]) -> list[Any]:
    rows: list[Any] = net.load.index[net.load["name"].isin(list(names))].tolist()
    missing = sorted(set(names) - set(net.load["name"]))
    if missing or not rows or net.load.loc[rows, "p_mw"].sum() == 0:
        raise InvalidInput(
            "an area without loads of that name in the network",
            got=missing or list(names),
            expected="names in the network's load table, with power",
            where=f"staging.network.loads.{area}",
        )
    return rows
