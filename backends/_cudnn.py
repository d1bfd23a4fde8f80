"""Convolutions by cuDNN, through NVIDIA's package ``nvidia-cudnn-frontend`` (the module ``cudnn``).

A problem (shapes, strides, dtype, options) is described once as a graph of operations, for which cuDNN's heuristics choose a
plan; after that a convolution is a look-up and one launch. Only plans that give the same bits every time are taken, and for
float32 only such as round no factor to TF32, unless ``tf32``. Nothing waits for the device; what a plan works in comes from
CuPy's pool, so that it can be captured into a CUDA graph.
"""
from __future__ import annotations

import importlib
import threading
from math import prod
from typing import Any

__all__ = ["Cudnn", "channels_last", "laid_out"]

TYPES = {"float16": "HALF", "bfloat16": "BFLOAT16", "float32": "FLOAT", "float64": "DOUBLE"}
PLANS = 4096      # kept at a time
LARGEST = 1 << 31   # elements of a tensor

Shape = tuple[int, ...]


def channels_last(x: Any) -> bool:
    """Whether the channels, axis 1, lie side by side in memory, and the pixels one after the other."""
    return not x.flags.c_contiguous and x.transpose(0, *range(2, x.ndim), 1).flags.c_contiguous


def laid_out(cupy: Any, x: Any, last: bool) -> Any:
    """The array with its channels last in memory, or in the usual order; copied if it is not."""
    if not last:
        return cupy.ascontiguousarray(x)
    turned = cupy.ascontiguousarray(x.transpose(0, *range(2, x.ndim), 1))
    return turned.transpose(0, x.ndim - 1, *range(1, x.ndim - 1))


class _Plan:
    """One problem: the graph, its tensors, and the bytes it works in."""

    __slots__ = ("graph", "inputs", "output", "workspace")

    def __init__(self, graph: Any, inputs: list[Any], output: Any) -> None:
        self.graph, self.inputs, self.output = graph, inputs, output
        self.workspace = int(graph.get_workspace_size())


class Cudnn:
    """The library on all devices of one process.

    ``cupy``: the module. ``module``: the frontend, by default imported. Raises ``ImportError`` without it, ``OSError`` where it
    finds no cuDNN, ``RuntimeError`` where that does not work with the current device.
    """

    def __init__(self, cupy: Any, module: Any = None) -> None:
        self._cupy, self._cudnn = cupy, importlib.import_module("cudnn") if module is None else module
        self._handles: dict[int, Any] = {}
        self._plans: dict[Any, _Plan | None] = {}
        self._lock = threading.Lock()   # a handle has one stream at a time
        self._handle(cupy.cuda.runtime.getDevice())

    def __repr__(self) -> str:
        return f"Cudnn(version={self._cudnn.backend_version()})"

    def _handle(self, device: int) -> Any:
        found = self._handles.get(device)
        if found is None:
            with self._cupy.cuda.Device(device):
                found = self._handles[device] = self._cudnn.create_handle()
        return found

    def fprop(self, x: Any, w: Any, b: Any, out: Shape, tf32: bool, relu: bool = False, **options: Any) -> Any:
        """The convolution of x with w, plus b along the channels, with spatial sizes ``out``; then ``relu``. None where cuDNN
        does not do it."""
        return self._run("fprop", (x, w, b), (x.shape[0], w.shape[0], *out), tf32, relu, options)

    def dgrad(self, g: Any, w: Any, size: Shape, tf32: bool, *, groups: int = 1, **options: Any) -> Any:
        """Its gradient by x, of spatial ``size``."""
        return self._run("dgrad", (g, w), (g.shape[0], groups * w.shape[1], *size), tf32, False, options)

    def wgrad(self, g: Any, x: Any, window: Shape, tf32: bool, *, groups: int = 1, **options: Any) -> Any:
        """Its gradient by w, with that window; in the usual order in memory, whatever x's is."""
        found = self._run("wgrad", (x, g), (g.shape[1], x.shape[1] // groups, *window), tf32, False, options)
        return None if found is None else self._cupy.ascontiguousarray(found)

    def _run(self, kind: str, given: tuple[Any, ...], shape: Shape, tf32: bool, relu: bool, options: dict[str, Any]) -> Any:
        arrays = [a for a in given if a is not None]
        name = arrays[0].dtype.name
        if name not in TYPES or any(a.dtype.name != name or not 0 < a.size < LARGEST for a in arrays) or not (
                0 < prod(shape) < LARGEST):
            return None
        last = channels_last(arrays[0])
        for one in ((last,) if last else (False, True)):   # for 16-bit types there may be a plan with channels last alone
            found = self._try(kind, arrays, shape, name, tf32, relu, one, options)
            if found is not None:
                return found
        return None

    def _try(self, kind: str, arrays: list[Any], shape: Shape, name: str, tf32: bool, relu: bool, last: bool,
             options: dict[str, Any]) -> Any:
        device = arrays[0].data.device_id
        how = (options["stride"], options["padding"], options["dilation"])
        key = (kind, *[a.shape for a in arrays], shape, name, tf32, relu, last, how, device)
        try:
            plan = self._plans[key]
        except KeyError:
            plan = self._kept(key, self._plan(kind, [a.shape for a in arrays], shape, name, tf32, relu, last, how, device))
        if plan is None:
            return None
        cupy = self._cupy
        sources = [laid_out(cupy, a, last) if a.ndim > 1 else cupy.ascontiguousarray(a) for a in arrays]
        out = laid_out(cupy, cupy.empty((shape[0], *shape[2:], shape[1]), arrays[0].dtype).transpose(
            0, len(shape) - 1, *range(1, len(shape) - 1)), True) if last else cupy.empty(shape, arrays[0].dtype)
        workspace = cupy.empty(max(plan.workspace, 1), "uint8")
        pointers = {t: a.data.ptr for t, a in zip(plan.inputs, sources)} | {plan.output: out.data.ptr}
        with self._lock:
            handle = self._handle(device)
            self._cudnn.set_stream(handle=handle, stream=cupy.cuda.get_current_stream(device).ptr)
            plan.graph.execute(pointers, workspace.data.ptr, handle=handle)
        return out

    def _kept(self, key: Any, plan: _Plan | None) -> _Plan | None:
        with self._lock:
            while len(self._plans) >= PLANS:
                del self._plans[next(iter(self._plans))]
            self._plans[key] = plan
        return plan

    def _plan(self, kind: str, shapes: list[Shape], shape: Shape, name: str, tf32: bool, relu: bool, last: bool, how: Any,
              device: int) -> _Plan | None:
        """The problem as a graph with a plan; None where cuDNN has none."""
        cudnn = self._cudnn
        types, modes = cudnn.data_type, cudnn.heur_mode
        element = getattr(types, TYPES[name])
        wide = types.DOUBLE if name == "float64" else types.FLOAT
        try:
            graph = cudnn.pygraph(io_data_type=element, intermediate_data_type=wide, compute_data_type=wide,
                                  handle=self._handle(device))
            inputs = [graph.tensor(**_description(s, last, len(shape)), data_type=element) for s in shapes]
            output = _graph_of(graph, kind, inputs, how, relu)
            described = _description(shape, last, len(shape))
            output.set_output(True).set_data_type(element).set_dim(described["dim"]).set_stride(described["stride"])
            graph.validate()
            graph.build_operation_graph()
            graph.create_execution_plans([modes.A, modes.FALLBACK])
            notes = cudnn.numerical_note
            refused = [notes.NONDETERMINISTIC]
            if name == "float32" and not tf32:
                refused += [notes.TENSOR_CORE, notes.DOWN_CONVERT_INPUTS]
            graph.deselect_numeric_notes(refused)
            graph.check_support()
            graph.build_plans()
            return _Plan(graph, inputs, output)
        except (cudnn.cudnnGraphNotSupportedError, RuntimeError):
            return None


def _description(shape: Shape, last: bool, ndim: int) -> dict[str, list[int]]:
    """A tensor for cuDNN, which wants two spatial axes at the least: one is put before; a bias has one for each axis."""
    if len(shape) == 1:
        shape = (1, *shape, *(1,) * (ndim - 2))
    if len(shape) == 3:
        shape = (*shape[:2], 1, shape[2])
    order = [0, *range(2, len(shape)), 1] if last else list(range(len(shape)))
    stride, step = [0] * len(shape), 1
    for axis in reversed(order):
        stride[axis] = step
        step *= shape[axis]
    return {"dim": list(shape), "stride": stride}


def _graph_of(graph: Any, kind: str, inputs: list[Any], how: Any, relu: bool) -> Any:
    """The result's tensor."""
    stride, padding, dilation = how
    lows, highs = ([pair[i] for pair in padding] for i in (0, 1))
    if len(stride) == 1:
        stride, dilation, lows, highs = (1, *stride), (1, *dilation), [0, *lows], [0, *highs]
    options = {"pre_padding": lows, "post_padding": highs, "stride": list(stride), "dilation": list(dilation)}
    if kind == "dgrad":
        return graph.conv_dgrad(loss=inputs[0], filter=inputs[1], **options)
    if kind == "wgrad":
        return graph.conv_wgrad(image=inputs[0], loss=inputs[1], **options)
    out = graph.conv_fprop(image=inputs[0], weight=inputs[1], **options)
    if len(inputs) == 3:
        out = graph.bias(input=out, bias=inputs[2])
    return graph.relu(input=out) if relu else out
