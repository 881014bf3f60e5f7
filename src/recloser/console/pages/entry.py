"""Owns the pages of the way in: sign-in and another password."""

from __future__ import annotations

from recloser.console.markup import Markup, el
from recloser.console.pages.shell import bare

CLEAR = "▲ This connection is not encrypted: whoever listens reads the password. Set [gateway.tls]."


def sign_in_page(back: str, trouble: str = "", *, plain: bool = False) -> str:
    """Return the sign-in; `plain` warns that the connection is not encrypted."""
    return bare(
        "Sign in",
        el("p", CLEAR, class_="care") if plain else None,
        el("p", trouble, class_="care", role="alert") if trouble else None,
        el(
            "form",
            el("label", "Name", el("input", name="name", autocomplete="username", required=True, autofocus=True)),
            _password("Password", "password", "current-password"),
            el("input", type="hidden", name="back", value=back),
            el("button", "Sign in"),
            method="post",
            action="/sign-in",
            class_="stack",
        ),
    )


def password_page(csrf: str, trouble: str = "") -> str:
    """Return the form for another password."""
    return bare(
        "Another password",
        el("p", trouble, class_="care", role="alert") if trouble else None,
        el(
            "form",
            _password("Present password", "old", "current-password"),
            _password("New password, at least 10 characters", "new", "new-password"),
            _password("The new one again", "again", "new-password"),
            el("input", type="hidden", name="csrf", value=csrf),
            el("button", "Change it"),
            el("p", el("a", "Back", href="/")),
            method="post",
            action="/password",
            class_="stack",
            data_keep=True,
        ),
    )


def _password(words: str, name: str, kind: str) -> Markup:
    return el("label", words, el("input", name=name, type="password", autocomplete=kind, required=True))
