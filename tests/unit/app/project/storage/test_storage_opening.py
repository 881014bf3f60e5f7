"""`[store]` becomes places: credentials from a file or the environment, told by name and never by content."""

from __future__ import annotations

from pathlib import Path

import pytest

from recloser.app.project.layout import Layout
from recloser.app.project.settings import parse_project
from recloser.app.project.storage.opening import access_of, places_of
from recloser.app.project.storage.section import StoreSection
from recloser.core import InvalidInput, Unavailable
from recloser.store.places import Folder

URL = "s3://grid/north"
IN_ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "ann", "AWS_SECRET_ACCESS_KEY": "s3cret", "AWS_SESSION_TOKEN": "t0ken"}
FILE = "[default]\naws_access_key_id = bob\naws_secret_access_key = %hidden\n\n[other]\naws_access_key_id = eve\n"


def test_without_a_url_the_tables_lie_in_the_project(tmp_path: Path) -> None:
    places = places_of(StoreSection(), Layout(tmp_path), {})
    assert isinstance(places.series, Folder)
    assert [place.uri for place in (places.series, places.predictions, places.readings)] == [
        f"{tmp_path}/state/store",
        f"{tmp_path}/state/predictions",
        f"{tmp_path}/state/links",
    ]


def test_credentials_of_the_environment(tmp_path: Path) -> None:
    access = access_of(StoreSection(url=URL), Layout(tmp_path), IN_ENVIRONMENT)
    assert (access.access_key_id, access.secret_access_key, access.session_token) == ("ann", "s3cret", "t0ken")
    assert (access.endpoint, access.region, access.path_style) == (None, "us-east-1", True)
    assert "s3cret" not in repr(access)
    assert "t0ken" not in repr(access)


def test_a_file_wins_over_the_environment(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(FILE)
    section = StoreSection(url=URL, endpoint="http://127.0.0.1:9000/", credentials_file="keys", path_style=False)
    access = access_of(section, Layout(tmp_path), IN_ENVIRONMENT)
    assert (access.access_key_id, access.secret_access_key, access.session_token) == ("bob", "%hidden", None)
    options = access.shared_options()
    assert (options["aws_endpoint_url"], options["aws_allow_http"]) == ("http://127.0.0.1:9000", "true")
    assert options["aws_virtual_hosted_style_request"] == "true"


@pytest.mark.parametrize(
    ("section", "environ", "told"),
    [
        ({}, {}, "AWS_ACCESS_KEY_ID"),
        ({}, {"AWS_ACCESS_KEY_ID": "ann"}, "AWS_SECRET_ACCESS_KEY"),
        ({"credentials_file": "keys", "profile": "othr"}, IN_ENVIRONMENT, "other"),
        ({"credentials_file": "keys", "profile": "other"}, IN_ENVIRONMENT, "aws_secret_access_key"),
        ({"credentials_file": "broken"}, IN_ENVIRONMENT, "not a file of credentials"),
    ],
)
def test_what_is_missing_is_named(section: dict[str, str], environ: dict[str, str], told: str, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(FILE)
    (tmp_path / "broken").write_text("aws_secret_access_key = hidden\n")
    with pytest.raises(InvalidInput) as caught:
        access_of(StoreSection(url=URL, **section), Layout(tmp_path), environ)  # type: ignore[arg-type]
    assert told in caught.value.explain()
    assert "hidden" not in caught.value.explain()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="credentials"):
        access_of(StoreSection(url=URL, credentials_file="none"), Layout(tmp_path), {})


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ('url = "grid/north"', "store.url"),
        ('url = "s3://grid/50%25"', "'%'"),
        ('url = "s3://grid/north//load"', "store.url"),
        ('url = "s3://grid"\nendpoint = "s3.grid.example"', "store.endpoint"),
        ('url = "s3://grid"\nendpoint = "https://key:secret@s3.grid.example"', "store.endpoint"),
        ('endpoint = "https://s3.grid.example"', "without a bucket"),
        ('url = "s3://grid"\nendpont = "x"', "endpoint"),
    ],
)
def test_wrong_settings_are_named(lines: str, told: str) -> None:
    text = f'[project]\nareas = ["A"]\ntime_zone = "UTC"\n[store]\n{lines}\n'
    with pytest.raises(InvalidInput) as caught:
        parse_project(text, "recloser.toml")
    assert told in caught.value.explain()
