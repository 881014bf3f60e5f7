"""Owns making a project's releases run under KServe: their addresses in the ledger, the router, the keeper.

Starts no process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from recloser.app.cluster.returning import fulfil
from recloser.app.loop.router import LocalRouter, releases_of
from recloser.app.platform import Platform
from recloser.app.processes.alert.repeating import Repeating
from recloser.connectors.rest import Rest, RestTarget
from recloser.core import RecloserError, Unavailable
from recloser.ledger import ReleaseRecord, RouteRecord, StateRecord
from recloser.models import Model
from recloser.models.model import checked_quantiles, read_facts
from recloser.registry import Package, check_golden, read_golden
from recloser.serving.kserve import (
    KServeApi,
    KServeRouter,
    Patience,
    RemoteModel,
    RemotePlan,
    RemotePredictor,
    ServiceKeeper,
    ServicePlan,
    Tending,
)
from recloser.serving.wire.rows import quantile_names

BESIDE = ("lead_h",)
"""Columns of a feature frame beside the features: no caller sends them, and no model of a gateway reads them."""
WISHES_S = 2.0
ADDRESS = "kserve"
"""Keys of the records that tell where a release runs: 'kserve/<release>'."""


def plan_of(platform: Platform) -> ServicePlan:
    """Return how the releases of this project run under KServe.

    Raises:
        InvalidInput: the names would be too long.
        Unavailable: none is configured.
    """
    section = platform.project.kserve
    resources = section.resources
    requests = {"cpu": resources.cpu_request, "memory": resources.memory_request}
    limits = {"cpu": resources.cpu_limit, "memory": resources.memory_limit}
    return ServicePlan(
        project=section.name or "",
        namespace=section.namespace,
        image=section.image,
        claim=section.claim,
        claim_path=section.claim_path,
        replicas=section.replicas,
        requests={name: amount for name, amount in requests.items() if amount is not None},
        limits={name: amount for name, amount in limits.items() if amount is not None},
        service_account=section.service_account,
        pull_policy=section.pull_policy,
        allow_code=platform.project.model.allow_code,
    )


def api_of(platform: Platform) -> KServeApi:
    """Return the API server of the project file.

    Raises:
        InvalidInput: the URL is none.
        Unavailable: none is configured.
    """
    section, root = platform.project.kserve, platform.layout.root
    if section.url is None:
        raise Unavailable("no KServe is configured", where="kserve.url", next_step="Set [kserve] url in recloser.toml.")
    token, authorities = (None if name is None else root / name for name in (section.token_file, section.ca_file))
    return KServeApi(Rest(RestTarget(section.url, token, authorities, timeout_s=10.0, tries=2)), section.namespace)


def host_releases(platform: Platform) -> None:
    """Let the platform open releases where they run, if the project runs them under KServe."""
    if platform.project.kserve.url is not None and not platform.isolated:
        platform.elsewhere = Hosted(platform)


@dataclass(frozen=True, slots=True)
class Hosted:
    """The releases of a project as InferenceServices; conforms to `recloser.app.release.Elsewhere`."""

    platform: Platform

    def address(self, release: str) -> str:
        """Return where a release runs by the ledger, an empty text if nobody has told yet."""
        found = self.platform.ledger.get(StateRecord, f"{ADDRESS}/{release}")
        return "" if found is None else str(found.state["url"])

    def open(self, package: Package) -> Model:
        """Return the model of a package where its InferenceService runs.

        Raises:
            Unavailable: nobody has told yet where that is.
        """
        url = self.address(package.release)
        if not url:
            raise Unavailable(
                "its InferenceService is not ready",
                where=package.release,
                next_step="The controller starts what the route needs; look at 'kubectl get inferenceservices'.",
            )
        quantiles = checked_quantiles(tuple(read_facts(package.model_folder)["quantiles"]))
        plan = RemotePlan(
            release=package.release,
            columns=columns_of(package),
            outputs=quantile_names(quantiles),
            patience_ms=self.platform.project.kserve.patience_ms,
        )
        return RemoteModel(quantiles, RemotePredictor(url, plan))


def columns_of(package: Package) -> tuple[str, ...]:
    """Return the numeric columns of a package's rows that callers of a gateway send, in the order in which they go on.

    Raises:
        Refused: its golden rows changed since it was opened.
    """
    schema = read_golden(package).rows.schema
    return tuple(name for name, kind in schema.items() if kind.is_numeric() and name not in BESIDE)


class AskingRouter:
    """The embedded gateway's router, which asks a release its golden rows where it runs, each time.

    Args:
        platform: where releases are.
        local: the router of this process's gateway and those that report.
    """

    def __init__(self, platform: Platform, local: LocalRouter) -> None:
        self._platform, self._local = platform, local

    def set_route(self, route: RouteRecord) -> None:
        """Make every gateway follow; raises as `LocalRouter.set_route`."""
        self._local.set_route(route)

    def current(self) -> RouteRecord | None:
        """Return the route last set."""
        return self._local.current()

    def verify(self, release: str) -> str:
        """Return an empty text if the release answers its golden rows where it runs, else why not.

        Raises:
            Unavailable: it cannot be asked now.
        """
        try:
            loaded = self._platform.load(release)
            result = check_golden(loaded.package, loaded.model.predict)
        except Unavailable:
            raise
        except RecloserError as error:
            return error.explain()
        return "" if result.agrees else result.reason

    def settled(self, epoch: int) -> bool:
        """Return whether every gateway follows this epoch."""
        return self._local.settled(epoch)


def router_of(platform: Platform, local: LocalRouter, keeper: ServiceKeeper) -> KServeRouter:
    """Return the router of rollouts whose releases run under KServe."""

    def digest(release: str) -> str:
        record = platform.ledger.get(ReleaseRecord, release)
        return "" if record is None else record.digest

    def needs(route: RouteRecord) -> dict[str, str]:
        found = {name: digest(name) for name in releases_of(route)}
        return {name: known for name, known in found.items() if known}

    return KServeRouter(
        AskingRouter(platform, local), keeper, needs, digest, lambda release, url: note_address(platform, release, url)
    )


def note_address(platform: Platform, release: str, url: str) -> None:
    """Tell all gateways in the ledger where a release runs, if that is news.

    Raises:
        Unavailable: the ledger cannot be written now.
    """
    key, now = f"{ADDRESS}/{release}", platform.clock.now()
    known = platform.ledger.get(StateRecord, key)
    if known is not None and known.state["url"] == url:
        return
    with platform.ledger.change("kserve", now) as change:
        change.put(StateRecord(key, now, {"url": url}))
        change.note("kserve.ready", release, {"url": url})
    platform.give_up(release)


@contextmanager
def hosting(platform: Platform, say: Callable[[str], None]) -> Iterator[Callable[[LocalRouter], KServeRouter] | None]:
    """Keep the project's InferenceServices while the block lasts; yields what makes the loop's router, or None.

    Raises:
        InvalidInput: the project file does not fit.
    """
    section = platform.project.kserve
    if section.url is None:
        yield None
        return
    host_releases(platform)
    api = api_of(platform)
    patience = Patience(timedelta(minutes=section.start_minutes), timedelta(minutes=section.linger_minutes))
    keeper = ServiceKeeper(api, plan_of(platform), platform.clock, patience)
    wishes = Repeating(
        "kserve-wishes",
        lambda: fulfil(platform, keeper, lambda release, url: note_address(platform, release, url)),
        WISHES_S,
        patience_s=5.0,
    )
    with Tending(keeper, api, say=say), wishes:
        yield lambda local: router_of(platform, local, keeper)
