"""Images of exemplars: read again when they are needed, and a few of them kept small for the page."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.data import stream
from unshaken.explain.engine.analysis import Subject
from unshaken.explain.units.exemplars import Exemplars, pack

HELD = 1 << 28
"""Bytes of decoded images that are held at most."""
SIDE, SHOWN, EACH = 64, 24, 5
"""Of the pictures on the page: largest side in pixels, units of a layer, exemplars of a unit."""


class ImageReader:
    """Reads images by their place in the data, as the first model looks at them; the last ones read are held.

    Args:
        subject: model and images.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self._held: OrderedDict[int, Tensor] = OrderedDict()

    def read(self, samples: Sequence[int]) -> Tensor:
        """Float32 images `[n, C, H, W]` in [0, 1], in the order asked for.

        Args:
            samples: places in the data, all readable.
        """
        data, subject = self.subject.samples, self.subject
        absent = sorted({s for s in samples if s not in self._held})
        place = {data.ids[s]: s for s in absent}
        for part in stream(data, absent, view=subject.model.view, workers=subject.workers, batch_size=subject.batch):
            if isinstance(part, Batch):
                pixels = part.images.mul(255).round().byte()
                self._held.update(zip((place[name] for name in part.ids), pixels, strict=True))
        for sample in samples:
            self._held.move_to_end(sample)
        found = torch.stack([self._held[s] for s in samples]).float() / 255
        most = max(len(samples), HELD // found[0].numel())
        while len(self._held) > most:
            self._held.popitem(last=False)
        return found.to(subject.device)


def page_pictures(
    reader: ImageReader, found: Mapping[str, Exemplars], scores: Mapping[str, Sequence[float | None]]
) -> dict[str, Tensor]:
    """Small exemplars of the units with the highest scores of each layer, as arrays.

    Returns:
        `pictures` uint8 `[P, C, s, s]`, `picture_masks` packed `[P, bytes]`, and `picture_of` int64 `[P, 3]`: the place
        of the layer, the unit, and the exemplar's rank.

    Args:
        reader: of the images.
        found: the exemplars by layer.
        scores: of the units by layer; None for a unit without a description.
    """
    pictures, masks, places = [], [], []
    for number, (layer, one) in enumerate(found.items()):
        scored = [(score, unit) for unit, score in enumerate(scores[layer]) if score is not None]
        for _, unit in sorted(scored, key=lambda entry: -entry[0])[:SHOWN]:
            samples = [s for s in one.samples[unit].tolist() if s >= 0][:EACH]
            images, mask = reader.read(samples), one.mask(unit)[: len(samples)]
            height, width = images.shape[2:]
            size = min(SIDE, height), min(SIDE, width)
            small = images if size == (height, width) else F.interpolate(images, size, mode="bilinear", antialias=True)
            near = F.interpolate(mask[:, None].float(), size, mode="bilinear")[:, 0] > 0.5
            pictures.append(small.clamp(0, 1).mul(255).round().byte().cpu())
            masks.append(pack(near))
            places += [(number, unit, rank) for rank in range(len(samples))]
    if not pictures:
        return {}
    return {"pictures": torch.cat(pictures), "picture_masks": torch.cat(masks), "picture_of": torch.tensor(places)}
