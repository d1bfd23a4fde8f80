"""The one dispatch point: every array operation, forward or backward, at every level, is a call of a ``Primitive``."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from tensorlite import backends
from tensorlite._state import _base, _current
from tensorlite.engine import inplace, memory, tape
from tensorlite.engine.levels import OPEN, check_open
from tensorlite.engine.value import EVERYDAY, KIND, RAW, SCALAR, Provided, Value, wrap
from tensorlite.errors import DeviceError, DTypeError, OutOfRangeError, ShapeError, TensorliteError

REGISTRY: dict[str, Primitive] = {}
NoneType = type(None)
new_tensor: Any = object.__new__
Rule = Callable[..., Any]


def names_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """The positional parameters' names. (``inspect.signature`` says more, and costs 8 ms at import.)"""
    code = function.__code__
    return code.co_varnames[:code.co_argcount]


class Primitive:
    """An operation of arrays, and its rules of differentiation.

    Parameters
    ----------
    name: what backends replace it by, and what errors and ``grad_fn`` call it.
    forward: ``forward(xp, *arrays, **options)``, or the name of a function of ``xp``.
    args: the arrays' names; read off ``forward`` where it is a function. A last ``"*rest"`` stands for any number.
    elementwise: the arguments broadcast against each other, and the tape undoes it for the rules.
    view: the result may look into the first argument's memory.
    outputs: more than one: the result is a tuple of that many (or, when 0, as many as the call returns).
    visible: 1 if of several results tensors come back with the first alone, the others being for the rules, which then get
        the first one's cotangent where nothing flows to the others.
    discrete: the result's gradient is nothing (comparisons, indices): never recorded.
    check: ``check(*arrays, **options)`` explains in an error what is wrong with a call that the array library refused.
    """

    def __init__(self, name: str, forward: Callable[..., Any] | str, *, args: str = "x", elementwise: bool = False,
                 view: bool = False, outputs: int = 1, discrete: bool = False, linear_in: str = "", casts: bool = False,
                 check: Callable[..., None] | None = None, visible: int | None = None) -> None:
        self.name, self.forward, self.elementwise, self.view, self.outputs = name, forward, elementwise, view, outputs
        self.discrete, self.check, self.casts = discrete, check, casts
        self.linear_in = frozenset(linear_in.split())
        if isinstance(forward, str):
            self.args, self.options = tuple(args.split()), {}
        else:
            code = forward.__code__
            self.args = names_of(forward)[1:]
            if code.co_flags & 0x04:   # *rest
                self.args += ("*" + code.co_varnames[code.co_argcount + code.co_kwonlyargcount],)
            only = code.co_varnames[code.co_argcount:code.co_argcount + code.co_kwonlyargcount]
            self.options = {k: (forward.__kwdefaults__ or {}).get(k) for k in only}
        self.variadic = bool(self.args) and self.args[-1].startswith("*")
        self.visible = visible
        self.full: Primitive | None = None
        if visible is not None:
            self.full = Primitive.__new__(Primitive)
        if "out" in self.args:
            raise TypeError(f"primitive {name}: an argument must not be called 'out', which in rules means the result")
        self.vjps: dict[str, Rule] = {}
        self.jvps: dict[str, Rule] = {}
        self.joint: Rule | None = None
        self.joint_jvp: Rule | None = None
        self.batching: Rule | None = None
        self.pointwise = elementwise
        self.pushes: dict[int, Any] = {}   # what forward mode looks up by the number of arguments
        self.implementations: dict[type, Callable[..., Any]] = {}
        self.plans: dict[tuple[int, int], tape.Plan] = {}
        self.__name__ = self.__qualname__ = name
        REGISTRY[name] = self
        if self.full is not None:   # the same, with every result visible: what the levels above and create_graph call
            self.full.__dict__.update(self.__dict__, visible=None, full=None, plans={})

    def __repr__(self) -> str:
        return f"<primitive {self.name}({', '.join(self.args)})>"

    # ---- rules -------------------------------------------------------------------------------------------------------

    def vjp(self, **rules: Rule) -> None:
        """``vjp(x=lambda g, ...: cotangent of x)``. A rule's parameter names are what the tape keeps for it: ``g``, an argument's
        name, ``out``, an option's name, ``<argument>_shape`` or ``_dtype``, ``out_shape``; for ``*rest`` also ``i`` and
        ``shapes``."""
        self.vjps.update(rules)
        self.plans.clear()
        self.pushes.clear()

    def vjp_all(self, rule: Rule) -> None:
        """One rule for every argument at once: ``rule(g, needs, ...)`` returns a tuple as long as the arguments, None where not
        needed."""
        self.joint = rule
        self.plans.clear()
        self.pushes.clear()
        if self.full is not None:
            self.full.vjp_all(rule)

    def jvp_all(self, rule: Rule) -> None:
        """One rule of forward mode for every argument at once: ``rule(ts, ...)`` gets the tangents (None where there is none)
        and returns the result's, a tuple where there are several results (None for zero)."""
        self.joint_jvp = rule
        self.pushes.clear()
        if self.full is not None:
            self.full.jvp_all(rule)

    def batch(self, rule: Rule) -> None:
        """The rule of vmap: ``rule(op, args, batched, options, size)`` returns the results with the batch axis in front. Of args,
        which are values one level below, those that are ``batched`` have it in front too. See ``engine/batching.py``."""
        self.batching = rule
        if self.full is not None:
            self.full.batch(rule)

    def jvp(self, **rules: Rule) -> None:
        """``jvp(x=lambda t, ...: tangent of out)``, for forward mode."""
        self.jvps.update(rules)
        self.pushes.clear()

    def deriv(self, **rules: Rule) -> None:
        """One rule for both modes: for elementwise operations, whose Jacobian is diagonal."""
        if len(self.args) == 1:
            self.pointwise = True
        self.vjp(**rules)
        self.jvps.update(rules)

    # ---- the call ----------------------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **options: Any) -> Any:
        """The everyday path: arrays of one backend and level-0 tensors. Anything else goes through ``_general``.

        Raw arrays only (what backward's rules pass) are told apart first: one look-up by the first argument's class.
        """
        try:
            lead = args[0].__class__
        except IndexError:
            return self._general(args, options)
        implementation = self.implementations.get(lead)
        if implementation is not None:
            for a in args:
                if a.__class__ is not lead and KIND.get(a.__class__) is not SCALAR:
                    break
            else:
                observer = _current.get(_base).observer
                if observer is not None:
                    implementation = observer(self, implementation)
                try:
                    out = implementation(*args, **options)
                except Exception as error:
                    self._explain(error, args, options)
                if out.__class__ is lead:
                    return out
                if self.outputs != 1:
                    for o in out:
                        if o.__class__ is not lead:
                            return self._arrays(out, lead)
                    return out
                return self._arrays((out,), lead)[0]
        values = []
        mask, bit, lead, whole = 0, 1, NoneType, None
        tensors = plain = numbers = False
        for a in args:
            kind = KIND.get(a.__class__)
            if kind is EVERYDAY:
                tensors = True
                if a.tracked:
                    mask |= bit
                a = a.value
                if lead is not a.__class__:
                    if lead is not NoneType:
                        return self._general(args, options)
                    lead = a.__class__
            elif kind is RAW:
                plain = True
                if lead is not a.__class__:
                    if lead is not NoneType:
                        return self._general(args, options)
                    lead = a.__class__
            elif kind is SCALAR:
                numbers = True
            else:
                return self._general(args, options)
            values.append(a)
            bit += bit
        implementation = self.implementations.get(lead)
        if implementation is None:
            return self._general(args, options)
        if numbers and self.elementwise:
            _weaken(values, lead)
        state = _current.get(_base)
        if state.observer is not None:
            if state.autocast is not None and tensors:
                others = state.autocast(self.name, args)
                if others is not None:
                    return self(*others, **options)
            implementation = state.observer(self, implementation)
        try:
            out = implementation(*values, **options)
        except Exception as error:
            self._explain(error, values, options)
        if not tensors:   # a number first, then arrays
            return self._arrays(out, lead) if self.outputs != 1 else self._arrays((out,), lead)[0]
        if out.__class__ is not lead:
            if self.outputs != 1:
                whole = self._arrays(out, lead)
                if self.visible != 1:
                    return self._several(whole, args, values, mask, options, 0, state)
                out = whole[0]
            else:
                out = self._arrays((out,), lead)[0]
        tensor = new_tensor(Provided.tensor)
        tensor.value, tensor.grad, tensor.extra = out, None, None
        if mask and not state.record_from and not self.discrete and (not self.casts or Provided.is_differentiable(out.dtype)):
            tensor.tracked = True
            tensor.node = tape.record(self, args, values, mask, out if whole is None else whole, options, plain)
        else:
            tensor.tracked, tensor.node = False, None
        if self.view:
            inplace.link(tensor, self, args, options)
        return tensor

    @staticmethod
    def _arrays(outs: Any, lead: type) -> tuple[Any, ...]:
        """Results that are the library's scalars as arrays of the lead's class; ``move`` gives those of another backend."""
        return tuple([o if o.__class__ is lead or KIND.get(o.__class__) is RAW
                      else backends.of_type(lead).asarray(o) for o in outs])   # type: ignore[union-attr]

    def _general(self, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Any level, mixed backends, plain numbers: the same work as the everyday path, with nothing assumed."""
        level: int = 0
        top: Any = None
        for a in args:
            if isinstance(a, Value) and a.level > level:
                level, top = a.level, a
        if top is None:
            return self._bottom(args, options)
        if level not in OPEN:
            check_open(level, self.name)
        state = _current.get(_base)
        if state.autocast is not None:
            others = state.autocast(self.name, args)
            if others is not None:
                return self(*others, **options)
        if top.__class__ is Provided.inner:
            return self.reverse(args, options, level)
        return top.through(self, args, options, level)

    def reverse(self, args: tuple[Any, ...], options: dict[str, Any], level: int) -> Any:
        """The operation on values of a reverse level: itself on those one level below, and a node."""
        values, mask, bit, plain, lead = [], 0, 1, False, None
        for a in args:
            if isinstance(a, Value):
                if a.level == level:
                    if a.tracked:
                        mask |= bit
                    a = a.value
                lead = a.__class__ if lead is None or lead is a.__class__ else NoneType
            elif KIND.get(a.__class__) is RAW:
                plain, lead = True, NoneType
            values.append(a)
            bit += bit
        state = _current.get(_base)
        implementation = self.implementations.get(lead) if state.observer is None and self.outputs == 1 else None   # type: ignore[arg-type]
        if implementation is None or values[0].__class__ is not lead:
            out = (self.full or self)(*values, **options)
        else:   # arrays of one backend and numbers: no detour over a call
            try:
                out = implementation(*values, **options)
            except Exception as error:
                self._explain(error, values, options)
            if out.__class__ is not lead:
                out = self._arrays((out,), lead)[0]
        if self.outputs != 1:
            return self._several(tuple(out), args, values, mask, options, level, state)
        tensor = new_tensor(Provided.inner)
        tensor.value, tensor.grad, tensor.extra, tensor.level = out, None, None, level
        tensor.tracked, tensor.node = False, None
        if mask and level >= state.record_from and not self.discrete and (
                not self.casts or Provided.is_differentiable(out.dtype)):
            tensor.tracked = True
            tensor.node = tape.record(self, args, values, mask, out, options, plain)
        if self.view:
            inplace.link(tensor, self, args, options)
        return tensor

    def _bottom(self, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Level 0 or below, off the everyday path: find or make the arrays, check that they live together, and go again."""
        args = tuple(_unboxed(a) for a in args)
        found: dict[str, Any] = {}
        for position, a in enumerate(args):
            value = a.value if isinstance(a, Value) else a
            if KIND.get(type(value)) != SCALAR:
                if isinstance(value, (list, tuple, str, dict, set)):
                    raise DTypeError(f"{self.name}: {self.argument(position)} is a {type(value).__name__}; "
                                     "expected a tensor, an array or a number: wrap it with tensorlite.asarray")
                try:
                    backend = backends.backend_of(value)
                except DTypeError as error:
                    raise DTypeError(f"{self.name}: {self.argument(position)}: {error}") from None
                found.setdefault(backend.name, backend)
                if type(value) not in KIND:   # a subclass of the library's array
                    KIND[type(value)] = RAW
        if len(found) > 1:
            where = ", ".join(f"{self.argument(i)} on {backends.backend_of(v).device_of(v)} ({backends.backend_of(v).name})"
                              for i, v in ((i, a.value if isinstance(a, Value) else a) for i, a in enumerate(args))
                              if KIND.get(type(v)) == RAW)
            raise DeviceError(f"{self.name}: the arguments live in different places: {where}; move them to one with .to(device)")
        if not found:   # numbers only
            if all(a is None for a in args):
                raise DTypeError(f"{self.name}: {self.argument(0)} is None; expected a tensor, an array or a number" if args
                                 else f"{self.name}: no arguments were given")
            args = tuple(Provided.asarray(a) if a is not None else None for a in args)
            return self(*args, **options)
        (backend,) = found.values()
        kinds = {type(a.value if isinstance(a, Value) else a) for a in args} - {k for k, v in KIND.items() if v == SCALAR}
        for kind in kinds:
            if kind not in self.implementations:
                self.implementations[kind] = backend.implementation(self.name, self.forward)
        if len(kinds) > 1:   # one backend, several classes: a subclass among them
            args = tuple(_plain(a, backend) for a in args)
            kind = backend.array_type
            if kind not in self.implementations:
                self.implementations[kind] = backend.implementation(self.name, self.forward)
        return self(*args, **options)

    def _several(self, outs: tuple[Any, ...], args: Any, values: list[Any], mask: int, options: dict[str, Any], level: int,
                 state: Any) -> Any:
        """Wrap a tuple of results, recording one node that each result's own small node leads to."""
        tensors = tuple([wrap(o, level) for o in outs])
        if mask and outs and level >= state.record_from and not self.discrete:
            node = tape.record(self, args, values, mask, outs, options)
            for i, tensor in enumerate(tensors):
                if Provided.is_differentiable(tensor.value.dtype):
                    tensor.tracked, tensor.node = True, tape.output_node(node, i, len(outs), tensor.value)
        if self.view:
            for i, tensor in enumerate(tensors):
                inplace.link(tensor, self, args, options, i)
        return tensors if self.visible is None else tensors[0]

    # ---- errors ------------------------------------------------------------------------------------------------------

    def argument(self, position: int) -> str:
        """The name of the argument at ``position``."""
        if position < len(self.args) and not self.args[position].startswith("*"):
            return self.args[position]
        name = self.args[-1].lstrip("*") if self.args else "argument"
        return f"{name}[{position - len(self.args) + 1}]"

    def _explain(self, error: Exception, values: Sequence[Any], options: dict[str, Any]) -> NoReturn:
        """Raise what the array library complained of, saying which operation and what it was given."""
        if isinstance(error, TensorliteError):
            raise error
        if isinstance(error, MemoryError):
            raise memory.exhausted(self.name, error, values) from error
        if self.check is not None:
            try:
                self.check(*values, **options)
            except Exception as found:
                if isinstance(found, TensorliteError):
                    raise found from error   # any other: the call is further off than the check expects
        given = ", ".join(f"{self.argument(i)} of shape {tuple(v.shape)} and dtype {v.dtype}" if hasattr(v, "shape")
                          else f"{self.argument(i)} = {v!r}" for i, v in enumerate(values))
        shapes = [(self.argument(i), tuple(v.shape)) for i, v in enumerate(values) if hasattr(v, "shape")]
        if self.elementwise and isinstance(error, ValueError) and len(shapes) > 1:
            for name, shape in shapes[1:]:
                if not _broadcast(shape, shapes[0][1]):
                    raise ShapeError(f"{self.name}: {name} has shape {shape}, which does not broadcast with {shapes[0][0]} "
                                     f"of shape {shapes[0][1]}; reshape or expand {name} first") from error
        what = f"{self.name}: {error} (given {given}" + (f"; {options}" if options else "") + ")"
        if self.elementwise and isinstance(error, TypeError) and None in (kinds := [None if v is None else 0 for v in values]):
            raise DTypeError(f"{self.name}: {self.argument(kinds.index(None))} is None; expected a tensor, an array or "
                             "a number") from error
        for builtin, ours in ((IndexError, OutOfRangeError), (ValueError, ShapeError), (TypeError, DTypeError),
                              (AttributeError, DTypeError)):
            if isinstance(error, builtin):
                raise ours(what) from error
        raise error

    def positions(self, count: int) -> Iterator[tuple[int, str]]:
        """(position, name without star) of ``count`` arguments."""
        for i in range(count):
            yield i, self.args[i] if i < len(self.args) and self.args[i][0] != "*" else self.args[-1][1:]


def _unboxed(value: Any) -> Any:
    """A library's own scalar, such as ``numpy.float32(2)``, as the zero-dimensional array that promotes like it."""
    if type(value) not in KIND and not isinstance(value, Value):
        for backend in backends._by_name.values():
            if backend.scalar_types and isinstance(value, backend.scalar_types):
                return backend.asarray(value)
    return value


def _weaken(values: list[Any], lead: type) -> None:
    """Turn numbers beside an array of an extension type (bfloat16) into that type: NumPy would take them for float64."""
    for v in values:
        if v.__class__ is lead and getattr(v.dtype, "kind", "f") == "V":   # type: ignore[attr-defined]
            KIND.setdefault(v.dtype.type, SCALAR)   # type: ignore[attr-defined]
            values[:] = [v.dtype.type(n) if n.__class__ in (int, float) else n for n in values]   # type: ignore[attr-defined]
            return


def _plain(value: Any, backend: Any) -> Any:
    if isinstance(value, Value):
        return value
    return backend.asarray(value) if KIND.get(type(value)) == RAW else value


def _broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return all(m == n or m == 1 or n == 1 for m, n in zip(reversed(a), reversed(b)))


def primitive(name: str, forward: Callable[..., Any] | str, **kind: Any) -> Primitive:
    """Define an operation; see :class:`Primitive`."""
    return Primitive(name, forward, **kind)


__all__ = ["REGISTRY", "Primitive", "names_of", "primitive"]
