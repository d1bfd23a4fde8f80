"""Arrays made in the likeness of others (tensorlite/ops/creation.py)."""
from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import tensorlite as tl
from optable._row import Case, Row
from optable.elementwise import normal


def _likes(rng: np.random.Generator) -> Iterator[Case]:
    for shape in ((2, 3), (), (0, 2)):
        yield Case((normal(rng, *shape),))
    yield Case((rng.integers(0, 5, 3),))


def _fulls(rng: np.random.Generator) -> Iterator[Case]:
    for shape in ((2, 3), (), (0, 2)):
        yield Case((normal(rng, *shape), 2.5))


ROWS = [
    Row("zeros_like", tl.zeros_like, np.zeros_like, _likes, covers=("zeros_like",)),
    Row("ones_like", tl.ones_like, np.ones_like, _likes, covers=("ones_like",)),
    Row("full_like", tl.full_like, np.full_like, _fulls, covers=("full_like",)),
]
