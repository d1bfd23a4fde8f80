"""Elementwise formulas as CUDA kernels: one launch and 16-byte accesses instead of an array operation for each of their signs."""
from __future__ import annotations

from typing import Any

from . import Runtime, Source, suffix

__all__ = ["Pointwise"]

_ENTRY = """#include "tensorlite.cuh"
template <class A> __device__ inline A formula({values}) {{ {body} }}
#define ENTRY(suffix, T)                                                                                          \\
    extern "C" __global__ void {name}_##suffix(T* out, {pointers}, i64 n{numbers}) {{                              \\
        map_elements(out, n, [=]({lambda_values}) {{ return formula<acc<T>>({arguments}); }}, {arrays});           \\
    }}
ENTRIES(ENTRY)
"""


class Pointwise:
    """``out[i] = formula(x[i], y[i], ..., numbers)`` over arrays of one shape and dtype.

    Parameters
    ----------
    name: what the kernel is called.
    arrays: the arrays' names, separated by spaces.
    body: C++ statements that return the value; ``A`` is the type computed in (float, or double for float64), the arrays' and the
        numbers' names are values of it.
    numbers: the options' names that the formula takes.

    >>> softsign = Pointwise("softsign", "x", "return x / (A(1) + fabs(x));")
    """

    def __init__(self, name: str, arrays: str, body: str, numbers: str = "") -> None:
        given, options = arrays.split(), numbers.split()
        self.name, self.numbers = name, tuple(options)
        self.source = Source(None, f"{name}.cu", text=_ENTRY.format(
            name=name, body=body, values=", ".join(f"A {v}" for v in given + options),
            pointers=", ".join(f"const T* {a}_" for a in given), numbers="".join(f", double {o}" for o in options),
            lambda_values=", ".join(f"acc<T> {a}" for a in given),
            arguments=", ".join(given + [f"acc<T>({o})" for o in options]), arrays=", ".join(f"{a}_" for a in given)))

    def __call__(self, runtime: Runtime, *arrays: Any, **options: Any) -> Any:
        """The result, or None where the kernel does not take the arguments: other dtypes, several shapes, numbers for arrays."""
        first = arrays[0]
        shape = getattr(first, "shape", None)
        if any(getattr(a, "shape", None) != shape or not isinstance(a, runtime.cupy.ndarray) for a in arrays):
            return None
        kind = suffix(*arrays)
        if kind is None:
            return None
        given = [runtime.contiguous(a) for a in arrays]
        out = runtime.cupy.empty(shape, first.dtype)
        return runtime.elementwise(self.source, f"{self.name}_{kind}", out, given, *[float(options[o]) for o in self.numbers])
