"""Matrix products by cuBLASLt, with what follows a product fused into it.

CuPy refuses its own cuBLAS calls while a stream is captured into a CUDA graph, and has none of the epilogues; cuBLASLt itself can
be captured. A problem (shapes, strides, dtypes, epilogue) is described to the library once; after that a product costs a look-up
in a dictionary and one foreign call. The library is thread-safe, and so is this.

The library's matrices are column-major: the row-major product ``out = x y`` is its D = A B with A = y^T, B = x^T and D = out^T,
so that a bias along D's rows is one along the last axis of ``out``, and nothing is ever transposed in memory.
"""
from __future__ import annotations

import ctypes
import math
import threading
from typing import Any

import numpy as np

from tensorlite.backends import _cublaslt_library as lt

__all__ = ["CublasLt"]

WORKSPACE = 32 << 20   # bytes a stream; what NVIDIA advises for Hopper
PLANS = 4096           # kept at a time
ALIGNED = 256          # bytes; more is never asked for
_MASKED = lt.RELU | 8  # epilogues whose auxiliary array is a mask of bits


class _Plan:
    """One problem, as the library knows it. ``algorithm`` is 0 where it has none for it; ``copies`` says which operands must
    then be copied first, and to what shape."""

    __slots__ = ("a", "algorithm", "alpha", "b", "beta", "copies", "d", "dtype", "handle", "kept", "lock", "mask", "operation",
                 "place", "pointers", "shape")
    operation: lt.Made
    a: lt.Made             # layouts
    b: lt.Made
    d: lt.Made
    handle: int
    algorithm: int         # addresses, as those of alpha and beta; `kept` holds what is there
    alpha: int
    beta: int
    kept: Any
    mask: int              # bits that are zero in all pointers

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self.shape, self.dtype = shape, dtype
        self.copies: tuple[Any, Any] = (None, None)
        self.algorithm = 0
        self.lock, self.pointers, self.place = threading.Lock(), (0, 0), ctypes.c_uint64()

    def point(self, pointers: tuple[int, int]) -> None:
        """Have the operation use these of the bias and the auxiliary array; hold the lock until it is launched."""
        for attribute, pointer, before in zip((lt.BIAS_POINTER, lt.AUX_POINTER), pointers, self.pointers):
            if pointer != before:
                self.place.value = pointer
                self.operation.set(attribute, self.place)
        self.pointers = pointers


class CublasLt:
    """The library on all devices of one process.

    ``cupy``: the module. ``path``: the library; by default it is looked for. ``tries``: how many of the algorithms that the
    library proposes for a problem are timed when it is first met; 1 takes the first, untimed, and never waits for the device.

    Raises ``OSError`` if there is no library, ``RuntimeError`` if it does not work with the current device.
    """

    def __init__(self, cupy: Any, path: str | None = None, tries: int = 1) -> None:
        self._cupy, self.tries = cupy, tries
        self._library = lt.load(lt.candidates(cupy.cuda.runtime.runtimeGetVersion() // 1000) if path is None else [path])
        self.path, self.version = self._library.path, self._library.version
        self._handles: dict[int, int] = {}
        self._plans: dict[Any, _Plan] = {}
        self._workspaces: dict[tuple[int, int], Any] = {}
        self._lock = threading.Lock()
        self._stream, self._empty, self._matmul = cupy.cuda.get_current_stream, cupy.empty, self._library.matmul
        self._handle(cupy.cuda.runtime.getDevice())

    def __repr__(self) -> str:
        return f"CublasLt({self.path!r}, version={self.version})"

    def matmul(self, x: Any, y: Any, tx: bool = False, ty: bool = False, epilogue: int = lt.DEFAULT, bias: Any = None,
               aux: Any = None, add_to: Any = None, tf32: bool = False) -> Any:
        """``epilogue(op(x) op(y))`` on the current stream, or None where the library does not do this.

        x: (..., n, k), y: (..., k, m), batch axes broadcast; ``tx``, ``ty``: given transposed. Both float16 or bfloat16 (summed
        in float32), float32, or float64. ``bias``: (m,), read by ``*BIAS``, written by ``D*_BGRAD`` (the result summed over its
        rows) and by ``BGRADA`` (y summed over k); (n,), written by ``BGRADB`` (x summed over k). ``aux``: from :meth:`auxiliary`.
        ``add_to``: the product is added to this array, which is returned. ``tf32``: float32 factors are rounded to 11 bits.
        """
        device = x.data.device_id
        key: Any = (x.shape, x.strides, x.dtype, y.shape, y.strides, y.dtype, tx, ty, epilogue, tf32, device,
                    None if bias is None else (bias.dtype, bias.strides), None if aux is None else aux.shape,
                    None if add_to is None else (add_to.dtype, add_to.shape, add_to.strides))
        plan = self._plans.get(key) or self._plan(key, x, y, bias, aux, add_to)
        if not plan.algorithm:
            if plan.copies == (None, None):
                return None
            x, y = (a if shape is None else self._cupy.ascontiguousarray(self._cupy.broadcast_to(a, shape))
                    for a, shape in zip((x, y), plan.copies))
            return self.matmul(x, y, tx, ty, epilogue, bias, aux, add_to, tf32)
        out = self._empty(plan.shape, plan.dtype) if add_to is None else add_to
        a, b, d = y.data.ptr, x.data.ptr, out.data.ptr
        pointers = 0 if bias is None else bias.data.ptr, 0 if aux is None else aux.data.ptr
        low = (a | b | d | pointers[0] | pointers[1]) & plan.mask
        if low:   # less aligned than the algorithm may expect
            key = *key, low & -low
            plan = self._plans.get(key) or self._plan(key, x, y, bias, aux, add_to)
            if not plan.algorithm:
                return None
        stream = self._stream(device).ptr
        workspace = self._workspaces.get((device, stream))
        if workspace is None:
            workspace = self.prepare(device, stream)
        with plan.lock:
            if pointers != plan.pointers:
                plan.point(pointers)
            status = self._launch(plan, a, b, d, plan.algorithm, workspace.data.ptr, stream)
        if status == lt.NOT_SUPPORTED:   # although it was proposed
            plan.algorithm = 0
            return None
        if status:
            raise RuntimeError(f"cublasLtMatmul: {self._library.text(status)}, for x {x.shape} (strides {x.strides}"
                               f"{', transposed' * tx}) times y {y.shape} (strides {y.strides}{', transposed' * ty}) in "
                               f"{x.dtype}, epilogue {epilogue}, by {self!r}")
        return out

    def _launch(self, plan: _Plan, a: int, b: int, d: int, algorithm: int, workspace: int, stream: int) -> int:
        status: int = self._matmul(plan.handle, plan.operation.pointer, plan.alpha, a, plan.a.pointer, b, plan.b.pointer,
                                   plan.beta, d, plan.d.pointer, d, plan.d.pointer, algorithm, workspace, WORKSPACE, stream)
        return status

    def prepare(self, device: int, stream: int) -> Any:
        """The memory that products on a stream work in, allocated now: call it before the stream is captured."""
        found = self._workspaces.get((device, stream))
        if found is None:
            with self._cupy.cuda.Device(device):
                found = self._workspaces[device, stream] = self._empty(WORKSPACE, "uint8")
        return found

    def release(self, device: int, stream: int) -> Any:
        """Forget a stream's memory and return it. A graph captured on the stream keeps it, so that nothing else works in it."""
        return self._workspaces.pop((device, stream), None)

    def auxiliary(self, epilogue: int, shape: tuple[int, ...], dtype: Any) -> Any:
        """Uninitialised room for what a forward epilogue (``*_AUX*``) keeps for the backward one, for a result of that shape: for
        ReLU one bit an element, for GELU its argument; rows are padded as the library wants them."""
        if epilogue & _MASKED:
            return self._empty((*shape[:-1], -(-shape[-1] // 128) * 16), "uint8")
        return self._empty((*shape[:-1], -(-shape[-1] // 8) * 8), dtype)

    # ---- a problem's description, made once --------------------------------------------------------------------------------

    def _plan(self, key: Any, x: Any, y: Any, bias: Any, aux: Any, add_to: Any) -> _Plan:
        """The plan for a key of :meth:`matmul`, kept for the next time."""
        plan = self._described(key[6:11], key[14] if len(key) > 14 else ALIGNED, x, y, bias, aux, add_to)
        with self._lock:
            if len(self._plans) >= PLANS:
                self._plans.clear()
            self._plans[key] = plan
        return plan

    def _described(self, how: tuple[bool, bool, int, bool, int], alignment: int, x: Any, y: Any, bias: Any, aux: Any,
                   add_to: Any) -> _Plan:
        tx, ty, epilogue, tf32, device = how
        n, k = x.shape[:-3:-1] if tx else x.shape[-2:]
        m = y.shape[-2 if ty else -1]
        batch = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
        plan = _Plan((*batch, n, m), x.dtype)
        sums = epilogue & (lt.BGRAD | lt.BGRADA | lt.BGRADB)   # writes a bias gradient
        if (x.dtype.name not in lt.TYPES or y.dtype != x.dtype or 0 in (*plan.shape, k)
                or (bias is not None and not _plain(bias, bias.shape, x.dtype))
                or (add_to is not None and not _plain(add_to, plan.shape, x.dtype))):
            return plan
        of_x, of_y = _Matrix(x, len(batch)), _Matrix(y, len(batch))
        left = batch if tx or aux is not None or epilogue == lt.BGRADB else of_x.fold(batch, of_y)
        step_x, step_y = of_x.step(left), of_y.step(left)
        plan.copies = of_x.copied(x.shape, batch, step_x), of_y.copied(y.shape, batch, step_y)
        count, n = math.prod(left), n * math.prod(batch) // math.prod(left)
        if step_x is None or step_y is None or plan.copies != (None, None) or (sums and count > 1):
            return plan
        make, kind, double = self._library.make, lt.TYPES[x.dtype.name], x.dtype.name == "float64"
        fast = lt.COMPUTE_32F_FAST_TF32 if tf32 and x.dtype.name == "float32" else lt.COMPUTE_32F
        plan.operation = make("MatmulDesc", lt.COMPUTE_64F if double else fast, lt.TYPES["float64" if double else "float32"])
        plan.operation.set(lt.TRANSA, ctypes.c_int32(of_y.by_rows == ty))
        plan.operation.set(lt.TRANSB, ctypes.c_int32(of_x.by_rows == tx))
        plan.operation.set(lt.EPILOGUE, ctypes.c_uint32(epilogue))
        plan.a, plan.b = make("MatrixLayout", kind, *of_y.layout()), make("MatrixLayout", kind, *of_x.layout())
        plan.d = make("MatrixLayout", kind, m, n, m)
        if count > 1:
            for layout, step in ((plan.a, step_y), (plan.b, step_x), (plan.d, n * m)):
                layout.set(lt.BATCH_COUNT, ctypes.c_int32(count))
                layout.set(lt.BATCH_STRIDE, ctypes.c_int64(step))
        if aux is not None:
            ld = aux.shape[-1] * (8 if epilogue & _MASKED else 1)
            plan.operation.set(lt.AUX_LD, ctypes.c_int64(ld))
            plan.operation.set(lt.AUX_BATCH_STRIDE, ctypes.c_int64(ld * n if count > 1 else 0))
        number = ctypes.c_double if double else ctypes.c_float
        alpha, beta = number(1), number(add_to is not None)
        plan.alpha, plan.beta = ctypes.addressof(alpha), ctypes.addressof(beta)
        plan.handle, plan.mask = self._handle(device), alignment - 1
        plan.point((0 if bias is None else bias.data.ptr, 0 if aux is None else aux.data.ptr))
        found = self._proposed(plan, alignment, epilogue)
        if found:
            best = found[0] if len(found) == 1 else self._fastest(plan, found, x, y)
            plan.algorithm, plan.kept = ctypes.addressof(best), (alpha, beta, best)
        return plan

    def _handle(self, device: int) -> int:
        found = self._handles.get(device)
        if found is None:
            place = ctypes.c_void_p()
            with self._cupy.cuda.Device(device):
                self._library.call("Create", ctypes.byref(place))
            found = self._handles[device] = place.value or 0
        return found

    def _proposed(self, plan: _Plan, alignment: int, epilogue: int) -> list[lt.Heuristic]:
        """Algorithms for the problem, the one that should be the fastest first; none where the library does not do it."""
        preference = self._library.make("MatmulPreference")
        preference.set(lt.MAX_WORKSPACE, ctypes.c_uint64(WORKSPACE))
        if plan.dtype.itemsize == 2:   # else parts of a long sum may be rounded to 16 bits before they are added
            preference.set(lt.REDUCTION_SCHEMES, ctypes.c_uint32(lt.REDUCE_IN_COMPUTE_TYPE))
        for attribute in lt.ALIGNMENTS:
            preference.set(attribute, ctypes.c_uint32(alignment))
        results, count = (lt.Heuristic * self.tries)(), ctypes.c_int()
        status = self._library.heuristic(plan.handle, plan.operation.pointer, plan.a.pointer, plan.b.pointer, plan.d.pointer,
                                         plan.d.pointer, preference.pointer, self.tries, results, ctypes.byref(count))
        # with an epilogue, what is not supported may also be called invalid
        if status not in (0, lt.NOT_SUPPORTED) and (status != lt.INVALID_VALUE or epilogue == lt.DEFAULT):
            raise RuntimeError(f"cublasLtMatmulAlgoGetHeuristic: {self._library.text(status)}, for a product of shape "
                               f"{plan.shape} in {plan.dtype}, by {self!r}")
        return [] if status else [r for r in results[:count.value] if r.state == 0]

    def _fastest(self, plan: _Plan, found: list[lt.Heuristic], x: Any, y: Any) -> lt.Heuristic:
        """The algorithm that takes the least time of five runs on these operands; their result is thrown away."""
        stream = self._stream(x.data.device_id)
        if stream.is_capturing():
            return found[0]
        event, workspace = self._cupy.cuda.Event, self.prepare(x.data.device_id, stream.ptr)
        out = self._empty(plan.shape, plan.dtype)
        times: dict[int, float] = {}
        for i, result in enumerate(found):
            for run in range(6):
                start, end = event(), event()
                start.record(stream)
                status = self._launch(plan, y.data.ptr, x.data.ptr, out.data.ptr, ctypes.addressof(result), workspace.data.ptr,
                                      stream.ptr)
                end.record(stream)
                end.synchronize()
                if status == 0 and run:   # the first loads the kernel
                    times[i] = min(times.get(i, math.inf), self._cupy.cuda.get_elapsed_time(start, end))
        return found[min(times, key=times.__getitem__, default=0)]


def _plain(array: Any, shape: tuple[int, ...], dtype: Any) -> bool:
    return bool(array.dtype == dtype and array.shape == shape and array.flags.c_contiguous)


class _Matrix:
    """How a batch of matrices lies in memory, in elements. ``by_rows``: row-major; ``ld``: from one row (or column) to the next,
    None if neither rows nor columns are contiguous, so that the matrices must be copied."""

    def __init__(self, array: Any, batch_axes: int) -> None:
        *lengths, self.rows, self.columns = array.shape
        *steps, down, right = (0 if n == 1 else s // array.dtype.itemsize for n, s in zip(array.shape, array.strides))
        self.steps = [0] * (batch_axes - len(lengths)) + steps
        self.ld: int | None = None
        self.by_rows = (self.columns == 1 or right == 1) and (self.rows == 1 or down >= self.columns)
        if self.by_rows:
            self.ld = down or self.columns
        elif (self.rows == 1 or down == 1) and (self.columns == 1 or right >= self.rows):
            self.ld = right or self.rows

    def layout(self) -> tuple[int, int, int | None]:
        """Rows, columns and leading dimension, column-major."""
        return (self.columns, self.rows, self.ld) if self.by_rows else (self.rows, self.columns, self.ld)

    def fold(self, batch: tuple[int, ...], other: _Matrix) -> tuple[int, ...]:
        """Take the last batch axes in as rows while ``other`` is the same along them and the rows stay evenly spaced: one large
        product instead of a batch of small ones. Returns the batch that is left."""
        left = list(batch)
        for i in reversed(range(len(batch))):
            if batch[i] == 1:
                continue
            if not self.by_rows or other.steps[i]:
                break
            if self.rows == 1 and self.steps[i] >= self.columns:
                self.ld = self.steps[i]
            elif self.steps[i] != self.rows * (self.ld or 0):
                break
            self.rows, left[i] = self.rows * batch[i], 1
        return tuple(left)

    def step(self, batch: tuple[int, ...]) -> int | None:
        """From one matrix of the batch to the next; None if there is no one such number, or it is negative."""
        found = span = None
        for length, step in zip(reversed(batch), reversed(self.steps)):
            if length == 1:
                continue
            if step < 0 or step != (step if found is None else span):
                return None
            found, span = step if found is None else found, step * length
        return found or 0

    def copied(self, shape: tuple[int, ...], batch: tuple[int, ...], step: int | None) -> tuple[int, ...] | None:
        """The shape of the copy that must be made, None if the matrices can stay where they are."""
        return (*batch, *shape[-2:]) if step is None else shape if self.ld is None else None
