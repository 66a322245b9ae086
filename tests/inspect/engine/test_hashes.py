"""Hashes as imagehash 4.3.2 gives them, and pairs of near ones as counting bits finds them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.inspect.images import pattern
from unshaken.inspect.engine.hashes import dhash, from_hex, near_pairs, phash, to_hex

IMAGEHASH = {
    (60, 80, 3, 2, 5): ("80372c7a77666c4b", "fbfef2ecd995aba3"),
    (97, 41, 1, 7, 3): ("80010f3f1f7efc38", "ffdbb880bb80a7ed"),
    (40, 150, 9, 1, 0): ("813c73664953b5ab", "b5f7fcf1f7ecc9db"),
}
"""`str(imagehash.phash(image))` and `dhash`, by imagehash 4.3.2 and Pillow 13.0."""


@pytest.mark.parametrize(("form", "expected"), IMAGEHASH.items())
def test_hashes_are_those_of_imagehash(form, expected):
    grey = pattern(*form).convert("L")
    assert (to_hex(phash(grey)), to_hex(dhash(grey))) == expected


def test_a_dhash_by_hand():
    pixels = np.tile(np.array([0, 10, 5, 5, 9, 1, 2, 3, 200], np.uint8), (8, 1))  # of its own size: not resized
    assert dhash(Image.fromarray(pixels)).tolist() == [[True, False, False, True, False, True, True, True]] * 8


def test_hexadecimal_digits_are_read_again():
    bits = np.random.default_rng(0).random((20, 8, 8)) < 0.5
    assert (from_hex(np.array([to_hex(one) for one in bits])) == bits.reshape(20, 64)).all()


@pytest.mark.parametrize("most", [0, 3, 24])
def test_near_pairs_are_those_that_counting_finds(monkeypatch, most):
    monkeypatch.setattr("unshaken.inspect.engine.hashes._PIECE", 16)
    rng = np.random.default_rng(1)
    bits = rng.random((50, 64)) < 0.5
    bits[25:] = bits[:25] ^ (rng.random((25, 64)) < 0.03)
    expected = {
        (a, b, int((bits[a] ^ bits[b]).sum()))
        for a in range(50)
        for b in range(a + 1, 50)
        if (bits[a] ^ bits[b]).sum() <= most
    }
    found = [row for part in near_pairs(bits, most) for row in zip(*(x.tolist() for x in part), strict=True)]
    assert len(found) == len(expected)
    assert set(found) == expected
    assert expected
