"""Scalar building blocks of the CPU kernels, written so that LLVM turns the loops around them into vector code.

Numba calls the C library's ``exp`` once per element, which keeps the whole loop scalar. The ones here are branch-free:
``x = n*ln2 + r`` with ``|r| <= ln2/2``, a polynomial for ``exp(r)``, and ``2**n`` put together from its bits.
"""
from __future__ import annotations

import platform
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import float32, float64, int32, int64, njit, types
from numba.core import cgutils
from numba.extending import intrinsic as numba_intrinsic
from numba.extending import overload

__all__ = ["add_any_order", "exp_nonpositive", "exp_parts", "float_bits", "fma", "inline", "intrinsic", "jit", "log_above_one",
           "order_key", "pause_and_load", "where_positive"]


_FOLDER = Path(__file__).parent
_SHARED = max((path.stat().st_mtime_ns for path in [*_FOLDER.glob("_*.py"), *_FOLDER.glob("philox/cpu.py")]), default=0)


def jit(function: Callable[..., Any] | None = None, *, nogil: bool = False) -> Any:
    """``numba.njit`` as these kernels want it: lazily compiled, kept on disk between processes where that is possible.

    No fast-math licence is taken: nnan, ninf and reassoc would break NaN, -inf and the rounding trick below, and with contract
    (a*b+c rounded once) a process that compiled a function and one that took it from the disk were measured to give other last
    bits, as each inlined another copy of it; a killed run must resume to the same bits. ``error_model="numpy"`` drops the branch
    to ZeroDivisionError, which alone stops vectorisation. Numba's disk cache notices a change of the file a function is in; here
    also one of the modules that kernels share, which are compiled into it.
    """
    if function is None:
        return lambda function: jit(function, nogil=nogil)
    options: dict[str, Any] = {"nogil": nogil, "error_model": "numpy"}
    try:
        compiled = njit(cache=True, **options)(function)
    except RuntimeError:  # Numba found no directory that it may write to; it raises here, not when it compiles
        return njit(**options)(function)
    with suppress(AttributeError):   # compilation is switched off, or Numba has changed
        stored = compiled._cache._cache_file
        stored._source_stamp = stored._source_stamp, _SHARED
    return compiled


def intrinsic(function: Callable[..., Any]) -> Any:
    """``numba.extending.intrinsic``, untyped: its type is that of the generator and not of what compiled code calls."""
    return numba_intrinsic(function)


inline = njit(error_model="numpy", forceinline=True)   # for scalars too long for LLVM to inline unasked


_PAIRS = {float32: int32, int32: float32, float64: int64, int64: float64}


@intrinsic
def float_bits(typingctx: Any, value: Any) -> Any:
    """The same bits as a number of the other kind: float32 <-> int32, float64 <-> int64."""
    target = _PAIRS.get(value)
    if target is None:
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(signature.return_type))

    return target(value), codegen


@intrinsic
def add_any_order(typingctx: Any, total: Any, value: Any) -> Any:
    """``total + value``, and the compiler may sum in any order: the one licence a vectorised sum needs."""
    if total != value or not isinstance(value, types.Float):
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fadd(*args, flags=("reassoc", "nsz"))

    return total(total, value), codegen


@intrinsic
def fma(typingctx: Any, x: Any, y: Any, z: Any) -> Any:
    """``x y + z`` rounded once, always: unlike a contraction it is not left to the compiler. One instruction on CPUs since 2013;
    on older ones the C library's function, which is right and slow."""
    if not x == y == z or not isinstance(x, types.Float):
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fma(*args)

    return x(x, y, z), codegen


@intrinsic
def pause_and_load(typingctx: Any, words: Any) -> Any:
    """The first number of an int64 array, read again from memory each time, after a short rest of the core (on x86)."""
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if platform.machine() in ("x86_64", "AMD64"):
            pause = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), []), "llvm.x86.sse2.pause")
            builder.call(pause, [])
        return builder.load_atomic(context.make_array(signature.args[0])(context, builder, args[0]).data, "acquire", 8)

    return int64(words), codegen


@intrinsic
def where_positive(typingctx: Any, x: Any, y: Any) -> Any:
    """y where x > 0, else 0: the smaller of y's bits and of none or all. A selection would become a load of y under a mask, which
    waits for x, and loops over large arrays would take 30 % longer."""
    if x != y or x not in (float32, float64):
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        x, y = args
        bits = ir.IntType(signature.return_type.bitwidth)
        every = builder.sext(builder.fcmp_ordered(">", x, ir.Constant(x.type, 0.0)), bits)
        least = cgutils.get_or_insert_function(builder.module, ir.FunctionType(bits, [bits, bits]), f"llvm.umin.{bits}")
        return builder.bitcast(builder.call(least, [builder.bitcast(y, bits), every]), y.type)

    return x(x, y), codegen


def order_key(x: Any) -> Any:
    """An integer that orders as the float does (NaN beyond the infinities); its own inverse.

    A float maximum vectorises only under ``nnan``, which makes a NaN undefined behaviour; an integer one always does.
    """
    raise NotImplementedError("compiled code only")


@overload(order_key, jit_options={"fastmath": False})
def _order_key(x: Any) -> Any:
    integer: Any
    shift: Any
    mask: Any
    if x in (float32, int32):
        integer, shift, mask = np.int32, np.int32(31), np.int32(0x7FFFFFFF)
    elif x in (float64, int64):
        integer, shift, mask = np.int64, np.int64(63), np.int64(0x7FFFFFFFFFFFFFFF)
    else:
        return None
    if isinstance(x, types.Float):

        def to_key(x: Any) -> Any:
            b = float_bits(x)
            return integer(b ^ integer(integer(b >> shift) & mask))

        return to_key

    def to_float(x: Any) -> Any:
        return float_bits(integer(x ^ integer(integer(x >> shift) & mask)))

    return to_float


def exp_nonpositive(x: Any) -> Any:
    """``exp(x)`` for ``x <= 0`` or NaN, to about one unit in the last place; results below the normal numbers are 0."""
    raise NotImplementedError("compiled code only")


def exp_parts(x: Any, tail: Any) -> Any:
    """``(p, power)`` with ``exp(x + tail) = (p + 1) power``, power a power of two, for ``x <= 0`` above the logarithm of the
    smallest normal number and ``abs(tail)`` of a few units in x's last place; ``expm1`` is ``p power + (power - 1)``."""
    raise NotImplementedError("compiled code only")


# Near-minimax polynomials of (exp(r)-1-r)/r^2 on |r| <= ln2/2 (interpolation in 50 digits at Chebyshev nodes):
# relative error of the exponential 1.0e-8 and 1.7e-17. LOG2_HIGH has so few bits that n*LOG2_HIGH is exact.
@inline
def _parts32(x: Any, tail: Any) -> Any:
    magic = np.float32(12582912.0)  # 1.5*2^23: adding it leaves round(y) in the low bits
    t = fma(x, np.float32(1.4426950408889634), magic)
    n = t - magic
    r = fma(n, np.float32(-1.4286068203094173e-06), fma(n, np.float32(-0.693145751953125), x)) + tail
    q = np.float32(0.001392625083148979)
    q = fma(q, r, np.float32(0.008363232883682618))
    q = fma(q, r, np.float32(0.04166655421298427))
    q = fma(q, r, np.float32(0.16666576666119928))
    q = fma(q, r, np.float32(0.5))
    power = float_bits(np.int32(np.int32(float_bits(t) + np.int32(127)) << np.int32(23)))  # the magic number's own bits shift out
    return fma(q * r, r, r), power


@inline
def _parts64(x: Any, tail: Any) -> Any:
    magic = 6755399441055744.0
    t = fma(x, 1.4426950408889634, magic)
    n = t - magic
    r = fma(n, -7.371002565167799e-13, fma(n, -0.6931471805592082, x)) + tail
    q = 2.5100472505694996e-08
    q = fma(q, r, 2.7620201591031547e-07)
    q = fma(q, r, 2.7557268276905696e-06)
    q = fma(q, r, 2.4801521057868204e-05)
    q = fma(q, r, 0.00019841269863171557)
    q = fma(q, r, 0.0013888888917367081)
    q = fma(q, r, 0.008333333333330039)
    q = fma(q, r, 0.041666666666623824)
    q = fma(q, r, 0.16666666666666669)
    q = fma(q, r, 0.5)
    return fma(q * r, r, r), float_bits((float_bits(t) + 1023) << 52)


@overload(exp_parts, jit_options={"fastmath": False, "forceinline": True})
def _exp_parts(x: Any, tail: Any) -> Any:
    kernel: Any = {float32: _parts32, float64: _parts64}.get(x)

    def call(x: Any, tail: Any) -> Any:
        return kernel(x, tail)

    return None if kernel is None else call


@jit
def _exp32(x: Any) -> Any:
    p, power = _parts32(x, np.float32(-0.0))   # adding -0 changes nothing, and costs nothing
    return np.float32(0) if x < np.float32(-87.33654) else (p + np.float32(1)) * power


@jit
def _exp64(x: Any) -> Any:
    p, power = _parts64(x, -0.0)
    return 0.0 if x < -708.3964185322641 else (p + 1.0) * power


@overload(exp_nonpositive, jit_options={"fastmath": False})
def _exp(x: Any) -> Any:
    kernel: Any = {float32: _exp32, float64: _exp64}.get(x)

    def call(x: Any) -> Any:
        return kernel(x)

    return None if kernel is None else call


def log_above_one(x: Any) -> Any:
    """``log(x)`` for ``x >= 1``, infinity or NaN (both give NaN), to a few units in the last place."""
    raise NotImplementedError("compiled code only")


# x = 2^k m with m in [sqrt(1/2), sqrt(2)); log m = 2 atanh(s) = 2 (s + s^3/3 + s^5/5 + ...) with s = (m-1)/(m+1), |s| < 0.172.
# x - x is 0, or NaN where x is not finite.
@jit
def _log32(x: Any) -> Any:
    bits = np.int32(float_bits(x) + np.int32(0x004AFB0D))  # moves the break between exponents from 1 to sqrt(1/2)
    k = np.int32(bits >> np.int32(23)) - np.int32(127)
    m = float_bits(np.int32(float_bits(x) - np.int32(np.int32(k) << np.int32(23))))
    s = (m - np.float32(1)) / (m + np.float32(1))
    z = s * s
    q = np.float32(2 / 9)
    for c in (2 / 7, 2 / 5, 2 / 3):
        q = q * z + np.float32(c)
    return np.float32(k) * np.float32(0.6931471805599453) + (q * z * s + np.float32(2) * s) + (x - x)


@jit
def _log64(x: Any) -> Any:
    bits = float_bits(x) + 0x00095F619980C433
    k = (bits >> 52) - 1023
    m = float_bits(float_bits(x) - (k << 52))
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    q = 2 / 21
    for c in (2 / 19, 2 / 17, 2 / 15, 2 / 13, 2 / 11, 2 / 9, 2 / 7, 2 / 5, 2 / 3):
        q = q * z + c
    return float(k) * 0.6931471805599453 + (q * z * s + 2.0 * s) + (x - x)


@overload(log_above_one, jit_options={"fastmath": False})
def _log(x: Any) -> Any:
    kernel: Any = {float32: _log32, float64: _log64}.get(x)

    def call(x: Any) -> Any:
        return kernel(x)

    return None if kernel is None else call
