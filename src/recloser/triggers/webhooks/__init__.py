"""Owns what deliveries from outside say: who signed them, whether they ask for a retraining. Writes and starts nothing.

Pure functions of an inlet's settings, a delivery and `now`; the ledger that sees each delivery once is the caller's.
"""

from recloser.triggers.webhooks.delivery import Delivery, Ignored, Inlet, InletKind, Wanted
from recloser.triggers.webhooks.reading import read_delivery
from recloser.triggers.webhooks.signatures import unproven

__all__ = ["Delivery", "Ignored", "Inlet", "InletKind", "Wanted", "read_delivery", "unproven"]
