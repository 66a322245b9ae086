"""`http://ADDRESS` and `https://ADDRESS`: a model behind an address. A black box whose answers are kept."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re

import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.classifier import Classifier, View
from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.numbers import parse_number, parse_whole, shorten
from unshaken.models.loaders.http_answers import KeptAnswers
from unshaken.models.loaders.http_client import Client, Pace
from unshaken.models.loaders.http_template import Template, read_template
from unshaken.models.loaders.kinds import model_kind
from unshaken.models.loaders.options import class_names
from unshaken.models.loaders.settings import mark_source
from unshaken.models.loaders.spec import ModelSpec

OPTIONS = ("template", "output", "header", "batch", "rate", "budget", "timeout", "retries", "revision", "repeat")
"""Options of `http` and `https`."""
DEFAULT_BATCH, DEFAULT_TIMEOUT, DEFAULT_RETRIES = 32, 30.0, 4
_HEADER = re.compile(r"([A-Za-z0-9-]+):([A-Za-z_][A-Za-z0-9_]*)")


class HttpNet(nn.Module):
    """A model behind an address, as a module without parameters. Equal images are asked once, ever, or each time.

    Args:
        client: sends requests.
        template: form of a request and of its answer.
        kept: answers of earlier requests.
        classes: K, where it is known; 0 where the first answer tells it.
        repeat: ask for equal images again, of a model whose answers are random; kept answers then count for the budget
            alone.
    """

    def __init__(
        self, client: Client, template: Template, kept: KeptAnswers, *, classes: int, repeat: bool = False
    ) -> None:
        super().__init__()
        self._client, self._template, self._kept, self._classes = client, template, kept, classes
        self._repeat = repeat
        self.asked = 0
        """Images that this process sent to the address and got an answer for."""

    remote = True

    @property
    def labels_only(self) -> bool:
        """Whether the answers are labels, which `forward` gives as 1 for the class and 0 for the others."""
        return self._template.output == "labels"

    @override
    def forward(self, images: Tensor) -> Tensor:
        pixels = images.detach().to("cpu", torch.float32).contiguous().numpy()
        shape = repr(pixels.shape[1:]).encode()
        keys = [hashlib.sha256(shape + image.tobytes()).digest() for image in pixels]
        if self._repeat:  # no two keys are equal
            keys = [key + os.urandom(16) for key in keys]
        known = self._kept.find(keys)
        # the first of equal images stands for them all
        places = list({key: n for n, key in reversed(list(enumerate(keys))) if key not in known}.values())[::-1]
        batch = self._client.pace.batch
        for start in range(0, len(places), batch):
            part = places[start : start + batch]
            self._check_budget(len(part))
            asked = self._ask(pixels[part], known)
            found = {keys[n]: row for n, row in zip(part, asked, strict=True)}
            self._kept.add(found)
            self.asked += len(part)
            known |= found
        width = self._classes or len(next(iter(known.values()), b"")) // 4
        rows = [np.frombuffer(known[key], np.float32) for key in keys]
        scores = np.stack(rows) if rows else np.zeros((0, width), np.float32)
        return torch.from_numpy(scores.copy()).to(images.device)

    def _check_budget(self, images: int) -> None:
        budget = self._client.pace.budget
        if budget is not None and (spent := self._kept.count()) + images > budget:
            raise ModelError(
                f"{self._client.name}: the budget of {budget:,} images is spent ({spent:,} asked, {images:,} more "
                "wanted): raise ?budget=N and resume; the answers are kept"
            )

    def _ask(self, pixels: np.ndarray, known: dict[bytes, bytes]) -> list[bytes]:
        """Scores of each image as bytes of float32, by one request."""
        body, kind = self._template.encode(pixels)
        answer = self._client.post(body, kind)
        try:
            scores = self._template.decode(answer, len(pixels), self._classes)
        except ModelError as error:
            raise ModelError(f"{self._client.name}: {error}") from error
        expected = self._classes or len(next(iter(known.values()), b"")) // 4
        if expected and scores.shape[1] != expected:
            raise ModelError(
                f"{self._client.name}: the answer has {scores.shape[1]} scores an image, but the model has {expected} "
                "classes: is it another model now?"
            )
        self._classes = scores.shape[1]
        return [row.tobytes() for row in scores]


def load(spec: ModelSpec) -> Classifier:
    """A model behind an address; nothing but the description that unshaken's score endpoint gives is asked here.

    Raises:
        ParameterError: an option has a value that is not allowed, or the form of requests is not known.
        ModelError: the address gives no such description.
    """
    address = f"{spec.kind}:{spec.name}"
    if not re.match(r"//[^/@\s]+(/[^@\s]*)?$", spec.name):
        raise ParameterError(
            f"model {spec.kind}: write {spec.kind}://HOST:PORT/PATH without user and password; a secret goes into "
            "an environment variable, which ?header=Authorization:VARIABLE names"
        )
    template = read_template(address, spec.options.get("template", ""), spec.options.get("output", ""))
    pace = Pace(
        retries=_whole(spec, "retries", DEFAULT_RETRIES, least=0, most=20),
        timeout=_number(spec, "timeout", DEFAULT_TIMEOUT),
        rate=_number(spec, "rate", math.inf),
        batch=_whole(spec, "batch", DEFAULT_BATCH, least=1, most=100_000),
        budget=_whole(spec, "budget", 0, least=1, most=10**12) or None,
    )
    client = Client(address, header=_header(spec), pace=pace)
    names, view = class_names(spec), None
    if template.name == "score":
        given, view = _described(client)
        names = names or given
    if template.output == "labels" and not names:
        raise ParameterError(f"model {str(spec)!r} answers with labels: say how many classes there are by ?classes=K")
    repeat = _asks_again(spec)
    identity = [address, template.model_dump(mode="json"), spec.options.get("revision", ""), len(names)]
    digest = hashlib.sha256(json.dumps(identity + ["repeat"] * repeat).encode()).hexdigest()
    net = HttpNet(client, template, KeptAnswers(digest), classes=len(names), repeat=repeat)
    mark_source(net, digest)
    return Classifier(net, classes=names, view=view, differentiable=False, name=address)


@model_kind("http", form="http://ADDRESS", options=OPTIONS)
def load_http(spec: ModelSpec, download: bool) -> Classifier:
    """A model behind an address; see `load`."""
    return load(spec)


@model_kind("https", form="https://ADDRESS", options=OPTIONS)
def load_https(spec: ModelSpec, download: bool) -> Classifier:
    """A model behind an address, over an encrypted connection; see `load`."""
    return load(spec)


def _described(client: Client) -> tuple[tuple[str, ...], View]:
    """Class names and view of a model that unshaken's score endpoint serves."""
    place = client.address.removesuffix("/score") + "/model"
    found = client.get(place)
    try:
        channels, height, width = (int(n) for n in found["shape"])
        names = tuple(str(name) for name in found["classes"])
    except (KeyError, TypeError, ValueError):
        raise ModelError(f"{place} does not describe a model of unshaken's score endpoint: check the address") from None
    return names, View(height, width, channels=channels)


def _header(spec: ModelSpec) -> tuple[str, str] | None:
    """Name of a header, and of the environment variable that holds its value."""
    if (text := spec.options.get("header")) is None:
        return None
    match = _HEADER.fullmatch(text)
    if match is None:
        raise ParameterError(
            f"model {spec.kind}:{spec.name}: header must read NAME:VARIABLE, the environment variable that holds its "
            "value, such as header=Authorization:MODEL_TOKEN"
        )
    if not os.environ.get(match[2], "").strip():
        raise ParameterError(
            f"model {spec.kind}:{spec.name}: the environment variable {match[2]!r} of header {match[1]!r} is not set"
        )
    return match[1], match[2]


def _asks_again(spec: ModelSpec) -> bool:
    text = spec.options.get("repeat", "false")
    if text not in ("true", "false"):
        raise ParameterError(f"model {str(spec)!r}: repeat must be true or false, not {shorten(text)}")
    return text == "true"


def _whole(spec: ModelSpec, option: str, default: int, *, least: int, most: int) -> int:
    if option not in spec.options:
        return default
    try:
        return parse_whole(spec.options[option], least=least, most=most)
    except ParameterError as error:
        raise ParameterError(f"model {str(spec)!r}: {option}: {error}") from None


def _number(spec: ModelSpec, option: str, default: float) -> float:
    if option not in spec.options:
        return default
    value = parse_number(spec.options[option], f"model {str(spec)!r}: {option}")
    if value <= 0:
        raise ParameterError(f"model {str(spec)!r}: {option} must be above 0, not {spec.options[option]}")
    return value
