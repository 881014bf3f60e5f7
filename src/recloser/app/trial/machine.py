"""Owns telling what a process runs on, as far as it can change numbers or speed. Names no host."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recloser.app.foreign import ONE_THREAD
from recloser.core import digest_bytes
from recloser.registry import read_environment

CPU = Path("/proc/cpuinfo")
NOTABLE = ("sse4_2", "avx", "avx2", "fma", "avx512f", "avx512_vnni", "asimd")


def machine_facts() -> dict[str, Any]:
    """Return interpreter, OS, CPU features, threads and library versions of this process, JSON-ready."""
    lock = read_environment()
    flags = cpu_flags()
    return {
        "python": lock.python,
        "platform": lock.platform,
        "kernel": platform.release(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "cpu_features": [name for name in NOTABLE if name in flags],
        "cpu_flags_sha256": digest_bytes(" ".join(sorted(flags)).encode()),
        "threads": {name: os.environ.get(name) for name in ONE_THREAD},
        "libraries": dict(lock.libraries),
    }


def cpu_flags() -> frozenset[str]:
    """Return the CPU's feature flags, empty where the system does not tell."""
    try:
        lines = CPU.read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    line = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return frozenset(line.partition(":")[2].split())


def differences(staging: Mapping[str, Any], production: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return name -> (staging, production) of the facts that differ; libraries one by one."""
    here, there = ({**facts, "libraries": None, **facts["libraries"]} for facts in (staging, production))
    names = sorted({*here, *there})
    return {name: (here.get(name), there.get(name)) for name in names if here.get(name) != there.get(name)}
