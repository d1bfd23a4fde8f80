"""The same work by PyTorch, Liger and JAX.

A PyTorch entry is ``make(torch, wrap, *args, **options)`` over tensors: it returns the call to time. ``wrap`` is put around what
compiles: ``torch.compile``, or a function that returns its argument. Calls return what corresponds to the kernel's results, in
order, or False where the two cannot be compared (other random numbers).
"""
from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from ._cases import Case, Problem, Step
from ._device import Candidate, Cpu, Cuda

__all__ = ["TORCH", "found", "libraries", "optional"]


def optional(name: str) -> Any:
    """The library, or None where it is not installed or does not work."""
    if name == "jax":
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")   # it takes most of the GPU's memory otherwise
    import importlib
    try:
        return importlib.import_module(name)
    except Exception:   # broken installations raise anything
        return None


def libraries(device: Cpu | Cuda) -> dict[str, Any]:
    """The libraries that are installed and see the device."""
    found = {name: library for name in ("torch", "jax", "liger_kernel") if (library := optional(name)) is not None}
    if device.kind == "cuda" and "torch" in found and not found["torch"].cuda.is_available():
        del found["torch"]
    if device.kind == "cuda" and "jax" in found and found["jax"].default_backend() != "gpu":
        del found["jax"]
    return found


def found(device: Cpu | Cuda, libraries: dict[str, Any], case: Case, problems: list[Problem], compiled: bool,
          ) -> Iterator[tuple[str, Callable[[], Candidate]]]:
    """(label, what makes the candidate) for each peer that does this kernel's work."""
    torch: Any = libraries.get("torch")
    jax: Any = libraries.get("jax")
    if torch is not None and hasattr(torch, "backends"):
        torch.backends.cuda.matmul.allow_tf32 = case.dtype == "tf32"
    makes = dict(TORCH.get(case.kernel, {})) if torch is not None else {}
    if device.kind == "cpu" or "liger_kernel" not in libraries:
        makes.pop("liger", None)
    for label, make in makes.items():
        yield label, partial(_torch, torch, device, make, problems, _same)
    if compiled and makes:
        yield "torch.compile", partial(_torch, torch, device, makes["torch"], problems[:1], torch.compile)
    if case.kernel == "philox" and device.kind == "cpu":
        yield "numpy.random", partial(_numpy_random, problems)
    if jax is not None and case.kernel not in NO_JAX and (device.kind == "cpu" or case.size == "large"):
        yield "jax", partial(_jax, jax, device, case, problems[:1])


def _numpy_random(problems: list[Problem]) -> Candidate:
    rng, options = np.random.Generator(np.random.Philox(1)), problems[0].options
    draw = rng.random if options["kind"] == "uniform" else rng.standard_normal
    return Candidate([lambda: draw(options["shape"], np.float32)])


def _same(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


# ---- PyTorch ----------------------------------------------------------------------------------------------------------------

def to_torch(torch: Any, device: Cpu | Cuda, value: Any) -> Any:
    """Arrays as tensors that share their memory; lists of them; everything else as it is."""
    if isinstance(value, tuple | list):
        return type(value)([to_torch(torch, device, v) for v in value])
    if not hasattr(value, "__dlpack__"):
        return value
    if value.dtype.name == "bfloat16":   # exchanged as integers of the same size
        return torch.from_dlpack(value.view("int16")).view(torch.bfloat16)
    return torch.from_dlpack(value)


def _torch(torch: Any, device: Cpu | Cuda, make: Callable[..., Any], problems: list[Problem], wrap: Any) -> Candidate:
    move, runs = partial(to_torch, torch, device), []
    with torch.device(device.kind):
        for p in problems:
            if isinstance(p, Step):   # with parameters and state of its own
                runs.append(make(torch, wrap, [q.clone() for q in move(p.params)], move(p.grads), **p.options))
            else:
                runs.append(make(torch, wrap, *[move(a) for a in p.copy().args], **p.options))
    return Candidate(runs)


TORCH: dict[str, dict[str, Callable[..., Callable[[], Any]]]] = {}


def peer(kernel: str, label: str = "torch") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def enter(make: Callable[..., Any]) -> Callable[..., Any]:
        TORCH.setdefault(kernel, {})[label] = make
        return make
    return enter


@peer("sigmoid")
def _(torch: Any, wrap: Any, x: Any) -> Any:
    return partial(wrap(lambda x: torch.sigmoid(x)), x)


@peer("sigmoid_backward")
def _(torch: Any, wrap: Any, g: Any, y: Any) -> Any:
    return partial(wrap(lambda g, y: torch.ops.aten.sigmoid_backward(g, y)), g, y)


@peer("relu_backward")
def _(torch: Any, wrap: Any, g: Any, y: Any) -> Any:
    return partial(wrap(lambda g, y: torch.ops.aten.threshold_backward(g, y, 0)), g, y)


@peer("outer")
def _(torch: Any, wrap: Any, x: Any, y: Any) -> Any:
    return partial(wrap(lambda x, y: x[..., None] * y[..., None, :]), x, y)


@peer("erf")
def _(torch: Any, wrap: Any, x: Any) -> Any:
    return partial(wrap(lambda x: torch.special.erf(x)), x)


@peer("dropout")
def _(torch: Any, wrap: Any, x: Any, p: float, place: Any) -> Any:
    run = wrap(lambda x: torch.nn.functional.dropout(x, p))
    return lambda: run(x) is None


@peer("philox")
def _(torch: Any, wrap: Any, kind: str, shape: Any, dtype: str, seed: int) -> Any:
    function, where = torch.rand if kind == "uniform" else torch.randn, torch.get_default_device()
    draw = wrap(lambda: function(shape, device=where))
    return lambda: draw() is None


def _function(torch: Any, activation: str) -> tuple[Any, Any, dict[str, str]]:
    """(function, its gradient by the incoming one and what is saved, their option)."""
    name = activation.removesuffix("_tanh")
    grad = getattr(torch.ops.aten, f"{name}_backward", None) if name != "relu" else (
        lambda g, y: torch.ops.aten.threshold_backward(g, y, 0))
    return getattr(torch.nn.functional, name), grad, {"approximate": "tanh"} if activation == "gelu_tanh" else {}


@peer("bias_activation")
def _(torch: Any, wrap: Any, x: Any, b: Any, activation: str) -> Any:
    function, _, option = _function(torch, activation)
    return partial(wrap(lambda x, b: function(x + b, **option)), x, b)


@peer("bias_activation_backward")
def _(torch: Any, wrap: Any, g: Any, saved: Any, b: Any, activation: str) -> Any:
    _, grad, option = _function(torch, activation)

    def both(g: Any, saved: Any, b: Any) -> Any:
        dx = grad(g, saved if b is None else saved + b, **option)
        return dx, dx.sum(0)
    return partial(wrap(both), g, saved, b)


@peer("sum_to")
def _(torch: Any, wrap: Any, x: Any, shape: tuple[int, ...]) -> Any:
    return partial(wrap(lambda x: x.sum_to_size(shape)), x)


@peer("softmax_cross_entropy")
def _(torch: Any, wrap: Any, x: Any, labels: Any) -> Any:
    return _loss(wrap(torch.nn.functional.cross_entropy), x.clone().requires_grad_(), labels)


@peer("softmax_cross_entropy", "liger")
def _(torch: Any, wrap: Any, x: Any, labels: Any) -> Any:
    from liger_kernel.transformers import LigerCrossEntropyLoss
    return _loss(LigerCrossEntropyLoss(), x.clone().requires_grad_(), labels)   # a clone: it writes the gradient over the logits


def _loss(function: Any, x: Any, labels: Any) -> Any:
    def run() -> Any:
        x.grad = None
        loss = function(x, labels)
        loss.backward()
        return loss.detach(), x.grad
    return run


@peer("row_normalize")
def _(torch: Any, wrap: Any, x: Any, w: Any, b: Any, eps: float) -> Any:
    return partial(wrap(lambda x, w, b: torch.nn.functional.layer_norm(x, x.shape[1:], w, b, eps)), x, w, b)


@peer("row_normalize", "liger")
def _(torch: Any, wrap: Any, x: Any, w: Any, b: Any, eps: float) -> Any:
    from liger_kernel.transformers.functional import liger_layer_norm
    return lambda: liger_layer_norm(x, w, b, eps)


@peer("row_normalize_grad")
def _(torch: Any, wrap: Any, g: Any, x: Any, w: Any, mean: Any, var: Any, eps: float) -> Any:
    mean, scale = mean[:, None], torch.rsqrt(var + eps)[:, None]
    return partial(wrap(lambda g, x, w, mean, scale: torch.ops.aten.native_layer_norm_backward(
        g, x, x.shape[1:], mean, scale, w, w, [True, True, True])), g, x, w, mean, scale)


@peer("conv")
def _(torch: Any, wrap: Any, x: Any, w: Any, b: Any, stride: Any, padding: Any, dilation: Any) -> Any:
    return partial(wrap(lambda x, w, b: torch.nn.functional.conv2d(x, w, b, stride, padding[0], dilation)), x, w, b)


@peer("conv_input_grad")
def _(torch: Any, wrap: Any, g: Any, w: Any, size: Any, stride: Any, padding: Any, dilation: Any) -> Any:
    return partial(wrap(lambda g, w: torch.nn.grad.conv2d_input((g.shape[0], w.shape[1], *size), w, g, stride, padding[0],
                                                                dilation)), g, w)


@peer("conv_weight_grad")
def _(torch: Any, wrap: Any, g: Any, x: Any, window: Any, stride: Any, padding: Any, dilation: Any) -> Any:
    return partial(wrap(lambda g, x: torch.nn.grad.conv2d_weight(x, (g.shape[1], x.shape[1], *window), g, stride, padding[0],
                                                                 dilation)), g, x)


@peer("channel_normalize")
def _(torch: Any, wrap: Any, x: Any, w: Any, b: Any, eps: float) -> Any:
    return partial(wrap(lambda x, w, b: torch.nn.functional.batch_norm(x, None, None, w, b, True, 0.1, eps)), x, w, b)


@peer("channel_normalize_grad")
def _(torch: Any, wrap: Any, g: Any, x: Any, w: Any, mean: Any, var: Any, eps: float) -> Any:
    scale = torch.rsqrt(var + eps)
    return partial(wrap(lambda g, x, w, mean, scale: torch.ops.aten.native_batch_norm_backward(
        g, x, w, None, None, mean, scale, True, eps, [True, True, True])), g, x, w, mean, scale)


@peer("max_pool")
def _(torch: Any, wrap: Any, x: Any, windows: Any) -> Any:
    return partial(wrap(lambda x: torch.nn.functional.max_pool2d(x, 2, return_indices=True)), x)


@peer("max_pool_grad")
def _(torch: Any, wrap: Any, g: Any, index: Any, windows: Any) -> Any:
    x, index = g.new_empty((*g.shape[:2], *(w.size for w in windows))), index.long()
    return partial(wrap(lambda g, x, index: torch.ops.aten.max_pool2d_with_indices_backward(
        g, x, [2, 2], [2, 2], [0, 0], [1, 1], False, index)), g, x, index)


@peer("resample")
def _(torch: Any, wrap: Any, x: Any, taps: Any) -> Any:
    return partial(wrap(lambda x: torch.nn.functional.avg_pool2d(x, 2)), x)


@peer("check_indices")
def _(torch: Any, wrap: Any, indices: Any, low: int, high: int) -> Any:
    run = wrap(lambda indices: torch.aminmax(indices))
    return lambda: run(indices) is None


@peer("take_rows")
def _(torch: Any, wrap: Any, table: Any, indices: Any) -> Any:
    return partial(wrap(lambda indices, table: torch.nn.functional.embedding(indices, table)), indices, table)


@peer("put_rows")
def _(torch: Any, wrap: Any, x: Any, v: Any, indices: Any) -> Any:
    run = wrap(lambda x, v, indices: x.index_copy(0, indices, v))
    return lambda: run(x, v, indices) is None   # which of several values stays is left open


@peer("embedding_grad")
def _(torch: Any, wrap: Any, g: Any, indices: Any, rows: int) -> Any:
    return partial(wrap(lambda g, i: torch.ops.aten.embedding_dense_backward(g, i, rows, -1, False)), g, indices)


@peer("gather_batch")
def _(torch: Any, wrap: Any, images: Any, indices: Any, factor: float, offset: float) -> Any:
    return partial(wrap(lambda x, i: x[i].to(torch.float32) * factor + offset), images, indices)


@peer("augment_batch")
def _(torch: Any, wrap: Any, images: Any, indices: Any, moves: Any, factor: float, offset: float) -> Any:
    def run(x: Any, i: Any, m: Any) -> Any:
        side = x.shape[-1]
        at = torch.arange(side, device=x.device)
        v, u = at + m[:, :1], torch.where(m[:, 2:3] != 0, side - 1 - at, at) + m[:, 1:2]
        inside = ((v >= 0) & (v < side))[:, None, :, None] & ((u >= 0) & (u < side))[:, None, None]
        v, u = v.clamp(0, side - 1)[:, None, :, None], u.clamp(0, side - 1)[:, None, None]
        found = x[i[:, None, None, None], torch.arange(x.shape[1], device=x.device)[None, :, None, None], v, u]
        return torch.where(inside, found, 0).to(torch.float32) * factor + offset
    return partial(wrap(run), images, indices, moves)


@peer("grad_norm")
def _(torch: Any, wrap: Any, grads: Any) -> Any:
    return partial(wrap(lambda grads: torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))), grads)


@peer("unscale")
def _(torch: Any, wrap: Any, grads: Any, scale: Any) -> Any:
    overflow, inverse = torch.zeros(1, device=scale.device), 1 / scale
    run = lambda: torch._amp_foreach_non_finite_check_and_unscale_(grads, overflow, inverse.reshape(1))
    return lambda: run() or (overflow.reshape(()), *grads)


@peer("update_scale")
def _(torch: Any, wrap: Any, scale: Any, tracker: Any, overflow: Any, growth: float, backoff: float, interval: int) -> Any:
    run = partial(torch._amp_update_scale_, scale, tracker, overflow, growth, backoff, min(interval, 1 << 30))
    return lambda: (run(), tracker, overflow)


def _optimizer(name: str, fused: bool) -> Callable[..., Any]:
    def make(torch: Any, wrap: Any, params: Any, grads: Any, lr: float, **options: Any) -> Any:
        for p, g in zip(params, grads):
            p.requires_grad_().grad = g
        step = wrap(getattr(torch.optim, name)(params, lr=lr, **options, **({"fused": True} if fused else {})).step)
        return lambda: step() or [p.detach() for p in params]
    return make


for _kernel, _name in (("sgd", "SGD"), ("adam", "Adam"), ("rmsprop", "RMSprop")):
    peer(_kernel)(_optimizer(_name, False))
    if _kernel != "rmsprop":
        peer(_kernel, "torch fused")(_optimizer(_name, True))


@peer("linear")
def _(torch: Any, wrap: Any, x: Any, w: Any, b: Any, g: Any) -> Any:
    return partial(wrap(lambda x, w, b, g: (torch.nn.functional.linear(x, w, b), g @ w, g.t() @ x, g.sum(0))), x, w, b, g)


# ---- JAX --------------------------------------------------------------------------------------------------------------------

NO_JAX = ("check_indices", "augment_batch", "grad_norm", "unscale", "update_scale", "rmsprop",
          "linear")   # nothing of the kind, or in place


def _jax(jax: Any, device: Cpu | Cuda, case: Case, problems: list[Problem]) -> Candidate:
    """One compiled function; what has no entry in :func:`_jax_function` is the kernel's reference over ``jax.numpy``."""
    from tensorlite.kernels import load
    jnp = jax.numpy

    def move(value: Any) -> Any:
        if isinstance(value, tuple | list):
            return [move(v) for v in value]
        if not hasattr(value, "__dlpack__"):
            return value
        if value.dtype.name == "bfloat16":
            return jax.lax.bitcast_convert_type(jnp.from_dlpack(value.view("int16")), jnp.bfloat16)
        return jnp.asarray(value) if device.kind == "cpu" else jnp.from_dlpack(value)

    function = _jax_function(jax, case.kernel, problems[0])
    if function is None:
        options = problems[0].options
        function = lambda *args: load(case.kernel).reference(jnp, *args, **options)
    compiled, runs = jax.jit(function), []
    for problem in problems:
        args = (problem.params, problem.grads, *filter(None, problem.states)) if isinstance(problem, Step) else problem.args
        key = [jax.random.key(1)] if case.kernel in ("philox", "dropout") else []   # an argument, or XLA may draw at compile time
        call = partial(compiled, *move(args), *key)
        runs.append(partial(_waited, jax, call) if device.kind == "cpu" else call)
    return Candidate(runs, None if device.kind == "cpu" else jax.block_until_ready)


def _waited(jax: Any, call: Callable[[], Any]) -> Any:
    return jax.block_until_ready(call())


def _jax_function(jax: Any, kernel: str, problem: Problem) -> Any:
    jnp, options = jax.numpy, problem.options
    if kernel == "softmax_cross_entropy":
        logs = lambda x: jax.nn.log_softmax(x.astype(jnp.float32))
        return jax.value_and_grad(lambda x, t: -jnp.take_along_axis(logs(x), t[:, None], 1).mean())
    if kernel == "take_rows":
        return lambda table, indices: jnp.take(table, indices, axis=0)
    if kernel == "put_rows":
        return lambda x, v, indices: x.at[indices].set(v)
    if kernel == "embedding_grad":
        return lambda g, indices: jax.ops.segment_sum(g, indices, options["rows"])
    if kernel == "gather_batch":
        return lambda x, i: x[i].astype(jnp.float32) * options["factor"] + options["offset"]
    if kernel == "philox":
        draw = jax.random.uniform if options["kind"] == "uniform" else jax.random.normal
        return lambda key: draw(key, options["shape"])
    if kernel == "dropout":
        keep = 1 - options["p"]
        return lambda x, key: jnp.where(jax.random.bernoulli(key, keep, x.shape), x / keep, 0).astype(x.dtype)
    if kernel == "sgd":
        def sgd(params: Any, grads: Any, buffers: Any) -> Any:
            buffers = [0.9 * b + g for b, g in zip(buffers, grads)]
            return [p - 1e-3 * b for p, b in zip(params, buffers)], buffers
        return sgd
    if kernel == "adam":
        def adam(params: Any, grads: Any, m: Any, v: Any) -> Any:
            m = [0.9 * a + 0.1 * g for a, g in zip(m, grads)]
            v = [0.999 * a + 0.001 * g * g for a, g in zip(v, grads)]
            out = [p - 1e-3 * (a / 0.1) / (jnp.sqrt(b / 0.001) + 1e-8) for p, a, b in zip(params, m, v)]
            return out, m, v
        return adam
    return None

