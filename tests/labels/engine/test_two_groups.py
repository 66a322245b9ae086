"""Two groups of losses, against scikit-learn."""

from __future__ import annotations

import numpy as np
from sklearn.mixture import GaussianMixture

from unshaken.labels.engine.two_groups import posterior_of_low


def test_two_groups_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0.2, 0.05, 500), rng.normal(0.8, 0.1, 200)])
    x = ((values - values.min()) / np.ptp(values))[:, None]
    model = GaussianMixture(2, max_iter=200, tol=1e-8, reg_covar=5e-4, random_state=0).fit(x)
    theirs = model.predict_proba(x)[:, model.means_.argmin()]
    assert np.mean((posterior_of_low(values) > 0.5) == (theirs > 0.5)) > 0.99
    assert posterior_of_low(np.full(4, 0.3)).tolist() == [1.0] * 4
