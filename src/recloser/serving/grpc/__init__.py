"""Owns the gRPC transport of the gateway: Open Inference Protocol v2, for the optional extra `grpc`.

Importing this needs no gRPC; serving does. Does not decide answers.
"""

from recloser.serving.grpc.opening import grpc_lifespan, require_grpc

__all__ = ["grpc_lifespan", "require_grpc"]
