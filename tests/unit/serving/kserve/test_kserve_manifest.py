"""What the cluster is asked to run is of KServe's and Kubernetes' own types, and gives pods no more than they need."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from recloser.core import InvalidInput
from recloser.serving.kserve import ServicePlan, inference_service
from recloser.testing.apis import kserve_definition

PLAN = ServicePlan(
    "mygrid",
    "recloser",
    "registry.example/recloser:0.1.0",
    "recloser-project",
    claim_path="mygrid",
    replicas=2,
    requests={"cpu": "500m", "memory": "512Mi"},
    limits={"memory": "1Gi"},
    service_account="models",
    pull_policy="IfNotPresent",
)
RELEASE, DIGEST = "rel-3f9a12bc04de", "3f9a12bc04de" + "0" * 52


def made(plan: ServicePlan = PLAN) -> dict[str, Any]:
    return inference_service(plan, RELEASE, DIGEST)


@pytest.mark.parametrize(
    "plan", [PLAN, ServicePlan("a", "b", "c", "d"), replace(PLAN, allow_code=True)], ids=["whole", "bare", "code"]
)
def test_the_manifest_is_of_kserves_types(plan: ServicePlan) -> None:
    if not kserve_definition.is_there():
        pytest.skip("KServe's client, whose types the manifest is checked against, is not installed")
    assert kserve_definition.problems(made(plan)) == []


def test_the_check_of_types_finds_what_is_wrong() -> None:
    if not kserve_definition.is_there():
        pytest.skip("KServe's client, whose types the manifest is checked against, is not installed")
    wrong = made()
    predictor = wrong["spec"]["predictor"]
    predictor["minReplica"] = predictor.pop("minReplicas")
    predictor["containers"][0]["readinessProbe"]["httpGet"]["pathh"] = "/"
    predictor["maxReplicas"] = "2"
    wrong["spec"]["canary"] = [{"trafficPercent": 10}]
    found = kserve_definition.problems(wrong)
    assert any("unknown field minReplica" in told for told in found)
    assert any("unknown field pathh" in told for told in found)
    assert any("'2' is not int" in told for told in found)
    assert any("`predictor`, must not be `None`" in told for told in found)


def test_kserves_own_rules_are_checked() -> None:
    wrong = made()
    wrong["metadata"]["name"] = "My_Grid"
    predictor = wrong["spec"]["predictor"]
    predictor |= {"minReplicas": 3, "maxReplicas": 2, "sklearn": {"storageUri": "s3://x"}, "canaryTrafficPercent": 10}
    assert len(kserve_definition.problems(wrong)) == 4


def test_the_pod_is_of_the_restricted_standard_and_sees_its_release_alone() -> None:
    predictor = made()["spec"]["predictor"]
    context, (container,) = predictor["securityContext"], predictor["containers"]
    assert (context["runAsNonRoot"], context["seccompProfile"]) == (True, {"type": "RuntimeDefault"})
    assert context["runAsUser"] > 0
    assert predictor["automountServiceAccountToken"] is False
    own = container["securityContext"]
    assert (own["allowPrivilegeEscalation"], own["readOnlyRootFilesystem"]) == (False, True)
    assert own["capabilities"] == {"drop": ["ALL"]}
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    assert mounts["project"]["readOnly"] is True
    assert mounts["project"]["subPath"] == f"mygrid/state/packages/{RELEASE}"
    volumes = {volume["name"]: volume for volume in predictor["volumes"]}
    assert volumes["project"]["persistentVolumeClaim"] == {"claimName": "recloser-project", "readOnly": True}


def test_what_runs_is_pinned_and_answers_where_the_probes_ask() -> None:
    (container,) = made()["spec"]["predictor"]["containers"]
    words = container["args"]
    assert words[:3] == ["package", "serve", f"/release/{RELEASE}"]
    assert words[words.index("--digest") + 1] == DIGEST
    port = int(words[words.index("--port") + 1])
    assert container["ports"] == [{"name": "http", "containerPort": port, "protocol": "TCP"}]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] == port
    assert "--allow-code" not in words
    assert "--allow-code" in made(replace(PLAN, allow_code=True))["spec"]["predictor"]["containers"][0]["args"]


def test_no_knative_and_no_traffic_from_outside() -> None:
    metadata = made()["metadata"]
    assert metadata["annotations"]["serving.kserve.io/deploymentMode"] == "RawDeployment"
    assert metadata["labels"]["networking.kserve.io/visibility"] == "cluster-local"
    assert "canaryTrafficPercent" not in made()["spec"]["predictor"]


def test_the_same_plan_gives_the_same_manifest_and_another_plan_another_mark() -> None:
    assert made() == made()
    marks = {
        made(plan)["metadata"]["annotations"]["recloser.io/manifest"]
        for plan in (PLAN, replace(PLAN, image="registry.example/recloser:0.2.0"), replace(PLAN, replicas=3))
    }
    assert len(marks) == 3


def test_a_name_that_would_make_no_service_is_refused() -> None:
    ServicePlan("g" * 36, "recloser", "image", "claim")
    with pytest.raises(InvalidInput, match="too long"):
        ServicePlan("g" * 37, "recloser", "image", "claim")
