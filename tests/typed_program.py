"""What a user writes: `make types` reads it by mypy without plugins. It is not run."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import unshaken
from unshaken import attack, detect
from unshaken.attack import PGD
from unshaken.certify import IBP
from unshaken.detect import MSP, fit
from unshaken.harden import Trades
from unshaken.labels import find_labels
from unshaken.stress import Fog

net = nn.Linear(3, 2)
x, y = torch.rand(4, 3), torch.zeros(4, dtype=torch.long)
adversarial: Tensor = PGD(steps=10)(net, x, y, eps=8 / 255)
foggy: Tensor = Fog()(torch.rand(1, 3, 8, 8), 3, 0)
done = unshaken.attack(net, (x, y), PGD(steps=3), eps=8 / 255)
figures = (done.accuracy("clean"), done.run, done.summary, done.bad_samples)
unshaken.certify(net, (x, y), IBP())
found = attack(net, (x, y), attack.FGSM(), eps=8 / 255).accuracy("clean")
fitted = detect.fit(net, (x, y), detect.KNN(k=5))
detected = (unshaken.detect(net, "demo", fitted), detect(net, "demo", "screen.safetensors", accept=0.95))
scores: dict[str, Tensor] = fitted.score(x)
fit(net, (x, y), [MSP()])
unshaken.audit(net, (x, y), "quick")
unshaken.explain(net, (x, y), "gradcam")
find_labels("demo")
unshaken.harden(net, (x, y), Trades(eps=8 / 255))
