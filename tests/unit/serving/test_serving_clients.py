"""Independent clients, unmodified, against a real server on a loopback port."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

AT = "2020-03-02T14:00:00Z"


def inputs(kind: Any, areas: list[str], *, binary: bool | None, shape: list[int] | None = None) -> list[Any]:
    """Return the inputs of a request, built with the client's own tensor class."""
    n = shape or [len(areas)]
    columns: dict[str, np.ndarray] = {
        "area": np.array([area.encode() for area in areas], dtype=np.object_).reshape(n),
        "at": np.array([AT.encode()] * len(areas), dtype=np.object_).reshape(n),
        "scale_mw": np.full(n, 1000.0),
        "swing": np.full(n, 1.0, np.float32),
        "lag": np.full(n, 1, np.int64),
    }
    kinds = {"scale_mw": "FP64", "swing": "FP32", "lag": "INT64"}
    built = []
    for name, numbers in columns.items():
        tensor = kind(name, list(n), kinds.get(name, "BYTES"))
        tensor.set_data_from_numpy(numbers, **({} if binary is None else {"binary_data": binary}))
        built.append(tensor)
    return built


class TestTritonHttp:
    @pytest.fixture
    def triton(self, kit: SimpleNamespace) -> Iterator[SimpleNamespace]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the client's dependencies warn on import
            module = pytest.importorskip("tritonclient.http", reason="tritonclient[http] is not installed")
        with kit.Running(kit.service()) as running:
            client = module.InferenceServerClient(f"127.0.0.1:{running.port}")
            yield SimpleNamespace(module=module, client=client)
            client.close()

    def test_metadata(self, triton: SimpleNamespace) -> None:
        client = triton.client
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("forecast")
        assert client.is_model_ready("forecast", "1")
        assert not client.is_model_ready("forecast", "2")
        assert not client.is_model_ready("rel-9")
        assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
        assert client.get_model_metadata("rel-2")["versions"] == ["rel-2"]
        config = client.get_model_config("forecast")
        assert config["input"][0] == {"name": "area", "data_type": "TYPE_STRING", "dims": [-1]}
        names = {row["name"]: row["state"] for row in client.get_model_repository_index()}
        assert {"forecast", "rel-1", "rel-2"} <= set(names)
        assert set(names.values()) == {"READY"}

    @pytest.mark.parametrize("binary_in", [True, False])
    @pytest.mark.parametrize("binary_out", [True, False, None])
    @pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
    def test_infer(
        self, *, triton: SimpleNamespace, binary_in: bool, binary_out: bool | None, compression: str | None
    ) -> None:
        wanted = None
        if binary_out is not None:
            wanted = [triton.module.InferRequestedOutput(name, binary_data=binary_out) for name in ("q50", "served_by")]
        result = triton.client.infer(
            "forecast",
            inputs(triton.module.InferInput, ["b", "a"], binary=binary_in, shape=[2, 1]),
            model_version="1",
            outputs=wanted,
            request_id="r-7",
            timeout=60_000_000,
            parameters={"note": "x"},
            request_compression_algorithm=compression,
            response_compression_algorithm="gzip",
        )
        assert result.as_numpy("q50").tolist() == [1105.0, 1105.0]
        served_by = result.as_numpy("served_by").tolist()
        assert [s if isinstance(s, str) else s.decode() for s in served_by] == ["canary", "canary"]
        assert (result.as_numpy("q10") is None) == (wanted is not None)
        assert result.get_response()["id"] == "r-7"

    def test_errors_reach_the_client_as_sentences(self, triton: SimpleNamespace) -> None:
        error = triton.module.InferenceServerException
        given = inputs(triton.module.InferInput, ["a"], binary=True)
        for call, part in (
            (lambda: triton.client.infer("rel-9", given), "no such model"),
            (lambda: triton.client.infer("forecast", given, model_version="9"), "version in force"),
            (lambda: triton.client.infer("forecast", given[1:]), "no input tensor 'area'"),
            (lambda: triton.client.get_model_metadata("rel-9"), "no such model"),
            (lambda: triton.client.load_model("rel-9"), "Not Found"),
        ):
            with pytest.raises(error) as caught:
                call()
            assert part in str(caught.value)

    def test_statistics(self, triton: SimpleNamespace) -> None:
        triton.client.infer("forecast", inputs(triton.module.InferInput, ["b", "a"], binary=True))
        with pytest.raises(triton.module.InferenceServerException):
            triton.client.infer("forecast", inputs(triton.module.InferInput, ["x"], binary=True))
        stats = triton.client.get_inference_statistics("forecast")["model_stats"][0]
        assert (stats["inference_count"], stats["execution_count"]) == (2, 1)
        assert stats["inference_stats"]["success"]["count"] == 1
        assert stats["inference_stats"]["fail"]["count"] == 1
        assert stats["inference_stats"]["compute_infer"]["ns"] > 0
        assert stats["last_inference"] == 1_583_100_605_000
        everyone = triton.client.get_inference_statistics()["model_stats"]
        assert {row["name"]: row["inference_count"] for row in everyone}["rel-1"] == 0


class TestTritonGrpc:
    @pytest.fixture
    def triton(self, kit: SimpleNamespace) -> Iterator[SimpleNamespace]:
        module = pytest.importorskip("tritonclient.grpc", reason="tritonclient[grpc] is not installed")
        whole = kit.service()
        with kit.grpc_port(whole) as port:
            client = module.InferenceServerClient(f"127.0.0.1:{port}")
            yield SimpleNamespace(module=module, client=client, service=whole)
            client.close()

    def test_metadata(self, triton: SimpleNamespace) -> None:
        client = triton.client
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("forecast", "1")
        assert not client.is_model_ready("forecast", "2")
        assert not client.is_model_ready("rel-9")
        assert list(client.get_server_metadata().extensions) == [
            "binary_tensor_data",
            "statistics",
            "model_configuration",
        ]
        metadata = client.get_model_metadata("rel-2")
        assert list(metadata.versions) == ["rel-2"]
        assert [(t.name, t.datatype, list(t.shape)) for t in metadata.inputs][2] == ("scale_mw", "FP64", [-1])
        config = client.get_model_config("forecast").config
        assert (config.name, config.backend, config.input[0].data_type) == ("forecast", "recloser", 13)
        assert config.output[0].data_type == 12
        names = {row.name: row.state for row in client.get_model_repository_index().models}
        assert {"forecast", "rel-1", "rel-2"} <= set(names)
        assert set(names.values()) == {"READY"}

    @pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
    def test_infer(self, triton: SimpleNamespace, compression: str | None) -> None:
        given = inputs(triton.module.InferInput, ["b", "a"], binary=None)
        wanted = [triton.module.InferRequestedOutput(name) for name in ("q50", "served_by")]
        whole = triton.client.infer("forecast", given, compression_algorithm=compression)
        assert whole.as_numpy("q10").tolist() == [1065.0, 1065.0]
        part = triton.client.infer(
            "forecast", given, "1", wanted, request_id="r-7", timeout=60_000_000, parameters={"note": "x"}
        )
        assert part.as_numpy("q50").tolist() == [1105.0, 1105.0]
        assert part.as_numpy("served_by").tolist() == [b"canary", b"canary"]
        assert part.as_numpy("q10") is None
        assert part.get_response().id == "r-7"

    def test_errors_have_statuses(self, triton: SimpleNamespace) -> None:
        given = inputs(triton.module.InferInput, ["a"], binary=None)
        unknown = inputs(triton.module.InferInput, ["x"], binary=None)
        for call, status, part in (
            (lambda: triton.client.infer("rel-9", given), "NOT_FOUND", "no such model"),
            (lambda: triton.client.infer("forecast", given[1:]), "INVALID_ARGUMENT", "no input tensor 'area'"),
            (lambda: triton.client.infer("forecast", unknown), "INVALID_ARGUMENT", "unknown area"),
            (lambda: triton.client.get_model_metadata("rel-9"), "NOT_FOUND", "no such model"),
            (lambda: triton.client.load_model("rel-9"), "UNIMPLEMENTED", ""),
        ):
            with pytest.raises(triton.module.InferenceServerException) as caught:
                call()
            assert caught.value.status() == f"StatusCode.{status}"
            assert part in caught.value.message()

    def test_statistics(self, triton: SimpleNamespace) -> None:
        triton.client.infer("forecast", inputs(triton.module.InferInput, ["b", "a"], binary=None))
        stats = triton.client.get_inference_statistics("forecast").model_stats[0]
        assert (stats.inference_count, stats.execution_count, stats.last_inference) == (2, 1, 1_583_100_605_000)
        assert stats.inference_stats.success.count == 1
        assert stats.inference_stats.compute_infer.ns > 0
        assert len(triton.client.get_inference_statistics().model_stats) == len(triton.service.gateway.loaded) + 1


KSERVE = """
import asyncio, sys, warnings
warnings.simplefilter("ignore")  # of the client's own dependencies
import kserve
sys.path.insert(0, {folder!r})
from test_serving_clients import inputs

async def grpc(address, binary):
    async with kserve.InferenceGRPCClient(address) as client:
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready("forecast")
        given = inputs(kserve.InferInput, ["b", "a"], binary=binary)
        return await client.infer(kserve.InferRequest("forecast", given, request_id="k-1"))

async def rest(base, binary):
    async with kserve.InferenceRESTClient(kserve.RESTConfig(protocol="v2", retries=0)) as client:
        assert await client.is_server_live(base)
        assert await client.is_server_ready(base)
        assert await client.is_model_ready(base, "forecast")
        given = inputs(kserve.InferInput, ["b", "a"], binary=binary)
        wanted = [kserve.protocol.infer_type.RequestedOutput(name, {{"binary_data": binary}}) for name in {wanted!r}]
        request = kserve.InferRequest("forecast", given, request_id="k-1", request_outputs=wanted)
        return await client.infer(base, request, model_name="forecast")

for binary in (True, False):
    answer = asyncio.run({call}({where!r}, binary))
    got = {{output.name: output.as_numpy().tolist() for output in answer.outputs}}
    assert got["q50"] == [1105.0, 1105.0], got
    assert answer.id == "k-1" and answer.model_name == "forecast"
print("both forms")
"""


def talk_to_kserve(call: str, where: str) -> None:
    """Let KServe's client ask in a process of its own: its messages cannot be in one with Triton's."""
    if importlib.util.find_spec("kserve") is None:
        pytest.skip("kserve is not installed")
    folder, wanted = str(Path(__file__).parent), ["q50", "served_by"]
    program = KSERVE.format(folder=folder, call=call, where=where, wanted=wanted)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=600, check=False)
    assert (done.returncode, done.stdout) == (0, "both forms\n"), done.stderr


def test_kserve_grpc_client(kit: SimpleNamespace) -> None:
    with kit.grpc_port(kit.service()) as port:
        talk_to_kserve("grpc", f"127.0.0.1:{port}")


def test_kserve_rest_client(kit: SimpleNamespace) -> None:
    with kit.Running(kit.service()) as running:
        talk_to_kserve("rest", f"http://127.0.0.1:{running.port}")


def test_mlflow_scoring_client(kit: SimpleNamespace) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the client's dependencies warn on import
        pandas = pytest.importorskip("pandas", reason="pandas, which MLflow's scoring client needs, is not installed")
        client = pytest.importorskip("mlflow.pyfunc.scoring_server.client", reason="MLflow's client cannot be loaded")
    columns = {"area": ["b", "a"], "at": [AT, AT], "scale_mw": [1000.0, 1000.0], "swing": [1.0, 0.0], "lag": [1, 1]}
    with kit.Running(kit.service()) as running:
        server = client.ScoringServerClient("127.0.0.1", running.port)
        server.wait_server_ready(timeout=20)
        assert server.get_version()
        for data in (pandas.DataFrame(columns), [list(row) for row in zip(*columns.values(), strict=True)]):
            answer = server.invoke(data).get_predictions()
            assert answer["q50"].tolist() == [1105.0, 1005.0]
            assert answer["served_by"].tolist() == ["canary", "canary"]
        direct = server.invoke(pandas.DataFrame(columns), params={"model": "rel-1"}).get_predictions()
        assert direct["release"].tolist() == ["rel-1", "rel-1"]
        with pytest.raises(Exception, match="no such model"):
            server.invoke(pandas.DataFrame(columns), params={"model": "rel-9"})
