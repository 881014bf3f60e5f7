"""Owns what a push says, in the words of GitHub, GitLab, Gitea and Forgejo. Proves nothing; runs no git."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from recloser.core import InvalidInput
from recloser.serving.wire.strict import decode
from recloser.triggers.trigger import commit_trigger
from recloser.triggers.webhooks.delivery import Delivery, Ignored, Inlet, InletKind, Wanted

EVENTS = {
    InletKind.GITHUB: ("x-github-event",),
    InletKind.GITEA: ("x-forgejo-event", "x-gitea-event", "x-gogs-event", "x-github-event"),
    InletKind.GITLAB: ("x-gitlab-event",),
}
PUSHES = frozenset({"push", "Push Hook", "Tag Push Hook"})
PINGS = frozenset({"ping"})
COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class Author(msgspec.Struct):
    """Who pushed, under the names that the forges have for it."""

    login: str | None = None
    username: str | None = None
    name: str | None = None


class Commit(msgspec.Struct):
    """One commit of a push: the files it touches."""

    added: list[str] | None = None
    modified: list[str] | None = None
    removed: list[str] | None = None


class Push(msgspec.Struct):
    """A push; of GitHub's `sender` and `pusher`, Gitea's too, GitLab's `user_username`."""

    ref: str
    after: str
    commits: list[Commit] | None = None
    total_commits: int | None = None
    total_commits_count: int | None = None
    size: int | None = None
    sender: Author | None = None
    pusher: Author | None = None
    user_username: str | None = None
    repository: dict[str, Any] | None = None


PUSH = msgspec.json.Decoder(Push)


def read_push(inlet: Inlet, delivery: Delivery, key: str, now: datetime) -> Wanted | Ignored:
    """Return what a push asks for: a run with the new commit, if it is on a branch and in files that count.

    The trigger is named after the commit, so a push told twice, by two forges, or seen in the project's own folder too,
    asks once.

    Raises:
        InvalidInput: no push, or no commit in it.
        MalformedBody: not JSON.
    """
    event = next((found for name in EVENTS[inlet.kind] if (found := delivery.header(name))), "")
    if event in PINGS:
        return Ignored(key, "a ping of the forge: the inlet works")
    if event not in PUSHES:
        return Ignored(key, f"not a push: {event[:60]!r}")
    push = decode(delivery.body, PUSH, inlet.name)
    if not COMMIT.fullmatch(push.after):
        raise InvalidInput("not a commit", got=push.after[:80], expected="a full id in hex", where="after")
    if set(push.after) == {"0"}:
        return Ignored(key, f"{push.ref[:120]} was deleted")
    if not _counts(push.ref, inlet.refs):
        return Ignored(key, f"pushed to {push.ref[:120]}; only {', '.join(inlet.refs)} ask")
    changed = _changed(push)
    if inlet.paths and changed is not None and not any(_below(name, inlet.paths) for name in changed):
        return Ignored(key, f"no file below {', '.join(inlet.paths)} changed")
    who = inlet.person(_who(push))
    facts = {"ref": push.ref[:200], "commit": push.after, "repository": _repository(push)}
    return Wanted(commit_trigger(push.after, now, (who,) if who else ()), key, facts)


def _counts(ref: str, wanted: Sequence[str]) -> bool:
    names = {ref, ref.removeprefix("refs/heads/"), ref.removeprefix("refs/tags/")}
    return any(name in names for name in wanted)


def _changed(push: Push) -> list[str] | None:
    """Return the files that a push touches; None where that is not known, as forges tell a long push in part only."""
    commits = push.commits or []
    told = max(push.total_commits or 0, push.total_commits_count or 0, push.size or 0, len(commits))
    if not commits or told > len(commits):
        return None
    lists = [[*(c.added or ()), *(c.modified or ()), *(c.removed or ())] for c in commits]
    return None if any(not names for names in lists) else [name for names in lists for name in names]


def _below(name: str, paths: Sequence[str]) -> bool:
    return any(name == path.strip("/") or name.startswith(path.strip("/") + "/") for path in paths)


def _who(push: Push) -> str:
    for author in (push.sender, push.pusher):
        if author is not None and (found := author.login or author.username or author.name):
            return found
    return push.user_username or ""


def _repository(push: Push) -> str:
    found = (push.repository or {}).get("full_name") or (push.repository or {}).get("name") or ""
    return str(found)[:200]
