"""Networks of three trainings, searched as far as the oracles allow and without them, as rows."""

from __future__ import annotations

import torch
from torch import Tensor

from unshaken.attack.semantic.oracle_bounded import OracleBound
from unshaken.core.batch import Batch
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.progress import track
from unshaken.core.values import split_items
from unshaken.generate.auto_encoder import AutoEncoder, fit_auto_encoder
from unshaken.papers.context import Context
from unshaken.papers.datasets import Parts, Split
from unshaken.papers.networks import plan_training
from unshaken_papers.foundation_oracle_robustness import BOUNDED, FREE, RECIPES, FoundationOraclePaper
from unshaken_papers.foundation_oracle_robustness.codes import AutoEncoderCodes
from unshaken_papers.foundation_oracle_robustness.oracles import Oracles, probed

WIDTHS, CODE = (32,), 16
"""Channels of the auto-encoder: two halvings of the sides."""


def run(paper: FoundationOraclePaper, context: Context) -> None:
    """Oracles and generator once, then every training in every seed.

    Raises:
        ParameterError: the oracle is one network alone with several held out, or none is named.
        DataError: there are too few images, or the oracles know none of them.
    """
    if not paper.oracles or not paper.held_out or "+" in paper.held_out:
        raise ParameterError(f"oracles={paper.oracles!r}, held_out={paper.held_out!r}: name oracles, and one held out")
    parts = context.datasets.parts(paper.images + 2 * paper.probed, paper.pool)
    nets, first, second = shares(parts.training, paper, context.seed)
    oracles = make_oracles(paper, context, first, second)
    coder = make_coder(paper, context, nets)
    test = known(paper, context, parts, oracles)
    attack = OracleBound(steps=paper.steps, step_size=paper.rate)
    searches = {
        BOUNDED: attack.using(oracles.committee, [oracles.held_out], coder),
        FREE: attack.using((), [oracles.held_out], coder),
    }
    with track("foundation-oracle-robustness", paper.seeds) as task:
        for part in context.repetitions(paper.seeds):
            training = plan_training(paper.epochs, part.seed, lr=0.05, batch_size=64, held_out=1)
            models = {n: part.net(n, context.model, nets, training, list(r)).model for n, r in RECIPES.items()}
            for name, model in models.items():
                part.predict(f"{name}.clean", model, test)
                for search, method in searches.items():
                    part.evaluate(f"{name}.{search}", method, model, test, keep_images=search == BOUNDED)
            for name, model in models.items():
                for other in (o for o in models if o != name):
                    shown = part.examples(f"{other}.{BOUNDED}", test)
                    part.predict(f"{name}.on-{other}", model, test, examples=shown)
            task.advance()


def shares(data: Split, paper: FoundationOraclePaper, seed: int) -> tuple[Split, Split, Split]:
    """Images for the networks, for the oracles' probes and for the held-out one's; none serves twice.

    Raises:
        DataError: there are too few.
    """
    if len(data) < 3:
        raise DataError(f"{len(data)} training images are too few for networks, oracles and a held-out oracle")
    nets = round(len(data) * paper.images / (paper.images + 2 * paper.probed))
    rest, chosen = data.cut(len(data) - nets, seed)
    half = len(rest) // 2
    return chosen, rest[:half], rest[half:]


def make_oracles(paper: FoundationOraclePaper, context: Context, first: Split, second: Split) -> Oracles:
    """The probes, each fitted on its share of the images."""
    committee = [
        probed(context, f"oracle{i}", spec, paper.side, first) for i, spec in enumerate(split_items(paper.oracles))
    ]
    return Oracles(committee, probed(context, "held-out", paper.held_out, paper.side, second))


def make_coder(paper: FoundationOraclePaper, context: Context, data: Split) -> AutoEncoderCodes:
    """The auto-encoder, which learns the images that the networks learn.

    Raises:
        DataError: the sides of the images are no multiples of 4.
    """
    channels, height, width = data.images.shape[1:]
    if height % 4 or width % 4:
        raise DataError(f"images of {height} x {width} cannot be halved twice: give ?size= a multiple of 4")
    model = AutoEncoder(context.seed, channels=channels, widths=WIDTHS, code=CODE)
    photos = data.images.float() / 255

    def make() -> dict[str, Tensor]:
        return fit_auto_encoder(photos, paper.coder_steps, context.seed, model).state_dict()

    key = {"data": data.digest, "steps": paper.coder_steps, "seed": context.seed, "widths": WIDTHS, "code": CODE}
    model.load_state_dict(context.weights("auto-encoder", key, make, [fit_auto_encoder]))
    return AutoEncoderCodes(model.eval().requires_grad_(False), (channels, height, width)).eval()


def known(paper: FoundationOraclePaper, context: Context, parts: Parts, oracles: Oracles) -> Batch:
    """The test images that the oracles know, the first ones; rows of what each oracle says of all.

    Raises:
        DataError: there is none.
    """
    pool = parts.testing.batch()
    for i, oracle in enumerate(oracles.committee):
        context.predict(f"oracle{i}", oracle, pool)
    context.predict("held-out", oracles.held_out, pool)
    ids = context.once(
        "known", [], lambda: [pool.ids[i] for i in oracles.knows(pool.images, parts.testing.labels).nonzero().flatten()]
    )
    if not ids:
        raise DataError(f"the oracles {paper.oracles} know none of {len(pool)} test images: name others")
    place = {name: i for i, name in enumerate(pool.ids)}
    return pool[torch.tensor([place[i] for i in ids[: paper.attacked]])]
