"""Checking and timing the versions of a user's kernel: ``kernel.check`` and ``kernel.bench``."""
from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from tensorlite import _dtypes, backends
from tensorlite.engine.primitive import names_of
from tensorlite.engine.value import Value, new, raw
from tensorlite.errors import DTypeError, KernelCheckError, TensorliteError
from tensorlite.testing import GradcheckError, gradcheck

__all__ = ["Report", "bench", "check"]

LEFT = "left to the reference"
FINE = ("ok", LEFT)


class Report(list[Any]):
    """Rows of a table, which is what it prints as."""

    def __init__(self, title: str, head: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> None:
        super().__init__(rows)
        self.title, self.head = title, head

    def __repr__(self) -> str:
        table = [self.head, *[tuple(map(str, row)) for row in self]]
        widths = [max(len(row[i]) for row in table) for i in range(len(self.head))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in table]
        return "\n".join([self.title, *lines])


class _Place(NamedTuple):
    """A version on a device: ``run`` takes raw arrays of the backend, or returns ``NotImplemented``."""

    device: str
    version: str
    backend: Any
    run: Callable[..., Any]


def _places(kernel: Any, device: str | None) -> Iterator[_Place]:
    """Every version there is on the device, or on every device."""
    names = [device] if device is not None else ["cpu"] + ["cuda"] * (backends.backends().get("cupy") == "available")
    for name in names:
        backend = backends.backend_for_device(name)
        yield _Place(name, "reference", backend, lambda *a, xp=backend.xp, **o: kernel.reference(xp, *a, **o))
        if backend.array_type is np.ndarray and kernel.cpu is not None:
            yield _Place(name, "cpu", backend, kernel._try_cpu)
        if hasattr(backend, "runtime") and kernel.cuda is not None:
            yield _Place(name, "cuda", backend, lambda *a, runtime=backend.runtime, **o: kernel._try_cuda(runtime, *a, **o))


def _host(array: Any) -> Any:
    """What an argument holds as a NumPy array; numbers and None stay."""
    if isinstance(array, Value):
        array = raw(array)
    if array is None or isinstance(array, (bool, int, float, np.ndarray)):
        return array
    return backends.backend_of(array).to_numpy(array)


def _cast(arrays: Sequence[Any], dtype: Any) -> list[Any]:
    return [a.astype(dtype) if hasattr(a, "dtype") and _dtypes.kind(a.dtype) == "f" else a for a in arrays]


def _layouts(backend: Any, device: str, arrays: Sequence[Any]) -> Iterator[tuple[str, list[Any]]]:
    """The arrays on the device, in rows and laid out otherwise: in columns, with a step, from an address that is not aligned."""
    xp = backend.xp

    def there(array: Any) -> Any:
        return backend.asarray(array, device=device)

    def each(change: Callable[[Any], Any]) -> list[Any]:
        return [(change if a.ndim else there)(a) if hasattr(a, "dtype") else a for a in arrays]

    yield "in rows", each(there)
    yield "in columns", each(lambda a: xp.permute_dims(there(np.ascontiguousarray(a.T)), tuple(reversed(range(a.ndim)))))
    yield "with steps", each(lambda a: there(np.repeat(a, 2, axis=-1))[..., ::2])
    yield "unaligned", each(lambda a: xp.reshape(there(np.concatenate([a[:1].reshape(-1)[:1], a.reshape(-1)]))[1:], a.shape))


def _dtypes_to_try(backend: Any) -> list[Any]:
    found: list[Any] = [np.dtype("float64"), np.dtype("float32")]
    found += [np.dtype("float16")] if "float16" in backend.capabilities else []
    return found + ([_dtypes.bfloat16()] if "bfloat16" in backend.capabilities else [])


def _error(got: Any, true: Any, dtype: Any) -> float:
    """The largest difference in units of the dtype's rounding error, relative to the value or to the mean magnitude."""
    if _dtypes.kind(got.dtype) != "f":
        return 0.0 if np.array_equal(got, true.astype(got.dtype)) else float("inf")
    wanted = true.astype(dtype).astype(np.float64)   # what overflows in the dtype may
    got, ok = got.astype(np.float64), np.isfinite(wanted)
    if not np.array_equal(got[~ok], wanted[~ok], equal_nan=True):
        return float("inf")
    got, true = got[ok], true[ok]
    if not got.size:
        return 0.0
    scale = np.maximum(np.abs(true), max(float(np.abs(true).mean()), float(np.finfo(np.float64).tiny)))
    worst = float(np.max(np.abs(got - true) / scale))
    return worst / _rounding(dtype) if worst == worst else float("inf")


def _rounding(dtype: Any) -> float:
    return {"bfloat16": 2.0**-7}.get(str(dtype)) or float(np.finfo(dtype).eps)


def _results(out: Any) -> tuple[Any, ...]:
    return out if isinstance(out, tuple) else (out,)


def check(kernel: Any, arrays: Sequence[Any], device: str | None, tolerance: float, gradient: bool,
          options: dict[str, Any]) -> Report:
    """See :meth:`tensorlite.kernel.check`."""
    arrays = [_host(a) for a in arrays]
    if not any(hasattr(a, "dtype") for a in arrays):
        raise DTypeError(f"{kernel.name}.check: no array was given")
    rows: list[tuple[Any, ...]] = []
    wrong: list[str] = []
    places = list(_places(kernel, device))
    for place in places:
        for dtype in _dtypes_to_try(place.backend):
            error, verdict = _version(kernel, place, _cast(arrays, dtype), dtype, tolerance, options)
            rows.append((place.device, place.version, dtype, error, verdict))
            if verdict not in FINE:
                wrong.append(f"{place.version} on {place.device} in {dtype}")
        verdict = _empty(kernel, place, arrays, options)
        if verdict not in FINE:
            rows.append((place.device, place.version, "", "", verdict))
            wrong.append(f"{place.version} on {place.device} for empty arrays")
    for name in dict.fromkeys(place.device for place in places) if gradient and not kernel.primitive.discrete else ():
        for what, verdict in (("gradient", _gradient(kernel, name, arrays, options)),
                              *[("jvp", _forward(kernel, name, arrays, options))] * bool(kernel.primitive.jvps)):
            rows.append((name, what, "float64", "", verdict))
            if verdict not in FINE:
                wrong.append(f"{what} on {name}")
    report = Report(f"kernel {kernel.name}: errors in units of the dtype's rounding, at most {tolerance:g}",
                    ("device", "version", "dtype", "error", "verdict"), rows)
    if wrong:
        raise KernelCheckError(f"kernel {kernel.name}, defined at {kernel._defined[1]}:{kernel._defined[2]}: wrong are "
                               f"{', '.join(wrong)}\n{report}")
    return report


def _version(kernel: Any, place: _Place, arrays: list[Any], dtype: Any, tolerance: float,
             options: dict[str, Any]) -> tuple[str, str]:
    """(error, verdict) of a version for arrays of one dtype, in every layout."""
    worst, where = 0.0, ""
    with np.errstate(all="ignore"):
        true = [np.asarray(t) for t in _results(kernel.reference(np, *_cast(arrays, np.float64), **options))]
        for layout, laid in _layouts(place.backend, place.device, arrays):
            out = place.run(*laid, **options)
            if out is NotImplemented:
                return "", LEFT
            got = [place.backend.to_numpy(o) for o in _results(out)]
            if len(got) != len(true):
                return "", f"{len(got)} results, expected {len(true)}"
            for result, (g, t) in enumerate(zip(got, true)):
                if g.shape != t.shape:
                    return "", f"result of shape {g.shape}, expected {t.shape}"
                error = _error(g, t, dtype)
                if error > worst:
                    worst, where = error, layout + (f", result {result}" if len(got) > 1 else "")
    return f"{worst:.2f}" if worst < 1e4 else f"{worst:.1e}", "ok" if worst <= tolerance else f"differs {where}"


def _empty(kernel: Any, place: _Place, arrays: Sequence[Any], options: dict[str, Any]) -> str:
    """The verdict on arrays whose first dimension is 0: fine where the reference does not take them."""
    none = [a[:0] if hasattr(a, "dtype") and a.ndim and a.shape[0] == _first(arrays) else a for a in _cast(arrays, np.float32)]
    try:
        with np.errstate(all="ignore"):
            expected = [np.asarray(o).shape for o in _results(kernel.reference(np, *none, **options))]
            if kernel.signature is not None:
                kernel.signature.sizes([tuple(getattr(a, "shape", ())) if a is not None else None for a in none])
    except Exception:
        return "ok"
    there = [place.backend.asarray(a, device=place.device) if hasattr(a, "dtype") else a for a in none]
    try:
        out = place.run(*there, **options)
        found = expected if out is NotImplemented else [tuple(o.shape) for o in _results(out)]
    except Exception as error:
        return f"of empty arrays {type(error).__name__}: {error}"
    return "ok" if found == expected else f"of empty arrays shapes {found}, expected {expected}"


def _first(arrays: Sequence[Any]) -> int:
    return next((a.shape[0] for a in arrays if hasattr(a, "dtype") and a.ndim), 0)


def _gradient(kernel: Any, device: str, arrays: Sequence[Any], options: dict[str, Any]) -> str:
    backend = backends.backend_for_device(device)
    inputs = [new(backend.asarray(a, device=device)) if hasattr(a, "dtype") else a for a in _cast(arrays, np.float64)]

    def operation(*given: Any) -> Any:
        return kernel(*given, **options)
    try:
        gradcheck(operation, inputs, modes=("rev", "double"), name=kernel.name)
    except (GradcheckError, TensorliteError) as error:
        return str(error)
    return "ok"


def _forward(kernel: Any, device: str, arrays: Sequence[Any], options: dict[str, Any]) -> str:
    """The verdict on the rules for forward mode: <v, J t> must be <J^T v, t>, with vjp's J."""
    import tensorlite as tl
    backend, rng, rules = backends.backend_for_device(device), np.random.default_rng(0), kernel.primitive.jvps

    def there(array: Any) -> Any:
        return new(backend.asarray(array, device=device))

    inputs = [there(a) if hasattr(a, "dtype") else a for a in _cast(arrays, np.float64)]
    where = [i for i, name in enumerate(kernel.arguments) if name in rules and hasattr(arrays[i], "dtype")]

    def operation(*chosen: Any) -> Any:
        given = list(inputs)
        for i, a in zip(where, chosen):
            given[i] = a
        return kernel(*given, **options)
    out, pullback = tl.func.vjp(operation, *[inputs[i] for i in where])
    if isinstance(out, tuple):
        return "rules for several results cannot be checked"
    v, tangents = there(rng.normal(size=out.shape)), [there(rng.normal(size=inputs[i].shape)) for i in where]
    known = {**dict(zip(kernel.arguments, inputs)), **kernel.options, **options, "out": out}
    pushed = 0.0
    for i, t in zip(where, tangents):
        rule = rules[kernel.arguments[i]]
        pushed += float((v * rule(t, *[known[name] for name in names_of(rule)[1:]])).sum().item())
    pulled = sum(float((c * t).sum().item()) for c, t in zip(pullback(v), tangents))
    agree = abs(pushed - pulled) <= 1e-8 * max(abs(pushed), abs(pulled), 1.0)
    return "ok" if agree else f"<v, J t> is {pushed}, but <J^T v, t> {pulled}"


def bench(kernel: Any, arrays: Sequence[Any], device: str | None, seconds: float, options: dict[str, Any]) -> Report:
    """See :meth:`tensorlite.kernel.bench`."""
    rows = []
    host = [_host(a) for a in arrays]
    moved = kernel.cost(*host, **options).bytes
    for place in _places(kernel, device):
        given = [place.backend.asarray(a, device=place.device) if hasattr(a, "dtype") else a for a in host]
        if place.run(*given, **options) is NotImplemented:
            rows.append((place.device, place.version, LEFT, ""))
            continue
        best = _best(partial(place.run, *given, **options), partial(place.backend.synchronize, place.device), seconds)
        rows.append((place.device, place.version, f"{1e6 * best:,.1f}", f"{moved / best / 1e9:.1f}"))
    shapes = ", ".join(f"{tuple(a.shape)} {a.dtype}" if hasattr(a, "dtype") else repr(a) for a in host)
    return Report(f"kernel {kernel.name} of {shapes}: {moved:,} bytes at the least", ("device", "version", "us", "GB/s"), rows)


def _best(call: Callable[[], Any], wait: Callable[[], None], seconds: float) -> float:
    """Seconds a call takes: the best of rounds of some calls, after one that warms up."""
    call()
    wait()
    rounds: list[float] = []
    began, count = time.perf_counter(), 1
    while len(rounds) < 3 or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        for _ in range(count):
            call()
        wait()
        spent = time.perf_counter() - start
        rounds.append(spent / count)
        if spent < 1e-3:
            count *= 4
    return min(rounds)
