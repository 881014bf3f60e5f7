"""Owns the pages of the way in and out: sign-in, come from a provider, signed out, another password."""

from __future__ import annotations

from urllib.parse import urlencode

from recloser.console.markup import Markup, el
from recloser.console.pages.shell import bare

CLEAR = "▲ This connection is not encrypted: whoever listens reads the password. Set [gateway.tls]."


def sign_in_page(
    back: str, trouble: str = "", *, plain: bool = False, provider: str | None = None, accounts: bool = True
) -> str:
    """Return the sign-in.

    Args:
        back: the page that was wanted.
        trouble: what went wrong before.
        plain: warn that the connection is not encrypted.
        provider: label of the identity provider that people sign in by, None without one.
        accounts: people may sign in by name and password.
    """
    return bare(
        "Sign in",
        el("p", CLEAR, class_="care") if plain else None,
        el("p", trouble, class_="care", role="alert") if trouble else None,
        _by_provider(provider, back) if provider is not None else None,
        _by_password(back, first=provider is None) if accounts else None,
    )


def arrived_page(back: str) -> str:
    """Return the page of somebody whom the provider has proven; it goes on by itself."""
    return bare(
        "Signed in",
        el("p", el("a", "Go on", href=back, id="on")),
        head=el("meta", http_equiv="refresh", content=f"0;url={back}"),
    )


def left_page(elsewhere: str | None, label: str) -> str:
    """Return the page of somebody who has signed out; `elsewhere` ends his session at the provider too."""
    link = el("a", f"Sign out of {label} too", href=elsewhere, id="elsewhere") if elsewhere else None
    return bare(
        "Signed out",
        el("p", "You are signed out here."),
        el("p", "At the identity provider you may still be signed in: whoever uses this browser next could come in."),
        el("p", link) if link is not None else None,
        el("p", el("a", "Sign in again", href="/sign-in")),
    )


def _by_provider(label: str, back: str) -> Markup:
    address = f"/sign-in/provider?{urlencode({'back': back})}"
    return el("p", el("a", f"Sign in by {label}", href=address, id="provider", class_="button"))


def _by_password(back: str, *, first: bool) -> Markup:
    return el(
        "form",
        el("label", "Name", el("input", name="name", autocomplete="username", required=True, autofocus=first)),
        _password("Password", "password", "current-password"),
        el("input", type="hidden", name="back", value=back),
        el("button", "Sign in"),
        method="post",
        action="/sign-in",
        class_="stack",
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
