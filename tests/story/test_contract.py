"""Real output of a small project against the schemas of docs/schemas: what other programs rely on."""

from __future__ import annotations

import asyncio
import io
import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import numpy as np
import polars as pl
import pytest

from recloser.app import Platform
from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.processes.server import gateway_service
from recloser.cli.main import main
from recloser.ledger import ForecastRecord
from recloser.serving.http import EventBuffer, build_app
from recloser.testing.apis.kubeflow_api import Control, KubeflowServer

pytestmark = pytest.mark.story

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"
START = datetime(2023, 9, 1, tzinfo=UTC)
DAYS = 130
TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
SETTINGS = """
[model]
trees = 20
leaves = 7
learning_rate = 0.2
max_rows = 5000
calibration_days = 14

[registry]
kind = "folder"

[gateway.sla]           # a machine that is busy with other tests keeps no promise of speed
requests_per_second = 5.0
p50_ms = 60000.0
p99_ms = 60000.0
start_seconds = 600.0
"""


def problems(document: Any, schema: Mapping[str, Any], where: str = "$") -> list[str]:
    """Return where a document breaks a JSON Schema, for the keywords that our schemas use."""
    known = {"$schema", "title", "type", "properties", "required", "additionalProperties", "items"}
    known |= {"enum", "pattern", "minimum", "maximum"}
    assert set(schema) <= known, f"{where}: the checker does not know {set(schema) - known}"
    types = schema.get("type", list(TYPES))
    allowed = [types] if isinstance(types, str) else types
    fits = [name for name in allowed if isinstance(document, TYPES[name])]
    if not fits or (isinstance(document, bool) and "boolean" not in allowed):
        return [f"{where}: {document!r} is not {allowed}"]
    found = []
    if "enum" in schema and document not in schema["enum"]:
        found.append(f"{where}: {document!r} is not one of {schema['enum']}")
    if isinstance(document, str) and not re.search(schema.get("pattern", ""), document):
        found.append(f"{where}: {document!r} does not match {schema['pattern']}")
    if isinstance(document, int | float) and document < schema.get("minimum", document):
        found.append(f"{where}: {document!r} is below {schema['minimum']}")
    if isinstance(document, int | float) and document > schema.get("maximum", document):
        found.append(f"{where}: {document!r} is above {schema['maximum']}")
    if isinstance(document, dict):
        declared, more = schema.get("properties", {}), schema.get("additionalProperties", True)
        found += [f"{where}: {key!r} is missing" for key in schema.get("required", []) if key not in document]
        for key, inner in document.items():
            if key in declared:
                found += problems(inner, declared[key], f"{where}.{key}")
            elif more is False:
                found.append(f"{where}: {key!r} is not in the schema")
            elif isinstance(more, dict):
                found += problems(inner, more, f"{where}.{key}")
    if isinstance(document, list):
        for index, inner in enumerate(document):
            found += problems(inner, schema.get("items", {}), f"{where}[{index}]")
    return found


def schema_of(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))
    return schema


def write_load(path: Path) -> None:
    """Write an autumn and early winter of two areas whose load follows the weather."""
    random = np.random.default_rng(3)
    zone, steps = ZoneInfo("Europe/Amsterdam"), DAYS * 24
    shocks, weather = random.normal(0.0, 0.8, steps), np.zeros(steps)
    for k in range(1, steps):
        weather[k] = 0.985 * weather[k - 1] + shocks[k]
    at = [START + timedelta(hours=k) for k in range(steps)]
    local = [instant.astimezone(zone) for instant in at]
    shape = np.array([1 + 0.25 * np.sin(2 * np.pi * (t.hour - 8) / 24) - 0.12 * (t.weekday() > 4) for t in local])
    temperature = np.round(9.0 + weather, 1)
    parts = []
    for area, level in (("NORTH", 40.0), ("SOUTH", 65.0)):
        load = level * (shape + 0.02 * np.maximum(0.0, 15.0 - temperature)) * random.normal(1.0, 0.01, steps)
        columns = {"time": at, "area": [area] * steps, "load": load, "temperature": temperature, "plan": load * 1.02}
        parts.append(pl.DataFrame(columns))
    pl.concat(parts).write_parquet(path)


@dataclass
class Lived:
    """A project and every document that the verbs gave, by schema."""

    folder: Path
    documents: dict[str, list[Any]] = field(default_factory=dict)

    def call(self, schema: str, *words: str, code: int = 0) -> Any:
        """Run a verb with --json and keep its document."""
        out = io.StringIO()
        got = main([*words, "--json"], out)
        assert got == code, f"{words} ended with {got}: {out.getvalue()}"
        document = json.loads(out.getvalue())
        self.documents.setdefault(schema, []).append(document)
        return document

    def on(self, schema: str, *words: str, code: int = 0) -> Any:
        """Run a verb on the project."""
        return self.call(schema, *words, "--project", str(self.folder), code=code)


def carry_elsewhere(lived: Lived, release: str, base: Path) -> None:
    """Call the verbs of keys, packages, bundles, dossiers and lineage; the bundle has a dummy wheel."""
    package, reason = str(lived.folder / "state/packages" / release), ("--reason", "to see what it says")
    lived.on("key-list", "key", "list")
    former = lived.on("key-rotate", "key", "rotate", *reason)["former"]
    lived.on("package-verify", "package", "verify", package)
    lived.on("key-revoke", "key", "revoke", former, *reason)
    lived.on("error", "package", "verify", package, code=1)
    lived.on("package-sign", "package", "sign", release, *reason)
    lived.on("key-list", "key", "list")
    lived.on("package-score", "package", "score", package)
    rows = ["--rows", f"{package}/golden/rows.arrow", "--out", str(base / "answers.parquet")]
    lived.on("package-score", "package", "score", package, *rows)
    lived.on("package-oci", "package", "oci", release, "--out", str(base / "image.tar"))
    ec_key = subprocess.run(
        ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout"], capture_output=True, check=True
    )
    (base / "ec.pem").touch(mode=0o600)
    (base / "ec.pem").write_bytes(ec_key.stdout)
    out = ["--out", str(base / "model.sig")]
    lived.on("package-openssf", "package", "openssf", release, "--key", str(base / "ec.pem"), *out)
    (base / "wheels").mkdir()
    (base / "wheels/recloser-0.1.0-py3-none-any.whl").write_bytes(b"in name only")
    (lived.folder / "empty.lock").write_text("")
    toml = lived.folder / "recloser.toml"
    before = toml.read_text(encoding="utf-8")
    toml.write_text(before + '\n[package]\nlock = "empty.lock"\n', encoding="utf-8")
    bundle = [str(base / "x.bundle")]
    key = lived.on("bundle-write", "bundle", "--out", *bundle, "--wheels", str(base / "wheels"))["key"]
    toml.write_text(before, encoding="utf-8")
    lived.call("bundle-verify", "bundle", "verify", *bundle, "--key-id", key)
    told = lived.on("dossier-write", "dossier", release, "--out", str(base / "dossiers"))
    for form in ("html", "json"):
        lived.on("dossier-verify", "dossier", "verify", told[form])
    lived.on("lineage", "lineage")
    lived.on("lineage", "lineage")


def promoted(lived: Lived, release: str, base: Path) -> None:
    """Offer the champion to a second project of the same areas, and let that accept it twice."""
    with (lived.folder / "recloser.toml").open("a", encoding="utf-8") as file:
        file.write('\n[promotion]\nstage = "development"\n')
    production = base / "production"
    lived.call(
        "init",
        *("init", str(production), "--area", "NORTH", "--area", "SOUTH"),
        *("--time-zone", "Europe/Amsterdam", "--country", "NL", "--resolution-minutes", "60"),
    )
    source = '[promotion]\nstage = "production"\n[[promotion.sources]]\nstage = "development"\nkeys = "trust"\n'
    source += "verdict_days = 100000.0\n"  # there are no data in production yet, and those of the test are old
    with (production / "recloser.toml").open("a", encoding="utf-8") as file:
        file.write(SETTINGS + source)
    keys = [path for path in (lived.folder / "state/keys").iterdir() if path.suffix == ".pub"]
    (production / "trust").mkdir()
    for path in [*keys, lived.folder / "state/keys/revoked.json"]:
        (production / "trust" / path.name).write_bytes(path.read_bytes())
    file, there = str(base / "release.offer"), ("--project", str(production))
    lived.on("promote-offer", "promote", "offer", release, "--to", "production", "--out", file, "--reason", "a test")
    lived.call("promote-check", "promote", "check", file, *there)
    for _ in range(2):
        lived.call("promote-accept", "promote", "accept", file, "--reason", "a test", *there)
    lived.on("error", "promote", "check", file, code=2)


def waived(lived: Lived, end: datetime) -> None:
    """Let a candidate be refused by a band that hardly any model has, and waive that."""
    strict = lived.folder / "recloser.toml"
    text = strict.read_text(encoding="utf-8")
    text = text.replace("[staging]", "[staging]\nmaximum_coverage80 = 70.0\nminimum_coverage80 = 69.0", 1)
    strict.write_text(text + APPROVAL, encoding="utf-8")
    refused = lived.on("run", "run", "--as-of", f"{end:%Y-%m-%d}", code=1)
    waiver = ["--check", "coverage", "--name", "A. Operator", "--reason", "a test", "--expires", "2199-01-01"]
    lived.on("gate-waive", "gate", "waive", refused["candidate"], *waiver)
    lived.on("gate-explain", "gate", "explain", refused["candidate"])
    decided(lived, refused["candidate"])


APPROVAL = """
[rollout.approval]
before = ["promotion"]
roles = { lead = ["ann"], owner = ["ben"] }
override = ["lead"]

[[rollout.freeze]]
reason = "evening peak of a day that is rare"  # not now, whenever the test runs
begins = "0 16 29 2 *"
lasts_hours = 5
time_zone = "Europe/Amsterdam"
"""


def decided(lived: Lived, release: str) -> None:
    """Let people decide about a release that waits for them, in every way there is."""
    ann, ben = (["--as", name, "--reason", "to see what it says"] for name in ("ann", "ben"))
    lived.on("rollout-explain", "rollout", "explain", release)
    lived.on("act", "approve", release, *ben)
    lived.on("rollout-explain", "rollout", "explain", release)
    for kind in ("hold", "resume", "override", "reject"):
        lived.on("act", kind, release, *ann)
    lived.on("rollout-explain", "rollout", "explain", release)
    freeze = lived.on("freeze", "freeze", "add", "--to", "2199-01-01", "--reason", "a storm")["freeze"]
    lived.on("freeze", "freeze", "add", "--reason", "until it is over")
    lived.on("freeze-list", "freeze", "list")
    lived.on("freeze", "freeze", "lift", freeze, "--reason", "it is over")
    lived.on("agreement", "agreement")
    lived.on("agreement", "agreement", "--since", "2100-01-01")


def asked_and_pushed(lived: Lived) -> None:
    """Ask for a run, and tell pushes by the hook, to an inlet and to one that is none."""
    lived.on("retrain", "retrain", "--reason", "to see what it says")
    (lived.folder / "forge.secret").write_text("a secret that nobody guesses", encoding="utf-8")
    with (lived.folder / "recloser.toml").open("a", encoding="utf-8") as file:
        file.write('[[triggers.inlets]]\nname = "forge"\nkind = "github"\nsecret_file = "forge.secret"\n')
    lines = "".join(f"{'0' * 40} {letter * 40} refs/heads/{ref}\n" for letter, ref in (("a", "main"), ("b", "idea")))
    for inlet in ("forge", "absent"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.stdin", io.StringIO(lines))
            lived.on("hook-post-receive", "hook", "post-receive", "--inlet", inlet, "--pusher", "ann")
    lived.on("triggers", "triggers")
    lived.on("audit-show", "audit", "show", "--action", "trigger")
    told, failed = lived.documents["hook-post-receive"]
    assert ([row["trigger"] for row in told["told"]], failed["told"]) == ([f"commit:{'a' * 40}", None], [])
    assert len(failed["failed"]) == 2


def backed_up(lived: Lived, base: Path) -> None:
    """Call the verbs of backups."""
    file = str(base / "grid.backup")
    key = lived.on("backup-write", "backup", "--out", file)["key"]
    lived.call("backup-verify", "backup", "verify", file, "--key-id", key)
    lived.call("backup-restore", "backup", "restore", file, "--into", str(base / "restored"), "--key-id", key)


def detecting(lived: Lived, folder: Path) -> None:
    """Call the verbs of a project that detects events, before it has a detector."""
    lived.call("init", "init", str(folder), "--template", "pmu", "--time-zone", "Europe/Amsterdam")
    project = ("--project", str(folder))
    lived.call("events-list", "events", "list", *project)
    span = ["--from", "2024-03-01T10:00:00Z", "--to", "2024-03-01T10:00:20Z"]
    missed = lived.call("event", "events", "missed", *span, "--kind", "line_trip", "--as", "ann", *project)
    lived.call("event", "events", "label", missed["event"], "--kind", "none", "--as", "ben", *project)
    lived.call("events-list", "events", "list", *project)
    lived.call("status", "status", *project)
    lived.call("error", "events", "label", "event-0", "--kind", "none", "--as", "ben", *project, code=2)
    lived.call("error", "forecast", *project, code=2)
    lived.on("error", "events", "list", code=2)


def asked_over_http(lived: Lived) -> None:
    """Ask the gateway's application for current forecasts, and for every forecast there was by its id."""

    async def ask(app: Any, paths: list[str]) -> list[Any]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
            return [(await client.get(path)).json() for path in paths]

    with Platform.open(lived.folder) as platform:
        app = build_app(gateway_service(platform, ControlLoop(platform, LoopOptions()), EventBuffer()))
        ids = [record.key for record in platform.ledger.find(ForecastRecord)]
        current = [f"/v1/areas/{area}/forecast" for area in platform.areas]
        lived.documents["http-forecast"] = asyncio.run(ask(app, current))
        past = [f"/v1/forecasts/{one}" for one in (*ids, f"{ids[0]}:0")]
        lived.documents["http-forecast-by-id"] = asyncio.run(ask(app, past))


def rolled_back(lived: Lived, release: str) -> None:
    """Roll back, and ask what became of everything."""
    lived.on("rollback", "rollback", "--reason", "to see what it says")
    lived.on("rollout-explain", "rollout", "explain", release)
    lived.on("status", "status")
    asked_over_http(lived)


def on_a_cluster(lived: Lived, base: Path) -> None:
    """Call the verbs of a cluster whose runs never end by themselves."""

    def wait(ir: Any, given: dict[str, Any], job: str, control: Control) -> bool:
        del ir, given, job
        control.tell("take-snapshot", "RUNNING")
        return control.stopped.wait(600.0)

    project = lived.folder / "recloser.toml"
    before = project.read_text(encoding="utf-8")
    with KubeflowServer(wait) as server:
        keys = ("[kubeflow]", f'url = "{server.url}"', "follow_minutes = 0.0001", "poll_seconds = 0.05")
        section = "\n".join(["", *keys, 'fleet = ["/srv/a"]', ""])
        project.write_text(before + section, encoding="utf-8")
        lived.on("compile", "compile", "--out", str(base / "pipeline.yaml"))
        lived.on("compile", "compile", "--fleet")
        nightly = lived.on("recurring-add", "recurring", "add", "nightly", "--cron", "0 2 * * *")["recurring_run"]
        lived.on("recurring-list", "recurring", "list")
        lived.on("recurring-change", "recurring", "change", nightly, "disable")
        lived.on("error", "run", "--engine", "kubeflow", code=3)
        lived.on("cancel", "cancel", server.runs[-1]["display_name"], "--reason", "the wrong data")
        lived.on("error", "cancel", server.runs[-1]["display_name"], "--reason", "again", code=2)
        assert server.complaints == []
    project.write_text(before, encoding="utf-8")


def begun(lived: Lived, base: Path) -> None:
    """Call what can be called before there are data."""
    areas = ["--area", "NORTH", "--area", "SOUTH"]
    lived.call("init", "init", str(lived.folder), *areas, "--time-zone", "Europe/Amsterdam", "--country", "NL")
    with (lived.folder / "recloser.toml").open("a", encoding="utf-8") as file:
        file.write(SETTINGS)
    lived.on("ci", "ci", "gitlab")
    lived.on("error", "ci", "gitlab", code=2)
    lived.on("check", "check")
    lived.on("status", "status")
    lived.on("doctor", "doctor")
    lived.on("audit-verify", "audit", "verify")
    lived.on("error", "run", code=2)
    lived.on("error", "rollback", "--reason", "nothing there", code=1)
    lived.call("error", "ingest", "absent.csv", "--project", str(base / "nowhere"), code=2)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    """Live through every verb once: before there is data, with it, and after a rollback."""
    base = tmp_path_factory.mktemp("contract")
    lived = Lived(base / "mygrid")
    begun(lived, base)
    write_load(base / "load.parquet")
    columns = [
        "--time",
        "time",
        "--area",
        "area",
        "--load",
        "load",
        "--temperature",
        "temperature",
        "--incumbent",
        "plan",
    ]
    lived.on("ingest", "ingest", str(base / "load.parquet"), *columns, "--weather", "forecast")
    lived.on("ingest", "ingest", str(base / "load.parquet"), *columns, "--weather", "forecast")
    run = lived.on("run", "run")
    lived.on("error", "run", "--engine", "kubeflow", code=3)
    on_a_cluster(lived, base)
    lived.on("forecast", "forecast")
    lived.on("forecast", "forecast", "--area", "SOUTH")
    lived.on("explain", "explain", "SOUTH")
    lived.on("status", "status")
    lived.on("doctor", "doctor")
    lived.on("gate-explain", "gate", "explain", run["candidate"])
    lived.on("gate-explain", "gate", "explain", run["run"])
    lived.on("rollout-explain", "rollout", "explain", run["candidate"])
    carry_elsewhere(lived, run["candidate"], base)
    promoted(lived, run["candidate"], base)
    end = START + timedelta(days=DAYS - 2)
    span = ["--from", f"{end - timedelta(days=7):%Y-%m-%d}", "--to", f"{end:%Y-%m-%d}"]
    out = base / "replay"
    lived.on("replay", "replay", *span, "--policy", "recloser", "--out", str(out))
    lived.documents["report"] = [json.loads((out / "report.json").read_text(encoding="utf-8"))]
    asked_and_pushed(lived)
    rolled_back(lived, run["candidate"])
    waived(lived, end)
    lived.on("audit-verify", "audit", "verify")
    backed_up(lived, base)
    detecting(lived, base / "pmu")
    lived.call("simulate", "simulate", "modbus", "--port", "0", "--seconds", "0.2")
    return lived


# Held by test_tour.py, the demo's own test, test_story_offline.py, test_story_people.py and test_browser_theatre.py.
UNSEEN = {
    "watchman",
    "up",
    "console",
    "package-serve",
    "http-rollouts",
    "http-rollback",
    "demo",
    "bundle-install",
    "package-build-context",
}


@pytest.mark.parametrize("name", sorted({path.stem for path in SCHEMAS.glob("*.json")} - UNSEEN))
def test_every_document_fits_its_schema(lived: Lived, name: str) -> None:
    schema = schema_of(name)
    for document in lived.documents[name]:
        assert problems(document, schema) == []


def test_the_checker_finds_what_breaks_a_schema(lived: Lived) -> None:
    schema, good = schema_of("run"), lived.documents["run"][0]
    assert problems({**good, "verdict": "maybe"}, schema)
    assert problems({**good, "more": 1}, schema)
    assert problems({**good, "checks": [{}]}, schema)
    assert problems({**good, "as_of": "yesterday"}, schema)
    assert problems({key: good[key] for key in good if key != "run"}, schema)
    assert problems({**lived.documents["ingest"][0], "rows": True}, schema_of("ingest"))


def test_what_the_documents_say_of_each_other_agrees(lived: Lived) -> None:
    """The same facts told by different verbs are the same facts."""
    first, again = lived.documents["ingest"]
    assert (first["accepted"], first["duplicates"]) == (first["rows"], 0)
    assert (again["accepted"], again["duplicates"], again["version"]) == (0, again["rows"], first["version"])
    run = lived.documents["run"][0]
    assert run["verdict"] == "pass", run["reason"]
    (triggers,) = lived.documents["triggers"]
    asked = {row["trigger"] for row in triggers["waiting"]}
    assert asked == {lived.documents["retrain"][0]["trigger"], f"commit:{'a' * 40}"}
    assert asked == {row["trigger"] for row in lived.documents["status"][2]["triggers"]["waiting"]}
    (shown,) = lived.documents["audit-show"]
    assert {row["subject"] for row in shown["entries"] if row["action"] == "trigger.request"} == asked
    waived = lived.documents["gate-waive"][0]
    *explanations, last = lived.documents["gate-explain"]
    assert (last["release"], last["verdict"]) == (waived["candidate"], waived["verdict"]) == (last["release"], "pass")
    assert [waiver["check"] for waiver in last["waivers"] if waiver["in_force"]] == ["coverage"]
    for explained in explanations:
        assert (explained["release"], explained["verdict"]) == (run["candidate"], run["verdict"])
        assert explained["checks"] == run["checks"]
    forecast, of_one = lived.documents["forecast"]
    assert of_one["areas"] == {"SOUTH": forecast["areas"]["SOUTH"]}
    for row in forecast["areas"].values():
        assert (row["release"], row["served_by"], len(row["points"])) == (run["candidate"], "champion", 24)
        assert all(point["q10"] <= point["q50"] <= point["q90"] for point in row["points"])
        assert len({point["id"] for point in row["points"]}) == 24
    before, during, after, _ = lived.documents["status"]
    assert (before["route"], before["data"]) == (None, None)
    assert during["route"]["champion"] == run["candidate"]
    rollback = lived.documents["rollback"][0]
    assert (rollback["from"], rollback["to"]) == (run["candidate"], None)
    assert after["route"]["champion"] is None
    assert after["last_trip"]["release"] == run["candidate"]
    early, late = lived.documents["audit-verify"]
    assert early["ok"]
    assert late["ok"]
    assert late["entries"] > early["entries"]


def test_a_report_scores_the_same_rows_for_everybody(lived: Lived) -> None:
    report = lived.documents["report"][0]
    policy, naive, incumbent = report["policies"]["recloser"], report["naive"], report["incumbent"]
    assert policy["total"]["n"] == naive["total"]["n"] == incumbent["total"]["n"] > 0
    assert sum(row["n"] for row in policy["months"]) == policy["total"]["n"]
    assert incumbent["total"]["mape"] == pytest.approx(2.0, abs=1e-6)
    assert {row["area"] for row in policy["months"]} == set(report["areas"])


def test_a_current_forecast_is_found_by_its_id(lived: Lived) -> None:
    found = {document["asked"]: document for document in lived.documents["http-forecast-by-id"]}
    for document in lived.documents["http-forecast"]:
        past = found[document["id"]]
        assert (past["status"], past["replaced_by"], past["release"]) == ("valid", None, document["release"])
        numbers = [[point["id"], point["at"], point["q50"]] for point in past["points"]]
        assert numbers == [[point["id"], point["at"], point["q50"]] for point in document["points"]]
