"""Kernels of users: ``tl.kernel``."""
from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tensorlite import _dtypes, backends, func, kernels
from tensorlite._autocast import POLICY
from tensorlite._kernel_rules import Joint, Rule, batching_rule
from tensorlite._signature import Signature
from tensorlite._state import changed
from tensorlite.engine.batching import looped
from tensorlite.engine.primitive import REGISTRY, Primitive, names_of
from tensorlite.engine.value import Provided
from tensorlite.errors import KernelError, NotDifferentiableError, ShapeError, TensorliteError
from tensorlite.kernels import Cost, Kernel
from tensorlite.kernels._cuda import Source
from tensorlite.kernels._formula import Formula
from tensorlite.kernels._user_cuda import from_body, from_source

__all__ = ["kernel"]

HALVES = {"float16", "bfloat16"}
SMALL = 4096   # elements below which a formula runs as NumPy's operations: compiling it takes half a second


class kernel(Kernel):
    """An operation of your own: a function of tensors with versions for the CPU and for CUDA, and a derivative.

    It is called like its reference, without ``xp``, on tensors or arrays; it records on the tape, and works under transforms,
    ``create_graph`` and autocast. The arrays' device says which version runs. One that is not there, or returns
    ``NotImplemented`` (for dtypes or shapes it does not take), is replaced by the reference. :meth:`check` compares them all.

    Parameters
    ----------
    name: a name that no operation and no kernel has; a file or module that runs again redefines its own.
    reference: ``reference(xp, *arrays, **options)``: the definition, in the array API standard's functions of ``xp``. Arrays are
        positional (a default may be None), options keyword-only.
    formula: for an elementwise operation, all versions in one: an expression such as ``"x * tanh(log1p(exp(x)))"``, with
        assignments before it if need be (on lines of their own, or with semicolons). Its arguments are the reference's or,
        without a reference, its names in the order they appear in.
    cpu: ``cpu(*arrays, **options)`` of NumPy arrays, such as a function that calls Numba's; or ``"module:function"``, which is
        imported when first run.
    cuda: one of three. C++ statements that return an element (``"return x / (A(1) + fabs(x));"``; ``A`` is the type computed in).
        A CUDA C++ source with entry points ``NAME_f32``, ``_f64``, ``_f16``, ``_bf16``, which take the results' pointers, the
        arguments', the signature's sizes as ``long long`` and the options as ``double``, each in its order. Or host code,
        ``cuda(runtime, *arrays, **options)``, which launches what it likes (:class:`tensorlite.kernels._cuda.Runtime`).
    grid: for a source: ``grid(*sizes)`` gives (blocks, threads) or (blocks, threads, bytes of shared memory); without it a few
        waves of 256 threads, for entry points that stride over the first result.
    vjp: None: the derivative of the reference, run on tensors. A function ``vjp(g, ...)`` that returns a cotangent for each
        argument (None for what has none), or a dict of functions by argument. The parameters' names say what is kept for it:
        ``g`` (the result's cotangent; of several results a list, None where nothing arrives), arguments, ``out``, options,
        ``x_shape``, ``x_dtype``. It works on tensors. False: there is none.
    jvp: a dict of functions by argument, ``rule(t, ...)``, that take the argument's tangent to the result's. They are kept for
        forward mode, which tensorlite does not have yet; :meth:`check` compares them with ``vjp``.
    signature: shapes and dtypes, ``"x: (n, d), labels: int (n) -> (n)"`` (:class:`tensorlite._signature.Signature`). Checked at
        every call. A source needs one, several results too.
    autocast: ``"low"`` runs it in autocast's 16 bits, ``"wide"`` in float32; None takes what comes.
    cost: ``cost(*arrays, **options) -> tl.kernels.Cost``, the bytes and operations; without it the arguments' and results' bytes.
    sample: ``sample(rng)``: a tuple of arrays that ``tensorlite bench kernels`` measures it with.

    References and CPU versions get 16-bit floats as float32, and their results are cast back; CUDA versions get them as they are.

    Errors: ``KernelError`` for a name that is taken, a signature or a formula that cannot be read, C++ that does not compile.

    >>> import tensorlite as tl
    >>> softsign = tl.kernel("softsign", formula="x / (1 + abs(x))", vjp=lambda g, x: g / (1 + abs(x)) ** 2)
    >>> x = tl.tensor([-1.0, 0.0, 3.0], requires_grad=True)
    >>> y = softsign(x); y.sum().backward(); y, x.grad
    (tensor([-0.5 ,  0.  ,  0.75], grad_fn=<SoftsignBackward>), tensor([0.25  , 1.    , 0.0625]))
    >>> tl.kernels.load("softsign") is softsign
    True
    """

    def __init__(self, name: str, *, reference: Callable[..., Any] | None = None, formula: str | None = None,
                 cpu: Callable[..., Any] | str | None = None, cuda: Callable[..., Any] | str | None = None,
                 grid: Callable[..., tuple[int, ...]] | None = None,
                 vjp: Callable[..., Any] | Mapping[str, Callable[..., Any]] | bool | None = None,
                 jvp: Mapping[str, Callable[..., Any]] | None = None, signature: str | None = None, autocast: str | None = None,
                 cost: Callable[..., Cost] | None = None, sample: Callable[..., Any] | None = None) -> None:
        self._defined = _where(name)
        head = _head(name, reference, formula)
        self.arguments, self.options = names_of(head)[1:], head.__kwdefaults__ or {}
        self._defaults = head.__defaults__ or ()
        self.signature = None if signature is None else Signature(name, signature, self.arguments)
        self.formula = None if formula is None else Formula(name, formula, self.arguments, tuple(self.options))
        self._reference: Any = reference or (self.formula and self.formula.reference)
        self.elementwise = self.signature is None and (formula is not None or isinstance(cuda, str))
        super().__init__(name, self._plain, cost or self._cost, sample=sample)
        self._given_cpu = self.formula.cpu if cpu is None and self.formula is not None else cpu
        self._given_cuda = self._host_code(cuda, grid)
        self._cpu, self._cuda = None if self._given_cpu is None else name, None if self._given_cuda is None else name
        self.primitive = self._primitive(head, vjp, jvp)
        self.__name__ = self.__qualname__ = name
        self.__doc__ = getattr(reference, "__doc__", None) or (f"{formula}" if formula else None)
        if autocast not in (None, "low", "wide"):
            raise KernelError(f"kernel {name!r}: autocast is {autocast!r}; expected 'low', 'wide' or None")
        POLICY.pop(name, None)
        if autocast is not None:
            POLICY[name] = autocast == "low"
        _replace(name)
        kernels.register(self)

    def __repr__(self) -> str:
        return f"<kernel {self.name}({', '.join([*self.arguments, *self.options])}) of {', '.join(self.variants)}>"

    def __reduce__(self) -> Any:
        return kernels.load, (self.name,)   # copies of a model that holds it share it

    def __call__(self, *args: Any, **given: Any) -> Any:
        if given or len(args) != len(self.arguments):
            args = self._bound(args, given)
        return self.primitive(*args, **given)

    def _bound(self, args: tuple[Any, ...], given: dict[str, Any]) -> tuple[Any, ...]:
        """All arrays by position; what is left in ``given`` are options."""
        names, required = self.arguments, len(self.arguments) - len(self._defaults)
        if len(args) > len(names):
            raise TypeError(f"{self.name}: {len(args)} arrays were given, expected {', '.join(names)}")
        found = list(args)
        for i in range(len(args), len(names)):
            if names[i] in given:
                found.append(given.pop(names[i]))
            elif i >= required:
                found.append(self._defaults[i - required])
            else:
                raise TypeError(f"{self.name}: {names[i]} is missing; expected {', '.join(names)}")
        for option in given:
            if option not in self.options:
                raise TypeError(f"{self.name}: there is no option {option!r}; expected "
                                + (", ".join(self.options) if self.options else "none"))
        return tuple(found)

    # ---- the versions ------------------------------------------------------------------------------------------------------

    def _plain(self, xp: Any, *arrays: Any, **options: Any) -> Any:
        """The reference; 16-bit floats are computed in float32."""
        return self._wide(xp, lambda *a, **o: self._reference(xp, *a, **o), arrays, {**self.options, **options})

    @property
    def cpu(self) -> Callable[..., Any] | None:
        """The CPU version, called like the reference without ``xp``; None where there is none."""
        return None if self._given_cpu is None else self._run_cpu

    @property
    def cuda(self) -> Callable[..., Any] | None:
        """The CUDA version, called with a ``Runtime`` and then like the reference without ``xp``; None where there is none."""
        return None if self._given_cuda is None else self._run_cuda

    @property
    def source(self) -> Source | None:
        """The CUDA C++ it is compiled from; None where there is none, or host code keeps it to itself."""
        return getattr(self._given_cuda, "source", None)

    def _try_cpu(self, *arrays: Any, **options: Any) -> Any:
        if isinstance(self._given_cpu, str):
            self._given_cpu = kernels._named(self._given_cpu)
        return self._wide(np, self._given_cpu, self._broadcast(np, arrays), {**self.options, **options})

    def _run_cpu(self, *arrays: Any, **options: Any) -> Any:
        out = self._try_cpu(*arrays, **options)
        return self._plain(np, *arrays, **options) if out is NotImplemented else out

    def _try_cuda(self, runtime: Any, *arrays: Any, **options: Any) -> Any:
        return self._given_cuda(runtime, *self._broadcast(runtime.xp, arrays), **{**self.options, **options})

    def _run_cuda(self, runtime: Any, *arrays: Any, **options: Any) -> Any:
        out = self._try_cuda(runtime, *arrays, **options)
        return self._plain(runtime.xp, *arrays, **options) if out is NotImplemented else out

    def _broadcast(self, xp: Any, arrays: tuple[Any, ...]) -> tuple[Any, ...]:
        """An elementwise kernel's arguments in one shape, numbers too: copying what is smaller costs less than the reference."""
        lead = next(a for a in arrays if hasattr(a, "dtype"))
        shape = lead.shape
        if not self.elementwise or all(getattr(a, "shape", None) == shape for a in arrays):
            return arrays
        if _dtypes.kind(lead.dtype) == "f":   # where a number is one of the same dtype
            arrays = tuple(xp.full_like(lead, a) if type(a) in (int, float) else a for a in arrays)
        return tuple(xp.broadcast_arrays(*arrays)) if all(hasattr(a, "dtype") for a in arrays) else arrays

    def _wide(self, xp: Any, function: Any, arrays: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """``function`` of the arrays with 16-bit floats as float32; its results are cast back, unless the signature says what
        they are, or other floats were among the arguments."""
        for a in arrays:
            if getattr(getattr(a, "dtype", None), "itemsize", 4) == 2:
                break
        else:   # the usual case, found quickly; integers of 16 bits are told apart below
            return function(*arrays, **options)
        floats = {str(a.dtype): a.dtype for a in arrays if hasattr(a, "dtype") and _dtypes.kind(a.dtype) == "f"}
        if not HALVES & floats.keys():
            return function(*arrays, **options)
        wide = xp.float32
        out = function(*[xp.astype(a, wide) if str(getattr(a, "dtype", "")) in HALVES else a for a in arrays], **options)
        if out is NotImplemented or len(floats) > 1:
            return out
        (narrow,) = floats.values()
        said = [bool(part.dtype) for part in self.signature.results] if self.signature is not None else [False]
        outs = out if isinstance(out, tuple) else (out,)
        back = tuple(o if s or o.dtype != wide else xp.astype(o, narrow) for o, s in zip(outs, said))
        return back if isinstance(out, tuple) else back[0]

    def _host_code(self, cuda: Any, grid: Any) -> Any:
        if grid is not None and not (isinstance(cuda, str) and "__global__" in cuda):
            raise KernelError(f"kernel {self.name!r}: grid belongs to a CUDA source, which cuda is not")
        if not isinstance(cuda, str):
            return self.formula.cuda if cuda is None and self.formula is not None else cuda
        if "__global__" not in cuda:
            if "return" not in cuda:
                raise KernelError(f"kernel {self.name!r}: cuda has neither an entry point (extern \"C\" __global__ void "
                                  f"{self.name}_f32(...)) nor a return: {cuda.strip()[:60]!r}")
            return from_body(self.name, self.arguments, self.options, cuda)
        if self.signature is None:
            raise KernelError(f"kernel {self.name!r}: a CUDA source needs a signature, which says what results to make")
        return from_source(self.name, self.signature, tuple(self.options), cuda, grid)

    def _cost(self, *arrays: Any, **options: Any) -> Cost:
        """The bytes of the arguments and, where shapes tell them, of the results."""
        held = [a for a in arrays if hasattr(a, "dtype")]
        size = sum(_bytes(a.shape, a.dtype) for a in held)
        if self.signature is not None:
            sizes = self.signature.sizes([_shape(a) for a in arrays])
            size += sum(_bytes(self.signature.shape(part, sizes), held[0].dtype) for part in self.signature.results)
        elif self.elementwise:
            size += _bytes(np.broadcast_shapes(*[tuple(a.shape) for a in held]), held[0].dtype)
        return Cost(size, 0)

    # ---- what the engine runs ----------------------------------------------------------------------------------------------

    def _primitive(self, head: Any, vjp: Any, jvp: Any) -> Primitive:
        outputs = 1 if self.signature is None else len(self.signature.results)
        made = Primitive(self.name, head, elementwise=self.elementwise, outputs=outputs, discrete=vjp is False)
        del REGISTRY[self.name]   # which is of tensorlite's own operations
        made.forward = self._dispatch
        if not self.elementwise:   # with rules of its own it must stay what they are of
            made.batch(batching_rule(self._plain) if vjp is None and jvp is None else looped)
        if vjp is None:
            names = ("g", "needs", *self.arguments, "options")
            made.vjp_all(Rule(names, self._differentiated))
        elif isinstance(vjp, Mapping):
            self._known(vjp, "vjp")
            made.vjp(**{a: Rule(names_of(rule), rule) for a, rule in vjp.items()})
        elif vjp is not False:
            names = names_of(vjp)
            made.vjp_all(Rule(("g", "needs", *names[1:]), Joint(self.name, self.arguments, vjp)))
        if jvp is not None:
            self._known(jvp, "jvp")
            made.jvp(**jvp)
        return made

    def _known(self, rules: Mapping[str, Any], what: str) -> None:
        for argument in rules:
            if argument not in self.arguments:
                raise KernelError(f"kernel {self.name!r}: {what} has a rule for {argument!r}; its arguments are "
                                  f"{', '.join(self.arguments)}")

    def _dispatch(self, xp: Any, *arrays: Any, **options: Any) -> Any:
        """What runs on raw arrays: checks, the version for their backend, checks of what it returned."""
        lead = next(a for a in arrays if hasattr(a, "dtype"))
        backend = backends.backend_of(lead)
        if self.signature is not None:
            sizes = self.signature.sizes([_shape(a) for a in arrays])
            self.signature.check_dtypes(arrays)
        version, run = "the reference", None
        if backend.array_type is np.ndarray:
            if self._given_cpu is not None and not (self.formula is not None and self._given_cpu == self.formula.cpu
                                                    and lead.size < SMALL):
                version, run = "the CPU version", self._run_cpu
        elif self._given_cuda is not None and hasattr(backend, "runtime"):
            runtime = backend.runtime
            version, run = "the CUDA version", lambda *a, **o: self._run_cuda(runtime, *a, **o)
        try:
            out = self._plain(xp, *arrays, **options) if run is None else run(*arrays, **options)
        except Exception as error:
            if not isinstance(error, TensorliteError):
                error.add_note(f"in {version} of kernel {self.name!r}, defined at {self._defined[1]}:{self._defined[2]}")
            raise
        several = isinstance(out, (tuple, list))
        if self.signature is not None:
            self.signature.check_results(out if several else (out,), sizes, version)
        elif several:
            raise ShapeError(f"{self.name}: {version} returned {len(out)} results; several need a signature that says so")
        return tuple(out) if several and self.primitive.outputs != 1 else out[0] if several else out

    def _differentiated(self, g: Any, needs: tuple[bool, ...], *saved: Any) -> tuple[Any, ...]:
        """The cotangents by differentiating the reference, which is run again on tensors."""
        import tensorlite as tl
        *arrays, options = saved
        at = [i for i, need in enumerate(needs) if need]

        def chosen(*some: Any) -> Any:
            given = list(arrays)
            for i, a in zip(at, some):
                given[i] = a
            return self._plain(tl, *given, **options)
        try:
            with changed(autocast=None):
                outs, pullback = func.vjp(chosen, *[arrays[i] for i in at])
        except AttributeError as error:
            raise NotDifferentiableError(f"{self.name}: its reference cannot be run on tensors ({error}); give the kernel a "
                                         "vjp") from error
        gs = g if isinstance(g, list) else [g]
        outs = outs if isinstance(outs, tuple) else (outs,)
        found = iter(pullback(*[Provided.zeros_like(o) if c is None else c for o, c in zip(outs, gs)]))
        return tuple(next(found) if need else None for need in needs)

    # ---- checking and measuring --------------------------------------------------------------------------------------------

    def check(self, *arrays: Any, device: str | None = None, tolerance: float = 64.0, gradient: bool = True,
              **options: Any) -> Any:
        """Compare every version with the reference in float64, and the derivative with finite differences.

        ``arrays``: arguments to try it with; floating ones are taken as float64, float32, float16 and bfloat16, in rows, in
        columns, with steps, unaligned, and empty. ``device``: one alone; otherwise every one there is. ``tolerance``: in units of
        the dtype's rounding, relative to the result or to its mean magnitude. ``gradient``: False leaves the derivative out.

        Returns a report, which prints as a table. Errors: ``KernelCheckError`` (an ``AssertionError``) with the table, if
        something differs.
        """
        from tensorlite._kernel_check import check
        return check(self, arrays, device, tolerance, gradient, options)

    def bench(self, *arrays: Any, device: str | None = None, seconds: float = 0.3, **options: Any) -> Any:
        """Time every version on these arrays; the report prints as a table. GB/s are the bytes of the cost over the time."""
        from tensorlite._kernel_check import bench
        return bench(self, arrays, device, seconds, options)


def _shape(array: Any) -> tuple[int, ...] | None:
    return None if array is None else tuple(getattr(array, "shape", ()))


def _bytes(shape: Any, dtype: Any) -> int:
    return int(np.prod(shape, dtype=np.int64)) * int(dtype.itemsize)


def _head(name: str, reference: Any, formula: str | None) -> Any:
    """A function whose parameters are the kernel's: the reference, or one made of the formula's names."""
    if reference is None:
        if formula is None:
            raise KernelError(f"kernel {name!r}: it needs a reference or a formula")
        names = Formula.names_in(formula)
        if not names:
            Formula(name, formula, ())   # says what is wrong
            raise KernelError(f"kernel {name!r}: its formula {formula!r} has no argument")
        return eval(f"lambda xp, {', '.join(names)}: None")
    code = getattr(reference, "__code__", None)
    if code is None or code.co_argcount < 2 or code.co_flags & 0x0C:
        raise KernelError(f"kernel {name!r}: reference must be a function reference(xp, x, ..., *, option=...) of at least one "
                          "array, without *args and **options")
    taken = {"g", "needs", "options", "out", "i", "shapes", "dtypes", "hidden"} & {*names_of(reference)[1:]}
    if taken:
        raise KernelError(f"kernel {name!r}: an argument is called {taken.pop()!r}, which means something else in rules")
    without = [n for n in code.co_varnames[code.co_argcount:code.co_argcount + code.co_kwonlyargcount]
               if n not in (reference.__kwdefaults__ or {})]
    if without:
        raise KernelError(f"kernel {name!r}: option {without[0]!r} of the reference has no default")
    return reference


def _where(name: str) -> tuple[str, str, int]:
    """(module, file, line) of the definition, if that module may define the name."""
    if not name.isidentifier():
        raise KernelError(f"kernel name {name!r}: expected an identifier, such as 'scale_silu'")
    frame = sys._getframe(2)
    module, place = str(frame.f_globals.get("__name__")), (frame.f_code.co_filename, frame.f_lineno)
    known = kernels._registered.get(name)
    if isinstance(known, kernel):
        theirs, file, line = known._defined
        if theirs != module and file != place[0]:
            raise KernelError(f"kernel {name!r} is defined at {file}:{line} by module {theirs}; choose another name")
        if file == place[0] and line != place[1]:
            warnings.warn(f"kernel {name!r} is defined at {file}:{line} and again at line {place[1]}, which counts", stacklevel=3)
    elif name in REGISTRY or name in kernels.names():
        raise KernelError(f"kernel name {name!r} is taken by an operation of tensorlite; choose another")
    return module, *place


def _replace(name: str) -> None:
    """Forget the sources of a kernel of that name that was defined before."""
    known = kernels._registered.get(name)
    source = getattr(known, "source", None)
    if source in Source.known:
        Source.known.remove(source)
