"""Complex numbers made and taken apart (tensorlite/ops/complex.py and the section of functions.py), as functions of real arrays;
the other operations at complex arguments are in tests/test_complex.py."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import tensorlite as tl
from optable._row import Case, Row
from optable.elementwise import away, normal, pairs
from optable.fft import joined, paired

Rng = np.random.Generator


def of_pairs(rng: Rng) -> Iterator[Case]:
    """Pairs of parts, none of them near 0."""
    for shape in ((2, 3, 2), (2,), (0, 2), (2, 1, 2)):
        yield Case((away(rng, *shape),))


def with_zero(rng: Rng) -> Iterator[Case]:
    yield Case((np.concatenate([away(rng, 2, 2), np.zeros((1, 2))]),))


def seen(name: str, function: Any, reference: Any, **more: Any) -> Row:
    """A function of a complex array, as one of pairs."""
    def ours(x: Any) -> Any:
        out = function(tl.view_as_complex(x))
        return tl.view_as_real(out) if tl.is_complex(out) else out
    return Row(name, ours, lambda x: paired(reference(joined(x))), of_pairs, grad=(0,), **more)


def rebuilt(x: Any, y: Any) -> Any:
    return tl.view_as_real(tl.complex(x, y))


def _rebuilt(x: Any, y: Any) -> Any:
    return paired(np.asarray(x + 1j * y))


def polar(r: Any, phi: Any) -> Any:
    return tl.view_as_real(tl.polar(r, phi))


ROWS = [
    Row("complex", rebuilt, _rebuilt, pairs(), grad=(0, 1), covers=("complex", "view_as_real", "view_as_complex")),
    Row("polar", polar, lambda r, phi: _rebuilt(r * np.cos(phi), r * np.sin(phi)), pairs(), grad=(0, 1), covers=("complex",)),
    seen("view_as_complex", lambda z: z, lambda z: z, covers=("view_as_complex", "view_as_real", "conj")),
    seen("real of complex", tl.real, np.real, covers=("real",)),
    seen("imag of complex", tl.imag, np.imag, covers=("imag",)),
    seen("conj of complex", tl.conj, np.conj, covers=("conj",)),
    seen("adjoint", lambda z: tl.adjoint(tl.stack([z, z])) if z.ndim else tl.adjoint(tl.reshape(z, (1, 1))),
         lambda z: np.conj(np.swapaxes(np.stack([z, z]), -1, -2)) if z.ndim else np.conj(z).reshape(1, 1), covers=("conj",)),
    seen("angle", tl.angle, np.angle, covers=("atan2", "real", "imag")),
    seen("abs of complex", tl.abs, np.abs, covers=("abs", "sign")),
    seen("sign of complex", tl.sign, lambda z: z / np.abs(z), covers=("sign",)),
    seen("nan_to_num of complex", tl.nan_to_num, np.nan_to_num, covers=("nan_to_num",)),
    seen("cast of complex", lambda z: tl.astype(z.real, z.dtype), lambda z: z.real + 0j, covers=("cast",)),
    Row("angle of real", tl.angle, np.angle, lambda rng: [Case((away(rng, 2, 3),)), Case((away(rng),))], grad=(0,)),
    Row("angle and abs at zero", lambda x: tl.abs(tl.view_as_complex(x)) + tl.angle(tl.view_as_complex(x)),
        lambda x: np.abs(joined(x)) + np.angle(joined(x)), with_zero),
    Row("isreal", tl.isreal, np.isreal, lambda rng: [Case((normal(rng, 3),)), Case((np.array([1j, 2.0, 0.0]),))]),
    Row("iscomplex", tl.iscomplex, np.iscomplex, lambda rng: [Case((normal(rng, 3),)), Case((np.array([1j, 2.0, 0.0]),))]),
]
