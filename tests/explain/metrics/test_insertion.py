import pytest
import torch
from scipy.ndimage import correlate

from unshaken.core.rng import SampleRng
from unshaken.explain.engine.baselines import substrate_of
from unshaken.explain.metrics.insertion import Insertion

SHARES = [0.4, 0.3, 0.2, 0.1]


@pytest.mark.parametrize(("order", "area"), [(SHARES, 0.625), (SHARES[::-1], 0.375)])
def test_the_best_and_the_worst_order_of_an_additive_model(additive, order, area):
    value = Insertion(score="logit", substrate="black", steps=4).judge(additive(order)).value
    assert value.item() == pytest.approx(area, abs=1e-6)


def test_the_blurred_image_by_scipy(conv, images):
    """A Gaussian of 11 x 11 pixels with standard deviation 5; inside the image the border does not matter."""
    line = torch.exp(-0.5 * ((torch.arange(11.0) - 5) / 5) ** 2)
    kernel = (line[:, None] * line / line.sum() ** 2).numpy()
    found = substrate_of(images, "blur", SampleRng.of(0, "blur", list("abcdefg")), conv)
    for channel in range(3):
        expected = torch.from_numpy(correlate(images[0, channel].numpy(), kernel, mode="mirror"))
        torch.testing.assert_close(found[0, channel], expected, rtol=0, atol=1e-6)


def test_the_models_mean_colour_is_zero_after_normalisation(conv, images):
    found = substrate_of(images, "model-mean", SampleRng.of(0, "mean", list("abcdefg")), conv)
    assert found[0, :, 0, 0].tolist() == pytest.approx([0.5, 0.4, 0.3])
    assert found.shape == images.shape
