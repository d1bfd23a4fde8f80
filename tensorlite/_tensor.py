"""The Tensor: an array with a place on the tape. Its methods are the operations of ``tensorlite.ops``, bound."""
from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np

from tensorlite import _dtypes, autograd, backends
from tensorlite._shown import Size, show, unpickle
from tensorlite._state import is_grad_enabled
from tensorlite.engine import inplace
from tensorlite.engine.value import Value, everyday, extra_of, provide, raw, wrap
from tensorlite.errors import DTypeError, GradError, ShapeError
from tensorlite.ops import (
    activation,
    binary,
    comparison,
    contraction,
    creation,
    cumulative,
    elementwise,
    functions,
    indexing,
    manipulation,
    rearrange,
    reduction,
    searching,
    sets,
    softmax,
    statistics,
)
from tensorlite.ops import complex as complex_ops
from tensorlite.ops import inplace as inplace_methods


@everyday
class Tensor(Value):
    """A multi-dimensional array whose operations can be differentiated. Make one with :func:`tensorlite.tensor`.

    >>> import tensorlite as tl
    >>> x = tl.tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4., 6.])
    """

    __slots__ = ()
    __hash__ = object.__hash__
    __array_priority__ = 1000

    # ---- what it is --------------------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return tuple(self.value.shape)

    @property
    def dtype(self) -> Any:
        """The element type."""
        return self.value.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return int(self.value.ndim)

    @property
    def device(self) -> str:
        """Where the array lives: ``"cpu"``, ``"cuda:0"``, ..."""
        array = raw(self)
        return backends.backend_of(array).device_of(array)

    @property
    def is_leaf(self) -> bool:
        """Whether it was made by the user and not by a recorded operation."""
        return self.node is None

    @property
    def grad_fn(self) -> Any:
        """The node of the operation that made it, or None."""
        return self.node

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to it."""
        return bool(self.tracked)

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        self.requires_grad_(wanted)

    @property
    def data(self) -> Tensor:
        """The same memory without the tape, as ``detach()``; assigning replaces the array and leaves the tape alone."""
        return self.detach()

    @data.setter
    def data(self, other: Any) -> None:
        array = other.value if isinstance(other, Tensor) else creation.asarray(other).value
        if tuple(array.shape) != self.shape:
            raise ShapeError(f"data: a tensor of shape {self.shape} cannot take data of shape {tuple(array.shape)}")
        self.value = array

    def __len__(self) -> int:
        if not self.ndim:
            raise DTypeError("len() of a 0-dimensional tensor")
        return self.shape[0]

    @property
    def size(self) -> Size:
        """The number of elements (the standard's property); called, PyTorch's method:
        ``size()`` is the shape, ``size(0)`` a length."""
        return Size(self.shape)

    def dim(self) -> int:
        """The number of axes."""
        return self.ndim

    def numel(self) -> int:
        """The number of elements."""
        return prod(self.shape)

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return int(np.dtype(self.dtype).itemsize)

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.numel() * self.itemsize

    def element_size(self) -> int:
        """Bytes of one element."""
        return self.itemsize

    def is_floating_point(self) -> bool:
        """Whether the dtype is a floating one."""
        return _dtypes.kind(self.dtype) == "f"

    # ---- gradients ---------------------------------------------------------------------------------------------------

    def backward(self, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False, *,
                 inputs: Any = None) -> None:
        """Add d self / d leaf, times ``gradient``, to the ``.grad`` of every leaf (or of ``inputs`` only).

        ``gradient`` has self's shape and may be left out for a scalar, where it is 1. The saved values are freed on the way
        unless ``retain_graph``; with ``create_graph`` the gradients can be differentiated again.

        Errors: ``GradError`` if self is no scalar and no gradient was given, or nothing requires a gradient; ``ShapeError`` if
        the gradient's shape differs; ``GraphFreedError`` for a second backward; ``InplaceError`` if a saved value was changed.

        >>> import tensorlite as tl
        >>> x = tl.tensor([1.0, 2.0, 3.0], requires_grad=True)
        >>> (x * x).backward(tl.ones(3)); x.grad
        tensor([2., 4., 6.])
        """
        autograd.backward(self, None if gradient is None else [gradient], retain_graph, create_graph, inputs=inputs)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Start (or stop) recording what is done with this leaf."""
        if requires_grad == self.tracked:
            return self
        if self.node is not None:
            raise GradError("requires_grad can only be switched off on leaves; this tensor is the result of an operation: "
                            "use detach()")
        if requires_grad and not _dtypes.is_differentiable(self.dtype):
            raise DTypeError(f"only floating and complex tensors can require a gradient, and this one has dtype {self.dtype}; "
                             "make it floating first, for example with .to(tensorlite.float32)")
        self.tracked = bool(requires_grad)
        return self

    def detach(self) -> Tensor:
        """The same memory, cut off the tape."""
        return wrap(self.value.detach() if isinstance(self.value, Tensor) else self.value, self.level)

    def detach_(self) -> Tensor:
        """Cut this tensor off the tape."""
        self.node, self.tracked = None, False
        return self

    def retain_grad(self) -> None:
        """Keep ``.grad`` of this result of an operation too; leaves keep theirs anyway."""
        if not self.tracked:
            raise GradError("retain_grad: this tensor does not require a gradient; there will be none to keep")
        if self.node is not None:
            import weakref
            me = weakref.ref(self)

            def keep(g: Tensor) -> None:
                tensor = me()
                if tensor is not None:
                    tensor.grad = g.detach() if tensor.grad is None else tensor.grad + g.detach()
            extra_of(self).handle = self.register_hook(keep)

    @property
    def retains_grad(self) -> bool:
        """Whether ``retain_grad`` was called on this result of an operation."""
        return self.extra is not None and self.extra.handle is not None

    def register_hook(self, hook: Any) -> autograd.RemovableHandle:
        """Call ``hook(grad)`` when the gradient of this tensor is known; what it returns, if not None, takes its place."""
        if not self.tracked:
            raise GradError("register_hook: this tensor does not require a gradient, so no gradient will come by")
        if self.node is None:
            extra = extra_of(self)
            if extra.hooks is None:
                extra.hooks = {}
            return autograd.RemovableHandle(extra.hooks, hook)
        if self.node.hooks is None:
            self.node.hooks = {}
        return autograd.RemovableHandle(self.node.hooks, hook)

    # ---- out of here: numbers, NumPy, other libraries, other devices --------------------------------------------------

    def item(self) -> Any:
        """The only element as a Python number; ``ShapeError`` if there are more."""
        if self.numel() != 1:
            raise ShapeError(f"item: a tensor of shape {self.shape} has {self.numel()} elements; expected one (use tolist())")
        return self._host().item()

    def tolist(self) -> Any:
        """Nested lists of Python numbers."""
        return self._host().tolist()

    def _host(self) -> Any:
        array = raw(self)
        return backends.backend_of(array).to_numpy(array)

    def numpy(self, *, force: bool = False) -> Any:
        """The values as a NumPy array that shares memory with a CPU tensor; ``force`` detaches and copies to the host as needed.

        If the array is changed after an operation saved this tensor for backward, backward raises ``InplaceError``.
        """
        if self.tracked and not force and is_grad_enabled():
            raise DTypeError("numpy: this tensor requires a gradient, which NumPy would lose; use .detach().numpy()")
        array = raw(self)
        host = backends.backend_of(array).to_numpy(array)
        if host is array:
            saved = inplace.held(array, 3)   # array, host, and this tensor's value
            inplace.share(array, digest=saved)
        return host

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        if self.tracked:
            raise DTypeError("np.asarray of a tensor that requires a gradient would lose it; use .detach() first")
        host = self.numpy() if copy is not True else self._host().copy()
        return host if dtype is None or host.dtype == dtype else host.astype(dtype)

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        if self.numel() != 1:
            raise ShapeError(f"the truth of a tensor of shape {self.shape} is ambiguous; use .any() or .all()")
        return bool(self.item())

    def __complex__(self) -> complex:
        return complex(self.item())

    def __index__(self) -> int:
        if _dtypes.kind(self.dtype) not in "iu" or self.numel() != 1:
            raise DTypeError(f"only a single integer can be an index; this tensor has dtype {self.dtype} and shape {self.shape}")
        return int(self.item())

    def __dlpack__(self, **options: Any) -> Any:
        if self.tracked:
            raise DTypeError("__dlpack__: a tensor that requires a gradient cannot be exported; use .detach() first")
        array = raw(self)
        if not getattr(getattr(array, "flags", None), "writeable", True):   # an expanded view: who gets it would not know
            return backends.backend_of(array).asarray(array, copy=True).__dlpack__(**options)
        saved = inplace.held(array, 2)   # array, and this tensor's value
        inplace.share(array, digest=saved)
        return array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return raw(self).__dlpack_device__()

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        if api_version is not None and api_version not in ("2021.12", "2022.12", "2023.12", "2024.12"):
            raise ShapeError(f"the array API version {api_version} is not known; there is 2024.12")
        import tensorlite
        return tensorlite

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        from tensorlite import _interop
        return _interop.ufunc(ufunc, method, inputs, options)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        from tensorlite import _interop
        return _interop.function(function, args, kwargs)

    def to(self, *target: Any, device: Any = None, dtype: Any = None, copy: bool = False, non_blocking: bool = False) -> Tensor:
        """The tensor on another device or of another dtype: ``to("cuda")``, ``to(tl.float64)``, ``to(other)``;
        itself if nothing changes."""
        for t in target:
            if isinstance(t, Tensor):
                device, dtype = t.device, t.dtype
            elif isinstance(t, str) and not _dtypes.is_name(t):
                device = t
            elif t is not None:
                dtype = t
        out = self
        if dtype is not None and _dtypes.as_dtype(dtype) != self.dtype:
            out = elementwise.cast(out, _dtypes.as_dtype(dtype))
        if device is not None and backends.named(device) != self.device:
            out = elementwise.move_p(out, device=str(device), non_blocking=non_blocking)
        return out.clone() if copy and out is self else out

    def to_device(self, device: Any, /, *, stream: Any = None) -> Tensor:
        """The array API standard's name for ``to(device)``."""
        if stream is not None:
            raise DTypeError(f"to_device: stream = {stream!r}; expected None, there are no streams")
        return self.to(device=device)

    cpu, cuda, pin_memory, is_pinned = creation.cpu, creation.cuda, creation.pin_memory, creation.is_pinned
    new_tensor, new_zeros, new_ones = creation.new_tensor, creation.new_zeros, creation.new_ones

    # ---- showing, copying, pickling ----------------------------------------------------------------------------------

    def __repr__(self) -> str:
        if self.level:
            return f"tensor(<level {self.level}>, value={self.value!r})"
        return show(self)

    def __format__(self, spec: str) -> str:
        if not self.ndim and spec:
            return format(self.item(), spec)
        return format(repr(self), spec) if spec else repr(self)

    def __copy__(self) -> Tensor:
        out = wrap(self.value, self.level)
        out.tracked, out.node, out.grad = self.tracked, self.node, self.grad
        return out

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if self.node is not None:
            raise GradError("deepcopy: only leaves can be deep-copied; this tensor is the result of an operation: "
                            "use .detach() or .clone()")
        from copy import deepcopy
        out = type(self).__new__(type(self))
        memo[id(self)] = out
        backend = backends.backend_of(self.value)
        out.value = backend.asarray(self.value, copy=True)
        out.tracked, out.node, out.extra, out.grad = self.tracked, None, None, deepcopy(self.grad, memo)
        return out

    def __reduce__(self) -> Any:
        if self.node is not None:
            raise GradError("pickle: only leaves can be pickled; this tensor is the result of an operation: use .detach()")
        return unpickle, (type(self), self._host(), self.device, self.tracked)

    # ---- arithmetic --------------------------------------------------------------------------------------------------

    def __add__(self, other: Any) -> Tensor:
        return elementwise.add_p(self, other)

    def __radd__(self, other: Any) -> Tensor:
        return elementwise.add_p(other, self)

    def __sub__(self, other: Any) -> Tensor:
        return elementwise.sub_p(self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return elementwise.sub_p(other, self)

    def __mul__(self, other: Any) -> Tensor:
        return elementwise.mul_p(self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return elementwise.mul_p(other, self)

    def __neg__(self) -> Tensor:
        return elementwise.neg_p(self)

    # ---- elementwise (ops/elementwise.py, ops/functions.py, ops/comparison.py, ops/activation.py) ---------------------

    def __truediv__(self, other: Any) -> Tensor:
        return elementwise.div_p(self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return elementwise.div_p(other, self)

    def __floordiv__(self, other: Any) -> Tensor:
        return elementwise.floor_divide_p(self, other)

    def __rfloordiv__(self, other: Any) -> Tensor:
        return elementwise.floor_divide_p(other, self)

    def __mod__(self, other: Any) -> Tensor:
        return elementwise.remainder_p(self, other)

    def __rmod__(self, other: Any) -> Tensor:
        return elementwise.remainder_p(other, self)

    def __pow__(self, other: Any) -> Tensor:
        return binary.power(self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return binary.power(other, self)

    def __and__(self, other: Any) -> Tensor:
        return comparison.bit_and_p(self, other)

    def __rand__(self, other: Any) -> Tensor:
        return comparison.bit_and_p(other, self)

    def __or__(self, other: Any) -> Tensor:
        return comparison.bit_or_p(self, other)

    def __ror__(self, other: Any) -> Tensor:
        return comparison.bit_or_p(other, self)

    def __xor__(self, other: Any) -> Tensor:
        return comparison.bit_xor_p(self, other)

    def __rxor__(self, other: Any) -> Tensor:
        return comparison.bit_xor_p(other, self)

    def __lshift__(self, other: Any) -> Tensor:
        return comparison.left_p(self, other)

    def __rlshift__(self, other: Any) -> Tensor:
        return comparison.left_p(other, self)

    def __rshift__(self, other: Any) -> Tensor:
        return comparison.right_p(self, other)

    def __rrshift__(self, other: Any) -> Tensor:
        return comparison.right_p(other, self)

    def __lt__(self, other: Any) -> Tensor:
        return comparison.lt_p(self, other)

    def __le__(self, other: Any) -> Tensor:
        return comparison.le_p(self, other)

    def __gt__(self, other: Any) -> Tensor:
        return comparison.gt_p(self, other)

    def __ge__(self, other: Any) -> Tensor:
        return comparison.ge_p(self, other)

    def __eq__(self, other: Any) -> Any:
        return NotImplemented if other is None or other.__class__ is str else comparison.eq_p(self, other)

    def __ne__(self, other: Any) -> Any:
        return NotImplemented if other is None or other.__class__ is str else comparison.ne_p(self, other)

    def __abs__(self) -> Tensor:
        return functions.abs_p(self)

    def __pos__(self) -> Tensor:
        return elementwise.positive_p(self)

    def __invert__(self) -> Tensor:
        return comparison.invert_p(self)

    add, subtract, sub, multiply = elementwise.add, elementwise.subtract, elementwise.sub, elementwise.multiply
    mul, negative, neg, divide = elementwise.mul, elementwise.negative, elementwise.neg, elementwise.divide
    div, true_divide, floor_divide = elementwise.div, elementwise.true_divide, elementwise.floor_divide
    remainder, fmod, maximum, minimum = elementwise.remainder, elementwise.fmod, elementwise.maximum, elementwise.minimum
    clip, clamp, clamp_min, clamp_max = elementwise.clip, elementwise.clamp, elementwise.clamp_min, elementwise.clamp_max
    power, pow, atan2, arctan2, hypot = binary.power, binary.pow, binary.atan2, binary.arctan2, binary.hypot
    logaddexp, logaddexp2, xlogy, copysign = binary.logaddexp, binary.logaddexp2, binary.xlogy, binary.copysign
    nextafter, lerp = binary.nextafter, binary.lerp
    equal, not_equal, less, less_equal = comparison.equal, comparison.not_equal, comparison.less, comparison.less_equal
    greater, greater_equal, eq, ne = comparison.greater, comparison.greater_equal, comparison.eq, comparison.ne
    lt, le, gt, ge, isclose = comparison.lt, comparison.le, comparison.gt, comparison.ge, comparison.isclose
    allclose, logical_and, logical_or = comparison.allclose, comparison.logical_and, comparison.logical_or
    logical_xor, logical_not, bitwise_and = comparison.logical_xor, comparison.logical_not, comparison.bitwise_and
    bitwise_or, bitwise_xor, bitwise_invert = comparison.bitwise_or, comparison.bitwise_xor, comparison.bitwise_invert
    bitwise_not, bitwise_left_shift = comparison.bitwise_not, comparison.bitwise_left_shift
    bitwise_right_shift, isfinite, isnan = comparison.bitwise_right_shift, comparison.isfinite, comparison.isnan
    isinf, signbit = comparison.isinf, comparison.signbit
    abs, absolute, sign, sgn, positive = functions.abs, functions.absolute, functions.sign, functions.sgn, functions.positive
    sqrt, rsqrt, square, reciprocal = functions.sqrt, functions.rsqrt, functions.square, functions.reciprocal
    exp, exp2, expm1, log, log1p = functions.exp, functions.exp2, functions.expm1, functions.log, functions.log1p
    log2, log10, sin, cos, tan = functions.log2, functions.log10, functions.sin, functions.cos, functions.tan
    asin, acos, atan, arcsin, arccos = functions.asin, functions.acos, functions.atan, functions.arcsin, functions.arccos
    arctan, sinh, cosh, tanh, asinh = functions.arctan, functions.sinh, functions.cosh, functions.tanh, functions.asinh
    acosh, atanh, arcsinh, arccosh = functions.acosh, functions.atanh, functions.arcsinh, functions.arccosh
    arctanh, floor, ceil, trunc, fix = functions.arctanh, functions.floor, functions.ceil, functions.trunc, functions.fix
    round, frac, sigmoid, logit, erf = functions.round, functions.frac, functions.sigmoid, functions.logit, functions.erf
    erfc, erfinv, conj, nan_to_num = functions.erfc, functions.erfinv, functions.conj, functions.nan_to_num
    angle, is_complex, isreal = complex_ops.angle, complex_ops.is_complex, complex_ops.isreal
    deg2rad, rad2deg = functions.deg2rad, functions.rad2deg
    relu, prelu = activation.relu, activation.prelu

    def where(self, condition: Any, other: Any) -> Tensor:
        """self where the condition holds, other elsewhere."""
        return elementwise.where(condition, self, other)

    @property
    def real(self) -> Tensor:
        """The real part."""
        return functions.real(self)

    @property
    def imag(self) -> Tensor:
        """The imaginary part."""
        return functions.imag(self)


    # ---- reductions, softmax, cumulative, searching, sorting, sets (ops/reduction.py, ops/searching.py) --------------

    sum, mean, max, min = reduction.sum, reduction.mean, reduction.max, reduction.min
    amax, amin = reduction.amax, reduction.amin
    all, any, count_nonzero = reduction.all, reduction.any, reduction.count_nonzero
    softmax, log_softmax, logsumexp = softmax.softmax, softmax.log_softmax, softmax.logsumexp
    prod, var, std, norm = statistics.prod, statistics.var, statistics.std, statistics.norm
    nansum, nanmean = statistics.nansum, statistics.nanmean
    cumsum, cumprod, diff = cumulative.cumsum, cumulative.cumprod, cumulative.diff
    argmax, argmin, nonzero, argwhere = searching.argmax, searching.argmin, searching.nonzero, searching.argwhere
    sort, argsort, topk, kthvalue = searching.sort, searching.argsort, searching.topk, searching.kthvalue
    take_along_dim, bincount, unique = searching.take_along_dim, searching.bincount, sets.unique

    # ---- manipulation and indexing (ops/manipulation.py, ops/indexing.py) --------------------------------------------

    __getitem__, __setitem__ = indexing.getitem, indexing.setitem

    def __iter__(self) -> Iterator[Tensor]:
        if not self.ndim:
            raise DTypeError("a 0-dimensional tensor cannot be iterated over")
        return iter(manipulation.unstack(self))

    @property
    def T(self) -> Tensor:
        """All axes reversed; for a matrix its transpose."""
        return manipulation.transpose(self)

    @property
    def mT(self) -> Tensor:
        """The last two axes exchanged."""
        return manipulation.matrix_transpose(self)

    mH, H = property(complex_ops.adjoint), property(complex_ops.hermitian)

    def repeat(self, *sizes: Any, repeats: Any = None) -> Tensor:
        """The tensor laid out again and again, as PyTorch's method: :func:`tensorlite.tile`.
        (The function ``repeat`` is the standard's.)"""
        return rearrange.tile(self, *sizes, dims=repeats)

    reshape, view, view_as, reshape_as = manipulation.reshape, manipulation.view, manipulation.view_as, manipulation.reshape_as
    flatten, unflatten, ravel = manipulation.flatten, manipulation.unflatten, manipulation.ravel
    permute, permute_dims, transpose, t = manipulation.permute, manipulation.permute_dims, manipulation.transpose, manipulation.t
    swapaxes, swapdims = manipulation.swapaxes, manipulation.swapdims
    moveaxis, movedim = manipulation.moveaxis, manipulation.movedim
    matrix_transpose, adjoint = manipulation.matrix_transpose, complex_ops.adjoint
    unsqueeze, expand_dims, squeeze = manipulation.unsqueeze, manipulation.expand_dims, manipulation.squeeze
    expand, expand_as, broadcast_to = manipulation.expand_, manipulation.expand_as, manipulation.broadcast_to
    split, chunk, tensor_split = manipulation.split, manipulation.chunk, manipulation.tensor_split
    unstack, unbind = manipulation.unstack, manipulation.unbind
    clone, contiguous, astype, type_as = manipulation.clone, manipulation.contiguous, manipulation.astype, manipulation.type_as
    double, half, bfloat16 = manipulation.double, manipulation.half, manipulation.bfloat16
    long, short, char, byte = manipulation.long, manipulation.short, manipulation.char, manipulation.byte
    flip, fliplr, flipud, roll, rot90 = rearrange.flip, rearrange.fliplr, rearrange.flipud, rearrange.roll, rearrange.rot90
    tile, repeat_interleave = rearrange.tile, rearrange.repeat_interleave
    tril, triu, diagonal, diag = rearrange.tril, rearrange.triu, rearrange.diagonal, rearrange.diag
    diag_embed, narrow, select = rearrange.diag_embed, rearrange.narrow, rearrange.select
    take, gather, index_select = indexing.take, indexing.gather, indexing.index_select
    scatter, scatter_add, index_add, index_copy = indexing.scatter, indexing.scatter_add, indexing.index_add, indexing.index_copy
    index_fill, index_put = indexing.index_fill, indexing.index_put
    masked_fill, masked_select, masked_scatter = indexing.masked_fill, indexing.masked_select, indexing.masked_scatter

    # ---- linear algebra (ops/contraction.py) -------------------------------------------------------------------------

    def __matmul__(self, other: Any) -> Tensor:
        try:
            matrices = self.value.ndim > 1 and other.value.ndim > 1 and not (self.level or other.level)
        except AttributeError:
            matrices = False
        return contraction.matmul_p(self, other) if matrices else contraction.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return contraction.matmul(other, self)

    matmul, mm, bmm, mv = contraction.matmul, contraction.mm, contraction.bmm, contraction.mv
    dot, vdot, outer = contraction.dot, contraction.vdot, contraction.outer


# float, int, bool and type are set here: in the class they would hide the builtins from its annotations
for _name, _method in (*inplace_methods.METHODS.items(), ("float", manipulation.float_), ("int", manipulation.int_),
                       ("bool", manipulation.bool_), ("type", manipulation.type_)):
    setattr(Tensor, _name, _method)


provide(tensor=Tensor, is_differentiable=_dtypes.is_differentiable)
