"""Owns the InferenceService of a release: its name, and what the cluster is asked to run. Sends nothing.

The manifest is a pure function of the release and the plan: asked for twice, it is the same, and what it runs is pinned
by the package's digest. It never changes with the route: KServe starts pods anew when labels or annotations change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from recloser.core import InvalidInput, digest_of

GROUP, VERSION, KIND = "serving.kserve.io", "v1beta1", "InferenceService"
CONTAINER = "kserve-container"
PORT = 8080
NOBODY = 65532
RELEASE, PROJECT, MANIFEST = "recloser.io/release", "recloser.io/project", "recloser.io/manifest"
MANAGER = ("app.kubernetes.io/managed-by", "recloser")
LONGEST_NAME = 53
"""KServe appends '-predictor' to the name for the Service, whose name is a DNS label of at most 63 characters."""


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """How the releases of a project run under KServe.

    Attributes:
        project: what the names of its InferenceServices begin with.
        namespace: where they are.
        image: holds Recloser.
        claim: PersistentVolumeClaim with the project folder.
        claim_path: the project folder within the claim, empty: the claim is the folder.
        replicas: pods of each release.
        requests, limits: resources of a pod, as Kubernetes quantities.
        service_account: of the pods, None for the namespace's default; no token is mounted.
        pull_policy: of the image, None for the cluster's default.
        allow_code: whether models with code of their own may be opened in the pods.

    Raises:
        InvalidInput: the names would be too long.
    """

    project: str
    namespace: str
    image: str
    claim: str
    claim_path: str = ""
    replicas: int = 1
    requests: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)
    service_account: str | None = None
    pull_policy: str | None = None
    allow_code: bool = False

    def __post_init__(self) -> None:
        longest = LONGEST_NAME - len(service_name("", "rel-000000000000"))
        if len(self.project) > longest:
            raise InvalidInput(
                "a name that is too long", got=self.project, expected=f"<= {longest} characters", where="kserve.name"
            )


def service_name(project: str, release: str) -> str:
    """Return the name of a release's InferenceService."""
    return f"{project}-{release}"


def inference_service(plan: ServicePlan, release: str, digest: str) -> dict[str, Any]:
    """Return the InferenceService that runs a release, in Standard (raw) deployment mode, without Knative.

    Args:
        plan: of the project.
        release: id.
        digest: of its package (64 hex digits); the pod serves nothing else.
    """
    spec = {"predictor": _predictor(plan, release, digest)}
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "metadata": {
            "name": service_name(plan.project, release),
            "namespace": plan.namespace,
            "labels": {
                MANAGER[0]: MANAGER[1],
                PROJECT: plan.project,
                RELEASE: release,
                # No ingress: callers come through the gateway, which guards every answer.
                "networking.kserve.io/visibility": "cluster-local",
            },
            # 'RawDeployment' is what all versions of KServe understand; newer ones call the same mode 'Standard'.
            "annotations": {"serving.kserve.io/deploymentMode": "RawDeployment", MANIFEST: digest_of(spec)[:16]},
        },
        "spec": spec,
    }


def _predictor(plan: ServicePlan, release: str, digest: str) -> dict[str, Any]:
    predictor: dict[str, Any] = {
        "minReplicas": plan.replicas,
        "maxReplicas": plan.replicas,
        # A new image or new resources: a pod goes only when the next one is ready.
        "deploymentStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": NOBODY,
            "runAsGroup": NOBODY,
            "fsGroup": NOBODY,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(plan, release, digest)],
        "volumes": [
            {"name": "project", "persistentVolumeClaim": {"claimName": plan.claim, "readOnly": True}},
            {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}},
        ],
    }
    if plan.service_account is not None:
        predictor["serviceAccountName"] = plan.service_account
    return predictor


def _container(plan: ServicePlan, release: str, digest: str) -> dict[str, Any]:
    folder = f"/release/{release}"
    words = ["package", "serve", folder, "--digest", digest, "--host", "0.0.0.0", "--port", str(PORT)]  # noqa: S104
    within = "/".join(part for part in (plan.claim_path.strip("/"), f"state/packages/{release}") if part)
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": plan.image,
        "args": [*words, *(["--allow-code"] if plan.allow_code else [])],
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        "startupProbe": _probe("/v2/health/live", period=2, failures=150),
        "readinessProbe": _probe("/v2/health/ready", period=5, failures=3),
        "livenessProbe": _probe("/v2/health/live", period=10, failures=6),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            # The release alone: a pod sees neither keys nor the ledger's URL nor other releases.
            {"name": "project", "mountPath": folder, "subPath": within, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - of the pod
        ],
    }
    resources = {name: dict(part) for name, part in (("requests", plan.requests), ("limits", plan.limits)) if part}
    if resources:
        container["resources"] = resources
    if plan.pull_policy is not None:
        container["imagePullPolicy"] = plan.pull_policy
    return container


def _probe(path: str, *, period: int, failures: int) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": PORT}, "periodSeconds": period, "failureThreshold": failures}
