"""Writes dashboard.json, a Grafana dashboard of one installation: python docs/observability/dashboard.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SOURCE = {"type": "prometheus", "uid": "${source}"}
ROWS: list[tuple[str, list[tuple[str, str, str, list[tuple[str, str]]]]]] = [
    (
        "Is everything there?",
        [
            ("Absent now", "stat", "none", [("sum by (kind) (recloser_absence_open)", "{{kind}}")]),
            ("Age of the newest forecast", "timeseries", "s", [("max(recloser_forecast_age_seconds)", "oldest area")]),
            ("Age of the newest load", "timeseries", "s", [("recloser_load_age_seconds", "load")]),
            ("Lease of the controller", "timeseries", "s", [("recloser_controller_lease_seconds", "left")]),
        ],
    ),
    (
        "Who serves",
        [
            ("Answers by who gave them", "timeseries", "reqps", [("recloser:answers:rate5m", "{{served_by}}")]),
            ("Share of the fallback ladder", "timeseries", "percentunit", [("recloser:fallback:share5m", "{{job}}")]),
            (
                "Share meant for the canary",
                "timeseries",
                "percentunit",
                [("max(recloser_route_canary_share)", "canary")],
            ),
            ("Releases with a role", "table", "none", [("recloser_release_info", "{{role}} {{release}}")]),
        ],
    ),
    (
        "Gateway",
        [
            (
                "Requests",
                "timeseries",
                "reqps",
                [("sum by (handler, status) (rate(recloser_http_requests_total[5m]))", "{{handler}} {{status}}")],
            ),
            ("99 % of requests within", "timeseries", "s", [("recloser:request_seconds:p99_5m", "{{handler}}")]),
            (
                "Turned away",
                "timeseries",
                "reqps",
                [("sum by (reason) (rate(recloser_http_refused_total[5m]))", "{{reason}}")],
            ),
            (
                "Held back by the guard",
                "timeseries",
                "reqps",
                [("sum by (kind, release) (rate(recloser_incidents_total[5m]))", "{{release}} {{kind}}")],
            ),
        ],
    ),
    (
        "Rollouts and people",
        [
            ("Rollouts by state", "timeseries", "none", [("recloser_rollouts", "{{state}}")]),
            (
                "What was decided",
                "timeseries",
                "none",
                [('sum by (action) (increase(recloser_audit_entries_total{action=~"rollout.*"}[1d]))', "{{action}}")],
            ),
            ("Notices without a receipt", "timeseries", "none", [("recloser_notices_waiting", "{{channel}}")]),
            ("Frozen", "stat", "none", [("max(recloser_freeze_active)", "1: promotions are frozen")]),
        ],
    ),
    (
        "Devices",
        [
            ("Links up", "timeseries", "none", [("recloser_link_up", "{{device}}")]),
            ("Silence", "timeseries", "s", [("recloser_link_silence_seconds", "{{device}}")]),
            ("Readings", "timeseries", "reqps", [("rate(recloser_link_readings_total[5m])", "{{device}}")]),
            ("Spool", "timeseries", "bytes", [("recloser_link_spool_bytes", "{{device}}")]),
        ],
    ),
]


def panel(number: int, place: tuple[int, int], told: tuple[str, str, str, list[tuple[str, str]]]) -> dict[str, Any]:
    """Return one panel of a quarter of the width."""
    title, kind, unit, queries = told
    return {
        "id": number,
        "type": kind,
        "title": title,
        "datasource": SOURCE,
        "gridPos": {"h": 7, "w": 6, "x": place[0], "y": place[1]},
        "fieldConfig": {"defaults": {"unit": unit, "color": {"mode": "palette-classic"}}, "overrides": []},
        "options": {},
        "targets": [
            {
                "refId": chr(65 + k),
                "datasource": SOURCE,
                "expr": expr,
                "legendFormat": legend,
                "instant": kind != "timeseries",
            }
            for k, (expr, legend) in enumerate(queries)
        ],
    }


def dashboard() -> dict[str, Any]:
    """Return the dashboard as Grafana 10 or newer imports it."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS:
        panels.append(
            {
                "id": len(panels) + 1,
                "type": "row",
                "title": title,
                "collapsed": False,
                "panels": [],
                "gridPos": {"h": 1, "w": 24, "x": 0, "y": y},
            }
        )
        panels += [panel(len(panels) + 1 + k, (6 * k, y + 1), told) for k, told in enumerate(row)]
        y += 8
    source = {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus", "hide": 0}
    return {
        "title": "Recloser",
        "uid": "recloser",
        "tags": ["recloser"],
        "timezone": "browser",
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-24h", "to": "now"},
        "templating": {"list": [source]},
        "annotations": {"list": []},
        "panels": panels,
    }


if __name__ == "__main__":
    text = json.dumps(dashboard(), indent=1) + "\n"
    (Path(__file__).parent / "dashboard.json").write_text(text, encoding="utf-8")
