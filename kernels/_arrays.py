"""Lets one compiled call work on a whole list of NumPy arrays, new ones each time, without a Python loop over them.

An optimizer's step on a small model is all overhead: for six arrays, asking NumPy for their addresses takes 5.5 us, copying
them into a flat buffer 1.3 us, handing them to Numba as a tuple 0.5 us and a recompilation for every new number of arrays.
Here the compiled code gets the address of the list and reads the objects itself: 0.15 us. The layouts it relies on
(``PyListObject``, ``PyArrayObject_fields``) are those that CPython's and NumPy's public headers compile into every
extension module; every object's type is checked before its memory is read, and :data:`READABLE` is the result of a trial
at import. Where that fails (another interpreter, a free-threaded build), the caller uses its reference instead.
"""
from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import carray, int64, types

from ._math import intrinsic, jit
from ._parallel import run
from ._plans import ReferencePlan

__all__ = ["GRAIN", "READABLE", "REBUILD", "ListPlan", "resolve", "view"]

# Columns of the table: what resolve finds in the parameter's and the gradient's object, then the states' addresses.
# One more row at the end holds what may not be a compiled-in constant, as compiled code is kept between processes.
STATUS, OBJECT, DATA, SIZE, WIDTH, GRAD, STATE = range(7)
COLUMNS = STATE + 3
SKIPPED, DONE, REFERENCE = 0, 1, 2  # values of STATUS: no gradient; for the compiled code; for the reference
NDARRAY, NONE, DESCR32, DESCR64 = range(4)  # columns of the last row
GRAIN = 500_000  # elements worth a thread: 100 us of work
REBUILD = -1  # a parameter's array is not the one the table was built for

_HEAD = object.__basicsize__  # 16: reference count and type
_ITEMS = _HEAD + 8  # PyListObject: ob_size, ob_item
_NDIM, _DIMS, _DESCR, _FLAGS = _HEAD + 8, _HEAD + 16, _HEAD + 40, _HEAD + 48  # PyArrayObject_fields, after data
_READ, _WRITE = 0x101, 0x501  # flags C_CONTIGUOUS and ALIGNED; these and WRITEABLE


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


@intrinsic
def _pointer(typingctx: Any, address: Any, index: Any, zero: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.gep(builder.inttoptr(args[0], context.get_value_type(signature.return_type)), [args[1]])

    return types.CPointer(zero)(int64, int64, zero), codegen


@jit
def view(address: Any, low: Any, high: Any, zero: Any) -> Any:
    """Elements [low, high) of the array at an address, whose elements are of the type of ``zero``."""
    return carray(_pointer(address, low, zero), high - low)


@jit
def _look(items: Any, found: Any) -> None:
    array = _word(_word(items + _ITEMS))
    dims = _word(array + _DIMS)
    found[0], found[1], found[2], found[3] = array, _word(array + _HEAD - 8), _word(array + _HEAD), _int(array + _NDIM)
    found[4], found[5], found[6] = _word(dims), _word(dims + 8), _word(array + _DESCR)


@jit
def _same_shape(a: Any, b: Any) -> Any:
    n = _int(a + _NDIM)
    if n != _int(b + _NDIM):
        return False
    x, y = _word(a + _DIMS), _word(b + _DIMS)
    same = True
    for k in range(n):
        same = same and _word(x + 8 * k) == _word(y + 8 * k)
    return same


@jit
def resolve(params: Any, grads: Any, table: Any, steps: Any) -> Any:
    """Fill in the table for two lists at these addresses, and count the steps if nothing is left to the reference.

    Returns (elements to update, arrays left to the reference) or (REBUILD, 0). Holds the GIL, so that the lists stay as they are.
    """
    n = len(table) - 1
    params, grads = _word(params + _ITEMS), _word(grads + _ITEMS)
    for i in range(n):
        p = _word(params + 8 * i)
        if p != table[i, OBJECT]:
            return REBUILD, 0
        if table[i, WIDTH] and (_word(p + _HEAD) != table[i, DATA] or _int(p + _FLAGS) & _WRITE != _WRITE):
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
            and _int(g + _FLAGS) & _READ == _READ
            and _same_shape(p, g)
        ):
            table[i, STATUS], table[i, GRAD] = DONE, _word(g + _HEAD)
            total += table[i, SIZE]
        else:
            table[i, STATUS] = REFERENCE
            slow += 1
    if slow == 0:
        for i in range(n):
            steps[i] += table[i, STATUS] == DONE
    return total, slow


def _plain(array: Any, like: Any = None) -> bool:
    """Whether the compiled code may write to this array: an exact, writeable, contiguous float32 or float64 ndarray."""
    return (
        type(array) is np.ndarray
        and array.dtype in (np.float32, np.float64)
        and array.flags.carray
        and (like is None or (array.dtype == like.dtype and array.shape == like.shape))
    )


class ListPlan(ReferencePlan):
    """A plan whose arrays are updated by compiled code; what the table cannot hold goes through the reference's ``update``.

    A subclass names the reference's plan as its second base.
    """

    # step(params, grads, table, steps, *options): resolve; if there is little to do and nothing for the reference, update. Its
    # result is REBUILD, or twice the elements still to update, plus one if arrays are left to the reference.
    step: ClassVar[Callable[..., int]]
    # rows(low, high, table, steps, *options): update these elements, counted over all arrays whose status is DONE.
    rows: ClassVar[Callable[..., None]]

    def __init__(self, states: tuple[Sequence[Any] | None, ...], steps: Any, masters: Sequence[Any] | None = None) -> None:
        super().__init__(np, states, steps, masters)
        if not (type(steps) is np.ndarray and steps.dtype == np.int64 and steps.ndim == 1 and steps.flags.carray):
            raise TypeError("steps: expected a contiguous int64 NumPy array, which the plan counts up in place")
        self._params: list[Any] = []
        self._table = np.zeros((self.n + 1, COLUMNS), np.int64)  # fits no parameters: the first call builds it

    def _build(self, params: list[Any]) -> None:
        table = np.zeros_like(self._table)
        for i, p in enumerate(params):
            states = [None if kind is None else kind[i] for kind in self.states]
            table[i, OBJECT] = id(p)
            if _plain(p) and all(s is None or _plain(s, p) for s in states):
                table[i, [DATA, SIZE, WIDTH]] = p.ctypes.data, p.size, p.itemsize
                table[i, STATE : STATE + len(states)] = [0 if s is None else s.ctypes.data for s in states]
        table[-1, : DESCR64 + 1] = id(np.ndarray), id(None), id(np.dtype(np.float32)), id(np.dtype(np.float64))
        self._table, self._params = table, params  # holding the arrays keeps their addresses theirs

    def apply(self, params: Sequence[Any], grads: Sequence[Any], options: tuple[Any, ...]) -> None:
        if not READABLE:
            super().apply(params, grads, options)
            return
        params, grads = [*params], [*grads]  # ours: no other thread can take an array out while its address is in use
        if not len(params) == len(grads) == self.n:
            self.check(params, grads)
        rest = self.step(id(params), id(grads), self._table, self.steps, *options)
        if rest == REBUILD:
            self._build(params)
            rest = self.step(id(params), id(grads), self._table, self.steps, *options)
        if rest == 0:
            return
        if rest % 2:
            self.check(params, grads)
            self.steps += self._table[:-1, STATUS] == DONE
        run(self.rows, rest // 2, GRAIN, self._table, self.steps, *options)
        if rest % 2:
            for i in np.flatnonzero(self._table[:-1, STATUS] == REFERENCE):
                self.update(int(i), params[i], grads[i], *options)


def _trial() -> bool:
    """Whether the layouts above are this interpreter's: read a small array, and compare with what NumPy says of it."""
    if sys.implementation.name != "cpython" or _HEAD != 16 or not getattr(sys, "_is_gil_enabled", lambda: True)():
        return False
    array = np.zeros((3, 5), np.float32)
    found = np.zeros(7, np.int64)
    items = [array]
    _look(id(items), found)
    dims = array.ctypes.shape
    return found.tolist() == [id(array), id(np.ndarray), array.ctypes.data, 2, dims[0], dims[1], id(array.dtype)]


READABLE = _trial()
