"""PyTorch's names: what its users write works here and gives the same, and every difference is in a table."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tensorlite as tl

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(0)
X, Y, V, C = RNG.normal(size=(3, 4)), RNG.normal(size=(3, 4)), RNG.normal(size=4), RNG.normal(size=(2, 3, 4))
I, B, POS = RNG.integers(0, 3, size=(3, 4)), X > 0, abs(X)
ROWS = np.array([0, 2])
ORDER = np.array([0, 2, 1])


def the(library: Any, value: Any) -> Any:
    """NumPy arrays in an argument as the library's."""
    if isinstance(value, np.ndarray):
        return tl.tensor(value) if library is tl else torch.from_numpy(np.ascontiguousarray(value))
    if isinstance(value, list):
        return [the(library, v) for v in value]
    return value


def call(library: Any, path: str, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """``path`` is a function, dotted; with a leading dot a method of the first argument."""
    args, named = tuple(the(library, a) for a in args), {k: the(library, v) for k, v in named.items()}
    if path[0] == ".":
        return getattr(args[0], path[1:])(*args[1:], **named)
    function = library
    for part in path.split("."):
        function = getattr(function, part)
    return function(*args, **named)


def arrays(out: Any) -> Any:
    if isinstance(out, (tuple, list)):
        return [arrays(o) for o in out]
    return out.numpy() if hasattr(out, "numpy") else np.asarray(out)


def same(got: Any, want: Any) -> None:
    got, want = arrays(got), arrays(want)
    if isinstance(want, list):
        assert isinstance(got, list) and len(got) == len(want)
        for g, w in zip(got, want):
            same(g, w)
    else:
        assert isinstance(got, np.ndarray), f"{len(got)} results for one"
        assert (got.shape, got.dtype) == (want.shape, want.dtype)
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


def words(text: str) -> list[str]:
    return text.split()


def k(**named: Any) -> dict[str, Any]:
    return named


UNARY = words("abs exp sin cos tanh sigmoid relu neg floor ceil trunc round square erf expm1 asinh atan sign sum mean prod max "
              "min amax amin argmax argmin all any norm argsort positive isnan isfinite signbit frac deg2rad numel argwhere")
BINARY = words("add sub mul div divide multiply subtract true_divide eq ne lt le gt ge maximum minimum remainder fmod "
               "floor_divide atan2 arctan2 logaddexp logaddexp2 hypot copysign logical_and logical_or logical_xor isclose "
               "allclose nextafter greater less_equal not_equal")
REDUCED = words("sum mean amax amin argmax argmin all any logsumexp norm nansum nanmean")

CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    *[(f, (), k(input=X)) for f in UNARY], *[(f, (X,), {}) for f in UNARY], *[(f, (), k(input=X, other=Y)) for f in BINARY],
    *[(f, (X,), k(other=Y)) for f in BINARY], *[("." + f, (X,), k(other=Y)) for f in BINARY],
    *[(f, (X,), k(dim=1)) for f in (*REDUCED, "prod", "softmax", "log_softmax", "cumsum", "cumprod", "argsort")],
    *[(f, (), k(input=X, dim=-1, keepdim=True)) for f in REDUCED],
    *[("." + f, (X,), k(dim=0, keepdim=True)) for f in REDUCED if f != "nanmean"],
    *[(f, (X, 1, True), {}) for f in words("sum mean amax amin argmax argmin all any logsumexp prod")],
    *[(f, (), k(input=X, dim=(0, 1), keepdim=True)) for f in words("sum mean amax amin logsumexp all any")],
    ("sum", (X, [0, 1]), {}), ("sum", (B,), {}), ("sum", (I,), k(dim=0)), ("std", (X,), k(dim=0, correction=0)),
    ("std", (X,), k(dim=0, unbiased=False)), ("var", (X,), k(unbiased=True)), ("std", (X, False), {}),
    ("std", (X,), k(correction=1)), ("std_mean", (X,), k(dim=0, correction=1)), ("var_mean", (X, 1), k(unbiased=False)),
    ("var", (), k(input=X, dim=0, correction=1)),
    # shapes
    ("transpose", (X, 0, 1), {}), ("transpose", (), k(input=X, dim0=0, dim1=1)), (".transpose", (X,), k(dim0=0, dim1=1)),
    ("swapaxes", (), k(input=X, axis0=0, axis1=1)), (".swapaxes", (X,), k(axis0=0, axis1=1)),
    (".swapdims", (X,), k(dim0=0, dim1=1)), ("swapdims", (), k(input=X, dim0=0, dim1=1)), ("permute", (C, (2, 0, 1)), {}),
    ("permute", (), k(input=C, dims=(2, 0, 1))), (".permute", (C, 2, 0, 1), {}), (".permute", (C,), k(dims=(2, 0, 1))),
    ("movedim", (C, 0, 2), {}), ("movedim", (), k(input=C, source=0, destination=2)),
    ("moveaxis", (C,), k(source=(0, 1), destination=(1, 0))), ("reshape", (X, (4, 3)), {}),
    ("reshape", (), k(input=X, shape=(4, 3))), (".reshape", (X, 4, 3), {}), (".view", (X, 4, 3), {}),
    (".view", (X, (2, 6)), {}), (".view", (X, -1), {}), (".reshape", (X,), k(shape=(2, 6))), (".view_as", (X, Y), {}),
    ("flatten", (C,), k(start_dim=1)), ("flatten", (), k(input=C, start_dim=0, end_dim=1)), ("ravel", (), k(input=C)),
    ("unflatten", (X,), k(dim=1, sizes=(2, 2))), ("unflatten", (), k(input=X, dim=1, sizes=(2, -1))), ("t", (), k(input=X)),
    ("squeeze", (X[None], 0), {}), ("squeeze", (X[None],), k(dim=0)), ("squeeze", (), k(input=X[None])),
    ("unsqueeze", (X, 0), {}), ("unsqueeze", (), k(input=X, dim=1)), (".unsqueeze", (X,), k(dim=-1)),
    (".expand", (V, 3, 4), {}), (".expand", (V, 3, -1), {}), (".expand", (V,), k(size=(3, 4))),
    (".expand_as", (V,), k(other=X)), ("broadcast_to", (V, (3, 4)), {}), ("broadcast_to", (), k(input=V, size=(3, 4))),
    ("broadcast_tensors", (X, V), {}), ("broadcast_shapes", ((3, 1), (4,)), {}), ("cat", ([X, Y],), {}),
    ("cat", (), k(tensors=[X, Y], dim=1)), ("cat", ([X, Y], 1), {}), ("concat", (), k(tensors=[X, Y], dim=1)),
    ("concatenate", ([X, Y],), k(dim=1)), ("concatenate", ([X, Y],), k(axis=1)), ("stack", ([X, Y],), k(dim=1)),
    ("stack", (), k(tensors=[X, Y], dim=2)), ("vstack", (), k(tensors=[X, Y])), ("hstack", ([X, Y],), {}),
    ("dstack", ([X, Y],), {}), ("split", (X, 2, 1), {}), ("split", (X, 2), k(dim=1)), ("split", (X, [1, 3]), k(dim=1)),
    (".split", (X, 2), k(dim=1)), ("split", (), k(tensor=X, split_size_or_sections=2, dim=1)),
    (".split", (X,), k(split_size=2, dim=1)), ("chunk", (X, 2, 1), {}), ("chunk", (), k(input=X, chunks=2, dim=1)),
    ("tensor_split", (X, 3), k(dim=1)), ("tensor_split", (X,), k(sections=2)),
    ("tensor_split", (X,), k(indices=(1, 2), dim=1)), ("unbind", (X,), k(dim=1)), ("unbind", (), k(input=X)),
    # rearranging
    ("flip", (X, (0,)), {}), ("flip", (), k(input=X, dims=(0, 1))), ("flip", (X, [1]), {}), (".flip", (X, 0, 1), {}),
    (".flip", (X, 0), {}), ("fliplr", (), k(input=X)), ("flipud", (X,), {}), ("roll", (X, 1), {}), ("roll", (X, 1, 0), {}),
    ("roll", (), k(input=X, shifts=(1, 2), dims=(0, 1))), (".roll", (X,), k(shifts=1, dims=1)),
    ("roll", (X, (1, 2), (0, 1)), {}), ("rot90", (X,), k(k=1, dims=(0, 1))), ("rot90", (), k(input=X, k=2)),
    ("rot90", (C, 3, (1, 2)), {}), ("tile", (X, (2, 1)), {}), ("tile", (), k(input=X, dims=(2,))), (".tile", (X, 2, 1), {}),
    (".repeat", (X, 2, 1), {}), (".repeat", (X, (2, 1, 1)), {}), (".repeat", (X,), k(repeats=(2, 1))),
    ("repeat_interleave", (X, 2), {}), ("repeat_interleave", (X, 2), k(dim=1)),
    ("repeat_interleave", (), k(input=X, repeats=2, dim=0)), ("repeat_interleave", (X, np.array([1, 2, 0])), k(dim=0)),
    (".repeat_interleave", (X,), k(repeats=2, dim=1)), ("tril", (X,), k(diagonal=1)), ("triu", (), k(input=X, diagonal=-1)),
    ("triu", (X, 1), {}), ("diagonal", (C,), k(offset=1, dim1=1, dim2=2)), ("diagonal", (C, 0, 1, 2), {}),
    ("diagonal", (), k(input=X)), ("diag", (V,), k(diagonal=1)), ("diag", (X, 1), {}), ("diag", (), k(input=X, diagonal=1)),
    ("diag_embed", (), k(input=X)), ("diag_embed", (X,), k(offset=1, dim1=0, dim2=2)), ("narrow", (X, 1, 1, 2), {}),
    ("narrow", (), k(input=X, dim=1, start=1, length=2)), ("select", (X, 1, 2), {}),
    ("select", (), k(input=X, dim=1, index=-1)), ("atleast_2d", (V,), {}), ("meshgrid", (V, V), k(indexing="ij")),
    ("meshgrid", ([V, V[:2]],), k(indexing="xy")),
    # indexing
    ("gather", (X, 0, I), {}), ("gather", (), k(input=X, dim=0, index=I)), (".gather", (X,), k(dim=0, index=I)),
    ("scatter", (X, 0, I[:1], Y), {}), ("scatter_add", (X, 0, I, Y), {}),
    ("scatter_add", (), k(input=X, dim=0, index=I, src=Y)), ("scatter", (X, 0, I, 1.5), {}),
    ("scatter", (), k(input=X, dim=0, index=I[:1], value=1.5)), ("scatter", (X,), k(dim=0, index=I[:1], src=Y)),
    (".scatter_add", (X,), k(dim=0, index=I, src=Y)), ("index_select", (X, 0, ROWS), {}),
    ("index_select", (), k(input=X, dim=1, index=ROWS)), ("index_add", (X, 0, ORDER, Y), {}),
    ("index_add", (X,), k(dim=0, index=ORDER, source=Y)),
    ("index_add", (), k(input=X, dim=0, index=ORDER, source=Y, alpha=2.0)),
    ("index_copy", (X,), k(dim=0, index=ORDER, source=Y)), ("index_copy", (), k(input=X, dim=0, index=ORDER, source=Y)),
    ("index_fill", (X, 0, ROWS, 3.0), {}), ("index_fill", (), k(input=X, dim=0, index=ROWS, value=3.0)),
    (".index_fill", (X,), k(dim=0, index=ROWS, value=3.0)), ("take", (X, I), {}), ("take", (), k(input=X, index=I)),
    ("take_along_dim", (X, I[:1], 0), {}), ("take_along_dim", (X, I), {}),
    ("take_along_dim", (), k(input=X, indices=I[:1], dim=0)), ("masked_fill", (X, B, 0.5), {}),
    ("masked_fill", (), k(input=X, mask=B, value=0.5)), (".masked_fill", (X,), k(mask=B, value=0.5)),
    ("masked_select", (X, B), {}), ("masked_select", (), k(input=X, mask=B)), ("masked_scatter", (X, B, Y), {}),
    (".masked_scatter", (X,), k(mask=B, source=Y)), ("where", (B, X, Y), {}), ("where", (B,), {}),
    ("where", (B,), k(input=X, other=Y)), ("where", (), k(condition=B, input=X, other=Y)), ("where", (B, X, 1.0), {}),
    (".where", (X, B, Y), {}), (".where", (X,), k(condition=B, other=Y)), ("clamp", (X,), k(min=-0.5)),
    ("clamp", (X, -0.1, 0.1), {}), ("clamp", (), k(input=X, min=-0.5, max=0.5)), ("clamp_min", (X,), k(min=0.0)),
    ("clamp_max", (), k(input=X, max=0.0)), (".clamp", (X,), k(max=0.0)), ("clip", (X, 0.0, 1.0), {}),
    # order and sets
    ("topk", (X, 2), {}), ("topk", (), k(input=X, k=2, dim=0, largest=False, sorted=True)), (".topk", (X,), k(k=1, dim=1)),
    ("kthvalue", (X, 2), {}), ("kthvalue", (), k(input=X, k=2, dim=0, keepdim=True)),
    ("argsort", (X,), k(dim=0, descending=True)), ("argsort", (X, 0, True), {}),
    ("searchsorted", (), k(sorted_sequence=np.sort(V), input=X)), ("searchsorted", (np.sort(V), X), k(right=True)),
    ("nonzero", (B,), k(as_tuple=True)), ("nonzero", (B,), k(as_tuple=False)), ("unique", (I,), {}),
    ("unique", (I,), k(return_inverse=True, return_counts=True)), ("bincount", (I[0],), {}),
    ("bincount", (), k(input=I[0], minlength=6)), ("isin", (I, ROWS), {}), ("isin", (), k(elements=I, test_elements=ROWS)),
    ("diff", (X,), {}), ("diff", (), k(input=X, n=1, dim=0)), ("diff", (X,), k(dim=1, prepend=X[:, :1])),
    ("cumsum", (), k(input=X, dim=1)), ("cumprod", (X, 0), {}), ("count_nonzero", (I,), k(dim=0)),
    ("logsumexp", (), k(input=X, dim=1)), ("softmax", (), k(input=X, dim=0)),
    # products and norms
    ("matmul", (X, Y.T), {}), ("matmul", (), k(input=X, other=Y.T)), ("mm", (), k(input=X, mat2=Y.T)),
    ("bmm", (), k(input=C, mat2=C.mT)), ("mv", (), k(input=X, vec=V)), ("dot", (), k(input=V, tensor=V)),
    ("vdot", (), k(input=V, other=V)), ("outer", (), k(input=V, vec2=V)), ("addmm", (X, X @ Y.T, Y), k(beta=0.5, alpha=2.0)),
    ("addmm", (), k(input=X, mat1=X @ Y.T, mat2=Y)), ("einsum", ("ij,kj->ik", X, Y), {}),
    ("einsum", ("ij,kj->ik", [X, Y]), {}), ("tensordot", (X, Y), k(dims=2)), ("tensordot", (X, Y), k(dims=([1], [1]))),
    ("tensordot", (), k(a=X, b=Y, dims=([0, 1], [0, 1]))), ("tensordot", (X, Y, 2), {}), ("norm", (X, 2), {}),
    ("norm", (X,), k(p=1, dim=0)), ("norm", (), k(input=X, p=2, dim=1, keepdim=True)), ("norm", (X,), k(p=float("inf"))),
    ("linalg.norm", (X,), {}), ("linalg.norm", (V, 1), {}), ("linalg.norm", (X, 1), {}),
    ("linalg.norm", (X,), k(ord=float("inf"))), ("linalg.norm", (X,), k(dim=1)), ("linalg.norm", (X,), k(ord=1, dim=1)),
    ("linalg.norm", (C,), k(ord=-1, dim=(0, 2), keepdim=True)), ("linalg.matrix_norm", (C,), {}),
    ("linalg.matrix_norm", (C, 1), {}), ("linalg.matrix_norm", (C,), k(ord=-float("inf"), dim=(0, 1), keepdim=True)),
    ("linalg.vector_norm", (X,), k(ord=1, dim=1)), ("linalg.matmul", (X, Y.T), {}), ("linalg.vecdot", (X, Y), k(dim=0)),
    ("linalg.diagonal", (C,), {}), ("linalg.diagonal", (C,), k(offset=1, dim1=0, dim2=1)),
    # arithmetic with options
    ("lerp", (X, Y, 0.3), {}), ("lerp", (), k(input=X, end=Y, weight=0.3)), ("pow", (POS, 2.0), {}),
    ("pow", (), k(input=X, exponent=2.0)), ("pow", (2.0,), k(exponent=X)), (".pow", (X,), k(exponent=3)),
    ("pow", (), k(self=2.0, exponent=X)), ("add", (X, Y), k(alpha=2.0)), ("sub", (), k(input=X, other=Y, alpha=0.5)),
    ("div", (X, Y), k(rounding_mode="floor")), ("xlogy", (), k(input=X, other=POS)),
    ("div", (), k(input=X, other=Y, rounding_mode="trunc")), ("round", (X,), k(decimals=1)), ("logit", (POS / 9,), {}),
    ("logit", (), k(input=POS, eps=0.1)), ("nan_to_num", (X,), k(nan=1.0)), ("isclose", (X, Y), k(rtol=0.1, atol=0.1)),
    # creation
    ("zeros", (2, 3), {}), ("zeros", (), k(size=(2,))), ("full", ((2, 3), 1.5), {}),
    ("full", (), k(size=(2, 3), fill_value=1.5)), ("ones_like", (), k(input=X)), ("zeros_like", (), k(input=X)),
    ("full_like", (X, 2.0), {}), ("full_like", (), k(input=X, fill_value=2.0)), ("arange", (1, 5, 2), {}),
    ("arange", (), k(start=1, end=5, step=2)), ("arange", (), k(end=5)), ("arange", (5.0,), {}), ("linspace", (0, 1, 5), {}),
    ("linspace", (0, 1), k(steps=5)), ("linspace", (), k(start=0, end=1, steps=5)), ("eye", (3, 2), {}),
    ("eye", (), k(n=3, m=2)), ("tensor", ([1.0, 2.0],), {}), ("tensor", (), k(data=[1, 2])),
    # torch.nn.functional
    ("nn.functional.pad", (X, (1, 1)), {}),
    ("nn.functional.pad", (), k(input=X, pad=(1, 2, 0, 1), mode="constant", value=2.0)),
    ("nn.functional.pad", (X, (1, 1)), k(mode="reflect")), ("nn.functional.pad", (C, (1, 2)), k(mode="replicate")),
    ("nn.functional.pad", (C, (1, 2)), k(mode="circular")), ("nn.functional.one_hot", (I, 5), {}),
    ("nn.functional.one_hot", (), k(input=I, num_classes=4)), ("nn.functional.embedding", (), k(input=I, weight=X)),
    ("nn.functional.linear", (), k(input=X, weight=Y)), ("nn.functional.softmax", (), k(input=X, dim=1)),
    ("nn.functional.softmin", (X, 1), {}), ("nn.functional.gelu", (), k(input=X, approximate="tanh")),
    ("nn.functional.leaky_relu", (X, 0.2), {}), ("nn.functional.elu", (), k(input=X, alpha=0.5, inplace=False)),
    ("nn.functional.layer_norm", (X, (4,)), {}),
    ("nn.functional.layer_norm", (), k(input=X, normalized_shape=(4,), weight=V, bias=V, eps=1e-3)),
    ("nn.functional.glu", (X,), k(dim=1)), ("nn.functional.threshold", (X, 0.1, 5.0), {}),
    ("nn.functional.threshold", (), k(input=X, threshold=0.1, value=5.0)), ("nn.functional.prelu", (X, V), {}),
    ("nn.functional.prelu", (), k(input=X, weight=V)), ("nn.functional.hardtanh", (X,), k(min_val=-0.5, max_val=0.5)),
    ("nn.functional.softplus", (X,), k(beta=2.0, threshold=1.0)), ("nn.functional.cosine_similarity", (X, Y), k(dim=1)),
    ("nn.functional.cosine_similarity", (X, V), {}), ("nn.functional.normalize", (X,), k(p=1, dim=0)),
    ("nn.functional.normalize", (), k(input=X)), ("nn.functional.pairwise_distance", (X, Y), k(p=1.0, keepdim=True)),
]


@pytest.mark.parametrize(("path", "args", "named"), [
    pytest.param(*c, id=f"{c[0]}({len(c[1])}{''.join(', ' + n for n in c[2])})") for c in CALLS])
def test_the_same_call_gives_the_same(path: str, args: tuple[Any, ...], named: dict[str, Any]) -> None:
    same(call(tl, path, args, named), call(torch, path, args, named))


# ---- where the same call means something else --------------------------------------------------------------------------------
# Each line is one of docs/coming-from.md's: the call, and what stands for PyTorch's result here.

DIFFERENT: list[tuple[str, Any, Any]] = [
    ("max with dim gives values only", lambda x: (tl.max(x, dim=1), tl.argmax(x, dim=1)), lambda x: torch.max(x, dim=1)),
    ("min with dim gives values only", lambda x: (x.min(1), x.argmin(1)), lambda x: x.min(1)),
    ("sort gives values only", lambda x: (tl.sort(x, dim=0), tl.argsort(x, dim=0)), lambda x: torch.sort(x, dim=0)),
    ("sort as topk of all", lambda x: tuple(x.topk(4)), lambda x: x.sort(descending=True)),
    ("std is not corrected unless asked", lambda x: tl.std(x, dim=0, correction=1), lambda x: torch.std(x, dim=0)),
    ("var is not corrected unless asked", lambda x: x.var(unbiased=True), lambda x: x.var()),
    ("std_mean is not corrected unless asked", lambda x: tl.std_mean(x, correction=1), lambda x: torch.std_mean(x)),
    ("equal is elementwise", lambda x: tl.all(tl.equal(x, x)).item(), lambda x: torch.equal(x, x)),
    ("nonzero gives a tuple", lambda x: tl.argwhere(x), lambda x: torch.nonzero(x)),
    ("vector_norm's order goes by name", lambda x: tl.linalg.vector_norm(x, 1, ord=3),
     lambda x: torch.linalg.vector_norm(x, 3, 1)),
    ("max of two tensors is maximum", lambda x: tl.maximum(x, -x), lambda x: torch.max(x, -x)),
    ("meshgrid is xy unless asked", lambda x: tl.meshgrid(x[0], x[1, :2], indexing="xy"),
     lambda x: torch.meshgrid(x[0], x[1, :2], indexing="xy")),
    ("size can be called, shape is a tuple", lambda x: (tl.asarray(x.size()), x.size(1)),
     lambda x: (torch.tensor(x.size()), x.size(1))),
]


@pytest.mark.parametrize(("ours", "theirs"), [pytest.param(o, t, id=name) for name, o, t in DIFFERENT])
def test_what_stands_for_a_call_that_means_something_else(ours: Any, theirs: Any) -> None:
    same(ours(tl.tensor(X)), theirs(torch.from_numpy(X)))


def test_numbers_may_be_tensors() -> None:
    zero, two = tl.tensor(0.0), tl.tensor(2.0)
    assert tl.linspace(zero, two, 3).tolist() == [0, 1, 2] and tl.arange(two).tolist() == [0, 1]
    assert tl.isclose(two, two + 0.5, rtol=zero, atol=two).item()
    assert (tl.float, tl.double, tl.half, tl.long, tl.int) == (tl.float32, tl.float64, tl.float16, tl.int64, tl.int32)
    assert tl.is_tensor(two) and not tl.is_tensor(2.0) and tl.is_floating_point(two)


def test_the_differences_themselves() -> None:
    x, i, u = tl.tensor(X), tl.tensor(I), tl.tensor(I.astype(np.uint8))
    assert tl.max(x, 1).shape == (3,)
    assert tl.sort(x).shape == x.shape
    np.testing.assert_allclose(x.std(0).numpy(), X.std(0))
    assert tl.equal(x, x).shape == x.shape
    assert [len(n) for n in tl.nonzero(x)] == [12, 12]
    assert tl.repeat(x, 2).shape == (24,) and x.repeat(2, 1).shape == (6, 4)   # the standard's function, PyTorch's method
    assert tl.meshgrid(tl.arange(2), tl.arange(3))[0].shape == (3, 2)          # "xy"
    assert tl.transpose(tl.ones(1, 2, 3)).shape == tl.ones(1, 2, 3).T.shape == (3, 2, 1)
    assert (i + tl.ones(4, dtype=tl.float32)).dtype == tl.float64              # NumPy's promotion; PyTorch: float32
    assert (tl.ones(2) + tl.tensor(1.0, dtype=tl.float64)).dtype == tl.float64   # zero-dimensional tensors are not weak
    assert (tl.ones(2) + 1.0).dtype == tl.float32                              # numbers are, as in PyTorch
    assert (i / i.clip(1)).dtype == i.to(tl.float64).dtype == i.mean().dtype == i.softmax(0).dtype == i.exp().dtype == tl.float64
    assert u.sum().dtype == tl.uint64                                          # PyTorch: int64
    assert x[::-1].tolist() == X[::-1].tolist()                                # PyTorch refuses negative steps
    with pytest.raises(tl.errors.ShapeError, match="only axes of length 1 can go"):
        tl.squeeze(x, dim=0)                                                   # PyTorch leaves it
    with pytest.raises(tl.errors.DTypeError, match="maximum and minimum"):
        tl.max(x, x)
    with pytest.raises(tl.errors.ShapeError, match="axis"):
        tl.cumsum(x)                                                           # one axis needs no dim, two do
    with pytest.raises(tl.errors.DTypeError, match="takes x, axis, and by name correction"):
        tl.std(x, 1, True)
    np.testing.assert_array_equal(tl.func.grad(lambda a: a.max())(tl.tensor([1.0, 1.0])).numpy(), [0.5, 0.5])
