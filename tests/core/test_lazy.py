"""Names that are imported when they are first used."""

from __future__ import annotations

import json
import json.decoder

import pytest

from unshaken.core.imports import attribute_of

HOMES = {"JSONDecoder": "json.decoder", "decoder": "json.decoder"}


def test_an_attribute_comes_from_its_module():
    assert attribute_of("json", "JSONDecoder", HOMES) is json.JSONDecoder


def test_a_module_of_that_name_is_the_attribute():
    assert attribute_of("json", "decoder", HOMES) is json.decoder


def test_another_name_is_refused():
    with pytest.raises(AttributeError, match=r"^module 'json' has no attribute 'encoder'$"):
        attribute_of("json", "encoder", HOMES)
