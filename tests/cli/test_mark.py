"""`unshaken detect mark`, and the detector that finds the mark through rounding to 8 bits."""

from __future__ import annotations

import json

import pytest
import torch

from unshaken.core.registry import parse_method
from unshaken.data import load_data, stream
from unshaken.detect.engine.detector_set import load_detector


def images_of(spec):
    return torch.cat([batch.images for batch in stream(load_data(spec))])


@pytest.mark.parametrize("method", ["spread-spectrum:seed=3,amplitude=8/255", "dct:seed=3,n_bits=16"])
def test_marked_images_are_data_whose_mark_is_read_off(unshaken, place, method):
    done = unshaken(f"detect mark --data demo --limit 40 --method {method} --out marked")
    assert (done.code, done.err, done.out) == (0, "", "images: marked (40 PNG files)\n")
    data = load_data(f"folder:{place / 'marked'}")
    assert len(data) == 40
    assert set(data.classes) <= {name.replace("/", "-") for name in load_data("demo").classes}
    record = json.loads((place / "marked/marked.json").read_text())
    assert record["parameters"]["seed"] == 3
    demo = load_data("demo")
    detector = parse_method(method, "detect")
    marker = detector.watermarker((1, 28, 28), {})
    marked, plain = images_of(f"folder:{place / 'marked'}?mode=L"), images_of("demo")
    assert len(record["images"]) == 40
    assert set(record["images"]) <= set(demo.ids)
    assert float(marker.score(marked).quantile(0.1)) > float(marker.score(plain).quantile(0.9))
    again = unshaken(f"detect mark --data demo --method {method} --out marked")
    assert (again.code, again.err) == (2, "unshaken: marked: holds marked images already; choose another --out\n")


def test_a_learned_mark_is_set_by_the_detector_that_was_fitted(unshaken, place):
    method = "learned-watermark:n_bits=8,steps=60,batch_size=32"
    fitted = unshaken(f"detect fit --model demo:standard --data demo --method {method} --limit 120 --out learned")
    assert fitted.code == 0, fitted.err
    name = "detect mark --data demo --limit 40 --method learned-watermark"
    assert unshaken(f"{name} --detectors learned --out bits").code == 0
    fitted_detector = load_detector(place / "learned", "learned-watermark")
    marker = fitted_detector.method.watermarker((1, 28, 28), fitted_detector.bank)
    marked, plain = images_of(f"folder:{place / 'bits'}?mode=L"), images_of("demo")
    assert float(marker.score(marked).mean()) > float(marker.score(plain).mean()) + 0.2
    bare = unshaken(f"{name} --out bare")
    assert bare.code == 2
    assert "its networks must be trained first: unshaken detect fit --method learned-watermark" in bare.err
    wrong = unshaken("detect mark --data demo --method dct --detectors learned --out bare")
    assert (wrong.code, "no detector 'dct' in learned" in wrong.err) == (2, True)
    assert not (place / "bare").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--method msp --out new", "'msp' is no watermark: use one of dct, learned-watermark, spread-spectrum"),
        ("--method dct:n_bits=64 --out new", "the key has 64: give a shorter key or larger images"),
        ("--method dct --out ''", "'' is empty: give a value"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(unshaken, place, options, message):
    result = unshaken(f"detect mark --data demo {options}")
    assert result.code == 2
    assert message in result.err
    assert not (place / "new").exists()
