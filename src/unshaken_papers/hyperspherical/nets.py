"""The network of the row: features of both signs, before the last layer."""

from __future__ import annotations

from torch import Tensor, nn
from typing_extensions import override

from unshaken.models.networks.small import SmallCNN

NUMBERS = 64
"""Length of a feature vector."""


class EmbeddingCNN(SmallCNN):
    """`SmallCNN` with a linear layer before its last one: what has passed a ReLU fills but a corner of the sphere.

    Args:
        classes: number of logits K.
        channels: of the images.
        side: any will do.
    """

    def __init__(self, classes: int = 10, channels: int = 3, side: int = 32) -> None:
        super().__init__(classes, channels, side)
        width = self.head.in_features
        del self.head  # the last layer is to be registered last
        self.embedding, self.head = nn.Linear(width, NUMBERS), nn.Linear(NUMBERS, classes)

    @override
    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.embedding(self.body(images).mean((2, 3))))
        return logits
