"""A release goes from stage to stage only with whole signatures, a verdict that holds, and within its time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from recloser.app import (
    Platform,
    Terms,
    accept_offer,
    check_installation,
    check_offer,
    explain_gate,
    ingest_file,
    make_dossier,
    offer_release,
    revoke_signing_key,
    rotate_signing_key,
    verify_dossier,
    verify_package,
)
from recloser.app.releases.promotion.verifying import checked_offer
from recloser.core import InvalidInput, RecloserError, Refused, VirtualClock
from recloser.ledger import ReleaseRecord, RolloutRecord, RouteRecord, RunRecord, VerdictRecord
from recloser.registry import FileSigner, open_package, seal
from recloser.registry.shipping.bundle import KIND, check_bundle, unpack_bundle, write_bundle
from recloser.registry.shipping.promotion import ORIGIN, PROMOTION, read_chain
from recloser.rollout import Rollout
from recloser.testing import COLUMNS, load_file, small_grid, small_project

DAY = timedelta(days=1)


@pytest.fixture(scope="session")
def _bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with data that knows no model and has no key yet."""
    folder = small_project(tmp_path_factory.mktemp("stages") / "bare")
    shutil.rmtree(folder / "state/keys")
    return folder


def settings(folder: Path, stage: str, sources: dict[str, str]) -> Path:
    told = f'\n[promotion]\nstage = "{stage}"\n'
    told += "".join(
        f'\n[[promotion.sources]]\nstage = "{name}"\nkeys = "trust/{name}"\n{more}\n' for name, more in sources.items()
    )
    file = folder / "recloser.toml"
    file.write_text(file.read_text(encoding="utf-8") + told, encoding="utf-8")
    return folder


def trust(folder: Path, stage: str, other: Path) -> None:
    """Bring a stage's public keys and its revocation list to another stage, as an engineer does by hand."""
    target = folder / "trust" / stage
    target.mkdir(parents=True, exist_ok=True)
    for path in (other / "state/keys").iterdir():
        if path.suffix == ".pub" or path.name == "revoked.json":
            shutil.copy(path, target / path.name)


@pytest.fixture
def development(served: Path) -> Path:
    return settings(served, "development", {})


@pytest.fixture
def stage(_bare: Path, tmp_path: Path) -> Callable[..., Path]:
    def make(name: str, sources: dict[str, Path], more: str = "") -> Path:
        folder = Path(shutil.copytree(_bare, tmp_path / name))
        settings(folder, name, dict.fromkeys(sources, more))
        with Platform.open(folder):
            pass  # its key is made
        for source, other in sources.items():
            trust(folder, source, other)
        return folder

    return make


def offer(folder: Path, release: str, to: str, days: float = 7.0) -> Path:
    out = folder / f"{to}.offer"
    offer_release(folder, release=release, out=out, terms=Terms(to, "it is good", "dora", days))
    return out


def refused(folder: Path, file: Path, words: str) -> None:
    """Check that an offer is refused in these words, by the check and by the acceptance, and that nothing is left."""
    with pytest.raises(Refused, match=words):
        check_offer(folder, file=file)
    with pytest.raises(Refused, match=words):
        accept_offer(folder, file=file, reason="x", actor="paul")
    with Platform.open(folder) as platform:
        assert platform.ledger.find(ReleaseRecord) == []
        assert platform.ledger.find(RunRecord) == []
        assert [path for path in platform.layout.packages.iterdir() if path.name.startswith("rel-")] == []


def test_a_release_goes_through_three_stages_and_its_way_is_kept(
    development: Path, release: str, stage: Callable[..., Path], tmp_path: Path
) -> None:
    staging = stage("staging", {"development": development})
    production = stage("production", {"staging": staging, "development": development}, 'at_least = "accepted"')
    told = accept_offer(staging, file=offer(development, release, "staging"), reason="week 12", actor="steve")
    assert (told["release"], told["from"], told["chain"], told["repeated"]) == (
        release,
        "development",
        ["development"],
        False,
    )
    assert told["registry"] is None
    with Platform.open(staging) as platform:
        route = platform.ledger.get(RouteRecord, "route")
        assert route is not None
        assert route.champion == release  # the first model serves at once, as after a run
        assert platform.load(release).package.key_id == platform.signer.public_key.key_id

    file = offer(staging, release, "production")
    assert check_offer(production, file=file)["chain"] == ["development", "staging"]
    told = accept_offer(production, file=file, reason="change 4711", actor="paul")
    assert told["chain"] == ["development", "staging"]
    with Platform.open(development) as there, Platform.open(production) as here:
        theirs, ours = (p.ledger.get(VerdictRecord, f"verdict-{release}") for p in (there, here))
        assert theirs is not None
        assert ours is not None
        assert (ours.verdict, ours.evidence_digest) == (theirs.verdict, theirs.evidence_digest)
        assert told["evidence_digest"] == theirs.evidence_digest
        (record,) = here.ledger.find(RolloutRecord, release=release)
        people = Rollout.from_record(record).proposers
        assert {"dora", "paul"} <= {*people.known, *people.strangers}  # neither may approve it here
        assert here.ledger.verify().ok
        package = open_package(here.layout.packages / release, here.trusted)
        origin = package.attestation(ORIGIN)
        assert origin is not None
        chain = read_chain(origin.predicate, package.digest, "x")
        assert [(link.offer.stage, link.offer.to, link.accepted_by) for link in chain] == [
            ("development", "staging", "steve"),
            ("staging", "production", "paul"),
        ]
        chain[0].verify(there.trusted, "x")  # the first stage's own signature, two stages later
        with pytest.raises(Refused, match="not trusted"):
            chain[1].verify(there.trusted, "x")
    assert explain_gate(production, release)["verdict"] == "pass"
    assert verify_package(production / "state/packages" / release, folder=production, keys=None)["verdict"] == "pass"
    dossier = make_dossier(production, release=release, out=tmp_path / "dossier")
    text = Path(dossier["html"]).read_text(encoding="utf-8")
    assert "development" in text
    assert "change 4711" in text
    assert verify_dossier(Path(dossier["json"]), folder=production, keys=None)["ok"]


def test_accepting_again_changes_nothing_also_after_a_kill_at_any_point(
    development: Path, release: str, stage: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    staging, file = stage("staging", {"development": development}), offer(development, release, "staging")
    from recloser.app.releases.promotion import accepting

    class Killed(BaseException):
        pass

    def accept_and_die(name: str, *, done: bool) -> None:
        real = getattr(accepting, name)

        def killed(*arguments: Any) -> None:
            if done:
                real(*arguments)
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(accepting, name, killed)
            with pytest.raises(Killed):
                accept_offer(staging, file=file, reason="x", actor="steve")

    for name, done in (("_taken_in", False), ("_taken_in", True), ("_record", False), ("_record", True)):
        accept_and_die(name, done=done)
    for name, done in (("_mirrored", False), ("_mirrored", True), ("_rolled_out", False), ("_rolled_out", True)):
        accept_and_die(name, done=done)
    first = accept_offer(staging, file=file, reason="x", actor="steve")
    second = accept_offer(staging, file=file, reason="x", actor="steve")
    assert second["repeated"]
    assert second["rollout"] == first["rollout"]
    with Platform.open(staging) as platform:
        assert len(platform.ledger.find(RolloutRecord)) == 1
        entries = [entry.action for entry in platform.ledger.entries(subject=release)]
        assert entries.count("promotion.accept") == 1


def test_nobody_but_a_named_stage_is_believed(development: Path, release: str, stage: Callable[..., Path]) -> None:
    alone = stage("alone", {})
    file = offer(development, release, "alone")
    with pytest.raises(InvalidInput, match="takes releases from nobody"):
        check_offer(alone, file=file)
    stranger = stage("stranger", {"development": alone})  # the folder for development holds another project's key
    refused(stranger, offer(development, release, "stranger"), "not trusted")
    other = stage("other", {"staging": development})  # a good key that may speak for staging only
    refused(other, offer(development, release, "other"), "does not speak for")
    staging = stage("staging", {"development": development})
    refused(staging, offer(development, release, "production"), "offered to another stage")


def test_an_expired_early_or_old_offer_is_refused(development: Path, release: str, stage: Callable[..., Path]) -> None:
    staging = stage("staging", {"development": development})
    file = offer(development, release, "staging", days=0.5)
    now = datetime.now(UTC)
    for at, words in ((now + DAY, "expired"), (now - DAY, "of the future")):
        with Platform.open(staging, clock=VirtualClock(at)) as platform, pytest.raises(Refused, match=words):
            checked_offer(platform, file).__enter__()
    late = stage("late", {"development": development}, "verdict_days = 2.0")
    assert check_offer(late, file=offer(development, release, "late"))["ok"]
    ingest_file(late, load_file(late / "more.parquet", small_grid(123).frame()), COLUMNS)  # three more days
    refused(late, offer(development, release, "late"), "a verdict that is too old")


def test_a_stage_may_ask_that_it_was_champion_before(
    development: Path, release: str, stage: Callable[..., Path]
) -> None:
    staging = stage("staging", {"development": development}, 'at_least = "champion"')
    assert check_offer(staging, file=offer(development, release, "staging"))["state"] == "champion"
    set_state(development, release, "accepted")
    refused(staging, offer(development, release, "staging"), "not come far enough")
    set_state(development, release, "tripped")
    with pytest.raises(Refused, match="was not stopped"):
        offer(development, release, "staging")


def set_state(folder: Path, release: str, state: str) -> None:
    from dataclasses import replace

    with Platform.open(folder) as platform, platform.ledger.change("test", platform.clock.now()) as change:
        record = platform.ledger.get(ReleaseRecord, release)
        assert record is not None
        change.put(replace(record, state=state))
        change.note("test.state", release)


def test_a_changed_byte_anywhere_is_refused(development: Path, release: str, stage: Callable[..., Path]) -> None:
    staging, file = stage("staging", {"development": development}), offer(development, release, "staging")
    good = file.read_bytes()
    for place in (200, 700, len(good) // 2, len(good) - 3000):
        file.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        refused(staging, file, ".")
    file.write_bytes(good[: len(good) // 2])
    refused(staging, file, "changed bundle")


def rewritten(development: Path, file: Path, scratch: Path, change: Callable[[Path, dict[str, Any]], None]) -> Path:
    """Write an offer anew with the real key of development, after somebody there changed what it says."""
    with Platform.open(development) as platform:
        card = check_bundle(file, platform.trusted, PROMOTION)
        unpack_bundle(file, scratch)
        facts = dict(card.facts)
        for path in scratch.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        change(scratch / "package" / str(facts["release"]), facts)
        files = {p.relative_to(scratch).as_posix(): p.read_bytes() for p in scratch.rglob("*") if p.is_file()}
        files.pop("bundle.json", None)
        write_bundle(file, files, facts, platform.signer, PROMOTION)
    return file


def test_whoever_holds_the_key_cannot_pass_a_refusal_off_as_a_pass(
    development: Path, release: str, stage: Callable[..., Path], tmp_path: Path
) -> None:
    staging = stage("staging", {"development": development})
    signer = FileSigner.from_file(development / "state/keys/signing.pem")

    def lie(package: Path, _facts: dict[str, Any]) -> None:
        """Let a check refuse but leave the verdict and its digest as they were."""
        path = package / "attestations/gate.json"
        import base64

        statement = json.loads(base64.b64decode(json.loads(path.read_bytes())["payload"]))
        statement["predicate"]["checks"][0]["verdict"] = "refuse"
        path.write_bytes(seal("application/vnd.in-toto+json", statement, signer))

    file = rewritten(development, offer(development, release, "staging"), tmp_path / "lie", lie)
    refused(staging, file, "does not fit its evidence")

    def strip(package: Path, _facts: dict[str, Any]) -> None:
        (package / "attestations/gate.json").unlink()
        (package / "attestations").rmdir()

    file = rewritten(development, offer(development, release, "staging"), tmp_path / "strip", strip)
    refused(staging, file, "no verdict of a gate")

    def swap(_package: Path, facts: dict[str, Any]) -> None:
        facts["digest"] = "0" * 64

    file = rewritten(development, offer(development, release, "staging"), tmp_path / "swap", swap)
    refused(staging, file, "another package")


def test_a_waiver_that_ran_out_takes_the_pass_with_it(
    development: Path, release: str, stage: Callable[..., Path]
) -> None:
    staging = stage("staging", {"development": development})
    with Platform.open(development) as platform:
        from dataclasses import replace

        from recloser.pipelines.proving import attest_verdict
        from recloser.staging import CheckResult, Waiver, judge

        record = platform.ledger.get(VerdictRecord, f"verdict-{release}")
        assert record is not None
        now = platform.clock.now()
        checks = [CheckResult.from_dict(row) for row in record.checks]
        name = next(check.name for check in checks if check.name.startswith("performance.s"))
        checks = [replace(c, verdict="refuse") if c.name == name else c for c in checks]
        waiver = Waiver(release, name, "ann", "known", now - 2 * DAY, now - DAY)
        verdict = judge(checks, (), [waiver])
        assert verdict.verdict == "pass"
        with platform.ledger.change("test", now) as change:
            rows = verdict.to_dict()["checks"]
            told = {"reason": verdict.reason, "checks": rows, "evidence_digest": verdict.evidence_digest}
            change.put(replace(record, **told))
            change.note("test", release)
        package = open_package(platform.layout.packages / release, platform.trusted)
        attest_verdict(platform.ledger, package, platform.signer)
    with pytest.raises(Refused, match="no longer passes"):
        offer(development, release, "staging")
    from recloser.app.releases.promotion import offering

    patched = pytest.MonkeyPatch()
    patched.setattr(offering, "lapsed", lambda *_: "")  # a source that does not care
    try:
        file = offer(development, release, "staging")
    finally:
        patched.undo()
    refused(staging, file, "the gate does not pass it; got 'refuse: performance")


def test_a_revoked_key_stops_the_next_acceptance_and_the_doctor_tells_of_the_last(
    development: Path, release: str, stage: Callable[..., Path]
) -> None:
    staging, file = stage("staging", {"development": development}), offer(development, release, "staging")
    accept_offer(staging, file=file, reason="x", actor="steve")
    assert doctor(staging)["state"] == "ok"
    former = rotate_signing_key(development, reason="laptop stolen", actor="ann")["former"]
    revoke_signing_key(development, key=former, reason="laptop stolen", actor="ann", since=None)
    trust(staging, "development", development)
    with pytest.raises(Refused, match="revoked key"):
        check_offer(staging, file=file)
    found = doctor(staging)
    assert found["state"] == "FAIL"
    assert "laptop stolen" in found["detail"]
    second = stage("second", {"development": development})
    refused(second, file, "revoked key")


def doctor(folder: Path) -> dict[str, str]:
    return next(row for row in check_installation(folder)["checks"] if row["name"] == "promotion")


def test_a_model_for_another_horizon_or_other_areas_is_refused(
    development: Path, release: str, stage: Callable[..., Path]
) -> None:
    staging = stage("staging", {"development": development})
    file, text = staging / "recloser.toml", (staging / "recloser.toml").read_text(encoding="utf-8")
    file.write_text(text.replace('issue_time = "09:00"', 'issue_time = "10:00"'), encoding="utf-8")
    refused(staging, offer(development, release, "staging"), "a model for other horizon")
    file.write_text(text.replace('areas = ["F01", "F02"]', 'areas = ["F01", "F09"]'), encoding="utf-8")
    refused(staging, offer(development, release, "staging"), "a model for other areas")


def test_what_was_stopped_here_does_not_come_back_by_promotion(
    development: Path, release: str, stage: Callable[..., Path]
) -> None:
    staging, file = stage("staging", {"development": development}), offer(development, release, "staging")
    accept_offer(staging, file=file, reason="x", actor="steve")
    set_state(staging, release, "tripped")
    with pytest.raises(Refused, match="stopped here before"):
        accept_offer(staging, file=file, reason="y", actor="steve")


@pytest.mark.parametrize(
    "wrong",
    [
        '[[promotion.sources]]\nstage = "a"\nkeys = "k"',
        '[promotion]\nstage = "A stage"',
        '[promotion]\nstage = "a"\n[[promotion.sources]]\nstage = "a"\nkeys = "k"',
        '[promotion]\nstage = "p"\n' + 2 * '[[promotion.sources]]\nstage = "a"\nkeys = "k"\n',
        '[promotion]\nstage = "p"\n[[promotion.sources]]\nstage = "a"\nkeys = "k"\nat_least = "tripped"',
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: str) -> None:
    from recloser.app.project.settings import parse_project

    with pytest.raises(InvalidInput):
        parse_project(f'[project]\nareas = ["N"]\ntime_zone = "UTC"\n{wrong}\n', "x")


def test_an_offer_needs_a_stage_and_a_sensible_end(development: Path, release: str) -> None:
    for days in (0.0, -1.0, 400.0):
        with pytest.raises(InvalidInput):
            offer(development, release, "staging", days=days)
    with pytest.raises(InvalidInput, match="oneself"):
        offer(development, release, "development")
    with pytest.raises(RecloserError, match="release"):
        offer(development, "rel-000000000000", "staging")
    assert KIND.startswith("application/")
