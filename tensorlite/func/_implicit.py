"""Implicit differentiation: roots and fixed points whose derivative does not pass through the iterations that found them.

For f(x, a) = 0 the implicit function theorem gives dx = -(df/dx)^-1 (df/da) da. Backward solves with the transpose:
da* = -(df/da)^T u, (df/dx)^T u = x*. What is kept is the root and the arguments, however many iterations there were.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from math import prod
from typing import Any

from tensorlite import _tree
from tensorlite.engine.custom import Ran, Rules, call
from tensorlite.engine.value import KIND, RAW, Provided, Value, raw
from tensorlite.errors import ConvergenceError, GradError, ShapeError
from tensorlite.func._forward import jvp, linearize
from tensorlite.func._jacobian import jacfwd
from tensorlite.func._reverse import vjp
from tensorlite.func._trees import as_tensors

Args = Sequence[Any]
Function = Callable[..., Any]


def custom_root(f: Function, solve: Function, *, tangent_solve: Function | None = None, has_aux: bool = False) -> Function:
    """A function of (initial, *args) that returns x = solve(initial, *args), where f(x, *args) = 0, and knows its derivative by
    the implicit function theorem, in both modes and to any order; vmap batches it.

    x is a tensor or a tree, as many numbers as f returns; ``solve`` may do anything and is not differentiated (the initial guess
    gets no gradient). ``tangent_solve(matvec, b)`` solves the linear problem matvec(u) = b for u built like x, such as
    :func:`solve_cg`; without it the Jacobian df/dx is formed (n x n for n numbers in x) and ``linalg.solve`` does it. With
    ``has_aux`` solve returns a pair, of which the second comes back undifferentiated.

    What is differentiated must be among ``args``: no value of a running transform, and no tensor that requires a gradient, may
    come from outside (for a module: ``functional_call``). Errors: ``GradError`` if one does, ``ShapeError`` if f's result does
    not fit x, ``LinAlgError`` if df/dx is singular. See Blondel et al. 2022, "Efficient and modular implicit differentiation".

    >>> import tensorlite as tl
    >>> def newton(x, a):
    ...     for _ in range(20):
    ...         x = (x + a / x) / 2
    ...     return x
    >>> root = tl.custom_root(lambda x, a: x * x - a, newton)
    >>> tl.value_and_grad(lambda a: root(tl.tensor(1.0), a))(tl.tensor(4.0))
    (tensor(2.), tensor(0.25))
    """
    @wraps(solve)
    def root(initial: Any, *args: Any) -> Any:
        rules = _RootRules(f, solve, tangent_solve, has_aux, initial, args)
        outs = call(rules, rules.flat)
        x = rules.rebuild_x(outs[:rules.size])
        return (x, rules.rebuild_aux(outs[rules.size:])) if has_aux else x
    return root


class _RootRules(Rules):
    """One call."""

    def __init__(self, f: Function, solve: Function, tangent_solve: Function | None, has_aux: bool, initial: Any,
                 args: Any) -> None:
        self.f, self.solve, self.tangent_solve, self.has_aux = f, solve, tangent_solve, has_aux
        self.name = "custom_root"
        first, self.rebuild_initial = _tree.flatten(initial)
        rest, self.rebuild = _tree.flatten(tuple(args))
        self.first = len(first)
        self.flat = [*as_tensors("custom_root", first)[0],
                     *[Provided.asarray(x) if KIND.get(type(x)) == RAW else x for x in rest]]
        self.size, self.rebuild_x, self.rebuild_aux = len(first), self.rebuild_initial, _tree.flatten(None)[1]

    def primal(self, args: Args) -> list[Any]:
        found = self.solve(self.rebuild_initial(list(args[:self.first])), *self.rebuild(list(args[self.first:])))
        aux = None
        if self.has_aux:
            if not isinstance(found, tuple) or len(found) != 2:
                raise GradError("custom_root: with has_aux, solve must return a pair: the root, and the rest")
            found, aux = found
        x, self.rebuild_x = as_tensors("custom_root", found)
        more, self.rebuild_aux = as_tensors("custom_root", aux)
        self.size = len(x)
        return [*x, *more]

    def run(self, args: Args, needs: Sequence[bool]) -> Ran:
        outs = call(self, args)
        return Ran(outs, [*outs[:self.size], *[a for a in args[self.first:] if isinstance(a, Value)]],
                   [None if isinstance(a, Value) else a for a in args[self.first:]],
                   constant=frozenset(range(self.size, len(outs))))

    def _at(self, ran: Ran) -> tuple[list[Any], list[Any]]:
        """The root and the arguments, as they were saved."""
        others = iter(ran.leaves[self.size:])
        return list(ran.leaves[:self.size]), [next(others) if a is None else a for a in ran.info]

    def pull(self, ran: Ran, cotangents: Args, needs: Sequence[bool]) -> list[Any]:
        x, args = self._at(ran)
        u = self._linear(x, args, [Provided.zeros_like(v) if g is None else g for g, v in zip(cotangents, x)], transposed=True)
        wanted = [i for i, n in enumerate(needs[self.first:]) if n]
        _, pullback = vjp(lambda *some: self._residual(x, _with(args, wanted, some)), *[args[i] for i in wanted])
        return [None] * self.first + _with([None] * len(args), wanted, pullback([_negative(v) for v in u]))

    def push(self, ran: Ran, tangents: Args) -> list[Any]:
        x, args = self._at(ran)
        moving = tangents[self.first:]
        wanted = [i for i, t in enumerate(moving) if t is not None]
        u: list[Any] = [None] * len(x)
        if wanted:
            _, b = jvp(lambda *some: self._residual(x, _with(args, wanted, some)), tuple([args[i] for i in wanted]),
                       tuple([moving[i] for i in wanted]))
            u = self._linear(x, args, [_negative(v) for v in b], transposed=False)
        return [*u, *[None] * (len(ran.likes) - len(x))]

    def _residual(self, x: Args, args: Args) -> list[Any]:
        """f as a function of flat lists, each leaf in the shape of x's."""
        found, _ = as_tensors("custom_root", self.f(self.rebuild_x(list(x)), *self.rebuild(list(args))))
        if [tuple(v.shape) for v in found] != [tuple(v.shape) for v in x]:
            raise ShapeError(f"custom_root: f returned the shapes {', '.join(str(tuple(v.shape)) for v in found)}, and the root "
                             f"has {', '.join(str(tuple(v.shape)) for v in x)}; they must be the same")
        return found

    def _linear(self, x: list[Any], args: list[Any], b: list[Any], transposed: bool) -> list[Any]:
        """u with (df/dx) u = b, or with the transpose."""
        if self.tangent_solve is None:
            return _dense(lambda v: self._residual(v, args), x, b, transposed)
        n, solver = len(x), self.tangent_solve

        def matvec(x: Args, args: Args) -> Function:
            at = lambda *v: self._residual(v, args)
            return linearize(at, *x)[1] if not transposed else lambda *v: list(vjp(at, *x)[1](list(v)))

        def given(flat: Args) -> tuple[Any, Any, Any]:
            return list(flat[:n]), list(flat[n:-n]), list(flat[-n:])

        def residual(u: Any, *flat: Any) -> Any:   # differentiated in turn, as the root of a linear equation
            x, args, b = given(flat)
            return [Provided.namespace().subtract(v, w) for v, w in zip(matvec(x, args)(*u), b)]

        def solve(u: Any, *flat: Any) -> Any:
            x, args, b = given(flat)
            apply = matvec(x, args)
            return _tree.flatten(solver(lambda v: self.rebuild_x(list(apply(*_tree.flatten(v)[0]))), self.rebuild_x(b)))[0]
        found: list[Any] = custom_root(residual, solve, tangent_solve=lambda a, c: _tree.flatten(
            solver(lambda v: self.rebuild_x(a(_tree.flatten(v)[0])), self.rebuild_x(c)))[0])(b, *x, *args, *b)
        return found


def _with(values: Args, positions: Sequence[int], others: Args) -> list[Any]:
    out = list(values)
    for i, x in zip(positions, others):
        out[i] = x
    return out


def _negative(x: Any) -> Any:
    return Provided.namespace().negative(x)


def _vector(leaves: Args) -> Any:
    """All numbers of the leaves, one after the other."""
    flat = [Provided.reshape(v, shape=(prod(v.shape),)) for v in leaves]
    return flat[0] if len(flat) == 1 else Provided.namespace().concat(flat)


def _leaves(vector: Any, like_leaves: Args) -> list[Any]:
    """The opposite."""
    out, start = [], 0
    for v in like_leaves:
        count = prod(v.shape)
        piece = vector if len(like_leaves) == 1 else vector[start:start + count]
        out.append(Provided.cast(Provided.reshape(piece, shape=tuple(v.shape)), dtype=v.dtype))
        start += count
    return out


def _dense(f: Function, x: list[Any], b: list[Any], transposed: bool) -> list[Any]:
    from tensorlite.ops.linalg_solve import solve
    jacobian = jacfwd(lambda v: _vector(f(_leaves(v, x))))(_vector(x))
    return _leaves(solve(Provided.permute(jacobian, axes=(1, 0)) if transposed else jacobian, _vector(b)), x)


# ---- fixed points --------------------------------------------------------------------------------------------------------

def fixed_point(f: Function, initial: Any, *args: Any, tol: float | None = None, max_iterations: int = 1000,
                tangent_solve: Function | None = None) -> Any:
    """x with x = f(x, *args), by iteration from ``initial``, differentiated as :func:`custom_root` differentiates.

    The iteration ends when max |f(x) - x| <= tol max(1, max |x|); ``tol`` is by default 100 times the dtype's spacing at 1. Under
    vmap each example stops for itself. Errors: ``ConvergenceError`` after ``max_iterations``, or when x is no longer finite.

    >>> import tensorlite as tl
    >>> f = lambda x, a: tl.cos(a * x)
    >>> tl.value_and_grad(lambda a: tl.fixed_point(f, tl.tensor(0.5, dtype=tl.float64), a))(tl.tensor(1.0, dtype=tl.float64))
    (tensor(0.7391, dtype=float64), tensor(-0.2975, dtype=float64))
    """
    def residual(x: Any, *args: Any) -> Any:
        flat, rebuild = as_tensors("fixed_point", f(x, *args))
        return rebuild([Provided.namespace().subtract(v, w) for v, w in zip(flat, _tree.flatten(x)[0])])

    def solve(x: Any, *args: Any) -> Any:
        return _iterated(f, x, args, tol, max_iterations)
    return custom_root(residual, solve, tangent_solve=tangent_solve)(initial, *args)


def _iterated(f: Function, x: Any, args: Any, tol: float | None, max_iterations: int) -> Any:
    tl = Provided.namespace()
    now, rebuild = as_tensors("fixed_point", x)
    if tol is None:
        tol = 100 * max(float(Provided.namespace().finfo(v.dtype).eps) for v in now)
    for count in range(1, max_iterations + 1):
        new, _ = as_tensors("fixed_point", f(rebuild(now), *args))
        if [tuple(v.shape) for v in new] != [tuple(v.shape) for v in now]:
            raise ShapeError(f"fixed_point: f returned the shapes {', '.join(str(tuple(v.shape)) for v in new)} for x of "
                             f"{', '.join(str(tuple(v.shape)) for v in now)}; they must be the same")
        error = _largest([tl.abs(v - w) for v, w in zip(new, now)])
        moving = error > tol * tl.maximum(_largest([tl.abs(v) for v in new]), 1.0)
        worst = raw(error).max()
        if not worst < float("inf"):
            raise ConvergenceError(f"fixed_point: x is not finite after {count} iterations; f is no contraction near initial: "
                                   "scale it, damp it (x + 0.5 (f(x) - x)), or start nearer")
        if not _any(moving):
            return rebuild(new)
        now = [tl.where(moving, v, w) for v, w in zip(new, now)] if moving.level else new
    raise ConvergenceError(f"fixed_point: |f(x) - x| is {float(worst):.3g} after {max_iterations} iterations, and tol is "
                           f"{tol:.3g}; allow more iterations (max_iterations) or a larger tol, or see that f is a contraction")


def _largest(leaves: Args) -> Any:
    tl = Provided.namespace()
    largest = [tl.max(v) for v in leaves]
    out = largest[0]
    for v in largest[1:]:
        out = tl.maximum(out, v)
    return out


def _any(condition: Any) -> bool:
    """Whether it holds for any example, of however many vmaps."""
    return bool(raw(condition).any())


# ---- linear problems without a matrix ------------------------------------------------------------------------------------

def _linear_problem(matvec: Function, b: Any, max_iterations: int | None) -> tuple[Function, Any, Function, int]:
    leaves, rebuild = as_tensors("matvec", b)

    def apply(v: Any) -> Any:
        return _vector(as_tensors("matvec", matvec(rebuild(_leaves(v, leaves))))[0])
    n = sum(prod(v.shape) for v in leaves)
    return apply, _vector(leaves), lambda v: rebuild(_leaves(v, leaves)), 10 * n if max_iterations is None else max_iterations


def _unfinished(name: str, rr: Any, bb: Any, iterations: int, tol: float) -> ConvergenceError:
    worst = float((raw(rr) / raw(bb)).max()) ** 0.5
    return ConvergenceError(f"{name}: |A x - b| / |b| is {worst:.3g} after {iterations} iterations, and tol is {tol:.3g}; allow "
                            "more (max_iterations) or a larger tol, or solve another way")


def solve_cg(matvec: Function, b: Any, *, tol: float = 1e-6, max_iterations: int | None = None) -> Any:
    """x with A x = b by conjugate gradients, for A that is symmetric (Hermitian) positive definite and given as ``matvec(v)``.

    b and x are tensors or trees. It ends when |A x - b| <= tol |b| (under vmap for each example); ``max_iterations`` is by
    default ten times the size. Errors: ``ConvergenceError``. Hestenes and Stiefel 1952.

    >>> import tensorlite as tl
    >>> a = tl.tensor([[4.0, 1.0], [1.0, 3.0]])
    >>> tl.func.solve_cg(lambda v: a @ v, tl.tensor([1.0, 2.0]))
    tensor([0.0909, 0.6364])
    """
    tl = Provided.namespace()
    apply, r, rebuild, limit = _linear_problem(matvec, b, max_iterations)
    dot = lambda v, w: tl.real(tl.vdot(v, w))
    x, p, rr = tl.zeros_like(r), r, dot(r, r)
    bb = rr
    for _ in range(limit):
        active = rr > tol * tol * bb
        if not _any(active):
            return rebuild(x)
        step = apply(p)
        alpha = tl.where(active, rr / tl.where(active, dot(p, step), 1.0), 0.0)
        x, r = x + alpha * p, r - alpha * step
        new = dot(r, r)
        p = r + new / tl.where(active, rr, 1.0) * p
        rr = new
    if not _any(rr > tol * tol * bb):
        return rebuild(x)
    raise _unfinished("solve_cg", rr, bb, limit, tol)


def solve_bicgstab(matvec: Function, b: Any, *, tol: float = 1e-6, max_iterations: int | None = None) -> Any:
    """x with A x = b by stabilised biconjugate gradients, for any A that is not singular, given as ``matvec(v)``; else as
    :func:`solve_cg`. van der Vorst 1992.

    >>> import tensorlite as tl
    >>> a = tl.tensor([[4.0, 1.0], [-1.0, 3.0]])
    >>> tl.func.solve_bicgstab(lambda v: a @ v, tl.tensor([1.0, 2.0]))
    tensor([0.0769, 0.6923])
    """
    tl = Provided.namespace()
    apply, r, rebuild, limit = _linear_problem(matvec, b, max_iterations)
    dot, square = tl.vdot, lambda v: tl.real(tl.vdot(v, v))
    x, p, shadow, rho, rr = tl.zeros_like(r), r, r, dot(r, r), square(r)
    bb = rr
    for _ in range(limit):
        active = rr > tol * tol * bb
        if not _any(active):
            return rebuild(x)
        safe = lambda v, active=active: tl.where(active & (v != 0), v, 1.0)
        v = apply(p)
        alpha = tl.where(active, rho / safe(dot(shadow, v)), 0.0)
        s = r - alpha * v
        t = apply(s)
        omega = tl.where(active, dot(t, s) / safe(dot(t, t)), 0.0)
        x, r = x + alpha * p + omega * s, s - omega * t
        new = dot(shadow, r)
        p = r + new / safe(rho) * (alpha / safe(omega)) * (p - omega * v)
        rho, rr = new, square(r)
    if not _any(rr > tol * tol * bb):
        return rebuild(x)
    raise _unfinished("solve_bicgstab", rr, bb, limit, tol)


__all__ = ["custom_root", "fixed_point", "solve_bicgstab", "solve_cg"]
