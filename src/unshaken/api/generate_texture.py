"""`make_texture`: a texture that tiles, of the blocks of a photo, chosen by the score of a network."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate

from unshaken.api.job import choose_device, default_out
from unshaken.core.classifier import Classifier
from unshaken.core.consent import of_arguments
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.numbers import in_range
from unshaken.core.options import BLOCK_SIDE, CANDIDATES, SEED, TEXTURE_SIDE
from unshaken.core.package import public
from unshaken.core.part import Condition, Part
from unshaken.core.progress import track
from unshaken.core.rng import SampleRng
from unshaken.core.tables import declare_table
from unshaken.data.decode import BadImage, open_image, pixels_of
from unshaken.explain.textures.optimise import optimise
from unshaken.explain.textures.quilting import quilt
from unshaken.explain.textures.seams import seam_excess
from unshaken.explain.textures.tileability import score_at_view, tile
from unshaken.models import as_classifier
from unshaken.models.loaders.check import fingerprint
from unshaken.report.pages.texture import OPEN, PHOTO, PIXELS, RECORD, TEXTURE, WRAPPED, best_candidate
from unshaken.report.render.notebook import render_notebook
from unshaken.store.lock import locked
from unshaken.store.provenance import provenance
from unshaken.store.record import begin_record
from unshaken.store.run_dir import RunDir
from unshaken.store.tables import table_of

declare_table(
    "synthesis",
    "id string, condition string, method string, candidate int64, tile_score double, judge_score double, "
    "horizontal_excess double, vertical_excess double, error string",
)


@dataclass(frozen=True, slots=True)
class TextureResult:
    """A texture made of a photo.

    Args:
        run: the directory: `texture.png`, two by two of it in `tiled.png`, `texture.json`, rows `synthesis`, a report.
        summary: what `texture.json` holds, with its figures.
    """

    run: RunDir
    summary: dict[str, Any] = field(repr=False)

    def _repr_html_(self) -> str:
        return render_notebook(TEXTURE.page_of(self.run), f"{str(self.run).rstrip('/')}/report.html")


@public("generate.texture")
@of_arguments
def make_texture(
    photo: str | Path,
    *,
    size: int = 256,
    block: int = 64,
    candidates: int = 16,
    model: str | nn.Module = "demo:tile-net",
    judge: str | nn.Module = "demo:tile-judge",
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    device: str = "auto",
    download: bool = False,
) -> TextureResult:
    """Make a texture that tiles of a photo, and measure how well it does.

    Candidates are quilted of the photo's blocks, with a border that fits itself; the one that the network's tileability
    loss is least for is the texture. Beside it are measured: the photo's middle; the same after its pixels descended
    that loss; quilts whose border was not fitted; and all candidates, the same synthesis without the loss. A second
    network, which chose nothing, judges, and the steps over the seams.

    Args:
        photo: an image file, its shorter side at least twice the block.
        size: side of the texture in pixels, at least twice the block.
        block: side of the blocks in pixels: larger than what repeats in the photo, such as a brick.
        candidates: textures to choose from, two at least.
        model: gives the loss: a network that tells textures that tile, see `unshaken.explain.textures.tileability`.
        judge: another such network, trained apart from `model`.
        seed: of all that is drawn.
        out: the run directory; default `runs/` and a name.
        resume: go on with the run that is there; candidates that are measured are not measured again.
        device: `auto`, `cpu`, `cuda` or `mps`.
        download: allow models to be fetched from their own source.

    Raises:
        ParameterError: a number or a name is not allowed.
        DataError: the photo cannot be read, is too small, or of one colour.
        ModelError: a model is absent, or does not take a texture.
        RunError: the directory holds another run, or this one without `resume`.
    """
    in_range("size", size, *TEXTURE_SIDE)
    in_range("block", block, *BLOCK_SIDE)
    in_range("candidates", candidates, *CANDIDATES)
    in_range("seed", seed, *SEED)
    if size < 2 * block:
        raise ParameterError(f"size {size} is less than two blocks of {block} pixels: give a larger size or --block")
    pixels, place = _read(photo, block), choose_device(device)
    nets = {
        name: as_classifier(net, download=download).to(place) for name, net in {"tile": model, "judge": judge}.items()
    }
    if len(set(prints := [fingerprint(net) for net in nets.values()])) == 1:
        raise ParameterError(f"judge {nets['judge'].name!r} gives the loss, too: name a network trained apart from it")
    settings = {
        "photo": str(photo), "sha256": hashlib.sha256(pixels.tobytes()).hexdigest(), "shape": list(pixels.shape),
        "size": size, "block": block, "candidates": candidates, "model": nets["tile"].name,
        "judge": nets["judge"].name, "fingerprints": prints, "seed": seed,
    }  # fmt: skip
    run = RunDir(out or default_out(nets["tile"].name, Path(photo).stem, "texture"))
    textures = _Textures(pixels, size, block, seed, nets["tile"], place)
    _measure(textures.middle(), nets, place)  # a model that takes no texture is refused before the folder is begun
    parts = [(name, 0) for name in (PHOTO, PIXELS)] + [(n, i) for n in (OPEN, WRAPPED) for i in range(candidates)]
    with locked(run) as lock:
        record = begin_record(run, RECORD, settings, resume=resume)
        with track("texture", len(parts)) as task:
            for name, number in parts:
                if not run.has_rows("synthesis", name, number):
                    image = textures.make(name, number)
                    if number == 0:
                        run.write_png(image[0], f"{name}.png")
                    condition = Condition(name, "optimise" if name == PIXELS else name)
                    columns = {"id": [f"{name}-{number}"], "candidate": [number], **_measure(image, nets, place)}
                    part = Part("synthesis", condition, columns)
                    run.write_rows(table_of(part), "synthesis", name, number)
                lock.renew()
                task.advance()
        texture = textures.make(WRAPPED, best_candidate(run))
        run.write_png(texture[0], "texture.png")
        run.write_png(tile(texture)[0], "tiled.png")
        run.write_json(record | {"provenance": provenance(), "finished": True}, RECORD)
        TEXTURE.write(run)
    return TextureResult(run, TEXTURE.read(run).record)


@dataclass(frozen=True, slots=True)
class _Textures:
    """What is made of a photo.

    Args:
        pixels: of the photo, `[H, W, C]` in [0, 1].
        size: side of a texture.
        block: side of the blocks.
        seed: of the blocks' places.
        net: gives the loss.
        device: that it is on.
    """

    pixels: NDArray[np.float32]
    size: int
    block: int
    seed: int
    net: Classifier
    device: str

    def make(self, kind: str, number: int) -> Tensor:
        """A texture `[1, C, H, W]` of a kind; the number is that of a quilt."""
        if kind == PHOTO:
            return self.middle()
        if kind == PIXELS:
            return self.descended()
        rng = SampleRng.of(self.seed, "quilting", [f"{kind}-{number}"]).generators()[0]
        return _image(quilt(self.pixels, self.size, self.block, rng, wrapped=kind == WRAPPED))

    def middle(self) -> Tensor:
        """The photo's middle."""
        side = min(self.size, *self.pixels.shape[:2])
        top, left = ((length - side) // 2 for length in self.pixels.shape[:2])
        return _image(self.pixels[top : top + side, left : left + side])

    def descended(self) -> Tensor:
        """The photo's middle as the network looks at it, after its pixels descended the loss."""
        shown, view = self.middle(), self.net.view
        if view is not None:
            shown = interpolate(shown, (view.height, view.width), mode="bilinear", antialias=True)
            shown = shown.expand(-1, view.channels, -1, -1)
        return optimise(self.net, shown.to(self.device)).cpu()


def _measure(image: Tensor, nets: Mapping[str, Classifier], device: str) -> dict[str, list[float]]:
    """Scores of a texture by networks, and the steps over its seams."""
    scores = {f"{name}_score": score_at_view(net, image.to(device)).tolist() for name, net in nets.items()}
    down, across = seam_excess(image)[0].tolist()
    return {**scores, "horizontal_excess": [down], "vertical_excess": [across]}


def _image(pixels: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]


def _read(photo: str | Path, block: int) -> NDArray[np.float32]:
    """The photo's pixels in [0, 1], `[H, W, 1 or 3]`."""
    if Path(photo).is_dir():
        raise DataError(f"photo {str(photo)!r} is a folder: name one image file in it")
    try:
        pixels = pixels_of(open_image(Path(photo)))
    except BadImage as error:
        raise DataError(f"photo {str(photo)!r}: {error.reason}") from None
    height, width = pixels.shape[:2]
    if min(height, width) < 2 * block:
        raise DataError(
            f"photo {str(photo)!r} has {height} x {width} pixels: give one of {2 * block} x {2 * block} or more, or a "
            f"--block of {min(height, width) // 2} or less"
        )
    if np.ptp(pixels, (0, 1)).max() == 0:
        raise DataError(f"photo {str(photo)!r} is of one colour: it tiles as it is")
    return np.asarray(pixels, np.float32) / np.float32(255)
