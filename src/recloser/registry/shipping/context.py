"""Owns the build context of a release for a container engine: Dockerfile, lock, package, keys. Builds nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping

from recloser.core import InvalidInput
from recloser.registry.content.description import LOCK
from recloser.registry.shipping.layout import NOBODY

PORT = 8080
_PINNED = re.compile(r"[a-z0-9][\w./:-]*@sha256:[0-9a-f]{64}")

_DOCKERFILE = """\
# {release}, digest {digest}. Written by `recloser package build-context`; every base is pinned by digest.
FROM {base} AS build
COPY wheels/ /wheels/
COPY requirements.lock /requirements.lock
RUN python -m venv /opt/recloser \\
 && {install} \\
 && /opt/recloser/bin/pip install --no-cache-dir --no-index --no-deps /wheels/{wheel}

FROM {base}
COPY --from=build /opt/recloser /opt/recloser
COPY keys/ /keys/
COPY release/ /release/
# A package that was changed on the way ends the build here.
RUN ["/opt/recloser/bin/recloser", "package", "verify", "/release/{release}", "--keys", "/keys"]
LABEL org.opencontainers.image.title="recloser" org.opencontainers.image.version="{release}" \\
      io.recloser.digest="{digest}"
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp
USER {nobody}
WORKDIR /project
VOLUME ["/project"]
EXPOSE {port}
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \\
  CMD ["/opt/recloser/bin/python", "-c", \\
       "import urllib.request; urllib.request.urlopen('http://127.0.0.1:{port}/v2/health/live', timeout=2)"]
ENTRYPOINT ["/opt/recloser/bin/recloser", "up", "--project", "/project", "--host", "0.0.0.0", "--port", "{port}"]
"""

_COMPOSE = """\
# Runs the image with nothing writable but the project and /tmp, without any capability.
services:
  recloser:
    build: .
    user: "{nobody}"
    read_only: true
    tmpfs: ["/tmp"]
    cap_drop: ["ALL"]
    security_opt: ["no-new-privileges:true"]
    volumes: ["./project:/project"]
    ports: ["127.0.0.1:{port}:{port}"]
"""


def pinned_base(name: str) -> str:
    """Return the name of a base image that is pinned by its digest.

    Raises:
        InvalidInput: it is not.
    """
    if not _PINNED.fullmatch(name):
        raise InvalidInput(
            "a base image that is not pinned by digest",
            got=name,
            expected="NAME@sha256:<64 hex digits>",
            where="--base",
            next_step="Look its digest up with your engine, and give that.",
        )
    return name


def build_context(
    release: tuple[str, str],
    base: str,
    package: Mapping[str, bytes],
    keys: Mapping[str, bytes],
    wheels: tuple[str, bool],
) -> dict[str, bytes]:
    """Return the text files of a context by path; the wheels are put into `wheels/` beside them.

    Args:
        release: id and digest.
        base: image with the Python of the lock, pinned by digest.
        package: the package's files by path.
        keys: public keys by file name.
        wheels: name of Recloser's own wheel, and whether all others lie beside it (then the build needs no network).

    Raises:
        InvalidInput: the base is not pinned, or the package is of an earlier version and holds no lock.
    """
    if LOCK not in package:
        raise InvalidInput("this package holds no lock", where=release[0], next_step="Train it again: recloser run")
    name, digest = release
    wheel, whole = wheels
    pip = "/opt/recloser/bin/pip install --no-cache-dir --require-hashes --no-deps"
    offline = "PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels " if whole else ""
    facts = {"release": name, "digest": digest, "base": pinned_base(base), "wheel": wheel, "port": PORT}
    dockerfile = _DOCKERFILE.format(**facts, install=f"{offline}{pip} -r /requirements.lock", nobody=NOBODY)
    lock = package[LOCK]
    return {
        "Dockerfile": dockerfile.encode(),
        "compose.yaml": _COMPOSE.format(nobody=NOBODY, port=PORT).encode(),
        ".dockerignore": b"*\n!keys\n!release\n!requirements.lock\n!wheels\n",
        "requirements.lock": lock,
        **{f"release/{name}/{path}": content for path, content in sorted(package.items())},
        **{f"keys/{path}": content for path, content in sorted(keys.items())},
    }
