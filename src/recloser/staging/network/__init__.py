"""Owns the check of what a forecast implies for the network. Only `power_flow` imports pandapower (extra `network`)."""

from recloser.staging.network.decision import Assessment, GridModel, NetworkProbe, check_network

__all__ = ["Assessment", "GridModel", "NetworkProbe", "check_network"]
