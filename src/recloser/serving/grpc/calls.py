"""Owns the way of a gRPC call: through the gate, to its method, and back as an answer or a failure; single or streamed.

Knows no method of the protocol.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from recloser.core import RecloserError
from recloser.serving.grpc.convert import parse
from recloser.serving.grpc.failure import DEFECT, MANY_STREAMS, Failure, failure_of, turned_away
from recloser.serving.grpc.messages import MESSAGES
from recloser.serving.http.admission import Gate, Priority
from recloser.serving.wire.identity import REQUEST_ID, named

MOST_STREAMS = 64
"""Streams open at once; they last, and must not take the room of single calls."""

STREAM_AT_ONCE = 16
"""Messages of one stream under way, answers not yet taken included; the next is read when there is room."""

INFER, HEALTH = "ModelInferRequest", frozenset({"ServerLiveRequest", "ServerReadyRequest", "HealthCheckRequest"})
ROUTED = b"\n\x08forecast"
"""How a request by the route begins, as every library writes it: fields go by their numbers, the first is the name."""

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a method knows of its call beside the request.

    Attributes:
        remaining_s: seconds until the caller has no more use for the answer, or None.
        name: of the call, where the request has none of its own.
    """

    remaining_s: float | None
    name: str


Method = Callable[[Any, Asked], Awaitable[Any]]


def address_of(peer: str) -> str:
    """Return the address in gRPC's name of a peer, without the port, so that it is the same caller as over HTTP."""
    kind, _, rest = peer.partition(":")
    if kind not in ("ipv4", "ipv6"):
        return peer
    return unquote(rest.rpartition(":")[0]).strip("[]")


def priority_of_call(kind: str, content: bytes) -> Priority:
    """Return how long a call is still served when there is too much to do; looks at its first bytes only."""
    if kind in HEALTH:
        return Priority.FORECAST
    return Priority.ROUTED if kind == INFER and content.startswith(ROUTED) else Priority.OTHER


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: the Authorization header, the address, and the name given to the call."""

    authorization: bytes
    address: str
    name: str

    @classmethod
    def of(cls, context: Any) -> Caller:
        """Return who made a call."""
        metadata = dict(context.invocation_metadata() or ())
        found, name = metadata.get("authorization", ""), metadata.get(REQUEST_ID)
        given = found.encode("latin-1", "replace") if isinstance(found, str) else bytes(found)
        return cls(given, address_of(context.peer()), name if isinstance(name, str) else "")


class Calls:
    """Answers calls from bytes to bytes, each through the gate.

    Args:
        gate: the one that HTTP requests pass too.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._streams = 0

    async def outcome(self, kind: str, method: Method, content: bytes, caller: Caller, asked: Asked) -> Any | Failure:
        """Return the response of one call or message, or how it failed.

        Args:
            kind: of the request.
            method: answers it.
            content: the request.
            caller: who calls.
            asked: what else is known.
        """
        needed = "infer" if kind == INFER else "read"
        _, refusal = self._gate.judge(caller.authorization, caller.address, needed, priority_of_call(kind, content))
        if refusal is not None:
            return turned_away(refusal)
        self._gate.load.under_way += 1
        try:
            return await method(parse(kind, content), asked)
        except RecloserError as error:
            return failure_of(error)
        # The outermost loop of a call: gRPC would tell the caller the text of a defect.
        except Exception:
            LOG.exception("%s met a defect", kind)
            return DEFECT
        finally:
            self._gate.load.under_way -= 1

    def single(self, kind: str, method: Method) -> Callable[[bytes, Any], Awaitable[bytes]]:
        """Return the handler of a method with one request and one response."""

        async def answer(content: bytes, context: Any) -> bytes:
            caller = Caller.of(context)
            asked = Asked(context.time_remaining(), named(caller.name))
            found = await self.outcome(kind, method, content, caller, asked)
            if isinstance(found, Failure):
                await context.abort(found.status, found.text, (*found.trailing, (REQUEST_ID, asked.name)))
            assert not isinstance(found, Failure)  # to abort raises
            name = asked.name if caller.name else named(getattr(found, "id", None), asked.name)
            context.set_trailing_metadata(((REQUEST_ID, name),))
            return bytes(found.SerializeToString())

        return answer

    def streamed(self, method: Method) -> Callable[[AsyncIterator[bytes], Any], Awaitable[None]]:
        """Return the handler of ModelStreamInfer: answers in the order of the requests, a failure for its own only.

        A caller that is not known, or no more, or may not infer, is told by the end of the stream.
        """

        async def answer(contents: AsyncIterator[bytes], context: Any) -> None:
            if self._streams >= MOST_STREAMS:
                await context.abort(MANY_STREAMS.status, MANY_STREAMS.text, MANY_STREAMS.trailing)
            self._streams += 1
            try:
                denial = await self._converse(method, contents, context)
            finally:
                self._streams -= 1
            if denial is not None:
                await context.abort(denial.status, denial.text)

        return answer

    async def _converse(self, method: Method, contents: AsyncIterator[bytes], context: Any) -> Failure | None:
        caller, room, count = Caller.of(context), asyncio.Semaphore(STREAM_AT_ONCE), itertools.count()
        stream = named(caller.name)
        context.set_trailing_metadata(((REQUEST_ID, stream),))
        begun: asyncio.Queue[tuple[bytes, asyncio.Task[Any]] | None] = asyncio.Queue()

        async def read() -> None:
            await room.acquire()
            async for content in contents:
                asked = Asked(None, f"{stream}/{next(count)}")
                begun.put_nowait((content, group.create_task(self.outcome(INFER, method, content, caller, asked))))
                await room.acquire()
            begun.put_nowait(None)

        async with asyncio.TaskGroup() as group:
            reader = group.create_task(read())
            while (pair := await begun.get()) is not None:
                found = await pair[1]
                if isinstance(found, Failure) and found.status.name in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
                    reader.cancel()
                    return found
                await context.write(streamed_answer(pair[0], found))
                room.release()
        return None


def streamed_answer(content: bytes, found: Any | Failure) -> bytes:
    """Return one message of a stream: the response, or what failed with the id of the request."""
    if isinstance(found, Failure):
        message = MESSAGES["ModelStreamInferResponse"](error_message=found.text)
        try:
            request = parse(INFER, content)
            message.infer_response.id, message.infer_response.model_name = request.id, request.model_name
        except RecloserError:  # not a request: there is no id to tell
            pass
        if found.retry_after_s:
            message.infer_response.parameters.add(key="retry_after_s").value.int64_param = found.retry_after_s
    else:
        message = MESSAGES["ModelStreamInferResponse"](infer_response=found)
    message.infer_response.parameters.add(key="triton_final_response").value.bool_param = True
    return bytes(message.SerializeToString())
