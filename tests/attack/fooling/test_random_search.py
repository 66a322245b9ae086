import pytest

from unshaken.attack.fooling import Ascent, random_ascents
from unshaken.attack.fooling.random_search import CHOICES
from unshaken.core.errors import ParameterError


def test_every_choice_is_drawn_and_nothing_else():
    found = random_ascents(200, seed=1)
    for name, values in CHOICES.items():
        assert {getattr(a, name) for a in found} == set(values)
    assert {a.lr_max for a in found} == {1e7 / 255**2}
    assert len({a.early for a in found}) == 1


def test_a_draw_depends_on_the_seed_and_its_place_alone():
    assert random_ascents(10, seed=3) == random_ascents(100, seed=3)[:10]
    assert random_ascents(10, seed=3) != random_ascents(10, seed=4)
    assert random_ascents(10) == random_ascents(10, seed=0)


def test_what_is_given_is_not_drawn():
    found = random_ascents(20, blur=2.5, lr_max=7)
    assert {(a.blur, a.lr_max) for a in found} == {(2.5, 7)}
    assert all(isinstance(a, Ascent) for a in found)


def test_wrong_use_is_one_line():
    with pytest.raises(ParameterError, match="n=0"):
        random_ascents(0)
    with pytest.raises(ParameterError, match="momentum"):
        random_ascents(1, momentum=0.9)
