"""Owns what doctor says of a Kubeflow cluster: whether the project fits it. Asks the cluster nothing."""

from __future__ import annotations

from recloser.app.cluster.opening import target_of
from recloser.app.platform import Platform


def check_cluster(platform: Platform) -> dict[str, str]:
    """Check that the tasks of a cluster would find the ledger, and that each step with resources exists.

    Raises:
        InvalidInput: resources for a step that the pipeline does not have.
    """
    section, ledger = platform.project.kubeflow, platform.project.ledger
    if section.url is None:
        return {"name": "kubeflow", "state": "ok", "detail": "no cluster is configured"}
    target_of(platform, platform.hooks.pipeline())
    if ledger.url is None and ledger.url_file is None:
        told = "the ledger is a file: tasks of a cluster need a PostgreSQL ledger; set [ledger] url or url_file"
        return {"name": "kubeflow", "state": "note", "detail": told}
    return {"name": "kubeflow", "state": "ok", "detail": section.url}
