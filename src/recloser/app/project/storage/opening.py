"""Owns turning `[store]` into places, with credentials from the environment or a file. Reads no table."""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping
from dataclasses import dataclass

from recloser.app.project.layout import Layout
from recloser.app.project.storage.section import StoreSection
from recloser.core import InvalidInput, Unavailable, unknown_name
from recloser.store.places import Bucket, BucketAccess, Folder, Place

ID, SECRET, TOKEN = "aws_access_key_id", "aws_secret_access_key", "aws_session_token"


@dataclass(frozen=True, slots=True)
class Places:
    """Where the tables of one project lie.

    Attributes:
        series: of `Store`.
        predictions: of the table that gateways' logs are moved into.
        readings: of the table that links' spools are moved into.
    """

    series: Place
    predictions: Place
    readings: Place


def places_of(section: StoreSection, layout: Layout, environ: Mapping[str, str] = os.environ) -> Places:
    """Return the places that the project file names.

    Raises:
        InvalidInput: no credentials, or a file that holds none.
        Unavailable: the file cannot be read, or the extra `s3` is not installed.
    """
    if section.url is None:
        return Places(Folder(layout.store), Folder(layout.predictions), Folder(layout.links))
    bucket = Bucket(section.url, access_of(section, layout, environ))
    return Places(bucket, bucket, bucket)


def access_of(section: StoreSection, layout: Layout, environ: Mapping[str, str]) -> BucketAccess:
    """Return how the bucket is reached; a credentials file wins over the environment.

    Raises:
        InvalidInput: no credentials, or a file that holds none.
        Unavailable: the file cannot be read.
    """
    if section.credentials_file is not None:
        words = _from_file(section, layout)
    else:
        words = {name: environ[name.upper()] for name in (ID, SECRET, TOKEN) if environ.get(name.upper())}
    for name in (ID, SECRET):
        if not words.get(name):
            raise InvalidInput(
                "no credentials for the bucket",
                got=f"no {name}" if section.credentials_file else f"no {name.upper()} in the environment",
                where=section.credentials_file or "[store]",
                next_step="Set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or [store] credentials_file.",
            )
    return BucketAccess(
        endpoint=None if section.endpoint is None else section.endpoint.rstrip("/"),
        region=section.region,
        access_key_id=words[ID],
        secret_access_key=words[SECRET],
        session_token=words.get(TOKEN) or None,
        path_style=section.path_style,
        timeout_s=section.timeout_seconds,
        retry_s=section.retry_seconds,
    )


def _from_file(section: StoreSection, layout: Layout) -> Mapping[str, str]:
    """Return the words of a profile in a file as AWS's tools write it."""
    path = layout.root / str(section.credentials_file)
    read = configparser.ConfigParser(interpolation=None)
    try:
        read.read_string(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable(
            "cannot read the bucket's credentials", got=str(error), where="store.credentials_file"
        ) from error
    except configparser.Error as error:
        # Not the parser's own words: they repeat lines of the file.
        got, expected = type(error).__name__, "[profile] with name = text, as in ~/.aws/credentials"
        raise InvalidInput("not a file of credentials", got=got, expected=expected, where=str(path)) from None
    if section.profile not in read:
        raise unknown_name("profile", section.profile, read.sections(), str(path))
    return dict(read[section.profile])
