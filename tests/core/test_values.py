"""Strict values: what a field of numbers takes, and what it does not."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, NamedTuple

import pytest
from annotated_types import Lt
from pydantic import AllowInfNan, BaseModel, Field

from unshaken.core.errors import ParameterError
from unshaken.core.values import strict_values


class Fields(BaseModel):
    steps: int = 1
    eps: float = 0.1
    maybe: int | None = None
    trial_seed: int = 0
    capped: float = Field(0.0, le=1e12)
    below: int = Field(0, lt=10**12)
    above: int = Field(0, ge=0)
    sides: tuple[int, ...] = ()
    grid: list[list[float]] = []
    caps: tuple[Annotated[float, Field(le=1e12)], ...] = ()
    limit: Annotated[int, Lt(10**12)] | None = None
    radius: Annotated[float, AllowInfNan(True)] = 0.0
    either: int | str = 1
    auto: float | Literal["auto"] = "auto"
    flag: bool = False
    mixed: bool | int = 0
    name: str = ""
    called: int = Field(0, alias="number")


class Pair(NamedTuple):
    one: Any
    other: Any


@pytest.mark.parametrize(
    ("key", "given", "taken"),
    [
        ("steps", 3, 3),
        ("steps", "12", 12),
        ("steps", "-3", -3),
        ("steps", "3.00", 3),
        ("steps", 1.5, 1.5),  # pydantic's to refuse
        ("steps", None, None),
        ("steps", 10**7, 10**7),
        ("steps", -(10**7), -(10**7)),
        ("eps", "1/4", 0.25),
        ("eps", "1e9", 1e9),
        ("maybe", "4", 4),
        ("maybe", None, None),
        ("trial_seed", 2**62, 2**62),
        ("capped", 1e12, 1e12),
        ("below", 10**11, 10**11),
        ("sides", [1, 2], [1, 2]),
        ("sides", (1, 2), (1, 2)),
        ("sides", "1+2", (1, 2)),
        ("sides", 3, (3,)),
        ("sides", Pair(True, "x y"), Pair(True, "x y")),
        ("grid", [[0.5], (1.5,)], [[0.5], (1.5,)]),
        ("caps", (1e12,), (1e12,)),
        ("limit", 10**11, 10**11),
        ("radius", math.inf, math.inf),
        ("radius", "inf", "inf"),
        ("either", "1_0 x", "1_0 x"),
        ("auto", "auto", "auto"),
        ("flag", True, True),
        ("mixed", True, True),
        ("name", "1_0", "1_0"),
        ("called", "5", 5),
        ("number", "5", 5),
        ("unknown", "1_0", "1_0"),
    ],
)
def test_what_is_taken(key, given, taken):
    found = strict_values(Fields, {key: given})
    assert found == {key: taken}
    assert type(found[key]) is type(taken)


@pytest.mark.parametrize(
    ("key", "given", "why"),
    [
        ("steps", True, "True: a boolean is not a number"),
        ("eps", False, "False: a boolean is not a number"),
        ("steps", "1_0", "'1_0' is not a whole number: write digits 0-9 only"),
        ("steps", "3.5", "'3.5' is not a whole number: write digits 0-9 only"),
        ("steps", math.inf, "inf: the value must be finite"),
        ("steps", 10**7 + 1, "10000001: the value must be at most 10,000,000"),
        ("steps", "10000001", "'10000001': the value must be at most 10,000,000"),
        ("steps", -(10**7) - 1, "-10000001: the value must be at most 10,000,000"),
        ("above", 10**7 + 1, "10000001: the value must be at most 10,000,000"),
        ("eps", "x", "'x' is not a number or a fraction such as 8/255"),
        ("eps", math.nan, "nan: the value must be finite"),
        ("eps", 1.5e9, "1500000000.0: the value must be at most 1,000,000,000"),
        ("eps", "1.5e9", "'1.5e9': the value must be at most 1,000,000,000"),
        ("trial_seed", 2**62 + 1, f"{2**62 + 1}: the value must be at most {2**62:,}"),
        ("capped", math.inf, "inf: the value must be finite"),
        ("sides", (1, True), "(1, True): True: a boolean is not a number"),
        ("sides", [10**8], "[100000000]: 100000000: the value must be at most 10,000,000"),
        ("sides", "1, 2", "'1, 2' is not a whole number: write digits 0-9 only"),
        ("sides", "2+1_0", "'2+1_0': '1_0' is not a whole number: write digits 0-9 only"),
        ("grid", [[0.5], [math.nan]], "[[0.5], [nan]]: the value must be finite"),
        ("radius", -math.inf, "-inf: the value must be finite"),
        ("radius", math.nan, "nan: the value must be finite"),
        ("radius", " inf", "' inf': write numbers with the digits 0-9, without spaces or underscores"),
        ("auto", True, "True: a boolean is not a number"),
        ("number", True, "True: a boolean is not a number"),
    ],
)
def test_what_is_refused(key, given, why):
    for name, start in (("", ""), ("pgd", "pgd: ")):
        with pytest.raises(ParameterError) as caught:
            strict_values(Fields, {"name": "x", key: given}, name)
        assert str(caught.value) == f"{start}{key}={why}"
