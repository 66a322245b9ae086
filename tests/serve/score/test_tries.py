"""Attacks on the endpoint, by OWASP's topics: each is refused with its status, in JSON, and the server goes on."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save

from tests.serve.score.conftest import as_json, dyadic, noise, png
from unshaken.serve.score.options import Limits

PNG, JPEG, JSON = ({"content-type": kind} for kind in ("image/png", "image/jpeg", "application/json"))
TENSORS = {"content-type": "application/vnd.safetensors"}
FORM = {"content-type": "multipart/form-data; boundary=x"}
LIMITS = Limits(bytes=1 << 20, images=4, pixels=10_000, passes=400)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(width: int, height: int, data: bytes = b"") -> bytes:
    """A PNG file whose header promises many pixels."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", data or zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def jpeg(side: int = 16, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(noise(side, side).astype(np.uint8)).save(file, "JPEG", **options)
    return file.getvalue()


def in_form(*parts: bytes) -> bytes:
    return b"".join(b"--x\r\n" + part + b"\r\n" for part in parts) + b"--x--\r\n"


def file_part(data: bytes, name: bytes = b"a.png") -> bytes:
    return b'content-disposition: form-data; name="f"; filename="' + name + b'"\r\n\r\n' + data


def header(document: object) -> bytes:
    text = json.dumps(document).encode()
    return len(text).to_bytes(8, "little") + text


TENSOR = dyadic(1, 0)
LONG = {"dtype": "F32", "shape": [1, 1, 8, 8], "data_offsets": [0, 1 << 40]}
ITEM = base64.b64encode(png(noise())).decode()

TRIES = {
    # resource exhaustion
    "PNG bomb by its header": (bomb(60_000, 60_000), PNG, "", 422),
    "PNG of too many pixels": (bomb(101, 100), PNG, "", 422),
    "PNG of zero pixels": (bomb(0, 10), PNG, "", 422),
    "PNG as wide as can be": (bomb(2**31 - 1, 1), PNG, "", 422),
    "JPEG of too many pixels": (jpeg(101), JPEG, "", 422),
    "JPEG of thousands of scans": (jpeg() + b"\xff\xda\x00\x08" * 1000, JPEG, "", 422),
    "body above the limit": (b"\x89PNG" + bytes(1 << 20), PNG, "", 413),
    "gzip bomb": (zlib.compress(bytes(1 << 20)), {**JSON, "content-encoding": "gzip"}, "", 415),
    "JSON of deep nesting": (b'{"images":' + b"[" * 100_000, JSON, "", 413),
    "JSON of very many values": (b'{"images": [' + b'"",' * 20_000 + b'""]}', JSON, "", 413),
    "JSON of a huge number": (b'{"images": ' + b"9" * 100_000 + b"}", JSON, "", 400),
    "too many images in JSON": (json.dumps({"images": [{"data": ITEM}] * 5}).encode(), JSON, "", 413),
    "too many images in tensors": (save({"images": dyadic(5, 0)}), TENSORS, "", 413),
    "too many files in a form": (in_form(*[file_part(png(noise()))] * 5), FORM, "", 400),
    "too many passes": (png(noise()), PNG, "?certify=401", 413),
    "endless certificate": (png(noise()), PNG, "?certify=99999999999999999999", 413),
    "too many perturbations": (png(noise()), PNG, "?perturb=" + "+".join(["fog-1"] * 21), 400),
    "safetensors header of 8 EB": (b"\xff" * 8 + b"{}", TENSORS, "", 400),
    "safetensors beyond its end": (header({"images": LONG}), TENSORS, "", 400),
    "safetensors of a huge shape": (
        header({"images": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 0]}}), TENSORS, "", 400,
    ),
    # malformed input
    "nothing": (b"", PNG, "", 422),
    "no content type": (png(noise()), {}, "", 415),
    "another content type": (png(noise()), {"content-type": "text/plain"}, "", 415),
    "content type of 10,000 letters": (png(noise()), {"content-type": "x" * 10_000}, "", 415),
    "truncated PNG": (png(noise())[:80], PNG, "", 422),
    "truncated JPEG": (jpeg()[:200], JPEG, "", 422),
    "PNG of a wrong check sum": (png(noise())[:-20] + bytes(20), PNG, "", 422),
    "bytes behind a JPEG's signature": (b"\xff\xd8\xff" + bytes(range(256)) * 4, JPEG, "", 422),
    "JSON that is none": (b"{", JSON, "", 400),
    "JSON of another form": (b"[]", JSON, "", 400),
    "JSON without images": (b'{"images": []}', JSON, "", 400),
    "JSON with a further field": (json.dumps({"images": [{"data": ITEM}], "model": "x"}).encode(), JSON, "", 400),
    "JSON that is no UTF-8": (b'{"images": [{"data": "\xff"}]}', JSON, "", 400),
    "JSON of a lone surrogate": (b'{"images": [{"data": "", "id": "\\ud800"}]}', JSON, "", 400),
    "base64 that is none": (b'{"images": [{"data": "*"}]}', JSON, "", 400),
    "tensors without images": (save({"x": TENSOR}), TENSORS, "", 400),
    "tensors of another type": (save({"images": TENSOR.double()}), TENSORS, "", 400),
    "tensors of another shape": (save({"images": dyadic(1, 0)[..., :7].contiguous()}), TENSORS, "", 422),
    "tensors of no image": (save({"images": TENSOR[:0]}), TENSORS, "", 400),
    "tensors beyond [0, 1]": (save({"images": TENSOR + 1}), TENSORS, "", 422),
    "tensors of NaN": (save({"images": TENSOR * torch.nan}), TENSORS, "", 422),
    "tensors of infinity": (save({"images": TENSOR / 0}), TENSORS, "", 422),
    "ids for other images": (save({"images": TENSOR}, metadata={"ids": '["a", "b"]'}), TENSORS, "", 400),
    "ids that are none": (save({"images": TENSOR}, metadata={"ids": "[1]"}), TENSORS, "", 400),
    "form without a boundary": (in_form(), {"content-type": "multipart/form-data"}, "", 400),
    "form without a file": (in_form(), FORM, "", 400),
    "form with a text field": (in_form(b'content-disposition: form-data; name="f"\r\n\r\nx'), FORM, "", 400),
    "form that does not end": (in_form(file_part(png(noise())))[:60], FORM, "", 400),
    "form of an odd character set": (
        in_form(b'content-disposition: form-data; name*=x\'\'%ff; filename="a"\r\n\r\nx'), FORM, "", 400,
    ),
    # injection, traversal and other files
    "SVG with a script": (b"<svg><script>alert(1)</script></svg>", PNG, "", 422),
    "PostScript named PNG": (b"%!PS\n(/etc/passwd) run", PNG, "", 422),
    "GIF, which is not taken": (b"GIF89a" + bytes(50), PNG, "", 422),
    "TIFF, which is not taken": (b"II*\x00" + bytes(50), PNG, "", 422),
    "pickle": (b"\x80\x04\x95cposix\nsystem\n(S'id'\ntR.", TENSORS, "", 400),
    "address to fetch (SSRF)": (b'{"images": [{"data": "http://169.254.169.254/"}]}', JSON, "", 400),
    "path to read": (b'{"images": [{"data": "file:///etc/passwd"}]}', JSON, "", 400),
    "id of a line break": (json.dumps(as_json(png(noise()), id="a\r\nset-cookie: x")).encode(), JSON, "", 400),
    "perturbation by a path": (png(noise()), PNG, "?perturb=../../etc/passwd-1", 400),
    "perturbation by another room": (png(noise()), PNG, "?perturb=pgd-1", 400),
    "perturbation that reads files": (png(noise()), PNG, "?perturb=background_random-1", 400),
    "perturbation of severity 9": (png(noise()), PNG, "?perturb=fog-9", 400),
    # query
    "option of no kind": (png(noise()), PNG, "?model=py:/tmp/x.py:f", 400),
    "top of no number": (png(noise()), PNG, "?top=nan", 400),
    "deadline of NaN": (png(noise()), PNG, "?deadline=nan", 400),
    "deadline below zero": (png(noise()), PNG, "?deadline=-1", 400),
    "sigma of infinity": (png(noise()), PNG, "?certify=100&sigma=inf", 400),
    "too few copies": (png(noise()), PNG, "?certify=3", 400),
}  # fmt: skip


@pytest.fixture(scope="module")
def server(scorer):
    """One server for all tries."""
    from starlette.testclient import TestClient

    from unshaken.serve.app import create_app
    from unshaken.serve.score.part import score_part

    app = create_app([score_part(scorer, limits=LIMITS)], local="local", hosts={"localhost"})
    with TestClient(app, base_url="http://localhost") as client:
        yield client


@pytest.mark.parametrize("name", TRIES)
def test_a_wrong_request_is_refused_and_the_next_is_answered(server, name):
    body, headers, query, status = TRIES[name]
    answer = server.post(f"/v1/score{query}", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem.keys() == {"type", "title", "status", "detail"}
    assert problem["status"] == status
    assert "<script>" not in answer.text
    assert "Traceback" not in answer.text
    assert len(answer.text) < 1000
    assert server.post("/v1/score", content=png(noise()), headers=PNG).status_code == 200


ADDRESSES = {
    "score by GET": ("GET", "/v1/score", {}, 405),
    "absent address": ("GET", "/v1/nothing", {}, 404),
    "address by a path": ("GET", "/v1/..%2f..%2fetc%2fpasswd", {}, 404),
    "another host": ("GET", "/v1/health", {"host": "evil.example"}, 400),
    "page of another site": ("POST", "/v1/score", {"origin": "https://evil.example", **PNG}, 403),
    "page of another site by its frame": ("POST", "/v1/score", {"sec-fetch-site": "cross-site", **PNG}, 403),
    "length of no number": ("POST", "/v1/score", {"content-length": "1e3", **PNG}, 400),
    "length of a terabyte": ("POST", "/v1/score", {"content-length": str(1 << 40), **PNG}, 413),
}


@pytest.mark.parametrize("name", ADDRESSES)
def test_a_wrong_address_or_header_is_refused(server, name):
    method, path, headers, status = ADDRESSES[name]
    answer = server.request(method, path, headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    for header_, value in {"x-content-type-options": "nosniff", "cache-control": "no-store"}.items():
        assert answer.headers[header_] == value


def test_a_body_in_pieces_is_cut_off_at_the_limit(server):
    sent = []

    def pieces():
        for _ in range(100):
            sent.append(1)
            yield bytes(1 << 15)

    answer = server.post("/v1/score", content=pieces(), headers=PNG)
    assert answer.status_code == 413


def test_a_hostile_class_name_is_json_and_not_html(server):
    answer = server.post("/v1/score?top=3", content=png(noise()), headers=PNG)
    assert answer.headers["content-type"] == "application/json"
    names = {p["name"] for p in answer.json()["answers"][0]["probabilities"]}
    assert "<script>alert(1)</script>" in names


def test_one_bad_image_of_several_is_an_answer_of_its_own(server):
    body = as_json(png(noise()), bomb(60_000, 60_000), png(noise(seed=1)))
    answers = server.post("/v1/score", json=body).json()["answers"]
    assert [a["id"] for a in answers] == ["0", "1", "2"]
    assert answers[1].keys() == {"id", "error"}
    assert "pixels" in answers[1]["error"]
    assert all("class" in answers[i] for i in (0, 2))
