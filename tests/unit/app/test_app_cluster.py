"""What the project file says of a cluster: how the tasks come out of it, and what doctor and the verbs say."""

from __future__ import annotations

from pathlib import Path

import pytest

from recloser.app import Platform, scaffold
from recloser.app.cluster.acts import six_fields
from recloser.app.cluster.checking import check_cluster
from recloser.app.cluster.opening import api_of, target_of
from recloser.core import InvalidInput, Unavailable
from recloser.engines.kubeflow import Resources, SecretGiven

SECTION = """
[kubeflow]
url = "http://127.0.0.1:1"
project_path = "/srv/grid"
retries = 5
task_timeout_minutes = 90
volumes = { grid = "/srv" }

[[kubeflow.secrets]]
name = "ledger"
env = { url = "LEDGER" }

[kubeflow.resources]
memory_limit = "1Gi"

[kubeflow.steps.train]
memory_limit = "8Gi"
"""


def project(folder: Path, text: str) -> Path:
    scaffold(folder, areas=["NORTH"], time_zone="UTC")
    with (folder / "recloser.toml").open("a", encoding="utf-8") as file:
        file.write(text)
    return folder


def test_the_project_file_says_what_tasks_are_given(tmp_path: Path) -> None:
    with Platform.open(project(tmp_path / "grid", SECTION)) as platform:
        target = target_of(platform, platform.hooks.pipeline())
    plan = target.tasks
    assert (target.project, plan.timeout_s, plan.retry.attempts) == ("/srv/grid", 5400, 6)
    assert plan.resources == Resources(memory_limit="1Gi")
    assert plan.of_step == {"train": Resources(memory_limit="8Gi")}
    assert (plan.secrets, plan.volumes) == ((SecretGiven("ledger", {"url": "LEDGER"}),), {"grid": "/srv"})


def test_doctor_says_that_tasks_would_not_find_a_ledger_that_is_a_file(tmp_path: Path) -> None:
    with Platform.open(project(tmp_path / "plain", "")) as platform:
        assert check_cluster(platform)["state"] == "ok"
        with pytest.raises(Unavailable, match="no Kubeflow endpoint"):
            api_of(platform)
    with Platform.open(project(tmp_path / "grid", SECTION)) as platform:
        told = check_cluster(platform)
    assert told["state"] == "note"
    assert "PostgreSQL" in told["detail"]


def test_resources_of_a_step_that_is_not_there_are_an_error(tmp_path: Path) -> None:
    text = SECTION.replace("steps.train", "steps.trian")
    with Platform.open(project(tmp_path / "grid", text)) as platform, pytest.raises(InvalidInput, match="train"):
        check_cluster(platform)


def test_the_ledgers_url_may_stand_in_a_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/elsewhere.db"
    folder = project(tmp_path / "grid", '\n[ledger]\nurl_file = "ledger-url"\n')
    with pytest.raises(Unavailable, match=r"ledger\.url_file"):
        Platform.open(folder)
    (folder / "ledger-url").write_text(url + "\n")
    with Platform.open(folder):
        assert (tmp_path / "elsewhere.db").exists()
    both = project(tmp_path / "both", '\n[ledger]\nurl = "sqlite://"\nurl_file = "ledger-url"\n')
    with pytest.raises(InvalidInput, match="url or url_file"):
        Platform.open(both)


def test_a_schedule_has_its_seconds_first() -> None:
    assert six_fields("0 2 * * *") == "0 0 2 * * *"
    assert six_fields("30 0 2 * * 1") == "30 0 2 * * 1"
    with pytest.raises(InvalidInput, match="not a schedule"):
        six_fields("@daily")
