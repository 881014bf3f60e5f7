"""Owns the composition root: a project folder becomes wired rooms. Takes no decision."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from recloser.app.clock import SystemClock
from recloser.app.events.recipe import recipe_of_project
from recloser.app.foreign import open_foreign
from recloser.app.opentelemetry.opening import tracing_of
from recloser.app.opentelemetry.tracing import Tracing
from recloser.app.project.ballast import spend_ballast
from recloser.app.project.hooks import Hooks, load_hooks, standard_hooks
from recloser.app.project.in_force import keep_settings, kept_settings
from recloser.app.project.layout import Layout
from recloser.app.project.settings import LedgerSection, Project, load_project
from recloser.app.project.storage.opening import Places, places_of
from recloser.app.project.storage.section import StoreSection
from recloser.app.project.storage.tracking import RegistrySection, mlflow_environment
from recloser.app.release import Elsewhere, LoadedRelease, NamedModel
from recloser.app.releases.sharing import PackageShare, fetch_package
from recloser.app.security.trust import ProjectTrust
from recloser.core import QUANTILES, TEMPERATURE, Clock, Horizon, InvalidInput, RecloserError, Refused, Unavailable
from recloser.features import FeatureSet
from recloser.features.phasors import phasor_columns
from recloser.ledger import Ledger, ReleaseRecord, RouteRecord
from recloser.models import Calibration, Model, Persistence, SeasonalNaive, code_kind, load_model
from recloser.pipelines import Pipeline, Recipe, Workbench, candidate_pipeline, detector_pipeline
from recloser.pipelines.proving import pickles_of
from recloser.registry import (
    EnvironmentLock,
    ModelRegistry,
    PublicKey,
    Signer,
    check_golden,
    open_package,
    own_key,
    read_commit,
    read_environment,
)
from recloser.registry.content.description import Surroundings, read_surroundings
from recloser.serving.foreign import LOADERS
from recloser.staging import GridModel, TrialRunner
from recloser.store import Store
from recloser.store.places import Bucket

DETECTOR_LEVELS = (0.5,)
REGISTRIES = {"mlflow": "recloser.registry.mlflow:MlflowRegistry", "folder": "recloser.registry:FolderRegistry"}


def features_of(project: Project, store: Store, hooks: Hooks) -> FeatureSet:
    """Return the project's columns: the standard ones, weather where the store holds any, as its code changes them.

    A project that detects events has those of windows of phasors.
    """
    if project.events is not None:
        return phasor_columns(project.forecast_horizon(), project.events.window_seconds)
    weather = project.model.weather
    if weather is None:
        weather = tuple(name for name in (TEMPERATURE,) if name in store.quantities())
    region = (project.project.country, project.project.subdivision)
    return hooks.features(FeatureSet.standard(project.forecast_horizon(), *region, weather=weather))


def pipeline_of(project: Project) -> Callable[[], Pipeline]:
    """Return the standard pipeline of what the project does: forecast, or detect events."""
    return candidate_pipeline if project.events is None else detector_pipeline


@dataclass
class Platform:
    """One project with its rooms wired; close it after use.

    Attributes:
        layout, project, clock: where, what, when.
        ledger, store: control state and series.
        places: where the tables lie.
        hooks: the project's own features, training and pipeline.
        features: columns of new candidates.
        signer, trust: key of this installation, and the keys whose packages may serve.
        saboteur: bad candidates on demand (replay scenarios only).
        trial: runs candidates in processes of their own; None: the gate judges in this one, for the reason `untried`.
        untried: why there is none.
        network: opens the network model that forecasts are tried on, None without one.
        apart: releases with code of their own run in processes of their own (a gateway in real time).
        wall: the clock of people: approvals, waivers, freezes; `clock` may be set to the time of the data.
        isolated: nothing outside the folder is used (a replay).
        elsewhere: where releases run, None: in this process or one of its own.
    """

    layout: Layout
    project: Project
    clock: Clock
    ledger: Ledger
    store: Store
    places: Places
    hooks: Hooks
    features: FeatureSet
    signer: Signer
    trust: ProjectTrust
    environment: EnvironmentLock
    saboteur: Mapping[str, Any] = field(default_factory=dict)
    apart: bool = False
    trial: TrialRunner | None = None
    untried: str = "a replay, or a single step"
    network: Callable[[], GridModel] | None = None
    isolated: bool = False
    wall: Clock = field(default_factory=SystemClock)
    elsewhere: Elsewhere | None = None
    _loaded: dict[str, LoadedRelease] = field(default_factory=dict)
    _ladders: dict[str, dict[str, NamedModel]] = field(default_factory=dict)
    _registry: ModelRegistry | None = None
    _surroundings: Surroundings | None = None
    _tracing: Tracing | None = None
    _asked_to_trace: bool = False

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        clock: Clock | None = None,
        saboteur: Mapping[str, Any] | None = None,
        isolated: bool = False,
        apart: bool = False,
    ) -> Platform:
        """Open the project in `folder`, creating state and a signing key where there is none yet.

        Args:
            folder: project.
            clock: the present; None for the machine's clock.
            saboteur: bad candidates on demand.
            isolated: use nothing outside the folder, whatever ledger and registry the project file names (a replay
                must not write into what is in operation).
            apart: run releases with code of their own in processes of their own.

        Raises:
            InvalidInput: no project, or one that does not validate.
            Unavailable: ledger or disk cannot be used now.
        """
        project = load_project(folder)
        if isolated:
            own = {"ledger": LedgerSection(), "registry": RegistrySection(kind="folder"), "store": StoreSection()}
            project = project.model_copy(update=own)
        layout = Layout(folder)
        hooks = load_hooks(layout.pipeline_file, pipeline_of(project))
        platform = cls._wired(layout, project, hooks, clock)
        platform.saboteur, platform.apart, platform.isolated = saboteur or {}, apart, isolated
        if not isolated:
            keep_settings(layout)
        return platform

    @classmethod
    def open_to_stop(cls, folder: Path, *, clock: Clock | None = None) -> tuple[Platform, str]:
        """Open the project to stop a model, which neither a full disk nor a mistake in its files may prevent.

        On a full disk the space that is kept for this is taken: opening a ledger needs some. Where the project file
        or the code beside it cannot be used, the settings that could last and the standard code are: a rollback trains
        nothing.

        Returns:
            The platform, and what is wrong with the files in a sentence; empty if nothing is.

        Raises:
            InvalidInput: no project, or one whose files never could be used here.
            Unavailable: ledger or disk cannot be used now.
        """
        try:
            return cls._opened_to_stop(folder, clock)
        except Unavailable:
            if not spend_ballast(Layout(folder)):
                raise
            return cls._opened_to_stop(folder, clock)

    @classmethod
    def _opened_to_stop(cls, folder: Path, clock: Clock | None) -> tuple[Platform, str]:
        try:
            return cls.open(folder, clock=clock), ""
        except InvalidInput as error:
            layout = Layout(folder)
            project = kept_settings(layout)
            if project is None:
                raise
            return cls._wired(layout, project, standard_hooks(pipeline_of(project)), clock), error.explain()

    @classmethod
    def _wired(cls, layout: Layout, project: Project, hooks: Hooks, clock: Clock | None) -> Platform:
        try:
            layout.make()
        except OSError as error:
            raise Unavailable("cannot create the state folder", got=str(error), where=str(layout.state)) from error
        signer = own_key(layout.key)
        ledger = Ledger.open(layout.ledger_at(project.ledger.url, project.ledger.url_file))
        places = places_of(project.store, layout)
        store = Store.open(places.series, project.resolution)
        features = features_of(project, store, hooks)
        return cls(
            layout=layout,
            project=project,
            clock=clock or SystemClock(),
            wall=clock or SystemClock(),
            ledger=ledger,
            store=store,
            places=places,
            hooks=hooks,
            features=features,
            signer=signer,
            trust=ProjectTrust(layout.key.parent, ledger),
            environment=read_environment(),
        )

    @property
    def trusted(self) -> tuple[PublicKey, ...]:
        """Return the keys that packages may be signed with, as they are now; revoked ones are marked.

        Raises:
            Refused: the revocation list is damaged, gone or an older one.
        """
        return self.trust.keys()

    @property
    def horizon(self) -> Horizon:
        """Return when forecasts are issued and for what."""
        return self.features.horizon

    @property
    def areas(self) -> tuple[str, ...]:
        """Return the areas to forecast."""
        return self.project.project.areas

    @property
    def detects(self) -> bool:
        """Whether this project detects events in phasors instead of forecasting load; its areas are kinds of event."""
        return self.project.events is not None

    @property
    def quantiles(self) -> tuple[float, ...]:
        """Return the levels of every answer; the one of a detector holds a probability."""
        return DETECTOR_LEVELS if self.detects else QUANTILES

    @property
    def watched(self) -> tuple[str, ...]:
        """Return the areas and the substations that measure them a second time."""
        return (*self.areas, *self.project.monitoring.groups)

    @property
    def registry(self) -> ModelRegistry:
        """Return the model registry of the project file, opened at first use (MLflow takes seconds to import)."""
        section = self.project.registry
        if section.kind == "mlflow":  # each time: a password may have been changed
            os.environ.update(mlflow_environment(section, self.layout.root, os.environ))
        if self._registry is None:
            kind = section.kind
            module, _, noun = REGISTRIES[kind].partition(":")
            factory = getattr(importlib.import_module(module), noun)
            where = section.tracking_uri or self.layout.tracking_uri
            name = self.model_name
            folder = self.layout.state / ("mlruns" if kind == "mlflow" else "registry")
            self._registry = factory(where, name, name, folder) if kind == "mlflow" else factory(folder)
        return self._registry

    @property
    def model_name(self) -> str:
        """Return the name of the project's registered model, which holds no quotes."""
        return "".join(c for c in self.project.project.name if c not in "'`\"") or "recloser"

    @property
    def tracing(self) -> Tracing | None:
        """Return where traces go, opened at first use; None where the project wants none, and in a replay.

        Raises:
            Unavailable: the extra `otel` is not installed, or the collector's token cannot be read.
        """
        if not self._asked_to_trace and not self.isolated:
            self._tracing = tracing_of(self.project, self.layout.root)
        self._asked_to_trace = True
        return self._tracing

    def today(self) -> datetime:
        """Return the instant by the clock of people (aware UTC), whatever the time of the data."""
        return self.wall.now()

    def surroundings(self) -> Surroundings:
        """Return lock and installed distributions of this installation, read at first use.

        Raises:
            InvalidInput: the project's lock is none.
            Unavailable: it cannot be read.
        """
        if self._surroundings is None:
            lock = self.project.package.lock
            self._surroundings = read_surroundings(None if lock is None else self.layout.root / lock)
        return self._surroundings

    def wanted_features(self) -> FeatureSet:
        """Return the columns that a process started now would give new candidates."""
        return features_of(self.project, self.store, self.hooks)

    def reload_code(self) -> None:
        """Read the project's own features, training and pipeline again, with the columns that follow from them.

        Raises:
            InvalidInput: the file does not load.
        """
        self.hooks = load_hooks(self.layout.pipeline_file, pipeline_of(self.project))
        self.features = self.wanted_features()

    def load(self, release: str) -> LoadedRelease:
        """Return a release, its package verified and its golden rows answered as recorded.

        Raises:
            InvalidInput: the ledger does not know it.
            Refused: the package does not verify, or the model no longer answers as recorded.
            Unavailable: it cannot be read.
        """
        known = self._loaded.get(release)
        if known is None or self.trust.revoked(known.package.key_id):
            known = self._loaded[release] = self.open_verified(release)
        return known

    def loaded(self, release: str) -> bool:
        """Tell whether a release is there without loading it."""
        return release in self._loaded

    def adopt(self, release: LoadedRelease) -> None:
        """Use a release that `open_verified` returned from now on, unless there is one of its name."""
        self._loaded.setdefault(release.release, release)

    def open_verified(self, release: str) -> LoadedRelease:
        """Return a release as `load` does, opened anew and kept by nobody; safe in a thread of its own.

        Raises:
            InvalidInput, Refused, Unavailable: as `load`.
        """
        record = self.ledger.get(ReleaseRecord, release)
        if record is None:
            raise InvalidInput("no such release", got=release, next_step="See `recloser status`.")
        package = open_package(self.obtain(release), self.trusted)
        if package.digest != record.digest:
            raise Refused("the package is not the one the ledger knows", got=package.digest, expected=record.digest)
        found = () if self.project.gateway.allow_pickle else pickles_of(package)
        if found:
            raise Refused(
                "a model with Python pickles, which run code when they are opened",
                got=", ".join(found[:3]),
                expected="data-only formats",
                where=release,
                next_step="Save the model as data, or set [gateway] allow_pickle if you trust who signed it.",
            )
        model = self.open_release(package.model_folder) if self.elsewhere is None else self.elsewhere.open(package)
        golden = check_golden(package, model.predict)
        if not golden.agrees:
            raise Refused("the model does not answer its golden rows as recorded", got=golden.reason, where=release)
        features = FeatureSet.from_dict(package.facts.feature_set, self.features.extra)
        return LoadedRelease(package, model, features)

    def package_share(self) -> PackageShare:
        """Return what puts this host's packages into the bucket that hosts share, if any."""
        return PackageShare(self.ledger, self.places.series, self.layout.packages)

    def obtain(self, release: str) -> Path:
        """Return the folder of a package; one that is not here is fetched from the bucket that hosts share, if any.

        Raises:
            Refused: what is there does not verify.
            Unavailable: the bucket cannot be reached now.
        """
        folder, shared = self.layout.packages / release, self.places.series
        if isinstance(shared, Bucket) and not folder.exists():
            fetch_package(shared, self.layout.packages, release, self.trusted)
        return folder

    def set_online(self, release: str, online: Calibration) -> None:
        """Use these online offsets with the release from now on."""
        self._loaded[release] = self.load(release).with_online(online)

    def verify(self, release: str) -> str:
        """Re-verify a release's package from disk; return an empty text, or why it must not serve.

        Raises:
            Unavailable: it is there and cannot be read now.
        """
        folder = self.layout.packages / release
        try:
            open_package(self.obtain(release), self.trusted)
        except Unavailable as error:
            if folder.exists():
                raise
            return error.explain()
        except RecloserError as error:
            return error.explain()
        if self.elsewhere is not None:
            return ""  # whether its model answers where it runs is asked there, once it is started
        try:
            self.load(release)
        except RecloserError as error:
            return error.explain()
        return ""

    def open_model(self, folder: Path) -> Model:
        """Return the model saved in `folder`; foreign code only where the project allows it."""
        return load_model(folder, LOADERS, allow_code=self.project.model.allow_code)

    def open_release(self, folder: Path) -> Model:
        """Return the model of a release that is to serve; one with code of its own in its own process if `apart`."""
        if self.apart and self.project.model.allow_code and code_kind(folder) is not None:
            return open_foreign(folder)
        return self.open_model(folder)

    def forget(self, keep: Collection[str]) -> None:
        """Give up loaded releases but these; a model ends with its last request, and its process with it."""
        self._loaded = {name: release for name, release in dict(self._loaded).items() if name in keep}
        self._ladders = {name: rungs for name, rungs in dict(self._ladders).items() if name in keep or not name}

    def give_up(self, release: str) -> None:
        """Give up one loaded release, to be opened anew where it is now."""
        self._loaded = {name: known for name, known in dict(self._loaded).items() if name != release}

    def champion(self) -> LoadedRelease | None:
        """Return the serving champion by the ledger's route, None before the first."""
        route = self.ledger.get(RouteRecord, "route")
        return None if route is None or route.champion is None else self.load(route.champion)

    def ladder(self, champion: LoadedRelease | None) -> dict[str, NamedModel]:
        """Return the fallback models, with spreads learned beside the champion where there is one."""
        key = "" if champion is None else champion.release
        if self.detects:  # whoever cannot look at a window cannot guess what it shows
            return {}
        if key in self._ladders:
            return self._ladders[key]
        names = self.features.names
        rungs: dict[str, Model] = {"seasonal_naive": SeasonalNaive.of(names), "persistence": Persistence.of(names)}
        if champion is not None:
            folder = champion.package.model_folder / "fallback"
            rungs |= {name: load_model(folder / name) for name in rungs if (folder / name).is_dir()}
        self._ladders[key] = {name: NamedModel(name, model) for name, model in rungs.items()}
        return self._ladders[key]

    def workbench(self) -> Workbench:
        """Return what pipeline steps work with."""
        model, staging = self.project.model, self.project.staging
        return Workbench(
            ledger=self.ledger,
            store=self.store,
            registry=lambda: self.registry,
            clock=self.clock,
            areas=self.areas,
            features=self.features,
            train=self.hooks.train,
            plan=self.project.training_plan(),
            recipe=Recipe(model.history_days, staging.holdout_days, staging.latency_p99_ms, model.windows),
            policy=self.project.gate_policy(),
            packages=self.layout.packages,
            runs=self.layout.runs,
            signer=self.signer,
            trusted=self.trusted,
            environment=self.environment,
            surroundings=self.surroundings,
            allow_pickle=self.project.gateway.allow_pickle,
            commit=read_commit(self.layout.root),
            champion=self.champion,
            load=self.open_model,
            timer=time.perf_counter,
            saboteur=self.saboteur,
            groups=self.project.monitoring.groups,
            trial=self.trial,
            trial_plan=staging.trial_plan(self.project.gateway.sla.requests_per_second),
            untried=self.untried,
            network=self.network,
            detection=recipe_of_project(self.project, self.layout, self.ledger),
        )

    def close(self) -> None:
        """Give back what is open."""
        if self._tracing is not None:
            self._tracing.close()
        self.ledger.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
