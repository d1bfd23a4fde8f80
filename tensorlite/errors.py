"""The errors a user can cause: each derives from ``TensorliteError`` and from the builtin a caller would expect.

Every message names the op, the argument, what was given, what was expected, and what to do.
"""
from __future__ import annotations

import numpy as np

__all__ = [
    "BackendUnavailable",
    "CheckpointError",
    "ConvergenceError",
    "DataError",
    "DeviceError",
    "DTypeError",
    "GaugeWarning",
    "GradError",
    "GraphFreedError",
    "InplaceError",
    "KernelCheckError",
    "KernelError",
    "LinAlgError",
    "NotDifferentiableError",
    "OutOfMemoryError",
    "OutOfRangeError",
    "ShapeError",
    "TensorliteError",
    "TrainingError",
]


class TensorliteError(Exception):
    """The base of every error that tensorlite raises on purpose."""


class ShapeError(TensorliteError, ValueError):
    """Shapes that do not fit together."""


class DTypeError(TensorliteError, TypeError):
    """An element type that the operation does not take."""


class OutOfRangeError(TensorliteError, IndexError):
    """An index or a class label outside what it indexes."""


class DeviceError(TensorliteError, ValueError):
    """Arrays of different devices in one operation, or a device that does not exist."""


class BackendUnavailable(TensorliteError, RuntimeError):
    """A backend whose library or device is missing; the message says how to get it."""


class OutOfMemoryError(TensorliteError, MemoryError):
    """The device or the host has no memory left for an operation; the message says what holds it and what to try."""


class GradError(TensorliteError, RuntimeError):
    """A gradient that was asked for and cannot be had."""


class GraphFreedError(GradError):
    """A second backward through a graph whose saved values the first one freed."""


class InplaceError(GradError):
    """A value the tape saved was changed before backward used it."""


class KernelCheckError(TensorliteError, AssertionError):
    """A version of a user's kernel that differs from the reference, or a derivative of it that is wrong."""


class KernelError(TensorliteError, ValueError):
    """A kernel of the user that cannot be: a name that is taken, a signature or a formula that cannot be read, CUDA C++ that does
    not compile."""


class LinAlgError(TensorliteError, np.linalg.LinAlgError):
    """A matrix that a decomposition or a solver cannot take (singular, not positive definite, rank-deficient where a gradient is
    wanted); also a ``numpy.linalg.LinAlgError``, which is a ``ValueError``."""


class GaugeWarning(UserWarning):
    """A derivative that depends on an arbitrary choice: of the phases of eigenvectors or singular vectors, or of those of a
    repeated value."""


class LeakError(TensorliteError, RuntimeError):
    """A value of a transform was used after the transform ended."""


class VmapError(TensorliteError, RuntimeError):
    """A function cannot be batched: mismatched axes, a branch on batched values, or randomness without a mode."""


class NotDifferentiableError(GradError):
    """A gradient was to flow through an operation that has none."""


class ConvergenceError(TensorliteError, ArithmeticError):
    """An iteration (a fixed point, a linear solver) that did not reach its tolerance."""


class DataError(TensorliteError, ValueError):
    """A data set that is missing, truncated or corrupt."""


class CheckpointError(TensorliteError, ValueError):
    """A checkpoint that is missing, truncated, corrupt or of another model."""


class TrainingError(TensorliteError, ArithmeticError):
    """Training that cannot go on, such as a loss that is not a number."""
