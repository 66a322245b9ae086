"""Tints with captions: the image and the key words both say the class."""

import numpy as np
import torch

from unshaken.tasks.image_text import ImageTextSet

WORDS = (("anchor", "harbor", "sail"), ("saddle", "stable", "mane"), ("runway", "cockpit", "wing"))
CLASSES = ("ship", "horse", "plane")


def samples(n=24, seed=0, first=0):
    """Pictures of 8 x 8 pixels in three tints; every third caption has no key word."""
    rng = np.random.default_rng([seed, first])
    labels = (np.arange(n) + first) % 3
    images = rng.integers(0, 150, (n, 3, 8, 8))
    texts = []
    for i, label in enumerate(labels):
        images[i, label] += 60
        word = WORDS[label][int(rng.integers(3))] if i % 3 else "something"
        texts.append(f"a {word} near the road {i + first}")
    return ImageTextSet(
        torch.from_numpy(images.astype(np.uint8)), tuple(texts), labels, tuple(f"s{i + first:03}" for i in range(n)),
        CLASSES,
    )  # fmt: skip


def channel_means(images):
    """Image features that say the tint."""
    return images.mean((2, 3)).float()


def bag(texts):
    """One number for each class: how often its key words occur; and one for all other words."""
    found = np.zeros((len(texts), 4), np.float32)
    for row, text in zip(found, texts, strict=True):
        for word in text.lower().replace(".", " ").split():
            row[next((k for k, own in enumerate(WORDS) if word in own), 3)] += 1
    return found


def by_words(images, texts):
    """A classifier of texts alone: the class with most key words, by a softmax."""
    logits = 2.0 * bag(texts)[:, :3]
    exp = np.exp(logits - logits.max(1, keepdims=True))
    return exp / exp.sum(1, keepdims=True)


def by_tint(images, texts):
    """A classifier of images alone."""
    return (10 * channel_means(images)).double().softmax(1).numpy()


def by_both(images, texts):
    """The product of both, brought to the sum 1."""
    found = by_words(images, texts) * by_tint(images, texts)
    return found / found.sum(1, keepdims=True)
