"""Images of a single colour."""

from __future__ import annotations

import numpy as np
from pydantic import Field
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.inspect.engine.base import ScoreCheck
from unshaken.inspect.engine.sample import DecodedSample


@register("one-colour", reference="unshaken")
class OneColour(ScoreCheck):
    """Find images of one colour: the score is the range of a channel's values, the largest over channels."""

    title = "Images of one colour"
    quantity = "range"
    threshold: float = Field(
        default=0.02, description="flag images whose channels have a smaller range, of [0, 1]", ge=0, le=1
    )

    @override
    def score(self, sample: DecodedSample) -> float:
        ends = np.reshape(np.asarray(sample.image.getextrema()), (-1, 2))
        return float((ends[:, 1] - ends[:, 0]).max()) / 255
