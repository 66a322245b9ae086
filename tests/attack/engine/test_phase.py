"""What a stage says of itself."""

from __future__ import annotations

import pytest

from unshaken.attack.black_box.hop_skip_jump import HopSkipJump
from unshaken.attack.black_box.square import Square
from unshaken.attack.engine.phase import Phase
from unshaken.attack.gradient.apgd import APGD


@pytest.mark.parametrize(("search", "follows"), [(APGD(), True), (Square(), False), (HopSkipJump(), False)])
def test_a_stage_follows_gradients_where_its_search_needs_them(search, follows):
    assert Phase(search, "any").gradients is follows


def test_a_surrogates_gradients_are_not_the_models(make):
    assert Phase(APGD(), "transfer-ce", surrogate=make.net()).gradients is False
