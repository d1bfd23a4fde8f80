"""Lets one compiled call work on a whole list of NumPy arrays, new ones each time, without a Python loop over them.

An optimizer's step on a small model is all overhead: for six arrays, asking NumPy for their addresses takes 5.5 us, copying
them into a flat buffer 1.3 us, handing them to Numba as a tuple 0.5 us and a recompilation for every new number of arrays.
Here the compiled code gets the address of the list and reads the objects itself: 0.15 us. The layouts it relies on
(``PyListObject``, ``PyArrayObject_fields``) are those that CPython's and NumPy's public headers compile into every
extension module; every object's type is checked before its memory is read, and :data:`READABLE` is the result of a trial
at import. Where that fails (another interpreter, a free-threaded build), the caller uses its reference instead.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
from llvmlite import ir
from numba import carray, float32, float64, int64, njit, types
from numba.extending import intrinsic

from ._math import JIT
from ._parallel import run

__all__ = ["READABLE", "REBUILD", "Lists", "resolve", "view32", "view64"]

# Columns of the table: what resolve finds in the parameter's and the gradient's object, then the states' addresses.
# One more row at the end holds what may not be a compiled-in constant, as compiled code is kept between processes.
STATUS, OBJECT, DATA, SIZE, WIDTH, GRAD, STATE = range(7)
COLUMNS = STATE + 3
SKIPPED, DONE, REFERENCE = 0, 1, 2  # values of STATUS: no gradient; for the compiled code; for the reference
NDARRAY, NONE, DESCR32, DESCR64 = range(4)  # columns of the last row
REBUILD = -1  # a parameter's array is not the one the table was built for

_HEAD = object.__basicsize__  # 16: reference count and type
_ITEMS = _HEAD + 8  # PyListObject: ob_size, ob_item
_NDIM, _DIMS, _DESCR, _FLAGS = _HEAD + 8, _HEAD + 16, _HEAD + 40, _HEAD + 48  # PyArrayObject_fields, after data
_C_CONTIGUOUS, _ALIGNED, _WRITEABLE = 0x1, 0x100, 0x400


def _loader(width: int) -> Any:
    @intrinsic
    def load(typingctx: Any, address: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind = ir.IntType(width)
            value = builder.load(builder.inttoptr(args[0], kind.as_pointer()))
            return builder.sext(value, ir.IntType(64)) if width < 64 else value

        return int64(int64), codegen

    return load


_word, _int = _loader(64), _loader(32)


def _pointer_to(kind: Any) -> Any:
    @intrinsic
    def pointer(typingctx: Any, address: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

        return types.CPointer(kind)(int64), codegen

    return pointer


_pointer32, _pointer64 = _pointer_to(float32), _pointer_to(float64)


@njit(**JIT)
def view32(address: Any, low: Any, high: Any) -> Any:
    """Elements [low, high) of the float32 array at an address."""
    return carray(_pointer32(address + 4 * low), high - low)


@njit(**JIT)
def view64(address: Any, low: Any, high: Any) -> Any:
    """Elements [low, high) of the float64 array at an address."""
    return carray(_pointer64(address + 8 * low), high - low)


@njit(**JIT)
def _same_shape(a: Any, b: Any) -> Any:
    n = _int(a + _NDIM)
    if n != _int(b + _NDIM):
        return False
    x, y = _word(a + _DIMS), _word(b + _DIMS)
    for k in range(n):
        if _word(x + 8 * k) != _word(y + 8 * k):
            return False
    return True


@njit(**JIT)
def resolve(params: Any, grads: Any, table: Any, steps: Any) -> Any:
    """Fill in the table for two lists at these addresses and count the step of every array that the compiled code will do.

    Returns (elements to update, arrays left to the reference), or (REBUILD, 0) with no step counted. Holds the GIL.
    """
    n = len(table) - 1
    params, grads = _word(params + _ITEMS), _word(grads + _ITEMS)
    for i in range(n):
        p = _word(params + 8 * i)
        if p != table[i, OBJECT] or _word(p + _HEAD) != table[i, DATA]:
            return REBUILD, 0
    total, slow = 0, 0
    for i in range(n):
        p, g, width = table[i, OBJECT], _word(grads + 8 * i), table[i, WIDTH]
        if g == table[n, NONE]:
            table[i, STATUS] = SKIPPED
        elif (
            width
            and _word(g + _HEAD - 8) == table[n, NDARRAY]
            and _word(g + _DESCR) == table[n, DESCR32 if width == 4 else DESCR64]
            and _int(g + _FLAGS) & (_C_CONTIGUOUS | _ALIGNED) == (_C_CONTIGUOUS | _ALIGNED)
            and _same_shape(p, g)
        ):
            table[i, STATUS], table[i, GRAD] = DONE, _word(g + _HEAD)
            total += table[i, SIZE]
            steps[i] += 1
        else:
            table[i, STATUS] = REFERENCE
            slow += 1
    return total, slow


def _plain(array: Any, like: Any = None) -> bool:
    """Whether the compiled code may write to this array: an exact, writeable, contiguous float32 or float64 ndarray."""
    return (
        type(array) is np.ndarray
        and array.dtype in (np.float32, np.float64)
        and array.flags.carray
        and (like is None or (array.dtype == like.dtype and array.shape == like.shape))
    )


class Lists:
    """The CPU half of a plan: the table for its lists, and the reference for the arrays that the table cannot hold.

    ``reference`` is the reference's plan (``n``, ``states``, ``steps``, ``update(i, p, g, *options)``).
    """

    # step(params, grads, table, steps, *options) resolves and, if there is little to do, updates; see :func:`finish`.
    step: ClassVar[Callable[..., int]]
    # update(low, high, table, steps, *options) updates those elements, counted over all arrays with status DONE.
    update: ClassVar[Callable[..., None]]
    grain: ClassVar[int]

    def __init__(self, reference: Any) -> None:
        self.reference = reference
        self._params: list[Any] = []
        self._steps = reference.steps
        self._table = np.zeros((reference.n + 1, COLUMNS), np.int64)  # fits no parameters: the first call builds it
        if not _plain_steps(self._steps):
            raise TypeError("steps: expected a contiguous int64 NumPy array, which the plan counts up in place")

    def _build(self, params: list[Any]) -> None:
        table = np.zeros_like(self._table)
        for i, p in enumerate(params):
            states = [None if s is None else s[i] for s in self.reference.states]
            table[i, OBJECT] = id(p)
            if type(p) is np.ndarray:
                table[i, DATA] = p.ctypes.data
            if READABLE and _plain(p) and all(s is None or _plain(s, p) for s in states):
                table[i, SIZE], table[i, WIDTH] = p.size, p.itemsize
                table[i, STATE : STATE + len(states)] = [0 if s is None else s.ctypes.data for s in states]
        table[-1, : DESCR64 + 1] = id(np.ndarray), id(None), id(np.dtype(np.float32)), id(np.dtype(np.float64))
        self._table, self._params = table, params  # holding the arrays keeps their addresses theirs

    def apply(self, params: Sequence[Any], grads: Sequence[Any], options: tuple[Any, ...]) -> None:
        params, grads = [*params], [*grads]  # ours: no other thread can take an array out while its address is in use
        if not len(params) == len(grads) == self.reference.n:
            self.reference(params, grads)
        rest = self.step(id(params), id(grads), self._table, self._steps, *options)
        if rest == REBUILD:
            self._build(params)
            rest = self.step(id(params), id(grads), self._table, self._steps, *options)
        if rest >= 2:
            run(self.update, rest // 2, self.grain, self._table, self._steps, *options)
        if rest % 2:
            for i in np.flatnonzero(self._table[:-1, STATUS] == REFERENCE):
                self.reference.update(int(i), params[i], grads[i], *options)
