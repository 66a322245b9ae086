'''The frame of experiments: what every row of `unshaken papers` needs, once.

A row is a package `unshaken/papers/<slug_with_underscores>/` of about 250 lines: its claim and its rule
(`__init__.py`), its experiment, which writes rows (`experiment.py`), and its figures, which read them (`figures.py`).
The frame does the rest: it refuses a run directory that was made with other settings before anything is read or
trained, resumes what was interrupted, trains networks or takes them from the cache, counts what every sample costs,
and says in the note what came from the cache or from before. If a row wants a training loop, an attack or a measure of
its own, a room lacks a method: add it there.

| file | for a row |
|---|---|
| `paper.py` | `Paper`, `PlusSeparated`, `pilot`, `seeds_in`: claim and rules, without torch |
| `claim.py` | `ClaimPart`, `Check`, `decide`, `decide_near`, `in_every_seed`: parts of a claim, outcomes by intervals |
| `effects.py` | `mean_over`, `across_seeds`, `values_of`; `unpaired`, `negated`, `complement`, `scaled`, `constant` |
| `table.py`, `measured.py` | `write_table`; the figures of a kept result, judged again |
| `context.py` | `Context`: what `run(paper, context)` is given |
| `datasets.py` | `Datasets`, `Split`: images in memory, the user's own in the place of the row's |
| `networks.py` | `Net`, `together`, `untrained`: networks under a key of all that decides their weights |
| `rows.py` | `Rows`, `means`, `share_of`, `stacked`: what `figures(paper, rows)` is given |
| `roles.py` | `choosing`, `Roles`: rows that choose a threshold or a method never judge it |
| `diffusion.py` | `learned_edm`: small diffusion models that a row's images are generated or denoised by |
| `outcomes.py` | `Examples`: attacks and forward passes as rows, with their true cost |
| `tables.py` | the row's own tables, in the namespace of its slug |
| `record.py`, `cache.py`, `code.py` | `paper.json`; the cache of weights; the digest of the code that trains |
| `seen.py` | images that networks of the run, or published ones, learned from: kept, and said on the page |
| `run.py`, `listing.py`, `result.py` | `run_paper`, `freeze`, `figures_of`; `list_papers`; `PaperResult` |
| `table.py`, `pages.py`, `page_*.py` | `write_table`: `docs/papers.md`, and a page and a picture for each row |

A complete row, `unshaken/papers/noisy_labels/__init__.py`:

```python
    """`noisy-labels`: do a third of wrong labels cost robustness?"""

    from __future__ import annotations

    from collections.abc import Mapping, Sequence
    from typing import Any, ClassVar

    from pydantic import Field, PositiveInt

    from unshaken.core.registry import register
    from unshaken.papers.frame import Check, Paper, seeds_in

    EPS = 8 / 255
    RATES = {"clean": 0.0, "noisy": 1 / 3}
    """Name of a network to the share of its training labels that are wrong."""


    @register("noisy-labels", reference="Nobody 2026, arXiv:0000.00000")
    class NoisyLabelsPaper(Paper):
        """Is a network that learned wrong labels easier to fool?"""

        title: ClassVar[str] = "Wrong Labels Cost Robustness"
        claim: ClassVar[str] = "Wrong labels in training lower the accuracy under PGD."
        summary: ClassVar[str] = "Wrong labels cost robustness."
        rule: ClassVar[str] = "Reproduced if, in every seed, the accuracy under PGD at 8/255 falls."
        expected: ClassVar[Mapping[str, Any]] = {"published": "from 0.5 to 0.3"}
        headline: ClassVar[Mapping[str, tuple[str, str]]] = {
            "seed*.cost": ("Lost under PGD by wrong labels", "accuracy"),
            "seed*.clean.pgd": ("Right labels, under PGD", "accuracy"),
            "seed*.noisy.pgd": ("Wrong labels, under PGD", "accuracy"),
        }
        differs: ClassVar[Sequence[str]] = ("Small networks, and labels drawn at random.",)
        data: ClassVar[str] = "fashion-mnist"
        model: ClassVar[str] = "small-cnn"
        tables: ClassVar[Mapping[str, Mapping[str, str]]] = {"wrong_labels": {"given": "int64"}}

        images: PositiveInt = Field(5000, description="training images")
        attacked: PositiveInt = Field(200, description="test images")
        epochs: PositiveInt = Field(3, description="epochs of training")
        seeds: PositiveInt = Field(2, description="networks of each kind")

        def judge(self, measured: Mapping[str, Any]) -> list[Check]:
            """See `rule`."""
            checks = []
            for name, part in seeds_in(measured):
                clean, noisy = (part[net]["pgd"]["value"] for net in RATES)
                words = f"{name}: {clean:.3f} with right labels, {noisy:.3f} with wrong ones"
                checks.append(Check(words, noisy < clean))
            return checks
```

`experiment.py`; every method of `Context` that writes rows does nothing where they are there, so that the function is
simply run again to resume:

```python
    """Networks that learn right and wrong labels, attacked."""

    from __future__ import annotations

    import torch

    from unshaken.attack.gradient.pgd import PGD
    from unshaken.papers.frame.context import Context
    from unshaken.papers.frame.networks import plan_training
    from unshaken.papers.noisy_labels import EPS, RATES, NoisyLabelsPaper


    def run(paper: NoisyLabelsPaper, context: Context) -> None:
        """Train and attack both networks of each seed."""
        parts = context.datasets.parts(paper.images, paper.attacked)
        test = parts.testing.batch()
        for seed in context.seeds(paper.seeds):
            draw = torch.Generator().manual_seed(seed)
            other = torch.randint(parts.training.classes, (len(parts.training),), generator=draw)
            order = torch.rand(len(parts.training), generator=draw)
            for name, rate in RATES.items():
                part = context.within(f"seed{seed}.{name}")  # stands before labels of conditions, networks and steps
                data = parts.training.relabelled(torch.where(order < rate, other, parts.training.labels))
                training = plan_training(paper.epochs, seed, held_out=100)
                net = part.net("net", context.model, data, training, ["crop-flip:pad=0"])
                part.predict("clean", net.model, test)
                part.attack("pgd", net.model, PGD(steps=10, step_size=0.25), test, norm="linf", eps=EPS, seed=seed)
                if not part.has("labels", "wrong_labels"):
                    part.write("wrong_labels", "labels", {"id": list(data.ids), "given": data.labels.tolist()})
```

`figures.py`; it reads rows and nothing else, so that `figures_of(DIR)` gives the same figures years later:

```python
    """Figures of the experiment with wrong labels."""

    from __future__ import annotations

    from typing import Any

    from unshaken.papers.frame.rows import Rows
    from unshaken.papers.noisy_labels import RATES, NoisyLabelsPaper


    def figures(paper: NoisyLabelsPaper, rows: Rows) -> dict[str, Any]:
        """By seed and network."""
        found: dict[str, Any] = {}
        for seed in rows.seeds(paper.seeds):
            part = rows.within(f"seed{seed}")
            found[f"seed{seed}"] = {
                **{net: {name: part.accuracy(f"{net}.{name}") for name in ("clean", "pgd")} for net in RATES},
                "cost": part.difference("noisy.pgd", "clean.pgd"),
                "labels": len(part.table("wrong_labels", "noisy.labels")),
            }
        return found
```

Its tests are `tests/papers/test_noisy_labels.py` (the rule by hand, both ways; the row's own pieces against direct
formulas; figures against rows) and a line in `TINY` of `tests/papers/conftest.py`, which brings it into the battery:
a killed run is resumed, other settings are refused before any training, absent data is one line, figures come from
rows alone, attacks are counted.

What to know:

- A claim of several statements has `parts = {"gain": ClaimPart(statement=..., rule=...), ...}` in the place of
  `rule`, and each `Check` names its part; `decide("gain", words, figure, above=0.02)` judges an effect by its interval,
  and says which effect the experiment was large enough to show. What is not tried is a part with `untried="why"`.
- A row that is run as a whole in several seeds: `for part in context.repetitions(self.seeds)`, each with its seed as
  its own and `seed0.` before all labels; `rows.repetitions` reads them, `in_every_seed(measured, judge)` judges them.
  Of the same images under several seeds figures take the mean over seeds first: an image stands for itself once.
- What figures choose (a threshold, a weight, the best of several) they choose within `choosing()`, by rows that never
  judge: whole conditions or tables that `Paper.chooses` names, half of the images (`rows.halved()`), or a mask
  (`Roles`). Rows that serve the other purpose are refused, and so is a choice outside of `choosing()`.
- `full` has the larger settings of `--scale full`, for more power; the defaults take ten minutes.
- `net(name, start, data, training, recipes)` goes on from an architecture's name, from a function of classes, channels
  and side (with options: `functools.partial(build, width=16)`; no lambda), or from a network, which is left as it is.
  It returns the checkpoint that `training.select` chooses; `plan_training(epochs, seed, ...)` takes the last. The key
  holds the start's weights and structure, the training images and labels, all options of training and recipes (networks
  that they hold by their weights), and a digest of the modules that define architecture and recipes with what they
  import from the rooms that train. An architecture or recipe of the row's own stands best in a file `nets.py`, since
  any change of its file trains its networks again. `Net` has the curves, flags and seconds of the training.
- A recipe of the row's own that ends the training sets `step.stop` in `after_step`.
- What no recipe trains (a denoiser, a linear probe) goes through `context.weights(name, key, make, code)`; an
  expensive step that is no network through `context.once(name, key, compute)`.
- Examples that several models are shown: `found = context.search(...)`, then `context.predict(label, model, batch,
  examples=found)`; each row then bears the cost of the search.
- Registered methods with conditions of their own (AutoAttack, certifiers): `context.evaluate(label, method, ...)`; with
  `keep_images=True` its images can be shown to other models: `examples=context.examples(label, batch)`. Rows
  that a method makes: `context.keep(parts)`. Other tables: `context.write(table, label, columns)`, where one value
  stands for all rows, and a list of such parts, or of single rows, is written as one.
- What the experiment itself decides by rows reads them through `context.rows()`.
- A user's model comes from `context.load_model(spec)`, which pins its weights, several from `load_models`; a row that
  takes none says so by `refuse_model`. A user's images come from `context.datasets.read(None, view=model.view)`.
- `headline` names the figures of the row's page, in plain words, first the one on which the claim rests; a stranger
  reads them without the code. `differs` says what differs from the publication, `remark` only what the figures add.
- Constants that the rule, the experiment and the figures share stand in `__init__.py`, which imports no torch.
'''

from unshaken.papers.frame.claim import Check, ClaimPart, decide, decide_near, in_every_seed, seeds_in
from unshaken.papers.frame.effects import across_seeds, unpaired
from unshaken.papers.frame.paper import Paper, PlusSeparated, pilot

__all__ = [
    "Check",
    "ClaimPart",
    "Paper",
    "PlusSeparated",
    "across_seeds",
    "decide",
    "decide_near",
    "in_every_seed",
    "pilot",
    "seeds_in",
    "unpaired",
]
