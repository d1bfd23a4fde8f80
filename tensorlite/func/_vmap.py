"""``vmap``: a function of one, applied to a batch at once."""
from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from tensorlite import _tree
from tensorlite.engine.batching import BatchLevel, batch, everywhere, moved
from tensorlite.engine.levels import bare, held
from tensorlite.engine.value import Provided, Value
from tensorlite.errors import VmapError
from tensorlite.func._branches import grouped


def vmap(f: Callable[..., Any], in_axes: Any = 0, out_axes: Any = 0, randomness: str = "error", branching: str = "error", *,
         chunk_size: int | None = None, in_dims: Any = None, out_dims: Any = None) -> Callable[..., Any]:
    """``f``, which is written for one example, as a function of a batch: out[i] = f(x[i]) for all i at once.

    ``in_axes``: which axis of each argument is the batch (an integer, None for what all share, or a tree of these over the
    arguments); ``out_axes``: where it goes in the results. Keyword arguments are shared. Inside, f sees the shapes of one
    example.
    ``randomness``: what random operations do inside: "error", "different" for each example, or the "same" for all.
    ``branching``: what ``if``, ``while``, ``int()`` or ``.item()`` of a batched value do: "error", or "group", which runs f once
    for each path that examples take through it, with exactly those examples that take it.
    ``chunk_size``: so many examples at a time, for less memory. ``in_dims``, ``out_dims``: PyTorch's names.

    Errors: ``VmapError`` for axes that do not fit or have different lengths, and for branches and random numbers without a mode.

    >>> import tensorlite as tl
    >>> tl.vmap(tl.dot)(tl.tensor([[1.0, 2.0], [3.0, 4.0]]), tl.tensor([[1.0, 1.0], [0.0, 1.0]]))
    tensor([3., 4.])
    >>> per_sample = tl.vmap(tl.grad(lambda w, x: (w * x).sum() ** 2), in_axes=(None, 0))
    >>> per_sample(tl.tensor([1.0, 2.0]), tl.tensor([[1.0, 0.0], [1.0, 1.0]]))
    tensor([[2., 0.],
            [6., 6.]])
    """
    in_axes = in_axes if in_dims is None else in_dims
    out_axes = out_axes if out_dims is None else out_dims
    choices = (("randomness", randomness, ("error", "different", "same")), ("branching", branching, ("error", "group")))
    for name, given, known in choices:
        if given not in known:
            raise VmapError(f"vmap: {name} is {given!r}; expected one of {', '.join(map(repr, known))}")
    if chunk_size is not None and chunk_size < 1:
        raise VmapError(f"vmap: chunk_size is {chunk_size}; expected at least 1")
    in_axes = tuple(in_axes) if isinstance(in_axes, list) else in_axes

    @wraps(f)
    def batched(*args: Any, **kwargs: Any) -> Any:
        flat, rebuild = _tree.flatten(args)
        fronted, mapped, size = _fronted(flat, _axes("in_axes", in_axes, args), args)

        def run(part: Callable[[Any], Any], count: int, branches: Any = None) -> Any:
            with BatchLevel(count, randomness, branches) as level:
                given = [batch(bare(part(x)), level) if m else x for x, m in zip(fronted, mapped)]
                outs, rebuild_out = _results(f(*rebuild(given), **kwargs))
            return [_whole(o, level) for o in outs], rebuild_out, _tree.structure(rebuild_out(outs))

        def whole(part: Callable[[Any], Any], count: int) -> Any:
            return grouped(run, part, count) if branching == "group" else run(part, count)

        if chunk_size is None or chunk_size >= size:
            outs, rebuild_out, _ = whole(lambda x: x, size)
        else:
            counts = [min(chunk_size, size - i) for i in range(0, size, chunk_size)]
            chunks = [whole(lambda x, i=k * chunk_size: x[i:i + chunk_size], n) for k, n in enumerate(counts)]   # type: ignore[misc]
            outs, rebuild_out = _joined(chunks, counts)
        return _placed(outs, rebuild_out, out_axes, size)
    return batched


def _axes(name: str, axes: Any, tree: Any) -> list[Any]:
    """The axis of each leaf."""
    try:
        found = _tree.prefixed(axes, tree, what=name)
    except ValueError as error:
        raise VmapError(f"vmap: {error}; expected an integer, None, or these in the arguments' structure") from None
    for axis in found:
        if axis is not None and (isinstance(axis, bool) or not isinstance(axis, int)):
            raise VmapError(f"vmap: {name} holds {axis!r}; expected integers or None")
    return found


def _fronted(flat: list[Any], axes: list[Any], args: tuple[Any, ...]) -> tuple[list[Any], list[bool], int]:
    """The arguments' leaves with their batch axes in front, which are batched, and how many there are in the batch."""
    out, sizes = [], {}
    for k, (x, axis) in enumerate(zip(flat, axes)):
        if axis is None:
            out.append(x)
            continue
        if not isinstance(x, Value):
            if not hasattr(x, "shape"):
                raise VmapError(f"vmap: in_axes gives leaf {k} of the arguments the axis {axis}, but it is a {type(x).__name__}; "
                                "give None for what has no axes")
            x = Provided.asarray(x)
        if not -x.ndim <= axis < x.ndim:
            raise VmapError(f"vmap: in_axes gives leaf {k} of the arguments the axis {axis}, but it has shape {tuple(x.shape)}")
        x = moved(x, axis % x.ndim, 0)
        sizes[k] = x.shape[0]
        out.append(x)
    if not sizes:
        raise VmapError(f"vmap: in_axes is None for all {len(args)} arguments; expected at least one with a batch axis")
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"leaf {k} of shape {tuple(flat[k].shape)} has {n} along axis {axes[k]}" for k, n in sizes.items())
        raise VmapError(f"vmap: the batch axes have different lengths: {told}")
    size = next(iter(sizes.values()))
    if not size:
        raise VmapError("vmap: the batch is empty; expected at least one example")
    return out, [axis is not None for axis in axes], size


def _results(tree: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """The leaves of what the function returned as tensors, and what puts them back."""
    leaves, rebuild = _tree.flatten(tree)
    for x in leaves:
        if not isinstance(x, (Value, bool, int, float, complex)) and not hasattr(x, "__array__"):
            raise VmapError(f"vmap: the function returned a {type(x).__name__}; expected tensors or numbers, in nested lists, "
                            "tuples and dicts")
    return [x if isinstance(x, Value) else Provided.asarray(x) for x in leaves], rebuild


def _whole(o: Any, level: int) -> tuple[Any, bool]:
    """A result with its batch axis in front, and whether it has one."""
    mine = isinstance(o, Value) and o.level == level
    return (held(o.value), True) if mine else (o, False)


def _joined(chunks: list[Any], counts: list[int]) -> Any:
    """The results of all chunks, one behind the other."""
    from tensorlite.ops.manipulation import concat
    built = {how for *_, how in chunks}
    if len(built) > 1:
        raise VmapError(f"vmap: the function returns differently built results for different chunks: {', '.join(sorted(built))}; "
                        "they must be built alike")
    outs = []
    for column in zip(*[c[0] for c in chunks]):
        if any(batched for _, batched in column):
            outs.append((concat([everywhere(o, batched, n) for (o, batched), n in zip(column, counts)]), True))
        else:
            outs.append(column[0])
    return outs, chunks[0][1]


def _placed(outs: list[tuple[Any, bool]], rebuild: Callable[[list[Any]], Any], out_axes: Any, size: int) -> Any:
    """The results with their batch axes where ``out_axes`` says."""
    axes = _axes("out_axes", tuple(out_axes) if isinstance(out_axes, list) else out_axes, rebuild([o for o, _ in outs]))
    placed = []
    for k, ((value, batched), axis) in enumerate(zip(outs, axes)):
        if axis is None:
            if batched:
                raise VmapError(f"vmap: out_axes is None for result {k}, but it differs along the batch; give it an axis")
            placed.append(value)
            continue
        value = everywhere(value, batched, size)
        if not -value.ndim <= axis < value.ndim:
            raise VmapError(f"vmap: out_axes is {axis} for result {k}, which with the batch has shape {tuple(value.shape)}")
        placed.append(moved(value, 0, axis % value.ndim))
    return rebuild(placed)
