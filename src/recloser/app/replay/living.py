"""Owns living through a replay: one process and one scratch project per policy. Scores nothing."""

from __future__ import annotations

import fcntl
import io
import multiprocessing
import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from multiprocessing.queues import Queue
from pathlib import Path
from queue import Empty
from typing import Any

from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.loop.retraining import RunOrder
from recloser.app.platform import Platform
from recloser.app.project.files import replace_file
from recloser.app.project.settings import Project
from recloser.app.project.tables.people import ApprovalSection
from recloser.app.replay.answering import ScenarioPeople
from recloser.app.replay.outcome import PolicyResult
from recloser.app.replay.policies.scratch import Scratch, lived_until, task_digest
from recloser.app.replay.scenario import Scenario
from recloser.app.replay.scoring import AHEAD, doubted_loads
from recloser.app.replay.story import policy_result
from recloser.core import Panel, RecloserError, Unavailable, VirtualClock, format_utc
from recloser.triggers import api_trigger

Say = Callable[[str], None]
BATCH = 28
RETRY_DAYS = 28
RECORDED = "recorded.parquet"
POLL_S = 0.2
THREADS = ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Task:
    """What every policy lives through.

    Attributes:
        work: folder with the recorded history, one scratch project per policy below it.
        files: texts of recloser.toml and pipeline.py (or None).
        scenario: events and bad candidates.
        start, end: window (aware UTC, end excluded).
    """

    work: Path
    files: tuple[str, str | None]
    scenario: Scenario
    start: datetime
    end: datetime

    def scratch(self, policy: str) -> Scratch:
        """Return where a policy lives."""
        recorded = self.work / RECORDED
        parts = [policy, format_utc(self.start), format_utc(self.end), list(self.files), repr(self.scenario)]
        return Scratch(self.work / policy, self.files, recorded, task_digest(parts, recorded))


def write_recorded(work: Path, recorded: Panel) -> None:
    """Write the history that all policies replay."""
    buffer = io.BytesIO()
    recorded.frame.write_parquet(buffer, compression="zstd", compression_level=1)
    replace_file(work / RECORDED, buffer.getvalue())


def live_all(task: Task, policies: Sequence[str], say: Say) -> dict[str, PolicyResult]:
    """Live through the window under every policy, each in its own process, at most one per core at a time.

    Raises:
        Unavailable: a process ended without a result.
        RecloserError: what went wrong in a policy, told by its process.
    """
    context = multiprocessing.get_context("spawn")
    news: Queue[tuple[str, str, Any]] = context.Queue()
    waiting, results = list(policies), dict[str, PolicyResult]()
    running: dict[str, Any] = {}
    cores = max(1, os.cpu_count() or 1)
    try:
        while waiting or running:
            while waiting and len(running) < cores:
                policy = waiting.pop(0)
                child = context.Process(target=live_in_process, args=(task, policy, news, os.getpid()), daemon=True)
                with one_thread():
                    child.start()
                running[policy] = child
            kind, policy, content = _next(news, running)
            if kind == "say":
                say(content)
                continue
            running.pop(policy).join()
            if kind == "error":
                raise content
            results[policy] = content
    finally:
        for child in running.values():
            child.terminate()
            child.join()
    return {policy: results[policy] for policy in policies}


@contextmanager
def one_thread() -> Iterator[None]:
    """Let a started process use one thread: there is one process per core, and data frames here are small."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, text in before.items():
            if text is None:
                del os.environ[name]
            else:
                os.environ[name] = text


def _next(news: Queue[tuple[str, str, Any]], running: dict[str, Any]) -> tuple[str, str, Any]:
    while True:
        try:
            return news.get(timeout=1.0)
        except Empty:
            for policy, child in running.items():
                if not child.is_alive() and news.empty():
                    raise Unavailable(
                        "a replay process ended without a result", got=f"exit code {child.exitcode}", where=policy
                    ) from None


def live_in_process(task: Task, policy: str, news: Queue[tuple[str, str, Any]], parent: int) -> None:
    """Live through the window and put the result, or the error, on the queue; ends with its parent."""
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with _alone(task.work / f"{policy}.lock"):
            scratch = task.scratch(policy)
            again = scratch.ready()
            before = scratch.cpu_s
            clock = VirtualClock(task.start)
            with Platform.open(
                scratch.folder, clock=clock, saboteur=task.scenario.saboteur(), isolated=True
            ) as platform:
                say: Say = lambda line: news.put(("say", policy, line))  # noqa: E731
                if again:
                    say(f"  [{policy}] goes on where an earlier replay of the same was stopped")
                live(platform, clock, policy, task, say, lambda: scratch.spent(before + _cpu_s()))
                doubted = doubted_loads(platform.store, platform.areas, (task.start, task.end))
                result = replace(policy_result(platform, policy, task.scenario), doubted=doubted)
                result = replace(result, cpu_s=before + _cpu_s())
            scratch.spent(result.cpu_s)
    except RecloserError as error:
        news.put(("error", policy, error))
        return
    news.put(("result", policy, result))


def live(
    platform: Platform, clock: VirtualClock, policy: str, task: Task, say: Say, note: Callable[[], None] = lambda: None
) -> None:
    """Run one cycle per issue of the window under one policy, or the rest of them after a kill.

    Everything that matters from one issue to the next is in the ledger and the store, so that a replay that was killed
    at any moment goes on to the same end.

    Args:
        platform: the policy's scratch project.
        clock: its clock, at the beginning of the window.
        policy: name.
        task: the window and the scenario.
        say: told of each month.
        note: called at each month, e.g. to note the time spent.
    """
    platform.project = under(platform.project, policy, asked=bool(task.scenario.answers))
    issues = list(platform.horizon.issues(task.start, task.end))
    lived = lived_until(platform.ledger, issues)
    if lived:
        clock.advance_to(max(issues[lived - 1], platform.ledger.entries()[-1].at))
    options = LoopOptions(batch=BATCH, last=issues[-1], say=say, retrain=policy != "never", ahead=AHEAD)
    loop = ControlLoop(platform, options)
    people = ScenarioPeople(loop, clock, task.scenario.answers)
    if policy == "recloser":
        loop.retraining.requests = [
            (api_trigger(item.actor, item.reason, item.at), item.parameters())
            for item in task.scenario.candidates
            if not lived or item.at > issues[lived - 1]
        ]
    if lived:  # the last steps of the last issue, which the kill may have cut off
        loop.restore()
        loop.advance()
        people.answer_until(issues[lived] if lived < len(issues) else issues[-1])
    began, month = time.perf_counter(), ""
    for index, issued_at in list(enumerate(issues))[lived:]:
        clock.advance_to(issued_at)
        local = f"{issued_at.astimezone(platform.horizon.zone):%Y-%m}"
        if local != month:
            month = local
            note()
            say(f"  [{policy}] {month}  {100 * index / len(issues):3.0f} %  {time.perf_counter() - began:5.1f} s")
        if index % RETRY_DAYS == 0 and platform.champion() is None:
            key = loop.retraining.run_key(issued_at, "first")
            first = task.scenario.first_history_days
            extra = {} if first is None else {"history_days": first}
            loop.retraining.run(RunOrder(key, issued_at, "api", "the first model", extra))
        loop.cycle(issued_at)
        people.answer_until(issues[index + 1] if index + 1 < len(issues) else issued_at)


def under(project: Project, policy: str, *, asked: bool = False) -> Project:
    """Return the project with the policy's triggers: weekly and monthly retrain by the calendar alone.

    Signals move nothing but under the policy 'recloser': neither runs nor a fall back.

    Nobody is asked for approval unless the scenario has people who answer (`asked`).
    """
    # One tick a virtual day renews the lease, so it must outlast the longest day.
    changes: dict[str, Any] = {"lease_seconds": max(project.rollout.lease_seconds, 200_000)}
    if not asked:
        changes["approval"] = ApprovalSection()
    project = project.model_copy(update={"rollout": project.rollout.model_copy(update=changes)})
    if policy == "recloser":
        return project
    project = project.model_copy(update={"rollout": project.rollout.model_copy(update={"fall_back": False})})
    if policy == "never":
        return project
    cooldown = {"weekly": 5, "monthly": 20}[policy]
    triggers = {"schedule": policy, "on_drift": False, "cooldown_days": cooldown, "budget_per_90_days": 90 // cooldown}
    return project.model_copy(update={"triggers": project.triggers.model_copy(update=triggers)})


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the policy's lock; a killed replay's process gives it back when it ends, moments later."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _cpu_s() -> float:
    usages = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_S)
    os._exit(1)
