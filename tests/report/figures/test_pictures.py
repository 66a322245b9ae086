from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from unshaken.report import build
from unshaken.report.figures import pictures
from unshaken.report.figures.pictures import Examples, address, amplification, examples_of
from unshaken.store.config import Entry
from unshaken.store.run_dir import RunDir

Make = Callable[..., RunDir]
FOG = [Entry(method="fog", severities=(3,))]


def galleries(run: RunDir, **options: Any) -> list[Examples]:
    """The pictures of every condition and of nearest examples."""
    summary = build(run)
    conditions = [*summary.data["conditions"], *summary.data["minimal_norms"]]
    return examples_of(run, summary.config, summary.frame, conditions, **options)


def opened(text: str) -> Image.Image:
    head, _, body = text.partition(",")
    assert head in ("data:image/png;base64", "data:image/jpeg;base64")
    return Image.open(io.BytesIO(base64.b64decode(body)))


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_a_small_picture_is_kept_to_the_bit(channels: int, mode: str) -> None:
    image = torch.randint(0, 256, (channels, 9, 7)).float() / 255
    picture = opened(address(image))
    assert (picture.mode, picture.size) == (mode, (7, 9))
    assert (np.asarray(picture).reshape(9, 7, channels) == (image * 255).round().byte().permute(1, 2, 0).numpy()).all()


def test_a_large_picture_is_made_smaller_in_proportion() -> None:
    picture = opened(address(torch.full((3, 224, 448), 0.5)))
    assert picture.size == (112, 56)
    assert abs(np.asarray(picture).astype(int) - 128).max() <= 2


def test_strange_values_do_not_break_a_picture() -> None:
    picture = opened(address(torch.tensor([[[float("nan"), 7.0], [-3.0, 1.0]]])))
    assert np.asarray(picture).tolist() == [[0, 255], [0, 255]]


def test_a_difference_is_amplified_as_far_as_nothing_is_clipped() -> None:
    clean = torch.full((1, 2, 2), 0.5)

    def factor(change: Tensor) -> int:
        return amplification(lambda: clean, lambda: clean + change)

    assert factor(torch.tensor([[[0.0, 0.03], [-0.01, 0.0]]])) == 20  # 20 x 0.03 = 0.6, 50 x 0.03 is over 1
    assert factor(torch.zeros(1, 2, 2)) == 100
    assert factor(torch.ones(1, 2, 2)) == 1


@pytest.mark.parametrize("size", [(200, 300), (300, 7), (113, 112)])
def test_a_large_picture_is_read_in_strips(monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]) -> None:
    monkeypatch.setattr(pictures, "STRIP", 3 * size[1] * 20)
    image, asked = torch.rand(3, *size), list[slice]()

    class Recorded(torch.Tensor):
        def __getitem__(self, rows: Any) -> Tensor:
            asked.append(rows[1])
            return image[rows]

    small = pictures.shrink(lambda: image.as_subclass(Recorded))
    assert {rows.stop - rows.start for rows in asked} == {20}
    whole = F.interpolate(image[None], small.shape[1:], mode="bilinear", antialias=True)[0]
    assert torch.allclose(small, whole, atol=1e-5)
    assert max(small.shape[1:]) == 112
    change = torch.zeros_like(image)
    change[0, -1, -1] = 0.3
    assert amplification(lambda: image, lambda: image + change) == 2  # 5 x 0.3 is over 1


def test_what_was_broken_stands_first_with_its_predictions(make_run: Make) -> None:
    run = make_run(plan=FOG, pictures=6, shards=1)
    (gallery,) = galleries(run)
    # of samples 0..5: 1 and 2 were right and are wrong at severity 3; 0 was wrong before; 3 to 5 hold.
    assert {e.id for e in gallery.examples[:2]} == {"dir/001.png", "dir/002.png"}
    assert [e.fooled for e in gallery.examples] == [True, True, False, False, False, False]
    first = next(e for e in gallery.examples if e.id == "dir/002.png")
    assert (first.label, first.before, first.after) == ('it\'s | "both"', 'it\'s | "both"', "boot")
    assert gallery.kept == 6
    assert gallery.small


def test_every_condition_has_its_worst_before_any_has_its_second(make_run: Make) -> None:
    run = make_run(pictures=4, shards=1)
    whole = galleries(run)
    assert {len(g.examples) for g in whole} == {4}
    some = galleries(run, size=sum(g.examples[0].size for g in whole) + 10)
    assert [len(g.examples) for g in some] == [1] * 13
    assert galleries(run, size=0) == []
    assert {len(g.examples) for g in galleries(run, shown=2)} == {2}


def test_a_run_without_pictures_has_no_galleries(make_run: Make) -> None:
    run = make_run(plan=FOG, pictures=0)
    assert galleries(run) == []


def test_of_nearest_examples_the_nearest_stand_first(make_run: Make) -> None:
    run = make_run(plan=[], attacks=True, n=16, shards=1, pictures=8, bad=False)
    shown = {g.condition["condition"]: g for g in galleries(run)}
    assert list(shown) == ["deepfool-l2-0.25", "spatial", "deepfool-l2"]
    # 0.1 i for samples 1 to 5, wrong when clean for 0, none found for 6 and 7
    assert [e.distance for e in shown["deepfool-l2"].examples][:5] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    assert [e.fooled for e in shown["deepfool-l2"].examples] == [True] * 5 + [False] * 3
    assert {e.distance for e in shown["spatial"].examples} == {None}
