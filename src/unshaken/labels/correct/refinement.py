"""Co-refinement and co-guessing: labels made of given ones and of predictions, as far as each is trusted."""

from __future__ import annotations

from torch import Tensor


def sharpen(probabilities: Tensor, temperature: float = 0.5) -> Tensor:
    """`p^(1/T) / sum p^(1/T)`: closer to one-hot for T below 1.

    Args:
        probabilities: `[..., K]`.
        temperature: T, above 0; 1 changes nothing.
    """
    powers: Tensor = probabilities ** (1 / temperature)
    return powers / powers.sum(-1, keepdim=True)


def refine_labels(labels: Tensor, clean: Tensor, probabilities: Tensor, temperature: float = 0.5) -> Tensor:
    """Co-refinement: `w y + (1 - w) p`, sharpened.

    Args:
        labels: given ones as class probabilities `[N, K]`.
        clean: w, the probability that each is right, `[N]`, by the other network.
        probabilities: of the network itself, a mean over views, `[N, K]`.
        temperature: as in `sharpen`.

    Source: Li, Socher & Hoi 2020, arXiv:2002.07394.
    """
    w = clean[:, None]
    return sharpen(w * labels + (1 - w) * probabilities, temperature)


def guess_labels(probabilities: Tensor, temperature: float = 0.5) -> Tensor:
    """Co-guessing: the mean over networks and views, sharpened; the given label has no say.

    Args:
        probabilities: `[..., N, K]`; all but the last two dimensions are averaged over.
        temperature: as in `sharpen`.

    Returns:
        `[N, K]`.
    """
    return sharpen(probabilities.flatten(0, -3).mean(0), temperature)
