"""What each distortion does, the common-right set, paired differences and bad names."""

import numpy as np
import pytest
import torch
from PIL import Image

from tests.explain.biases.conftest import discs, one_hot
from unshaken.core.batch import Batch
from unshaken.core.errors import DataError, ParameterError
from unshaken.explain.biases.distortions import DEFAULT, Distortions, read_distortion
from unshaken.stress.cues.scramble import scramble, tile_order


def by_darkness(x):
    """The class of a disc by the number of its dark pixels, wherever they are."""
    area = (x.mean(1) < 0.5).sum((1, 2)).float()
    return one_hot((((area / torch.pi).sqrt() - 2) / 2).round().clamp(0, 2).long())


def by_spread(x):
    """The class of a disc by how far to the right its dark pixels go."""
    columns = torch.arange(x.shape[3]) * (x.mean(1) < 0.5).any(1)
    return one_hot(((columns.amax(1) - 9) / 2).round().clamp(0, 2).long())


def test_a_net_that_counts_pixels_withstands_scrambling_and_one_that_reads_places_does_not(reads, subject):
    models = {"places": reads(by_spread), "counts": reads(by_darkness)}
    found = Distortions(distortions="scramble-2+grey").find(subject(models))
    assert found.figures["accuracy.counts.scramble-2"].value == 1
    assert found.figures["accuracy.places.scramble-2"].value < 1
    difference = found.figures["difference.counts.scramble-2"]
    assert difference.value == pytest.approx(1 - found.figures["accuracy.places.scramble-2"].value)
    assert difference.n == 12
    assert found.extra["common"] == 12
    assert found.extra["words"]["scramble-2"] == "2 x 2 tiles in another order"
    assert found.figures["difference.counts.grey"].value == 0


def test_a_model_compared_with_itself_does_not_differ(reads, subject):
    net = reads(by_darkness)
    found = Distortions().find(subject({"a": net, "b": net}))
    differences = [f.value for name, f in found.figures.items() if name.startswith("difference")]
    assert differences == [0] * len(DEFAULT)


def test_only_images_that_all_models_get_right_are_distorted(reads, subject):
    models = {"all": reads(by_darkness), "zeros": reads(lambda x: one_hot(torch.zeros(len(x)).long()))}
    found = Distortions(distortions="noise-0.05").find(subject(models))
    assert (found.extra["common"], found.extra["samples"]) == (4, 12)
    assert found.figures["accuracy.all.noise-0.05"].n == 4
    assert found.forwards == 2 * (12 + 4)
    none = {"one": reads(by_darkness), "wrong": reads(lambda x: one_hot((by_darkness(x).argmax(1) + 1) % 3))}
    nothing = Distortions(distortions="grey").find(subject(none))
    assert nothing.figures == {}
    assert "None of 12 images" in nothing.remarks[0]


def test_the_user_s_own_versions_are_found_by_id(reads, subject, tmp_path):
    images, labels = discs()
    ids = [f"{i:02}.png" for i in range(12)]
    for i, image in zip(ids, images.flip(0), strict=True):
        Image.fromarray(image.mul(255).byte().permute(1, 2, 0).numpy()).save(tmp_path / i)
    models = {"m": reads(by_darkness)}
    found = Distortions(distortions="grey", given=f"folder:{tmp_path}").find(subject(models, images, labels, ids=ids))
    wanted = (labels == labels.flip(0)).float().mean()
    assert found.figures["accuracy.m.given"].value == pytest.approx(float(wanted))
    (tmp_path / "03.png").unlink()
    with pytest.raises(DataError, match=r"has no image for 1 of 12 samples, such as '03.png'"):
        Distortions(given=f"folder:{tmp_path}").find(subject(models, images, labels, ids=ids))


def test_each_distortion_is_the_function_of_its_name():
    batch = Batch(torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)), None, ("a", "b"))

    def made(name):
        return read_distortion(name).apply(batch, batch, 0)

    assert torch.equal(made("scramble-4"), scramble(batch.images, tile_order(4)))
    assert float(made("grey").std(1).max()) < 1e-6
    assert made("silhouette").unique().tolist() == made("contour").unique().tolist() == [0, 1]
    noise = made("noise-0.1") - batch.images
    assert float(noise.std()) == pytest.approx(0.1, rel=0.1)
    assert torch.allclose(made("other-amplitude"), batch.images, atol=1e-5)
    assert not torch.equal(made("fog@2"), batch.images)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("scramble-1.5", "a whole number of tiles from 2"),
        ("blur-0", "a strength above 0"),
        ("mirror", "no distortion 'mirror'"),
        ("fog@9", "the severities of 'fog' are 1, 2, 3, 4, 5"),
        ("pgd@1", "no method 'pgd' in stress"),
        ("noise-much", "noise-much|much"),
    ],
)
def test_names_that_are_none_are_one_line(name, message):
    with pytest.raises(ParameterError, match=message) as caught:
        Distortions(distortions=name)
    assert "\n" not in str(caught.value)


def test_images_smaller_than_the_tiles_are_one_line(reads, subject):
    with pytest.raises(ParameterError, match="16 x 16 pixels cannot be cut into 20 x 20 tiles"):
        Distortions(distortions="scramble-20").find(subject({"m": reads(by_darkness)}))


def test_rows_name_every_answer(reads, subject):
    rows = Distortions(distortions="blur-1").find(subject({"m": reads(by_darkness)})).rows
    assert sorted(set(rows["stimulus"])) == ["blur-1", "clean"]
    assert len({len(column) for column in rows.values()}) == 1
    assert np.mean(rows["correct"][:5]) == 1


def test_partners_of_another_class_are_no_given_versions(reads, subject, tmp_path):
    images, labels = discs()
    ids = [f"{i:02}.png" for i in range(12)]
    for i in ids:  # the amplitudes of a flat image: only its mean is left
        Image.new("RGB", (16, 16), (90, 90, 90)).save(tmp_path / i)
    data = {"m": reads(by_darkness)}, images, labels
    alone = Distortions(distortions="other-amplitude").find(subject(*data, ids=ids))
    beside = Distortions(distortions="other-amplitude", given=f"folder:{tmp_path}").find(subject(*data, ids=ids))
    assert alone.figures["accuracy.m.other-amplitude"].value > 0
    assert beside.figures["accuracy.m.other-amplitude"] == alone.figures["accuracy.m.other-amplitude"]
