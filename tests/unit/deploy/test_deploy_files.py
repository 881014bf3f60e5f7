"""What stands in `deploy/` is what the tools that read it take: Kubernetes' own types, systemd, the compose form."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from runpy import run_path
from typing import Any

import pytest
import yaml

from recloser.app.project.tables.links import PORTS, TLS_PORTS
from recloser.cli.main import program

DEPLOY = Path(__file__).parents[3] / "deploy"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
KINDS = {
    "Namespace": "V1Namespace",
    "ServiceAccount": "V1ServiceAccount",
    "PersistentVolumeClaim": "V1PersistentVolumeClaim",
    "Deployment": "V1Deployment",
    "Service": "V1Service",
    "NetworkPolicy": "V1NetworkPolicy",
}


def objects(*kinds: str) -> Iterator[dict[str, Any]]:
    for path in MANIFESTS:
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            if not kinds or document["kind"] in kinds:
                yield document


def pods() -> list[dict[str, Any]]:
    return [item["spec"]["template"]["spec"] for item in objects("Deployment")]


@pytest.mark.parametrize("document", list(objects()), ids=lambda item: f"{item['kind']}-{item['metadata']['name']}")
def test_each_object_is_of_its_kubernetes_type(document: dict[str, Any]) -> None:
    if importlib.util.find_spec("kubernetes") is None:
        pytest.skip("the client of Kubernetes, which comes with the extra 'kubeflow', is not installed")
    from kubernetes import client

    from recloser.testing.apis.definition import mismatches

    assert mismatches(document, KINDS[document["kind"]], document["kind"], client) == []


def test_the_check_of_types_finds_what_is_wrong() -> None:
    if importlib.util.find_spec("kubernetes") is None:
        pytest.skip("the client of Kubernetes, which comes with the extra 'kubeflow', is not installed")
    from kubernetes import client

    from recloser.testing.apis.definition import mismatches

    wrong = {"kind": "Service", "spec": {"ports": [{"prot": 1, "name": 2}], "selektor": {}}}
    found = mismatches(wrong, "V1Service", "Service", client)
    assert any("unknown field selektor" in told for told in found)
    assert any("unknown field prot" in told for told in found)
    assert any("2 is not str" in told for told in found)
    assert any("`port`, must not be `None`" in told for told in found)


@pytest.mark.parametrize("pod", pods())
def test_pods_are_of_the_restricted_standard_with_a_root_that_cannot_be_written(pod: dict[str, Any]) -> None:
    context = pod["securityContext"]
    assert (context["runAsNonRoot"], context["seccompProfile"]) == (True, {"type": "RuntimeDefault"})
    assert context["runAsUser"] > 0
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert pod["automountServiceAccountToken"] is False
    allowed = {"configMap", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
    for volume in pod["volumes"]:
        assert set(volume) - {"name"} <= allowed
    for container in [*pod["containers"], *pod.get("initContainers", ())]:
        own = container["securityContext"]
        assert (own["allowPrivilegeEscalation"], own["readOnlyRootFilesystem"]) == (False, True)
        assert own["capabilities"] == {"drop": ["ALL"]}
        assert not any("hostPort" in port for port in container["ports"])
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}
    (namespace,) = objects("Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_selectors_and_ports_fit_each_other() -> None:
    (deployment,), (service,) = objects("Deployment"), objects("Service")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert service["spec"]["selector"].items() <= labels.items()
    named = {port["name"] for port in pods()[0]["containers"][0]["ports"]}
    assert {port["targetPort"] for port in service["spec"]["ports"]} == named
    for policy in objects("NetworkPolicy"):
        assert policy["spec"]["podSelector"].get("matchLabels", {}).items() <= labels.items()


def test_nothing_comes_in_from_the_zone_of_devices_and_only_their_protocols_go_out() -> None:
    policies = {policy["metadata"]["name"]: policy["spec"] for policy in objects("NetworkPolicy")}
    deny = policies.pop("deny-all")
    assert (deny["podSelector"], sorted(deny["policyTypes"])) == ({}, ["Egress", "Ingress"])
    assert not {"ingress", "egress"} & set(deny)
    incoming = [rule for spec in policies.values() for rule in spec.get("ingress", ())]
    sources = [source for rule in incoming for source in rule["from"]]
    assert sources
    assert all(
        set(source) == {"namespaceSelector"} and source["namespaceSelector"]["matchLabels"] for source in sources
    )
    for spec in policies.values():
        for rule in [*spec.get("ingress", ()), *spec.get("egress", ())]:
            assert rule.get("from") or rule.get("to"), "a rule without addresses allows all of them"
            assert rule["ports"]
    (devices,) = policies["devices"]["egress"]
    assert not ip_network(devices["to"][0]["ipBlock"]["cidr"]).is_global
    assert {port["port"] for port in devices["ports"]} == {*PORTS.values(), *TLS_PORTS.values(), 4840}


@pytest.mark.parametrize("unit", ["recloser", "recloser-watchman"])
def test_systemd_takes_the_units(unit: str, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    text = (DEPLOY / "systemd" / f"{unit}@.service").read_text(encoding="utf-8")
    # The program and the account of an installation are not here.
    here = text.replace("/opt/recloser/bin/recloser", "/bin/true").replace("User=recloser", "User=daemon")
    file = tmp_path / f"{unit}@mygrid.service"
    file.write_text(here.replace("Group=recloser", "Group=daemon"), encoding="utf-8")
    done = subprocess.run([analyze, "verify", str(file)], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_command_that_is_started_is_a_verb() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (DEPLOY / "systemd").iterdir())
    verbs = re.findall(r"^ExecStart=/opt/recloser/bin/recloser (\w+)", text, flags=re.MULTILINE)
    verbs += [container["args"][0] for pod in pods() for container in pod["containers"]]
    image = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    verbs += re.findall(r'^CMD \["(\w+)"', image, flags=re.MULTILINE)
    assert len(verbs) == 4
    assert set(verbs) <= set(program.commands)


def test_the_image_is_built_in_stages_and_runs_as_nobody() -> None:
    image = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert re.findall(r"^FROM (.+)$", image, flags=re.MULTILINE) == ["${BASE} AS build", "${BASE}"]
    installs = re.findall(r"pip install (.+?)(?: \\\\)?$", image, flags=re.MULTILINE)
    from_outside = [line for line in installs if "--no-deps ." not in line and "--dry-run" not in line]
    assert len(from_outside) == 3
    assert all("--require-hashes --no-deps" in line for line in from_outside)
    assert "is not pinned by a digest" in image
    final = image.split("\nFROM ")[-1]
    assert int(re.findall(r"^USER (\d+):\d+$", final, flags=re.MULTILINE)[0]) > 0
    root = DEPLOY.parent
    words = re.findall(r"^COPY (?!--from)(.+) \S+$", image, flags=re.MULTILINE)
    copied = {name.rstrip("/") for line in words for name in line.split()}
    assert all((root / name).exists() for name in copied)
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in ignored
    assert {line[1:] for line in ignored if line.startswith("!")} == copied


def test_of_the_lock_is_taken_what_pip_would_install_and_nothing_without_a_hash() -> None:
    found = run_path(str(DEPLOY / "pinned.py"))
    lock = (DEPLOY.parent / "requirements-dev.lock").read_text(encoding="utf-8")
    pinned = found["pinned_in"](lock)
    assert len(pinned) > 100
    some = [{"metadata": {"name": name, "version": version}} for name, version in list(pinned)[:40]]
    plan = {"install": [{"metadata": {"name": "Recloser", "version": "0"}}, *some]}
    chosen = found["chosen"](plan, lock)
    assert len(chosen) == 40
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in chosen)
    name = next(iter(pinned))[0]
    with pytest.raises(LookupError, match="not pinned"):
        found["chosen"]({"install": [{"metadata": {"name": name, "version": "0.0.0"}}]}, lock)
    bare = "a==1\nb==2 \\\n    --hash=sha256:" + "0" * 64
    assert set(found["pinned_in"](bare)) == {("b", "2")}


def test_the_compose_file_gives_no_more_than_is_needed() -> None:
    file = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    ours, ledger = file["services"]["recloser"], file["services"]["ledger"]
    assert (ours["read_only"], ours["cap_drop"], ours["user"]) == (True, ["ALL"], "65532:65532")
    assert ledger["read_only"] is True
    assert "@" not in str(ledger["image"])  # a digest of ours would age: the file asks for one
    assert all("digest" in str(told) for told in (ledger["image"], ours["build"]["args"]["BASE"]))
    assert all(port.startswith("127.0.0.1:") for port in ours["ports"])
    assert "ports" not in ledger
    assert ledger["networks"] == ["inside"]
    assert file["networks"]["inside"]["internal"] is True
    assert (DEPLOY / ours["build"]["context"] / ours["build"]["dockerfile"]).exists()
    for service in (ours, ledger):
        assert set(service["secrets"]) <= set(file["secrets"])
        assert "no-new-privileges:true" in service["security_opt"]
