"""What every kernel is measured on: sizes, dtypes, inputs.

A function decorated with :func:`cases` makes the inputs of one size with a :class:`Maker`; the last size is the large one. A new
kernel needs an entry here (``tests/test_bench.py`` looks for it).
"""
from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from math import prod
from typing import Any, NamedTuple

import numpy as np

from tensorlite.kernels import Cost, Kernel, _windows, load

from ._device import Cpu, Cuda, _dtype

__all__ = ["CASES", "Case", "Maker", "Problem", "listed"]

BLOCK = 1 << 20   # random numbers made on the host; arrays on the device repeat them


class Maker:
    """Arrays of random numbers on a device."""

    def __init__(self, device: Cpu | Cuda, dtype: str, seed: int = 0) -> None:
        self.device, self.dtype, self.rng = device, dtype, np.random.default_rng(seed)

    def _filled(self, shape: tuple[int, ...], block: Any) -> Any:
        n = prod(shape)
        if n <= len(block):
            return self.device.put(block[:n].reshape(shape))
        out, block = self.device.xp.empty(n, dtype=block.dtype), self.device.put(block)
        whole = n - n % len(block)
        out[:whole].reshape((-1, len(block)))[...] = block
        out[whole:] = block[:n - whole]
        return out.reshape(shape)

    def normal(self, *shape: int, dtype: str | None = None) -> Any:
        host = self.rng.normal(size=min(prod(shape), BLOCK)).astype(np.float32)
        return self._filled(shape, host.astype(_dtype(dtype or self.dtype)))

    def uniform(self, *shape: int, dtype: str | None = None) -> Any:
        """From 0.1 to 0.9."""
        host = 0.1 + 0.8 * self.rng.random(min(prod(shape), BLOCK), np.float32)
        return self._filled(shape, host.astype(_dtype(dtype or self.dtype)))

    def integers(self, high: int, *shape: int, dtype: str = "int64") -> Any:
        """From 0 to high - 1."""
        return self._filled(shape, self.rng.integers(0, high, min(prod(shape), BLOCK)).astype(dtype))

    def number(self, value: float, dtype: str = "float32") -> Any:
        """An array without dimensions."""
        return self.device.put(np.asarray(value, dtype))

    def moments(self, x: Any, axes: tuple[int, ...]) -> tuple[Any, Any]:
        """Mean and variance of x along the axes, float32 for 16 bits."""
        wide = x if x.dtype.itemsize > 2 else x.astype("float32")
        return self.device.xp.mean(wide, axis=axes), self.device.xp.var(wide, axis=axes)

    def parameters(self, *widths: int) -> list[Any]:
        """Weights and biases of a multilayer perceptron."""
        return [self.normal(*s) for n, m in pairwise(widths) for s in ((n, m), (m,))]


class Problem:
    """A kernel's arguments."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.args, self.options = args, options

    def bind(self, function: Callable[..., Any]) -> Callable[[], Any]:
        """The call that is timed, of one variant."""
        return partial(function, *self.args, **self.options)

    def wide(self, device: Cpu | Cuda) -> Problem:
        """A copy in float64."""
        copied = object.__new__(type(self))
        copied.__dict__ = _wide(self.__dict__)
        return copied

    def copy(self) -> Problem:
        """With arrays of its own."""
        return type(self)(*_copied(self.args), **self.options)

    def results(self, returned: Any) -> list[Any]:
        """The arrays that the call made or changed."""
        return [a for a in (returned if isinstance(returned, tuple | list) else [returned]) if a is not None]

    def cost(self, kernel: Kernel) -> Cost:
        return kernel.cost(*self.args, **self.options)


class InPlace(Problem):
    """Of a kernel that writes to its arguments."""

    def results(self, returned: Any) -> list[Any]:
        changed = [a for arg in self.args for a in (arg if isinstance(arg, list) else [arg])]
        return [*super().results(returned), *changed]


class Step(InPlace):
    """An optimizer's step: a plan is made for the states, and called."""

    def __init__(self, states: list[Any], params: list[Any], grads: list[Any], **options: Any) -> None:
        self.states, self.params, self.grads, self.options = states, params, grads, options

    def bind(self, function: Callable[..., Any]) -> Callable[[], Any]:
        plan = function(*self.states, np.zeros(len(self.params), np.int64))
        return partial(plan, self.params, self.grads, **self.options)

    def copy(self) -> Problem:
        return Step(_copied(self.states), _copied(self.params), self.grads, **self.options)

    def results(self, returned: Any) -> list[Any]:
        return [*self.params, *[a for kind in self.states if kind for a in kind]]

    def cost(self, kernel: Kernel) -> Cost:
        return kernel.cost(*self.states, None, params=self.params)


def _wide(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _wide(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return type(value)([_wide(v) for v in value])
    if not hasattr(value, "dtype"):
        return value
    return value.astype("float64") if value.dtype.name in _FLOATS else value.copy()


_FLOATS = ("float16", "bfloat16", "float32", "float64")


def _copied(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return type(value)([_copied(v) for v in value])
    return value.copy() if hasattr(value, "dtype") else value


class Cases(NamedTuple):
    """What :func:`cases` was told."""

    make: Callable[..., Problem]
    sizes: dict[str, list[tuple[int, ...]]]   # by the kind of device
    dtypes: dict[str, tuple[str, ...]]
    tags: tuple[str, ...]


class Case(NamedTuple):
    """One line of the table."""

    kernel: str
    tag: str
    dims: tuple[int, ...]
    dtype: str
    size: str              # small, medium or large
    make: Callable[..., Problem]

    @property
    def title(self) -> str:
        """What gates are stored under: ``"bias_activation gelu 4096x1024 float32"``."""
        return " ".join(filter(None, (self.kernel, self.tag, "x".join(map(str, self.dims)), self.dtype)))

    def problem(self, device: Cpu | Cuda, *, seed: int = 0, limit: int | None = None) -> Problem:
        """The inputs; no dimension above ``limit``."""
        dims = self.dims if limit is None else tuple(min(d, limit) for d in self.dims)
        return self.make(Maker(device, self.dtype, seed), self.tag, *dims)


CASES: dict[str, Cases] = {}
FLOATS = {"cpu": ("float32",), "cuda": ("float32", "bfloat16")}
Sizes = list[tuple[int, ...]]


def cases(name: str, cpu: Sizes, cuda: Sizes, *, dtypes: dict[str, tuple[str, ...]] | tuple[str, ...] = FLOATS,
          tags: tuple[str, ...] = ("",)) -> Callable[[Callable[..., Problem]], Callable[..., Problem]]:
    """Enter ``make(maker, tag, *dims)`` as a kernel's inputs; ``tags`` tell kinds of call apart."""
    def enter(make: Callable[..., Problem]) -> Callable[..., Problem]:
        by_kind = dtypes if isinstance(dtypes, dict) else {"cpu": dtypes, "cuda": dtypes}
        CASES[name] = Cases(make, {"cpu": cpu, "cuda": cuda}, by_kind, tags)
        return make
    return enter


def listed(device: Cpu | Cuda, names: list[str]) -> list[Case]:
    """All cases of these kernels, what tells most first: the large sizes of the first dtypes."""
    found = []
    for name in names:
        entry = CASES.get(name) or _sampled(name)
        if entry is None:
            continue
        sizes = entry.sizes[device.kind]
        for d, dtype in enumerate(t for t in entry.dtypes[device.kind] if t != "bfloat16" or device.has_bfloat16):
            for t, tag in enumerate(entry.tags):
                for s, dims in enumerate(sizes):
                    size = "large" if s == len(sizes) - 1 else "small" if s == 0 else "medium"
                    case = Case(name, tag, dims, dtype, size, entry.make)
                    rank = FIRST.index(case.title) if case.title in FIRST else len(FIRST)
                    found.append(((rank, len(sizes) - 1 - s, d, t, names.index(name)), case))
    return [case for _, case in sorted(found, key=lambda f: f[0])]


def _sampled(name: str) -> Cases | None:
    """One case of a user's kernel that says what to measure it with; None for one that does not."""
    sample = load(name).sample
    if sample is None:
        return None

    def make(m: Maker, tag: str) -> Problem:
        floats = [(a, np.asarray(a).dtype.name in _FLOATS) for a in sample(m.rng)]
        return Problem(*[m.device.put(a.astype(_dtype(m.dtype)) if floating else a) for a, floating in floats])
    return Cases(make, {"cpu": [()], "cuda": [()]}, FLOATS, ("",))


FIRST = ("sigmoid_backward 268435456 float32", "softmax_cross_entropy 8192x50257 float32",
         "softmax_cross_entropy 8192x50257 bfloat16", "softmax_cross_entropy 8192x10 float32",
         "adam 4096x4096x4096x4096x4096x4096x4096 float32", "adam 784x512x512x10 float32",
         "linear 8192x4096x4096 float32", "linear 8192x4096x4096 tf32", "linear 8192x4096x4096 bfloat16")

# ---- elementwise ----------------------------------------------------------------------------------------------------------

VECTORS: tuple[Sizes, Sizes] = [(1 << 12,), (1 << 17,), (1 << 22,)], [(1 << 16,), (1 << 22,), (1 << 28,)]
MATRICES: tuple[Sizes, Sizes] = [(64, 128), (1024, 512), (4096, 1024)], [(128, 512), (8192, 512), (32768, 4096)]


@cases("sigmoid", *VECTORS)
def _(m: Maker, tag: str, n: int) -> Problem:
    return Problem(m.normal(n))


@cases("sigmoid_backward", *VECTORS)
def _(m: Maker, tag: str, n: int) -> Problem:
    return Problem(m.normal(n), m.uniform(n))


@cases("relu_backward", *VECTORS)
def _(m: Maker, tag: str, n: int) -> Problem:
    return Problem(m.normal(n), m.device.xp.clip(m.normal(n), 0, None))


@cases("outer", [(8, 10, 128), (64, 10, 128), (64, 128, 784)], [(64, 128, 784), (512, 128, 784), (512, 1024, 784)])
def _(m: Maker, tag: str, b: int, n: int, k: int) -> Problem:
    return Problem(m.normal(b, n), m.normal(b, k))


@cases("erf", *VECTORS)
def _(m: Maker, tag: str, n: int) -> Problem:
    return Problem(m.normal(n))


@cases("dropout", *VECTORS)
def _(m: Maker, tag: str, n: int) -> Problem:
    return Problem(m.normal(n), p=0.1, place=(1, 0, 0))


@cases("philox", *VECTORS, dtypes=("float32",), tags=("uniform", "normal"))
def _(m: Maker, tag: str, n: int) -> Problem:
    return Problem(kind=tag, shape=(n,), dtype="float32", seed=1)


ACTIVATIONS = ("relu", "gelu", "silu", "sigmoid", "tanh", "gelu_tanh")


@cases("bias_activation", *MATRICES, tags=ACTIVATIONS)
def _(m: Maker, tag: str, rows: int, columns: int) -> Problem:
    return Problem(m.normal(rows, columns), m.normal(columns), activation=tag)


@cases("bias_activation_backward", *MATRICES, tags=ACTIVATIONS)
def _(m: Maker, tag: str, rows: int, columns: int) -> Problem:
    from tensorlite.kernels.bias_activation_backward.reference import FROM_OUTPUT
    x, b = m.uniform(rows, columns), m.normal(columns)
    return Problem(m.normal(rows, columns), x, None if tag in FROM_OUTPUT else b, activation=tag)


@cases("sum_to", *MATRICES, tags=("columns", "rows"))
def _(m: Maker, tag: str, rows: int, columns: int) -> Problem:
    return Problem(m.normal(rows, columns), shape=(columns,) if tag == "columns" else (rows, 1))


# ---- rows, channels, losses -----------------------------------------------------------------------------------------------

@cases("softmax_cross_entropy", [(64, 10), (8192, 10), (8192, 100), (2048, 1000), (512, 50257)],
       [(128, 10), (8192, 10), (8192, 1000), (4096, 128256), (8192, 50257)])
def _(m: Maker, tag: str, n: int, c: int) -> Problem:
    return Problem(m.normal(n, c), m.integers(c, n))


@cases("row_normalize", *MATRICES)
def _(m: Maker, tag: str, rows: int, columns: int) -> Problem:
    return Problem(m.normal(rows, columns), m.normal(columns), m.normal(columns), eps=1e-5)


@cases("row_normalize_grad", *MATRICES)
def _(m: Maker, tag: str, rows: int, columns: int) -> Problem:
    g, x = m.normal(rows, columns), m.normal(rows, columns)
    return Problem(g, x, m.normal(columns), *m.moments(x, (1,)), eps=1e-5)


IMAGES: tuple[Sizes, Sizes] = ([(16, 16, 14, 14), (64, 32, 28, 28), (64, 64, 32, 32)],
                               [(128, 64, 8, 8), (128, 64, 32, 32), (256, 256, 32, 32)])


# images, channels in and out, height and width, of 3 x 3 weights
LAYERS: tuple[Sizes, Sizes] = ([(32, 16, 16, 32), (32, 64, 64, 8), (64, 32, 64, 28)],
                               [(128, 64, 64, 32), (128, 512, 512, 4), (256, 256, 256, 32)])
SQUARE: dict[str, Any] = {"stride": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1)}


@cases("conv", *LAYERS)
def _(m: Maker, tag: str, n: int, c: int, o: int, h: int) -> Problem:
    return Problem(m.normal(n, c, h, h), m.normal(o, c, 3, 3), m.normal(o), **SQUARE)


@cases("conv_input_grad", *LAYERS)
def _(m: Maker, tag: str, n: int, c: int, o: int, h: int) -> Problem:
    return Problem(m.normal(n, o, h, h), m.normal(o, c, 3, 3), size=(h, h), **SQUARE)


@cases("conv_weight_grad", *LAYERS)
def _(m: Maker, tag: str, n: int, c: int, o: int, h: int) -> Problem:
    return Problem(m.normal(n, o, h, h), m.normal(n, c, h, h), window=(3, 3), **SQUARE)


@cases("channel_normalize", *IMAGES)
def _(m: Maker, tag: str, n: int, c: int, h: int, w: int) -> Problem:
    return Problem(m.normal(n, c, h, w), m.normal(c), m.normal(c), eps=1e-5)


@cases("channel_normalize_grad", *IMAGES)
def _(m: Maker, tag: str, n: int, c: int, h: int, w: int) -> Problem:
    g, x = m.normal(n, c, h, w), m.normal(n, c, h, w)
    return Problem(g, x, m.normal(c), *m.moments(x, (0, 2, 3)), eps=1e-5)


def _halves(h: int, w: int) -> tuple[Any, ...]:
    """Windows of 2 x 2, side by side."""
    return tuple([_windows.sliding(n, 2, 2, 0, 1, False) for n in (h, w)])


@cases("max_pool", *IMAGES)
def _(m: Maker, tag: str, n: int, c: int, h: int, w: int) -> Problem:
    return Problem(m.normal(n, c, h, w), windows=_halves(h, w))


@cases("max_pool_grad", *IMAGES)
def _(m: Maker, tag: str, n: int, c: int, h: int, w: int) -> Problem:
    out, index = load("max_pool").reference(m.device.xp, m.normal(n, c, h, w), windows=_halves(h, w))
    return Problem(out, index, windows=_halves(h, w))


@cases("resample", *IMAGES)
def _(m: Maker, tag: str, n: int, c: int, h: int, w: int) -> Problem:
    return Problem(m.normal(n, c, h, w), taps=tuple([_windows.mean(one, True, None) for one in _halves(h, w)]))


# ---- rows at indices --------------------------------------------------------------------------------------------------------

TABLES: tuple[Sizes, Sizes] = ([(1000, 64, 128), (10000, 128, 1024), (50257, 256, 4096)],
                               [(1000, 64, 1024), (50257, 768, 8192), (50257, 1024, 65536)])


@cases("check_indices", *VECTORS, dtypes=("int64",))
def _(m: Maker, tag: str, n: int) -> Problem:
    return Problem(m.integers(1000, n), low=0, high=1000)


@cases("take_rows", *TABLES)
def _(m: Maker, tag: str, rows: int, width: int, n: int) -> Problem:
    return Problem(m.normal(rows, width), m.integers(rows, n))


@cases("put_rows", *TABLES)
def _(m: Maker, tag: str, rows: int, width: int, n: int) -> Problem:
    return Problem(m.normal(rows, width), m.normal(n, width), m.integers(rows, n))


@cases("embedding_grad", *TABLES)
def _(m: Maker, tag: str, rows: int, width: int, n: int) -> Problem:
    return Problem(m.normal(n, width), m.integers(rows, n), rows=rows)


@cases("gather_batch", [(5000, 784, 64), (20000, 784, 512), (60000, 784, 4096)],
       [(60000, 784, 128), (60000, 784, 8192), (60000, 3072, 60000)], dtypes=("uint8",))
def _(m: Maker, tag: str, samples: int, size: int, n: int) -> Problem:
    return Problem(m.integers(256, samples, size, dtype="uint8"), m.integers(samples, n), factor=1 / 255, offset=-0.5)


@cases("augment_batch", [(5000, 28, 64), (20000, 32, 128), (20000, 32, 512)], [(50000, 32, 128), (50000, 32, 512),
       (50000, 32, 50000)], dtypes=("uint8",))
def _(m: Maker, tag: str, samples: int, side: int, n: int) -> Problem:
    moves = m.device.xp.stack([m.integers(9, n, dtype="int32") - 4, m.integers(9, n, dtype="int32") - 4,
                               m.integers(2, n, dtype="int32"), m.integers(side, n, dtype="int32"),
                               m.integers(side, n, dtype="int32")], axis=1)
    return Problem(m.integers(256, samples, 3, side, side, dtype="uint8"), m.integers(samples, n), moves, factor=1 / 255,
                   offset=-0.5)


# ---- lists of arrays ----------------------------------------------------------------------------------------------------------

NETWORKS: tuple[Sizes, Sizes] = ([(16, 10, 5), (784, 512, 512, 10), (2048,) * 4],
                                 [(784, 128, 10), (784, 512, 512, 10), (4096,) * 7])


@cases("grad_norm", *NETWORKS)
def _(m: Maker, tag: str, *widths: int) -> Problem:
    return Problem(m.parameters(*widths))


@cases("unscale", *NETWORKS)
def _(m: Maker, tag: str, *widths: int) -> Problem:
    return InPlace(m.parameters(*widths), m.number(-1.0))   # any number of times: nothing vanishes


@cases("update_scale", [()], [()], dtypes=("float32",))
def _(m: Maker, tag: str) -> Problem:
    return InPlace(m.number(1024.0), m.number(0, "int32"), m.number(0.0), growth=2.0, backoff=0.5, interval=1 << 30)


def _step(kept: tuple[bool, ...], **options: Any) -> Callable[..., Problem]:
    def make(m: Maker, tag: str, *widths: int) -> Problem:
        params, grads = m.parameters(*widths), m.parameters(*widths)
        states = [[m.device.xp.zeros_like(p) for p in params] if keep else None for keep in kept]
        return Step(states, params, grads, lr=1e-3, **options)
    return make


cases("sgd", *NETWORKS, tags=("momentum",))(_step((True,), momentum=0.9))
cases("adam", *NETWORKS)(_step((True, True, False)))
cases("rmsprop", *NETWORKS)(_step((True, False, False)))

# ---- no kernel of its own: the products of a layer --------------------------------------------------------------------------


@cases("linear", [(64, 784, 128), (1024, 1024, 1024)], [(128, 784, 512), (8192, 784, 512), (8192, 4096, 4096)],
       dtypes={"cpu": ("float32",), "cuda": ("float32", "tf32", "bfloat16")})
def _(m: Maker, tag: str, n: int, k: int, out: int) -> Problem:
    dtype = "float32" if m.dtype == "tf32" else m.dtype
    return Problem(*[m.normal(*shape, dtype=dtype) for shape in ((n, k), (out, k), (out,), (n, out))])
