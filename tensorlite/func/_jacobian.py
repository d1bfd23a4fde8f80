"""Jacobians and Hessians, batched by vmap: ``jacfwd``, ``jacrev``, ``jacobian``, ``hessian``, ``hvp``."""
from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from math import prod
from typing import Any

from tensorlite import _dtypes, _tree
from tensorlite.engine.value import Provided, Value
from tensorlite.errors import DTypeError, GradError
from tensorlite.func._forward import jvp, linearize
from tensorlite.func._reverse import value_and_grad, vjp
from tensorlite.func._trees import Argnums, positions_of, replaced, split_aux
from tensorlite.func._vmap import vmap


def _basis(leaves: list[Any], k: int) -> Any:
    """The unit vectors of leaf k, (its elements, *its shape)."""
    from tensorlite.ops.creation import eye
    x = leaves[k]
    n = prod(x.shape)
    return Provided.reshape(eye(n, dtype=x.dtype, device=x.device), shape=(n, *x.shape))


def _unit_blocks(leaves: list[Any]) -> list[Any]:
    """A batch of all unit vectors of all leaves: for each leaf an array (total elements, *shape)."""
    from tensorlite.ops.creation import zeros
    from tensorlite.ops.manipulation import concat
    sizes = [prod(x.shape) for x in leaves]
    if len(leaves) == 1:
        return [_basis(leaves, 0)]
    blocks = []
    for k, x in enumerate(leaves):
        blocks.append(concat([_basis(leaves, k) if j == k else zeros((n, *x.shape), dtype=x.dtype, device=x.device)
                              for j, n in enumerate(sizes)]))
    return blocks


def _chosen(name: str, f: Callable[..., Any], argnums: Argnums, args: tuple[Any, ...], kwargs: dict[str, Any],
            has_aux: bool) -> tuple[Callable[..., Any], Any]:
    """``f`` as a function of the chosen arguments alone, and these."""
    positions = positions_of(name, argnums, args)
    primals = tuple([args[n] for n in positions])

    def of_chosen(*given: Any) -> Any:
        return f(*replaced(args, positions, given), **kwargs)
    return of_chosen, primals


def _pieces(x: Any, sizes: list[int]) -> list[Any]:
    """``x`` cut along its first axis."""
    from tensorlite.ops.manipulation import split
    return [x] if len(sizes) == 1 else list(split(x, sizes))


def _tensors(tree: Any) -> tuple[list[Any], Any]:
    flat, rebuild = _tree.flatten(tree)
    return [x if isinstance(x, Value) else Provided.asarray(x) for x in flat], rebuild


def _empty(out: Any, x: Any) -> Any:
    from tensorlite.ops.creation import zeros
    return zeros((*out.shape, *x.shape), dtype=out.dtype, device=x.device)


def _rows(outs: list[Any], rebuild_out: Any, pullback: Any, primals: Any, chunk_size: int | None) -> list[list[Any]]:
    """J by rows: [result][argument] blocks, one batched backward for all."""
    xs, _ = _tensors(primals)
    sizes = [prod(o.shape) for o in outs]
    if not sum(sizes):
        return [[_empty(o, x) for x in xs] for o in outs]
    found = vmap(lambda *units: tuple(_tree.flatten(pullback(rebuild_out(list(units))))[0]),
                 chunk_size=chunk_size)(*_unit_blocks(outs))
    columns = [_pieces(g, sizes) for g in found]
    return [[Provided.reshape(column[i], shape=(*o.shape, *x.shape)) for column, x in zip(columns, xs)]
            for i, o in enumerate(outs)]


def _columns(outs: list[Any], push: Any, primals: Any, chunk_size: int | None) -> list[list[Any]]:
    """J by columns: [result][argument] blocks, one batched push for all."""
    xs, rebuild = _tensors(primals)
    sizes = [prod(x.shape) for x in xs]
    if not sum(sizes):
        return [[_empty(o, x) for x in xs] for o in outs]
    found = vmap(lambda *units: tuple(_tree.flatten(push(*rebuild(list(units))))[0]), out_axes=-1,
                 chunk_size=chunk_size)(*_unit_blocks(xs))
    from tensorlite.ops.manipulation import split
    blocks = []
    for o, t in zip(outs, found):
        parts = [t] if len(sizes) == 1 else split(t, sizes, -1)
        blocks.append([Provided.reshape(p, shape=(*o.shape, *x.shape)) for p, x in zip(parts, xs)])
    return blocks


def _built(blocks: list[list[Any]], rebuild_out: Any, primals: Any, single: bool) -> Any:
    _, rebuild = _tensors(primals)
    return rebuild_out([tree[0] if single else tree for tree in (rebuild(row) for row in blocks)])


def _check(name: str, what: str, values: list[Any], holomorphic: bool) -> None:
    """Refuse what has no derivative here: integers, and complex numbers unless the function is said to be holomorphic."""
    for x in values:
        if not Provided.is_differentiable(x.dtype):
            raise DTypeError(f"{name}: {what} of dtype {x.dtype} cannot be differentiated; expected a floating type: convert it "
                             "with .to(tl.float32)")
        if (_dtypes.kind(x.dtype) == "c") != holomorphic:
            raise DTypeError(f"{name}: {what} is {'real' if holomorphic else 'complex'} ({x.dtype}); " + (
                "holomorphic=True is for complex functions of complex arguments" if holomorphic else
                "pass holomorphic=True if the function is holomorphic, else differentiate its real and imaginary parts by the "
                "real and imaginary parts of the argument"))


def jacrev(f: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, *, holomorphic: bool = False,
           chunk_size: int | None = None) -> Callable[..., Any]:
    """A function that returns the Jacobian d f_i / d x_j by rows: one forward, and one backward for all rows at once (vmap).

    Its shape is that of the result followed by that of the argument; for trees, the result's tree of the argument's trees.
    ``chunk_size``: so many rows at a time, for less memory. Cost: in proportion to the elements of the result.

    >>> import tensorlite as tl
    >>> tl.func.jacrev(lambda x: x * x)(tl.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    @wraps(f)
    def jacobian_by_rows(*args: Any, **kwargs: Any) -> Any:
        of_chosen, primals = _chosen("jacrev", f, argnums, args, kwargs, has_aux)
        out, pullback, *aux = vjp(of_chosen, *primals, has_aux=has_aux)
        outs, rebuild_out = _tensors(out)
        _check("jacrev", "a result", outs, holomorphic)
        found = _built(_rows(outs, rebuild_out, pullback, primals, chunk_size), rebuild_out, primals, isinstance(argnums, int))
        return (found, aux[0]) if has_aux else found
    return jacobian_by_rows


def jacfwd(f: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, *, holomorphic: bool = False,
           chunk_size: int | None = None) -> Callable[..., Any]:
    """:func:`jacrev`'s Jacobian by columns: one forward, and the tangents of all columns at once (vmap of forward mode).

    Cost: in proportion to the elements of the argument.

    >>> import tensorlite as tl
    >>> tl.func.jacfwd(lambda x: x * x)(tl.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    @wraps(f)
    def jacobian_by_columns(*args: Any, **kwargs: Any) -> Any:
        of_chosen, primals = _chosen("jacfwd", f, argnums, args, kwargs, has_aux)
        _check("jacfwd", "an argument", _tensors(primals)[0], holomorphic)
        out, push, *aux = linearize(of_chosen, *primals, has_aux=has_aux)
        outs, rebuild_out = _tensors(out)
        found = _built(_columns(outs, push, primals, chunk_size), rebuild_out, primals, isinstance(argnums, int))
        return (found, aux[0]) if has_aux else found
    return jacobian_by_columns


def jacobian(f: Callable[..., Any], argnums: Argnums = 0, mode: str = "auto", has_aux: bool = False, *, sparsity: Any = None,
             holomorphic: bool = False, chunk_size: int | None = None) -> Callable[..., Any]:
    """The Jacobian by rows (``mode="rev"``), by columns (``"fwd"``), or by whichever is less work (``"auto"``).

    "auto" runs f once, counts the elements of its results and of the arguments, and takes columns where there are fewer of those;
    for arguments of shapes that were there before it knows without that run.
    ``sparsity``: where the Jacobian can be other than 0, a boolean array (results, inputs), or ``"detect"`` to find that out at
    each call (:func:`jacobian_sparsity`). Columns, or rows, that have no row (column) in common are then computed in one pass: a
    band of width w takes w passes, whatever the size. "auto" takes the fewer, or rows for the fullest rows and columns for the
    rest. What a given pattern lacks is noticed, by one more pass, and raises ``GradError``.

    >>> import tensorlite as tl
    >>> tl.func.jacobian(lambda x: tl.stack([x.sum(), x.prod()]))(tl.tensor([2.0, 3.0, 4.0]))
    tensor([[ 1.,  1.,  1.],
            [12.,  8.,  6.]])
    """
    if mode not in ("auto", "fwd", "rev"):
        raise GradError(f"jacobian: mode is {mode!r}; expected 'auto', 'fwd' or 'rev'")
    if sparsity is not None:
        from tensorlite.func._compressed import sparse_jacobian
        return sparse_jacobian(f, argnums, mode, has_aux, sparsity, holomorphic, chunk_size)
    by_columns = jacfwd(f, argnums, has_aux, holomorphic=holomorphic, chunk_size=chunk_size)
    by_rows = jacrev(f, argnums, has_aux, holomorphic=holomorphic, chunk_size=chunk_size)
    if mode != "auto":
        return by_columns if mode == "fwd" else by_rows

    wide: set[Any] = set()   # shapes of arguments for which there were more results than these have elements

    @wraps(f)
    def automatic(*args: Any, **kwargs: Any) -> Any:
        from tensorlite.func._trees import as_tensors
        shapes = tuple([tuple(x.shape) for n in positions_of("jacobian", argnums, args) for x in _tensors(args[n])[0]])
        if shapes in wide:
            return by_columns(*args, **kwargs)
        of_chosen, primals = _chosen("jacobian", f, argnums, args, kwargs, has_aux)
        out, pullback, *aux = vjp(of_chosen, *primals, has_aux=has_aux)
        outs, rebuild_out = as_tensors("jacobian", out)
        if sum(prod(o.shape) for o in outs) > sum(map(prod, shapes)):
            wide.add(shapes)
            return by_columns(*args, **kwargs)
        _check("jacobian", "a result", outs, holomorphic)
        found = _built(_rows(outs, rebuild_out, pullback, primals, chunk_size), rebuild_out, primals, isinstance(argnums, int))
        return (found, aux[0]) if has_aux else found
    return automatic


def hessian(f: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, *,
            holomorphic: bool = False) -> Callable[..., Any]:
    """A function that returns the matrix of second derivatives d2 f / d x_i d x_j, forward over reverse.

    For a scalar function of x its shape is (*x.shape, *x.shape).

    >>> import tensorlite as tl
    >>> tl.func.hessian(lambda x: x[0] ** 2 * x[1])(tl.tensor([1.0, 2.0]))
    tensor([[4., 2.],
            [2., 0.]])
    """
    rows = jacrev(f, argnums, has_aux, holomorphic=holomorphic)
    return jacfwd(rows, argnums, has_aux, holomorphic=holomorphic)


def hvp(f: Callable[..., Any], primals: Any, tangents: Any, *, has_aux: bool = False) -> Any:
    """f(*primals) and H t, the product of the Hessian with the tangents, built like the primals: forward mode over reverse mode.

    H is never formed; the cost is a small multiple of f's, whatever the size (Pearlmutter 1994, "Fast exact multiplication by the
    Hessian").

    >>> import tensorlite as tl
    >>> tl.func.hvp(lambda x: (x ** 3).sum(), (tl.tensor([1.0, 2.0]),), (tl.tensor([1.0, 0.0]),))
    (tensor(9.), tensor([6., 0.]))
    """
    if not isinstance(primals, (tuple, list)):
        raise GradError(f"hvp: primals is a {type(primals).__name__}; expected a tuple with one entry for each argument")
    everything = tuple(range(len(primals)))

    def both(*args: Any) -> Any:
        value, gradient = value_and_grad(f, everything, has_aux)(*args)
        value, aux = split_aux("hvp", value, has_aux)
        return gradient, (value, aux)
    _, product, (value, aux) = jvp(both, primals, tangents, has_aux=True)
    product = product if len(primals) > 1 else product[0]
    return (value, product, aux) if has_aux else (value, product)
