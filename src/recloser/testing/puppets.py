"""Owns a release that does what a file tells it to: canaries that turn bad, releases that hang. For tests only."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl

from recloser.app import Platform
from recloser.core import FloatArray, Refused, Unavailable
from recloser.ledger import ReleaseRecord, RouteRecord
from recloser.models import Model, load_model
from recloser.models.model import write_facts
from recloser.registry import build_package, make_golden
from recloser.registry.golden import read_golden
from recloser.rollout import Rollout, RolloutPlan, RolloutState, new_rollout

PAUSE_S = 0.05


class Puppet:
    """A 'python' model that answers as the honest one beside it, unless the word in its file says otherwise.

    Words: 'honest'; 'hang' and 'fail' while it is being loaded; 'nan', 'huge', 'exit' and 'slow' (a minute) when asked;
    'nan:AREA' and 'huge:AREA' for rows of that area alone.

    Args:
        inner: the honest model.
        strings: file with the word.
    """

    def __init__(self, inner: Model, strings: Path) -> None:
        self._inner, self._strings = inner, strings

    @classmethod
    def load(cls, folder: Path, strings: str) -> Puppet:
        """Open the honest model; what MODEL packages hold.

        Raises:
            Unavailable: told to fail.
        """
        path = Path(strings)
        while _word(path) == "hang":
            time.sleep(PAUSE_S)
        if _word(path) == "fail":
            raise Unavailable("told to fail", where=strings)
        return cls(load_model(folder / "inner"), path)

    def predict(self, rows: pl.DataFrame) -> FloatArray:
        """Return MW, shape (n_rows, n_quantiles)."""
        word, _, area = _word(self._strings).partition(":")
        if word == "exit":
            os._exit(9)
        if word == "slow":
            time.sleep(60.0)
        answer = self._inner.predict(rows)
        hit = (rows["area"] == area).to_numpy() if area else np.ones(len(rows), bool)
        return answer * np.where(hit, {"nan": np.nan, "huge": 1e6}.get(word, 1.0), 1.0)[:, None]


def _word(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip()


def puppet_release(platform: Platform, strings: Path) -> str:
    """Package a puppet of the champion as an accepted release, and return its name.

    Args:
        platform: a project with a champion that is no puppet; its model.allow_code must be true for the puppet to load.
        strings: file that holds 'honest' now.

    Raises:
        Refused: there is no champion.
    """
    champion = platform.champion()
    if champion is None:
        raise Refused("no champion to make a puppet of", where=str(platform.layout.root))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        quantiles = list(champion.model.quantiles)
        parameters = {"strings": str(strings)}
        entry = "recloser.testing.puppets:Puppet"
        write_facts(folder, {"kind": "python", "entry": entry, "quantiles": quantiles, "parameters": parameters})
        shutil.copytree(champion.package.model_folder, folder / "inner")
        shutil.copytree(champion.package.model_folder / "fallback", folder / "fallback")
        golden = make_golden(read_golden(champion.package).rows, champion.features.names, champion.model.predict)
        facts = replace(champion.package.facts, model_kind="python")
        built = build_package(platform.layout.packages, folder, facts, platform.signer, golden)
    kept = {"metrics": dict(facts.metrics), "scales": dict(facts.scales)}
    now = platform.clock.now()
    with platform.ledger.change("test", now) as change:
        change.put(ReleaseRecord(built.release, built.digest, str(built.path), "puppet", now, "accepted", None, kept))
        change.note("staging.pass", built.release, {"reason": "a puppet"})
    return built.release


def put_on_trial(
    platform: Platform, release: str, state: RolloutState, *, share: float = 1.0, lease_until: datetime | None = None
) -> Rollout:
    """Write the rollout of a release as if it had come to `state` ('shadow' or 'canary'), with the route it needs."""
    now, route = platform.clock.now(), platform.ledger.get(RouteRecord, "route")
    if route is None:
        raise Refused("no champion to try a release against", where=str(platform.layout.root))
    queued = new_rollout(release, route.champion, RolloutPlan(), now, scale=0.1, reason="put on trial by a test")
    rollout = replace(queued, state=state, since=now, tried_at=now)
    canary = state is RolloutState.CANARY
    following = replace(
        route,
        epoch=route.epoch + 1,
        canary=release if canary else None,
        share=share if canary else 0.0,
        shadow=None if canary else release,
        lease_until=lease_until,
        reason="put on trial by a test",
        at=now,
    )
    with platform.ledger.change("test", now) as change:
        change.put(rollout.to_record())
        change.put(following)
        change.note("rollout.test", release, {"state": str(state), "epoch": following.epoch})
    return rollout
