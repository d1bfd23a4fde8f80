"""Products that sum: matmul, linear, einsum and their relatives."""
from __future__ import annotations

from typing import Any

from tensorlite import _dtypes
from tensorlite.engine.batching import leading, pointwise
from tensorlite.engine.primitive import Primitive, primitive
from tensorlite.engine.value import Value
from tensorlite.errors import ShapeError
from tensorlite.kernels.outer.reference import outer as _outer
from tensorlite.ops import _batching, manipulation
from tensorlite.ops._names import torch_aliases, torch_names
from tensorlite.ops.activation import relu_backward
from tensorlite.ops.elementwise import add_p, mul_p, sum_to
from tensorlite.ops.functions import conj
from tensorlite.ops.reduction import sum_p

Array = Any


# ---- matmul ----------------------------------------------------------------------------------------------------------
# The primitive takes matrices (batches broadcast); vectors get their axis in the public function, as in the standard.

def _matmul(xp: Any, x: Any, y: Any, *, tx: bool = False, ty: bool = False) -> Any:
    return xp.matmul(xp.matrix_transpose(x) if tx else x, xp.matrix_transpose(y) if ty else y)


def _check_matmul(x: Any, y: Any, tx: bool = False, ty: bool = False) -> None:
    if x.shape[-2 if tx else -1] != y.shape[-1 if ty else -2]:
        raise ShapeError(f"matmul: x has shape {tuple(x.shape)} and y has shape {tuple(y.shape)}; the last axis of x "
                         f"({x.shape[-1]}) must be as long as the second-last of y ({y.shape[-2]})")
    if any(m != n and 1 not in (m, n) for m, n in zip(x.shape[-3::-1], y.shape[-3::-1])):
        raise ShapeError(f"matmul: the batch axes of x {tuple(x.shape[:-2])} and y {tuple(y.shape[:-2])} do not broadcast")


matmul_p = primitive("matmul", _matmul, linear_in="x y", check=_check_matmul)   # tx, ty: x or y transposed, as GEMMs take them
matmul_p.batch(_batching.matmul)
matmul_p.vjp(x=lambda g, y, tx, ty: matmul_p(y, g, tx=ty, ty=True) if tx else matmul_p(g, y, ty=not ty),
             y=lambda g, x, y_shape, tx, ty: _matmul_dy(g, x, y_shape, tx, ty))


def _matmul_dy(g: Any, x: Any, y_shape: tuple[int, ...], tx: bool, ty: bool) -> Any:
    if len(y_shape) == 2 and g.ndim > 2 and not tx:   # one product, not a batch of them and their sum
        g, x = _rows(g), _rows(x)
    return matmul_p(g, x, tx=True, ty=tx) if ty else matmul_p(x, g, tx=not tx)


# Outer products of the last axes; per-sample gradients of a dense layer are nothing else.

outer_p: Primitive = primitive("outer", _outer, linear_in="x y")
outer_p.vjp(x=lambda g, y: _times(g, y), y=lambda g, x: _times(g, x, tx=True))
outer_p.batch(leading)


def _times(m: Array, v: Array, tx: bool = False) -> Array:
    """Matrices times vectors, with the axes in front in common."""
    if m.ndim == 2:
        return matvec_p(m, v, tx=tx)
    return manipulation.reshape(matmul_p(m, manipulation.expand_dims(v, -1), tx=tx), (*v.shape[:-1], m.shape[-1 if tx else -2]))


# A matrix times a vector, without the detour over matrices of one column.

def _check_matvec(x: Any, y: Any, tx: bool = False) -> None:
    if x.shape[0 if tx else 1] != y.shape[0]:
        raise ShapeError(f"matmul: {'y' if tx else 'x'} has shape {tuple(x.shape)} and {'x' if tx else 'y'} has shape "
                         f"{tuple(y.shape)}; the vector must be as long as the matrix's {'columns' if tx else 'rows'}, "
                         f"{x.shape[0 if tx else 1]}")


matvec_p: Primitive = primitive("matvec", lambda xp, x, y, *, tx=False: xp.matmul(xp.matrix_transpose(x) if tx else x, y),
                                linear_in="x y", check=_check_matvec)
matvec_p.vjp(x=lambda g, y, tx: outer_p(y, g) if tx else outer_p(g, y), y=lambda g, x, tx: matvec_p(x, g, tx=not tx))
matvec_p.batch(_batching.matvec)


@torch_names
def matmul(x: Array, y: Array, /) -> Array:
    """The matrix product x y: (..., n, k) times (..., k, m) is (..., n, m); batch axes broadcast.

    A one-dimensional x is a row, a one-dimensional y a column, and that axis is left out of the result.
    Errors: ``ShapeError`` if the inner lengths differ or an argument is zero-dimensional.

    >>> import tensorlite as tl
    >>> tl.matmul(tl.tensor([[1.0, 2.0]]), tl.tensor([3.0, 4.0]))
    tensor([11.])
    """
    nx, ny = _ndim(x), _ndim(y)
    if nx >= 2 and ny >= 2:
        return matmul_p(x, y)
    if nx == 0 or ny == 0:
        raise ShapeError(f"matmul: {'x' if nx == 0 else 'y'} is zero-dimensional; expected at least one axis: use multiply for "
                         "a scalar")
    if nx == 1 and ny == 1:
        if x.shape != y.shape:
            raise ShapeError(f"matmul: x has shape {tuple(x.shape)} and y has shape {tuple(y.shape)}; vectors must have the "
                             "same length")
        if _dtypes.kind(x.dtype) == "c":   # vecdot conjugates
            return sum_p(mul_p(x, y), axis=None, keepdims=False)
        return vecdot_p(x, y)
    if nx == 2:
        return matvec_p(x, y)
    if ny == 2:
        return matvec_p(y, x, tx=True)
    if nx == 1:
        return manipulation.reshape(matmul_p(manipulation.reshape(x, (1, -1)), y), (*y.shape[:-2], y.shape[-1]))
    return manipulation.reshape(matmul_p(x, manipulation.reshape(y, (-1, 1))), x.shape[:-1])


def _ndim(x: Any) -> int:
    return x.ndim if hasattr(x, "ndim") else 0


def _matrices(name: str, x: Array, y: Array, ndim: int, ndim_y: int | None = None) -> None:
    for which, array, n in (("input", x, ndim), ("mat2", y, ndim if ndim_y is None else ndim_y)):
        if _ndim(array) != n:
            raise ShapeError(f"{name}: {which} has shape {tuple(getattr(array, 'shape', ()))}; expected {n} axes "
                             "(matmul takes any)")


@torch_names
def mm(x: Array, y: Array, /) -> Array:
    """The product of two matrices."""
    _matrices("mm", x, y, 2)
    return matmul_p(x, y)


@torch_names
def bmm(x: Array, y: Array, /) -> Array:
    """The products of two batches of matrices, (b, n, k) times (b, k, m)."""
    _matrices("bmm", x, y, 3)
    return matmul_p(x, y)


@torch_names
def mv(x: Array, y: Array, /) -> Array:
    """A matrix times a vector."""
    _matrices("mv", x, y, 2, 1)
    return matmul(x, y)


@torch_names
def addmm(input: Array, mat1: Array, mat2: Array, *, beta: float = 1, alpha: float = 1) -> Array:
    """beta input + alpha mat1 mat2."""
    product = mm(mat1, mat2)
    return add_p(input if beta == 1 else mul_p(input, beta), product if alpha == 1 else mul_p(product, alpha))


# ---- vecdot ----------------------------------------------------------------------------------------------------------

def _check_vecdot(x: Any, y: Any) -> None:
    if x.shape[-1:] != y.shape[-1:]:
        raise ShapeError(f"vecdot: x has shape {tuple(x.shape)} and y has shape {tuple(y.shape)}; the contracted axes must be "
                         "equally long")


vecdot_p = primitive("vecdot", lambda xp, x, y: xp.vecdot(x, y), linear_in="x y", check=_check_vecdot)
vecdot_p.batch(pointwise)
vecdot_p.vjp(x=lambda g, y, x_shape: sum_to(conj(mul_p(manipulation.expand_dims(g, -1), y)), shape=x_shape),
             y=lambda g, x, y_shape: sum_to(mul_p(manipulation.expand_dims(g, -1), conj(x)), shape=y_shape))


@torch_names
def vecdot(x: Array, y: Array, /, *, axis: int = -1) -> Array:
    """The sum over ``axis`` of conj(x) y; the other axes broadcast.

    >>> import tensorlite as tl
    >>> tl.vecdot(tl.tensor([1.0, 2.0]), tl.tensor([3.0, 4.0]))
    tensor(11.)
    """
    if axis != -1:
        x, y = manipulation.moveaxis(x, axis, -1), manipulation.moveaxis(y, axis, -1)
    return vecdot_p(x, y)


@torch_names
def vdot(x: Array, y: Array, /) -> Array:
    """The sum of conj(x) y over all elements of two vectors."""
    return vecdot_p(manipulation.reshape(x, (-1,)), manipulation.reshape(y, (-1,)))


@torch_aliases(tensor="y")
def dot(x: Array, y: Array, /) -> Array:
    """The product of two vectors, or of two matrices as ``matmul``; a scalar multiplies."""
    if _ndim(x) == 0 or _ndim(y) == 0:
        return mul_p(x, y)
    return matmul(x, y)


@torch_names
def outer(x: Array, y: Array, /) -> Array:
    """x_i y_j for two vectors (flattened if they are none)."""
    return outer_p(manipulation.ravel(x), manipulation.ravel(y))


# ---- tensordot -------------------------------------------------------------------------------------------------------

@torch_aliases(a="x", b="y", dims="axes")
def tensordot(x: Array, y: Array, /, axes: Any = 2) -> Array:
    """The sum over pairs of axes of the product: the last ``axes`` of x with the first of y, or the pairs of two given lists.

    >>> import tensorlite as tl
    >>> tl.tensordot(tl.ones(2, 3, 4), tl.ones(3, 4, 5), axes=2).shape
    (2, 5)
    """
    if isinstance(axes, int):
        if axes < 0 or axes > min(x.ndim, y.ndim):
            raise ShapeError(f"tensordot: axes = {axes}, but x has {x.ndim} axes and y has {y.ndim}")
        of_x, of_y = list(range(x.ndim - axes, x.ndim)), list(range(axes))
    else:
        of_x, of_y = ([a] if isinstance(a, int) else list(a) for a in axes)
        of_x, of_y = [a % x.ndim for a in of_x], [a % y.ndim for a in of_y]
    if [x.shape[a] for a in of_x] != [y.shape[a] for a in of_y]:
        raise ShapeError(f"tensordot: x of shape {tuple(x.shape)} along {of_x} does not match y of shape {tuple(y.shape)} "
                         f"along {of_y}")
    free_x, free_y = [a for a in range(x.ndim) if a not in of_x], [a for a in range(y.ndim) if a not in of_y]
    inner = 1
    for a in of_x:
        inner *= x.shape[a]
    rows, columns = [x.shape[a] for a in free_x], [y.shape[a] for a in free_y]
    count_rows, count_columns = _product(rows), _product(columns)
    left = manipulation.reshape(manipulation.permute_dims(x, (*free_x, *of_x)), (count_rows, inner))
    right = manipulation.reshape(manipulation.permute_dims(y, (*of_y, *free_y)), (inner, count_columns))
    return manipulation.reshape(matmul_p(left, right), (*rows, *columns))


def _product(lengths: Any) -> int:
    total = 1
    for n in lengths:
        total *= n
    return total


# ---- linear ----------------------------------------------------------------------------------------------------------
# One node for x W^T + b: a layer is the unit whose launches (on a GPU) and dispatches (on a CPU) are worth saving.

def _linear(xp: Any, x: Any, w: Any, b: Any) -> Any:
    out = xp.matmul(x, xp.matrix_transpose(w))
    return out if b is None else out + b


def _check_linear(x: Any, w: Any, b: Any) -> None:
    if w.ndim != 2 or x.ndim == 0 or x.shape[-1] != w.shape[1]:
        raise ShapeError(f"linear: input has shape {tuple(x.shape)} and weight has shape {tuple(w.shape)}; expected input "
                         "(..., in) and weight (out, in)")
    if b is not None and tuple(b.shape) != (w.shape[0],):
        raise ShapeError(f"linear: bias has shape {tuple(b.shape)}; expected ({w.shape[0]},), one for each row of weight")


def _rows(x: Array) -> Array:
    """Every axis but the last as one."""
    return x if x.ndim == 2 else manipulation.reshape(x, (_product(x.shape[:-1]), x.shape[-1]))


def _linear_backward(xp: Any, g: Any, x: Any, w: Any, *, needs: tuple[bool, ...]) -> Any:
    n = _product(g.shape[:-1])   # not -1: there may be no columns
    rows = xp.reshape(g, (n, g.shape[-1])) if g.ndim != 2 else g
    dx = xp.matmul(g, w) if needs[0] else None
    dw = xp.matmul(xp.matrix_transpose(rows), xp.reshape(x, (n, x.shape[-1])) if x.ndim != 2 else x) if needs[1] else None
    db = xp.sum(rows, axis=0, dtype=g.dtype) if needs[2] else None
    return tuple([d for d in (dx, dw, db) if d is not None])


linear_p = primitive("linear", _linear, linear_in="x w b", check=_check_linear)
linear_p.batch(_batching.linear)
linear_backward_p = primitive("linear_backward", _linear_backward, outputs=0)
linear_backward_p.batch(_batching.linear_backward)


def _placed(terms: Any, needs: Any) -> Any:
    """The results there are, each in the place of the argument it belongs to."""
    if len(terms) == len(needs):
        return terms
    found = iter(terms)
    return [next(found) if need else None for need in needs]


def _linear_rule(g: Any, needs: Any, x: Any, w: Any) -> Any:
    """The three products in one dispatch."""
    return _placed(linear_backward_p(g, x, w, needs=needs), needs)


def _linear_backward_rule(h: Any, _: Any, g: Any, x: Any, w: Any, needs: tuple[bool, ...]) -> Any:
    """dx = g w, dw = g^T x, db = sum g: bilinear, so what flows back are the same products."""
    hx, hw, hb = _placed(h, needs)
    dg, dx, dw = [], None, None
    if hx is not None:
        dg.append(linear_p(hx, w, None))
        dw = matmul_p(_rows(g), _rows(hx), tx=True)
    if hw is not None:
        dg.append(linear_p(x, hw, None))
        dx = matmul(g, hw)
    if hb is not None:
        dg.append(manipulation.broadcast_to(hb, g.shape))
    total = None
    for term in dg:
        total = term if total is None else add_p(total, term)
    return total, dx, dw


linear_p.vjp_all(_linear_rule)
linear_p.jvp(x=lambda t, w: linear_p(t, w, None), w=lambda t, x: linear_p(x, t, None), b=lambda t: t)
linear_backward_p.vjp_all(_linear_backward_rule)

# A layer and its ReLU as one node, for Sequential: half the nodes of a small network, and the ReLU is done where the product
# lies.
linear_relu_p = primitive("linear_relu", lambda xp, x, w, b: xp.clip(_linear(xp, x, w, b), 0, None), check=_check_linear)
linear_relu_p.batch(_batching.linear_relu)
linear_relu_backward_p = primitive(
    "linear_relu_backward",
    lambda xp, g, x, w, y, *, needs: _linear_backward(xp, xp.where(y > 0, g, xp.zeros_like(g)), x, w, needs=needs),
    outputs=0, discrete=True)
linear_relu_backward_p.batch(_batching.linear_relu_backward)


def _linear_relu_rule(g: Any, needs: Any, x: Any, w: Any, out: Any) -> Any:
    if isinstance(g, Value):   # to be differentiated again: by the parts, which have rules
        return _linear_rule(relu_backward(g, out), needs, x, w)
    return _placed(linear_relu_backward_p(g, x, w, out, needs=needs), needs)


linear_relu_p.vjp_all(_linear_relu_rule)


# ---- einsum ----------------------------------------------------------------------------------------------------------

def _terms(equation: str, ndims: list[int]) -> tuple[list[str], str]:
    """Each operand's letters and the result's, with every ellipsis replaced by capitals that nobody else uses."""
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    inputs = left.split(",")
    if len(inputs) != len(ndims):
        raise ShapeError(f"einsum: {equation!r} names {len(inputs)} operands, but {len(ndims)} were given")
    used = set(text)
    spare = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" if c not in used]
    widest = max([n - len(t.replace("...", "")) for t, n in zip(inputs, ndims) if "..." in t], default=0)
    dots = "".join(spare[:widest])
    terms = []
    for term, n in zip(inputs, ndims):
        width = n - len(term.replace("...", ""))
        if ("..." not in term and width) or width < 0:
            raise ShapeError(f"einsum: {term!r} in {equation!r} names {len(term.replace('...', ''))} axes, but its operand "
                             f"has {n}")
        terms.append(term.replace("...", dots[widest - width:] if width else ""))
    if arrow:
        return terms, right.replace("...", dots)
    counts = "".join(terms)
    return terms, dots + "".join(sorted(c for c in set(counts) if counts.count(c) == 1 and c not in dots))


def _einsum(xp: Any, *operands: Any, equation: str) -> Any:
    """By the standard's functions alone: diagonals, then a broadcast product summed over what the result does not name."""
    left, right = equation.split("->")
    terms = left.split(",")
    order = right + "".join(sorted(set(left) - set(right) - {","}))
    product: Any = None
    for term, x in zip(terms, operands):
        for letter in set(term):
            while term.count(letter) > 1:
                i = term.index(letter)
                j = term.index(letter, i + 1)
                x = xp.moveaxis(x, (i, j), (-2, -1))
                mask = xp.eye(x.shape[-1], dtype=x.dtype)
                x = xp.sum(x * mask, axis=-1)
                term = "".join(c for k, c in enumerate(term) if k not in (i, j)) + letter
        x = xp.permute_dims(x, tuple(term.index(c) for c in order if c in term))
        x = xp.reshape(x, tuple(x.shape[[c for c in order if c in term].index(c)] if c in term else 1 for c in order))
        product = x if product is None else product * x
    axes = tuple(range(len(right), len(order)))
    return xp.sum(product, axis=axes, dtype=product.dtype) if axes else product


def _einsum_rule(g: Any, operands: tuple[Any, ...], i: int, equation: str, shapes: list[tuple[int, ...]]) -> Any:
    """The cotangent of operand i: the same sum with the result's place and the operand's exchanged."""
    left, right = equation.split("->")
    terms = left.split(",")
    mine, shape = terms[i], shapes[i]
    letters = "".join(dict.fromkeys(mine))   # a repeated letter is a diagonal: put back at the end
    others = [t for k, t in enumerate(terms) if k != i]
    arrays = [x for k, x in enumerate(operands) if k != i]
    lengths = dict(zip(mine, shape))
    known = set(right).union(*others) if others else set(right)
    reduced = "".join(c for c in letters if c in known)   # a letter only this operand has was summed over: spread g along it
    out = einsum_p(g, *arrays, equation=f"{','.join([right, *others])}->{reduced}")
    if reduced != letters:
        for k, c in enumerate(letters):
            if c not in known:
                out = manipulation.expand_dims(out, k)
        out = manipulation.broadcast_to(out, tuple(lengths[c] if c not in known else out.shape[k] for k, c in enumerate(letters)))
    if any(out.shape[k] != lengths[c] for k, c in enumerate(letters)):   # this operand was broadcast along c
        out = sum_to(out, shape=tuple(lengths[c] for c in letters))
    if letters != mine:
        out = _to_diagonal(out, letters, mine, lengths)
    return out


def _to_diagonal(x: Any, letters: str, term: str, lengths: dict[str, int]) -> Any:
    """Spread axes out over the repeated letters of ``term``: x on the diagonal, zeros elsewhere."""
    from tensorlite import backends
    from tensorlite.engine.value import new, raw
    xp = backends.backend_of(raw(x)).xp
    seen = ""
    for k, c in enumerate(term):
        if c not in seen:
            seen += c
            continue
        first = seen.index(c)
        eye = new(xp.eye(lengths[c], dtype=raw(x).dtype))
        shape = [1] * (k + 1)
        shape[first], shape[k] = lengths[c], lengths[c]
        rest = len(set(term[k + 1:]) - set(seen))
        x = manipulation.expand_dims(x, k)
        x = mul_p(x, manipulation.reshape(eye, (*shape, *[1] * rest)))
        seen += c
    return x


einsum_p = primitive("einsum", _einsum, view=True)   # of one operand it may be a view
einsum_p.batch(_batching.einsum)
einsum_p.vjp(operands=_einsum_rule)


@torch_names
def einsum(equation: str, *operands: Any) -> Array:
    """The sum of products that ``equation`` names: ``einsum("ij,jk->ik", x, y)`` is a matrix product.

    Letters name axes; those the result does not name are summed over; a letter twice in one operand takes its diagonal; ``...``
    stands for axes that broadcast. Without ``->`` the result names every letter that occurs once, sorted.
    Errors: ``ShapeError`` for a wrong number of operands or axes, or lengths that differ.

    >>> import tensorlite as tl
    >>> tl.einsum("ii->", tl.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor(5.)
    """
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    terms, right = _terms(equation, [_ndim(x) for x in operands])
    lengths: dict[str, int] = {}
    for term, x in zip(terms, operands):
        for c, n in zip(term, x.shape):
            if lengths.get(c, 1) != 1 and n not in (1, lengths[c]):
                raise ShapeError(f"einsum: in {equation!r} the axis {c!r} is {lengths[c]} long in one operand and {n} in another")
            lengths[c] = max(lengths.get(c, 1), n) if n else 0
    unknown = set(right) - set(lengths)
    if unknown:
        raise ShapeError(f"einsum: the result of {equation!r} names {sorted(unknown)}, which no operand has")
    return einsum_p(*operands, equation=",".join(terms) + "->" + right)


__all__ = ["Primitive", "addmm", "bmm", "dot", "einsum", "linear_p", "matmul", "mm", "mv", "outer", "tensordot", "vdot", "vecdot"]
