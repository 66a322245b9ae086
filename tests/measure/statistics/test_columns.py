import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import flags, integers, numbers, same_length


@pytest.mark.parametrize(
    "values", [[1, 0], [True, False], [1.0, 0.0], np.array([1, 0], "u1"), np.array([1, 0], object)]
)
def test_flags_read_the_usual_forms(values):
    assert flags("x", values).dtype == np.bool_
    assert flags("x", values).tolist() == [True, False]


@pytest.mark.parametrize(
    "values",
    [[1.0, np.nan], [True, None], np.ma.MaskedArray([True, True], [False, True]), np.ma.MaskedArray([1, 1], [0, 1])],
)
@pytest.mark.parametrize("read", [flags, numbers, integers])
def test_a_missing_value_is_counted_and_refused(read, values):
    with pytest.raises(ParameterError, match=r"x has 1 missing values \(NaN or null\) in 2"):
        read("x", values)


@pytest.mark.parametrize("read", [flags, numbers, integers])
def test_an_empty_column_is_refused(read):
    with pytest.raises(ParameterError, match="x is empty"):
        read("x", [])


@pytest.mark.parametrize("read", [flags, numbers, integers])
@pytest.mark.parametrize("values", [np.zeros((2, 2)), np.float64(1)])
def test_a_table_or_a_scalar_is_refused(read, values):
    with pytest.raises(ParameterError, match=r"one column \[N\]"):
        read("x", values)


@pytest.mark.parametrize("read", [flags, numbers, integers])
def test_words_are_refused(read):
    with pytest.raises(ParameterError, match="x must be numbers"):
        read("x", ["yes", "no"])


def test_flags_other_than_0_and_1_are_refused():
    with pytest.raises(ParameterError, match=r"2 of 3 values are not, such as 0\.5"):
        flags("x", [0.5, 1, 2])


def test_numbers_outside_the_range_are_refused():
    with pytest.raises(ParameterError, match=r"x must lie in \[0, 1\], but 1 of 2 values do not, such as 1.5"):
        numbers("x", [0.5, 1.5], low=0, high=1)
    assert numbers("x", [np.inf], low=0).tolist() == [np.inf]


def test_integers_must_be_whole():
    assert integers("x", [1.0, 2.0]).dtype == np.int64
    with pytest.raises(ParameterError, match=r"2 of 3 are not, such as 1\.5"):
        integers("x", [1.5, 2, np.inf])


def test_lengths_must_agree():
    with pytest.raises(ParameterError, match="a 2, b 3"):
        same_length(a=np.zeros(2), b=np.zeros(3))
