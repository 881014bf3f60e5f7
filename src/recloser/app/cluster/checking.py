"""Owns what doctor says of clusters: whether the project fits Kubeflow, and what KServe's API server lets it do.

Changes nothing there.
"""

from __future__ import annotations

from recloser.app.cluster.hosting import api_of, plan_of
from recloser.app.cluster.opening import target_of
from recloser.app.platform import Platform
from recloser.core import RecloserError
from recloser.ledger import ReleaseRecord, RouteRecord
from recloser.serving.kserve import VERBS, inference_service
from recloser.serving.kserve.manifest import VERSION


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


def check_kserve(platform: Platform) -> dict[str, str]:
    """Check that KServe is there in the version that is spoken, that each right is, and that it would take a manifest.

    Raises:
        InvalidInput: the project file does not fit.
        Refused, Unavailable: the API server cannot be asked.
    """
    if platform.project.kserve.url is None:
        return _kserve("ok", "not in use: releases run in the gateways' processes")
    plan, api = plan_of(platform), api_of(platform)
    served = api.served()
    if VERSION not in served:
        told = f"it serves {', '.join(served)}" if served else "it knows no KServe: install it"
        return _kserve("FAIL", f"{platform.project.kserve.url}: {told}; {VERSION} is needed")
    missing = [verb for verb in VERBS if not api.may(verb)]
    if missing:
        told = f"may not {', '.join(missing)} InferenceServices in {plan.namespace}"
        return _kserve("FAIL", f"the token {told}; apply deploy/kserve/access.yaml")
    route = platform.ledger.get(RouteRecord, "route")
    record = None if route is None or route.champion is None else platform.ledger.get(ReleaseRecord, route.champion)
    name, digest = ("rel-000000000000", "0" * 64) if record is None else (record.key, record.digest)
    try:
        problem = api.accepts(inference_service(plan, name, digest))
    except RecloserError as error:
        problem = error.explain()
    if problem:
        return _kserve("FAIL", f"it does not take an InferenceService: {problem}")
    there = {state.release: state for state in api.listing().services if state.owner == plan.project}
    ready = sum(state.ready for state in there.values())
    if record is not None and not (name in there and there[name].ready):
        why = there[name].problem if name in there else "it is not there"
        return _kserve("note", f"the champion {name} is not ready: {why or 'its pods are starting'}")
    return _kserve("ok", f"{VERSION} in {plan.namespace}, {len(VERBS)} rights, {ready} of {len(there)} releases ready")


def _kserve(state: str, detail: str) -> dict[str, str]:
    return {"name": "kserve", "state": state, "detail": detail}
