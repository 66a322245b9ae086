import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unshaken.core.errors import ParameterError
from unshaken.measure import match
from unshaken.measure.statistics.join import encode, tabulate


@pytest.mark.parametrize(
    "column",
    [
        ["b", "a", "b"],
        np.array(["b", "a", "b"]),
        np.array(["b", "a", "b"], object),
        pa.array(["b", "a", "b"]),
        pa.chunked_array([["b", "a"], ["b"]]),
        pa.array(["b", "a", "b"]).dictionary_encode(),
        pa.chunked_array([["b", "a"], ["b"]]).dictionary_encode(),
    ],
)
def test_a_column_in_any_form_has_the_same_codes(column):
    coded = encode("ids", column)
    assert coded.names == ("a", "b")
    assert coded.codes.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([], "empty"),
        (["a", None], "1 missing values in 2"),
        (["a", 1], "mixture"),
        (np.zeros((2, 2)), "mixture"),
        ([1.5, 2.0], "not double"),
    ],
)
def test_a_bad_column_is_refused(column, message):
    with pytest.raises(ParameterError, match=message):
        encode("ids", column)


def test_a_dictionary_s_unused_names_are_no_samples():
    column = pa.array(["c", "a", "b"]).dictionary_encode().filter(pa.array([True, True, False]))
    assert encode("ids", column).names == ("a", "c")


def test_whole_numbers_keep_their_order():
    assert encode("ids", [10, 9, 10]).names == (9, 10)


def table(ids, conditions, values, **options):
    return tabulate(encode("ids", ids), encode("condition", conditions), np.array(values, bool), **options)


def test_rows_become_a_table_whatever_their_order():
    made = table(["y", "x", "x", "y"], ["q", "p", "q", "p"], [1, 0, 1, 0])
    assert made.ids == ("x", "y")
    assert made.values.tolist() == [[False, True], [False, True]]


def test_a_missing_row_is_counted_and_named():
    with pytest.raises(
        ParameterError, match="1 of 2 samples lack a row in at least one of 2 conditions, such as 'y' in 'q'"
    ):
        table(["x", "x", "y"], ["p", "q", "p"], [1, 1, 1])


def test_incomplete_samples_can_be_left_out_and_are_counted():
    made = table(["x", "x", "y"], ["p", "q", "p"], [1, 0, 1], complete_only=True)
    assert (made.ids, made.values.tolist(), made.dropped) == (("x",), [[True, False]], 1)


def test_a_table_without_a_complete_sample_is_refused():
    with pytest.raises(ParameterError, match="2 of 2 samples lack"):
        table(["x", "y"], ["p", "q"], [1, 1], complete_only=True)


def test_a_repeated_row_is_refused():
    with pytest.raises(
        ParameterError, match="1 pairs of sample and condition stand more than once, such as 'x' in 'p'"
    ):
        table(["x", "x", "x"], ["p", "p", "q"], [1, 1, 1])


@settings(deadline=None, max_examples=40)
@given(st.sets(st.text(min_size=1, max_size=5), min_size=1, max_size=20), st.randoms())
def test_match_finds_each_id_in_both(ids, random):
    a, b = sorted(ids), sorted(ids)
    random.shuffle(a)
    random.shuffle(b)
    in_a, in_b = match(a, b)
    assert [a[i] for i in in_a] == [b[i] for i in in_b] == sorted(ids)


def test_match_counts_what_is_missing_on_each_side():
    with pytest.raises(
        ParameterError, match="2 of 4 ids are missing on the second side, 1 of 3 on the first, such as 'b'"
    ):
        match(["a", "b", "c", "d"], ["a", "c", "e"])


def test_match_takes_common_ids_when_asked_and_refuses_none():
    in_a, in_b = match(["d", "a", "b"], ["c", "b", "d"], complete_only=True)
    assert (in_a.tolist(), in_b.tolist()) == ([2, 0], [1, 2])
    with pytest.raises(ParameterError, match="not the same samples"):
        match(["a"], ["b"], complete_only=True)


def test_match_refuses_a_repeated_id():
    with pytest.raises(ParameterError, match="'b' is repeated on the second side"):
        match(["a", "b"], ["b", "b"])
