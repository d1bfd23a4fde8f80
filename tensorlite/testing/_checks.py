"""The checks of ``certify``: each takes a subject and returns the largest deviation and a note, or raises ``Wrong`` or
``NotApplicable``."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np

from tensorlite import _dtypes, backends, func
from tensorlite._dtypes import is_differentiable, kind
from tensorlite._state import no_grad
from tensorlite.engine.primitive import Primitive
from tensorlite.engine.value import Value, new
from tensorlite.errors import DTypeError, GradError, LinAlgError, TensorliteError, VmapError
from tensorlite.testing import _gradcheck
from tensorlite.testing._problem import host, tensor
from tensorlite.testing._subject import NotApplicable, Refused, Subject, Wrong, cast, compare, hosts, leaves_of

__all__ = ["CHECKS", "TOLERANCE", "NotApplicable", "Refused", "Wrong"]

Found = tuple[float, str]
CHECKS: dict[str, Callable[[Subject], Found]] = {}
TOLERANCE = {"float32": 2e-5, "float16": 2e-2, "bfloat16": 1.5e-1}   # of a dozen roundings
DERIVATIVE = 1e-6   # how far the dot products may be apart, relative to the sum of their terms' magnitudes
NEAR = 1e-11        # results of the same formulas in another order, where rtol is smaller
SIZE = 3            # of a batch
MANY = 16           # elements from which second derivatives are taken along random directions


def check(name: str) -> Callable[[Callable[[Subject], Found]], Callable[[Subject], Found]]:
    """Add a check to the list."""
    def add(function: Callable[[Subject], Found]) -> Callable[[Subject], Found]:
        CHECKS[name] = function
        return function
    return add


# ---- values ------------------------------------------------------------------------------------------------------------

@check("forward")
def forward(s: Subject) -> Found:
    if s.reference is None:
        raise NotApplicable("no reference was given")
    return compare(s.values(), s.expected({}), s.rtol, "forward"), ""


@check("backends")
def other_backends(s: Subject) -> Found:
    if len(s.devices) == 1:
        raise NotApplicable(f"only {s.devices[0]} is here")
    worst, rtol = 0.0, max(s.rtol, NEAR)
    values = s.values()
    for device in s.devices[1:]:
        out = s.run(device=device)
        for o in leaves_of(out):
            if isinstance(o, Value) and o.device.partition(":")[0] != device.partition(":")[0]:
                raise Wrong(f"a result is on {o.device}; expected {device}")
        worst = max(worst, compare(hosts(out), values, rtol, f"forward on {device}"))
        if s.differentiable():
            worst = max(worst, compare(s.slopes(device), s.slopes(), rtol, f"gradient on {device}"))
            pushed = [host(t) for t in s.linear(device)[1]]
            worst = max(worst, compare(pushed, [host(t) for t in s.linear()[1]], rtol, f"tangents on {device}"))
    return worst, ""


# ---- derivatives -------------------------------------------------------------------------------------------------------

def differences(s: Subject, mode: str) -> float:
    """The deviation from central differences."""
    s.needs_derivatives()
    fast = mode == "double" and sum(a.size for a in s.problem.at) > MANY
    try:
        return _gradcheck.run(s.problem, 1e-6, 1e-5, 1e-3, (mode,), s.seed[0], fast)
    except _gradcheck.GradcheckError as error:
        raise Wrong(str(error)) from error


@check("gradient")
def gradient(s: Subject) -> Found:
    if s.where and not s.differentiable():
        values, moved = s.problem.values(s.problem.at), s.problem.values([a + 1e-6 for a in s.problem.at])
        if any(np.any((a != b) & np.isfinite(a) & np.isfinite(b)) for a, b in zip(values, moved)):
            raise Wrong("no result requires a gradient, though the results change with the inputs; name the arguments that have "
                        "derivatives in argnums")
    return differences(s, "rev"), ""


@check("forward mode")
def forward_mode(s: Subject) -> Found:
    return differences(s, "fwd"), ""


@check("dot test")
def dot_test(s: Subject) -> Found:
    s.needs_derivatives()
    out, moved = s.linear()
    worst = compare([host(o) for o in out], [host(o) for o in s.result(*s.inputs())], s.rtol, "values in forward mode")
    gs = [tensor(v, o.device) for v, o in zip(s.cotangents(out), out)]
    pulled = func.vjp(s.result, *s.inputs())[1](tuple(gs))
    ts = [tensor(t, s.devices[0]) for t in s.tangents()]
    return max(worst, transposed("<g, J t>", gs, moved, "<J^T g, t>", pulled, ts)), ""


def transposed(first: str, gs: Any, moved: Any, second: str, pulled: Any, ts: Any) -> float:
    """How far <gs, moved> and <pulled, ts> are apart."""
    left, right = (np.concatenate([(host(a) * host(b)).real.reshape(-1) for a, b in zip(*pair)] or [np.zeros(0)])
                   for pair in ((gs, moved), (pulled, ts)))
    a, b = float(left.sum()), float(right.sum())
    off = abs(a - b) / (max(float(np.abs(left).sum()), float(np.abs(right).sum())) + 1e-6)
    if not off <= DERIVATIVE:
        raise Wrong(f"{first} = {a:.10g}, {second} = {b:.10g}")
    return off


@check("linearize")
def linearize(s: Subject) -> Found:
    s.needs_derivatives()
    _, moved = s.linear()
    _, push = func.linearize(s.result, *s.inputs())
    again = push(*[tensor(t, s.devices[0]) for t in s.tangents()])
    return compare([host(t) for t in again], [host(t) for t in moved], max(s.rtol, NEAR), "linearize against jvp"), ""


@check("double")
def double(s: Subject) -> Found:
    return differences(s, "double"), ""


@check("forward over reverse")
def forward_over_reverse(s: Subject) -> Found:
    worst = differences(s, "fwd_over_rev")
    xs = s.inputs()
    outs = s.result(*xs)
    gs = [tensor(v, o.device) for v, o in zip(s.cotangents(outs), outs)]

    def pulled(*given: Any) -> Any:
        return func.vjp(s.result, *given)[1](tuple(gs))
    ts = [tensor(t, s.devices[0]) for t in s.tangents()]
    hs = [tensor(t[::-1].copy() if t.ndim else t, s.devices[0]) for t in s.tangents()]
    moved, back = func.jvp(pulled, tuple(xs), tuple(ts))[1], func.vjp(pulled, *xs)[1](tuple(hs))
    return max(worst, transposed("forward over reverse", hs, moved, "reverse over reverse", back, ts)), ""


# ---- vmap --------------------------------------------------------------------------------------------------------------

def examples(s: Subject) -> list[dict[int, Any]]:
    """A batch: the sample, others that differ in values alone, and the sample with each array scaled by about a thousandth, which
    keeps signs, order and ties."""
    rng = s.rng()
    found = [s.held, *[o.held for o in s.others]][:SIZE]
    while len(found) < SIZE:
        found.append({k: a * (1 + 1e-3 * rng.uniform(-1, 1)) if is_differentiable(a.dtype) else a
                      for k, a in s.held.items()})
    return found


def choices(count: int) -> Iterator[tuple[bool, ...]]:
    """Which arrays are batched: of up to three every choice, of more all and each one alone."""
    if count <= 3:
        return (c for c in product((True, False), repeat=count) if any(c))
    return iter([(True,) * count, *[tuple(i == k for i in range(count)) for k in range(count)]])


def against_a_loop(s: Subject, f: Callable[..., Any], rtol: float, what: str) -> Found:
    """vmap of f, a function of the sample's arrays, against one by one."""
    if not s.held:
        raise NotApplicable("no argument is an array")
    worst, several, refused, ran = 0.0, examples(s), [], 0
    for batched in choices(len(s.held)):
        stacked = [tensor(np.stack([e[k] for e in several]) if b else s.held[k], s.devices[0]) for k, b in zip(s.held, batched)]
        loop = [[host(o) for o in f(*[x[i] if b else x for x, b in zip(stacked, batched)])] for i in range(SIZE)]
        if any(len({o.shape for o in column}) > 1 for column in zip(*loop)):
            refused.append("the result's shape depends on values")
            continue
        try:
            out = [host(o) for o in func.vmap(f, in_axes=tuple(0 if b else None for b in batched))(*stacked)]
        except (VmapError, GradError) as error:
            if "no batching rule" in str(error):
                raise
            refused.append(str(error))
            continue
        ran += 1
        want = [np.stack(column) for column in zip(*loop)]
        told = f"{what}, batched {', '.join(str(i) for i, b in enumerate(batched) if b)} of {len(batched)} arrays"
        worst = max(worst, compare(out, want, rtol, told))
        for o, w in zip(out, want):
            if o.dtype != w.dtype:
                raise Wrong(f"{told}: dtype {o.dtype}; expected {w.dtype}")
    if not ran:
        raise Refused("; ".join(dict.fromkeys(refused)))
    return worst, "; ".join(dict.fromkeys(refused))


@check("vmap")
def vmap(s: Subject) -> Found:
    def function(*arrays: Any) -> Any:
        return tuple([o for o in leaves_of(s.problem.call(dict(zip(s.held, arrays)))) if isinstance(o, Value)])
    return against_a_loop(s, function, s.rtol, "vmap")


@check("vmap of gradient")
def vmap_of_gradient(s: Subject) -> Found:
    s.needs_derivatives()

    def pulled(*arrays: Any) -> Any:
        given = dict(zip(s.held, arrays))

        def function(*chosen: Any) -> Any:
            out = leaves_of(s.problem.call({**given, **dict(zip(s.where, chosen))}))
            return tuple([o for o in out if isinstance(o, Value) and is_differentiable(o.dtype)])
        outs, pullback = func.vjp(function, *[given[k] for k in s.where])
        return pullback(tuple([tensor(v, s.devices[0]) for v in s.cotangents(outs)]))
    worst, note = against_a_loop(s, pulled, max(s.rtol, NEAR), "vmap of the gradient")
    return max(worst, differences(s, "batched")), note


# ---- types, bits, memory -----------------------------------------------------------------------------------------------

@check("dtypes")
def dtypes(s: Subject) -> Found:
    floats = [k for k, a in s.held.items() if is_differentiable(a.dtype)]
    if not floats:
        raise NotApplicable("no argument is floating")
    worst, refused, ran = 0.0, [], 0
    wide = [o.dtype for o in s.values()]
    for device in s.devices:
        capable = backends.backend_for_device(device).capabilities
        for name, allowed in TOLERANCE.items():
            half = name != "float32"
            if name not in s.dtypes or (half and (name not in capable or any(kind(s.held[k].dtype) == "c" for k in floats))):
                continue
            dtype = _dtypes.bfloat16() if name == "bfloat16" else np.dtype(name)
            given = {k: cast(s.held[k], dtype) for k in floats}
            try:
                got = hosts(s.run(given, device))
            except DTypeError as error:
                refused.append(f"{name} refused on {device}: {str(error).partition('(given')[0].strip()}")
                continue
            want = s.expected({k: cast(a, np.float64) for k, a in given.items()})
            want = [w if not is_differentiable(g.dtype) else w.astype(g.dtype).astype(w.dtype) for g, w in zip(got, want)]
            worst = max(worst, compare(got, want, max(allowed, s.rtol), f"{name} on {device}") / allowed * TOLERANCE["float32"])
            result_types(s, name, dtype, got, wide)
            ran += 1
    if not ran:
        raise NotApplicable("; ".join(refused) or f"none of {s.dtypes} is here")
    return worst, "; ".join(dict.fromkeys(refused))


def result_types(s: Subject, name: str, dtype: Any, got: list[Any], wide: list[Any]) -> None:
    """What is float64 of float64 must be of the type of the arguments, or what their types promote to."""
    _, kwargs = s.problem.rebuild(list(s.problem.leaves))
    if "dtype" in kwargs or any(isinstance(x, (np.dtype, type)) for x in s.problem.leaves):
        return
    others = {a.dtype for a in s.held.values() if kind(a.dtype) in "iu"}
    allowed = {dtype, np.dtype(np.float64)} if others else {dtype}
    for k, (o, before) in enumerate(zip(got, wide)):
        if before == np.float64 and kind(o.dtype) == "f" and o.dtype not in allowed:
            raise Wrong(f"of {name} arguments result {k} has dtype {o.dtype}")
        if before == np.complex128 and name == "float32" and o.dtype != np.complex64:
            raise Wrong(f"of {name} arguments result {k} has dtype {o.dtype}; expected complex64")


def bits(arrays: list[Any]) -> list[bytes]:
    return [np.ascontiguousarray(a).tobytes() for a in arrays]


@check("determinism")
def determinism(s: Subject) -> Found:
    for device in s.devices:
        if bits(hosts(s.run(device=device))) != bits(s.values(device)):
            raise Wrong(f"two calls with the same arguments gave different bits on {device}; draw random numbers from a key")
        if s.differentiable() and bits(s.gradients(device=device)) != bits(s.slopes(device)):
            raise Wrong(f"two backward passes with the same arguments gave different bits on {device}")
    return 0.0, ""


@check("raw arrays")
def raw_arrays(s: Subject) -> Found:
    if not s.held:
        raise NotApplicable("no argument is an array")
    out = leaves_of(s.raw())
    wrapped = [isinstance(o, Value) for o in out]
    if out and all(wrapped) and not isinstance(s.op, Primitive):
        raise NotApplicable("it makes tensors of arrays")
    if any(wrapped):
        raise Wrong("raw arrays gave a tensor")
    if bits([np.asarray(o) for o in out]) != bits(s.values()):
        raise Wrong("raw arrays gave other bits than tensors of them")
    return 0.0, ""


LAYOUTS: dict[str, Callable[[Any, Callable[[Any], Any]], Any]] = {
    "strided": lambda a, there: there(np.repeat(a, 2, axis=-1))[..., ::2],
    "transposed": lambda a, there: backends.backend_of(made := there(np.ascontiguousarray(a.T))).xp.permute_dims(
        made, tuple(reversed(range(a.ndim)))),
    "reversed": lambda a, there: there(np.ascontiguousarray(a[::-1]))[::-1, ...],
}


@check("layouts")
def layouts(s: Subject) -> Found:
    if all(not a.ndim for a in s.held.values()):
        raise NotApplicable("no argument is an array of one or more axes")
    worst, rtol = 0.0, max(s.rtol, NEAR)
    for device in s.devices:
        backend = backends.backend_for_device(device)
        values = s.values(device)
        for name, change in LAYOUTS.items():
            def laid(device: str = device, change: Any = change, backend: Any = backend) -> Any:
                def there(x: Any) -> Any:
                    return backend.asarray(x, device=device, copy=True)
                return {k: new(change(a, there)) for k, a in s.held.items() if a.ndim}
            worst = max(worst, compare(hosts(s.run(laid(), device)), values, rtol, f"{name} on {device}"))
            if s.differentiable():
                worst = max(worst, compare(s.gradients(laid(), device), s.slopes(device), rtol,
                                           f"gradient, {name} on {device}"))
    return worst, ""


@check("empty")
def empty(s: Subject) -> Found:
    first = next((a.shape[0] for a in s.held.values() if a.ndim), None)
    if first is None:
        raise NotApplicable("no argument is an array of one or more axes")
    none = {k: a[:0] for k, a in s.held.items() if a.ndim and a.shape[0] == first}
    try:
        expected = s.expected(none) if s.reference is not None else None
    except Exception as error:
        raise NotApplicable(f"the reference refuses empty arrays: {error}") from None
    try:
        out = hosts(s.run(none))
    except (TensorliteError, ValueError, IndexError) as error:
        raise Refused(f"refused: {error}") from None
    for device in s.devices:
        got = hosts(s.run(none, device))
        worst = compare(got, out if expected is None else expected, max(s.rtol, NEAR), f"empty arrays on {device}")
        if s.differentiable():
            try:
                found = s.backward(none, device)[1]
            except LinAlgError as error:
                raise Refused(f"the gradient of empty arrays: {error}") from None
            for k, g in zip(s.where, found):
                shape = none.get(k, s.held[k]).shape
                if g is not None and tuple(g.shape) != shape:
                    raise Wrong(f"the gradient of an empty array has shape {tuple(g.shape)}; expected {shape}")
    return worst, ""


@check("inputs")
def inputs_unchanged(s: Subject) -> Found:
    for device in s.devices:
        held = {k: tensor(a, device) for k, a in s.held.items()}
        before = bits([host(x) for x in held.values()])
        steps: dict[str, Callable[[], Any]] = {"the call": lambda: s.run(held, device)}   # noqa: B023
        if s.differentiable():
            steps["backward"] = lambda: s.backward(held, device)   # noqa: B023
        for step, run in steps.items():
            run()
            for k, (x, old) in enumerate(zip(held.values(), before)):
                if bits([host(x)]) != [old]:
                    raise Wrong(f"{step} changed array {k} of the arguments on {device}")
    return 0.0, ""


# ---- the tape's books --------------------------------------------------------------------------------------------------

@check("requires_grad")
def requires_grad(s: Subject) -> Found:
    for o in leaves_of(s.run()):
        if isinstance(o, Value) and o.requires_grad:   # type: ignore[attr-defined]
            raise Wrong("a result requires a gradient, though no argument does")
    s.needs_derivatives()
    with no_grad():
        if any(o.grad_fn is not None for o in s.backward()[0]):   # an argument may come back as it is
            raise Wrong("a result requires a gradient under no_grad")
    _, whole = s.backward()
    worst = 0.0
    for k, g, label in zip(s.where, whole, s.problem.labels):
        if g is not None and (tuple(g.shape), g.dtype) != (s.held[k].shape, s.held[k].dtype):
            raise Wrong(f"the gradient of {label} has shape {tuple(g.shape)} and dtype {g.dtype}; expected {s.held[k].shape} and "
                        f"{s.held[k].dtype}")
        if len(whole) > 1:
            alone = s.backward(which=[k])[1][0]
            pair = [np.zeros(s.held[k].shape) if x is None else host(x) for x in (alone, g)]
            worst = max(worst, compare(pair[:1], pair[1:], max(s.rtol, NEAR), f"the gradient of {label}, asked for alone"))
    narrow = {k: cast(s.held[k], np.float32) for k in s.where}
    try:
        found = s.backward(narrow)[1]
    except DTypeError:
        return worst, ""
    for k, g, label in zip(s.where, found, s.problem.labels):
        if g is not None and g.dtype != narrow[k].dtype:
            raise Wrong(f"the gradient of {label} of dtype {narrow[k].dtype} has dtype {g.dtype}")
    return worst, ""
