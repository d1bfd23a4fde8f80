"""Philox 4x32-10: the one random generator of the library, counter based, the same numbers on every backend.

Source: Salmon, Moraes, Dror, Shaw, 'Parallel random numbers: as easy as 1, 2, 3', SC 2011 (doi 10.1145/2063384.2063405).
What follows is the layout; whoever writes another variant needs this text, ``reference.py`` and the tests, nothing else.

**Block.** ``(w0, w1, w2, w3) = philox4x32_10(counter, key)``, four 32-bit words out of four words of counter and two of key:

==========  =================================================================================
``key``     ``(seed mod 2^32, seed div 2^32)``
``counter`` ``(block mod 2^32, block div 2^32, stream mod 2^32, stream div 2^32)``
==========  =================================================================================

``seed``, ``stream`` and ``block`` are 64-bit. A draw of n elements at ``offset`` uses the blocks ``offset``, ``offset + 1``, ...,
``offset + ceil(n / per) - 1``, with ``per`` elements in a block. Element i (of the flattened, C-ordered result) comes from block
``offset + i div per``, and from the words of that block that its place ``j = i mod per`` names. The shape plays no part.
Blocks from 2^63 on are kept for making keys (``split``: ``2^63 + child``; ``fold_in``: ``2^63 + 2^62 + data``): a child's
seed is ``w0 + 2^32 w1`` and its stream ``w2 + 2^32 w3``.

========================  ====  ==========================================================================================
``kind``, ``dtype``        per  element
========================  ====  ==========================================================================================
bits, uint32                4   ``w[j]``
bits, uint64                2   ``d = w[2j] + 2^32 w[2j+1]``
uniform, float32            4   ``u * (high - low) + low`` with ``u = (w[j] >> (32 - bits)) * 2^-bits``, bits 24 unless told;
                                what rounds up to ``high`` becomes ``low``
uniform, float64            2   the same with ``u = (d >> 11) * 2^-53``
normal, float32             4   Box-Muller: ``z[0], z[1]`` from ``w[0], w[1]`` and ``z[2], z[3]`` from ``w[2], w[3]``
normal, float64             2   Box-Muller: ``z[0], z[1]`` from ``d[0], d[1]``
integers, span <= 2^32      2   ``low + (d * span >> 64)``, ``span = high - low``
integers, span > 2^32       1   ``low + (x * span >> 128)``, ``x = w0 + 2^32 w1 + 2^64 w2 + 2^96 w3``
bernoulli                   4   ``w[j] < ceil(p * 2^32)``, so every p has a resolution of 2^-32, and 0 and 1 are exact
========================  ====  ==========================================================================================

**Integers** are drawn by multiply and shift without rejection: no value's probability is off by more than 2^-32 of itself
(span <= 2^32) or 2^-64 of itself (span > 2^32).

**Box-Muller** (Box and Muller 1958) turns two draws of B = 32 or 64 bits, a and b, into
``mean + std * sqrt(-2 ln(max(a, 1) / 2^B)) * (cos, sin)(2 pi (b - 2^(B-3)) / 2^B)``. Logarithm, sine and cosine are power series
written here, not the C library's, and every step is one IEEE operation of the result's own type (``+ - * /``, ``sqrt``, the
conversion of an integer), rounded to nearest; constants are rounded to that type first. **So no fused multiply-add**: CUDA C++
needs ``-fmad=false`` or ``__fmul_rn`` and its like (for the uniforms too). Then the normals agree bit for bit, which the tests
ask of the CPU version. They are finite, in size at most 6.66 (float32) and 9.42 (float64). The steps:

1. Shift ``max(a, 1)`` left by its leading zeros e, so that ``2^(B-1) <= a < 2^B``. Where ``a < floor(sqrt(2) 2^(B-1))``:
   ``k = e + 1``, ``f = (a - 2^(B-1)) * 2^(1-B)``; else ``k = e``, ``f = (a - 2^B) * 2^-B``. The difference is a signed integer,
   converted once. Now ``ln(a / 2^B) = ln(1 + f) - k ln 2`` with f in [-0.293, 0.415).
2. ``s = f / (f + 2)``; ``ln(1 + f) = 2 s P(s*s)``, ``P(z) = 1 + z/3 + z^2/5 + ...`` by Horner's rule over LOG.
3. ``r = std * sqrt(k * (2 ln 2) - s * P(s*s) * 4)``.
4. ``q = b >> (B-2)``; ``t = ((b mod 2^(B-2)) - 2^(B-3)) * (pi 2^(1-B))`` in [-pi/4, pi/4), again a signed integer converted
   once; ``s = t * S(t*t)`` and ``c = C(t*t)`` by Horner's rule over SIN and COS.
5. ``(c, s)`` becomes ``(-s, c)`` if q is odd, and r becomes -r if q >= 2; the normals are ``r * c + mean`` and ``r * s + mean``.
"""
from __future__ import annotations

from math import prod
from typing import Any

from tensorlite.kernels import Cost, Kernel
from tensorlite.kernels.philox.reference import blocks, reference

__all__ = ["blocks", "kernel", "on_host", "worth_compiling"]

# Bytes of one element, and floating-point operations of one (the integer work is about 25 operations a word).
_SIZE = {"uint32": 4, "uint64": 8, "int64": 8, "float32": 4, "float64": 8, "bool": 1}
_FLOPS = {("uniform", "float32"): 4, ("uniform", "float64"): 4, ("normal", "float32"): 22, ("normal", "float64"): 35}


def cost(*, kind: str, shape: tuple[int, ...], dtype: str, **options: Any) -> Cost:
    """The result is written once, nothing is read."""
    return Cost(prod(shape) * _SIZE[dtype], prod(shape) * _FLOPS.get((kind, dtype), 0))


kernel = Kernel("philox", reference, cost, cpu="tensorlite.kernels.philox.cpu:philox",
                cuda="tensorlite.kernels.philox.cuda:philox")


def on_host(**options: Any) -> Any:
    """The draw as a NumPy array, by the faster variant (the numbers are the same)."""
    import numpy as np

    if worth_compiling(prod(options["shape"])) and kernel.cpu is not None:
        return kernel.cpu(**options)
    return reference(np, **options)


def worth_compiling(elements: int) -> bool:
    """Whether this draw, and those before it, are enough to make compiled code pay.

    Importing Numba and running its first function costs 0.3 s. A program that draws little never pays it: the reference serves
    until it has cost about as much.
    """
    global _spent
    if _spent < AFFORDED:
        _spent += elements + 2000
    return _spent >= AFFORDED


AFFORDED = 1 << 22   # elements, at 14 to 70 ns each; a call costs as much as 2000 of them
_spent = 0
