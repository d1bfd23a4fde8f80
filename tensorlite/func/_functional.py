"""Modules as functions of their parameters and buffers: ``functional_call`` and ``stack_module_state``."""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from threading import RLock
from typing import Any
from weakref import WeakKeyDictionary

from tensorlite.engine.value import KIND, RAW, Provided, Value
from tensorlite.errors import DTypeError, GradError, ShapeError

_locks: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
_making = RLock()


def _lock(module: Any) -> Any:
    with _making:
        found = _locks.get(module)
        if found is None:
            found = _locks[module] = RLock()
        return found


def functional_call(module: Any, parameters_and_buffers: Any, args: Any = None, kwargs: dict[str, Any] | None = None, *,
                    tie_weights: bool = True, strict: bool = False) -> Any:
    """``module(*args, **kwargs)`` with other tensors in the place of its parameters and buffers, by their dotted names.

    ``parameters_and_buffers``: a dict, or a sequence of dicts without common names. Names that are not given keep the module's
    own tensors; with ``strict`` there must be all of the module's names and no others. ``args``: a tuple, or the one argument.
    ``tie_weights``: a parameter with several names is replaced under all of them when it is given by one.

    The module is as it was afterwards, also after an error; another thread that calls the same module by ``functional_call``
    waits. Errors: ``GradError`` if names do not fit, or if forward assigns a value of a running transform to a buffer that was
    not given.

    >>> import tensorlite as tl
    >>> layer = tl.nn.Linear(2, 1)
    >>> params = {"weight": tl.tensor([[1.0, 2.0]]), "bias": tl.tensor([0.5])}
    >>> tl.func.functional_call(layer, params, tl.tensor([3.0, 4.0]))
    tensor([11.5])
    >>> tl.grad(lambda p: tl.func.functional_call(layer, p, tl.tensor([3.0, 4.0])).sum())(params)
    {'weight': tensor([[3., 4.]]), 'bias': tensor([1.])}
    """
    given = _merged(parameters_and_buffers)
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    with _lock(module):
        places = _places(module)
        taken = _given_to(places, given, tie_weights, strict, type(module).__name__)
        before = [(own, name, own[name]) for own, name in places.values()]
        for key, tensor in taken.items():
            own, name = places[key]
            own[name] = tensor
        replaced = {(id(places[key][0]), places[key][1]) for key in taken}
        leaked = []
        try:
            result = module(*args, **(kwargs or {}))
        finally:
            for own, name, tensor in before:
                now = own.get(name)
                if now is tensor:
                    continue
                if (id(own), name) in replaced:
                    own[name] = tensor
                elif isinstance(now, Value) and now.level:
                    own[name] = tensor
                    leaked.append(name)
    if leaked:
        raise GradError(f"functional_call: forward of {type(module).__name__} assigned a value of a running transform (grad, "
                        f"vmap, ...) to {', '.join(leaked)}; return the new value from forward, give the buffer among "
                        "parameters_and_buffers, and assign it outside of the transform")
    return result


def _merged(given: Any) -> dict[str, Any]:
    """All dicts as one."""
    if isinstance(given, Mapping):
        dicts: Sequence[Any] = [given]
    elif isinstance(given, (tuple, list)) and all(isinstance(d, Mapping) for d in given):
        dicts = given
    else:
        raise DTypeError(f"functional_call: parameters_and_buffers is a {type(given).__name__}; expected a dict of names and "
                         "tensors, or a tuple of such dicts")
    out: dict[str, Any] = {}
    for one in dicts:
        twice = sorted(set(one) & set(out))
        if twice:
            raise GradError(f"functional_call: {', '.join(twice)} is in several of the dicts; give each name once")
        out.update(one)
    for name, x in out.items():
        if not isinstance(x, Value) and KIND.get(type(x)) != RAW and x is not None:
            raise DTypeError(f"functional_call: {name} is a {type(x).__name__}; expected a tensor")
    return {name: Provided.asarray(x) if KIND.get(type(x)) == RAW else x for name, x in out.items()}


def _places(module: Any) -> dict[str, tuple[dict[str, Any], str]]:
    """Where each parameter and buffer is held, by dotted name; one that has several names is there under each."""
    places = {}
    for path, part in module.named_modules(remove_duplicate=False):
        own = part.__dict__
        for name in (*own["_param_names"], *own["_buffer_names"]):
            places[f"{path}.{name}" if path else name] = (own, name)
    return places


def _given_to(places: dict[str, Any], given: dict[str, Any], tie_weights: bool, strict: bool, what: str) -> dict[str, Any]:
    """The tensors by the names they go to."""
    names: dict[int, list[str]] = {}
    for key, (own, name) in places.items():
        if own[name] is not None:
            names.setdefault(id(own[name]), []).append(key)
    taken = {key: x for key, x in given.items() if key in places}
    if tie_weights:
        for tied in names.values():
            found = [key for key in tied if key in given]
            if len({id(given[key]) for key in found}) > 1:
                raise GradError(f"functional_call: {' and '.join(found)} are one tensor of {what}, and different ones are given; "
                                "give one of them, or say tie_weights=False")
            if found:
                taken.update(dict.fromkeys(tied, given[found[0]]))
    if strict:
        missing = [key for key, (own, name) in places.items() if key not in taken and own[name] is not None]
        unexpected = [key for key in given if key not in places]
        if missing or unexpected:
            wrong = [f"{label}: {', '.join(keys)}" for label, keys in (("missing", missing), ("unexpected", unexpected)) if keys]
            raise GradError(f"functional_call: the names do not fit {what}: {'; '.join(wrong)}; strict=False takes the module's "
                            "own tensors for what is missing, and ignores what is unexpected")
    return taken


def stack_module_state(models: Iterable[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters and the buffers of models of one class, stacked along a new first axis: an ensemble, for ``vmap`` over
    ``functional_call``. The parameters are leaves that require a gradient if those of the models do.

    Errors: ``GradError`` for no models, of different classes or modes; ``ShapeError`` for tensors of different shapes.

    >>> import tensorlite as tl
    >>> models = [tl.nn.Linear(2, 1) for _ in range(3)]
    >>> params, buffers = tl.func.stack_module_state(models)
    >>> {name: p.shape for name, p in params.items()}
    {'weight': (3, 1, 2), 'bias': (3, 1)}
    >>> predict = lambda p, b, x: tl.func.functional_call(models[0], (p, b), x)
    >>> tl.vmap(predict, in_axes=(0, 0, None))(params, buffers, tl.ones(5, 2)).shape
    (3, 5, 1)
    """
    models = list(models)
    if not models:
        raise GradError("stack_module_state: there are no models; expected at least one")
    kinds = sorted({type(m).__name__ for m in models})
    if len({type(m) for m in models}) > 1 or len({m.training for m in models}) > 1:
        raise GradError(f"stack_module_state: the models are {', '.join(kinds)}, {sum(m.training for m in models)} of "
                        f"{len(models)} in training mode; expected one class, all in the same mode")
    return (_stacked([dict(m.named_parameters()) for m in models], leaves=True),
            _stacked([dict(m.named_buffers()) for m in models], leaves=False))


def _stacked(states: list[dict[str, Any]], leaves: bool) -> dict[str, Any]:
    stack = Provided.namespace().stack
    out = {}
    for name in states[0]:
        column: list[Any] = [state.get(name) for state in states]
        if any(x is None or x.shape != column[0].shape for x in column):
            told = ", ".join(str(None if x is None else tuple(x.shape)) for x in column)
            raise ShapeError(f"stack_module_state: {name} has the shapes {told}; expected the same in all models")
        tensor = stack([x.detach() for x in column])
        asked = {x.requires_grad for x in column}
        if leaves and len(asked) > 1:
            raise GradError(f"stack_module_state: {name} requires a gradient in some of the models only; expected all or none")
        out[name] = tensor.requires_grad_() if leaves and True in asked else tensor
    return out


__all__ = ["functional_call", "stack_module_state"]
