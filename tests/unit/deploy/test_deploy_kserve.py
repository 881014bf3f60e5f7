"""The manifests for KServe are of their types, and give the controller exactly the rights that the router uses."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import yaml

from recloser.serving.kserve import VERBS, ServicePlan, inference_service
from recloser.serving.kserve.manifest import GROUP, MANAGER, PORT

FOLDER = Path(__file__).parents[3] / "deploy" / "kserve"
DOCUMENTS: list[dict[str, Any]] = [
    document
    for path in sorted(FOLDER.glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
]
KINDS = {
    "ServiceAccount": "V1ServiceAccount",
    "Role": "V1Role",
    "RoleBinding": "V1RoleBinding",
    "NetworkPolicy": "V1NetworkPolicy",
}


def only(kind: str, name: str) -> dict[str, Any]:
    (found,) = (item for item in DOCUMENTS if (item["kind"], item["metadata"]["name"]) == (kind, name))
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda item: f"{item['kind']}-{item['metadata']['name']}")
def test_each_object_is_of_its_type(document: dict[str, Any]) -> None:
    if importlib.util.find_spec("kubernetes") is None:
        pytest.skip("the client of Kubernetes, which comes with the extra 'kubeflow', is not installed")
    from kubernetes import client

    from recloser.testing.apis import kserve_definition
    from recloser.testing.apis.definition import mismatches

    if document["kind"] == "InferenceService":
        if not kserve_definition.is_there():
            pytest.skip("KServe's client, whose types the manifest is checked against, is not installed")
        assert kserve_definition.problems(document) == []
    else:
        assert mismatches(document, KINDS[document["kind"]], document["kind"], client) == []


def test_the_role_allows_what_the_router_does_and_nothing_else() -> None:
    (rule,) = only("Role", "recloser-inferenceservices")["rules"]
    assert (rule["apiGroups"], rule["resources"]) == ([GROUP], ["inferenceservices"])
    assert sorted(rule["verbs"]) == sorted(VERBS)
    binding = only("RoleBinding", "recloser-inferenceservices")
    assert binding["roleRef"]["name"] == "recloser-inferenceservices"
    assert [subject["name"] for subject in binding["subjects"]] == ["recloser"]
    assert {document["kind"] for document in DOCUMENTS} & {"ClusterRole", "ClusterRoleBinding"} == set()
    assert only("ServiceAccount", "recloser-models")["automountServiceAccountToken"] is False


def test_policies_meet_the_labels_of_the_pods() -> None:
    manifest = inference_service(ServicePlan("mygrid", "recloser", "i", "c"), "rel-3f9a12bc04de", "0" * 64)
    release = manifest["metadata"]["labels"].items()
    gateway = only("InferenceService", "mygrid")["metadata"]["labels"].items()
    into = only("NetworkPolicy", "releases")["spec"]
    assert into["podSelector"]["matchLabels"].items() <= release
    assert sorted(into["policyTypes"]) == ["Egress", "Ingress"]
    assert "egress" not in into, "a release reaches nobody"
    (rule,) = into["ingress"]
    assert rule["from"][0]["podSelector"]["matchLabels"].items() <= gateway
    assert not rule["from"][0]["podSelector"]["matchLabels"].items() <= release
    out = only("NetworkPolicy", "gateway-to-releases")["spec"]
    assert out["podSelector"]["matchLabels"].items() <= gateway
    assert out["egress"][0]["to"][0]["podSelector"]["matchLabels"] == {MANAGER[0]: MANAGER[1]}
    assert {port["port"] for port in (*rule["ports"], *out["egress"][0]["ports"])} == {PORT}
    (api,) = only("NetworkPolicy", "controller-to-api-server")["spec"]["egress"]
    assert api["to"][0]["ipBlock"]["cidr"].endswith("/32")


def test_the_gateway_in_front_is_what_the_deployment_is() -> None:
    predictor = only("InferenceService", "mygrid")["spec"]["predictor"]
    path = FOLDER.parent / "kubernetes" / "recloser.yaml"
    (deployment,) = (
        item for item in yaml.safe_load_all(path.read_text(encoding="utf-8")) if item["kind"] == "Deployment"
    )
    pod = deployment["spec"]["template"]["spec"]
    (ours,), (theirs,) = predictor["containers"], pod["containers"]
    for name in ("image", "args", "resources", "securityContext"):
        assert ours[name] == theirs[name], name
    assert predictor["securityContext"] == pod["securityContext"]
    assert predictor["serviceAccountName"] == pod["serviceAccountName"]
    assert [mount for mount in ours["volumeMounts"] if mount["name"] != "cluster"] == theirs["volumeMounts"]
    assert {"cluster"} == {v["name"] for v in predictor["volumes"]} - {v["name"] for v in pod["volumes"]}
    assert predictor["automountServiceAccountToken"] is False


def test_the_project_file_of_the_page_reads_what_the_gateway_mounts() -> None:
    page = (FOLDER.parents[1] / "docs" / "kserve.md").read_text(encoding="utf-8")
    predictor = only("InferenceService", "mygrid")["spec"]["predictor"]
    (mount,) = (item for item in predictor["containers"][0]["volumeMounts"] if item["name"] == "cluster")
    (volume,) = (item for item in predictor["volumes"] if item["name"] == "cluster")
    token, authorities = volume["projected"]["sources"]
    assert f'token_file = "{mount["mountPath"]}/{token["serviceAccountToken"]["path"]}"' in page
    assert f'ca_file = "{mount["mountPath"]}/{authorities["configMap"]["items"][0]["path"]}"' in page
