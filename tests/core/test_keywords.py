"""`keywords`: signatures and docstrings made of a record."""

import inspect
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel, Field

from unshaken.core.keywords import keywords


@dataclass
class Record:
    """Some options.

    Args:
        limit: samples at most,
            or all.
        seed: of the run.
    """

    limit: int | None = None
    seed: int = 0


class Model(BaseModel):
    """Options with descriptions."""

    rate: float = Field(0.1, description="how fast")


@keywords(Record, seed=3)
def draw(image: str, *, shade: float = 1.0, **options: Any) -> dict[str, Any]:
    """Draw.

    Args:
        image: to draw.
        options: see `Record`,
            or elsewhere.

    Returns:
        What was given.
    """
    return {"image": image, "shade": shade, **options}


@keywords(Model)
def run(**training: Any) -> Any:
    """Run.

    Args:
        training: see `Model`.
    """
    return training


def test_the_signature_shows_every_field_with_type_and_default():
    found = inspect.signature(draw)
    assert list(found.parameters) == ["image", "shade", "limit", "seed"]
    assert [found.parameters[n].default for n in ("limit", "seed")] == [None, 3]
    assert found.parameters["limit"].annotation == int | None
    assert {found.parameters[n].kind for n in ("limit", "seed")} == {inspect.Parameter.KEYWORD_ONLY}
    assert inspect.signature(run).parameters["rate"].default == 0.1


def test_the_docstring_describes_every_field():
    lines = inspect.getdoc(draw).splitlines()
    assert lines[2:6] == [
        "Args:",
        "    image: to draw.",
        "    limit: samples at most, or all.",
        "    seed: of the run.",
    ]
    assert lines[7] == "Returns:"
    assert "    rate: how fast." in inspect.getdoc(run)


def test_values_are_handed_on_as_given():
    assert draw("a", limit=2) == {"image": "a", "shade": 1.0, "limit": 2}


@pytest.mark.parametrize(
    ("name", "near"), [("limits", "limit"), ("shad", "shade"), ("sede", "seed"), ("imag", "image")]
)
def test_a_wrong_keyword_gets_a_near_name(name, near):
    with pytest.raises(TypeError, match=rf"^draw\(\) has no parameter '{name}'; did you mean '{near}'"):
        draw("a", **{name: 1})


def test_what_has_no_record_or_no_docstring():
    @keywords()
    def own(*images: str, seed: int = 0) -> int:
        """Its own parameters alone."""
        return seed

    @keywords(Record)
    def silent(**options: Any) -> Any:
        return options

    assert own("a", "b", seed=2) == 2
    assert own.__doc__ == "Its own parameters alone."
    with pytest.raises(TypeError, match=r"no parameter 'images'; known: seed$"):
        own(images="a")
    assert silent(seed=1) == {"seed": 1}
    assert silent.__doc__ is None
