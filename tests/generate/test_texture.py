"""`generate texture`: candidates that are kept one by one, a choice by one network, and figures from rows alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from unshaken.api import generate_texture
from unshaken.api.generate_texture import make_texture
from unshaken.cli import main
from unshaken.core.classifier import Classifier, View
from unshaken.core.errors import DataError, ParameterError, RunError
from unshaken.core.rng import seeded
from unshaken.models.networks.tile_net import TileNet
from unshaken.report.rebuild import rebuild_report
from unshaken.store.run_dir import RunDir


def network(seed, *, classes=2):
    with seeded(seed):
        return Classifier(TileNet(classes, 3, 16), view=View(16, 16, channels=3), name=f"net-{seed}").eval()


def pixels_of(path):
    with Image.open(path) as image:
        return np.asarray(image)


TINY = {"size": 24, "block": 8, "candidates": 4, "model": network(0), "judge": network(1)}


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (28, 40, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_the_texture_is_the_candidate_of_least_loss_and_figures_are_those_of_the_rows(photo, tmp_path):
    result = make_texture(photo, **TINY, out=tmp_path / "run")
    rows, figures = result.run.rows("synthesis").to_pandas(), result.summary["figures"]
    assert rows.groupby("condition").size().to_dict() == {"open": 4, "photo": 1, "pixels": 1, "wrapped": 4}
    wrapped = rows[rows["condition"] == "wrapped"].set_index("candidate").sort_index()
    best = int(wrapped["tile_score"].idxmax())
    assert figures["chosen_candidate"] == best
    assert figures["chosen"]["judge_score"]["value"] == wrapped["judge_score"][best]
    assert figures["wrapped"]["judge_score"]["value"] == pytest.approx(wrapped["judge_score"].mean())
    others = wrapped["judge_score"].drop(best)
    assert figures["gain_by_loss"]["value"] == pytest.approx(wrapped["judge_score"][best] - others.mean())
    assert figures["judged_better"] == (others > wrapped["judge_score"][best]).sum()
    photo_score = float(rows[rows["condition"] == "photo"]["judge_score"].iloc[0])
    assert figures["gain_by_border"]["value"] == pytest.approx(wrapped["judge_score"].mean() - photo_score)
    pictures = {name: pixels_of(tmp_path / f"run/{name}.png") for name in ("texture", "tiled", "photo")}
    assert pictures["texture"].shape == pictures["photo"].shape == (24, 24, 3)
    assert (pictures["tiled"] == np.tile(pictures["texture"], (2, 2, 1))).all()
    whole = pixels_of(photo)
    assert (pictures["photo"] == whole[2:26, 8:32]).all()  # its middle, as it is
    assert {tuple(p) for p in pictures["texture"].reshape(-1, 3)} <= {tuple(p) for p in whole.reshape(-1, 3)}
    page = (tmp_path / "run/report.html").read_bytes()
    assert b'<ul class="examples">' in page  # pictures large enough to show a seam
    (tmp_path / "run/report.html").unlink()
    assert rebuild_report(result.run)["finished"]
    assert (tmp_path / "run/report.html").read_bytes() == page


def test_a_killed_run_goes_on_to_equal_rows_and_an_equal_texture(photo, tmp_path, monkeypatch):
    monkeypatch.setattr(generate_texture, "optimise", lambda model, textures: textures)
    whole = make_texture(photo, **TINY, out=tmp_path / "whole")
    left, real = [6], generate_texture.quilt

    def dying(*args, **options):
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        return real(*args, **options)

    monkeypatch.setattr(generate_texture, "quilt", dying)
    with pytest.raises(KeyboardInterrupt):
        make_texture(photo, **TINY, out=tmp_path / "run")
    with pytest.raises(RunError, match="have not all been measured; add --resume"):
        generate_texture.TEXTURE.page_of(RunDir(tmp_path / "run"))
    with pytest.raises(RunError, match="holds a run already; add --resume"):
        make_texture(photo, **TINY, out=tmp_path / "run")
    with pytest.raises(RunError, match=r"begun with other settings \(seed differ\)"):
        make_texture(photo, **TINY, seed=1, out=tmp_path / "run", resume=True)
    left[0] = 5  # five are there, three are left, and the texture is made again
    resumed = make_texture(photo, **TINY, out=tmp_path / "run", resume=True)
    assert left[0] == 1
    keys = [("condition", "ascending"), ("candidate", "ascending")]
    assert resumed.run.rows("synthesis").sort_by(keys).equals(whole.run.rows("synthesis").sort_by(keys))
    assert (tmp_path / "run/texture.png").read_bytes() == (tmp_path / "whole/texture.png").read_bytes()


def test_a_grey_photo_gives_a_grey_texture(photo, tmp_path):
    with Image.open(photo) as image:
        image.convert("L").save(tmp_path / "grey.png")
    result = make_texture(tmp_path / "grey.png", **TINY, out=tmp_path / "run")
    assert pixels_of(tmp_path / "run/texture.png").shape == (24, 24)
    assert result.summary["settings"]["shape"] == [28, 40, 1]


def save_constant(path):
    Image.new("RGB", (40, 40), (9, 9, 9)).save(path)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (lambda p: p.mkdir(), {}, "is a folder: name one image file in it"),
        (lambda p: None, {}, "the file does not exist"),
        (lambda p: p.write_text("no image"), {}, "not an image that Pillow can read"),
        (lambda p: Image.new("F", (40, 40)).save(p, "TIFF"), {}, "pixels of mode F have no agreed 8-bit range"),
        (lambda p: Image.new("RGB", (40, 15)).save(p), {}, "has 15 x 40 pixels: give one of 16 x 16 or more, or a"),
        (save_constant, {}, "is of one colour: it tiles as it is"),
    ],
    ids=["folder", "absent", "text", "float", "small", "constant"],
)
def test_a_photo_that_will_not_do_is_refused_in_a_line(make, options, message, tmp_path):
    make(tmp_path / "x.png")
    with pytest.raises(DataError, match=message) as found:
        make_texture(tmp_path / "x.png", **TINY | options, out=tmp_path / "run")
    assert "\n" not in str(found.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"size": 40, "block": 21}, ParameterError, "size 40 is less than two blocks of 21 pixels"),
        ({"size": 7}, ParameterError, "size 7 must be from 16 to 4,096"),
        ({"candidates": 1}, ParameterError, "candidates 1 "),
        ({"judge": network(0)}, ParameterError, "judge 'net-0' gives the loss, too"),
        ({"model": network(3, classes=3)}, ParameterError, "give one of two classes, broken and tileable"),
        ({"model": "nope"}, ParameterError, "no model kind 'nope'"),
    ],
    ids=["size", "tiny size", "candidates", "judge", "classes", "model"],
)
def test_options_that_do_not_fit_are_refused(options, error, message, photo, tmp_path):
    with pytest.raises(error, match=message):
        make_texture(photo, **TINY | options, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_command_prints_its_figures(photo, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(generate_texture, "as_classifier", lambda spec, download: network(len(spec)))
    line = f"generate texture --photo {photo} --size 32 --block 8 --candidates 2 --json --out {tmp_path / 'run'}"
    assert main(line.split()) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["settings"]["candidates"] == 2
    assert 0 <= found["figures"]["chosen"]["judge_score"]["value"] <= 1
    assert main(["generate", "texture", "--photo", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"unshaken: photo '{tmp_path}' is a folder: name one image file in it\n"


def test_the_photos_pixels_descend_the_loss(photo, tmp_path):
    """What its page shows of deception: the score of the network that gives the loss rises."""
    rows = make_texture(photo, **TINY, out=tmp_path / "run").run.rows("synthesis").to_pandas()
    own = rows.set_index("condition")["tile_score"]
    assert own["pixels"] > own["photo"]
    assert torch.isfinite(torch.tensor(rows["tile_score"].to_numpy())).all()
