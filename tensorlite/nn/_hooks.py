"""What a module with hooks does around its forward. A module without any never comes here."""
from __future__ import annotations

from typing import Any

from tensorlite._state import current
from tensorlite.engine.batching import leading
from tensorlite.engine.primitive import primitive
from tensorlite.engine.value import Value, wrap

Tensor = Any


# The identity, with a word to say about the gradients of all its arguments at once
passed_p = primitive("module_hook", lambda xp, *arrays, hook: tuple(arrays), outputs=0)
passed_p.batch(leading)
passed_p.vjp_all(lambda g, needs, hook: hook(g))
passed_p.jvp_all(lambda ts: ts)


def call(module: Any, hooks: dict[str, dict[int, Any]], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Forward with the hooks of a module."""
    for hook in list(hooks.get("pre", {}).values()):
        answer = hook(module, args)
        if answer is not None:
            args = answer if isinstance(answer, tuple) else (answer,)
    watched = (hooks.get("backward") or hooks.get("backward_pre")) and not current().record_from
    backward = _Backward(module, hooks) if watched else None
    if backward is not None:
        args = backward.inputs(args)
    out = module.forward(*args, **kwargs)
    for hook in list(hooks.get("post", {}).values()):
        answer = hook(module, args, out)
        if answer is not None:
            out = answer
    return out if backward is None else backward.outputs(out)


def _pass(values: tuple[Any, ...], hook: Any) -> tuple[tuple[Any, ...], list[int]]:
    """The values with every tracked tensor led through ``passed_p``, and which those are."""
    places = [i for i, v in enumerate(values) if isinstance(v, Value) and v.tracked]
    if not places:
        return values, places
    led = list(values)
    for i, tensor in zip(places, passed_p(*[values[i] for i in places], hook=hook)):
        led[i] = tensor
    return tuple(led), places


def _spread(gradients: Any, places: list[int], count: int) -> tuple[Any, ...]:
    """The gradients as tensors in the places of the values they belong to, None elsewhere."""
    out: list[Any] = [None] * count
    for i, g in zip(places, gradients):
        out[i] = g if g is None or isinstance(g, Value) else wrap(g, 0)
    return tuple(out)


class _Backward:
    """One call's backward hooks: the outputs' gradients are kept until the inputs' are known."""

    def __init__(self, module: Any, hooks: dict[str, dict[int, Any]]) -> None:
        self.module, self.hooks = module, hooks
        self.in_places: list[int] = []
        self.out_places: list[int] = []
        self.in_count = self.out_count = 0
        self.grad_output: tuple[Any, ...] = ()

    def inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        self.in_count = len(args)
        args, self.in_places = _pass(args, self.at_inputs)
        return args

    def outputs(self, out: Any) -> Any:
        values = tuple(out) if isinstance(out, (tuple, list)) else (out,)
        self.out_count = len(values)
        values, self.out_places = _pass(values, self.at_outputs)
        return type(out)(values) if isinstance(out, (tuple, list)) else values[0]

    def at_outputs(self, g: Any) -> Any:
        gradients = _spread(g, self.out_places, self.out_count)
        for hook in list(self.hooks.get("backward_pre", {}).values()):
            answer = hook(self.module, gradients)
            if answer is not None:
                gradients = answer if isinstance(answer, tuple) else (answer,)
        self.grad_output = gradients
        if not self.in_places:
            self.run((None,) * self.in_count)
        return _below([gradients[i] for i in self.out_places], g)

    def at_inputs(self, g: Any) -> Any:
        gradients = self.run(_spread(g, self.in_places, self.in_count))
        return _below([gradients[i] for i in self.in_places], g)

    def run(self, gradients: tuple[Any, ...]) -> tuple[Any, ...]:
        for hook in list(self.hooks.get("backward", {}).values()):
            answer = hook(self.module, gradients, self.grad_output)
            if answer is not None:
                gradients = answer if isinstance(answer, tuple) else (answer,)
        return gradients


def _below(gradients: list[Any], like: Any) -> list[Any]:
    """Tensors as what the backward works with: raw arrays, unless it is being recorded."""
    recording = any(isinstance(g, Value) for g in like)
    return [g.value if isinstance(g, Value) and not recording else g for g in gradients]
