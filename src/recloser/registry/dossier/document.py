"""Owns what a dossier says: sections drawn from facts, in the order in which they are read. Pure, no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from recloser.core import canonical_json, format_utc, jsonable
from recloser.registry.content.description import CARD, SBOM, WHEELHOUSE
from recloser.registry.dossier.facts import Block, DossierFacts, items, pairs, shown, table, text
from recloser.registry.dossier.mapping import SUPPORTS
from recloser.registry.dossier.stages import stage_blocks
from recloser.registry.package import Package

FORMAT = "recloser-dossier/1"
RULES = frozenset({"controller", "engine", "gateway", "monitoring", "pipeline", "rollout", "staging", "triggers"})
"""Actors that follow rules; any other name is a person, or a program that acts for one."""


def dossier_document(facts: DossierFacts) -> dict[str, Any]:
    """Return the whole dossier as JSON-ready data; the page is drawn from nothing else."""
    package, verdict = facts.package, facts.verdict
    document = {
        "format": FORMAT,
        "made_at": format_utc(facts.made_at.replace(microsecond=0)),
        "made_by": f"Recloser {facts.version}",
        "project": facts.project,
        "release": package.release,
        "digest": package.digest,
        "state": facts.record.state,
        "verdict": None if verdict is None else verdict.verdict,
        "evidence_digest": None if verdict is None else verdict.evidence_digest,
        "checks": [] if verdict is None else verdict.checks,
        "metrics": dict(package.facts.metrics),
        "sbom": facts.document(SBOM),
        "sections": [
            _section("summary", "What it is, and why", _summary(facts)),
            _section("approval", "Who decided", _approval(facts)),
            _section("lineage", "Where its data come from", _lineage(facts)),
            _section("checks", "Every check of the gate", _checks(facts)),
            _section("champion", "What differs from the champion", _differences(facts)),
            _section("rollout", "Its way to traffic", _rollout(facts)),
            _section("model", "Model card", _model(facts)),
            _section("risks", "Risks, and what limits them", _risks(facts)),
            _section("rollback", "How to stop it", _rollback(facts)),
            _section("software", "What it runs on", _software(facts)),
            _section("integrity", "Signatures and digests", _integrity(facts)),
            _section("supports", "What this supports", _supports()),
        ],
    }
    result: dict[str, Any] = jsonable(document)
    return result


def document_bytes(document: Mapping[str, Any]) -> bytes:
    """Return the one text of a dossier."""
    return canonical_json(document)


def _section(name: str, title: str, blocks: Sequence[Block]) -> dict[str, Any]:
    return {"id": name, "title": title, "blocks": list(blocks)}


def _summary(facts: DossierFacts) -> list[Block]:
    package, run, verdict = facts.package, facts.run, facts.verdict
    told = package.facts
    said = "never judged" if verdict is None else f"{verdict.verdict}: {verdict.reason}"
    asked = "unknown: the ledger has no run for it" if run is None else f"{run.reason} ({run.trigger})"
    metrics = told.metrics
    lead = (
        f"{package.release} is a {told.model_kind} model of project {facts.project}. "
        f"Its state is {facts.record.state}. The gate said {said}."
    )
    return [
        text(lead),
        pairs(
            {
                "Release": package.release,
                "State": facts.record.state,
                "Made because": asked,
                "Known as of": None if run is None else run.as_of,
                "Trained on": f"{shown(told.training_window[0])} to {shown(told.training_window[1])}",
                "Quantiles": [f"{level:g}" for level in told.quantiles],
                "WMAPE on held-out days": _percent(metrics.get("wmape")),
                "Seasonal naive, the same days": _percent(metrics.get("seasonal_naive_wmape")),
                "80 % band covers": _percent(metrics.get("coverage80")),
                "Champion then": told.notes.get("champion_at_test") or "none",
            }
        ),
    ]


def _percent(number: Any) -> str | None:
    return None if number is None else f"{float(number):.1f} %"


def _approval(facts: DossierFacts) -> list[Block]:
    people = [entry for entry in facts.entries if entry.actor not in RULES]
    first = (
        "No person is on record for this release: the rules of recloser.toml let it pass, and decided about shadow, "
        "canary and probation. The times are those of the project's clock."
        if not people
        else f"{len(people)} of the entries below are acts of people; all others follow the rules of recloser.toml."
    )
    keep = [entry for entry in facts.entries if not entry.action.startswith("step.")]
    rows = [[entry.seq, entry.at, entry.actor, entry.action, entry.facts.get("reason")] for entry in keep]
    evidence = None if facts.verdict is None else facts.verdict.evidence_digest
    return [
        text(first),
        pairs({"Evidence that the verdict is bound to": evidence}),
        table(("entry", "when", "who", "what", "why"), rows),
    ]


def _lineage(facts: DossierFacts) -> list[Block]:
    told = facts.package.facts
    commit = told.commit
    snapshots = [
        [
            snap.get("table"),
            snap.get("version"),
            str(snap.get("digest", ""))[:16],
            snap.get("rows"),
            snap.get("start"),
            snap.get("as_of"),
        ]
        for snap in told.snapshots
    ]
    sources = [
        [entry.at, entry.subject, entry.facts.get("rows"), entry.facts.get("accepted"), entry.facts.get("version")]
        for entry in facts.sources
    ]
    return [
        *stage_blocks(facts.package),
        text("Nothing after 'known until' was visible to features, training or tests."),
        table(("series", "version", "digest", "rows", "from", "known until"), snapshots),
        text("Files taken in before the run, newest last:"),
        table(("when", "source", "rows", "new", "store version"), sources),
        pairs(
            {
                "Code": "in no repository"
                if commit is None
                else commit.commit + (" (changed since)" if commit.dirty else ""),
                "Features": f"{len(told.feature_set.get('features', []))} declared, digest {told.feature_digest[:16]}",
                "Own features": [extra.get("name") for extra in told.feature_set.get("extra", [])] or "none",
                "Training rows": told.notes.get("training_rows"),
                "Held out from": told.notes.get("held_out_from"),
            }
        ),
    ]


def _checks(facts: DossierFacts) -> list[Block]:
    if facts.verdict is None:
        return [text("The gate never judged this release.")]
    checks = facts.verdict.checks
    rows = [[c["verdict"], c["name"], c["reason"], _flat(c["numbers"]), _flat(c["thresholds"])] for c in checks]
    marks = [c["verdict"] for c in checks]
    counts = {word: marks.count(word) for word in ("pass", "refuse", "hold")}
    told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    return [
        text(f"{len(rows)} checks: {told}."),
        table(("verdict", "check", "finding", "numbers", "limits"), rows, marks=marks),
    ]


def _flat(numbers: Mapping[str, Any]) -> str:
    flat = {name: item for name, item in sorted(numbers.items()) if not isinstance(item, dict | list)}
    return "; ".join(f"{name} {shown(item)}" for name, item in list(flat.items())[:8])


def _differences(facts: DossierFacts) -> list[Block]:
    mine, other = facts.package.facts, facts.champion
    own = {name: number for name, number in mine.metrics.items() if not name.startswith("seasonal_naive_")}
    if other is None:
        rows = [[name, number, mine.metrics.get(f"seasonal_naive_{name}")] for name, number in sorted(own.items())]
        return [
            text("There was no champion. Beside it stands the seasonal naive, on the same held-out rows."),
            table(("metric", "this release", "seasonal naive"), rows),
        ]
    names = sorted(name for name in own if not name.startswith("champion_"))
    rows = [[name, mine.metrics.get(name), mine.metrics.get(f"champion_{name}")] for name in names]
    changed = mine.environment.differences(other.facts.environment)
    return [
        text(
            f"The champion was {other.release}. Both answered the same held-out rows, which neither had learned from."
        ),
        table(("metric", "this release", "champion"), [row for row in rows if row[2] is not None]),
        table(("property", "this release", "champion"), _properties(facts.package, other)),
        text("The environment is the same." if not changed else "Software that differs:"),
        *(
            [table(("name", "this release", "champion"), [[name, *pair] for name, pair in changed.items()])]
            if changed
            else []
        ),
    ]


def _properties(mine: Package, other: Package) -> list[list[Any]]:
    def told(package: Package) -> list[Any]:
        facts = package.facts
        window = f"{shown(facts.training_window[0])} to {shown(facts.training_window[1])}"
        commit = None if facts.commit is None else facts.commit.commit[:12]
        return [
            facts.model_kind,
            window,
            facts.notes.get("training_rows"),
            facts.feature_digest[:16],
            commit,
            package.key_id,
        ]

    names = ("kind", "trained on", "training rows", "features", "code", "signed by")
    return [[name, *row] for name, *row in zip(names, told(mine), told(other), strict=True)]


def _rollout(facts: DossierFacts) -> list[Block]:
    if not facts.rollouts:
        return [text("It was never rolled out.")]
    rows = [[r.since, r.state, f"{100 * r.share:.0f} %", r.champion, r.reason] for r in facts.rollouts]
    moves = [
        [entry.at, entry.facts.get("from"), entry.facts.get("to"), entry.facts.get("reason")]
        for entry in facts.entries
        if entry.action.startswith("rollout.") and "to" in entry.facts
    ]
    plan = facts.rollouts[-1].plan
    trips = [[trip.at, trip.tier, trip.reason, len(trip.recalled)] for trip in facts.trips]
    blocks = [table(("since", "state", "canary's share", "against", "why"), rows)]
    blocks += [text("Steps:"), table(("when", "from", "to", "why"), moves)] if moves else []
    blocks.append(text("Trips:" if trips else "It was never tripped."))
    blocks += [table(("when", "tier", "why", "forecasts recalled"), trips)] if trips else []
    wanted = ("shadow_days", "steps", "probation_days", "alpha", "margin", "promotion", "deadline_days")
    return [*blocks, pairs({name.replace("_", " "): plan.get(name) for name in wanted})]


def _model(facts: DossierFacts) -> list[Block]:
    card = facts.document(CARD)
    if not card:
        return [text("The package holds no model card: it was built by an earlier version.")]
    valid = card["validity"]
    ranges = [[name, low, high, unit] for name, (low, high, unit) in sorted(valid["ranges"].items())]
    return [
        text(card["intended_use"]),
        text("Not for:"),
        items(card["not_for"]),
        text("Limits:"),
        items(card["limits"] or ["None is known beyond the ranges below."]),
        pairs({"Areas": valid["areas"], "If it cannot answer": card["fallback"]}),
        text("Seen in training, and valid within:"),
        table(("input", "from", "to", "unit"), ranges),
    ]


def _risks(facts: DossierFacts) -> list[Block]:
    rows = [
        ["wrong or late data", "quality checks of the gate and of the watch; a data fault stops retraining"],
        ["learned from the future", "every value says when it could be known; reading past that is an error"],
        [
            "plausible but slightly wrong",
            "paired test against the champion by area and day; found in days, not at once",
        ],
        [
            "impossible numbers",
            "every answer is checked against limits and order of quantiles; the ladder answers instead",
        ],
        ["the world changes", "drift and degradation signals, retraining within a budget"],
        ["changed on the way", "content digest, Ed25519 signatures, checked at register, deploy and load"],
        ["a stolen key", "rotation and a signed revocation list; what the ledger recorded before can be signed again"],
    ]
    failed = [] if facts.verdict is None else [c for c in facts.verdict.checks if c["verdict"] != "pass"]
    card = facts.document(CARD)
    own = [str(line) for line in card.get("limits", [])] + [f"{c['name']}: {c['reason']}" for c in failed]
    own += [f"Tripped {shown(trip.at)}: {trip.reason}" for trip in facts.trips]
    return [
        table(("risk", "what limits it"), rows),
        text("Particular to this release:"),
        items(own or ["None is on record."]),
    ]


def _rollback(facts: DossierFacts) -> list[Block]:
    former = facts.champion.release if facts.champion is not None else None
    lines = [
        "One action by one person: recloser rollback --reason TEXT, or POST /v1/rollback.",
        f"Traffic goes to {former or 'the fallback ladder'} at once.",
        "Its unexpired forecasts are voided and issued again in one transaction; readers learn it from /v1/events.",
        f"If nothing else serves, in this order: {', '.join(facts.fallback)}.",
        "Without any action: a trip by limits, lateness, divergence or degradation does the same by itself.",
        "Afterwards: recloser status, recloser rollout explain, recloser audit verify.",
    ]
    return [items(lines)]


def _software(facts: DossierFacts) -> list[Block]:
    environment, wheels = facts.package.facts.environment, facts.document(WHEELHOUSE)
    parts = facts.document(SBOM).get("components", [])
    rows = [[part["name"], part.get("version"), _licences(part)] for part in parts]
    otherwise = wheels.get("installed_otherwise", {})
    blocks = [
        pairs({"Interpreter": environment.python, "Platform": environment.platform, "Digest": environment.digest}),
        text(f"{len(wheels.get('wheels', []))} libraries are locked with their hashes in the package."),
    ]
    if otherwise:
        told = [[name, *pair] for name, pair in sorted(otherwise.items())]
        blocks += [
            text("Installed otherwise than locked when it was made:"),
            table(("name", "locked", "installed"), told),
        ]
    return [
        *blocks,
        text("Bill of materials (CycloneDX 1.6 in the package):"),
        table(("name", "version", "licence"), rows),
    ]


def _licences(part: Mapping[str, Any]) -> str:
    told = [
        choice.get("expression") or choice.get("license", {}).get("id") or choice.get("license", {}).get("name")
        for choice in part.get("licenses", [])
    ]
    return ", ".join(str(name) for name in told if name) or "not told"


def _integrity(facts: DossierFacts) -> list[Block]:
    package, audit = facts.package, facts.audit
    said = [[a.name, a.predicate_type, a.key_id] for a in package.attestations]
    files = [[entry.path, entry.size, entry.sha256] for entry in package.files]
    state = f"unbroken, {audit.entries} entries" if audit.ok else f"BROKEN at entry {audit.first_bad}: {audit.reason}"
    return [
        pairs(
            {
                "Content digest": package.digest,
                "Signed by": package.key_id,
                "Audit log": state,
                "Its last hash": audit.head,
            }
        ),
        text("Keep the last hash elsewhere: with it a log that was rewritten as a whole is found too."),
        table(("statement beside the package", "kind", "signed by"), said),
        table(("file", "bytes", "SHA-256"), files),
    ]


def _supports() -> list[Block]:
    rows = [[s.framework, s.item, s.title, s.holds, s.lacks, list(s.sections)] for s in SUPPORTS]
    return [
        text("An assessor may use these sections for these items. Nothing here certifies conformity with any of them."),
        table(("framework", "item", "about", "this dossier holds", "it does not show", "sections"), rows),
    ]
