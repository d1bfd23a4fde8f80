"""``certify``: everything an operation promises, checked on samples."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tensorlite import backends as known
from tensorlite._tree import flatten
from tensorlite.errors import DeviceError, DTypeError
from tensorlite.testing._checks import CHECKS, TOLERANCE, NotApplicable, Refused, Wrong
from tensorlite.testing._problem import is_array
from tensorlite.testing._report import FAILED, NONE, OK, CertifyError, Line, Report
from tensorlite.testing._subject import Subject

__all__ = ["CertifyError", "Report", "certify"]


def certify(op: Callable[..., Any], samples: Iterable[Any], backends: str | Sequence[str] = "all", *,
            reference: Callable[..., Any] | None = None, argnums: Sequence[int] | None = None, rtol: float = 1e-12,
            dtypes: Sequence[str] = ("float32", "float16", "bfloat16"), skip: Mapping[str, str] | None = None,
            name: str | None = None, seed: int = 0) -> Report:
    """Check everything ``op`` promises on ``samples``; returns a report, which prints as a table.

    ``op``: an operation, kernel, ``Function.apply``, or any function of tensors. ``samples``: pairs (args, kwargs), or tuples of
    the arguments alone; arrays in them may be NumPy's or tensors, also in lists, tuples and dicts. Floating ones are taken as
    float64. ``backends``: "all" that are available, or device strings; "cpu", or the first of them, is what the others are
    compared with, and where derivatives are checked. ``reference``: the same as ``op`` of NumPy arrays in float64. ``argnums``:
    the positions of the arguments that have derivatives; all by default. ``rtol``: how far results of two ways to compute the
    same may be apart in float64, relative to the largest element. ``dtypes``: the narrower types that results are had in (where
    the backend has them). ``skip``: checks to leave out, with the reason.

    The checks, by name: ``forward`` (against the reference), ``backends`` (values, gradients and tangents on every device),
    ``gradient``, ``forward mode``, ``double`` and ``forward over reverse`` (against central differences), ``dot test``
    (<g, J t> = <J^T g, t>), ``linearize``, ``vmap`` and ``vmap of gradient`` (against a loop, for every choice of batched
    arrays), ``dtypes`` (narrower ones against float64, and the result's type), ``determinism`` (twice the same bits),
    ``raw arrays`` (give raw arrays), ``layouts`` (strided, transposed and reversed memory), ``empty`` (arrays of no elements),
    ``inputs`` (unchanged), and ``requires_grad`` (who is on the tape, each argument alone, shapes and types of gradients).

    >>> import numpy as np, tensorlite as tl
    >>> report = tl.testing.certify(tl.tanh, [(np.array([0.5, -1.0]),)], "cpu", reference=np.tanh)
    >>> report.ok, report.line("forward").verdict
    (True, 'ok')
    >>> report.raise_for_failures()
    """
    skip = dict(skip or {})
    unknown = sorted(set(skip) - set(CHECKS))
    if unknown:
        raise DTypeError(f"certify: skip names {unknown}, which are no checks; expected some of {', '.join(CHECKS)}")
    strange = sorted(set(dtypes) - set(TOLERANCE))
    if strange:
        raise DTypeError(f"certify: dtypes names {strange}; expected some of {', '.join(TOLERANCE)}")
    devices = _devices(backends)
    called = str(name or getattr(op, "__name__", repr(op)))
    pairs = [_sample(s) for s in samples]
    if not pairs:
        raise DTypeError(f"certify: no samples of {called} were given; expected pairs (args, kwargs)")
    subjects = [Subject(op, args, kwargs, name=called, argnums=argnums, reference=reference, rtol=rtol, devices=devices,
                        dtypes=dtypes, seed=[seed, number]) for number, (args, kwargs) in enumerate(pairs)]
    for subject in subjects:
        subject.others = [s for s in subjects if s is not subject and s.like(subject)]
    lines = [Line(check, NONE, "", skip[check]) if check in skip else _line(check, subjects) for check in CHECKS]
    return Report(called, len(subjects), devices, lines)


def _line(check: str, subjects: list[Subject]) -> Line:
    """The verdict over all samples: the first failure, else the largest figure, else why it applies to none."""
    figures: list[float] = []
    notes: list[str] = []
    reasons: list[str] = []
    refused: list[str] = []
    failed: list[str] = []
    for number, subject in enumerate(subjects):
        where = f"sample {number}: " if len(subjects) > 1 else ""
        try:
            with np.errstate(all="ignore"):
                figure, note = CHECKS[check](subject)
            figures.append(figure)
            notes += [note] if note else []
        except Refused as reason:
            refused.append(" ".join(str(reason).split()))
        except NotApplicable as reason:
            reasons.append(" ".join(str(reason).split()))
        except Wrong as wrong:
            failed.append(where + str(wrong))
        except Exception as error:
            failed.append(f"{where}{type(error).__name__}: {error}")
    if failed:
        count = f" ({len(failed)} of {len(subjects)} samples)" if len(subjects) > 1 else ""
        return Line(check, FAILED, "", " ".join(failed[0].split()) + count)
    if not figures:
        return Line(check, NONE, "", "; ".join(dict.fromkeys([*refused, *reasons[:1]])))
    return Line(check, OK, f"{max(figures):.1e}" if max(figures) else "0", "; ".join(dict.fromkeys([*notes, *refused])))


def _sample(sample: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """(args, kwargs) of what was given as one sample."""
    if isinstance(sample, (tuple, list)):
        if len(sample) == 2 and isinstance(sample[0], (tuple, list)) and isinstance(sample[1], Mapping):
            return tuple(sample[0]), dict(sample[1])
        return tuple(sample), {}
    if is_array(sample) or not flatten(sample)[0]:
        return (sample,), {}
    raise DTypeError(f"certify: a sample is a {type(sample).__name__}; expected a pair (args, kwargs), or a tuple of arguments")


def _devices(chosen: str | Sequence[str]) -> tuple[str, ...]:
    """Device strings, the CPU first."""
    if chosen == "all":
        found = [known._by_name[b].devices[0] for b, state in known.backends().items() if state == "available"]
    else:
        found = [chosen] if isinstance(chosen, str) else list(chosen)
        for device in found:
            if not isinstance(device, str):
                raise DeviceError(f"certify: backends holds {device!r}; expected 'all' or device strings such as 'cpu', 'cuda'")
            known.backend_for_device(device)
    if not found:
        raise DeviceError("certify: backends is empty; expected 'all' or device strings such as 'cpu', 'cuda'")
    return tuple(sorted(dict.fromkeys(found), key=lambda d: d != "cpu"))
