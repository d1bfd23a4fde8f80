"""The stand-in for CuPy: that it does what CuPy did, refuses what CuPy refuses, and shows what CuPy would hide."""
from __future__ import annotations

import gc
import importlib.util
import os
import shutil
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cuda_on_cpu.cupy_facts import expressions, names
from cuda_on_cpu.versions import cupy_stand_in

FACTS = Path(names.__file__).parent
INSTALLED = importlib.util.find_spec("cupy") is not None
needs_cupy = pytest.mark.skipif(not INSTALLED, reason="CuPy is not installed")


@pytest.fixture(params=[14, 13])
def cupy(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The stand-in, on its first device, with nothing in the pool; nothing was written behind an array when the test ends."""
    module = cupy_stand_in(request.param)
    gc.collect()
    module.get_default_memory_pool().free_all_blocks()
    machine = module._machine.machine
    machine.device, machine.log = 0, None
    machine.syncs.clear()
    machine.corrupted.clear()
    yield module
    gc.collect()
    assert not machine.corrupted


def version(cupy: Any) -> int:
    return int(cupy.__version__.partition(".")[0])


# ---- what CuPy did -----------------------------------------------------------------------------------------------------

def test_answers_as_cupy_did(cupy: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mine = expressions.answers(cupy)
    theirs, stricter = expressions.recorded(version(cupy)), set(expressions.split(expressions.STRICTER))
    assert len(mine) > 2500
    wrong = {e: (theirs.get(e), answer) for e, answer in mine.items() if theirs.get(e) != answer and e not in stricter}
    assert not wrong
    assert [e for e in stricter if not mine[e].startswith("!")] == []


@needs_cupy
@pytest.mark.skipif(shutil.which(os.environ.get("CC", "cc")) is None, reason="there is no C compiler")
def test_the_recorded_answers_are_those_of_the_installed_cupy() -> None:
    import cupy as real
    found = subprocess.run([sys.executable, str(FACTS / "observe.py"), "--print"], capture_output=True, text=True,
                           check=True).stdout
    said, recorded = expressions.read(found), expressions.recorded(version(real))
    assert len(said) > 2500
    assert {e: (recorded.get(e), a) for e, a in said.items() if recorded.get(e) != a} == {}


@needs_cupy
def test_the_recorded_names_are_those_of_the_installed_cupy() -> None:
    import json
    found = names.collect()
    assert json.loads(names.file(found["version"]).read_text()) == found


def test_it_has_no_name_that_cupy_has_not(cupy: Any) -> None:
    theirs, cuda = cupy._names, cupy.cuda
    mine = {n for n in dir(cupy) if not n.startswith("_")} - {"annotations", "dispatch", "sys", "np", "Any", "SimpleNamespace",
                                                               "NAMES", "VERSION", "FULL_VERSION", "cuda"}
    assert mine <= theirs.NAMES["cupy"].keys() and len(mine) > 300
    assert {n for n in dir(cupy.ndarray) if n[0] != "_"} <= theirs.NAMES["cupy.ndarray"].keys()
    for path, found in {"Device": cuda.Device, "Stream": cuda.Stream, "ExternalStream": cuda.ExternalStream, "Event": cuda.Event,
                        "MemoryPointer": cuda.MemoryPointer, "MemoryPool": cuda.MemoryPool, "runtime": cuda.runtime,
                        "memory": cuda.memory, "device": cuda.device, "stream": cuda.stream,
                        "pinned_memory": cuda.pinned_memory, "UnownedMemory": cuda.UnownedMemory}.items():
        assert {n for n in dir(found) if n[0] != "_"} <= set(theirs.OTHER_NAMES[f"cupy.cuda.{path}"]), path
    assert {n for n in dir(cuda) if n[0] != "_"} - {"annotations", "ctypes", "Any", "OTHER_NAMES", "VERSION"} <= set(
        theirs.OTHER_NAMES["cupy.cuda"])


def test_what_it_lacks_it_says(cupy: Any) -> None:
    for owner, name in ((cupy, "vectorize"), (cupy.cuda, "MemoryHook"), (cupy.cuda.runtime, "graphLaunch"), (cupy.zeros(2),
                                                                                                             "flat")):
        with pytest.raises(NotImplementedError, match=name):
            getattr(owner, name)
    for name in ("vecdot", "unstack", "no_such_function"):
        assert not hasattr(cupy, name)


def test_the_versions_differ_and_share_nothing() -> None:
    new, old = cupy_stand_in(14), cupy_stand_in(13)
    assert new.ndarray is not old.ndarray and new._machine.machine is not old._machine.machine
    assert (new.__version__, old.__version__) == ("14.2.0", "13.6.0")
    for name in ("concat", "astype", "permute_dims", "isdtype", "matrix_transpose", "pow", "unique_all", "cumulative_sum",
                 "bool", "acos"):
        assert hasattr(new, name) and not hasattr(old, name)
    x = old.ones(2)
    with pytest.raises(TypeError, match="asarray"):
        old.asarray(x, copy=True)
    with pytest.raises(TypeError, match="copy"):
        x.reshape(2, copy=True)
    with pytest.raises(TypeError, match="Unsupported type"):
        new.add(x, 1)


# ---- waiting -----------------------------------------------------------------------------------------------------------

def test_what_makes_the_host_wait_is_counted(cupy: Any) -> None:
    x, one, syncs = cupy.arange(6.0), cupy.ones(()), cupy._machine.machine.syncs
    waiting = [lambda: x.get(), lambda: cupy.asnumpy(x), lambda: one.item(), lambda: x.tolist(), lambda: bool(one),
               lambda: int(one), lambda: float(one), lambda: complex(one), lambda: repr(x), lambda: f"{one}", lambda: x[x > 2],
               lambda: x.nonzero(), lambda: cupy.unique(x), lambda: cupy.argwhere(x), lambda: cupy.where(x),
               lambda: x.__setitem__(x > 2, 0), lambda: cupy.cuda.Device().synchronize(),
               lambda: cupy.cuda.Stream.null.synchronize(), lambda: cupy.cuda.Event().synchronize(),
               lambda: cupy.cuda.runtime.deviceSynchronize(), lambda: x.set(np.zeros(6)), lambda: cupy.put(x, cupy.asarray([1]),
                                                                                                           1, mode="raise"),
                                                                                                           lambda: x.__reduce__()]
    for f in waiting:
        before = len(syncs)
        f()
        assert len(syncs) == before + 1
    syncs.clear()
    for f in (lambda: x + 1, lambda: x.sum(), lambda: x[1], lambda: x[cupy.asarray([1, 2])], lambda: cupy.where(x > 1, x, 0),
              lambda: x.reshape(2, 3).T.copy(), lambda: cupy.asarray(np.ones(3)), lambda: x.__setitem__(cupy.asarray([1]), 1.0),
              lambda: x.astype("f4"), lambda: cupy.sort(x), lambda: cupy.add.at(x, cupy.asarray([1]), 1.0), lambda: x.argmax(),
              lambda: cupy.zeros(3), lambda: x.set(np.zeros(6), stream=cupy.cuda.Stream.null), lambda: x.get(blocking=False),
              lambda: cupy.cuda.Event().record(), lambda: cupy.from_dlpack(x), lambda: x.copy()):
        f()
    assert syncs == []


def test_operations_are_recorded_with_their_stream(cupy: Any) -> None:
    x, machine = cupy.ones(3), cupy._machine.machine
    machine.log = []
    stream = cupy.cuda.Stream(non_blocking=True)
    x + 1
    with stream:
        assert cupy.cuda.get_current_stream() is stream
        x * 2
        event = stream.record()
    assert cupy.cuda.get_current_stream() == cupy.cuda.Stream.null and event.done
    cupy.cuda.Stream.null.wait_event(event)
    assert machine.log == [(0, "cupy_add"), (stream.ptr, "cupy_multiply"), (stream.ptr, "event.record"), (0, "stream.wait_event")]


def test_events_measure_time_if_they_may(cupy: Any) -> None:
    first, second, blind = cupy.cuda.Event(), cupy.cuda.Event(), cupy.cuda.Event(disable_timing=True)
    for event in (first, second, blind):
        event.record()
    assert cupy.cuda.get_elapsed_time(first, second) > 0
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="InvalidResourceHandle"):
        cupy.cuda.get_elapsed_time(first, blind)


# ---- the host stays the host -------------------------------------------------------------------------------------------

def test_nothing_is_converted_to_numpy_by_itself(cupy: Any) -> None:
    x, n = cupy.ones(3), np.ones(3)
    for f in (lambda: np.asarray(x), lambda: np.array([x]), lambda: x + n, lambda: n + x, lambda: n * x, lambda: [1.0] * 3 + x,
              lambda: cupy.add(x, n), lambda: cupy.sum(n), lambda: cupy.matmul(x, n), lambda: cupy.concatenate([x, n]),
              lambda: cupy.where(n > 0, x, x), lambda: range(cupy.ones((), int)), lambda: [1, 2][cupy.ones((), int)]):
        with pytest.raises(TypeError):
            f()
    assert type(np.sin(x)) is cupy.ndarray and type(np.float32(2) * x) is cupy.ndarray
    assert type(np.linalg.norm(x)) is cupy.ndarray


def test_results_without_axes_are_arrays(cupy: Any) -> None:
    x = cupy.arange(6.0).reshape(2, 3)
    for r in (x.sum(), x.mean(), x.argmax(), x[0, 0], x.max(), cupy.dot(x[0], x[0]), cupy.all(x > -1), x[0] @ x[0],
              cupy.linalg.norm(x), x.var(), cupy.einsum("ij->", x)):
        assert type(r) is cupy.ndarray and r.shape == ()


def test_dlpack(cupy: Any) -> None:
    x = cupy.arange(6.0).reshape(2, 3)
    y = cupy.from_dlpack(x)
    y[0, 0] = 9.0
    assert x[0, 0].item() == 9.0 and y.base is None and x.__dlpack_device__() == (2, 0)
    host = np.from_dlpack(x, device="cpu")
    assert host.tolist() == x.tolist()
    host_again = np.arange(3.0)
    with pytest.raises(TypeError, match="CPU arrays"):
        cupy.from_dlpack(host_again)
    assert not isinstance(x.__dlpack__(), type(host_again.__dlpack__()))


# ---- numbers -----------------------------------------------------------------------------------------------------------

def test_floats_become_integers_as_cuda_converts_them(cupy: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x = cupy.asarray(np.array([np.inf, -np.inf, np.nan, -1.5, 300.7, 3e9, -3e9, 1e30], np.float32))
        assert x.astype("i4").tolist() == [2**31 - 1, -2**31, 0, -1, 300, 2**31 - 1, -2**31, 2**31 - 1]
        assert x.astype("u4").tolist() == [2**32 - 1, 0, 0, 0, 300, 3 * 10**9, 0, 2**32 - 1]
        assert x.astype("u1").tolist() == [255, 0, 0, 0, 44, 3 * 10**9 % 256, 0, 255]
        assert x.astype("i1").tolist() == [-1, 0, 0, -1, 44, -1, 0, -1]
        assert x.astype("i8").tolist() == [2**63 - 1, -2**63, -2**63, -1, 300, 3 * 10**9, -3 * 10**9, 2**63 - 1]
        assert x.astype("u8").tolist() == [2**64 - 1, 0, 2**63, 0, 300, 3 * 10**9, 0, 2**64 - 1]
        assert x.astype("f8").astype("i4").tolist()[2] == -2**31
        assert cupy.asarray(np.array([300, -1])).astype("u1").tolist() == [44, 255]
        assert x.astype(bool).all()


def test_arithmetic_warns_of_nothing(cupy: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        zero, big = cupy.zeros(2), cupy.full(2, 3e38, dtype="f4")
        assert np.isnan((zero / zero).get()).all() and np.isinf((big * 10).get()).all()
        assert np.isneginf(cupy.log(zero).get()).all()
        k = cupy.asarray(np.array([7, -7]))
        (k // 0, k % 0)
        assert (cupy.full(1, 127, dtype="i1") + cupy.full(1, 1, dtype="i1")).tolist() == [-128]
        assert (cupy.asarray(np.array([-1, 1, 3])) ** cupy.asarray(np.array([-3, -2, -1]))).tolist() == [-1, 1, 0]
        assert np.isnan(cupy.mean(cupy.empty(0)).get())


def test_promotion_by_version() -> None:
    for number, expected in ((13, ("float32", "int16", "float32")), (14, ("float64", None, "float32"))):
        cupy = cupy_stand_in(number)
        x, small = cupy.ones(2, "f4"), cupy.ones(2, "u1")
        assert (x * np.float64(2)).dtype == expected[0] and (x * 2.0).dtype == expected[2]
        if expected[1] is None:
            with pytest.raises(OverflowError):
                small + 300
        else:
            assert (small + 300).dtype == expected[1]
        assert (x * cupy.ones((), "f8")).dtype == "float64"   # arrays without axes are arrays


def test_bfloat16_of_14_has_holes() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    cupy = cupy_stand_in(14)
    b = cupy.ones(3000, ml_dtypes.bfloat16)
    assert b.sum().item() == 3008   # 3000 to the nearest bfloat16: summed in float32
    assert (b * 2).dtype == b.dtype and (b * 2.5).dtype == "float32" and cupy.where(b > 0, b, b).dtype == "float32"
    with pytest.raises(ValueError, match="Unsupported dtype"):
        cupy_stand_in(13).ones(3, ml_dtypes.bfloat16)


# ---- indices -----------------------------------------------------------------------------------------------------------

def test_indices_out_of_range_wrap_silently(cupy: Any) -> None:
    x, i = cupy.arange(5.0), cupy.asarray(np.array([5, -6, 12]))
    assert x[i].tolist() == [0, 4, 2] and cupy.take(x, i).tolist() == [0, 4, 2] and cupy.take(x, 7).item() == 2
    y = cupy.arange(20.0).reshape(4, 5)
    assert y[i, i].tolist() == [y[1, 0].item(), y[2, 4].item(), y[0, 2].item()]
    assert cupy.take_along_axis(x, i, 0).tolist() == [0, 4, 2]
    x[i] = 9.0
    assert x.tolist() == [9, 1, 9, 3, 9]
    cupy.put(x, i, -1.0)
    assert x.tolist() == [-1, 1, -1, 3, -1]
    for key in (5, -6, (0, 0)):
        with pytest.raises(IndexError):
            x[key]
    assert x[1.5].item() == 1   # CuPy takes int() of it


def test_of_values_for_one_place_any_may_stay(cupy: Any) -> None:
    x = cupy.zeros(8)
    x[cupy.asarray(np.arange(800) % 8)] = cupy.arange(800.0)
    found = x.get()
    assert (found % 8 == np.arange(8)).all() and (found < 792).any()   # NumPy would keep the last: 792 ... 799


def test_assignment(cupy: Any) -> None:
    rng = np.random.default_rng(3)
    for key in (np.s_[1], np.s_[:, ::-2], np.s_[..., 2], np.s_[1:, None], (np.array([2, 0]), slice(None)), np.s_[:, [1, 3]],
                rng.random((3, 4)) > 0.5, rng.random(3) > 0.3, (np.array([[0], [2]]), np.array([1, 3]))):
        host = rng.normal(size=(3, 4))
        value = rng.normal(size=host[key].shape)
        x = cupy.asarray(host)
        on_device = tuple(cupy.asarray(k) if isinstance(k, np.ndarray) else k for k in key) if isinstance(key, tuple) else \
            cupy.asarray(key) if isinstance(key, np.ndarray) else key
        assert (x[on_device].get() == host[key]).all()
        x[on_device] = cupy.asarray(value)
        host[key] = value
        assert (x.get() == host).all()


def test_scatter_add(cupy: Any) -> None:
    x, i = cupy.zeros(4), cupy.asarray(np.array([1, 1, 6]))
    cupy.add.at(x, i, cupy.asarray(np.array([1.0, 2.0, 4.0])))
    assert x.tolist() == [0, 3, 4, 0]
    x.scatter_max(i, 3.5)
    assert x.tolist() == [0, 3.5, 4, 0]
    for dtype, takes in (("f2", True), ("i4", True), ("u8", True), ("i8", version(cupy) >= 14), ("i1", False), ("?", False),
                         ("F", False)):
        zeros = cupy.zeros(4, dtype)
        if takes:
            cupy.add.at(zeros, i, 1)
            assert zeros[1].item() == 2
        else:
            with pytest.raises(TypeError, match="scatter_add"):
                cupy.add.at(zeros, i, 1)


# ---- memory ------------------------------------------------------------------------------------------------------------

def test_views_and_their_owner(cupy: Any) -> None:
    x = cupy.arange(24.0).reshape(2, 3, 4).copy()
    for v in (x[0], x.T, x[0][1], x.reshape(6, 4), x[:, ::-1], x.real.T, cupy.moveaxis(x, 0, 1), x[0].view("i8"), x.diagonal()):
        assert v.base is x and cupy.may_share_memory(v, x) and not v.flags.owndata
    assert x.base is None and x.flags.owndata and x[0].data.mem is x.data.mem
    assert x[1, 0].data.ptr - x.data.ptr == 96 and x.data.ptr % 16 == 0
    w = cupy.ndarray((3,), "f8", memptr=x.data + 16)
    assert w.tolist() == [2, 3, 4]
    for fresh in (cupy.cumsum(x, 0), cupy.tile(x, 2), cupy.argsort(x, 0)):
        assert fresh.base is not None and not cupy.may_share_memory(fresh, x)   # as in CuPy: a view of what nobody else has


def test_memory_starts_as_garbage(cupy: Any) -> None:
    for dtype in ("f2", "f4", "f8", "F"):
        assert np.isnan(cupy.empty((3, 4), dtype).get()).all()
    assert (cupy.empty(5, "i4").get() != 0).all() and np.isnan(cupy.empty_like(cupy.ones(3)).get()).all()


def test_a_write_behind_the_end_is_found(cupy: Any) -> None:
    x = cupy.empty(5, "f4")
    x.data.memset(0, 21)
    del x
    gc.collect()
    corrupted = cupy._machine.machine.corrupted
    assert len(corrupted) == 1 and "20 bytes" in corrupted[0]
    corrupted.clear()


def test_the_pool_accounts(cupy: Any) -> None:
    pool = cupy.get_default_memory_pool()
    used, total = pool.used_bytes(), pool.total_bytes()
    x = cupy.ones(129, "f4")
    assert (pool.used_bytes() - used, pool.total_bytes() - total) == (1024, 1024)
    y = x[3:]
    del x
    assert pool.used_bytes() - used == 1024
    del y
    assert (pool.used_bytes(), pool.total_bytes() - total, pool.n_free_blocks()) == (used, 1024, 1)
    x = cupy.empty(200, "f4")
    assert pool.total_bytes() - total == 1024   # the free block again
    del x
    pool.free_all_blocks()
    assert (pool.total_bytes(), pool.n_free_blocks(), pool.free_bytes()) == (total, 0, 0)


def test_the_limit(cupy: Any) -> None:
    pool = cupy.get_default_memory_pool()
    pool.set_limit(size=pool.total_bytes() + 4096)
    try:
        assert pool.get_limit() == pool.total_bytes() + 4096
        x = cupy.ones(256)
        with pytest.raises(cupy.cuda.memory.OutOfMemoryError) as error:
            cupy.zeros(500)
        so_far = pool.total_bytes()
        assert str(error.value) == (f"Out of memory allocating 4,096 bytes (allocated so far: {so_far:,} bytes, limit set to: "
                                    f"{pool.get_limit():,} bytes).")
        assert isinstance(error.value, MemoryError)
        with pytest.raises(MemoryError):
            x.astype("c16")
        del x
        cupy.zeros(500)   # the free block goes back, and there is room
    finally:
        pool.set_limit(size=0)
    with pytest.raises(ValueError, match="fraction"):
        pool.set_limit(fraction=2.0)


def test_allocators(cupy: Any) -> None:
    pool, sizes = cupy.cuda.MemoryPool(), []

    def malloc(size: int) -> Any:
        sizes.append(size)
        return pool.malloc(size)
    with cupy.cuda.using_allocator(malloc):
        x = cupy.ones(3) + 1
    assert sizes == [24, 24] and pool.used_bytes() == 512 and x.tolist() == [2, 2, 2]
    with cupy.cuda.using_allocator(pool.malloc):
        y = x * 2
    assert pool.used_bytes() == 1024 and y.tolist() == [4, 4, 4]


def test_pinned_memory(cupy: Any) -> None:
    memory = cupy.cuda.alloc_pinned_memory(64)
    words = np.frombuffer(memory, np.int64, 8)
    words[:] = np.arange(8)
    assert words.ctypes.data == memory.ptr and memory.size() >= 64
    x = cupy.zeros(8, "i8")
    x.set(words, stream=cupy.cuda.Stream.null)
    assert x.tolist() == list(range(8))
    cupy.cuda.runtime.memcpyAsync(memory.ptr, (x + 1).data.ptr, 64, cupy.cuda.runtime.memcpyDeviceToHost, 0)
    assert words.tolist() == list(range(1, 9))


# ---- devices -----------------------------------------------------------------------------------------------------------

def test_an_array_is_used_where_it_is(cupy: Any) -> None:
    x = cupy.ones(3)
    with cupy.cuda.Device(1):
        y = cupy.ones(3)
        assert (y.device.id, y.data.device_id, cupy.cuda.runtime.getDevice()) == (1, 1, 1)
        for f in (lambda: x + 1, lambda: x + y, lambda: x.sum(), lambda: x[cupy.asarray([0])], lambda: cupy.concatenate([x, y]),
                  lambda: x.__setitem__(0, 1.0), lambda: y.__setitem__(0, x[0]), lambda: x.astype("f4"), lambda: cupy.sort(x)):
            with pytest.raises(ValueError, match="different from the current device"):
                f()
        moved = x.copy()
        assert moved.device.id == 1 and moved.tolist() == [1, 1, 1]
        assert x[1:].device.id == 0 and x.get().tolist() == [1, 1, 1]
    assert cupy.cuda.Device().id == 0 and (x + 1).device == cupy.cuda.Device(0)
    with pytest.raises(ValueError, match="different from the current device"):
        x + y
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="InvalidDevice"):
        cupy.cuda.Device(2).use()


def test_the_current_device_is_each_threads_own(cupy: Any) -> None:
    cupy.cuda.runtime.setDevice(1)
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.append(cupy.cuda.Device().id))
    thread.start()
    thread.join()
    assert seen == [0] and cupy.cuda.Device().id == 1
    stream = cupy.cuda.Stream()
    cupy.cuda.Device(0).use()
    with pytest.raises(RuntimeError, match="current device"), stream:
        pass


def test_what_a_device_says_of_itself(cupy: Any) -> None:
    device = cupy.cuda.Device(1)
    assert device.attributes["MultiProcessorCount"] == 132 and device.attributes["MaxSharedMemoryPerBlockOptin"] == 232448
    assert device.compute_capability == "90" and cupy.cuda.runtime.getDeviceCount() == 2 and device == cupy.cuda.Device(1)
    free, total = device.mem_info
    assert 0 < free <= total and cupy.cuda.runtime.memGetInfo()[1] == total


# ---- kernels -----------------------------------------------------------------------------------------------------------

def test_kernels_run_on_arrays_of_the_current_device(cupy: Any) -> None:
    source = 'extern "C" __global__ void twice(float* out, const float* x, long long n) {' \
             ' for (long long i = threadIdx.x; i < n; i += blockDim.x) out[i] = 2 * x[i]; }'
    twice = cupy.RawModule(code=source, options=("--std=c++17",)).get_function("twice")
    x = cupy.arange(5, dtype="f4")
    out, machine = cupy.empty(5, "f4"), cupy._machine.machine
    machine.log = []
    twice((1,), (32,), (out, x, 5))
    assert machine.log == [(0, "launch twice")] and out.tolist() == [0, 2, 4, 6, 8]
    twice((1,), (32,), (out[1:], x, 4))
    assert out.tolist() == [0, 0, 2, 4, 6]
    with pytest.raises(TypeError):
        twice((1,), (32,), (np.empty(5, "f4"), x, 5))
    with cupy.cuda.Device(1), pytest.raises(ValueError, match="different from the current device"):
        twice((1,), (32,), (out, x, 5))


# ---- functions computed in another way than NumPy's --------------------------------------------------------------------

def test_values(cupy: Any) -> None:
    rng = np.random.default_rng(5)
    host = rng.normal(size=(2, 3, 4))
    x = cupy.asarray(host)
    for axis in (None, 0, 1, -1):
        assert (cupy.argsort(x, axis).get() == np.argsort(host, axis, kind="stable")).all()
        assert (cupy.sort(x, axis).get() == np.sort(host, axis)).all()
        assert (cupy.take(x, cupy.asarray([1, 0]), axis).get() == np.take(host, [1, 0], axis)).all()
        np.testing.assert_allclose(cupy.cumsum(x, axis).get(), np.cumsum(host, axis))
        assert (cupy.argmax(x, axis, keepdims=True).get() == np.argmax(host, axis, keepdims=True)).all()
    assert (x.get() == host).all()   # nothing above writes
    assert (cupy.argmax(x, axis=(0, 2)).get() == np.moveaxis(host, 1, 0).reshape(3, 8).argmax(1)).all()
    assert (cupy.clip(x, -0.5, None).get() == np.clip(host, -0.5, None)).all()
    values, inverse = cupy.unique(cupy.asarray(np.array([[3, 1], [1, 3]])), return_inverse=True)
    assert values.tolist() == [1, 3] and inverse.tolist() == ([[1, 0], [0, 1]] if version(cupy) >= 14 else [1, 0, 0, 1])
    out = cupy.zeros((2, 3))
    assert cupy.sum(x, axis=2, out=out) is out and (out.get() == host.sum(2)).all()
    assert cupy.add(x, 1, out=x) is x and (x.get() == host + 1).all()
    halves = cupy.ones((1, 4096), "f2")
    assert (halves @ halves.T).item() == 4096   # summed in float32
