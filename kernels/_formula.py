"""Elementwise formulas in Python's notation, written out three ways: as plain array code, as compiled CPU code, as CUDA C++.

Constants take the type that the elements are computed in, so that neither a literal 0.5 makes float64 arithmetic of float32 nor
1 / 2 is an integer's quotient.
"""
from __future__ import annotations

import ast
import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from tensorlite.errors import KernelError

from . import has_compiler
from ._cuda.pointwise import Pointwise

__all__ = ["FUNCTIONS", "Formula"]

GRAIN = 100_000   # elements worth a thread, where each takes about a nanosecond
CONSTANTS = {"inf": math.inf, "pi": math.pi}
ONE = ("acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "cos", "cosh", "erf", "erfc", "exp", "expm1", "floor", "log",
       "log10", "log1p", "log2", "sin", "sinh", "sqrt", "tan", "tanh")
# function -> C++; all arguments are to be given
FUNCTIONS = {**{name: name + "({})" for name in ONE}, "abs": "fabs({})", "atan2": "atan2({}, {})", "max": "largest()({}, {})",
             "min": "-largest()(-({}), -({}))"}
# those that LLVM makes vectors of; the C library's, one element a call, are slower than NumPy's own
VECTORS = {"abs", "ceil", "erf", "erfc", "exp", "expm1", "floor", "log", "log10", "log1p", "log2", "max", "min", "sqrt", "tanh"}
_BINARY: dict[type, str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
_COMPARE: dict[type, str] = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
_UNARY: dict[type, str] = {ast.USub: "-", ast.UAdd: "+"}
_EXPRESSIONS = (ast.BinOp, ast.BoolOp, ast.Call, ast.Compare, ast.Constant, ast.IfExp, ast.Name, ast.UnaryOp)


class _Language(NamedTuple):
    """How a language writes what differs between them. ``call``: of a function's name and number of arguments."""

    number: str
    infinity: str
    choice: str   # of condition, value if it is true, value if not
    both: str
    either: str
    negation: str
    power: str
    call: Callable[[str], str]


CPP = _Language("A({})", "A(__int_as_float(0x7f800000))", "({} ? {} : {})", "({} && {})", "({} || {})", "(!{})", "pow({}, {})",
                lambda name: FUNCTIONS[name])
COMPILED = _Language("A({})", "A(inf)", "({1} if {0} else {2})", "({} and {})", "({} or {})", "(not {})", "({} ** {})",
                     lambda name: f"f_{name}({', '.join(['{}'] * _arguments(name))})")
ARRAYS = COMPILED._replace(number="{}", infinity="inf", choice="where({}, {}, {})", both="logical_and({}, {})",
                           either="logical_or({}, {})", negation="logical_not({})")


def _arguments(name: str) -> int:
    return FUNCTIONS[name].count("{}")


def _is_square(power: ast.BinOp) -> bool:
    return isinstance(power.left, ast.Name) and isinstance(power.right, ast.Constant) and power.right.value == 2


def written(node: ast.expr, language: _Language) -> str:
    """The expression in a language; the formula's own names begin with ``v_`` there."""
    def of(part: ast.expr) -> str:
        return written(part, language)

    match node:
        case ast.Constant(value=number):
            return language.number.format(repr(number))
        case ast.Name(id=name):
            return language.infinity if name == "inf" else language.number.format(math.pi) if name == "pi" else f"v_{name}"
        case ast.BinOp(left=base, op=ast.Pow()) if _is_square(node):
            return f"({of(base)} * {of(base)})"
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return language.power.format(of(left), of(right))
        case ast.BinOp(left=left, op=op, right=right):
            return f"({of(left)} {_BINARY[type(op)]} {of(right)})"
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return language.negation.format(of(operand))
        case ast.UnaryOp(op=sign, operand=operand):
            return f"({_UNARY[type(sign)]}{of(operand)})"
        case ast.BoolOp(op=op, values=[*most, last]):
            join, out = language.both if isinstance(op, ast.And) else language.either, of(last)
            for part in reversed(most):
                out = join.format(of(part), out)
            return out
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return f"({of(left)} {_COMPARE[type(op)]} {of(right)})"
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return language.choice.format(of(test), of(body), of(orelse))
        case ast.Call(func=ast.Name(id=name), args=args):
            return language.call(name).format(*map(of, args))
    raise AssertionError(ast.dump(node))


class Formula:
    """``out[i] = formula(x[i], y[i], ..., numbers)`` over arrays of one shape and dtype.

    Parameters
    ----------
    name: what errors and the CUDA kernel call it.
    text: assignments and, last, an expression, on lines of their own or with semicolons between: arithmetic, ``**``, comparisons,
        ``and``, ``or``, ``not``, ``a if condition else b``, the functions of ``FUNCTIONS``, and the numbers ``inf`` and ``pi``.
    arrays: the arrays' names.
    numbers: the names of the options that it takes.

    Errors: ``KernelError``.

    >>> softsign = Formula("softsign", "x / (1 + abs(x))", ["x"])
    >>> softsign.reference(np, np.array([-1.0, 0.0, 3.0]))
    array([-0.5 ,  0.  ,  0.75])
    >>> softsign.cuda_body
    'return (v_x / (A(1) + fabs(v_x)));'
    """

    def __init__(self, name: str, text: str, arrays: Sequence[str], numbers: Sequence[str] = ()) -> None:
        self.name, self.text, self.arrays, self.numbers = name, text.strip(), tuple(arrays), tuple(numbers)
        try:
            lines = ast.parse("\n".join(part.strip() for part in self.text.splitlines())).body
        except SyntaxError as error:
            raise KernelError(f"formula of {name}: {error.msg}: {(error.text or self.text).strip()!r}") from None
        if not lines or not isinstance(lines[-1], ast.Expr):
            raise KernelError(f"formula of {name}: its last line must be an expression, the result; given {self.text!r}")
        self._known = {*self.arrays, *self.numbers}
        self.assignments = [self._assignment(line) for line in lines[:-1]]
        self.result = self._checked(lines[-1].value)
        parts = [part for node in (*[node for _, node in self.assignments], self.result) for part in ast.walk(node)]
        self.called = {part.func.id for part in parts if isinstance(part, ast.Call) and isinstance(part.func, ast.Name)}
        powers = [part for part in parts if isinstance(part, ast.BinOp) and isinstance(part.op, ast.Pow)]
        self.vectorised = self.called <= VECTORS and all(map(_is_square, powers))
        self._loops: dict[str, Callable[..., None]] = {}

    @staticmethod
    def names_in(text: str) -> list[str]:
        """The names a formula takes from outside, in the order in which they appear; none if it cannot be read."""
        try:
            parts = list(ast.walk(ast.parse("\n".join(line.strip() for line in text.splitlines()))))
        except SyntaxError:
            return []
        names = sorted((part.lineno, part.col_offset, part.id) for part in parts if isinstance(part, ast.Name))
        made = {part.targets[0].id for part in parts if isinstance(part, ast.Assign) and isinstance(part.targets[0], ast.Name)}
        return list(dict.fromkeys(name for _, _, name in names if name not in FUNCTIONS.keys() | CONSTANTS.keys() | made))

    def _assignment(self, line: ast.stmt) -> tuple[str, ast.expr]:
        if not isinstance(line, ast.Assign) or len(line.targets) != 1 or not isinstance(line.targets[0], ast.Name):
            raise KernelError(f"formula of {self.name}: {ast.unparse(line)!r} is no assignment 'name = expression'")
        value, target = self._checked(line.value), line.targets[0].id
        if target in self._known | CONSTANTS.keys():
            raise KernelError(f"formula of {self.name}: {target} has a value already; give {ast.unparse(line)!r} another name")
        self._known.add(target)
        return target, value

    def _checked(self, node: ast.expr) -> ast.expr:
        """The expression, if every part of it can be written in all three languages."""
        called = {id(part.func) for part in ast.walk(node) if isinstance(part, ast.Call)}
        for part in ast.walk(node):
            wrong = "" if not isinstance(part, ast.expr) or id(part) in called else self._wrong(part)
            if wrong:
                raise KernelError(f"formula of {self.name}: {ast.unparse(part)!r}: {wrong}")
        return node

    def _wrong(self, part: ast.expr) -> str:
        match part:
            case ast.Call(func=func, args=args, keywords=keywords):
                name = ast.unparse(func)
                if name not in FUNCTIONS:
                    return f"it can call {', '.join(sorted(FUNCTIONS))}"
                return "" if len(args) == _arguments(name) and not keywords else f"expected {_arguments(name)} argument(s)"
            case ast.Name(id=name):
                return "" if name in self._known | CONSTANTS.keys() else f"there are {', '.join(sorted(self._known))}, inf and pi"
            case ast.Constant(value=value):
                return "" if type(value) in (int, float) else "expected a number"
            case ast.BinOp(op=op):
                return "" if type(op) in (*_BINARY, ast.Pow) else "its operators are + - * / **"
            case ast.UnaryOp(op=op):
                return "" if type(op) in (*_UNARY, ast.Not) else "its operators are + - * / **"
            case ast.Compare(ops=ops):
                return "" if len(ops) == 1 and type(ops[0]) in _COMPARE else "compare two values; join comparisons with 'and'"
        return "" if isinstance(part, _EXPRESSIONS) else "expected arithmetic of single elements"

    # ---- plain array code --------------------------------------------------------------------------------------------------

    @cached_property
    def _code(self) -> tuple[list[tuple[str, Any]], Any]:
        """The assignments and the result, compiled for :meth:`reference`."""
        def code(node: ast.expr) -> Any:
            return compile(written(node, ARRAYS), f"formula of {self.name}", "eval")
        return [(f"v_{name}", code(node)) for name, node in self.assignments], code(self.result)

    def reference(self, xp: Any, *arrays: Any, **numbers: Any) -> Any:
        """The formula over an array namespace, one array operation for each of its signs."""
        like = arrays[0]
        names = {f"v_{name}": value for name, value in (*zip(self.arrays, arrays), *numbers.items())}
        names |= {f"f_{name}": _of_arrays(xp, name) for name in self.called}
        names |= {"inf": math.inf, "__builtins__": {}, "logical_and": xp.logical_and, "logical_not": xp.logical_not,
                  "logical_or": xp.logical_or,
                  "where": lambda c, a, b: xp.where(c, _filled(xp, a, like), _filled(xp, b, like))}
        assignments, result = self._code
        for name, code in assignments:
            names[name] = eval(code, names)
        return _filled(xp, eval(result, names), like)

    # ---- CUDA C++ ----------------------------------------------------------------------------------------------------------

    @cached_property
    def cuda_body(self) -> str:
        """C++ statements that return the value; ``A`` is the type computed in."""
        lines = [f"A v_{name} = {written(node, CPP)};" for name, node in self.assignments]
        return " ".join([*lines, f"return {written(self.result, CPP)};"])

    @cached_property
    def pointwise(self) -> Pointwise:
        """The CUDA kernel; its arguments' names cannot meet those of C++."""
        arrays, numbers = (" ".join(f"v_{name}" for name in names) for names in (self.arrays, self.numbers))
        return Pointwise(self.name, arrays, self.cuda_body, numbers)

    def cuda(self, runtime: Any, *arrays: Any, **numbers: Any) -> Any:
        """One launch, or ``NotImplemented`` for other dtypes or several shapes."""
        out = self.pointwise(runtime, *arrays, **{f"v_{name}": number for name, number in numbers.items()})
        return NotImplemented if out is None else out

    # ---- the CPU -----------------------------------------------------------------------------------------------------------

    def cpu(self, *arrays: Any, **numbers: Any) -> Any:
        """One pass on several threads, or ``NotImplemented``: functions that are not of ``VECTORS``, powers other than squares,
        other dtypes than float32 and float64, several shapes, no Numba."""
        shape, dtype = getattr(arrays[0], "shape", None), getattr(arrays[0], "dtype", None)
        if not self.vectorised or dtype not in (np.float32, np.float64) or not has_compiler() \
                or any(getattr(a, "shape", None) != shape or a.dtype != dtype for a in arrays[1:]):
            return NotImplemented
        from ._parallel import run
        out = np.empty(shape, dtype)   # type: ignore[arg-type]
        run(self.loop(str(dtype)), out.size, GRAIN, out.reshape(-1), *[a.reshape(-1) for a in arrays],
            *[out.dtype.type(numbers[n]) for n in self.numbers])
        return out

    def loop(self, dtype: str) -> Callable[..., None]:
        """``loop(low, high, out, *arrays, *numbers)`` over flat arrays of that dtype, compiled when first called."""
        found = self._loops.get(dtype)
        if found is None:
            from ._formula_cpu import compiled
            arrays = ", ".join(f"a_{a}" for a in self.arrays)
            lines = [f"def loop(low, high, out, {', '.join([arrays, *[f'v_{n}' for n in self.numbers]])}):",
                     f"    out, {arrays} = out[low:high], {', '.join(f'a_{a}[low:high]' for a in self.arrays)}",
                     "    for i in range(out.size):", *[f"        v_{a} = a_{a}[i]" for a in self.arrays],
                     *[f"        v_{name} = {written(node, COMPILED)}" for name, node in self.assignments],
                     f"        out[i] = {written(self.result, COMPILED)}"]
            found = self._loops[dtype] = compiled("\n".join(lines), "loop", np.dtype(dtype).type)
        return found


def _filled(xp: Any, value: Any, like: Any) -> Any:
    return value if hasattr(value, "dtype") else xp.full_like(like, value)


def _of_arrays(xp: Any, name: str) -> Callable[..., Any]:
    """The function of arrays; of numbers alone it is Python's."""
    of_numbers: Any = {"abs": abs, "max": max, "min": min}.get(name) or getattr(math, name)

    def call(*args: Any) -> Any:
        if not any(hasattr(a, "dtype") for a in args):
            return of_numbers(*args)
        if name in ("erf", "erfc") and not hasattr(xp, "Tensor"):   # the standard has none
            from .erf.reference import erf
            return erf(xp, *args, complement=name == "erfc")
        return getattr(xp, {"max": "maximum", "min": "minimum"}.get(name, name))(*args)
    return call
