"""LitServe and BentoML in front of the same net: run by `score.py` in an environment that has them and torch.

    PYTHON benchmarks/_score_peers.py litserve|bentoml NET.py PORT BATCH SIDE

Both decode a JPEG as `score.py`'s server does, batch up to BATCH images across requests, and give class and
probabilities. One worker, one thread of torch.
"""

from __future__ import annotations

import base64
import importlib.util
import io
import os
import sys
from typing import Any

import numpy as np
import torch
from PIL import Image

WAIT = 0.01
"""Seconds that a batch may wait to fill."""


def load_net(path: str) -> torch.nn.Module:
    """The net that a file makes."""
    spec = importlib.util.spec_from_file_location("net", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.make().eval()


def decode(data: bytes, side: int) -> torch.Tensor:
    """Pixels of a JPEG in [0, 1], `[3, side, side]`."""
    return pixels_of(Image.open(io.BytesIO(data)), side)


def pixels_of(image: Image.Image, side: int) -> torch.Tensor:
    """Pixels of an image in [0, 1], `[3, side, side]`."""
    image = image.convert("RGB")
    image = image if image.size == (side, side) else image.resize((side, side))
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


def answers(net: torch.nn.Module, images: list[torch.Tensor]) -> list[dict[str, Any]]:
    """Class and probabilities of each image."""
    with torch.inference_mode():
        shares = net(torch.stack(images)).softmax(1)
    values, classes = shares.topk(5)
    return [
        {"class": k[0], "probabilities": p, "classes": k}
        for p, k in zip(values.tolist(), classes.tolist(), strict=True)
    ]


def litserve(path: str, port: int, batch: int, side: int) -> None:
    """Serve by LitServe; it takes JSON, and makes `Lit` anew in its worker from the settings in the environment."""
    os.environ |= {"SCORE_LIT": path, "SCORE_SIDE": str(side)}
    import _score_peers
    import litserve as ls

    api = _score_peers.Lit(max_batch_size=batch, batch_timeout=WAIT, api_path="/predict")
    ls.LitServer(api, accelerator="cpu", workers_per_device=1, timeout=30).run(port=port, generate_client_file=False)


def bentoml(path: str, port: int, batch: int, side: int) -> None:
    """Serve by BentoML; it takes a form. Its server imports `Bento` of this file by the settings in the environment."""
    os.environ |= {"SCORE_NET": path, "SCORE_BATCH": str(batch), "SCORE_SIDE": str(side)}
    folder, module = os.path.split(os.path.abspath(__file__))
    command = [sys.executable, "-m", "bentoml", "serve", f"{module.removesuffix('.py')}:Bento", "--port", str(port)]
    os.chdir(folder)
    os.execv(sys.executable, command)


if "SCORE_LIT" in os.environ:
    import litserve as lit

    class Lit(lit.LitAPI):
        """The service."""

        def setup(self, device: str) -> None:
            """In the worker."""
            torch.set_num_threads(1)
            self.net = load_net(os.environ["SCORE_LIT"])

        def decode_request(self, request: dict) -> torch.Tensor:
            """Pixels."""
            return decode(base64.b64decode(request["image"]), int(os.environ["SCORE_SIDE"]))

        def batch(self, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
            """`predict` stacks them."""
            return inputs

        def predict(self, inputs: list[torch.Tensor]) -> list[dict[str, Any]]:
            """Class and probabilities."""
            return answers(self.net, inputs)

        def unbatch(self, output: list[dict[str, Any]]) -> list[dict[str, Any]]:
            """One an image."""
            return output

        def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
            """As it is."""
            return output


if "SCORE_NET" in os.environ:
    import bentoml as bento

    @bento.service(workers=1, traffic={"timeout": 30})
    class Bento:
        """The service."""

        def __init__(self) -> None:
            torch.set_num_threads(1)
            self.net = load_net(os.environ["SCORE_NET"])

        @bento.api(batchable=True, max_batch_size=int(os.environ["SCORE_BATCH"]), max_latency_ms=30_000)
        def predict(self, images: list[Image.Image]) -> list[dict[str, Any]]:
            """Class and probabilities."""
            return answers(self.net, [pixels_of(one, int(os.environ["SCORE_SIDE"])) for one in images])


if __name__ == "__main__":
    name, path, *numbers = sys.argv[1:]
    {"litserve": litserve, "bentoml": bentoml}[name](path, *map(int, numbers))
