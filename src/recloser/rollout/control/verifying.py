"""Owns what the controller knows of releases by trying them now and then (I1, I2). Decides nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from recloser.core import Unavailable, format_utc
from recloser.rollout.control.router import Router, Verify
from recloser.rollout.evidence import Evidence
from recloser.rollout.rollout import Rollout


class ReleaseVerifier:
    """Verifies packages and tries releases at the gateways: anew before each switch, and again while they serve.

    Args:
        standing: tells why a release may not serve whatever its package: it tripped, or was refused.
        verify: re-verifies a package.
        router: tries a release at the gateways.
        recheck: how long the last success of a release that serves is relied on. It is all that is remembered, and a
            new process begins without it: it looks once more than it had to.
    """

    def __init__(self, standing: Verify, verify: Verify, router: Router, recheck: timedelta) -> None:
        self._standing = standing
        self._verify = verify
        self._router = router
        self._recheck = recheck
        self._good: dict[str, datetime] = {}

    def problem(self, release: str) -> str:
        """Return why the release must not serve, or an empty text; one that cannot be tried now must not either."""
        try:
            return self._tried(release)
        except Unavailable as error:
            return f"it cannot be verified now: {error.explain()}"

    def verified(self, rollout: Rollout, evidence: Evidence) -> Evidence:
        """Return the evidence with both releases of the rollout verified now; what cannot be tried is not known."""
        ready, reason = evidence.ready, evidence.ready_reason
        if ready is not False:
            try:
                problem = self._tried(rollout.release)
                ready, reason = not problem, reason or problem
            except Unavailable as error:
                ready, reason = None, error.explain()
        return replace(evidence, ready=ready, ready_reason=reason, target_ready=self.target_ready(rollout, evidence))

    def target_ready(self, rollout: Rollout, evidence: Evidence) -> bool | None:
        """Return whether the release that a rollback would return to verifies; None without one, or if unknown now."""
        if evidence.target_ready is False:
            return False
        if rollout.champion is None:
            return None
        try:
            return not self._tried(rollout.champion)
        except Unavailable:
            return None

    def watched(self, rollout: Rollout, evidence: Evidence, now: datetime) -> Evidence:
        """Return the evidence on a release that serves, tried again if its last success is `recheck` ago.

        A release that cannot be tried is given as long again, then it is not fit to serve.

        Args:
            rollout: of a release that the route names.
            evidence: as gathered.
            now: aware UTC.
        """
        release, last = rollout.release, self._good.get(rollout.release)
        if last is not None and last <= now < last + self._recheck:
            return evidence
        try:
            problem = self._tried(release)
        except Unavailable as error:
            since = self._good.setdefault(release, now - self._recheck)
            if now < since + 2 * self._recheck:
                return evidence
            problem = f"it could not be verified since {format_utc(since)}: {error.explain()}"
        if not problem:
            self._good[release] = now
            return evidence
        self._good.pop(release, None)
        return replace(evidence, ready=False, ready_reason=evidence.ready_reason or problem)

    def _tried(self, release: str) -> str:
        """Return why the release must not serve, or an empty text.

        Raises:
            Unavailable: it cannot be told now.
        """
        return self._standing(release) or self._verify(release) or self._router.verify(release)


def hopeful(evidence: Evidence) -> Evidence:
    """Return the evidence as if everything unknown verified: what is to be decided before anything is tried."""
    return replace(
        evidence,
        ready=True if evidence.ready is None else evidence.ready,
        target_ready=True if evidence.target_ready is None else evidence.target_ready,
    )
