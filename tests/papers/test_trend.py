"""A row along one of its parameters: every value is a run of its own, and the page says where open parts go."""

import json
import shutil
import xml.etree.ElementTree as ET

import pytest

from unshaken.core.errors import DataError, ParameterError
from unshaken.papers import Paper, row, run_trend
from unshaken.papers.claim import Check, decide
from unshaken.papers.folders import forget_row
from unshaken.papers.result import PaperResult
from unshaken.papers.trend import Curve, Trend, read_trends
from unshaken.papers.trend_pages import draw_curve, open_curves, trend_lines

CLAIM = """
title = "A toy"
claim = "Gain grows."
reference = "Nobody 2026"
data = "none"
model = "none"
[parts.gain]
statement = "It gains."
rule = "Shown if the gain is above {0.above}."
[[parts.gain.checks]]
figure = "gain"
words = "gain: of a toy"
above = 5.0
[parts.loss]
statement = "It loses nothing."
rule = "Shown if the loss is below {0.below}."
[[parts.loss.checks]]
figure = "loss"
words = "loss"
below = 1.0
"""


def bounded(value):
    return {"value": value, "low": value - 1, "high": value + 1, "n": 3, "interval": "by hand"}


@pytest.fixture
def toy(tmp_path):
    """A row whose gain is the number of images, and which counts its runs."""
    folder = tmp_path / "row" / "toy_trend"
    folder.mkdir(parents=True)
    (folder / "claim.toml").write_text(CLAIM + "[sizes.quick]\nimages = 1\nother = 2\n", encoding="utf-8")
    ran = []

    @row(folder / "__init__.py")
    class ToyTrend(Paper):
        images: int
        other: int

        def check_data(self, datasets, *, own):
            pass

        def run(self, context):
            ran.append(self.images)

        def figures(self, rows):
            return {"gain": bounded(float(self.images)), "loss": bounded(0.0), "size": 10 * self.images}

    yield ran
    forget_row("toy-trend")


def test_each_value_is_a_run_and_the_effects_are_kept(toy, tmp_path):
    trend = run_trend("toy-trend:other=3", "images=4+1+2", out=tmp_path / "out")
    assert toy == [4, 1, 2]
    gain, loss = trend.curves
    assert (gain.part, gain.words) == ("gain", "gain: of a toy")
    assert [(p.at, p.value, p.low, p.high) for p in gain.points] == [(1, 1, 0, 2), (2, 2, 1, 3), (4, 4, 3, 5)]
    assert [p.value for p in loss.points] == [0.0, 0.0, 0.0]
    kept = tmp_path / "out" / "trend-images.json"
    assert Trend.model_validate_json(kept.read_text(encoding="utf-8")) == trend
    result = json.loads((tmp_path / "out" / "images=4" / "result.json").read_text(encoding="utf-8"))
    assert result["provenance"]["parameters"] == {"images": 4, "other": 3}
    assert "effect" not in result["checks"][0]


def test_a_trend_goes_on_and_may_have_more_values(toy, tmp_path):
    run_trend("toy-trend", "images=1+2", out=tmp_path / "out")
    longer = run_trend("toy-trend", "images=1+2+8", out=tmp_path / "out")
    assert [p.at for p in longer.curves[0].points] == [1, 2, 8]


def test_the_place_may_be_a_measured_figure(toy, tmp_path):
    trend = run_trend("toy-trend", "images=1+2", along="size", out=tmp_path / "out")
    assert [p.at for p in trend.curves[0].points] == [10, 20]
    with pytest.raises(ParameterError, match="along 'siez' is no measured figure; did you mean 'size'"):
        run_trend("toy-trend", "images=1+2", along="siez", out=tmp_path / "out")


@pytest.mark.parametrize(
    ("slug", "over", "match"),
    [
        ("toy-trend", "images", "name a parameter and two different values"),
        ("toy-trend", "images=1+1", "name a parameter and two different values"),
        ("toy-trend", "images=1++2", "has an empty item"),
        ("toy-trend", "imags=1+2", "no free parameter 'imags'; did you mean 'images'"),
        ("toy-trend:images=3", "images=1+2", "no free parameter 'images'"),
        ("toy-trend", "images=1+x", "images='x' is not a whole number"),
    ],
)
def test_wrong_values_are_refused_before_the_first_run(toy, tmp_path, slug, over, match):
    with pytest.raises(ParameterError, match=match):
        run_trend(slug, over, out=tmp_path / "out")
    assert toy == []


def test_a_folder_of_something_else_is_left_alone(toy, tmp_path):
    (tmp_path / "mine.txt").write_text("x", encoding="utf-8")
    with pytest.raises(ParameterError, match="holds other files"):
        run_trend("toy-trend", "images=1+2", out=tmp_path)


def test_the_slope_by_hand():
    """Two points one doubling apart, standard errors 3 and 4: the rise has the standard error 5."""
    z = 1.959963984540054
    points = [
        {"at": 8, "value": 0.0, "low": -3 * z, "high": 3 * z},
        {"at": 16, "value": 10.0, "low": 10 - 4 * z, "high": 10 + 4 * z},
    ]
    slope = Curve(part="gain", words="gain", points=points).slope()
    assert slope["value"] == pytest.approx(10.0)
    assert slope["high"] - slope["value"] == pytest.approx(5 * z)
    for changes in ({"low": None}, {"at": 0}, {"at": 8}):
        assert Curve(part="gain", words="gain", points=[points[0], {**points[1], **changes}]).slope() is None


def test_pages_show_trends_of_open_parts_alone(toy, tmp_path):
    trend = run_trend("toy-trend", "images=1+2+4", out=tmp_path / "out")
    result = PaperResult.model_validate_json((tmp_path / "out" / "images=4" / "result.json").read_text("utf-8"))
    assert {p.name: str(p.outcome) for p in result.parts}["gain"] != "shown"
    ((picture, same, curve), *others) = [c for c in open_curves(result, [trend]) if c[2].part == "gain"]
    assert (picture, same, others) == ("trend-images-gain.svg", trend, [])
    text = "\n".join(trend_lines(picture, trend, curve, "images"))
    assert "from" not in text
    assert "1 (0 to 2) where images is 1, 4 (3 to 5) where it is 4. It rises: +1.5" in text
    svg = ET.fromstring(draw_curve(trend, curve, "images & more"))
    assert len(svg.findall("{http://www.w3.org/2000/svg}circle")) == 3


def test_a_damaged_trend_is_one_line(tmp_path):
    (tmp_path / "trend-images.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match=r"trend-images\.json is no trend of a row"):
        read_trends(tmp_path)
    shutil.rmtree(tmp_path)
    assert read_trends(tmp_path) == []


def test_checks_carry_their_effect():
    assert decide("gain", "gain", bounded(2.0)).effect == (2.0, 1.0, 3.0)
    assert Check("by hand", True).effect is None
