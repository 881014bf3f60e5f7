"""Owns the protobuf messages of Open Inference Protocol v2, built in code. Does not read or fill them.

Field numbers and types are the protocol's. The descriptors live in a pool of their own: clients of the protocol
(tritonclient, KServe) register the same names in protobuf's global pool, and two definitions of a name in one pool
clash. Names of nested messages are not on the wire; here they are flat.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "inference"
SERVICE = "inference.GRPCInferenceService"

_PARAMETERS = "parameters Parameter[]"
_ASKED = ("1 name string", "2 version string")
_DURATIONS = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss")

SCHEMA: Mapping[str, tuple[str, ...]] = {
    "ServerLiveRequest": (),
    "ServerLiveResponse": ("1 live bool",),
    "ServerReadyRequest": (),
    "ServerReadyResponse": ("1 ready bool",),
    "ModelReadyRequest": _ASKED,
    "ModelReadyResponse": ("1 ready bool",),
    "ServerMetadataRequest": (),
    "ServerMetadataResponse": ("1 name string", "2 version string", "3 extensions string[]"),
    "ModelMetadataRequest": _ASKED,
    "TensorMetadata": ("1 name string", "2 datatype string", "3 shape int64[]"),
    "ModelMetadataResponse": (
        "1 name string",
        "2 versions string[]",
        "3 platform string",
        "4 inputs TensorMetadata[]",
        "5 outputs TensorMetadata[]",
    ),
    "ParameterValue": (
        "1 bool_param bool?",
        "2 int64_param int64?",
        "3 string_param string?",
        "4 double_param double?",
        "5 uint64_param uint64?",
    ),
    "Parameter": ("1 key string", "2 value ParameterValue"),
    "InferTensorContents": (
        "1 bool_contents bool[]",
        "2 int_contents int32[]",
        "3 int64_contents int64[]",
        "4 uint_contents uint32[]",
        "5 uint64_contents uint64[]",
        "6 fp32_contents float[]",
        "7 fp64_contents double[]",
        "8 bytes_contents bytes[]",
    ),
    "InferTensor": (
        "1 name string",
        "2 datatype string",
        "3 shape int64[]",
        f"4 {_PARAMETERS}",
        "5 contents InferTensorContents",
    ),
    "InferRequestedOutput": ("1 name string", f"2 {_PARAMETERS}"),
    "ModelInferRequest": (
        "1 model_name string",
        "2 model_version string",
        "3 id string",
        f"4 {_PARAMETERS}",
        "5 inputs InferTensor[]",
        "6 outputs InferRequestedOutput[]",
        "7 raw_input_contents bytes[]",
    ),
    "ModelInferResponse": (
        "1 model_name string",
        "2 model_version string",
        "3 id string",
        f"4 {_PARAMETERS}",
        "5 outputs InferTensor[]",
        "6 raw_output_contents bytes[]",
    ),
    "ModelStreamInferResponse": ("1 error_message string", "2 infer_response ModelInferResponse"),
    "ModelConfigRequest": _ASKED,
    "ConfiguredInput": ("1 name string", "2 data_type int32", "4 dims int64[]"),
    "ConfiguredOutput": ("1 name string", "2 data_type int32", "3 dims int64[]"),
    "ModelConfig": (
        "1 name string",
        "2 platform string",
        "4 max_batch_size int32",
        "5 input ConfiguredInput[]",
        "6 output ConfiguredOutput[]",
        "17 backend string",
    ),
    "ModelConfigResponse": ("1 config ModelConfig",),
    "ModelStatisticsRequest": _ASKED,
    "StatisticDuration": ("1 count uint64", "2 ns uint64"),
    "InferStatistics": tuple(f"{number} {name} StatisticDuration" for number, name in enumerate(_DURATIONS, 1)),
    "InferBatchStatistics": (
        "1 batch_size uint64",
        "2 compute_input StatisticDuration",
        "3 compute_infer StatisticDuration",
        "4 compute_output StatisticDuration",
    ),
    "ModelStatistics": (
        "1 name string",
        "2 version string",
        "3 last_inference uint64",
        "4 inference_count uint64",
        "5 execution_count uint64",
        "6 inference_stats InferStatistics",
        "7 batch_stats InferBatchStatistics[]",
    ),
    "ModelStatisticsResponse": ("1 model_stats ModelStatistics[]",),
    "RepositoryIndexRequest": ("1 repository_name string", "2 ready bool"),
    "ModelIndex": ("1 name string", "2 version string", "3 state string", "4 reason string"),
    "RepositoryIndexResponse": ("1 models ModelIndex[]",),
}
"""Message -> fields as 'number name type'; '[]' is repeated, '?' one of a choice. A map is its repeated entries."""

HEALTH_SCHEMA: Mapping[str, tuple[str, ...]] = {
    "HealthCheckRequest": ("1 service string",),
    "HealthCheckResponse": ("1 status int32",),
}
"""The messages of `grpc.health.v1`; its one enumeration is a number here."""

_Field = descriptor_pb2.FieldDescriptorProto


def _field(text: str) -> Any:
    number, name, kind = text.split()
    field = _Field(name=name, number=int(number), label=_Field.LABEL_OPTIONAL)
    if kind.endswith("[]"):
        field.label = _Field.LABEL_REPEATED
    if kind.endswith("?"):
        field.oneof_index = 0
    bare = kind.rstrip("[]?")
    if bare in SCHEMA:
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".{PACKAGE}.{bare}"
    else:
        field.type = _Field.Type.Value(f"TYPE_{bare.upper()}")
    return field


def _build() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="open_inference.proto", package=PACKAGE, syntax="proto3")
    schema = {**SCHEMA, **HEALTH_SCHEMA}
    for name, fields in schema.items():
        message = file.message_type.add(name=name)
        message.field.extend(_field(text) for text in fields)
        if any(text.endswith("?") for text in fields):
            message.oneof_decl.add(name="choice")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in schema}


MESSAGES: Mapping[str, Any] = _build()
"""Message classes by name."""
