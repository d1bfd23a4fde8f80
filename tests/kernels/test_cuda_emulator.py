"""What runs CUDA C++ on the CPU: its threads, warps, memory and arithmetic against NumPy, and the errors it finds in kernels."""
from __future__ import annotations

import itertools
import math
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from cuda_on_cpu import CompileError, KernelError, RawModule, build, thread_order

from tensorlite.kernels import load
from tensorlite.kernels._cuda import Source

ORDERS = (0, -1, 1, 2, 3)
i32, i64, u32, u64, f32, f64 = np.int32, np.int64, np.uint32, np.uint64, np.float32, np.float64


def rng_for(*key: object) -> np.random.Generator:
    seed = zlib.crc32(repr(key).encode())
    print(f"seed {seed}")
    return np.random.default_rng(seed)


def module(text: str) -> RawModule:
    source = Source(None, "test", text='#include "tensorlite.cuh"\n' + text)
    return RawModule(code=source.text, options=source.options)


def launch(text: str, args: tuple[Any, ...], block: Any = 32, grid: Any = 1, shared_mem: int = 0) -> None:
    """Run the body of a kernel; its parameters are ``out``, ``x`` and ``n``, of the arguments' types."""
    names = {"float32": "float", "float64": "double", "int32": "int", "uint32": "u32", "int64": "i64", "uint64": "u64"}
    kinds = [f"{names[a.dtype.name]}*" if isinstance(a, np.ndarray) else "i64" if isinstance(a, int) else "double" for a in args]
    parameters = ", ".join(f"{kind} {name}" for kind, name in zip(kinds, ("out", "x", "n", "m")))
    code = (f'template <class T> __device__ T twice(T v) {{ return v + v; }}\nextern "C" __global__ void test({parameters}) '
            f"{{\n{text}\n}}")
    as_tuple = lambda v: v if isinstance(v, tuple) else (v,)
    module(code).get_function("test")(as_tuple(grid), as_tuple(block), args, shared_mem=shared_mem)


@pytest.fixture(params=ORDERS, ids=lambda seed: f"order{seed}")
def order(request):
    with thread_order(request.param):
        yield request.param


# ---- where a thread is, barriers, shared memory ---------------------------------------------------------------------------

def test_every_thread_of_every_block_runs_once(order):
    out = np.zeros((2, 3, 4, 2, 4, 8), i32)
    launch("""
        int block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
        int thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
        int size = blockDim.x * blockDim.y * blockDim.z;
        out[block * size + thread] += block * 1000 + thread;""", (out,), block=(8, 4, 2), grid=(4, 3, 2))
    np.testing.assert_array_equal(out.reshape(24, 64), np.arange(24)[:, None] * 1000 + np.arange(64))


@pytest.mark.parametrize("memory", ["__shared__ int room[256];", "extern __shared__ int room[];",
                                    "extern __shared__ __align__(16) unsigned char bytes[]; int* room = (int*)bytes;",
                                    "__shared__ alignas(16) int room[256];"])
@pytest.mark.parametrize("threads", [1, 31, 96, 256])
def test_barriers_order_shared_memory(order, memory, threads):
    out = np.zeros(threads, i32)
    launch(memory + """
        for (int round = 0; round < 5; round++) {
            room[threadIdx.x] = threadIdx.x + round;
            __syncthreads();
            out[threadIdx.x] += room[(threadIdx.x + 1 + round) % blockDim.x];
            __syncthreads();
        }""", (out,), block=threads, grid=3, shared_mem=4 * threads if "extern" in memory else 0)
    each = [(np.arange(threads) + 1 + r) % threads + r for r in range(5)]
    np.testing.assert_array_equal(out, 3 * np.sum(each, axis=0))


def test_barriers_that_count(order):
    out = np.zeros((70, 3), i32)
    launch("""
        int k = threadIdx.x;
        out[3 * k] = __syncthreads_count(k % 3 == 0);
        out[3 * k + 1] = __syncthreads_or(k == x[0]) * 10 + __syncthreads_or(k == 1000);
        out[3 * k + 2] = __syncthreads_and(k < 70) * 10 + __syncthreads_and(k < 69);""", (out, np.full(1, 5, i32)), block=70)
    assert (out == [24, 10, 10]).all()


def test_a_missing_barrier_changes_results_with_the_order():
    results = []
    for seed in ORDERS:
        out = np.zeros(64, i32)
        with thread_order(seed):
            launch("__shared__ int room[64]; room[threadIdx.x] = threadIdx.x; out[threadIdx.x] = room[63 - threadIdx.x];",
                   (out,), 64)
        results.append(out.tobytes())
    assert len(set(results)) > 2


def test_block_reduce(order):
    x, out = rng_for("block_reduce").normal(size=(7, 160)).astype(f32), np.zeros(7, f32)
    launch("""
        __shared__ float room[33];
        float v = block_reduce(x[blockIdx.x * 160 + threadIdx.x], 0.0f, room, plus());
        out[blockIdx.x] = block_reduce(v * (threadIdx.x == 90 ? 2 : 1), -1e30f, room, largest());""", (out, x), block=160, grid=7)
    total = x.astype(f64).sum(1)
    np.testing.assert_allclose(out, np.maximum(total, 2 * total), rtol=1e-5, atol=1e-5)


def test_memory_that_nobody_wrote_is_garbage():
    seen = np.zeros((4, 6), f32)
    launch("""
        extern __shared__ float room[];
        __shared__ float fixed[3];
        float own[4], alone;
        if (x > 100) own[x % 4] = fixed[1] = 0;
        int at = threadIdx.x + x % 2;
        float* o = out + 6 * blockIdx.x;
        o[0] = room[0]; o[1] = room[99]; o[2] = fixed[1]; o[3] = own[at]; o[4] = alone; o[5] = twice(fixed[at]);""",
           (seen, 4), block=1, grid=4, shared_mem=400)
    assert (np.isnan(seen) | (np.abs(seen) > 1e30)).all(), seen
    assert len({row.tobytes() for row in seen[:3]}) == 3, "other garbage in other blocks"


# ---- warps ----------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", [i32, u32, f32, f64, i64, u64])
def test_shuffles(order, dtype):
    x = np.arange(64).astype(dtype) * dtype(3)
    lane, source = np.arange(32), {}
    for width, d in itertools.product((32, 16, 8), (0, 1, 3, 7, 31)):
        first = lane - lane % width
        source |= {("", width, d): first + d % width,
                   ("_up", width, d): np.where(lane - d >= first, lane - d, lane),
                   ("_down", width, d): np.where(lane + d < first + width, lane + d, lane),
                   ("_xor", width, d): np.where((lane ^ d) < first + width, lane ^ d, lane)}
    out = np.zeros((len(source), 64), dtype)
    body = "".join(f"out[{i} * 64 + threadIdx.x] = __shfl{kind}_sync(0xffffffffu, x[threadIdx.x], {d}, {width});\n"
                   for i, (kind, width, d) in enumerate(source))
    launch(body, (out, x), block=64)
    for i, (what, at) in enumerate(source.items()):
        np.testing.assert_array_equal(out[i].reshape(2, 32), x.reshape(2, 32)[:, at], str(what))


def test_votes_and_warp_reductions(order):
    x = rng_for("votes").integers(-50, 50, 32).astype(i32)
    out = np.zeros((13, 32), i64)
    launch("""
        int v = x[threadIdx.x], all;
        i64* o = out + threadIdx.x;
        o[0] = __ballot_sync(~0u, v > 0); o[32] = __any_sync(~0u, v == 1000); o[64] = __all_sync(~0u, v < 1000);
        o[96] = __reduce_add_sync(~0u, v); o[128] = __reduce_min_sync(~0u, v); o[160] = __reduce_max_sync(~0u, v);
        o[192] = __reduce_min_sync(~0u, (u32)v); o[224] = __reduce_and_sync(~0u, (u32)v); o[256] = __reduce_or_sync(~0u, (u32)v);
        o[288] = __reduce_xor_sync(~0u, (u32)v); o[320] = __match_any_sync(~0u, v / 10);
        o[352] = __match_all_sync(~0u, v, &all); o[352] += all; o[384] = __activemask() >> threadIdx.x & 1;""", (out, x))
    weights = 1 << np.arange(32)
    tenth = (x / 10).astype(int)   # towards zero
    u = x.astype(u32)
    expected = [(weights * (x > 0)).sum(), 0, 1, x.sum(), x.min(), x.max(), u.min(),
                np.bitwise_and.reduce(u), np.bitwise_or.reduce(u), np.bitwise_xor.reduce(u),
                (weights * (tenth[:, None] == tenth)).sum(1), 0, 1]
    for got, e in zip(out, expected):
        np.testing.assert_array_equal(got, e)


def test_parts_of_a_warp_work_on_their_own(order):
    out = np.zeros(64, i32)
    launch("""
        int half = threadIdx.x / 16 % 2, v = threadIdx.x;
        if (half) for (int s = 8; s; s /= 2) v += __shfl_xor_sync(0xffff0000u, v, s);
        else { v = __reduce_add_sync(0x0000ffffu, v * 2); __syncwarp(0x0000ffffu); }
        out[threadIdx.x] = v;""", (out,), block=64)
    sums = np.arange(64).reshape(4, 16).sum(1) * [2, 1, 2, 1]
    np.testing.assert_array_equal(out.reshape(4, 16), np.repeat(sums[:, None], 16, 1))


def test_syncwarp_orders_shared_memory(order):
    out = np.zeros(96, i32)
    launch("""
        __shared__ int room[96];
        for (int round = 0; round < 3; round++) {
            room[threadIdx.x] = threadIdx.x * (round + 1);
            __syncwarp();
            out[threadIdx.x] = room[threadIdx.x ^ 31];
            __syncwarp();
        }""", (out,), block=96)
    np.testing.assert_array_equal(out, (np.arange(96) ^ 31) * 3)


# ---- atomics ----------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", [i32, u32, u64, f32, f64])
def test_atomic_sums(order, dtype):
    out = np.ones(1, dtype)
    launch("__syncthreads(); atomicAdd(out, (decltype(*out + 0))(threadIdx.x + blockIdx.x));", (out,), block=64, grid=5)
    assert out[0] == 1 + 5 * 64 * 63 // 2 + 64 * 10


@pytest.mark.parametrize("dtype", [i32, u32, u64])
def test_atomics_that_are_not_sums(order, dtype):
    out = np.array([100, 0, 0, 0xffff, 7, 3, 0, 0], dtype)
    launch("""
        typedef decltype(*out + 0) T;
        T k = (T)(threadIdx.x + 64 * blockIdx.x);
        atomicMin(out, k); atomicMax(out + 1, k); atomicOr(out + 2, (T)1 << (k % 16)); atomicAnd(out + 3, ~((T)1 << (k % 3)));
        atomicXor(out + 4, k); if (atomicCAS(out + 5, (T)3, (T)9) == 3) atomicExch(out + 6, k + 1);""", (out,), block=64, grid=2)
    assert out.tolist()[:6] == [0, 127, 0xffff, 0xfff8, 7, 9] and 1 <= out[6] <= 128, "one thread wins"


def test_atomic_counters_wrap_around():
    out = np.zeros(2, u32)
    launch("atomicInc(out, 9); atomicDec(out + 1, 9);", (out,), block=32)
    assert out.tolist() == [32 % 10, (-32) % 10]


def test_the_last_block_adds_up(order):
    """The pattern of reductions over blocks: a ticket, and fences around it."""
    x, out, tickets = np.arange(640, dtype=f64), np.zeros(11), np.zeros(1, u32)
    launch("""
        __shared__ double room[33];
        __shared__ bool last;
        double sum = block_reduce(x[blockIdx.x * 64 + threadIdx.x], 0.0, room, plus());
        if (threadIdx.x == 0) {
            out[blockIdx.x] = sum;
            __threadfence();
            last = atomicAdd(n, 1u) == gridDim.x - 1;
            __threadfence();
        }
        __syncthreads();
        if (last && threadIdx.x == 0) for (int b = 0; b < 10; b++) out[10] += out[b];""", (out, x, tickets), block=64, grid=10)
    assert out[10] == x.sum() and tickets[0] == 10


# ---- errors -----------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("body", "message"), [
    ("if (threadIdx.x < 7) __syncthreads();",
     r"deadlock: 7 of the block's 64 threads wait at the barrier of kernel.cu:4, 57 have returned"),
    ("if (threadIdx.x == 9) return; __syncthreads(); out[0] = 1;", "deadlock: 63 of"),
    ("if (threadIdx.x % 2) __syncthreads();\nelse __syncthreads();",
     r"divergence: .* barrier of kernel.cu:(4|5) .* that of kernel.cu:(4|5)"),
    ("for (int i = 0; i < threadIdx.x; i++) __syncthreads();", "deadlock"),
    ("if (threadIdx.x % 2) out[0] = __shfl_xor_sync(~0u, 1.0f, 1);",
     r"deadlock: __shfl_xor_sync of kernel.cu:4, mask ffffffff.* aaaaaaaa came"),
    ("if (threadIdx.x < 40) __syncwarp();", "deadlock: __syncwarp"),
    ("out[0] = __shfl_sync(0x1u, 1.0f, 0);", "mask 00000001, which leaves that lane out"),
    ("if (threadIdx.x % 2) __syncwarp(); else out[0] = __shfl_sync(~0u, 1.0f, 0);", "divergence: in warp [01] lane"),
    ("out[0] = __shfl_sync(~0u, 1.0f, 0, 24);", "width 24 is no power of two"),
    ("*(uint4*)(out + 1) = uint4();", "misaligned access: .* no multiple of 16, kernel.cu:4"),
    ("if (threadIdx.x == 63) *(float*)0 = 1;", "null pointer"),
    ("out[1ll << 50] = 1;", "out of bounds|nobody"),
    ("float own[4]; own[threadIdx.x] = 1; out[0] = own[0];", "out of bounds: index [0-9]+ of an array of fixed size"),
    ("out[0] = 5 / (int)(threadIdx.x - 3);", "division by zero"),
    ("assert(threadIdx.x < 60);", r"assert\(threadIdx.x < 60\) of kernel.cu:4"),
    ("__trap();", "__trap"),
    ("extern __shared__ float room[]; room[threadIdx.x + 9] = 1;", "dynamic shared memory of 288 bytes was written at byte 288"),
    ("extern __shared__ float room[]; room[threadIdx.x + 2000] = 1;", "out of bounds: an access at address"),
])
def test_what_kernels_must_not_do(body, message, order):
    with pytest.raises(KernelError, match=message):
        launch(body, (np.zeros(64, f32),), block=64, shared_mem=288)
    test_barriers_order_shared_memory(order, "__shared__ int room[256];", 96)   # all goes on after it


def test_a_warp_that_is_not_full_has_no_further_lanes():
    with pytest.raises(KernelError, match="fffffff0 of the mask are no threads of the block"):
        launch("out[0] = __shfl_xor_sync(~0u, 1.0f, 1);", (np.zeros(1, f32),), block=4)
    out = np.zeros(4, f32)
    launch("out[threadIdx.x] = __shfl_xor_sync(0xfu, (float)threadIdx.x, 1);", (out,), block=4)
    assert out.tolist() == [1, 0, 3, 2]


# ---- launches ---------------------------------------------------------------------------------------------------------------

KERNELS = """
extern "C" __global__ void __launch_bounds__(128) all_kinds(float* p, i64 a, double b, int c, float d, unsigned char e) {
    p[0] = a; p[1] = b; p[2] = c; p[3] = d; p[4] = e;
}
template <class T, int k> __global__ void generic(T* p) { p[0] = k; }
#define ENTRY(suffix, T) extern "C" __global__ void made_##suffix(T* p, i64 n) { p[n] = p[0]; }
ENTRIES(ENTRY)
"""


@pytest.fixture(scope="module")
def kernels():
    return module(KERNELS)


def test_arguments_reach_parameters(kernels):
    p = np.zeros(5, f32)
    kernels.get_function("all_kinds")((1,), (1,), (p, -3, 2.5, i32(-7), f32(0.5), np.uint8(200)))
    assert p.tolist() == [-3, 2.5, -7, 0.5, 200]


@pytest.mark.parametrize(("at", "wrong"), [
    (0, 2.5), (0, None), (0, "x"), (1, 2.0), (1, i32(1)), (1, f64(1)), (1, True), (1, np.zeros(1)), (2, 1), (2, f32(1)),
    (3, 7), (4, 0.5),
    (5, i32(1))])
def test_arguments_of_other_kinds_or_sizes_are_refused(kernels, at, wrong):
    args = [np.zeros(5, f32), 1, 1.0, i32(1), f32(1), np.uint8(1)]
    args[at] = wrong
    with pytest.raises(TypeError, match=rf"all_kinds: argument {at} is"):
        kernels.get_function("all_kinds")((1,), (1,), tuple(args))


def test_arguments_missing_or_too_large(kernels):
    with pytest.raises(TypeError, match="2 arguments for 6 parameters"):
        kernels.get_function("all_kinds")((1,), (1,), (0, 0))
    with pytest.raises(OverflowError):
        kernels.get_function("made_f32")((1,), (1,), (np.zeros(1, f32), 2**64))


@pytest.mark.parametrize(("grid", "block"), [((1,), (129,)), ((0,), (1,)), ((1, 65536), (1,)), ((2**31,), (1,)),
                                             ((1,), (1, 1, 65)), (1, (1,)), ((1, 1, 1, 1), (1,)), ((1.0,), (1,))])
def test_launches_beyond_limits_are_refused(kernels, grid, block):
    with pytest.raises(ValueError, match="all_kinds"):
        kernels.get_function("all_kinds")(grid, block, (np.zeros(5, f32), 1, 1.0, i32(1), f32(1), np.uint8(1)))


def test_shared_memory_above_48_kb_is_asked_for_first():
    function = module("""extern "C" __global__ void big(float* p, i64 n) {
        extern __shared__ float room[];
        room[n - 1] = 3;
        p[0] = room[n - 1];
    }""").get_function("big")
    p, n = np.zeros(1, f32), 227 * 256
    with pytest.raises(ValueError, match="max_dynamic_shared_size_bytes"):
        function((1,), (1,), (p, n), shared_mem=4 * n)
    function.max_dynamic_shared_size_bytes = 4 * n
    function((1,), (1,), (p, n), shared_mem=4 * n)
    assert p[0] == 3
    with pytest.raises(ValueError, match="the device has"):
        function.max_dynamic_shared_size_bytes = 4 * n + 1


def test_static_shared_memory_counts():
    function = module("""extern "C" __global__ void both(float* p, i64 n) {
        extern __shared__ float room[];
        __shared__ float own[256];
        room[n - 1] = own[threadIdx.x] = 3;
        p[0] = room[n - 1] + own[threadIdx.x];
    }""").get_function("both")
    p, n = np.zeros(1, f32), 48 * 256
    with pytest.raises(ValueError, match="max_dynamic_shared_size_bytes"):
        function((1,), (1,), (p, n), shared_mem=4 * n)
    function((1,), (1,), (p, n - 256), shared_mem=4 * (n - 256))
    assert p[0] == 6
    with pytest.raises(ValueError, match="static"):
        function.max_dynamic_shared_size_bytes = 227 << 10


def test_entry_points_are_found(kernels):
    kernels.compile()
    assert set(kernels._kernels) == {"all_kinds", "made_f32", "made_f16", "made_bf16", "made_f64"}
    assert kernels.get_function("all_kinds").max_threads_per_block == 128
    with pytest.raises(KeyError, match="no kernel is called 'other'; there are all_kinds"):
        kernels.get_function("other")
    p = np.zeros(1, f64)
    made = RawModule(code=kernels.code, name_expressions=["generic<double, 42>"])
    made.get_function("generic<double, 42>")((1,), (1,), (p,))
    assert p[0] == 42


def test_errors_of_the_compiler_are_shown_with_lines_of_the_source():
    with pytest.raises(CompileError, match=r"kernel.cu:3.*error.*nonsense"):
        module("\n__global__ void f() { nonsense; }").get_function("f")


def test_many_compile_the_same_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "cache", lambda: tmp_path)
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda _: build.library('extern "C" __global__ void f() {}'), range(4)))
    assert len(set(paths)) == 1
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".so", ".so"], "the kernel's and the emulator's"


def test_it_says_why_it_cannot_run(monkeypatch):
    monkeypatch.setattr(build, "compiler", lambda: None)
    with pytest.raises(pytest.skip.Exception, match=r"g\+\+ or clang\+\+"):
        RawModule(code="")


# ---- arithmetic -------------------------------------------------------------------------------------------------------------

def test_integer_functions():
    edges = np.array([0, 1, 2**63, 2**64 - 1, 2**31, 2**32 - 1], u64)
    x = np.concatenate([rng_for("integers").integers(0, 2**64, 200, u64), edges])
    y = np.roll(x, 1)
    out = np.zeros((len(x), 12), u64)
    launch("""
        u64 a = x[blockIdx.x], b = n[blockIdx.x], *o = out + 12 * blockIdx.x;
        u32 c = (u32)a, d = (u32)b;
        o[0] = __popcll(a); o[1] = __clzll(a); o[2] = __ffsll(a); o[3] = __brevll(a); o[4] = __umul64hi(a, b);
        o[5] = __umulhi(c, d);
        o[6] = __clz(c) * 10000 + __popc(c) * 100 + __ffs(c); o[7] = __byte_perm(c, d, 0x3715); o[8] = __funnelshift_l(c, d, 13);
        o[9] = __funnelshift_r(c, d, 13); o[10] = (u64)__mul64hi(a, b); o[11] = min(c, d) + (u64)max(a, b) * 3;""",
           (out, x, y), grid=len(x), block=1)
    for row, a, b in zip(out.tolist(), x.tolist(), y.tolist()):
        c, d, bits = a % 2**32, b % 2**32, f"{a:064b}"
        signed = lambda v: v - 2**64 if v >= 2**63 else v
        clz, ffs = lambda v, n: n - v.bit_length(), lambda v: (v & -v).bit_length()
        perm = sum(((d << 32 | c) >> 8 * chosen & 255) << 8 * i for i, chosen in enumerate((5, 1, 7, 3)))
        assert row == [bits.count("1"), clz(a, 64), ffs(a), int(bits[::-1], 2), a * b >> 64, c * d >> 32,
                       clz(c, 32) * 10000 + c.bit_count() * 100 + ffs(c), perm, ((d << 32 | c) << 13 & (2**64 - 1)) >> 32,
                       (d << 32 | c) >> 13 & (2**32 - 1), signed(a) * signed(b) >> 64 & (2**64 - 1),
                       (min(c, d) + max(a, b) * 3) % 2**64]


def test_conversions_saturate():
    x = np.array([0.5, 1.5, -2.5, 1e10, -1e10, 3e38, np.nan, np.inf, -np.inf, 2147483520, -0.7], f32)
    out = np.zeros((len(x), 6), i64)
    launch("""
        float v = x[blockIdx.x];
        i64* o = out + 6 * blockIdx.x;
        o[0] = __float2int_rn(v); o[1] = __float2int_rz(v); o[2] = __float2int_rd(v); o[3] = __float2int_ru(v);
        o[4] = __float2uint_rn(v);
        o[5] = __float_as_int(v) == (int)__float_as_uint(v) && __int_as_float(__float_as_int(v)) == v;""",
           (out, x), grid=len(x), block=1)
    low, high = -2**31, 2**31 - 1
    assert out[:, :5].tolist() == [
        [0, 0, 0, 1, 0], [2, 1, 1, 2, 2], [-2, -2, -3, -2, 0], [high] * 4 + [2**32 - 1], [low] * 4 + [0],
        [high] * 4 + [2**32 - 1],
        [0] * 5, [high] * 4 + [2**32 - 1], [low] * 4 + [0], [2147483520] * 5, [-1, 0, -1, 0, 0]]
    np.testing.assert_array_equal(out[:, 5], ~np.isnan(x))


def test_float_functions():
    x = np.abs(rng_for("floats").normal(size=500)).astype(f32) + f32(0.01)
    names = {"__expf": np.exp, "__logf": np.log, "__log2f": np.log2, "__sinf": np.sin, "__cosf": np.cos, "tanhf": np.tanh,
             "rsqrtf": lambda v: v**-0.5, "__frcp_rn": lambda v: 1 / v, "__fsqrt_rn": np.sqrt, "log1pf": np.log1p,
             "sinpif": lambda v: np.sin(np.pi * v), "__saturatef": lambda v: np.clip(v, 0, 1), "expm1f": np.expm1,
             "cbrtf": np.cbrt, "normcdff": np.vectorize(lambda v: (1 + math.erf(v / 2**0.5)) / 2)}
    out = np.zeros((len(names), len(x)), f32)
    calls = "".join(f"out[{i * len(x)} + blockIdx.x] = {name}(v);\n" for i, name in enumerate(names))
    launch(f"float v = x[blockIdx.x];\n{calls}", (out, x), grid=len(x), block=1)
    for got, (name, function) in zip(out, names.items()):
        np.testing.assert_allclose(got, function(x.astype(f64)), 3e-7, 1e-7, err_msg=name)


# ---- 16-bit floats of tensorlite.cuh -------------------------------------------------------------------------------------------

CONVERSIONS = """
#define CONVERT(T)                                                                                                        \\
    extern "C" __global__ void widen_##T(float* out, const T* x, i64 n) {                                                 \\
        const i64 i = thread_index();                                                                                     \\
        if (i < n) out[i] = load(x[i]);                                                                                   \\
    }                                                                                                                     \\
    extern "C" __global__ void narrow_##T(T* out, const float* x, i64 n) {                                                \\
        const i64 i = thread_index();                                                                                     \\
        if (i < n) out[i] = rounded<T>(x[i]);                                                                             \\
    }
CONVERT(f16)
CONVERT(bf16)
"""


def convert(name: str, x: Any, dtype: Any) -> Any:
    out = np.zeros(x.shape, dtype)
    module(CONVERSIONS).get_function(name)((-(-x.size // 256),), (256,), (out, x, x.size))
    return out


def half(name: str) -> Any:
    return np.float16 if name == "f16" else pytest.importorskip("ml_dtypes").bfloat16


@pytest.mark.parametrize("name", ["f16", "bf16"])
def test_every_16_bit_float_is_widened_exactly(name):
    x = np.arange(1 << 16, dtype=np.uint16).view(half(name))
    got, expected = convert(f"widen_{name}", x, f32), x.astype(f32)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(got.view(u32)[number], expected.view(u32)[number])


@pytest.mark.parametrize("name", ["f16", "bf16"])
def test_float32_is_rounded_to_nearest_even(name):
    values = np.arange(1 << 16, dtype=np.uint16).view(half(name))
    with np.errstate(all="ignore"):
        exact = np.sort(values[np.isfinite(values)].astype(f64))
        ties = ((exact[1:] + exact[:-1]) / 2).astype(f32)                # float32 holds them
        around = np.concatenate([np.nextafter(ties, f32(np.inf)), np.nextafter(ties, f32(-np.inf))])
        anything = rng_for(name).integers(0, 1 << 32, 1 << 20, u32).view(f32)
        tiny = np.arange(1 << 12, dtype=u32).view(f32)
        edges = np.array([65519.99, 65520, 65536, 3.3895e38, 3.3961776e38, np.finfo(f32).max, np.inf, np.nan, 0.0], f32)
        x = np.concatenate([values.astype(f32), ties, around, anything, tiny, edges, -edges, -tiny])
        got, expected = convert(f"narrow_{name}", x, half(name)), x.astype(half(name))
    np.testing.assert_array_equal(np.isnan(got), np.isnan(x))
    number = ~np.isnan(x)
    np.testing.assert_array_equal(got.view(np.uint16)[number], expected.view(np.uint16)[number])


# ---- the exemplar -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("n", [0, 1, 3, 8, 255, 4099])
def test_sigmoid_backward(cuda, dtype, n):
    kind = half("bf16") if dtype == "bfloat16" else np.dtype(dtype)
    rng = rng_for("sigmoid_backward", dtype, n)
    for shift in (0, 1, 3):   # elements past a multiple of 16 bytes or so
        g, y = (a[shift:] for a in (rng.normal(size=n + shift).astype(kind), rng.random(n + shift).astype(kind)))
        out = load("sigmoid_backward").cuda(cuda, g, y)
        assert out.dtype == kind and out.shape == (n,)
        exact = g.astype(f64) * y.astype(f64) * (1 - y.astype(f64))
        unit = {"float32": 1e-6, "float64": 1e-15, "float16": 6e-4, "bfloat16": 5e-3}[dtype]
        np.testing.assert_allclose(out.astype(f64), exact, unit, 1e-7)
