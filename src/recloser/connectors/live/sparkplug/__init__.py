"""Owns what a host knows of Sparkplug B edge nodes. Messages: `connectors/sparkplug`; the broker: `live/mqtt.py`."""
