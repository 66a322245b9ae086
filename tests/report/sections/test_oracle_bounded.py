"""The section on oracle-bounded attacks: FMR from rows by hand, and a page that shows it."""

from __future__ import annotations

import jsonschema
import pytest
from torch import nn

import unshaken
from unshaken.report import schema


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    out = tmp_path_factory.mktemp("oracle") / "run"
    text = "oracle-bounded:oracle=demo,held_out=demo,steps=3,step_size=0.5"
    return unshaken.attack("demo", "demo", text, limit=12, out=out, workers=1, save_examples=2)


def test_fmr_is_that_of_the_rows(attacked):
    (one,) = attacked.summary["oracle_bounded"]
    rows = {r["id"]: r for r in attacked.run.rows("oracle_bounded").to_pylist()}
    outcomes = attacked.run.rows("outcomes").to_pylist()
    clean = {r["id"] for r in outcomes if r["condition"] == "clean" and r["correct"]}
    kept = {r["id"] for r in outcomes if r["condition"] != "clean" and r["correct"]}
    seen = {i for i, r in rows.items() if r["validated"]}
    assert one["fmr"]["value"] == pytest.approx(len(kept & seen) / len(clean & seen))
    assert one["validated"]["value"] == len(seen) / len(rows)
    assert one["fmr"]["value"] == 1  # the oracle is the model: it approves of no image that fools it
    assert sum(one["stops"].values()) == len(rows) == 12
    assert one["held_out_clean"]["value"] == len(clean) / len(rows)
    jsonschema.Draft202012Validator(schema()).validate(attacked.summary)


def test_the_page_shows_it(attacked):
    page, text = attacked.run.read("report.html").decode(), attacked.run.read("report.md").decode()
    assert "Robustness as far as an oracle sees" in page
    assert "Oracle-bounded attacks." in text


class Worst(nn.Module):
    """The class that the demo net thinks least likely."""

    def __init__(self) -> None:
        super().__init__()
        self.net = unshaken.load_model("demo")

    def forward(self, images):
        return -self.net(images)


def test_a_model_that_is_never_right_has_no_fmr(tmp_path):
    text = "oracle-bounded:oracle=demo,steps=1"
    done = unshaken.attack(Worst(), "demo", text, limit=4, out=tmp_path / "run", workers=1, save_examples=0)
    (one,) = done.summary["oracle_bounded"]
    assert one["fmr"] is None
    assert one["stops"] == {"misclassified": 4}
    assert "SA is 0" in done.summary["notes"]["oracle_bounded.oracle-bounded"]
