"""Figures, rules and the dashboard: all named, all known to a real Prometheus, each alert fires when it should."""

from __future__ import annotations

import inspect
import itertools
import json
import os
import re
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from recloser.app import run_pipeline
from recloser.app.watchman.figures import ACTIONS
from recloser.rollout import RolloutState
from recloser.rollout.notices import event_of
from recloser.testing import small_project

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "docs" / "observability"
RULES = (FOLDER / "alerts.yaml").read_text(encoding="utf-8")
NAME = re.compile(r"\brecloser_[a-z0-9_]+\b")
PATIENCE_S = 240


def families() -> set[str]:
    """Return every metric that the source makes."""
    declared = re.compile(r'(?:family|Family)\(\s*"(recloser_[a-z0-9_]+)"')
    return {
        name for path in (ROOT / "src").rglob("*.py") for name in declared.findall(path.read_text(encoding="utf-8"))
    }


def dashboard_queries() -> list[str]:
    panels = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", ())]


def rule_queries() -> list[str]:
    plain = re.findall(r"^ +expr: ([^|\n].*)$", RULES, flags=re.MULTILINE)
    folded = re.findall(r"^ +expr: \|\n((?: {10,}.*\n)+)", RULES, flags=re.MULTILINE)
    return [*plain, *folded]


def plain_name(name: str) -> str:
    return re.sub(r"_(bucket|sum|count)$", "", name)


def test_the_page_names_every_figure_and_no_other() -> None:
    page = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
    assert set(NAME.findall(page)) == families()


def test_rules_and_dashboard_use_figures_that_there_are() -> None:
    assert len(rule_queries()) == RULES.count("expr:") > 15
    used = {plain_name(name) for query in (*rule_queries(), *dashboard_queries()) for name in NAME.findall(query)}
    assert used - families() == set()


def test_entries_that_are_counted_by_a_rule_or_a_panel_are_told_before_the_first() -> None:
    asked = [
        (sign, action)
        for query in (*rule_queries(), *dashboard_queries())
        for sign, action in re.findall(r'recloser_audit_entries_total\{action(=~?)"([^"]+)"', query)
    ]
    assert len(asked) > 2
    for sign, action in asked:
        assert any(re.fullmatch(action, known) for known in ACTIONS) if sign == "=~" else action in ACTIONS
    tested = (FOLDER / "alerts_test.yaml").read_text(encoding="utf-8")
    series = re.findall(r"recloser_audit_entries_total\{action=\"([^\"]+)\".*values: \"(.)", tested)
    assert {first for _, first in series} == {"0"}
    assert {action for action, _ in series} <= set(ACTIONS)


def test_every_entry_that_a_rollout_writes_is_told_before_the_first() -> None:
    source = inspect.getsource(event_of)
    named = set(re.findall(r'return "(\w+)"|: "(\w+)"', source))
    renamed = set(re.findall(r"_S\.(\w+): ", source))
    moves = {one or other for one, other in named} | {str(state) for state in RolloutState if state.name not in renamed}
    room = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src/recloser/rollout").rglob("*.py"))
    noted = set(re.findall(r'change\.note\("(rollout\.\w+)"', room)) - {"rollout.lease", "rollout.days"}
    assert {"rollout.trip", "rollout.submit"} < {f"rollout.{move}" for move in moves} | noted
    known = {action for action in ACTIONS if action.startswith("rollout.")}
    assert known == {f"rollout.{move}" for move in moves} | noted


def test_the_dashboard_is_what_its_program_writes_and_its_panels_do_not_overlap() -> None:
    written = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
    assert runpy.run_path(str(FOLDER / "dashboard.py"))["dashboard"]() == written
    panels = written["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for one, other in itertools.combinations([panel["gridPos"] for panel in panels], 2):
        apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_x or apart_y
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)


def test_each_alert_says_what_to_do() -> None:
    alerts = RULES.split("- alert: ")[1:]
    for alert in alerts:
        assert re.search(r"severity: (page|ticket|event)", alert)
        assert "summary:" in alert
        assert "action:" in alert


needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="Prometheus is not installed (Debian: apt-get install prometheus)"
)


@needs_prometheus
def test_promtool_accepts_the_rules_and_each_tested_alert_fires_when_it_should() -> None:
    for words in (["check", "rules", "alerts.yaml"], ["test", "rules", "alerts_test.yaml"]):
        done = subprocess.run(
            ["promtool", *words], cwd=FOLDER, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Prometheus:
    """A real Prometheus that scrapes a real `recloser up`."""

    def __init__(self, port: int) -> None:
        self._port = port

    def ask(self, path: str, **words: str) -> Any:
        url = f"http://127.0.0.1:{self._port}/api/v1/{path}?{urllib.parse.urlencode(words)}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.load(answer)

    def wait_for(self, query: str) -> list[Any]:
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            try:
                if found := self.ask("query", query=query)["data"]["result"]:
                    return list(found)
            except OSError:
                pass
            time.sleep(0.3)
        raise AssertionError(f"{query} has given nothing for {PATIENCE_S} s")


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    base = tmp_path_factory.mktemp("prometheus")
    gateway, watchman, own = free_port(), free_port(), free_port()
    project = small_project(base / "grid")
    with (project / "recloser.toml").open("a", encoding="utf-8") as file:
        file.write(f"\n[observability]\nport = {watchman}\n")
    assert run_pipeline(project, as_of=None, engine="local", progress=lambda _line: None)["verdict"] == "pass"
    shutil.copyfile(FOLDER / "alerts.yaml", base / "alerts.yaml")
    told = (FOLDER / "prometheus.yaml").read_text(encoding="utf-8").replace("15s", "1s")
    assert told.count("127.0.0.1:8080") == told.count("127.0.0.1:9464") == 1
    told = told.replace("127.0.0.1:8080", f"127.0.0.1:{gateway}").replace("127.0.0.1:9464", f"127.0.0.1:{watchman}")
    (base / "prometheus.yaml").write_text(told, encoding="utf-8")
    words = ["up", "--project", str(project), "--port", str(gateway)]
    up = [sys.executable, "-c", f"import sys; from recloser.cli.main import main; sys.exit(main({words!r}))"]
    scrape = ["prometheus", f"--config.file={base}/prometheus.yaml", f"--storage.tsdb.path={base}/data"]
    scrape += [f"--web.listen-address=127.0.0.1:{own}"]
    with (base / "log").open("w") as log:
        children = [subprocess.Popen(command, stdout=log, stderr=log, env=os.environ) for command in (up, scrape)]
    try:
        yield Prometheus(own)
    finally:
        for child in children:
            child.send_signal(signal.SIGTERM)
        for child in children:
            child.wait(60)


@pytest.mark.slow
@needs_prometheus
def test_a_real_prometheus_scrapes_every_process_and_understands_every_query(prometheus: Prometheus) -> None:
    prometheus.wait_for('up{job="recloser-gateway"} == 1')
    prometheus.wait_for('up{job="recloser-watchman"} == 1')
    prometheus.wait_for("recloser_http_requests_total > 0")
    prometheus.wait_for('recloser_release_info{role="champion"} == 1')
    (firing,) = prometheus.wait_for('ALERTS{alertname="RecloserLoadAbsent", alertstate="firing"}')  # it ended in 2020
    assert firing["metric"]["severity"] == "ticket"
    for query in (*rule_queries(), *dashboard_queries()):
        assert prometheus.ask("query", query=query)["status"] == "success"
    health = {rule["health"] for group in prometheus.ask("rules")["data"]["groups"] for rule in group["rules"]}
    assert health == {"ok"}
