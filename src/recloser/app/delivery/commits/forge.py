"""Owns one forge: a commit status in the words of its HTTP interface, sent once. Retries and decides nothing."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from recloser.app.delivery.commits.states import CommitStatus, Mark
from recloser.app.security.connecting import connected
from recloser.app.security.reaching import secret_of
from recloser.core import Refused, Unavailable

LONGEST_ANSWER = 100_000
GITLAB_STATES = {Mark.PENDING: "running", Mark.SUCCESS: "success", Mark.FAILURE: "failed", Mark.ERROR: "failed"}
COMMIT_UNKNOWN = ("commit not found", "no commit found", "could not resolve", "object does not exist")
SAID_BEFORE = "cannot transition status"


@dataclass(frozen=True, slots=True)
class Forge:
    """Where the statuses of a repository's commits go.

    Attributes:
        name: of the channel.
        kind: 'github', 'gitlab' or 'gitea'.
        url: of the interface (GitHub) or of the server (GitLab, Gitea).
        repository: owner/name, or GitLab's number of the project.
        token_file: holds the token, read at each attempt.
        context: what statuses are called at the forge, before '/gate' and '/rollout'.
        console: address of the console, linked to; None: no link.
        timeout_s: of connecting, and of each read.
        trust: makes the context of https, read at each attempt.
    """

    name: str
    kind: str
    url: str
    repository: str
    token_file: Path
    context: str = "recloser"
    console: str | None = None
    timeout_s: float = 5.0
    trust: Callable[[], ssl.SSLContext] = ssl.create_default_context

    def send(self, status: CommitStatus) -> None:
        """Say it once; an answer of 2xx is the receipt, and so is that the forge has it already.

        Raises:
            Unavailable: no connection, no token, or the forge wants none now (limits, errors of its own, a token that
                does not count): no status can be sent.
            Refused: it was reached and does not take this one, such as of a commit that it does not have.
        """
        token = secret_of(self.token_file, self.name).decode()
        body = json.dumps(self._body(status)).encode()
        link = connected(self.url, self.timeout_s, self.trust, "the forge", self.name)
        try:
            link.request("POST", self._path(status), body, self._headers(token))
            response = link.getresponse()
            code, answer = response.status, response.read(LONGEST_ANSWER)
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable("the forge gave no answer", got=str(error), where=self.name) from error
        finally:
            link.close()
        if not 200 <= code < 300:
            self._not_taken(code, answer.decode(errors="replace"))

    def check(self) -> None:
        """Connect and part again; sends nothing. Raises Unavailable."""
        secret_of(self.token_file, self.name)
        connected(self.url, self.timeout_s, self.trust, "the forge", self.name).close()

    def _path(self, status: CommitStatus) -> str:
        base = urlsplit(self.url).path.rstrip("/")
        if self.kind == "gitlab":
            return f"{base}/api/v4/projects/{quote(self.repository, safe='')}/statuses/{status.commit}"
        return f"{base}{'/api/v1' if self.kind == 'gitea' else ''}/repos/{self.repository}/statuses/{status.commit}"

    def _body(self, status: CommitStatus) -> Mapping[str, Any]:
        called = f"{self.context}/{status.context}"
        link = {} if self.console is None else {"target_url": self._link(self.console, status)}
        if self.kind == "gitlab":
            told = {"state": GITLAB_STATES[status.mark], "name": called}
            return {**told, "description": status.description, **link}
        return {"state": str(status.mark), "context": called, "description": status.description, **link}

    def _link(self, console: str, status: CommitStatus) -> str:
        page = "/releases" if status.release is None else f"/release?release={status.release}"
        return console.rstrip("/") + page

    def _headers(self, token: str) -> dict[str, str]:
        own = {"content-type": "application/json", "user-agent": "recloser"}
        if self.kind == "gitlab":
            return {**own, "private-token": token}
        if self.kind == "gitea":
            return {**own, "authorization": f"token {token}"}
        accepted = {"accept": "application/vnd.github+json", "x-github-api-version": "2022-11-28"}
        return {**own, **accepted, "authorization": f"Bearer {token}"}

    def _not_taken(self, code: int, answer: str) -> None:
        said = " ".join(answer.split())[:200]
        if code == 400 and SAID_BEFORE in said.lower():
            return  # GitLab refuses a state that the status has
        if code in {400, 409, 422} or (code == 404 and any(words in said.lower() for words in COMMIT_UNKNOWN)):
            raise Refused("the forge does not take this status", got=f"{code}: {said}", where=self.name)
        step = "Check token_file, the token's rights and repository." if code in {401, 403, 404} else None
        raise Unavailable("the forge takes no statuses", got=f"{code}: {said}", where=self.name, next_step=step)
