"""Accuracy over viewpoints from rows written by hand, and the page's globe."""

import pyarrow as pa
import pytest

from unshaken.core.part import Condition, Part
from unshaken.report.sections.viewpoints import section, viewpoint_figures
from unshaken.store.run_dir import RunDir
from unshaken.store.tables import table_of


@pytest.fixture
def run(tmp_path):
    return written(
        tmp_path,
        [
            ("a", 0, 0, 70, True),
            ("a", 0, 10, 70, False),
            ("a", 0, 179, 20, True),
            ("a", 0, -179, 20, True),
            ("b", 0, -22, 70, True),
            ("b", 0, 90, -45, True),
        ],
    )


def written(place, rows):
    """Rows of `views`: id, psi, theta, phi, correct."""
    columns = dict(zip(("id", "psi", "theta", "phi", "correct"), map(list, zip(*rows, strict=True)), strict=True))
    run = RunDir(place)
    run.write_rows(table_of(Part("views", Condition("gmvfool", "gmvfool"), columns)), "views", "gmvfool", 0)
    return run


def test_accuracy_is_the_mean_over_objects(run):
    (one,) = viewpoint_figures(run)
    assert (one["condition"], one["method"], one["views"]) == ("gmvfool", "gmvfool", 6)
    assert one["accuracy"]["value"] == pytest.approx((3 / 4 + 1) / 2)  # not 5 of 6
    assert one["accuracy"]["n"] == 2
    assert one["held"]["value"] == 0.5


def test_cells_are_where_the_camera_stood(run):
    cells = viewpoint_figures(run)[0]["cells"]
    found = {(c["azimuth"], c["low"], c["upside_down"]): (c["views"], c["accuracy"]["value"]) for c in cells}
    assert found == {
        (0, 0, False): (3, 0.75),
        (-180, 60, False): (2, 1.0),  # from behind, on either side of 180 degrees
        (-90, 30, True): (1, 1.0),  # a negative polar angle leads over the top to the other side
    }
    alone = next(c for c in cells if c["azimuth"] == -90)
    assert (alone["accuracy"]["low"], alone["accuracy"]["high"]) == (0, 1)


@pytest.mark.parametrize(
    ("psi", "theta", "phi", "cell"),
    [
        (0, 0, -70, (-180, 0, True)),
        (0, 180, -70, (0, 0, True)),
        (29, 0, 1, (-90, 60, False)),  # the tilt moves the camera, too: from above to the left
        (35, 0, 1, (-90, 30, False)),
        (0, 270, 70, (-90, 0, False)),
        (0, 0, 100, (0, -90, False)),  # from below
    ],
)
def test_tilt_and_polar_angle_decide_the_place(tmp_path, psi, theta, phi, cell):
    (found,) = viewpoint_figures(written(tmp_path, [("a", psi, theta, phi, True)]))[0]["cells"]
    assert (found["azimuth"], found["low"], found["upside_down"]) == cell


def test_the_page_shows_a_globe(run):
    class Report:
        data = {"viewpoints": viewpoint_figures(run)}

    table = section.blocks(Report())[-1]
    assert [column.title for column in table.columns][:2] == ["elevation", "-180°"]
    texts = [[getattr(c, "text", c) for c in row] if isinstance(row, tuple) else row.text for row in table.rows]
    assert texts[0] == ["60° to 90°", "100", *[""] * 7]
    assert texts[2] == "the camera upside down"
    assert section.blocks(type("Empty", (), {"data": {"viewpoints": []}})()) == ()
    assert pa.types.is_boolean(run.rows("views")["correct"].type)
