"""Owns the endpoints of people: who asks, what, and under which key. Carries nothing out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from recloser.core import InvalidInput
from recloser.serving.http.admission.scopes import scope_of
from recloser.serving.http.body import read_json
from recloser.serving.http.edge import json_response
from recloser.serving.http.people.bodies import ApproveBody, FreezeBody, ReasonBody, RollbackBody
from recloser.serving.http.people.desk import Kind, Told, Wish
from recloser.serving.http.service import Service
from recloser.serving.wire.strict import decode

KEY, REPLAYED = "idempotency-key", "idempotency-replayed"
LONGEST_KEY = 200
T = TypeVar("T", RollbackBody, ReasonBody, ApproveBody, FreezeBody)
ROLLBACK, REASON = msgspec.json.Decoder(RollbackBody), msgspec.json.Decoder(ReasonBody)
APPROVE, FREEZE = msgspec.json.Decoder(ApproveBody), msgspec.json.Decoder(FreezeBody)


class People:
    """Endpoints under `/v1` that change something, and those that tell what there is to decide."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def routes(self) -> list[Route]:
        """Return the routes of these endpoints."""
        return [
            Route("/v1/rollback", self.rollback, methods=["POST"]),
            Route("/v1/rollouts", self.rollouts),
            Route("/v1/rollouts/{rollout}", self.explain),
            Route("/v1/rollouts/{rollout}/approve", self.approve, methods=["POST"]),
            Route("/v1/rollouts/{rollout}/reject", self.reject, methods=["POST"]),
            Route("/v1/rollouts/{rollout}/hold", self.hold, methods=["POST"]),
            Route("/v1/rollouts/{rollout}/resume", self.resume, methods=["POST"]),
            Route("/v1/rollouts/{rollout}/override", self.override, methods=["POST"]),
            Route("/v1/freezes", self.freezes),
            Route("/v1/freezes", self.freeze, methods=["POST"]),
            Route("/v1/freezes/{freeze}/lift", self.lift, methods=["POST"]),
            Route("/v1/agreement", self.agreement),
            Route("/v1/retrain", self.retrain, methods=["POST"]),
        ]

    async def rollback(self, request: Request) -> Response:
        """Roll back to a named or the previous release; needs the scope 'operate' and a reason."""
        actor, body = await self._read(request, ROLLBACK)
        return await self._carried_out(request, "rollback", body.to, actor, _said(body.reason))

    async def approve(self, request: Request) -> Response:
        """Approve the evidence that a rollout asks people about; needs the scope 'approve' and a role."""
        actor, body = await self._read(request, APPROVE)
        person = self._person(actor, body.name)
        more = {"evidence": body.evidence}
        return await self._carried_out(request, "approve", _rollout(request), person, _said(body.reason), more)

    async def reject(self, request: Request) -> Response:
        """End a rollout that was not promoted yet; needs the scope 'approve', and a role where there are any."""
        return await self._about_rollout(request, "reject")

    async def hold(self, request: Request) -> Response:
        """Stop a rollout where it stands; protections and its deadline go on."""
        return await self._about_rollout(request, "hold")

    async def resume(self, request: Request) -> Response:
        """Let a held rollout go on; the time of its phase starts anew."""
        return await self._about_rollout(request, "resume")

    async def override(self, request: Request) -> Response:
        """Take a rollout's next step without its time or proof; needs the scope 'approve' and an overriding role."""
        return await self._about_rollout(request, "override")

    async def freeze(self, request: Request) -> Response:
        """Freeze promotions and deployments; rollbacks go on."""
        actor, body = await self._read(request, FREEZE)
        person, more = self._person(actor, body.name), {"from": body.start, "to": body.end}
        return await self._carried_out(request, "freeze", None, person, _said(body.reason), more)

    async def lift(self, request: Request) -> Response:
        """Lift a declared freeze now."""
        actor, body = await self._read(request, REASON)
        person = self._person(actor, body.name)
        return await self._carried_out(request, "lift", request.path_params["freeze"], person, _said(body.reason))

    async def retrain(self, request: Request) -> Response:
        """Ask the controller to retrain; budget, cooldown and data faults still decide."""
        actor, body = await self._read(request, REASON)
        person = self._person(actor, body.name)
        return await self._carried_out(request, "retrain", None, person, _said(body.reason))

    async def rollouts(self, _: Request) -> Response:
        """List the rollouts under way, with the digest of the evidence that waits for approval."""
        return await self._told("rollouts", None)

    async def explain(self, request: Request) -> Response:
        """Tell why a rollout is where it is, what would change it, and what there is to approve."""
        try:
            return await self._told("explain", _rollout(request))
        except InvalidInput as error:  # the path names what there is not
            raise HTTPException(404, error.explain()) from error

    async def freezes(self, _: Request) -> Response:
        """List the freezes in force, declared ahead and recurring."""
        return await self._told("freezes", None)

    async def agreement(self, _: Request) -> Response:
        """Tell how often people followed the advice, each person, and why not."""
        return await self._told("agreement", None)

    async def _told(self, what: Told, subject: str | None) -> Response:
        return json_response(await to_thread.run_sync(self._service.desk.tell, what, subject))

    async def _about_rollout(self, request: Request, kind: Kind) -> Response:
        actor, body = await self._read(request, REASON)
        person = self._person(actor, body.name)
        return await self._carried_out(request, kind, _rollout(request), person, _said(body.reason))

    async def _read(self, request: Request, kind: msgspec.json.Decoder[T]) -> tuple[str, T]:
        """Return who calls, and the body; who may not act is not read."""
        actor = self._service.access.actor(request.scope, scope_of("POST", request.url.path))
        content = await read_json(request.scope, request.receive, self._service.body_limit, must_be_typed=True)
        return actor, decode(content, kind, request.url.path.rpartition("/")[2])

    def _person(self, actor: str, named: str | None) -> str:
        """Return who acts: the owner of the token; without tokens the name in the body, which nothing proves.

        Raises:
            HTTPException: 403, a token in somebody else's name.
        """
        if not self._service.access.required:
            return (named or "").strip() or actor
        if named is not None and named != actor:
            raise HTTPException(403, f"The token is that of {actor}; nobody acts in another's name.")
        return actor

    async def _carried_out(
        self,
        request: Request,
        kind: Kind,
        subject: str | None,
        actor: str,
        reason: str,
        more: Mapping[str, Any] | None = None,
    ) -> Response:
        wish = Wish(kind, subject, actor, reason, more or {}, _key(request))
        done = await to_thread.run_sync(self._service.desk.carry_out, wish)
        response = json_response(done.document)
        if done.repeated:
            response.headers[REPLAYED] = "true"
        return response


def _rollout(request: Request) -> str:
    return str(request.path_params["rollout"])


def _said(reason: str) -> str:
    if not reason.strip():
        raise InvalidInput("no reason given", got=reason, expected="why, in words", where="reason")
    return reason.strip()


def _key(request: Request) -> str | None:
    """Return the caller's name for its wish, None without one; quotes around it do not count.

    Raises:
        HTTPException: 400, not 1 to 200 visible ASCII characters, or given twice.
    """
    given = request.headers.getlist(KEY)
    if not given:
        return None
    key = given[0].strip()
    key = key[1:-1] if len(key) > 1 and key[0] == key[-1] == '"' else key
    if len(given) > 1 or not 0 < len(key) <= LONGEST_KEY or not all("!" <= letter <= "~" for letter in key):
        raise HTTPException(400, f"Idempotency-Key is given once, as 1 to {LONGEST_KEY} visible ASCII characters.")
    return key
