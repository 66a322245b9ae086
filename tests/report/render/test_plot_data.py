"""What plots are drawn from comes back from their axes."""

from __future__ import annotations

import csv
import io

import pytest

from unshaken.report.blocks import Cell, Column, Group, Table
from unshaken.report.drawings import Dot, Lane, Plot, Point, Strip, Strips, Trace
from unshaken.report.figures import plots
from unshaken.report.render.plot_data import axis_reader, plot_csv, strips_csv, table_csv


def rows_of(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


@pytest.mark.parametrize(
    ("axis", "value"),
    [
        (plots.linear_axis(0.1), 0.0314),
        (plots.log_axis(1.5, 9764), 9763.0),
        (plots.log_axis(1.5, 9764), 2.0),
        (plots.passes_axis(2.9, 53.1), 2.9),
    ],
)
def test_a_number_on_an_axis_is_read_back(axis, value):
    place, ticks = axis
    assert float(axis_reader(ticks)(place(value))) == pytest.approx(value, rel=1e-5)


def test_a_value_axis_that_crosses_0_is_read_back():
    place, lines = plots.value_axis(-3.0, 12.5)
    read = axis_reader(lines)
    assert [read(place(v)) for v in (-3.0, 0.0, 12.5)] == ["-3", "0", "12.5"]


def test_names_and_uneven_strengths_stay_as_their_ticks_say():
    named = axis_reader(((0.0, "clean"), (50.0, "1"), (100.0, "2")))
    assert [named(x) for x in (0, 50, 75, 100)] == ["clean", "1", "", "2"]
    uneven = axis_reader(((0.0, "2/255"), (50.0, "8/255"), (100.0, "0.1")))
    assert [uneven(x) for x in (0, 50, 100)] == ["2/255", "8/255", "0.1"]
    two = axis_reader(((10.0, "10"), (80.0, "100")))  # a line, or a line of logarithms: it cannot be told
    assert [two(x) for x in (10, 45, 80)] == ["10", "", "100"]


def test_a_plot_has_its_points_its_level_and_its_marker():
    figure = {"value": 0.375, "low": 0.2, "high": 0.55}
    marks = (plots.point(50, figure, "ε 0.05: 37.5 %"), Point(100, 100, 100, 100, "ε 0.1: 0.0 %"))
    place, ticks = plots.linear_axis(0.1)
    traces = (plots.curve("PGD, L∞", 0, marks, band=True), Trace("diagonal", 1, (), "0,100 100,0", marked=False))
    drawn = Plot("PGD", "ε", ticks, traces, 3.3, "", marker=(place(0.03), "chosen"))
    assert rows_of(plot_csv(drawn)) == [
        ["series", "ε", "value, %", "low", "high", "in words"],
        ["PGD, L∞", "0.05", "37.5", "20", "55", "ε 0.05: 37.5 %"],
        ["PGD, L∞", "0.1", "0", "", "", "ε 0.1: 0.0 %"],
        ["diagonal", "0", "0", "", "", ""],
        ["diagonal", "0.1", "100", "", "", ""],
        ["unchanged images", "", "96.7", "", "", ""],
        ["chosen", "0.03", "", "", "", ""],
    ]


def test_a_histogram_has_heights():
    place, ticks = plots.linear_axis(4.0)
    hills = Trace("normal", 0, (), f"{place(0):g},100 {place(1):g},25", marked=False)
    drawn = Plot("scores", "score", ticks, (hills,), None, "", ((100.0, ""),))
    assert rows_of(plot_csv(drawn))[0][2] == "height, % of the plot"
    assert [r[1:3] for r in rows_of(plot_csv(drawn))[1:]] == [["0", "0"], ["1", "75"]]


def test_strips_have_their_dots_and_the_interval_of_the_one_that_counts():
    drawn = plots.difference_strips(
        "differences", "change", [("fog", "severity 5", {"value": -0.04, "low": -0.09, "high": 0.01}, "level", ())]
    )
    assert rows_of(strips_csv(drawn))[1] == ["fog", "severity 5", "", "-4", "-9", "1", "-4.0"]
    lane = Lane("this run", (Dot(80.0, "1: 80 %", False), Dot(40.0, "5: 40 %", True)), 30.0, 52.5)
    strips = Strips("c", ("change", "worst"), ("0", "50", "100 %"), (Strip("fog", "", (lane,), "40.0 %"),))
    assert rows_of(strips_csv(strips))[1:] == [
        ["fog", "", "this run", "80", "", "", "1: 80 %"],
        ["fog", "", "this run", "40", "30", "52.5", "5: 40 %"],
    ]


def test_no_cell_is_a_formula_of_a_spreadsheet():
    table = Table("c", (Column("class"), Column("n")), (("=cmd()", "-3"), (Cell("+x", "1 to 2"), "@a"), Group("all")))
    assert rows_of(table_csv(table))[1:] == [["'=cmd()", "-3"], ["'+x (1 to 2)", "'@a"], ["all"]]
