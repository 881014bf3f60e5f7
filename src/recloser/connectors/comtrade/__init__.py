"""Owns COMTRADE recordings (IEEE C37.111 of 1991, 1999 and 2013). Does not own what they mean."""

from recloser.connectors.comtrade.configuration import Analog, ComtradeConfiguration, Status, read_configuration
from recloser.connectors.comtrade.recording import Recording, read_comtrade

__all__ = ["Analog", "ComtradeConfiguration", "Recording", "Status", "read_comtrade", "read_configuration"]
