"""A stand-in for the module ``cudnn`` of nvidia-cudnn-frontend 1.14: graphs of one convolution, done by NumPy in host memory.

It has the names and the arguments that the binding uses, and no more; it refuses a graph that is not described completely, steps
out of order, and memory that is too small. ``controls`` tells tests what was built and run, and what to refuse.
"""
from __future__ import annotations

import ctypes
from enum import Enum
from math import prod
from typing import Any

import numpy as np

from tensorlite.kernels import _convolution as reference

data_type = Enum("data_type", "HALF BFLOAT16 FLOAT DOUBLE NOT_SET")
heur_mode = Enum("heur_mode", "A B FALLBACK")
numerical_note = Enum("numerical_note", "TENSOR_CORE DOWN_CONVERT_INPUTS NONDETERMINISTIC")
WORKSPACE = 4096


class cudnnGraphNotSupportedError(Exception):
    """No plan for a graph."""


class Controls:
    """``built``: the kinds of graphs for which plans were made; ``ran``: how many; ``refused``: kinds that have no plan;
    ``notes``: what plans were last not to have; ``streams``: those that were set."""

    def __init__(self) -> None:
        self.built: list[str] = []
        self.streams: list[int] = []
        self.ran, self.refused, self.notes = 0, set(), ()   # type: ignore[var-annotated]


controls = Controls()


def backend_version() -> int:
    return 91400


def create_handle() -> int:
    return 4711


def set_stream(handle: int, stream: int) -> None:
    assert handle == 4711 and isinstance(stream, int)
    controls.streams.append(stream)


def _numpy(kind: Any) -> Any:
    if kind is data_type.BFLOAT16:
        import ml_dtypes
        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype({"HALF": "float16", "FLOAT": "float32", "DOUBLE": "float64"}[kind.name])


class tensor:
    def __init__(self, dim: Any = None, stride: Any = None, kind: Any = None) -> None:
        self.dim, self.stride, self.kind, self.output, self.made = dim, stride, kind, False, None   # type: ignore[var-annotated]

    def set_output(self, output: bool) -> tensor:
        self.output = output
        return self

    def set_data_type(self, kind: Any) -> tensor:
        self.kind = kind
        return self

    def set_dim(self, dim: list[int]) -> tensor:
        self.dim = dim
        return self

    def set_stride(self, stride: list[int]) -> tensor:
        self.stride = stride
        return self

    def look(self, pointer: int) -> Any:
        """The memory as an array."""
        dtype = _numpy(self.kind)
        count = 1 + sum((n - 1) * s for n, s in zip(self.dim, self.stride))
        memory = np.frombuffer((ctypes.c_char * (count * dtype.itemsize)).from_address(pointer), dtype)
        return np.lib.stride_tricks.as_strided(memory, self.dim, [s * dtype.itemsize for s in self.stride])


class pygraph:
    def __init__(self, *, io_data_type: Any, intermediate_data_type: Any, compute_data_type: Any, handle: Any) -> None:
        assert handle == 4711 and isinstance(io_data_type, data_type) and compute_data_type in (data_type.FLOAT, data_type.DOUBLE)
        assert intermediate_data_type is compute_data_type
        self.steps: list[tuple[Any, ...]] = []
        self.done: list[str] = []
        self.kind = ""

    def tensor(self, *, dim: list[int], stride: list[int], data_type: Any) -> tensor:
        assert len(dim) == len(stride) >= 4 and all(type(n) is int for n in (*dim, *stride))
        return tensor(dim, stride, data_type)

    def _convolution(self, kind: str, one: tensor, other: tensor, pre_padding: list[int], post_padding: list[int],
                     stride: list[int], dilation: list[int]) -> tensor:
        assert len(one.dim) - 2 == len(pre_padding) == len(post_padding) == len(stride) == len(dilation)
        self.kind, out = kind, tensor()
        options = {"stride": tuple(stride), "padding": tuple(zip(pre_padding, post_padding)), "dilation": tuple(dilation)}
        self.steps.append((kind, one, other, out, options))
        return out

    def conv_fprop(self, *, image: tensor, weight: tensor, **options: Any) -> tensor:
        return self._convolution("fprop", image, weight, **options)

    def conv_dgrad(self, *, loss: tensor, filter: tensor, **options: Any) -> tensor:
        return self._convolution("dgrad", loss, filter, **options)

    def conv_wgrad(self, *, image: tensor, loss: tensor, **options: Any) -> tensor:
        return self._convolution("wgrad", image, loss, **options)

    def bias(self, *, input: tensor, bias: tensor) -> tensor:
        assert bias.dim[0] == 1 and prod(bias.dim[2:]) == 1
        self.kind += "+bias"
        self.steps.append(("bias", input, bias, out := tensor(), {}))
        return out

    def relu(self, *, input: tensor) -> tensor:
        self.kind += "+relu"
        self.steps.append(("relu", input, None, out := tensor(), {}))
        return out

    def _step(self, name: str, *before: str) -> None:
        assert self.done[-len(before):] == list(before) if before else not self.done, f"{name} after {self.done}"
        self.done.append(name)

    def validate(self) -> None:
        self._step("validate")
        last = self.steps[-1][3]
        assert last.output and last.dim and last.stride and last.kind, "the result is not described"

    def build_operation_graph(self) -> None:
        self._step("build_operation_graph", "validate")

    def create_execution_plans(self, modes: list[Any]) -> None:
        self._step("create_execution_plans", "build_operation_graph")
        assert modes and all(isinstance(m, heur_mode) for m in modes)

    def deselect_numeric_notes(self, notes: list[Any]) -> None:
        assert self.done[-1] == "create_execution_plans" and all(isinstance(n, numerical_note) for n in notes)
        controls.notes = tuple(n.name for n in notes)

    def check_support(self) -> None:
        self._step("check_support", "create_execution_plans")
        last = self.steps[-1][3].stride[1] == 1
        if self.kind in controls.refused or f"{self.kind} {'last' if last else 'first'}" in controls.refused:
            raise cudnnGraphNotSupportedError("no engine")

    def build_plans(self) -> None:
        self._step("build_plans", "check_support")
        controls.built.append(self.kind)

    def get_workspace_size(self) -> int:
        assert self.done[-1] == "build_plans"
        return WORKSPACE

    def execute(self, pointers: dict[tensor, int], workspace: int, handle: Any = None) -> None:
        assert self.done[-1] == "build_plans" and handle == 4711 and all(type(p) is int for p in pointers.values())
        (ctypes.c_char * WORKSPACE).from_address(workspace).raw = b"\xff" * WORKSPACE   # it is there to be written to
        values: dict[tensor, Any] = {}

        def wide(t: tensor) -> Any:
            return values[t] if t in values else t.look(pointers[t]).astype(np.float64)
        final = self.steps[-1][3]
        for kind, one, other, out, options in self.steps:
            if kind == "fprop":
                values[out] = reference.conv(np, wide(one), wide(other), groups=one.dim[1] // other.dim[1], **options)
            elif kind == "dgrad":
                values[out] = reference.conv_input_grad(np, wide(one), wide(other), size=tuple(final.dim[2:]),
                                                        groups=final.dim[1] // other.dim[1], **options)
            elif kind == "wgrad":
                values[out] = reference.conv_weight_grad(np, wide(other), wide(one), window=tuple(final.dim[2:]),
                                                         groups=one.dim[1] // final.dim[1], **options)
            else:
                values[out] = wide(one) + wide(other) if kind == "bias" else np.maximum(wide(one), 0)
        place = final.look(pointers[final])
        assert place.shape == values[final].shape
        place[...] = values[final]
        controls.ran += 1
