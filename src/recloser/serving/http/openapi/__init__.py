"""Owns the OpenAPI 3.1 document of the gateway, made from the route table and the types of the documents.

Serves nothing itself.
"""

from recloser.serving.http.openapi.document import openapi_document

__all__ = ["openapi_document"]
