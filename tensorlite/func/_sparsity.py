"""Which results depend on which inputs: a function runs once on values that carry the set of inputs they depend on.

A set is a boolean array in front of a value's shape, one place for each input. What an operation does to sets:

- elementwise operations join their arguments' sets, place by place;
- operations that move, copy or add up elements do to the sets what they do to the values: they are linear with no negative
  coefficients, so that nothing cancels;
- products do so with the other factor replaced by where it is not 0, reductions join along their axes;
- anything else: every result depends on all that any argument depends on.

So the pattern holds every entry of the Jacobian at this point that is not 0, and may hold more. Another point may lead through
other branches of the function, or by constants' other zeros, and has a pattern of its own.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from tensorlite import _tree, backends
from tensorlite._levels import LevelTensor
from tensorlite.engine import inplace
from tensorlite.engine.batching import BatchLevel, batch, in_a_batch
from tensorlite.engine.levels import Level
from tensorlite.engine.primitive import REGISTRY
from tensorlite.engine.value import Provided, Value, new, raw
from tensorlite.errors import DTypeError
from tensorlite.func._trees import as_tensors

__all__ = ["jacobian_sparsity"]

INPUTS_AT_ONCE = 256   # sets of so many inputs are carried in one run: memory is that many times the values' number

EACH = frozenset(("abs", "cast", "clone", "conj", "contiguous", "drop_nan", "dropout", "gelu", "gelu_tanh", "imag", "nan_to_num",
                  "real", "relu_backward", "sign", "signed_power", "silu"))
MOVES = frozenset(("concat", "cumsum", "diagonal", "embedding", "expand", "flatten_axes", "flip", "getitem", "mean", "move",
                   "pad", "permute", "put", "put_add", "put_along_axis", "reshape", "restore_axes", "roll", "slide", "split",
                   "spread", "stack", "sum", "sum_to", "take_along_axis", "tril", "triu", "unstack"))
PRODUCTS = frozenset(("einsum", "linear", "linear_relu", "matmul", "matvec", "vecdot"))
REDUCTIONS = frozenset(("logsumexp", "max", "min", "prod", "std", "var", "vector_norm"))
ALONG = frozenset(("cumprod", "log_softmax", "softmax", "sort"))


class Dependent(LevelTensor):
    """A value and, for each of its elements, the inputs it depends on: ``sets`` is (inputs, *shape), boolean and raw."""

    __slots__ = ("sets",)
    sets: Any

    def through(self, op: Any, args: tuple[Any, ...], options: dict[str, Any], level: int) -> Any:
        mine = [isinstance(a, Value) and a.level == level for a in args]
        values = [a.value if m else a for a, m in zip(args, mine)]
        out = (op.full or op)(*values, **options)
        outs = out if isinstance(out, tuple) else (out,)
        if op.discrete:
            return outs[0] if op.visible is not None or not isinstance(out, tuple) else out
        count = self.sets.shape[0]
        sets = {i: _sets(a, count) for i, (a, m) in enumerate(zip(args, mine)) if m}
        tensors: tuple[Any, ...] = tuple([
            dependent(o, s, level) if Provided.is_differentiable(o.dtype) else o
            for o, s in zip(outs, _joined(op, values, sets, options, outs, count))])
        if op.view:
            for k, tensor in enumerate(tensors):
                inplace.link(tensor, op, args, options, k if isinstance(out, tuple) else None)
        return tensors if isinstance(out, tuple) and op.visible is None else tensors[0]

    def take_place_of(self, new: Any) -> None:
        mine = isinstance(new, Value) and new.level == self.level
        value = new.value if mine else new
        count = self.sets.shape[0]
        self.value, self.sets = value, _sets(new, count) if mine else _filled(value, count, False)

    def detach(self) -> Any:
        return self.value.detach()

    def __copy__(self) -> Any:
        return dependent(self.value, self.sets, self.level)

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """All dependence is followed: as it is."""
        return self


def dependent(value: Any, sets: Any, level: int) -> Dependent:
    tensor = Dependent.__new__(Dependent)
    tensor.value, tensor.node, tensor.grad, tensor.extra, tensor.tracked = value, None, None, None, True
    tensor.level, tensor.sets = level, sets
    return tensor


def _xp(value: Any) -> Any:
    return backends.backend_of(raw(value)).xp


def _filled(value: Any, count: int, filling: bool) -> Any:
    xp = _xp(value)
    return xp.full((count, *value.shape), filling, dtype=xp.bool)


def _sets(x: Any, count: int) -> Any:
    """What a value of the level depends on; of one that came out of a rule of the user's, that is anything."""
    return x.sets if isinstance(x, Dependent) else _filled(x, count, True)


# ---- what operations do to sets --------------------------------------------------------------------------------------------

def _joined(op: Any, values: Sequence[Any], sets: dict[int, Any], options: dict[str, Any], outs: Sequence[Any],
            count: int) -> list[Any]:
    """The sets of an operation's results."""
    if op.elementwise or op.pointwise or op.name in EACH:
        return [_each(sets, out, count) for out in outs]
    if op.name in MOVES:
        others = [_zeros(v) if i not in sets else None for i, v in enumerate(values)]
        fill = {name: 0 for name in ("value", "fill") if name in op.options}
        return _ran(op, others, sets, {**options, **fill}, count)
    if op.name in PRODUCTS:
        factors = [_not_zero(v) for v in values]
        found = None
        for i, s in sets.items():
            others = [*factors]
            if op.name.startswith("linear"):
                others = [_zeros(v) if (i < 2) == (k == 2) else f for k, (v, f) in enumerate(zip(values, factors))]
            one = _ran(op, others, {i: s}, options, count)[0]
            found = one if found is None else found | one
        return [found]
    if op.name in REDUCTIONS:
        return _ran(REGISTRY["sum"], [None], sets, {k: v for k, v in options.items() if k in ("axis", "keepdims")}, count)
    if op.name in ALONG:
        if op.name == "cumprod":
            return _ran(REGISTRY["cumsum"], [None], sets, options, count)
        axis = options.get("axis", op.options.get("axis"))
        xp = _xp(outs[0])
        (whole,) = _ran(REGISTRY["sum"], [None], sets, {"axis": axis, "keepdims": True}, count)
        return [xp.broadcast_to(whole, (count, *outs[0].shape))]
    xp = _xp(outs[0])
    anything = xp.zeros((count,), dtype=xp.bool)
    for s in sets.values():
        anything = anything | xp.any(xp.reshape(s, (count, prod(s.shape[1:]))), axis=1)
    return [xp.broadcast_to(xp.reshape(anything, (count,) + (1,) * len(o.shape)), (count, *o.shape)) for o in outs]


def _each(sets: dict[int, Any], out: Any, count: int) -> Any:
    xp, shape = _xp(out), tuple(out.shape)
    found = xp.zeros((count, *shape), dtype=xp.bool)
    for s in sets.values():
        found = found | xp.reshape(s, (count, *(1,) * (len(shape) + 1 - s.ndim), *s.shape[1:]))
    return found


def _zeros(value: Any) -> Any:
    """What an argument that depends on nothing adds."""
    if not isinstance(value, Value):
        return value if not hasattr(value, "dtype") or not Provided.is_differentiable(value.dtype) else value * 0
    if not Provided.is_differentiable(value.dtype):
        return value
    xp = _xp(value)
    return new(xp.zeros(tuple(value.shape), dtype=xp.float32))


def _not_zero(value: Any) -> Any:
    """1 where a factor is not 0."""
    if value is None:
        return None
    xp = _xp(value)
    if in_a_batch(value):
        return new(xp.ones(tuple(value.shape), dtype=xp.float32))
    backend = backends.backend_of(raw(value))
    return new(xp.astype(backend.asarray(raw(value) != 0), xp.float32))


def _ran(op: Any, others: Sequence[Any], sets: dict[int, Any], options: dict[str, Any], count: int) -> list[Any]:
    """``op`` on the sets of some arguments, for all inputs at once."""
    xp = _xp(next(iter(sets.values())))
    with BatchLevel(count) as level:
        given = [batch(new(xp.astype(sets[i], xp.float32)), level) if i in sets else other for i, other in enumerate(others)]
        out = op(*given, **options)
        outs = out if isinstance(out, tuple) else (out,)
    return [raw(o) > 0 for o in outs]


# ---- detection ---------------------------------------------------------------------------------------------------------------

def jacobian_sparsity(f: Callable[..., Any], *args: Any) -> Any:
    """Where the Jacobian of ``f`` at ``args`` may be other than 0: a NumPy boolean array (results, inputs).

    Rows are the elements of f's results, in the order of their tree, columns those of the arguments. Every entry that is not 0 at
    this point is in it (at other points branches may differ); where nothing better is known of an operation, all its results
    count as dependent on all its arguments. f runs once for each 256 inputs. Memory: 256 bytes for each value that is alive.

    >>> import tensorlite as tl
    >>> tl.func.jacobian_sparsity(lambda x: x[1:] * x[:-1], tl.ones(3))
    array([[ True,  True, False],
           [False,  True,  True]])
    """
    import numpy as np
    flat, rebuild = _tree.flatten(tuple(args))
    xs = [x.detach() if isinstance(x, Value) else Provided.asarray(x) for x in flat]
    for x in xs:
        if not Provided.is_differentiable(x.dtype):
            raise DTypeError(f"jacobian_sparsity: an argument of dtype {x.dtype} cannot be differentiated; expected a floating "
                             "type")
    sizes = [prod(x.shape) for x in xs]
    starts = [sum(sizes[:k]) for k in range(len(xs))]
    blocks = []
    for first in range(0, max(sum(sizes), 1), INPUTS_AT_ONCE):
        count = min(INPUTS_AT_ONCE, sum(sizes) - first)
        with Level() as level:
            given = []
            for x, start in zip(xs, starts):
                units = np.arange(first, first + count)[:, None] == np.arange(start, start + prod(x.shape))
                backend = backends.backend_of(raw(x))
                given.append(dependent(x, backend.asarray(units.reshape(count, *x.shape), device=x.device), level))
            outs, _ = as_tensors("jacobian_sparsity", f(*rebuild(given)))
            rows = [_sets(o, count) if o.level == level else _filled(o, count, False) for o in outs]
        found = [backends.backend_of(s).to_numpy(s).reshape(count, prod(s.shape[1:])) for s in rows]
        blocks.append(np.concatenate(found, axis=1))
    return np.concatenate(blocks).T
