"""Fourier transforms (tensorlite/fft.py, tensorlite/ops/fft.py), as functions of real arrays: complex ones are seen as pairs."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import tensorlite as tl
from optable._row import Case, Row

Rng = np.random.Generator
Made = Callable[[Rng], Iterator[Case]]


def paired(z: Any) -> Any:
    return np.stack([z.real, z.imag], axis=-1) if np.iscomplexobj(z) else z


def joined(x: Any) -> Any:
    return x[..., 0] + 1j * x[..., 1]


def row(name: str, cases: Made, *, of_complex: bool, to_complex: bool = True, covers: tuple[str, ...] = ()) -> Row:
    """``tl.fft.name`` against NumPy's."""
    ours, theirs = getattr(tl.fft, name), getattr(np.fft, name)

    def function(x: Any, *args: Any, **kwargs: Any) -> Any:
        out = ours(tl.view_as_complex(x) if of_complex else x, *args, **kwargs)
        return tl.view_as_real(out) if to_complex else out

    def reference(x: Any, *args: Any, **kwargs: Any) -> Any:
        return paired(theirs(joined(x) if of_complex else x, *args, **kwargs))

    label = f"fft.{name}" + (" of complex" if of_complex and name in ("fft", "fftn", "ifft") else "")
    return Row(label, function, reference, cases, grad=(0,), covers=covers, rtol=1e-11)


def single(of_complex: bool, *lengths: Any) -> Made:
    """Every length of transform along a last axis of 4 and 5, other axes, every norm."""
    tail = (2,) if of_complex else ()

    def cases(rng: Rng) -> Iterator[Case]:
        for count in (1, 4, 5):
            for n in lengths:
                if count > 1 or n is not None:
                    yield Case((rng.standard_normal((2, count, *tail)), n))
        yield Case((rng.standard_normal((3, 2, *tail)),), {"n": 3, "axis": 0})
        yield Case((rng.standard_normal((2, 3, 2, *tail)),), {"axis": 1, "norm": "ortho"})
        yield Case((rng.standard_normal((5, *tail)), 3, 0, "forward"))
        yield Case((rng.standard_normal((0, 3, *tail)),))
    return cases


def several(of_complex: bool) -> Made:
    tail = (2,) if of_complex else ()

    def cases(rng: Rng) -> Iterator[Case]:
        yield Case((rng.standard_normal((2, 3, *tail)),))
        yield Case((rng.standard_normal((3, 2, 4, *tail)),), {"axes": (0, 2), "norm": "ortho"})
        yield Case((rng.standard_normal((2, 3, 2, *tail)),), {"s": (3, 2, 3), "axes": (2, 1, 0), "norm": "forward"})
        yield Case((rng.standard_normal((2, 4, *tail)),), {"s": (3,), "axes": (-2,)})
        yield Case((rng.standard_normal((2, 3, 4, *tail)),), {"s": (2, 5), "axes": (1, 0)})
    return cases


def plane(of_complex: bool) -> Made:
    tail = (2,) if of_complex else ()

    def cases(rng: Rng) -> Iterator[Case]:
        yield Case((rng.standard_normal((2, 3, 3, *tail)),))
        yield Case((rng.standard_normal((3, 4, *tail)),), {"s": (2, 3), "axes": (1, 0)})
    return cases


def shifts(rng: Rng) -> Iterator[Case]:
    yield Case((rng.standard_normal((4, 5)),))
    yield Case((rng.standard_normal((4, 5)), 1))
    yield Case((rng.standard_normal((3, 2, 3)), (0, -1)))


ROWS = [
    row("fft", single(False, None, 3, 7), of_complex=False, covers=("fft", "slide", "view_as_real")),
    row("fft", single(True, None, 3, 7), of_complex=True, covers=("fft", "view_as_complex")),
    row("ifft", single(True, None, 3, 7), of_complex=True, covers=("fft",)),
    row("fft2", plane(False), of_complex=False, covers=("fft",)),
    row("ifft2", plane(True), of_complex=True, covers=("fft",)),
    row("fftn", several(True), of_complex=True, covers=("fft",)),
    row("ifftn", several(False), of_complex=False, covers=("fft",)),
    row("rfft", single(False, None, 1, 2, 3, 6, 7), of_complex=False, covers=("rfft", "irfft", "scale_inner", "conj")),
    row("irfft", single(True, None, 1, 2, 3, 6, 7, 10, 11), of_complex=True, to_complex=False,
        covers=("irfft", "rfft", "scale_inner", "conj")),
    row("rfft2", plane(False), of_complex=False, covers=("rfft",)),
    row("irfft2", plane(True), of_complex=True, to_complex=False, covers=("irfft",)),
    row("rfftn", several(False), of_complex=False, covers=("rfft",)),
    row("irfftn", several(True), of_complex=True, to_complex=False, covers=("irfft",)),
    row("hfft", single(True, None, 3, 7, 8), of_complex=True, to_complex=False, covers=("irfft", "conj")),
    row("ihfft", single(False, None, 3, 7, 8), of_complex=False, covers=("rfft", "conj")),
    Row("fft.fftshift", tl.fft.fftshift, np.fft.fftshift, shifts, grad=(0,)),
    Row("fft.ifftshift", tl.fft.ifftshift, np.fft.ifftshift, shifts, grad=(0,)),
]
