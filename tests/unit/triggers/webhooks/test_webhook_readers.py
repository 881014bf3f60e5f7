"""What a proven delivery asks for: pushes of four forges, CloudEvents in both modes, events of MLflow's registry."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recloser.core import InvalidInput, RecloserError
from recloser.serving.wire.strict import MalformedBody
from recloser.triggers import TriggerKind
from recloser.triggers.webhooks import Delivery, Ignored, Inlet, InletKind, Wanted, read_delivery
from recloser.triggers.webhooks.cloudevents import read_event


def read(make: SimpleNamespace, body: bytes, **settings: Any) -> Wanted | Ignored:
    return read_delivery(make.inlet("github", **settings), make.github(body), make.now)


def wanted(found: Wanted | Ignored) -> Wanted:
    assert isinstance(found, Wanted), found
    return found


def why(found: Wanted | Ignored) -> str:
    assert isinstance(found, Ignored), found
    return found.why


def test_a_push_asks_in_the_name_of_its_commit_and_of_who_pushed(make: SimpleNamespace) -> None:
    found = wanted(read(make, make.push(), people={"ann-dev": "ann"}))
    assert (found.trigger.key, found.trigger.kind) == (f"commit:{make.commit}", TriggerKind.COMMIT)
    assert (found.trigger.asked_by, found.delivery) == (("ann",), "d-1")
    assert found.facts == {"ref": "refs/heads/main", "commit": make.commit, "repository": "grid/models"}
    later = read_delivery(make.inlet("github"), make.github(make.push()), make.now + timedelta(days=1))
    assert wanted(later).trigger.key == found.trigger.key  # replayed under any name it is the same request


def test_only_branches_and_files_that_count_ask(make: SimpleNamespace) -> None:
    assert "only main, master ask" in why(read(make, make.push(ref="refs/heads/idea")))
    assert "only main, master ask" in why(read(make, make.push(ref="refs/heads/old/main")))
    wanted(read(make, make.push(ref="refs/tags/v1"), refs=("v1",)))
    assert "was deleted" in why(read(make, make.push(after="0" * 40)))
    wanted(read(make, make.push(), paths=("north",)))
    wanted(read(make, make.push(), paths=("/north/pipeline.py",)))
    for paths in (("nor",), ("south/",)):
        assert "no file below" in why(read(make, make.push(), paths=paths))
    wanted(read(make, make.push(total_commits=30), paths=("south",)))  # the forge told a part of the push only
    wanted(read(make, make.push(commits=[{}]), paths=("south",)))  # a merge tells no files


def test_what_is_no_push_asks_for_nothing(make: SimpleNamespace) -> None:
    ping = make.github(b'{"zen": "Design for failure."}', x_github_event="ping")
    assert "the inlet works" in why(read_delivery(make.inlet("github"), ping, make.now))
    issue = make.github(b"{}", x_github_event="issues")
    assert "not a push" in why(read_delivery(make.inlet("github"), issue, make.now))


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", MalformedBody),
        (b"payload=%7B%7D", MalformedBody),
        (b"[1]", InvalidInput),
        (b'{"ref": "refs/heads/main"}', InvalidInput),
        (b'{"ref": "refs/heads/main", "after": "HEAD; rm -rf"}', InvalidInput),
        (b'{"ref": "r", "after": "a", "x": ' + b"[" * 100_000, InvalidInput),
        (b'{"ref": "\xff"}', MalformedBody),
    ],
)
def test_a_signed_body_of_another_form_is_bad_input(make: SimpleNamespace, body: bytes, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        read(make, body)


def test_gitlab_and_forgejo_name_their_users_in_other_places(make: SimpleNamespace) -> None:
    body = make.push(sender=None, pusher=None, user_username="ben", total_commits_count=1)
    headers = {"x-gitlab-token": "it is a secret", "x-gitlab-event": "Push Hook", "x-gitlab-event-uuid": "u-1"}
    found = wanted(read_delivery(make.inlet("gitlab"), Delivery(headers, body), make.now))
    assert (found.trigger.asked_by, found.delivery) == (("ben",), "u-1")
    body = make.push(sender={"login": "eve", "username": "eve"})
    headers = {"x-forgejo-signature": make.hexed(body), "x-forgejo-event": "push", "x-forgejo-delivery": "f-1"}
    assert wanted(read_delivery(make.inlet("gitea"), Delivery(headers, body), make.now)).trigger.asked_by == ("eve",)


def test_a_name_that_would_deceive_a_reader_of_the_log_is_made_plain(make: SimpleNamespace) -> None:
    found = wanted(read(make, make.push(sender={"login": "a\x1b[2Jnn\u202e" + "x" * 500})))
    (who,) = found.trigger.asked_by
    assert who.startswith("a?[2Jnn?xxx")
    assert len(who) == 100


EVENT = {"specversion": "1.0", "id": "1", "source": "/lake", "type": "io.recloser.retrain.v1"}
OPEN = Inlet("lake", InletKind.CLOUDEVENTS, areas=("N", "S"))


def structured(event: Any, media: str = "application/cloudevents+json") -> Delivery:
    return Delivery({"content-type": media}, json.dumps(event).encode(), "lake-loader")


def binary(body: bytes = b"", media: str = "", **headers: str) -> Delivery:
    sent = {f"ce-{name}": text for name, text in (EVENT | headers).items()}
    return Delivery(sent | ({"content-type": media} if media else {}), body, "lake-loader")


def test_an_event_says_the_same_in_both_modes(make: SimpleNamespace) -> None:
    data = {"reason": "new meters in the north", "areas": ["N"]}
    one = wanted(read_delivery(OPEN, structured(EVENT | {"data": data}), make.now))
    two = wanted(read_delivery(OPEN, binary(json.dumps(data).encode(), "application/json"), make.now))
    raw = base64.b64encode(json.dumps(data).encode()).decode()
    coded = EVENT | {"data_base64": raw, "datacontenttype": "application/json"}
    three = wanted(read_delivery(OPEN, structured(coded, "application/cloudevents+json; charset=UTF-8"), make.now))
    assert one.trigger == two.trigger == three.trigger
    assert (one.trigger.kind, one.trigger.areas, one.trigger.asked_by) == (TriggerKind.API, ("N",), ("lake-loader",))
    assert one.trigger.reason == "asked for by lake-loader: new meters in the north"
    other = wanted(read_delivery(OPEN, structured(EVENT | {"source": "/other"}), make.now))
    assert other.trigger.key != one.trigger.key  # an id is its source's own
    late = replace(OPEN, kind_of_trigger=TriggerKind.DATA)
    assert wanted(read_delivery(late, binary(), make.now)).trigger.kind is TriggerKind.DATA


def test_headers_are_unquoted_and_percent_decoded() -> None:
    event = read_event(binary(subject='"caf\\"e %C3%A9 %25"', myext="7"))
    assert event.attributes["subject"] == 'caf"e é %'
    assert event.attributes["myext"] == "7"
    with pytest.raises(InvalidInput, match="percent-encoded"):
        read_event(binary(subject="%ff"))


def test_attributes_of_json_are_text_booleans_and_integers() -> None:
    event = read_event(structured(EVENT | {"flag": True, "count": 3, "subject": None, "time": "2026-03-01T12:00:00Z"}))
    assert event.attributes == EVENT | {"flag": "true", "count": "3", "time": "2026-03-01T12:00:00Z"}


BAD_EVENTS: list[Any] = [
    *({name: text for name, text in EVENT.items() if name != missing} for missing in EVENT),
    EVENT | {"specversion": "0.3"},
    EVENT | {"id": ""},
    EVENT | {"source": "a b"},
    EVENT | {"time": "yesterday"},
    EVENT | {"time": "2026-03-01 12:00:00Z"},
    EVENT | {"Upper": "x"},
    EVENT | {"x" * 21: "x"},
    EVENT | {"ext": {"a": 1}},
    EVENT | {"ext": 1.5},
    EVENT | {"ext": 2**31},
    EVENT | {"subject": "a\nb"},
    EVENT | {"data": {}, "data_base64": ""},
    EVENT | {"data_base64": "***"},
    EVENT | {"data": {"reasons": "x"}},
    EVENT | {"data": {"areas": "N"}},
    EVENT | {"data": {"areas": ["X"]}},
    EVENT | {"data": 3},
    [EVENT],
    "x",
]


@pytest.mark.parametrize("event", BAD_EVENTS, ids=str)
def test_what_is_no_cloudevent_is_bad_input(make: SimpleNamespace, event: Any) -> None:
    with pytest.raises(InvalidInput):
        read_delivery(OPEN, structured(event), make.now)


@pytest.mark.parametrize(
    "delivery",
    [
        structured([EVENT], "application/cloudevents-batch+json"),
        structured(EVENT, "application/cloudevents+xml"),
        structured(EVENT, "application/cloudevents+json; charset=latin-1"),
        binary(b"{", "application/json"),
        binary(datacontenttype="application/json"),
        Delivery({}, b"", "lake-loader"),
    ],
)
def test_forms_that_are_not_read_are_bad_input(make: SimpleNamespace, delivery: Delivery) -> None:
    with pytest.raises(InvalidInput):
        read_delivery(OPEN, delivery, make.now)


def test_only_types_that_are_named_ask(make: SimpleNamespace) -> None:
    other = structured(EVENT | {"type": "com.example.lake.written", "data": {"rows": 3}})
    assert "ask for nothing here" in why(read_delivery(OPEN, other, make.now))
    for events in (("com.example.lake.written",), ("com.example.*",)):
        found = wanted(read_delivery(replace(OPEN, events=events), other, make.now))
        assert found.trigger.reason.endswith("event com.example.lake.written of /lake")
    assert isinstance(read_delivery(replace(OPEN, events=("com.example",)), other, make.now), Ignored)


@given(st.dictionaries(st.text(max_size=8), st.one_of(st.text(), st.integers(), st.none(), st.floats()), max_size=6))
def test_no_event_breaks_the_reader(extra: dict[str, Any]) -> None:
    try:
        found = read_event(
            Delivery({"content-type": "application/cloudevents+json"}, json.dumps(EVENT | extra).encode())
        )
    except RecloserError:
        return
    assert set(found.attributes) >= {"id", "source", "specversion", "type"}


def notice(event: str, data: dict[str, Any], at: str = "2026-03-01T12:00:00+00:00") -> bytes:
    entity, _, action = event.partition(".")
    return json.dumps({"entity": entity, "action": action, "timestamp": at, "data": data}).encode()


def mlflow(make: SimpleNamespace, body: bytes, **settings: Any) -> Wanted | Ignored:
    return read_delivery(make.inlet("mlflow", **settings), make.timed("x-mlflow", body), make.now)


VERSION = {"name": "weather", "version": "7", "source": "models:/m-1", "run_id": None, "tags": {}, "description": None}


def test_a_new_version_in_the_registry_asks_once(make: SimpleNamespace) -> None:
    first = wanted(mlflow(make, notice("model_version.created", VERSION)))
    assert (first.trigger.kind, first.delivery) == (TriggerKind.REGISTRY, "m-1")
    assert first.trigger.reason == "model_version.created in the model registry: weather version 7"
    again = notice("model_version.created", VERSION, at="2026-03-01T12:00:09+00:00")
    assert wanted(mlflow(make, again)).trigger.key == first.trigger.key
    assert "ask for nothing" in why(mlflow(make, notice("model_version.created", VERSION), models=("load",)))
    assert "ask for nothing" in why(mlflow(make, notice("registered_model.created", {"name": "weather"})))


def test_a_tag_asks_each_time_it_is_set(make: SimpleNamespace) -> None:
    tag = {"name": "weather", "version": "7", "key": "retrain", "value": "yes"}
    events = ("model_version_tag.set",)
    first = wanted(mlflow(make, notice("model_version_tag.set", tag), events=events))
    later = wanted(mlflow(make, notice("model_version_tag.set", tag, at="2026-04-01T12:00:00+00:00"), events=events))
    assert first.trigger.key != later.trigger.key
    assert first.facts["value"] == "yes"


def test_what_recloser_did_itself_asks_for_nothing(make: SimpleNamespace) -> None:
    """Else each release would ask for the next one."""
    own = VERSION | {"tags": {"recloser.release": "rel-000000000001"}}
    assert "did this itself" in why(mlflow(make, notice("model_version.created", own)))
    alias = notice("model_version_alias.created", {"name": "grid", "alias": "champion", "version": "2"})
    settings = {"events": ("model_version_alias.created",), "own_model": "grid"}
    assert "did this itself" in why(mlflow(make, alias, **settings))
    wanted(mlflow(make, alias, **(settings | {"own_model": "other"})))
