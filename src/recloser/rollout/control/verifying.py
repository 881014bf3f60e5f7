"""Owns what the controller knows of releases by trying them now (I1, I2). Decides nothing."""

from __future__ import annotations

from dataclasses import replace

from recloser.rollout.control.router import Router, Verify
from recloser.rollout.evidence import Evidence
from recloser.rollout.rollout import Rollout


class ReleaseVerifier:
    """Verifies packages and tries releases at the gateways, each time anew."""

    def __init__(self, verify: Verify, router: Router) -> None:
        self._verify = verify
        self._router = router

    def problem(self, release: str) -> str:
        """Return why the release must not serve, or an empty text."""
        return self._verify(release) or self._router.verify(release)

    def verified(self, rollout: Rollout, evidence: Evidence) -> Evidence:
        """Return the evidence with both releases of the rollout verified now."""
        problem = self.problem(rollout.release)
        return replace(
            evidence,
            ready=evidence.ready is not False and not problem,
            ready_reason=evidence.ready_reason or problem,
            target_ready=self.target_ready(rollout, evidence),
        )

    def target_ready(self, rollout: Rollout, evidence: Evidence) -> bool | None:
        """Return whether the release that a rollback would return to verifies; None without one."""
        if evidence.target_ready is False:
            return False
        return None if rollout.champion is None else not self.problem(rollout.champion)


def hopeful(evidence: Evidence) -> Evidence:
    """Return the evidence as if everything unknown verified: what is to be decided before anything is tried."""
    return replace(
        evidence,
        ready=True if evidence.ready is None else evidence.ready,
        target_ready=True if evidence.target_ready is None else evidence.target_ready,
    )
