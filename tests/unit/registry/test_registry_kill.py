"""A build killed at any step leaves either nothing or a whole package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
import numpy as np, polars as pl
from recloser.registry import *

root = Path(sys.argv[1])
model = root / "saved"; model.mkdir()
(model / "model.json").write_text("{}"); (model / "trees.txt").write_bytes(b"tree" * 50000)
signer = create_key(root / "key.pem")
rows = pl.DataFrame({"x": [1.0, 2.0]})
golden = Golden(rows, np.ones((2, 3)))
at = datetime(2020, 1, 1, tzinfo=UTC)
facts = PackageFacts("m", (0.5,), {}, (at, at), (), {}, EnvironmentLock("p", "l", {}))
packages = root / "packages"
steps = {"open", "os.rename", "tempfile.mkdtemp", "shutil.rmtree"}

def killed_after(limit):
    count = 0
    def hook(event, arguments):
        nonlocal count
        reading = event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if event in steps and str(packages) in str(arguments[0]) and not reading:
            count += 1
            if count > limit:
                os.kill(os.getpid(), signal.SIGKILL)
    child = os.fork()
    if child == 0:
        sys.addaudithook(hook)
        build_package(packages, model, facts, signer, golden)
        os._exit(0)
    return os.waitpid(child, 0)[1]

killed, whole, leftovers = 0, 0, 0
for limit in range(200):
    status = killed_after(limit)
    found = [p for p in packages.glob("*") if not p.name.startswith(".")] if packages.exists() else []
    leftovers += len(list(packages.glob(".building-*"))) > 0 if packages.exists() else 0
    for path in found:
        open_package(path, [signer.public_key])
        whole += 1
    if status == 0:
        break
    killed += 1
    for path in found:  # start each round without the release
        import shutil; shutil.rmtree(path)
assert status == 0 and len(found) == 1, (status, found)
assert not list(packages.glob(".building-*"))
print(killed, whole, leftovers)
"""


def test_kill_at_every_step(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    killed, whole, leftovers = map(int, done.stdout.split())
    assert killed >= 10
    assert leftovers > 5  # the kills really fell inside the build
    assert whole >= 1
