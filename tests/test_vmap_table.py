"""vmap over the whole op table: against a loop, for every choice of batched arguments; of gradients too."""
from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tensorlite as tl
from optable import Case
from test_optable import ROWS, SEED, call, close, flat, floating, host, mapped, results, with_gradient
from tensorlite.func import vjp, vmap

SIZE = 3

# operations whose results have shapes that depend on values: vmap refuses them
DATA_DEPENDENT = {"nonzero", "argwhere", "unique", "unique_all", "unique_counts", "unique_inverse", "unique_values"}

by_row = pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)


def alike(a: Case, b: Case) -> bool:
    """Whether two cases differ in the values of their arrays alone."""
    shapes = [[(x.shape, x.dtype) for x in flat(c.args)] for c in (a, b)]
    blank = lambda v: mapped(v, lambda x: None)
    return shapes[0] == shapes[1] and repr(blank(a.args)) == repr(blank(b.args)) and repr(a.kwargs) == repr(b.kwargs)


def batches(row: Any) -> Iterator[tuple[int, list[Case]]]:
    """For each case as many of its kind as there are in a batch."""
    draws = [[Case(tuple(np.asarray(a) if isinstance(a, np.generic) else a for a in c.args), c.kwargs) for c in row.cases(
        np.random.default_rng([SEED, zlib.crc32(row.name.encode()), k]))] for k in range(SIZE)]
    print(f"row {row.name}, TENSORLITE_TEST_SEED={SEED}")
    for number, cases in enumerate(zip(*draws)):
        yield number, [c if alike(c, cases[0]) else cases[0] for c in cases]


def choices(count: int) -> list[tuple[bool, ...]]:
    """Which arrays are batched: all, and each one alone."""
    return [(True,) * count, *([tuple(i == k for i in range(count)) for k in range(count)] if count > 1 else [])]


def put(value: Any, arrays: Iterator[Any]) -> Any:
    return mapped(value, lambda a: next(arrays))


@by_row
def test_against_a_loop(row: Any) -> None:
    if row.name in DATA_DEPENDENT or "vmap" in row.skip:
        pytest.skip(row.skip.get("vmap", "the result's shape depends on values"))
    for number, cases in batches(row):
        held = [flat(c.args) for c in cases]
        if not held[0]:
            continue
        for batched in choices(len(held[0])):
            stacked = [np.stack([h[k] for h in held]) if b else held[0][k] for k, b in enumerate(batched)]

            def function(*arrays: Any, case: Case = cases[0]) -> Any:
                return tuple(flat(call(row, case, put(case.args, iter(arrays)))))
            out = vmap(function, in_axes=tuple(0 if b else None for b in batched))(*map(tl.tensor, stacked))
            loop = [function(*[tl.tensor(s[i] if b else s) for s, b in zip(stacked, batched)]) for i in range(SIZE)]
            expected = [np.stack([host(o) for o in column]) for column in zip(*loop)]
            close(results(out), expected, max(row.rtol, 1e-12), f"{row.name}, case {number}, batched {batched}")
            for o, e in zip(flat(out), expected):
                assert o.dtype == e.dtype, f"{row.name}, case {number}: dtype {o.dtype}, expected {e.dtype}"


@with_gradient
def test_gradients_against_a_loop(row: Any) -> None:
    if row.name in DATA_DEPENDENT or "vmap" in row.skip:
        pytest.skip(row.skip.get("vmap", "the result's shape depends on values"))
    for number, cases in batches(row):
        held = [flat(c.args) for c in cases]
        places = []   # of the arrays in argument order that are differentiated
        k = 0
        for i, a in enumerate(cases[0].args):
            for leaf in flat(a):
                if i in row.grad and floating(leaf):
                    places.append(k)
                k += 1
        if not places:
            continue
        for batched in choices(len(held[0])):
            stacked = [np.stack([h[k] for h in held]) if b else held[0][k] for k, b in enumerate(batched)]

            def pulled(*arrays: Any, case: Case = cases[0], places: list[int] = places) -> Any:
                def function(*given: Any) -> Any:
                    whole = list(arrays)
                    for p, x in zip(places, given):
                        whole[p] = x
                    return tuple(o for o in flat(call(row, case, put(case.args, iter(whole)))) if np.dtype(o.dtype).kind == "f")
                outs, pullback = vjp(function, *[arrays[p] for p in places])
                rng = np.random.default_rng(SEED)
                return pullback(tuple(tl.tensor(rng.standard_normal(o.shape), dtype=o.dtype) for o in outs))
            out = vmap(pulled, in_axes=tuple(0 if b else None for b in batched))(*map(tl.tensor, stacked))
            loop = [pulled(*[tl.tensor(s[i] if b else s) for s, b in zip(stacked, batched)]) for i in range(SIZE)]
            expected = [np.stack([host(o) for o in column]) for column in zip(*loop)]
            close(results(out), expected, max(row.rtol, 1e-11), f"{row.name}, case {number}, batched {batched}")
