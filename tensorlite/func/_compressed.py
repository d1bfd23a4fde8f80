"""Sparse Jacobians in few passes: columns (or rows) that share no row (column) are computed together.

Sources: Curtis, Powell and Reid, "On the estimation of sparse Jacobian matrices", 1974 (columns); Coleman and Verma, "The
efficient computation of sparse Jacobian matrices using automatic differentiation", 1998 (rows and columns together).
"""
from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from math import prod
from typing import Any, NamedTuple

import numpy as np

from tensorlite import _tree, backends
from tensorlite.engine.value import Provided, Value, raw
from tensorlite.errors import GradError, ShapeError
from tensorlite.func import _jacobian
from tensorlite.func._forward import jvp, linearize
from tensorlite.func._reverse import vjp
from tensorlite.func._sparsity import jacobian_sparsity
from tensorlite.func._trees import Argnums, as_tensors
from tensorlite.func._vmap import vmap

__all__ = ["Plan", "color", "compressed", "jacobian_plan", "sparse_jacobian"]


def sparse_jacobian(f: Callable[..., Any], argnums: Argnums, mode: str, has_aux: bool, sparsity: Any, holomorphic: bool,
                    chunk_size: int | None) -> Callable[..., Any]:
    """:func:`tensorlite.func.jacobian` of a known or detected pattern."""
    detect = isinstance(sparsity, str)
    if detect and sparsity != "detect":
        raise GradError(f"jacobian: sparsity is {sparsity!r}; expected 'detect' or a boolean array (results, inputs)")

    known: list[Any] = [None, None]   # the last pattern, and its plan

    @wraps(f)
    def compressed_jacobian(*args: Any, **kwargs: Any) -> Any:
        of_chosen, primals = _jacobian._chosen("jacobian", f, argnums, args, kwargs, has_aux)
        xs, _ = _tensors(primals)
        _jacobian._check("jacobian", "an argument", xs, holomorphic)
        inputs = sum(prod(x.shape) for x in xs)
        if detect:
            pattern = jacobian_sparsity((lambda *given: of_chosen(*given)[0]) if has_aux else of_chosen, *primals)
        else:
            given = np.asarray(sparsity._host() if isinstance(sparsity, Value) else sparsity)   # type: ignore[attr-defined]
            if given.dtype != bool or not inputs or given.size % inputs:
                raise GradError(f"jacobian: sparsity has shape {given.shape} and dtype {given.dtype}; expected booleans, a row "
                                f"of {inputs} inputs for each element of the results")
            pattern = given.reshape(-1, inputs)
        if known[0] is None or not np.array_equal(known[0], pattern):
            known[:] = [pattern, jacobian_plan(pattern, mode)]
        rebuild_out, blocks, aux = compressed(of_chosen, primals, known[0], known[1], has_aux, chunk_size, check=not detect)
        found = _jacobian._built(blocks, rebuild_out, primals, isinstance(argnums, int))
        return (found, aux[0]) if has_aux else found
    return compressed_jacobian


def color(pattern: Any) -> Any:
    """A color for each column, such that columns of one color have no row in common; -1 for empty ones.

    Greedy, in the given order and by falling counts; the better of both. Bands of width w take w colors.
    """
    best, least = None, pattern.sum(axis=1).max(initial=0)
    for order in (np.arange(pattern.shape[1]), np.argsort(-pattern.sum(axis=0), kind="stable")):
        taken = np.zeros((pattern.shape[0], 8), bool)
        colors = np.full(pattern.shape[1], -1)
        for j in order:
            rows = np.flatnonzero(pattern[:, j])
            if not rows.size:
                continue
            free = ~taken[rows].any(axis=0)
            c = int(free.argmax()) if free.any() else taken.shape[1]
            if c == taken.shape[1]:
                taken = np.concatenate([taken, np.zeros_like(taken)], axis=1)
            colors[j] = c
            taken[rows, c] = True
        if best is None or colors.max(initial=-1) < best.max(initial=-1):
            best = colors
        if best.max(initial=-1) < least:
            break
    return best


class Plan(NamedTuple):
    """What is computed by columns and what by rows: a color for each of them (-1: none), and which entries come by rows."""

    columns: Any
    rows: Any
    by_rows: Any

    @property
    def passes(self) -> int:
        """How many passes of forward and reverse mode together."""
        return int(self.columns.max(initial=-1) + self.rows.max(initial=-1)) + 2


def jacobian_plan(pattern: Any, mode: str = "auto") -> Plan:
    """How a Jacobian with this pattern (results, inputs) is computed with the fewest passes.

    By columns (``"fwd"``), by rows (``"rev"``), or for ``"auto"`` the better of these and of the few fullest rows by rows and the
    rest by columns, or the other way round. Finding the fewest colors is hard (NP-complete); these are greedy, and no fewer than
    the entries of the fullest row (column).

    >>> import tensorlite as tl
    >>> tl.func.jacobian_plan(tl.func.jacobian_sparsity(lambda x: x[1:] * x[:-1], tl.ones(100))).passes
    2
    """
    m, n = pattern.shape
    nothing, none = np.zeros_like(pattern), (np.full(n, -1), np.full(m, -1))
    plans = []
    if mode in ("auto", "fwd"):
        plans.append(Plan(color(pattern), none[1], nothing))
    if mode in ("auto", "rev"):
        plans.append(Plan(none[0], color(pattern.T), pattern))
    if mode == "auto":
        few = min(plan.passes for plan in plans)
        for axis in (1, 0):   # the t fullest rows, then columns, apart; the rest takes as many colors as its fullest has entries
            counts = pattern.sum(axis=axis)
            order, t = np.argsort(-counts, kind="stable"), 1
            while t < min(few, len(order)):
                if 1 + counts[order[t]] < few:
                    full = np.isin(np.arange(len(order)), order[:t])
                    apart = pattern & (full[:, None] if axis else full)
                    rows = apart if axis else pattern & ~apart
                    plans.append(Plan(color(pattern & ~rows), color(rows.T), rows))
                    few = min(few, plans[-1].passes)
                t *= 2
    return min(plans, key=lambda plan: plan.passes)


def _seeds(colors: Any, leaves: list[Any]) -> list[Any]:
    """For each leaf the sums of unit vectors of each color, (colors, *shape)."""
    out, start = [], 0
    count = int(colors.max(initial=-1)) + 1
    for x in leaves:
        size = prod(x.shape)
        hot = colors[None, start:start + size] == np.arange(count)[:, None]
        array = backends.backend_of(raw(x)).asarray(hot.reshape(count, *x.shape), device=x.device)
        out.append(Provided.cast(Provided.asarray(array), dtype=x.dtype))
        start += size
    return out


def compressed(f: Callable[..., Any], primals: tuple[Any, ...], pattern: Any, plan: Plan, has_aux: bool, chunk_size: int | None,
               check: bool) -> tuple[Any, list[list[Any]], list[Any]]:
    """How f's results are built, the blocks [result][argument] of its Jacobian, and what f gave beside (in a list)."""
    xs, rebuild = _tensors(primals)
    by_columns = by_rows = None
    if (plan.columns >= 0).any() or not (plan.rows >= 0).any():
        out, push, *aux = linearize(f, *primals, has_aux=has_aux)
        outs, rebuild_out = _tensors(out)
        if (plan.columns >= 0).any():
            by_columns = vmap(lambda *units: tuple(_tree.flatten(push(*rebuild(list(units))))[0]),
                              chunk_size=chunk_size)(*_seeds(plan.columns, xs))
    if (plan.rows >= 0).any():
        out, pullback, *aux = vjp(f, *primals, has_aux=has_aux)
        outs, rebuild_out = _tensors(out)
        by_rows = vmap(lambda *units: tuple(_tree.flatten(pullback(rebuild_out(list(units))))[0]),
                       chunk_size=chunk_size)(*_seeds(plan.rows, outs))
    if sum(prod(o.shape) for o in outs) != pattern.shape[0]:
        raise ShapeError(f"jacobian: sparsity has {pattern.shape[0]} rows of {pattern.shape[1]} inputs, but the function has "
                         f"{sum(prod(o.shape) for o in outs)} results; they must be as many")
    blocks, top = [], 0
    for i, o in enumerate(outs):
        row, left, m = [], 0, prod(o.shape)
        for k, x in enumerate(xs):
            n = prod(x.shape)
            part = np.s_[top:top + m, left:left + n]
            block = _block(pattern[part], plan.by_rows[part], plan.columns[left:left + n], plan.rows[top:top + m],
                           None if by_columns is None else Provided.reshape(by_columns[i], shape=(-1, m)),
                           None if by_rows is None else Provided.reshape(by_rows[k], shape=(-1, n)), o, x)
            row.append(Provided.reshape(block, shape=(*o.shape, *x.shape)))
            left += n
        blocks.append(row)
        top += m
    if check:
        _verify(f, primals, xs, rebuild, blocks, has_aux)
    return rebuild_out, blocks, aux


def _tensors(tree: Any) -> tuple[list[Any], Any]:
    return as_tensors("jacobian", tree)


def _block(pattern: Any, from_rows: Any, columns: Any, rows: Any, by_columns: Any, by_rows: Any, o: Any, x: Any) -> Any:
    """One block of the Jacobian, (elements of o, elements of x), out of the compressed ones."""
    from tensorlite.ops.creation import zeros
    from tensorlite.ops.elementwise import where
    from tensorlite.ops.indexing import take
    backend = backends.backend_of(raw(x))

    def there(array: Any) -> Any:
        return Provided.asarray(backend.asarray(np.ascontiguousarray(array), device=x.device))
    found = zeros(pattern.shape, dtype=o.dtype, device=x.device)
    if by_columns is not None and (pattern & ~from_rows).any():
        entries = take(by_columns, there(np.maximum(columns, 0)), axis=0)
        found = where(there(pattern & ~from_rows), Provided.permute(entries, axes=(1, 0)), found)
    if by_rows is not None and from_rows.any():
        found = where(there(from_rows), take(by_rows, there(np.maximum(rows, 0)), axis=0), found)
    return found


def _verify(f: Callable[..., Any], primals: tuple[Any, ...], xs: list[Any], rebuild: Any, blocks: list[list[Any]],
            has_aux: bool) -> None:
    """J v for one v against a pass of forward mode: what lies outside of a wrong pattern shows up there."""
    rng = np.random.default_rng(0)
    vs = [Provided.asarray(backends.backend_of(raw(x)).asarray(rng.uniform(1, 2, tuple(x.shape)), device=x.device)) for x in xs]
    vs = [Provided.cast(v, dtype=x.dtype) for v, x in zip(vs, xs)]
    moved, _ = _tree.flatten(jvp(f, primals, rebuild(vs), has_aux=has_aux)[1])
    for i, (t, row) in enumerate(zip(moved, blocks)):
        m = prod(t.shape)
        total: Any = 0.0
        size: Any = 0.0
        for block, v in zip(row, vs):
            matrix, vector = Provided.reshape(block, shape=(m, -1)), Provided.reshape(v, shape=(-1,))
            total, size = total + matrix @ vector, size + abs(matrix) @ vector
        t = Provided.reshape(t, shape=(m,))
        xp = backends.backend_of(raw(t)).xp
        scale = 1e4 * float(np.finfo(np.dtype(str(raw(t).dtype))).eps)
        off = raw(abs(t - total)) > scale * (raw(abs(t)) + raw(size)) + 1e-30
        if bool(xp.any(off)):
            raise GradError(f"jacobian: the sparsity pattern lacks entries of the Jacobian: its product with a vector is off in "
                            f"{int(xp.sum(off))} elements of result {i}; give a pattern with all that can be other than 0, or "
                            "sparsity='detect'")
