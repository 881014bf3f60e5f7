"""Owns servers that stand in for a cluster's APIs in tests: real HTTP, strict about requests, failing on demand."""

from recloser.testing.apis.http_api import Fault, HttpApi, Reply

__all__ = ["Fault", "HttpApi", "Reply"]
