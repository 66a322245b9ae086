"""Options of `unshaken labels`."""

from __future__ import annotations

from typing import Annotated

import typer

from unshaken.cli.complete import complete_data, complete_model, names
from unshaken.cli.values import COUNT

LARGEST_REVIEW = 1_000_000

Methods = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME[:k=v,...]",
        help="Method; see 'unshaken list labels'. May be repeated; the first decides what is reviewed. "
        "Default: confident-learning.",
        show_default=False,
    ),
]
MaybeData = Annotated[
    str | None,
    typer.Option(
        metavar="SPEC",
        help="Labelled images: demo, folder:DIR, parquet:FILE, cifar10, or another data SPEC.",
        autocompletion=complete_data,
        show_default=False,
    ),
]
Kind = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="What a label is: classes (one an image), multilabel, boxes or masks; the last three read --labels and "
        "--probs from files.",
    ),
]
LabelFile = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Labels, with --kind: multilabel .npy [N, K] of 0 and 1 or .json; boxes .json; masks .npy [N, H, W].",
        show_default=False,
    ),
]
Learner = Annotated[
    str,
    typer.Option(
        metavar="ARCH|SPEC", help="Architecture to cross-validate, or a trained model whose features are frozen."
    ),
]
Probabilities = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Out-of-sample probabilities instead: .npy [N, K] in the order of the data, or .parquet with the columns "
        "id and p_CLASS. With --kind: .npy [N, K], boxes .json, or .npy [N, K, H, W].",
        show_default=False,
    ),
]
Recipes = Annotated[
    list[str] | None,
    typer.Option(
        "--recipe",
        metavar="NAME[:k=v,...]",
        help=f"Training recipe: {', '.join(names('harden/recipes/noisy_labels'))}; others of 'unshaken list harden' "
        "beside it. May be repeated. Default: elr.",
        show_default=False,
    ),
]
Architecture = Annotated[
    str,
    typer.Option(
        metavar="ARCH|SPEC",
        help="Architecture with new weights (small, small-cnn, new:torchvision:NAME), or a model to fine-tune.",
        autocompletion=complete_model,
    ),
]
Folds = Annotated[int, typer.Option(metavar="N", min=2, max=100, help="Number of cross-validation folds.")]
Epochs = Annotated[int, typer.Option(metavar="N", **COUNT, help="Training epochs per fold.")]
Review = Annotated[
    int,
    typer.Option(
        metavar="N", min=0, max=LARGEST_REVIEW, help="Number of samples to draw for review (6 or more); 0 for none."
    ),
]
Out = Annotated[str | None, typer.Option(metavar="DIR", help="Run directory.", show_default=False)]
Resume = Annotated[bool, typer.Option("--resume", help="Resume the run in --out.", show_default=False)]
Verdicts = Annotated[
    str | None,
    typer.Option(
        metavar="FILE.csv",
        help="What people say of the samples to review: columns id and verdict (right, wrong or unclear). "
        "Default: the verdicts of the review in DIR.",
        show_default=False,
    ),
]
