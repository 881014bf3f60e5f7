"""Owns patience with TLS handshakes: the event loop that gives up on one. Chooses no loop; uvicorn does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.loops.auto import auto_loop_factory

HANDSHAKE_S = 10.0
"""A handshake that is not done by then is over; the loops' own limit is a minute."""


def loop_with(handshake_s: float) -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes uvicorn's event loop, with a limit for the handshakes of its servers."""

    def make() -> asyncio.AbstractEventLoop:
        loop = auto_loop_factory()()
        create: Any = loop.create_server

        async def create_server(*args: Any, **options: Any) -> Any:
            if options.get("ssl") is not None:  # without TLS the option is refused
                options.setdefault("ssl_handshake_timeout", handshake_s)
            return await create(*args, **options)

        loop.create_server = create_server  # type: ignore[method-assign]  # uvicorn has no option for it
        return loop

    return make


patient_loop = loop_with(HANDSHAKE_S)
PATIENT_LOOP = f"{__name__}:patient_loop"
"""Its name, as uvicorn takes it."""
