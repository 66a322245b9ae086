"""`Template`: how images are written into a request to a model, and scores are read from its answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from unshaken.core.documents import parse_json, read_text, validate
from unshaken.core.errors import ModelError, ParameterError, did_you_mean
from unshaken.models.loaders.scores import Layout, Output, check_output, read_scores

TENSORS = "application/vnd.safetensors"


class Template(BaseModel):
    """The form of a request and of its answer.

    Args:
        request: JSON in which the texts `$images` (nested lists `[N][C][H][W]`), `$flat` (one list of all numbers) and
            `$shape` (their sizes) are replaced. Of `score` alone it is empty: a file of safetensors is sent.
        scores: where the scores stand in the answer: keys and places with dots between, such as `outputs.0.data`. There
            are lists `[N][K]` or one list of N x K numbers; of labels, `[N]`.
        output: meaning of the numbers: logits, probabilities, whose logarithm is taken, or labels, from 0.
        layout: order of the dimensions.
        scale: by which pixels in [0, 1] are multiplied, such as 255.
        name: of a built-in template; empty for one's own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    request: JsonValue
    scores: str = Field(min_length=1)
    output: Output = Field(default="logits")
    layout: Layout = Field(default="NCHW")
    scale: float = Field(default=1.0, gt=0)
    name: str = Field(default="")

    def encode(self, pixels: NDArray[np.float32]) -> tuple[bytes, str]:
        """The body of a request, and its content type.

        Args:
            pixels: float32 `[N, C, H, W]` in [0, 1].
        """
        if self.name == "score":
            from safetensors.numpy import save

            return save({"images": np.ascontiguousarray(pixels)}), TENSORS
        if self.layout == "NHWC":
            pixels = pixels.transpose(0, 2, 3, 1)
        pixels = pixels if self.scale == 1 else pixels * np.float32(self.scale)
        return json.dumps(_filled(self.request, pixels)).encode(), "application/json"

    def decode(self, answer: Any, n: int, classes: int) -> NDArray[np.float32]:
        """The scores of an answer.

        Args:
            answer: parsed JSON.
            n: images in the request.
            classes: K, needed for labels; 0 where it is not known.

        Returns:
            float32 `[N, K]`.

        Raises:
            ModelError: there are none, of another number, or NaN or infinite ones.
        """
        found = _probabilities(answer, n) if self.name == "score" else _at(answer, self.scores)
        what = f"{self.scores!r} of the answer"
        if self.output != "labels" and isinstance(found, list) and found and not isinstance(found[0], list):
            found = _rows(found, n)
        return read_scores(found, n, output=self.output, classes=classes, what=what)


TEMPLATES = {
    "kserve": Template(
        request={"inputs": [{"name": "images", "shape": "$shape", "datatype": "FP32", "data": "$flat"}]},
        scores="outputs.0.data",
        name="kserve",
    ),
    "mlflow": Template(request={"inputs": "$images"}, scores="predictions", name="mlflow"),
    "score": Template(request=None, scores="answers", output="probabilities", name="score"),
}
"""The KServe v2 inference protocol (Triton, KServe, MLServer), `mlflow models serve`, and `unshaken serve --score`."""
ENDINGS = {"/infer": "kserve", "/invocations": "mlflow", "/v1/score": "score"}
"""Ends of addresses that tell the template."""


def read_template(address: str, name: str, output: str) -> Template:
    """The template of a name or of a JSON file, with another meaning of the output where one is given.

    Args:
        address: of the model; where no name is given, its end may tell the template.
        name: a built-in template, or a file that ends in `.json`; empty to go by the address.
        output: `logits`, `probabilities` or `labels`; empty for what the template says.

    Raises:
        ParameterError: there is no such template or meaning, or the file is not one.
    """
    name = name or next((kind for end, kind in ENDINGS.items() if address.endswith(end)), "")
    if name.endswith(".json"):
        path = Path(name)
        if not path.is_file():
            raise ParameterError(f"model {address!r}: there is no file {name!r} for its template")
        template = validate(Template, parse_json(read_text(path), name, ParameterError), name, ParameterError)
        template = template.model_copy(update={"name": ""})
        if not {"$images", "$flat"} & set(_texts(template.request)):
            raise ParameterError(f"{name}: the request holds neither '$images' nor '$flat', where the images go")
    elif name in TEMPLATES:
        template = TEMPLATES[name]
    else:
        what = f"there is no template {name!r}; {did_you_mean(name, TEMPLATES)}" if name else (
            f"its address does not tell the form of requests: add ?template={', '.join(TEMPLATES)} or FILE.json"
        )  # fmt: skip
        raise ParameterError(f"model {address!r}: {what}")
    if not output:
        return template
    chosen = check_output(output, f"model {address!r}")
    if template.name == "score":
        raise ParameterError(f"model {address!r}: the score endpoint gives probabilities; leave ?output out")
    return template.model_copy(update={"output": chosen})


def _texts(value: JsonValue) -> list[str]:
    if isinstance(value, dict):
        return [text for part in value.values() for text in _texts(part)]
    if isinstance(value, list):
        return [text for part in value for text in _texts(part)]
    return [value] if isinstance(value, str) else []


def _filled(value: JsonValue, pixels: NDArray[np.float32]) -> Any:
    """A request with the images in their places."""
    if isinstance(value, dict):
        return {key: _filled(part, pixels) for key, part in value.items()}
    if isinstance(value, list):
        return [_filled(part, pixels) for part in value]
    if value == "$images":
        return pixels.tolist()
    if value == "$flat":
        return pixels.ravel().tolist()
    return list(pixels.shape) if value == "$shape" else value


def _at(answer: Any, path: str) -> Any:
    """What stands in an answer at keys and places with dots between."""
    for step in path.split("."):
        try:
            answer = answer[int(step)] if isinstance(answer, list) else answer[step]
        except (KeyError, IndexError, TypeError, ValueError):
            what = f"has the keys {', '.join(map(repr, answer))}" if isinstance(answer, dict) else "has none"
            raise ModelError(f"the answer has no {path!r}: at {step!r} it {what[:200]}") from None
    return answer


def _rows(numbers: list[Any], n: int) -> list[Any]:
    """One list of N x K numbers as N rows; what divides into no rows of two or more stays as it is."""
    width, rest = divmod(len(numbers), n)
    return numbers if rest or width < 2 else [numbers[k : k + width] for k in range(0, len(numbers), width)]


def _probabilities(answer: Any, n: int) -> list[list[float]]:
    """Probabilities of all classes, in order, from an answer of the score endpoint."""
    rows = _at(answer, "answers")
    found: list[list[float]] = []
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict) and row.get("error"):
            raise ModelError(f"the server cannot use an image: {str(row['error'])[:200]}")
        try:
            by_class = {int(part["class"]): float(part["probability"]) for part in row["probabilities"]}
        except (KeyError, TypeError, ValueError):
            raise ModelError("an answer has no probabilities") from None
        if sorted(by_class) != list(range(len(by_class))):
            raise ModelError(f"an answer has probabilities of {len(by_class)} classes, and not of all")
        found.append([by_class[k] for k in range(len(by_class))])
    if len(found) != n or len({len(row) for row in found}) != 1:
        raise ModelError(f"the answer has {len(found)} rows for {n} images, or rows of several lengths")
    return found
