"""vmap over the whole op table: against a loop, for every choice of batched arguments; of gradients too.

What vmap refuses is listed in ``REFUSED``, case by case, and the test expects the error for exactly those.
"""
from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from test_optable import ROWS, SEED, call, close, flat, floating, host, mapped, results, with_gradient

import tensorlite as tl
from optable import Case
from tensorlite.errors import GradError, VmapError
from tensorlite.func import vjp, vmap

SIZE = 3
Arrays = list[Any]   # of a call; those that are batched have the batch axis in front
Flags = tuple[bool, ...]


def _by_mask(arrays: Arrays, batched: Flags) -> bool:
    return any(b and a.dtype == bool for a, b in zip(arrays, batched))


def _value_alone(arrays: Arrays, batched: Flags) -> bool:
    return not batched[0] and any(batched)


def _lengths_differ(arrays: Arrays, batched: Flags) -> bool:
    return bool(batched[0] and arrays[0].size and len(set(arrays[0].reshape(SIZE, -1).max(axis=1).tolist())) > 1)


_always: Callable[[Arrays, Flags], bool] = lambda arrays, batched: True
_SHAPE = "the result's shape depends on the values"
# row -> (error, for which arrays of which some are batched, why)
REFUSED: dict[str, tuple[type[Exception], Callable[[Arrays, Flags], bool], str]] = {
    **dict.fromkeys((
        "nonzero", "argwhere", "unique_counts", "unique_inverse", "unique_values", "unique_all: values", "unique_all: indices",
        "unique_all: inverse_indices", "unique_all: counts"), (VmapError, _always, _SHAPE)),
    "repeat": (VmapError, lambda arrays, batched: len(batched) > 1 and batched[1], _SHAPE),
    "getitem": (VmapError, _by_mask, _SHAPE),
    "masked_select": (VmapError, _by_mask, _SHAPE),
    "bincount": (VmapError, _lengths_differ, _SHAPE),
    "allclose": (VmapError, _always, "a Python bool is one answer for all"),
    "batch_norm_followed": (VmapError, _always, "running statistics follow one batch, not a batch of them"),
    "setitem": (GradError, _value_alone, "what differs along the batch is written into what does not"),
    "change_view": (GradError, _value_alone, "what differs along the batch is written into what does not"),
}
# random numbers: with a key the same for all examples, as in the loop
OPTIONS: dict[str, dict[str, Any]] = {"dropout": {"randomness": "same"}}

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


def choices(count: int) -> list[Flags]:
    """Which arrays are batched: all, and each one alone."""
    return [(True,) * count, *([tuple(i == k for i in range(count)) for k in range(count)] if count > 1 else [])]


def put(value: Any, arrays: Iterator[Any]) -> Any:
    return mapped(value, lambda a: next(arrays))


def refused(row: Any, run: Callable[[], Any], arrays: Arrays, batched: Flags, what: str) -> bool:
    """Whether vmap is to refuse this call, and it does, in words that say what to do."""
    error, which, _ = REFUSED.get(row.name, (None, None, ""))
    if error is None or which is None or not which(arrays, batched):
        return False
    with pytest.raises(error, match=r";|:") as caught:
        run()
    assert type(caught.value) is error, what
    return True


@by_row
def test_against_a_loop(row: Any) -> None:
    if "vmap" in row.skip:
        pytest.skip(row.skip["vmap"])
    for number, cases in batches(row):
        held = [flat(c.args) for c in cases]
        if not held[0]:
            continue
        for batched in choices(len(held[0])):
            stacked = [np.stack([h[k] for h in held]) if b else held[0][k] for k, b in enumerate(batched)]

            def function(*arrays: Any, case: Case = cases[0]) -> Any:
                return tuple(flat(call(row, case, put(case.args, iter(arrays)))))
            what = f"{row.name}, case {number}, batched {batched}"
            mapping = vmap(function, in_axes=tuple(0 if b else None for b in batched), **OPTIONS.get(row.name, {}))
            if refused(row, lambda m=mapping, s=stacked: m(*map(tl.tensor, s)), stacked, batched, what):
                continue
            out = mapping(*map(tl.tensor, stacked))
            loop = [function(*[tl.tensor(s[i] if b else s) for s, b in zip(stacked, batched)]) for i in range(SIZE)]
            expected = [np.stack([host(o) for o in column]) for column in zip(*loop)]
            close(results(out), expected, max(row.rtol, 1e-12), what)
            for o, e in zip(flat(out), expected):
                assert o.dtype == e.dtype, f"{what}: dtype {o.dtype}, expected {e.dtype}"


@with_gradient
def test_gradients_against_a_loop(row: Any) -> None:
    if "vmap" in row.skip:
        pytest.skip(row.skip["vmap"])
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
            what = f"{row.name}, case {number}, batched {batched}"
            mapping = vmap(pulled, in_axes=tuple(0 if b else None for b in batched), **OPTIONS.get(row.name, {}))
            if row.name not in ("setitem", "change_view") and refused(   # vjp follows value and target: it can be written there
                    row, lambda m=mapping, s=stacked: m(*map(tl.tensor, s)), stacked, batched, what):
                continue
            out = mapping(*map(tl.tensor, stacked))
            loop = [pulled(*[tl.tensor(s[i] if b else s) for s, b in zip(stacked, batched)]) for i in range(SIZE)]
            expected = [np.stack([host(o) for o in column]) for column in zip(*loop)]
            close(results(out), expected, max(row.rtol, 1e-11), what)


def test_the_list_of_refusals_has_no_other_rows() -> None:
    assert set(REFUSED) | set(OPTIONS) <= {row.name for row in ROWS}
