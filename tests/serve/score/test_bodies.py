"""Bodies that say more than they hold: they are refused before anything is made for each image."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from starlette.exceptions import HTTPException

from unshaken.serve.score.bodies import JSON, MOST_HEADER, TENSORS, parse_body
from unshaken.serve.score.options import Limits


def tensors(document: dict[str, object]) -> bytes:
    text = json.dumps(document).encode()
    return len(text).to_bytes(8, "little") + text


def refusal(kind: str, body: bytes) -> HTTPException:
    with pytest.raises(HTTPException) as caught:
        parse_body(kind, body, Limits())
    return caught.value


def test_a_tensor_of_no_bytes_that_claims_millions_of_images_takes_no_memory():
    body = tensors({"images": {"dtype": "F32", "shape": [500_000, 0, 8, 8], "data_offsets": [0, 0]}})
    tracemalloc.start()
    try:
        assert refusal(TENSORS, body).status_code == 413
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_header_with_very_many_tensors_is_not_read():
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    found = refusal(TENSORS, tensors({str(k): entry for k in range(20_000)}))
    assert f"larger than {MOST_HEADER:,} bytes" in found.detail


@pytest.mark.parametrize("value", [b'{"data":""}', b'""', b"[]", b"0"])
def test_a_list_of_very_many_values_is_refused_before_it_is_parsed(value):
    found = refusal(JSON, b'{"images":[' + b",".join([value] * 20_000) + b"]}")
    assert (found.status_code, found.detail.partition(",")[0]) == (413, "The body lists more than 64 images")


def test_ids_of_marks_are_no_list_of_values():
    images = [{"data": "", "id": "{" * 200}] * 64
    assert len(parse_body(JSON, json.dumps({"images": images}).encode(), Limits()).ids) == 64
