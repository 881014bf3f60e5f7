"""Owns tables under a prefix of an S3-compatible bucket (extra `s3`: obstore). The only file that imports obstore.

Nobody can lock a bucket. A commit is one conditional put, so of two writers the later one fails, looks again and
repeats: that holds only where the service honours `If-None-Match`, which is proved before a table is created.
"""

from __future__ import annotations

import importlib
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from recloser.core import InvalidInput, Refused, Unavailable

PROBE = "recloser-probe"
UNSAFE = frozenset('%#?*=^|[]\\{}<>"`')
"""What deltalake, obstore and polars read each in its own way: as a URL, as a name, as a pattern, as a partition."""


@dataclass(frozen=True, slots=True)
class BucketAccess:
    """How a bucket is reached.

    Attributes:
        endpoint: URL of the service; None for AWS in `region`.
        region: name of the region; services without regions take any.
        access_key_id, secret_access_key: credentials.
        session_token: of temporary credentials, None for others.
        path_style: the bucket stands in the path of requests, not in the host name.
        timeout_s: of one request, seconds.
        retry_s: a request that failed by 5xx, a time-out or a cut connection is repeated for so long, seconds.
    """

    endpoint: str | None
    region: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    path_style: bool = True
    timeout_s: float = 30.0
    retry_s: float = 60.0

    def shared_options(self) -> dict[str, str]:
        """Return what deltalake and polars call by the same names."""
        found = {
            "aws_access_key_id": self.access_key_id,
            "aws_secret_access_key": self.secret_access_key,
            "aws_region": self.region,
            "aws_virtual_hosted_style_request": str(not self.path_style).lower(),
            "timeout": f"{self.timeout_s:g}s",
            "connect_timeout": f"{min(self.timeout_s, 10):g}s",
        }
        if self.session_token is not None:
            found["aws_session_token"] = self.session_token
        if self.endpoint is not None:
            found["aws_endpoint_url"] = self.endpoint
            found["aws_allow_http"] = str(self.plain).lower()
        return found

    @property
    def plain(self) -> bool:
        """Return whether the endpoint is reached without TLS."""
        return self.endpoint is not None and self.endpoint.startswith("http://")

    @property
    def retries(self) -> int:
        """Return how often a request is repeated at most."""
        return 20 if self.retry_s else 0


class Bucket:
    """A place in a bucket; a file appears by one put, whole and durable, or not at all.

    Args:
        url: such as 's3://grid/recloser'.
        access: how it is reached.

    Raises:
        InvalidInput: not such a URL.
        Unavailable: the extra is not installed.
    """

    whole = True
    locked = False

    def __init__(self, url: str, access: BucketAccess) -> None:
        self._bucket, self._prefix = bucket_and_prefix(url)
        self.uri = url.removesuffix("/")
        self._access = access
        shared = access.shared_options()
        self.options: dict[str, str] | None = shared | {
            "aws_conditional_put": "etag",
            "max_retries": str(access.retries),
            "retry_timeout": f"{access.retry_s:g}s",
        }
        repeats = {"max_retries": access.retries, "retry_timeout_ms": int(access.retry_s * 1000)}
        self.reading: dict[str, Any] | None = shared | repeats
        self._obstore: Any = _library("obstore")
        self._client: Any = self._open()

    def _open(self) -> Any:
        access = self._access
        some = {"prefix": self._prefix, "endpoint": access.endpoint, "session_token": access.session_token}
        with self._errors():
            return _library("obstore.store").S3Store(
                self._bucket,
                **{name: text for name, text in some.items() if text},
                region=access.region,
                access_key_id=access.access_key_id,
                secret_access_key=access.secret_access_key,
                virtual_hosted_style_request=not access.path_style,
                client_options={
                    "allow_http": access.plain,
                    "timeout": timedelta(seconds=access.timeout_s),
                    "connect_timeout": timedelta(seconds=min(access.timeout_s, 10)),
                },
                retry_config={"max_retries": access.retries, "retry_timeout": timedelta(seconds=access.retry_s)},
            )

    def child(self, name: str) -> Bucket:
        """See Place."""
        return Bucket(f"{self.uri}/{name}", self._access)

    def sizes(self, below: str) -> Mapping[str, int]:
        """See Place."""
        found: dict[str, int] = {}
        with self._errors():
            for page in self._obstore.list(self._client, prefix=below or None):
                found |= {self._local(item["path"]): int(item["size"]) for item in page}
        return found

    def _local(self, path: str) -> str:
        """Return a path as this place names it; the client tells some with the prefix and some without."""
        return path.removeprefix(f"{self._prefix}/") if self._prefix else path

    def read(self, name: str) -> bytes:
        """See Place."""
        with self._errors():
            return bytes(self._obstore.get(self._client, name).bytes())

    def write(self, name: str, content: bytes) -> None:
        """Put a file, whole or not at all, in place of one of that name.

        Raises:
            Unavailable: the bucket cannot be written now.
        """
        with self._errors():
            self._obstore.put(self._client, name, content)

    def prove(self) -> None:
        """See Place; writes, reads, lists and removes one object."""
        name, errors = f"{PROBE}-{uuid.uuid4().hex}", self._obstore.exceptions
        with self._errors():
            self._obstore.put(self._client, name, b"1", mode="create")
            try:
                self._obstore.put(self._client, name, b"2", mode="create")
                honoured = False
            except errors.AlreadyExistsError:
                honoured = True
            kept = self.read(name)
            listed = name in self.sizes(name) or bool(self.sizes(""))
            self._obstore.delete(self._client, name)
        if not honoured or kept != b"1":
            raise Refused(
                "the object store ignores conditional puts (If-None-Match): of concurrent writers one would lose data",
                where=self.uri,
                next_step="Use a service or release that does, or keep the store on a local disk.",
            )
        if not listed:
            raise Refused("the object store does not list what was written to it", where=self.uri)

    def turn(self) -> AbstractContextManager[None]:
        """See Place; nothing keeps other writers out."""
        return nullcontext()

    def sync(self, names: Sequence[str]) -> None:
        """See Place; a put is durable when it is answered."""

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except self._obstore.exceptions.BaseError as error:
            raise Unavailable(
                "the object store did not do it",
                got=reason_of(error),
                where=self.uri,
                next_step="Check [store]: endpoint, bucket, region and credentials; and that the service is up.",
            ) from error

    def __repr__(self) -> str:
        """Return the URL; credentials are never told."""
        return f"Bucket({self.uri!r})"


def bucket_and_prefix(url: str) -> tuple[str, str]:
    """Return the two parts of the URL of a place in a bucket; the prefix may be empty.

    Raises:
        InvalidInput: not such a URL, or one that the libraries below would not all take for the same place.
    """
    scheme, _, rest = url.removesuffix("/").partition("://")
    bucket, slash, prefix = rest.partition("/")
    if scheme != "s3" or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", bucket):
        raise _no_place("not a place in a bucket", url)
    wrong = next((sign for sign in prefix if sign in UNSAFE or not sign.isprintable() or sign.isspace()), None)
    if wrong is not None:
        raise _no_place(f"a prefix with the character {wrong!r}", url)
    if slash and not {"", ".", ".."}.isdisjoint(prefix.split("/")):
        raise _no_place("a prefix with an empty part, '.' or '..'", url)
    return bucket, prefix


def _no_place(what: str, url: str) -> InvalidInput:
    return InvalidInput(
        what,
        got=url,
        expected="s3://bucket/prefix of letters, digits, '-', '_' and '.'",
        where="store.url",
        next_step="Choose another prefix.",
    )


def reason_of(error: BaseException) -> str:
    """Return what an object store or deltalake said, without colours and the debugging text that they append."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).split("\n\nDebug source")[0].strip() or type(error).__name__
    return " ".join(text.split())[:400]


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Unavailable(
            "object storage needs the extra 's3'",
            got=error.name,
            where="[store] url",
            next_step="pip install 'recloser[s3]'",
        ) from error
