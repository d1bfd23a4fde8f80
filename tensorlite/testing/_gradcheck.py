"""Derivatives against central differences."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tensorlite import func
from tensorlite.errors import DTypeError, TensorliteError
from tensorlite.testing._problem import Problem, Undifferentiated, host, parts, tensor

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]

WHOLE = 512    # elements up to which every partial derivative is taken; above, derivatives along random directions
PROBES = 8     # how many of those
COLUMNS = 4    # elements up to which forward mode is given every unit vector; above, as many random tangents
BATCH = 3      # cotangents and tangents in a batch
EXACT = 1e-10  # how far a batch may be from one by one, relative to the largest element


class GradcheckError(TensorliteError, AssertionError):
    """A derivative that differs from its finite differences, or that is not there."""

    __module__ = "tensorlite.testing"


class _Check:
    """One run of :func:`gradcheck`: what its modes share."""

    def __init__(self, problem: Problem, eps: float, atol: float, rtol: float, seed: int, fast_mode: bool) -> None:
        self.problem, self.eps, self.atol, self.rtol, self.seed = problem, eps, atol, rtol, seed
        self.worst = 0.0
        self.rng = np.random.default_rng(seed)
        self.whole = 0 if fast_mode else WHOLE
        self.arrays = problem.at
        self.outs = problem.values(self.arrays)
        self.cotangents = [self.normal(v) for v in self.outs]

    def normal(self, like: Any) -> Any:
        return self.rng.standard_normal(like.shape)

    def difference(self, f: Callable[[list[Any]], Any], arrays: list[Any], k: int, direction: Any) -> Any:
        """(f(x + eps d) - f(x - eps d)) / 2 eps, d moving array k."""
        moved = list(arrays)
        moved[k] = arrays[k] + self.eps * direction
        above = f(moved)
        moved[k] = arrays[k] - self.eps * direction
        return (above - f(moved)) / (2 * self.eps)

    def compare(self, mode: str, what: str, shape: Any, got: Any, numeric: Any, where: str, numbers: str = "analytic numeric",
                complex_: bool = False) -> None:
        """Raise unless both are equal to the tolerance."""
        if numeric.size:
            self.worst = max(self.worst, float(np.max(np.abs(got - numeric)) / max(1.0, float(np.max(np.abs(numeric))))))
        excess = np.abs(got - numeric) - (self.atol + self.rtol * np.abs(numeric))
        excess = np.where(np.isnan(got) | np.isnan(numeric), np.inf, excess)
        if not excess.size or excess.max() <= 0:
            return
        worst = np.unravel_index(int(np.argmax(excess)), excess.shape)
        spot = tuple(int(i) for i in worst)
        told = f"{where} {spot}"
        if complex_ and where == "index":
            told, shape = f"{where} {spot[:-1]}, {('real', 'imaginary')[spot[-1]]} part", shape[:-1]
        first, second = numbers.split()
        raise GradcheckError(
            f"{self.problem.name}: {what} (shape {shape}) differs most at {told}: {first} {got[worst]:.7g}, "
            f"{second} {numeric[worst]:.7g} (mode={mode!r}, eps={self.eps:g}, atol={self.atol:g}, rtol={self.rtol:g}, "
            f"seed={self.seed}); {int((excess > 0).sum())} of {excess.size} differ")

    def partials(self, mode: str, of: str, labels: list[str], arrays: list[Any], analytic: list[Any],
                 scalar: Callable[[list[Any]], float], parted: Sequence[bool]) -> None:
        """Raise unless ``analytic`` are the partial derivatives of ``scalar`` at ``arrays``."""
        for k, (array, found) in enumerate(zip(arrays, analytic)):
            if found.shape != array.shape:
                raise GradcheckError(f"{self.problem.name}: the {of} of {labels[k]} has shape {found.shape}; expected "
                                     f"{array.shape} (mode={mode!r})")
            if array.size <= self.whole:
                numeric = np.empty_like(array)
                for index in np.ndindex(array.shape):
                    direction = np.zeros_like(array)
                    direction[index] = 1.0
                    numeric[index] = self.difference(scalar, arrays, k, direction)
                got, where = found, "index"
            else:
                directions = [self.normal(array) / np.sqrt(array.size) for _ in range(PROBES)] if array.size else []
                numeric = np.array([self.difference(scalar, arrays, k, d) for d in directions])
                got, where = np.array([np.vdot(found, d) for d in directions]), "random direction"
            self.compare(mode, f"the {of} with respect to {labels[k]}", array.shape, got, numeric, where, complex_=parted[k])

    @property
    def parted(self) -> list[bool]:
        """Which inputs are complex."""
        return [d.kind == "c" for d in self.problem.dtypes]

    # ---- the modes ---------------------------------------------------------------------------------------------------

    def rev(self) -> None:
        def weighted(at: list[Any]) -> float:
            return float(sum(np.vdot(v, y) for v, y in zip(self.cotangents, self.problem.values(at))))
        found = self.problem.pullback(self.arrays, self.cotangents)
        self.partials("rev", "gradient", self.problem.labels, self.arrays, found, weighted, self.parted)

    def fwd(self) -> None:
        if not self.outs:
            raise Undifferentiated
        sizes = np.cumsum([v.size for v in self.outs])[:-1]

        def every(at: list[Any]) -> Any:
            return np.concatenate([v.reshape(-1) for v in self.problem.values(at)] or [np.zeros(0)])
        for k, array in enumerate(self.arrays):
            many = array.size > COLUMNS
            units = [] if many else [np.eye(array.size)[i].reshape(array.shape) for i in range(array.size)]
            for direction in [self.normal(array) for _ in range(COLUMNS)] if many else units:
                tangents = [direction if i == k else None for i in range(len(self.arrays))]
                got = self.problem.push(self.arrays, tangents)
                if len(got) != len(self.outs):
                    raise GradcheckError(f"{self.problem.name}: forward mode gave {len(got)} differentiable results; expected "
                                         f"{len(self.outs)} (mode='fwd')")
                numeric = np.split(self.difference(every, self.arrays, k, direction), sizes)
                for j, (g, n, v) in enumerate(zip(got, numeric, self.outs)):
                    what = f"the directional derivative of result {j} along {self.problem.labels[k]}"
                    if g.shape != v.shape:
                        raise GradcheckError(f"{self.problem.name}: {what} has shape {g.shape}; expected {v.shape} (mode='fwd')")
                    self.compare("fwd", what, v.shape, g, n.reshape(v.shape), "index")

    def double(self) -> None:
        weights = [self.normal(a) for a in self.arrays]
        n = len(self.arrays)

        def pulled(at: list[Any]) -> float:
            return float(sum(np.vdot(w, h) for w, h in zip(weights, self.problem.pullback(at[:n], at[n:]))))
        found = self.problem.second(self.arrays, self.cotangents, weights)
        labels = [*self.problem.labels, *[f"the cotangent of result {j}" for j in range(len(self.cotangents))]]
        self.partials("double", "second-order gradient", labels, self.arrays + self.cotangents, found, pulled,
                      self.parted + [False] * len(self.cotangents))

    def fwd_over_rev(self) -> None:
        at = self.arrays + self.cotangents
        tangents = [self.normal(a) for a in at]
        n = len(self.arrays)

        def along(scale: float) -> list[Any]:
            moved = [a + scale * self.eps * t for a, t in zip(at, tangents)]
            return self.problem.pullback(moved[:n], moved[n:])
        got = self.problem.push_gradient(self.arrays, self.cotangents, tangents)
        for label, a, b, g, c in zip(self.problem.labels, along(1), along(-1), got, self.parted):
            self.compare("fwd_over_rev", f"the directional derivative of the gradient with respect to {label}", a.shape, g,
                         (a - b) / (2 * self.eps), "index", complex_=c)

    def batched(self) -> None:
        problem = self.problem
        xs = problem.tensors(self.arrays)
        outs = problem.outputs(xs)
        several = [[self.normal(v) for _ in range(BATCH)] for v in self.outs]
        gs = [[g[i] for g in [problem.cotangents([o] * BATCH, column) for o, column in zip(outs, several)]] for i in range(BATCH)]
        ts = [problem.tensors([self.normal(a) for a in self.arrays]) for _ in range(BATCH)]
        pull = func.vjp(problem.result, *xs)[1]
        self.agree("the pullback", problem.labels, lambda *g: tuple(pull(g)), gs)
        self.agree("the push of tangents", [f"result {j}" for j in range(len(outs))],
                   lambda *t: func.jvp(problem.result, tuple(xs), t)[1], ts)

    def agree(self, what: str, labels: list[str], f: Callable[..., Any], examples: list[list[Any]]) -> None:
        """Raise unless vmap of f gives what f gives one by one."""
        stacked = [tensor(np.stack([host(x) for x in column]), column[0].device) for column in zip(*examples)]
        together = [host(o) for o in func.vmap(f, randomness="same")(*stacked)]   # f draws for itself, once
        single = [np.stack([host(o) for o in column]) for column in zip(*[f(*e) for e in examples])]
        for label, a, b in zip(labels, together, single, strict=True):
            a, b, scale = parts(a), parts(b), float(np.abs(b).max(initial=0.0))
            if a.shape != b.shape or not np.all(np.abs(a - b) <= EXACT * scale):
                far = np.abs(a - b) if a.shape == b.shape else np.zeros(1)
                worst = tuple(int(i) for i in np.unravel_index(int(np.argmax(far)), far.shape))
                values = f"at index {worst}: {a[worst]:.7g}, one by one {b[worst]:.7g}" if a.shape == b.shape else \
                    f"in shape: {a.shape}, one by one {b.shape}"
                raise GradcheckError(f"{self.problem.name}: vmap of {what} differs for {label} {values} (mode='batched', "
                                     f"seed={self.seed})")


MODES = {"rev": _Check.rev, "fwd": _Check.fwd, "double": _Check.double, "fwd_over_rev": _Check.fwd_over_rev,
         "batched": _Check.batched}


def run(problem: Problem, eps: float, atol: float, rtol: float, modes: Sequence[str], seed: int, fast_mode: bool) -> float:
    """Raise ``GradcheckError`` unless every mode is right; else the largest deviation, relative to the largest element or 1."""
    check = _Check(problem, eps, atol, rtol, seed, fast_mode)
    for mode in modes:
        try:
            MODES[mode](check)
        except Undifferentiated:
            raise GradcheckError(f"gradcheck: no result of {problem.name} requires a gradient, though its inputs do "
                                 f"(mode={mode!r})") from None
        except GradcheckError:
            raise
        except TensorliteError as error:
            raise GradcheckError(f"{problem.name}: mode {mode!r} failed: {type(error).__name__}: {error} "
                                 f"(seed={seed})") from error
    return check.worst


def gradcheck(f: Callable[..., Any], inputs: Any, eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3,
              modes: Sequence[str] = ("rev", "fwd", "double"), *, seed: int = 0, name: str | None = None,
              fast_mode: bool = False) -> bool:
    """Compare the derivatives of ``f`` with central differences in float64; True, or ``GradcheckError`` (an ``AssertionError``).

    ``inputs``: an argument or a sequence of them; each a tensor or an array on any device, or a tree of these. Floating and
    complex ones are differentiated (only those that require a gradient, if any does), everything else is passed as it is.
    ``modes``:

    - ``"rev"``: the gradient, through random cotangents v of all results: v^T J for each element of the inputs;
    - ``"fwd"``: forward mode: J t along each unit vector of small inputs, random tangents of larger ones;
    - ``"double"``: the gradient of the gradient with respect to the inputs and to the cotangents;
    - ``"fwd_over_rev"``: forward mode of the gradient;
    - ``"batched"``: vmap of the pullback and of forward mode against one by one.

    A complex number counts as its two parts; cotangents and gradients are those of JAX's convention. Keep the inputs away from
    kinks by more than ``eps``. The differences of inputs of up to 512 elements are taken element by element, those of larger
    ones, and of all with ``fast_mode``, along 8 random directions. The error names the function, the mode, the input, the place
    that differs most, both values and the seed; where a rule is missing, the operation.

    >>> import tensorlite as tl
    >>> tl.testing.gradcheck(lambda x, y: tl.sin(x) * y, (tl.tensor([0.5, 1.0]), tl.tensor([2.0, 3.0])))
    True
    >>> tl.testing.gradcheck(lambda p: p["w"] ** 2 * tl.exp(p["z"]), {"w": tl.tensor([1.0]), "z": tl.tensor([0.5 + 2j])})
    True
    """
    modes = (modes,) if isinstance(modes, str) else tuple(modes)
    unknown = [m for m in modes if m not in MODES]
    if unknown:
        raise DTypeError(f"gradcheck: modes {unknown} are unknown; expected some of {', '.join(map(repr, MODES))}")
    problem = Problem(f, list(inputs) if isinstance(inputs, (tuple, list)) else [inputs], name=name)
    if not problem.where:
        raise DTypeError(f"gradcheck: {problem.name} was given no floating input; pass at least one float64 array or tensor")
    run(problem, eps, atol, rtol, modes, seed, fast_mode)
    return True


def gradgradcheck(f: Callable[..., Any], inputs: Any, eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3, *,
                  seed: int = 0) -> bool:
    """:func:`gradcheck` of the second-order gradient alone."""
    return gradcheck(f, inputs, eps, atol, rtol, ("double",), seed=seed)
