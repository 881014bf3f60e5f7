"""Owns who may call the gateway and how much: scopes, rates, load shedding, slow callers, the note of each operation.

Does not keep tokens on disk or write the audit log (that is `app`), and decides no answer.
"""

from recloser.serving.http.admission.admission import Admission
from recloser.serving.http.admission.gate import Gate, Refusal
from recloser.serving.http.admission.handshake import PATIENT_LOOP
from recloser.serving.http.admission.limits import TrafficLimits
from recloser.serving.http.admission.load import Load
from recloser.serving.http.admission.protocol import PatientProtocol, protocol_with
from recloser.serving.http.admission.rates import Rates
from recloser.serving.http.admission.scopes import AUDITED, SCOPES, Audit, Call, Priority, priority_of, scope_of

__all__ = [
    "AUDITED",
    "PATIENT_LOOP",
    "SCOPES",
    "Admission",
    "Audit",
    "Call",
    "Gate",
    "Load",
    "PatientProtocol",
    "Priority",
    "Rates",
    "Refusal",
    "TrafficLimits",
    "priority_of",
    "protocol_with",
    "scope_of",
]
