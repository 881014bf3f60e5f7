"""The fixtures of this folder; what its tests share besides them is in conftest_kserve."""

from __future__ import annotations

from conftest_kserve import api, clock, kube, new_keeper, rest, token

__all__ = ["api", "clock", "kube", "new_keeper", "rest", "token"]
