"""Owns opening a TCP connection to a device, encrypted where it has TLS. Speaks no protocol."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field

from recloser.core import Unavailable


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a device listens; `tls` is the context of an encrypted connection, None for none."""

    host: str
    port: int
    tls: ssl.SSLContext | None = field(default=None, repr=False)

    async def open(self, within_s: float, source: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a connection made within so many seconds.

        Raises:
            Unavailable: nobody answers, or one side does not trust the other's certificate.
        """
        try:
            async with asyncio.timeout(within_s):
                return await asyncio.open_connection(self.host, self.port, ssl=self.tls)
        except (OSError, TimeoutError) as error:  # those of TLS are OSErrors
            raise Unavailable("no connection", got=str(error) or "time out", where=source) from error
