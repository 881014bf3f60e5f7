"""Owns what goes over the wire, whatever the transport: tensors, the documents of the inference protocols, rows.

Knows no web framework and no gRPC; decides no answer.
"""
