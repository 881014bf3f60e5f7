"""The peers: what each needs, how its model is prepared and its server started, and its requests.

Each gets the same centre booster (LightGBM text, as large as ours) and rows of the same numbers; ours answers with a
second booster, calibration and guard on top. A peer's own Python runs this file with `prepare` to write its model.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
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


@dataclass(frozen=True, slots=True)
class Peer:
    """One peer: what its virtual environment holds, its command, its requests by number of rows."""

    needs: str
    command: Callable[[Path, Path, int], list[str]]
    requests: Callable[[int], list[bytes]]


def split(rows: int) -> list[bytes]:
    """Return ten MLflow requests as dataframe_split."""
    from load import request  # noqa: PLC0415 - a peer's own Python has neither numpy's load nor our world
    from world import FEATURES, frame  # noqa: PLC0415

    found = []
    for seed in range(2, 12):
        data = frame(rows, seed)[:rows].select(FEATURES).rows()
        text = json.dumps({"dataframe_split": {"columns": list(FEATURES), "data": data}})
        found.append(request("/invocations", text.encode()))
    return found


def tensors(rows: int) -> list[bytes]:
    """Return ten v2 requests with one tensor of the features."""
    from load import request  # noqa: PLC0415
    from world import FEATURES, frame  # noqa: PLC0415

    found = []
    for seed in range(2, 12):
        data = frame(rows, seed)[:rows].select(FEATURES).to_numpy().ravel().tolist()
        tensor = {"name": "x", "shape": [rows, len(FEATURES)], "datatype": "FP64", "data": data}
        found.append(request("/v2/models/forecast/infer", json.dumps({"inputs": [tensor]}).encode()))
    return found


def _mlflow(python: Path, folder: Path, port: int) -> list[str]:
    words = ["models", "serve", "-m", str(folder / "pyfunc"), "-p", str(port), "--env-manager", "local"]
    return [str(python), "-m", "mlflow", *words, "--workers", "1"]


def _fastapi(python: Path, folder: Path, port: int) -> list[str]:
    return [str(python), "-c", FASTAPI, str(folder / "pyfunc"), str(port)]


def _mlserver(python: Path, folder: Path, port: int) -> list[str]:
    settings = {"http_port": port, "grpc_port": port + 1, "metrics_port": port + 2, "parallel_workers": 0}
    place = folder / "mlserver"
    (place / "settings.json").write_text(json.dumps({"debug": False, **settings}), encoding="utf-8")
    return [str(python.parent / "mlserver"), "start", str(place)]


PEERS = {
    "mlflow": Peer("mlflow lightgbm (mlflow models serve)", _mlflow, split),
    "fastapi": Peer("mlflow lightgbm fastapi uvicorn (FastAPI around mlflow.pyfunc)", _fastapi, split),
    "mlserver": Peer("mlserver mlserver-lightgbm", _mlserver, tensors),
}


def prepare(peer: Peer, python: Path, folder: Path, trees: int) -> Path:
    """Let the peer's own Python write its model once; return the folder."""
    place = folder / ("peer-" + peer.needs.split(maxsplit=1)[0])
    if not place.exists():
        booster = folder / f"rel-champion-{trees}" / "centre.txt"
        subprocess.run([str(python), str(HERE / "peers.py"), str(booster), str(place)], check=True)
    return place


def main() -> None:
    """Write the model in the forms that the packages at hand can serve; run by a peer's Python."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("booster", type=Path)
    parser.add_argument("place", type=Path)
    options = parser.parse_args()
    options.place.mkdir(parents=True)
    try:
        import lightgbm  # noqa: PLC0415
        import mlflow.lightgbm  # noqa: PLC0415
    except ImportError as error:
        print(f"no MLflow here ({error}); a LightGBM file only", file=sys.stderr)
    else:
        mlflow.lightgbm.save_model(lightgbm.Booster(model_file=str(options.booster)), str(options.place / "pyfunc"))
    (options.place / "mlserver").mkdir()
    settings = {
        "name": "forecast",
        "implementation": "mlserver_lightgbm.LightGBMModel",
        "parameters": {"uri": str(options.booster), "version": "1"},
    }
    (options.place / "mlserver" / "model-settings.json").write_text(json.dumps(settings), encoding="utf-8")


if __name__ == "__main__":
    main()
