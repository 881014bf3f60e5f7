from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recloser.core import Refused
from recloser.ledger import Entry, ReleaseRecord, RolloutRecord, RunRecord, TripRecord, VerdictRecord, Verification
from recloser.registry import Package, PackageFacts, PublicKey, Signer, create_key
from recloser.registry.dossier.document import dossier_document
from recloser.registry.dossier.facts import DossierFacts, shown
from recloser.registry.dossier.mapping import EU, NERC, NIST, SUPPORTS
from recloser.registry.dossier.page import render_page
from recloser.registry.dossier.sealing import check_dossier, write_dossier

AT = datetime(2021, 2, 3, 4, 5, 6, tzinfo=UTC)
CHECKS = [
    {
        "name": "coverage",
        "verdict": "pass",
        "reason": "80 % covered",
        "numbers": {"coverage80": 80.1234},
        "thresholds": {},
    },
    {"name": "data.units", "verdict": "refuse", "reason": "kW & MW <mixed>", "numbers": {}, "thresholds": {"most": 1}},
]


def entry(seq: int, actor: str, action: str, subject: str, **facts: Any) -> Entry:
    return Entry(seq, AT, actor, action, subject, facts, (), "0" * 64, f"{seq:064d}")


@pytest.fixture
def facts(package: Package) -> DossierFacts:
    release = package.release
    plan = {"shadow_days": 7, "steps": [[0.25, 7]], "alpha": 0.05}
    return DossierFacts(
        project="grid <north>",
        version="1.2.3",
        made_at=AT,
        package=package,
        record=ReleaseRecord(release, package.digest, "p", "run-1", AT, "tripped", "1", {}),
        run=RunRecord("run-1", "drift", "load fell", AT, "done", AT, AT, release, "refuse", {}),
        verdict=VerdictRecord("v", release, AT, "refuse", "data.units: kW & MW", CHECKS, "ab" * 32),
        rollouts=(RolloutRecord("r", release, "rel-0", "tripped", AT, AT, AT, 0.25, "worse", plan, {}),),
        trips=(TripRecord("t", AT, release, "T0", "jumped", ["f1", "f2"]),),
        champion=None,
        entries=(
            entry(2, "engine", "run.start", "run-1", reason="load fell"),
            entry(3, "engine", "step.start", "run-1"),
            entry(4, "rollout", "rollout.trip", release, **{"from": "canary", "to": "tripped", "reason": "jumped"}),
            entry(5, "alice", "package.sign", release, reason="key revoked"),
        ),
        sources=(entry(1, "ingest", "store.ingest", "file:a.csv", rows=10, accepted=9, version=1),),
        audit=Verification(5, ok=True, first_bad=None, reason="", head="f" * 64),
        fallback=("seasonal_naive", "persistence"),
    )


def section(document: dict[str, Any], name: str) -> str:
    return json.dumps(next(part for part in document["sections"] if part["id"] == name), ensure_ascii=False)


def test_every_part_is_told(facts: DossierFacts) -> None:
    document = dossier_document(facts)
    assert document["release"] == facts.package.release
    assert document["verdict"] == "refuse"
    assert document["checks"] == CHECKS
    assert "load fell (drift)" in section(document, "summary")
    assert "alice" in section(document, "approval")
    assert "step.start" not in section(document, "approval")
    assert "file:a.csv" in section(document, "lineage")
    assert "a" * 40 in section(document, "lineage")  # the code commit
    assert "1 pass, 1 refuse" in section(document, "checks")
    assert "80.12" in section(document, "checks")
    assert "There was no champion" in section(document, "champion")
    assert "jumped" in section(document, "rollout")
    assert "Tripped 2021-02-03T04:05:06Z" in section(document, "risks")
    assert "data.units: kW & MW <mixed>" in section(document, "risks")
    assert "seasonal_naive, persistence" in section(document, "rollback")
    assert facts.package.digest in section(document, "integrity")
    assert "f" * 64 in section(document, "integrity")


def test_people_are_told_from_rules(facts: DossierFacts) -> None:
    assert "1 of the entries below" in section(dossier_document(facts), "approval")
    alone = replace(facts, entries=facts.entries[:3])
    assert "No person is on record" in section(dossier_document(alone), "approval")


def test_a_broken_audit_log_is_shouted(facts: DossierFacts) -> None:
    broken = replace(facts, audit=Verification(5, ok=False, first_bad=3, reason="edited", head="f" * 64))
    assert "BROKEN at entry 3: edited" in section(dossier_document(broken), "integrity")


def test_a_release_that_nobody_judged_or_rolled_out_says_so(facts: DossierFacts) -> None:
    bare = replace(facts, run=None, verdict=None, rollouts=(), trips=(), entries=(), sources=())
    document = dossier_document(bare)
    assert document["verdict"] is None
    assert "never judged" in section(document, "summary")
    assert "never judged" in section(document, "checks")
    assert "never rolled out" in section(document, "rollout")
    assert "not judged" in render_page(document)


def test_differences_to_the_champion_are_metrics_properties_and_software(
    facts: DossierFacts, package: Package, facts_of: Callable[..., PackageFacts]
) -> None:
    metrics = {"wmape": 3.1, "champion_wmape": 3.5, "mape": None}
    other = facts_of(model_kind="older", environment=replace(package.facts.environment, python="CPython 3.10.1"))
    champion = replace(package, release="rel-000000000000", facts=other)
    mine = replace(package, facts=facts_of(metrics=metrics))
    told = section(dossier_document(replace(facts, package=mine, champion=champion)), "champion")
    assert all(word in told for word in ("rel-000000000000", "3.1", "3.5", "older", "CPython 3.10.1"))


def test_supports_cover_every_function_article_and_name_what_is_lacking() -> None:
    assert {s.item for s in SUPPORTS if s.framework == NIST} == {"GOVERN", "MAP", "MEASURE", "MANAGE"}
    assert {s.item for s in SUPPORTS if s.framework == EU} == {f"Article {n}" for n in range(9, 16)}
    assert {s.item for s in SUPPORTS if s.framework == NERC} == {"R1.1", "R1.2", "R1.4", "R1.5", "R1.6"}
    assert all(s.holds and s.lacks and s.sections for s in SUPPORTS)


def test_supports_point_at_sections_that_are_there(facts: DossierFacts) -> None:
    names = {part["id"] for part in dossier_document(facts)["sections"]}
    assert {name for s in SUPPORTS for name in s.sections} <= names
    assert not re.search(r"certif(y|ied) conform|is compliant|conforms to", render_page(dossier_document(facts)))


class Outside(HTMLParser):
    """Collects tags, and whatever would be loaded or run."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag in {"script", "link", "img", "iframe", "object", "embed", "base", "form"}:
            self.found.append(tag)
        self.found += [f"{key}={text}" for key, text in attrs if key.startswith("on") or key == "src"]
        self.found += [str(text) for key, text in attrs if key == "href" and not str(text).startswith("#")]


def test_the_page_loads_nothing_and_escapes_what_it_tells(facts: DossierFacts) -> None:
    page = render_page(dossier_document(facts))
    parser = Outside()
    parser.feed(page)
    assert parser.found == []
    assert "kW &amp; MW &lt;mixed&gt;" in page
    assert "grid &lt;north&gt;" in page
    assert "mixed" not in parser.tags
    assert "url(" not in page
    assert "@import" not in page
    assert '<tr class="refuse">' in page
    assert "@media print" in page


def test_equal_facts_give_equal_bytes(facts: DossierFacts, signer: Signer) -> None:
    assert write_dossier(dossier_document(facts), signer) == write_dossier(dossier_document(facts), signer)


def test_page_and_json_are_checked_alone(facts: DossierFacts, signer: Signer) -> None:
    text, page = write_dossier(dossier_document(facts), signer)
    for content, form in ((text, "json"), (page, "html")):
        checked = check_dossier(content, [signer.public_key], "here")
        assert (checked.release, checked.digest, checked.form) == (facts.package.release, facts.package.digest, form)
        assert checked.key_id == signer.public_key.key_id
    assert json.loads(text)["document"]["checks"] == CHECKS


def test_the_example_in_the_documentation_is_a_real_one() -> None:
    folder = Path(__file__).parents[4] / "docs" / "examples"
    key = PublicKey.from_file(folder / "dossier.pub")
    assert check_dossier((folder / "dossier.html").read_bytes(), [key], "example").form == "html"


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_changed_byte_of_a_dossier_is_refused(facts: DossierFacts, signer: Signer, data: st.DataObject) -> None:
    content = data.draw(st.sampled_from(write_dossier(dossier_document(facts), signer)))
    at = data.draw(st.integers(0, len(content) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != content[at]))
    with pytest.raises(Refused):
        check_dossier(content[:at] + bytes([byte]) + content[at + 1 :], [signer.public_key], "here")


def test_added_bytes_other_keys_and_other_files_are_refused(facts: DossierFacts, signer: Signer, tmp_path: Any) -> None:
    text, page = write_dossier(dossier_document(facts), signer)
    for content in (text + b"\n", page + b"\n", b" " + page, page[:-1], b"", b"<html></html>", b"{}", b"[1]"):
        with pytest.raises(Refused):
            check_dossier(content, [signer.public_key], "here")
    # A second signature comment behind the first one, or a page in front of another one's signature.
    with pytest.raises(Refused):
        check_dossier(page + page, [signer.public_key], "here")
    with pytest.raises(Refused, match="not trusted"):
        check_dossier(page, [create_key(tmp_path / "other.pem").public_key], "here")


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (None, "-"),
        ("", "-"),
        (True, "yes"),
        (3.14159, "3.142"),
        (AT, "2021-02-03T04:05:06Z"),
        ({"a": 1.0}, "a 1"),
        ([1, 2], "1, 2"),
        (0, "0"),
    ],
)
def test_values_are_shown_as_people_read_them(item: Any, text: str) -> None:
    assert shown(item) == text
