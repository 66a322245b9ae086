"""The description of the endpoint for programs (OpenAPI), with examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from starlette.routing import BaseRoute

from unshaken.core.version import __version__
from unshaken.serve.guard import MEDIA_TYPE
from unshaken.serve.score.bodies import FORM, IMAGES, JSON, TENSORS, ScoreRequest
from unshaken.serve.score.schema import Problem

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
"""A PNG file of one black pixel, in base64."""
_FILE = {"schema": {"type": "string", "format": "binary"}}

BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            **dict.fromkeys(IMAGES, _FILE),
            FORM: {
                "schema": {
                    "type": "object",
                    "properties": {"image": {"type": "array", "items": _FILE["schema"]}},
                    "description": "Files under any name; the answers come in their order.",
                }
            },
            JSON: {
                "schema": ScoreRequest.model_json_schema(ref_template="#/components/schemas/{model}") | {"$defs": {}},
                "examples": {"one": {"value": {"images": [{"id": "pixel", "data": PIXEL}]}}},
            },
            TENSORS: {
                "schema": {
                    "type": "string",
                    "format": "binary",
                    "description": "A safetensors file with the tensor images, float32 in [0, 1] or uint8 "
                    "[N, C, H, W], as the model sees them, and in its metadata perhaps ids, a JSON list of texts.",
                }
            },
        },
    }
}
"""What a request to score may hold."""

_PROBLEMS = {
    400: "The request is not understood.",
    401: "There is no token, or it is nobody's.",
    408: "The body did not arrive in time.",
    413: "The request is too large, or has too many images.",
    415: "The content type is none of those taken.",
    422: "No image can be used.",
    429: "There are too many requests: try again after the seconds in Retry-After.",
    504: "The deadline passed.",
}


def answers(model: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """The answers of an address: its own, and problems.

    Args:
        model: of its own.
    """
    own: dict[int | str, dict[str, Any]] = {200: {"model": model, "description": "The answer."}}
    problem = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return own | {status: {"description": text, "content": problem} for status, text in _PROBLEMS.items()}


def document(routes: Sequence[BaseRoute]) -> dict[str, Any]:
    """Make the OpenAPI document of routes."""
    found = get_openapi(
        title="unshaken score",
        version=__version__,
        description="Images in; class, calibrated probabilities, detectors' decision and checks out.",
        routes=routes,
    )
    parts = found.setdefault("components", {})
    schemas = parts.setdefault("schemas", {})
    schemas["Problem"] = Problem.model_json_schema()
    schemas |= ScoreRequest.model_json_schema().get("$defs", {})
    parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    found["security"] = [{"token": []}, {}]
    return found
