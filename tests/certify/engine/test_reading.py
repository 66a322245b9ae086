"""The layers read from networks give the networks' logits; what is not known is named."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unshaken.certify.engine.reading import read_chain
from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError
from unshaken.models.networks.architectures import build


class Written(nn.Module):
    """All kinds of functions and methods, with a normalisation of its own."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.2, 0.3, 0.4]).view(1, 3, 1, 1))
        self.std = 0.5
        self.stem = nn.Conv2d(3, 4, 3, padding="same", bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.wide = nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2)
        self.head = nn.Linear(6, 5)

    def forward(self, x):
        x = (x - self.mean.to(x)) / self.std
        x = 2 * self.norm(F.relu(self.stem(x))) + 0.1
        x = F.max_pool2d(self.wide(x).relu(), 2, stride=1)
        x = F.dropout(F.avg_pool2d(x, 2), training=self.training)
        x = F.adaptive_avg_pool2d(x, 1)
        return 1.0 - self.head(torch.flatten(x, 1))


class Viewed(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(48, 3)

    def forward(self, x):
        return self.head(torch.relu(x.view(x.size(0), -1)))


def pooled():
    return nn.Sequential(
        nn.Conv2d(1, 3, 3),
        nn.BatchNorm2d(3, affine=False),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
        nn.AvgPool2d(2, padding=1),
        nn.AdaptiveAvgPool2d((1, 2)),
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(6, 8),
        nn.BatchNorm1d(8),
        nn.ReLU(),
        nn.Identity(),
        nn.Linear(8, 4),
    )


@pytest.mark.parametrize(
    ("net", "shape"),
    [
        (Written, (3, 9, 11)),
        (Viewed, (3, 4, 4)),
        (pooled, (1, 10, 8)),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), (1, 3, 4)),
        (lambda: nn.Sequential(nn.Conv2d(2, 3, (5, 4)), nn.Flatten()), (2, 5, 4)),
        (lambda: build("small", classes=7, channels=3, side=8), (3, 8, 8)),
        (lambda: build("small-cnn", classes=10, channels=1, side=12), (1, 12, 12)),
        (lambda: build("strided-cnn", classes=10, channels=3, side=17), (3, 17, 17)),
    ],
)
def test_the_chain_gives_the_models_logits(make, net, shape):
    channels = shape[0]
    model = Classifier(make.drawn(net()), mean=[0.4] * channels, std=[0.25] * channels)
    x = make.images(*shape)
    got, expected = read_chain(model, x).forward(x), model(x).detach()
    assert got.dtype == torch.float64
    assert torch.allclose(got, expected.double(), rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_a_model_in_training_mode_is_read_as_in_evaluation_and_left_as_it_was(make):
    model = Classifier(make.drawn(pooled())).train()
    x = make.images(1, 10, 8)
    chain = read_chain(model, x)
    assert all(m.training for m in model.modules())
    assert torch.allclose(chain.forward(x), model.eval()(x).double(), atol=1e-5)


def flat(*layers):
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), *layers, nn.Linear(8, 2))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(16, 16), nn.Linear(16, 2)

    def forward(self, x):
        x = x.flatten(1)
        return self.b(self.a(x) + x)


class Branching(nn.Module):
    def forward(self, x):
        return x.flatten(1) if float(x.sum()) > 0 else -x.flatten(1)


class Early(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(16, 2)

    def forward(self, x):
        self.a(x.flatten(1)).relu()
        return x.flatten(1)


class Softened(nn.Module):
    def forward(self, x):
        return torch.softmax(x.flatten(1), 1)


UNKNOWN = [
    (flat(nn.Softmax(1)), "layer '2' is a Softmax, which bounds do not know; known are linear layers"),
    (flat(nn.Sequential(nn.ReLU(), nn.Sigmoid())), "layer '2.1' is a Sigmoid"),
    (flat(nn.LeakyReLU()), "layer '2' is a LeakyReLU"),
    (nn.Sequential(nn.Conv2d(1, 2, 3, padding_mode="circular", padding=1), nn.Flatten()), "padding_mode 'circular'"),
    (nn.Sequential(nn.Conv2d(1, 2, 2, padding="same"), nn.Flatten()), "more padding on one side"),
    (nn.Sequential(nn.MaxPool2d(3, ceil_mode=True), nn.Flatten()), "layer '0' is a max pooling with ceil_mode"),
    (nn.Sequential(nn.AvgPool2d(3, padding=1, count_include_pad=False), nn.Flatten()), "windows of several sizes"),
    (nn.Sequential(nn.AdaptiveAvgPool2d(3), nn.Flatten()), "adaptive pooling of .* to \\(3, 3\\)"),
    (nn.Sequential(nn.Linear(4, 4), nn.Flatten()), "layer '0' is a Linear on inputs of shape \\(1, 4, 4\\)"),
    (nn.Sequential(nn.BatchNorm2d(1, track_running_stats=False), nn.Flatten()), "without running statistics"),
    (nn.Sequential(nn.Conv2d(1, 2, 3)), "ends in shape"),
    (nn.Sequential(nn.Flatten(0)), "operation|Flatten"),
    (Residual(), "joins two paths"),
    (Branching(), "cannot be read"),
    (Early(), "reads a layer before the last|other than its last"),
    (Softened(), "operation 'softmax' is not known"),
]


@pytest.mark.parametrize(("net", "words"), UNKNOWN, ids=[str(i) for i in range(len(UNKNOWN))])
def test_what_is_not_known_is_named(make, net, words):
    with pytest.raises(ModelError, match=f"^certify: .*({words})") as caught:
        read_chain(Classifier(net.eval()), make.images(1, 4, 4))
    assert "\n" not in str(caught.value)


def test_a_classifier_with_a_way_of_its_own_is_refused(make):
    class Doubled(Classifier):
        def forward(self, x):
            return 2 * super().forward(x)

    with pytest.raises(ModelError, match="is a Doubled with a forward pass of its own"):
        read_chain(Doubled(flat(nn.ReLU())), make.images(1, 4, 4))


def test_a_hook_that_changes_logits_is_noticed(make):
    model = Classifier(flat(nn.ReLU()).eval())
    model.net[1].register_forward_hook(lambda _m, _i, out: out + 1)
    with pytest.raises(ModelError, match="differ from its own by"):
        read_chain(model, make.images(1, 4, 4))


def test_half_precision_is_refused(make):
    with pytest.raises(ModelError, match="bfloat16 weights"):
        read_chain(Classifier(flat(nn.ReLU())).bfloat16(), make.images(1, 4, 4))
