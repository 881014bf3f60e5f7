"""The peers: what each needs, how its model is prepared and its server started, and its requests.

Each gets the same centre booster (LightGBM text, as large as ours) and rows of the same numbers; ours answers with a
second booster, calibration and guard on top. MLflow's own Python runs this file to write its form of the model.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from processes import free_port

HERE = Path(__file__).parent
QUIET = {
    "OMP_NUM_THREADS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "BENTOML_DO_NOT_TRACK": "true",
}
FASTAPI = """
import sys
import fastapi, mlflow.pyfunc, pandas, uvicorn
model = mlflow.pyfunc.load_model(sys.argv[1])
app = fastapi.FastAPI()
@app.post("/invocations")
def invocations(body: dict):
    split = body["dataframe_split"]
    return {"predictions": model.predict(pandas.DataFrame(split["data"], columns=split["columns"])).tolist()}
uvicorn.run(app, port=int(sys.argv[2]), log_level="warning", access_log=False)
"""
KSERVE = """
import sys
import kserve, lightgbm
from kserve.utils.utils import get_predict_input, get_predict_response
class Forecast(kserve.Model):
    def load(self):
        self.booster = lightgbm.Booster(model_file=sys.argv[1])
        self.ready = True
        return True
    def predict(self, payload, headers=None):
        return get_predict_response(payload, self.booster.predict(get_predict_input(payload)), self.name)
model = Forecast("forecast")
model.load()
kserve.ModelServer(
    http_port=int(sys.argv[2]), workers=1, enable_grpc=False, enable_latency_logging=False,
    access_log_format=None, event_loop="auto",
).start([model])
"""
BENTO = """
import os
import bentoml, lightgbm, numpy
@bentoml.service(workers=1, traffic={"timeout": 60}, logging={"access": {"enabled": False}}, metrics={"enabled": False})
class Forecast:
    def __init__(self):
        self.booster = lightgbm.Booster(model_file=os.environ["FORECAST_BOOSTER"])
    @bentoml.api
    def infer(self, x: numpy.ndarray) -> numpy.ndarray:
        return self.booster.predict(x)
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """One peer.

    Attributes:
        title: for people.
        home: name of its virtual environment.
        needs: what that holds, pinned.
        prepare: (python, booster file, folder) -> writes what its server reads into the folder.
        command: (python, folder, port) -> words that start it.
        requests: number of rows -> ten requests.
    """

    title: str
    home: str
    needs: tuple[str, ...]
    prepare: Callable[[Path, Path, Path], None]
    command: Callable[[Path, Path, int], list[str]]
    requests: Callable[[int], list[bytes]]


def _tables(rows: int) -> list[list[list[float]]]:
    from world import FEATURES, frame  # noqa: PLC0415 - a peer's own Python has none of our world

    return [frame(rows, seed)[:rows].select(FEATURES).to_numpy().tolist() for seed in range(2, 12)]


def split(rows: int) -> list[bytes]:
    """Return ten MLflow requests as dataframe_split."""
    from load import request  # noqa: PLC0415
    from world import FEATURES  # noqa: PLC0415

    bodies = [{"dataframe_split": {"columns": list(FEATURES), "data": table}} for table in _tables(rows)]
    return [request("/invocations", json.dumps(body).encode()) for body in bodies]


def tensors(rows: int) -> list[bytes]:
    """Return ten v2 requests with one tensor of the features."""
    from load import request  # noqa: PLC0415

    found = []
    for table in _tables(rows):
        data = [number for row in table for number in row]
        tensor = {"name": "x", "shape": [rows, len(table[0])], "datatype": "FP64", "data": data}
        found.append(request("/v2/models/forecast/infer", json.dumps({"inputs": [tensor]}).encode()))
    return found


def arrays(rows: int) -> list[bytes]:
    """Return ten BentoML requests with one array."""
    from load import request  # noqa: PLC0415

    return [request("/infer", json.dumps({"x": table}).encode()) for table in _tables(rows)]


def _write_pyfunc(python: Path, booster: Path, folder: Path) -> None:
    names = json.loads((booster.parent / "model.json").read_text())["feature_names"]
    subprocess.run([str(python), str(HERE / "peers.py"), str(booster), str(folder), ",".join(names)], check=True)


def _write_mlserver(_: Path, booster: Path, folder: Path) -> None:
    settings = {
        "name": "forecast",
        "implementation": "mlserver_lightgbm.LightGBMModel",
        "parameters": {"uri": str(booster), "version": "1"},
    }
    (folder / "model-settings.json").write_text(json.dumps(settings), encoding="utf-8")


def _write_kserve(_: Path, booster: Path, folder: Path) -> None:
    (folder / "booster.txt").write_bytes(booster.read_bytes())


def _write_bento(_: Path, booster: Path, folder: Path) -> None:
    (folder / "booster.txt").write_bytes(booster.read_bytes())
    (folder / "service.py").write_text(BENTO, encoding="utf-8")


def _mlflow(python: Path, folder: Path, port: int) -> list[str]:
    words = ["models", "serve", "-m", str(folder / "pyfunc"), "-p", str(port), "--env-manager", "local"]
    return [str(python), "-m", "mlflow", *words, "--workers", "1"]


def _fastapi(python: Path, folder: Path, port: int) -> list[str]:
    return [str(python), "-c", FASTAPI, str(folder / "pyfunc"), str(port)]


def _mlserver(python: Path, folder: Path, port: int) -> list[str]:
    settings = {"http_port": port, "grpc_port": free_port(), "metrics_port": free_port(), "parallel_workers": 0}
    (folder / "settings.json").write_text(json.dumps({"debug": False, **settings}), encoding="utf-8")
    return [str(python.parent / "mlserver"), "start", str(folder)]


def _kserve(python: Path, folder: Path, port: int) -> list[str]:
    return [str(python), "-c", KSERVE, str(folder / "booster.txt"), str(port)]


def _bento(python: Path, folder: Path, port: int) -> list[str]:
    start = [str(python.parent / "bentoml"), "serve", "service:Forecast", "--port", str(port), "--host", "127.0.0.1"]
    return ["env", f"FORECAST_BOOSTER={folder / 'booster.txt'}", *start, "--working-dir", str(folder)]


LIGHTGBM = "lightgbm==4.7.0"
MLFLOW = ("mlflow==3.17.2", LIGHTGBM, "fastapi==0.165.0", "uvicorn[standard]==0.54.0")
MLSERVER = ("mlserver==1.7.1", "mlserver-lightgbm==1.7.1", LIGHTGBM, "uvloop==0.21.0")
PEERS = {
    "mlflow": Peer("mlflow models serve", "mlflow", MLFLOW, _write_pyfunc, _mlflow, split),
    "fastapi": Peer("FastAPI around mlflow.pyfunc", "mlflow", MLFLOW, _write_pyfunc, _fastapi, split),
    "mlserver": Peer("MLServer, LightGBM runtime", "mlserver", MLSERVER, _write_mlserver, _mlserver, tensors),
    "kserve": Peer("KServe Python server", "kserve", ("kserve==0.21.0", LIGHTGBM), _write_kserve, _kserve, tensors),
    "bentoml": Peer("BentoML", "bentoml", ("bentoml==1.4.39", LIGHTGBM, "numpy==2.4.6"), _write_bento, _bento, arrays),
}


def prepare(name: str, peer: Peer, python: Path, folder: Path, trees: int) -> Path:
    """Write what the peer's server reads, once; return the folder."""
    place = folder / f"peer-{name}-{trees}"
    if not (place / "done").exists():
        place.mkdir(parents=True, exist_ok=True)
        peer.prepare(python, folder / f"rel-champion-{trees}" / "centre.txt", place)
        (place / "done").touch()
    return place


def python_of(peer: Peer, homes: Path) -> Path:
    """Return the Python of a peer's virtual environment."""
    return homes / peer.home / "bin" / "python"


def make_homes(homes: Path) -> None:
    """Make the virtual environments that are missing, with pinned packages from the index that pip is set to."""
    for peer in PEERS.values():
        done = homes / peer.home / f"holds-{'-'.join(sorted(peer.needs))}"
        if done.exists():
            continue
        print(f"making {homes / peer.home}: {' '.join(peer.needs)}", file=sys.stderr)
        venv.create(homes / peer.home, with_pip=True, clear=True)
        words = [str(python_of(peer, homes)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*words, *peer.needs], check=True, env={**os.environ, **QUIET})
        done.touch()


def main() -> None:
    """Write the model in MLflow's form; run by a peer's Python."""
    import lightgbm  # noqa: PLC0415
    import mlflow.lightgbm  # noqa: PLC0415
    from mlflow.models import ModelSignature  # noqa: PLC0415
    from mlflow.types import ColSpec, Schema  # noqa: PLC0415

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("booster", type=Path)
    parser.add_argument("place", type=Path)
    parser.add_argument("names", help="of the features, separated by commas")
    options = parser.parse_args()
    booster = lightgbm.Booster(model_file=str(options.booster))
    # With the signature that MLflow's documentation asks for: it checks the columns of every request by it.
    columns = Schema([ColSpec("double", name) for name in options.names.split(",")])
    mlflow.lightgbm.save_model(booster, str(options.place / "pyfunc"), signature=ModelSignature(columns))


if __name__ == "__main__":
    main()
