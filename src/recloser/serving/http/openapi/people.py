"""Owns what the paths of people take and answer. Its wording comes from the endpoints."""

from __future__ import annotations

from typing import Any

from recloser.serving.http.body import JSON
from recloser.serving.http.openapi.operation import BODY_ERRORS, Operation, Parameter
from recloser.serving.http.people import bodies, explained

EVENT = "application/cloudevents+json"
REFUSALS = (*BODY_ERRORS, 401, 403, 409, 503)
KEY: Parameter = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The caller's name for this wish: sent again, it is answered as it was and not done again.",
    "schema": {"type": "string", "pattern": "^[!#-~]{1,200}$"},
}


def people_operations() -> dict[tuple[str, str], Operation]:
    """Return the operations of people by (path, method)."""
    about = "/v1/rollouts/{rollout}"
    return {
        ("/v1/rollback", "POST"): _act(bodies.RolledBack, bodies.RollbackBody),
        ("/v1/rollouts", "GET"): Operation({JSON: bodies.Rollouts}, errors=(503,)),
        (about, "GET"): Operation({JSON: explained.Explained}, errors=(404, 503)),
        ("/v1/agreement", "GET"): Operation({JSON: explained.Agreement}, errors=(503,)),
        (f"{about}/approve", "POST"): _act(bodies.Acted, bodies.ApproveBody),
        **{(f"{about}/{kind}", "POST"): _act(bodies.Acted) for kind in ("reject", "hold", "resume", "override")},
        ("/v1/freezes", "GET"): Operation({JSON: bodies.Freezes}, errors=(503,)),
        ("/v1/freezes", "POST"): _act(bodies.Freeze, bodies.FreezeBody),
        ("/v1/freezes/{freeze}/lift", "POST"): _act(bodies.Freeze),
        ("/v1/retrain", "POST"): _act(bodies.Asked),
        ("/v1/triggers/{inlet}", "POST"): Operation(
            {JSON: bodies.Taken}, forms=(JSON, EVENT), errors=REFUSALS, done=(200, 202)
        ),
    }


def _act(answer: Any, body: Any = bodies.ReasonBody) -> Operation:
    return Operation({JSON: answer}, body=body, errors=REFUSALS, parameters=(KEY,))
