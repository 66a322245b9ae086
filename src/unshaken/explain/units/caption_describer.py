"""A describer that writes: candidates of a captioner's beam, each with its `p(d)` by the language model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError
from unshaken.explain.units.caption_training import CaptionModels
from unshaken.explain.units.captioner import Captioner, LanguageModel, Pyramid, Vocabulary, beam_search
from unshaken.explain.units.describer import Describer, Phrase
from unshaken.models import load_model

FORMAT = "unshaken-captioner-1"
RECORD, WEIGHTS = "captioner.json", "captioner.safetensors"


class CaptionDescriber(Describer):
    """MILAN's describer: phrases of a captioner, weighed by a language model.

    Args:
        pyramid: the frozen encoder.
        learned: captioner and language model.
        width: of the beam.
        length: words of a description at most; more favours long ones, for nothing is normalised by length.
    """

    def __init__(self, pyramid: Pyramid, learned: CaptionModels, width: int = 50, length: int = 15) -> None:
        self.pyramid, self.learned, self.width, self.length = pyramid, learned, width, length

    @override
    def keys(self, images: Tensor, masks: Tensor, ids: Sequence[str]) -> Tensor:
        return self.pyramid.keys(images, masks)

    @override
    def phrases(self, keys: Tensor) -> list[Phrase]:
        learned = self.learned
        found = beam_search(learned.captioner, keys, self.width, self.length)
        texts = [learned.vocabulary.decode(numbers) for numbers, _ in found]
        with torch.no_grad():
            log_p = learned.language.log_p(learned.vocabulary.encode(texts, self.length)).tolist()
        return [Phrase(t, given, p) for t, (_, given), p in zip(texts, found, log_p, strict=True)]


def save_captioner(learned: CaptionModels, folder: str | Path, *, encoder: str, layers: Sequence[str]) -> None:
    """Write a trained captioner to a folder.

    Args:
        learned: as `learn_captions` gives it.
        folder: made where it is absent.
        encoder: SPEC of the frozen network.
        layers: of it that are read.
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    parts = {"captioner": learned.captioner, "language": learned.language}
    tensors = {f"{name}.{k}": v.contiguous() for name, part in parts.items() for k, v in part.state_dict().items()}
    save_file(tensors, place / WEIGHTS)
    record = {
        "format": FORMAT, "encoder": encoder, "layers": list(layers), "words": list(learned.vocabulary.words),
        "sizes": list(learned.captioner.sizes), "bleu": learned.bleu,
    }  # fmt: skip
    (place / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")


def load_captioner(
    folder: str | Path, *, encoder: Classifier | None = None, width: int = 50, length: int = 15, download: bool = False
) -> CaptionDescriber:
    """Read what `save_captioner` wrote.

    Args:
        folder: of it.
        encoder: the frozen network; None to load the one that is recorded.
        width: of the beam.
        length: words of a description at most.
        download: whether the encoder may be fetched.

    Raises:
        ModelError: the folder holds no captioner, or a damaged one.
    """
    place = Path(folder)
    try:
        record = json.loads((place / RECORD).read_text(encoding="utf-8"))
        if record["format"] != FORMAT:
            raise ValueError(f"format {record['format']!r}")
        words, features, embedding, hidden = record["sizes"]
        tensors = load_file(place / WEIGHTS)
        captioner = Captioner(words, features, embedding, hidden)
        language = LanguageModel(words, embedding, hidden)
        for name, part in (("captioner", captioner), ("language", language)):
            part.load_state_dict({k.partition(".")[2]: v for k, v in tensors.items() if k.startswith(f"{name}.")})
        learned = CaptionModels(captioner.eval(), language.eval(), Vocabulary(tuple(record["words"])), record["bleu"])
        spec, layers = str(record["encoder"]), [str(name) for name in record["layers"]]
    except (OSError, ValueError, LookupError, TypeError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"{place} holds no captioner that can be read ({error}): train one with learn_captions"
        ) from None
    model = encoder or load_model(spec, download=download).eval()
    return CaptionDescriber(Pyramid(model, layers), learned, width, length)
