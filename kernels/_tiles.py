"""Register tiles of the CPU kernels that multiply matrices which exist as addresses only: an indexed product, and a transpose.

``out[d[r] + j] = init + sum_k x[a[r] + b[k]] w[k, j]`` is every convolution there is (implicit GEMM): ``a`` says where a pixel's
window begins, ``b`` where in the window a weight's partner lies. With rows and sum exchanged it is the gradient by the weights.
BLAS cannot do it without a copy of every window, and OpenBLAS's wheels use half of an AVX-512 core's width. A tile of 6 x 64
accumulators keeps 24 vector registers busy; LLVM turns the explicit vectors into what the CPU has.

GFLOP/s of one core (Zen 5, float32; peak about 250): rows x vectors of 16: 6x4 245, 7x4 160 (spills), 8x2 206, 8x1 175, 12x1 142.
"""
from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from llvmlite import binding, ir  # type: ignore[import-untyped]
from numba import float32, types
from numba.core import cgutils, config

from ._math import intrinsic

__all__ = ["WIDEST", "make_tile", "make_transpose"]

INT, LANE = ir.IntType(64), ir.IntType(32)


@cache
def _wide() -> bool:
    asked = getattr(config, "CPU_FEATURES", None)   # what Numba was told to compile for
    if asked is not None:
        return "+avx512f" in asked
    try:
        return bool(binding.get_host_cpu_features().get("avx512f"))
    except RuntimeError:   # llvmlite does not know this system's CPUs
        return False


WIDEST = 4 if _wide() else 1   # 64-byte units of a tile's row: with 16 registers of 32 bytes 6 x 1 is all that fits


class _Vectors:
    """Loads and stores of 64 bytes at element offsets; ``n`` elements each."""

    def __init__(self, context: Any, builder: Any, dtype: Any) -> None:
        self.builder, self.n = builder, 16 if dtype == float32 else 8
        self.element = context.get_value_type(dtype)
        self.type = ir.VectorType(self.element, self.n)
        self.align = 64 // self.n

    def _at(self, pointer: Any, offset: Any) -> Any:
        return self.builder.bitcast(self.builder.gep(pointer, [offset]), self.type.as_pointer())

    def load(self, pointer: Any, offset: Any) -> Any:
        found = self.builder.load(self._at(pointer, offset))
        found.align = self.align
        return found

    def store(self, value: Any, pointer: Any, offset: Any) -> None:
        self.builder.store(value, self._at(pointer, offset)).align = self.align

    def spread(self, scalar: Any) -> Any:
        one = self.builder.insert_element(ir.Constant(self.type, ir.Undefined), scalar, ir.Constant(LANE, 0))
        return self.shuffle(one, ir.Constant(self.type, ir.Undefined), [0] * self.n)

    def shuffle(self, x: Any, y: Any, lanes: list[int]) -> Any:
        return self.builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(LANE, self.n), lanes))

    def fma(self, x: Any, y: Any, z: Any) -> Any:
        name = f"llvm.fma.v{self.n}f{512 // self.n}"
        found = cgutils.get_or_insert_function(self.builder.module, ir.FunctionType(self.type, [self.type] * 3), name)
        return self.builder.call(found, [x, y, z])


def _pointer(context: Any, builder: Any, signature: Any, args: Any, i: int) -> Any:
    return context.make_array(signature.args[i])(context, builder, args[i]).data


def make_tile(rows: int, units: int, diagonal: bool = False) -> Callable[..., Any]:
    """The intrinsic ``tile(x, shift, a, r, b, k0, k1, w, at, ldw, init, first, step, out, d, column)``, for ``rows`` x ``units``
    of 64 bytes.

    For i < rows ``out[d[r+i] + column + j] = init[first + step d[r+i] + j] + sum_k x[shift + a[r+i] + b[k]] w[at + k ldw + j]``,
    the sum over k0 <= k < k1.
    All arrays are flat. ``diagonal``: x's element is not one for the whole row of w but one for each: depthwise convolution.
    """
    @intrinsic
    def tile(typingctx: Any, x: Any, shift: Any, a: Any, r: Any, b: Any, k0: Any, k1: Any, w: Any, at: Any, ldw: Any, init: Any,
             first: Any, step: Any, out: Any, d: Any, column: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            v = _Vectors(context, builder, signature.args[0].dtype)
            shift, r, k0, k1, at, ldw, first, step, column = (args[i] for i in (1, 3, 5, 6, 8, 9, 11, 12, 15))
            xp, ap, bp, wp, ip, op, dp = (_pointer(context, builder, signature, args, i) for i in (0, 2, 4, 7, 10, 13, 14))
            places = [builder.load(builder.gep(dp, [builder.add(r, INT(i))])) for i in range(rows)]
            xp = builder.gep(xp, [shift])
            bases = [builder.gep(xp, [builder.load(builder.gep(ap, [builder.add(r, INT(i))]))]) for i in range(rows)]
            starts = []
            for place in places:
                begin = builder.add(first, builder.mul(step, place))
                starts += [v.load(ip, builder.add(begin, INT(j * v.n))) for j in range(units)]
            before, loop, after = builder.block, builder.append_basic_block("sum"), builder.append_basic_block("summed")
            begin = builder.add(at, builder.mul(k0, ldw))
            builder.cbranch(builder.icmp_signed("<", k0, k1), loop, after)
            builder.position_at_end(loop)
            k, weight = builder.phi(INT), builder.phi(INT)
            sums = [builder.phi(v.type) for _ in starts]
            offset = builder.load(builder.gep(bp, [k]))
            columns = [v.load(wp, builder.add(weight, INT(j * v.n))) for j in range(units)]
            nexts = []
            for i in range(rows):
                if diagonal:
                    factors = [v.load(bases[i], builder.add(offset, INT(j * v.n))) for j in range(units)]
                else:
                    factors = [v.spread(builder.load(builder.gep(bases[i], [offset])))] * units
                nexts += [v.fma(factors[j], columns[j], sums[i * units + j]) for j in range(units)]
            following = builder.add(k, INT(1))
            for phi, old, new in zip([k, weight, *sums], [k0, begin, *starts], [following, builder.add(weight, ldw), *nexts]):
                phi.add_incoming(old, before)
                phi.add_incoming(new, loop)
            builder.cbranch(builder.icmp_signed("<", following, k1), loop, after)
            builder.position_at_end(after)
            totals = []
            for old, new in zip(starts, nexts):
                phi = builder.phi(v.type)
                phi.add_incoming(old, before)
                phi.add_incoming(new, loop)
                totals.append(phi)
            for i, place in enumerate(places):
                begin = builder.add(column, place)
                for j in range(units):
                    v.store(totals[i * units + j], op, builder.add(begin, INT(j * v.n)))
            return context.get_dummy_value()

        return types.void(x, shift, a, r, b, k0, k1, w, at, ldw, init, first, step, out, d, column), codegen

    made: Callable[..., Any] = tile
    return made


def make_transpose() -> Callable[..., Any]:
    """The intrinsic ``transpose(src, s, lds, have, dst, t, ldd, places, p, want)``: a square of 64-byte rows.

    Row i is read at ``s + i lds`` (zeros for i >= have), column j written at ``t + j ldd + places[p + j]``, for j < want.
    """
    @intrinsic
    def transpose(typingctx: Any, src: Any, s: Any, lds: Any, have: Any, dst: Any, t: Any, ldd: Any, places: Any, p: Any,
                  want: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            v = _Vectors(context, builder, signature.args[0].dtype)
            s, lds, have, t, ldd, p, want = (args[i] for i in (1, 2, 3, 5, 6, 8, 9))
            sp, dp, pp = (_pointer(context, builder, signature, args, i) for i in (0, 4, 7))
            lines = []
            for i in range(v.n):
                before = builder.block
                with builder.if_then(builder.icmp_signed("<", INT(i), have), likely=True):
                    line = v.load(sp, builder.add(s, builder.mul(lds, INT(i))))
                    inside = builder.block
                phi = builder.phi(v.type)
                phi.add_incoming(ir.Constant(v.type, None), before)
                phi.add_incoming(line, inside)
                lines.append(phi)
            h = 1
            while h < v.n:   # exchange the blocks of size h beside the diagonal
                low = [l if not l & h else v.n + l - h for l in range(v.n)]
                high = [l + h if not l & h else v.n + l for l in range(v.n)]
                for i in range(v.n):
                    if not i & h:
                        x, y = lines[i], lines[i + h]
                        lines[i], lines[i + h] = v.shuffle(x, y, low), v.shuffle(x, y, high)
                h *= 2
            for j in range(v.n):
                with builder.if_then(builder.icmp_signed("<", INT(j), want), likely=True):
                    place = builder.load(builder.gep(pp, [builder.add(p, INT(j))]))
                    v.store(lines[j], dp, builder.add(builder.add(t, builder.mul(ldd, INT(j))), place))
            return context.get_dummy_value()

        return types.void(src, s, lds, have, dst, t, ldd, places, p, want), codegen

    made: Callable[..., Any] = transpose
    return made
