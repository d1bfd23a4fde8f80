"""The base of the optimizers: parameter groups, state, and a step that is one kernel call per group.

A step on a small model is all overhead, so what can be prepared is: which parameters a group has, their state arrays in the
order the kernel takes them, and the records of their memory that note a change in place. All of it is made again when a
parameter's array is another one (the model was moved) or a kind of state comes in (momentum was switched on).
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

from tensorlite import backends, kernels
from tensorlite._dtypes import is_differentiable
from tensorlite._dtypes import kind as kind_of
from tensorlite._state import current, enable_grad
from tensorlite.engine import inplace
from tensorlite.engine.value import Value, new
from tensorlite.errors import DeviceError, DTypeError, ShapeError, TensorliteError
from tensorlite.kernels._half import is_half
from tensorlite.ops import creation
from tensorlite.ops.complex import view_as_real_p
from tensorlite.ops.functions import conj_p

Tensor = Any
Group = dict[str, Any]
_HERE = nullcontext()
MASTER = "master_weight"   # the kind of state that is a 16-bit parameter in float32


class _Update:
    """What stands for a step's update where operations are watched."""

    outputs, discrete, casts = 0, True, False

    def __init__(self, name: str) -> None:
        self.name = name


class OptimizerError(TensorliteError, ValueError):
    """A setting, a parameter or a saved state that the optimizer cannot work with."""


class _Pack:
    """The parameters of a group that live in one backend, with their state."""

    __slots__ = ("arrays", "complex", "device", "mastered", "on", "params", "plan", "records", "states", "updated")

    def __init__(self, kernel: str, params: list[Any], states: dict[str, list[Any]], kinds: tuple[str | None, ...],
                 steps: Any, mastered: bool) -> None:
        self.params, self.states, self.mastered = params, states, mastered
        self.arrays = [p.value for p in params]
        self.complex = any(kind_of(a.dtype) == "c" for a in self.arrays)
        self.updated = [_parts(a) for a in self.arrays]
        self.records = inplace.records(self.arrays)
        backend = backends.backend_of(self.arrays[0])
        self.on = None if type(backend).on is backends.Backend.on else backend.on
        self.device = backend.device_of(self.arrays[0])
        make = backend.implementations.get(f"{kernel}_plan") or partial(kernels.load(kernel).reference, backend.xp)
        masters = [states[MASTER]] if MASTER in states else []
        with self.there():
            self.plan = make(*[None if kind is None else [_parts(a) for a in states[kind]] for kind in kinds], steps, *masters)

    def there(self) -> AbstractContextManager[Any]:
        """A context in which the parameters' device is the current one."""
        return _HERE if self.on is None else self.on(self.device)

    @property
    def steps(self) -> Any:
        """How often each parameter has been updated; on a GPU the steps are counted there, and this waits for it."""
        return self.plan.counts()


# A complex parameter is updated as its real and imaginary parts: a kernel, and Adam's mean of squares, sees real numbers. Its
# gradient is dL/dx - i dL/dy (docs/complex.md), so it is the conjugate that points uphill.

def _parts(array: Any) -> Any:
    """The array itself if it is real, a view of its real and imaginary parts if it is complex."""
    if kind_of(array.dtype) != "c":
        return array
    out, backend = view_as_real_p(array), backends.backend_of(array)
    if backend.owner(out) is not backend.owner(array):
        raise OptimizerError("a complex parameter, or its state, does not lie in one piece, so its parts cannot be updated in "
                             "place; make it from .contiguous()")
    return out


def _descent(g: Any) -> Any:
    """The gradient as its parameter is seen, pointing uphill."""
    return g if g is None or kind_of(g.dtype) != "c" else view_as_real_p(conj_p(g))


def _beside(pack: _Pack, number: Tensor | None) -> Any:
    """The raw array of a tensor of one number, on the device of the pack."""
    if number is None:
        return None
    return number.value if number.device == pack.device else number.to(pack.device).value


class Optimizer:
    """What every optimizer has. A subclass names its kernel and says which state it keeps and how its settings reach the kernel.

    ``params``: tensors, or dicts (groups) with ``params`` and settings that differ from ``defaults``; also (name, tensor) pairs.
    The setting ``master_weights`` (True): a float16 or bfloat16 parameter is kept in float32 as well, and so is its state. The
    update is done there and rounded into the parameter, as steps smaller than its precision would be lost, and small squares
    vanish (Micikevicius et al. 2018, section 3.1). A parameter that is written to in between counts as it is.
    Errors: ``OptimizerError`` (a ValueError) for no parameters, a parameter given twice, a result of an operation, a bad setting.
    """

    kernel = ""                            # the fused update in kernels/
    kinds: tuple[str, ...] = ()            # the kinds of state, in the order the kernel takes them
    step_in_state = True                   # whether the state dict has the number of steps

    def __init__(self, params: Any, defaults: Group) -> None:
        self.defaults, self._what = defaults, f"{type(self).__name__}.step"
        self.param_groups: list[Group] = []
        self._packs: list[list[_Pack]] = []
        self._held: list[Any] = []         # every parameter, in order
        self._pending: dict[Any, dict[str, Any]] = {}   # loaded state, until it is next needed
        if isinstance(params, Value):
            raise OptimizerError(f"{type(self).__name__}: params is a single tensor; expected a list of tensors or of groups")
        if not hasattr(params, "__iter__"):
            hint = "; pass its .parameters()" if hasattr(params, "parameters") else ""
            raise OptimizerError(f"{type(self).__name__}: params is a {type(params).__name__}; expected a list of tensors or of "
                                 f"groups{hint}")
        listed = list(params)
        if not listed:
            raise OptimizerError(f"{type(self).__name__}: there are no parameters; model.parameters() was empty, or has been "
                                 "iterated over already")
        for group in listed if isinstance(listed[0], dict) else [{"params": listed}]:
            self.add_param_group(group)

    def add_param_group(self, param_group: Group) -> None:
        """Add parameters with settings of their own."""
        name = type(self).__name__
        group = dict(param_group)
        if "params" not in group:
            raise OptimizerError(f"{name}: a group has no 'params', only {', '.join(map(repr, group)) or 'nothing'}; expected "
                                 "{'params': [...], 'lr': ...}")
        params = group["params"]
        params = [params] if isinstance(params, Value) else list(params)
        params = [p[1] if isinstance(p, tuple) and len(p) == 2 else p for p in params]
        known = set(self._held)
        for i, p in enumerate(params):
            if not isinstance(p, Value) or p.level:
                raise DTypeError(f"{name}: parameter {i} is a {type(p).__name__}; expected a tensor")
            if p.node is not None:
                raise OptimizerError(f"{name}: parameter {i} is the result of {p.node.op.name}, not a leaf; only leaves can be "
                                     "optimized: "
                                     "pass the tensor it was made from, or .detach().requires_grad_() it")
            if not is_differentiable(p.value.dtype):
                raise DTypeError(f"{name}: parameter {i} has dtype {p.value.dtype}; expected a floating one")
            if p in known:
                raise OptimizerError(f"{name}: parameter {i} of the group was given before; each can be in one place only")
            known.add(p)
        if not params:
            raise OptimizerError(f"{name}: a group has no parameters")
        group["params"] = params
        for key, value in self.defaults.items():
            group.setdefault(key, value)
        try:
            self.check(group)
        except TypeError as error:
            settings = ", ".join(f"{k}={v!r}" for k, v in group.items() if k != "params")
            raise OptimizerError(f"{name}: a setting is no number ({error}), among {settings}") from None
        self.param_groups.append(group)
        self._packs.append([])
        self._held += params

    # ---- what a subclass says --------------------------------------------------------------------------------------------

    def check(self, group: Group) -> None:
        """Raise ``OptimizerError`` if a setting of a group is out of range."""

    def kept(self, group: Group) -> tuple[str | None, ...]:
        """For each of ``kinds``, itself where the group's settings need that state, else None."""
        return self.kinds

    def run(self, plan: Any, params: list[Any], grads: list[Any], group: Group) -> None:
        """Call the kernel's plan with the group's settings."""
        raise NotImplementedError

    def _require(self, group: Group, **conditions: tuple[bool, str]) -> None:
        for key, (fine, expected) in conditions.items():
            if not fine:
                raise OptimizerError(f"{type(self).__name__}: {key} is {group[key]}; expected {expected}")

    # ---- the step --------------------------------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None, *, found_inf: Tensor | None = None,
             grad_scale: Tensor | None = None) -> Any:
        """Update every parameter that has a gradient, in place. ``closure`` computes the loss anew; its result is returned.

        ``found_inf``, ``grad_scale`` (what :class:`tensorlite.amp.GradScaler` passes): tensors of one number. Gradients are
        divided by ``grad_scale`` first, and if ``found_inf`` is not 0 nothing is changed and no step is counted; a GPU sees to
        that by itself.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        observer = current().observer
        for index, group in enumerate(self.param_groups):
            packs = self._packs[index]
            if not packs or self._outdated(packs, group):
                packs = self._prepare(index)
            for pack in packs:
                try:
                    grads = [None if (g := p.grad) is None else g.value for p in pack.params]
                    if pack.complex:
                        grads = [_descent(g) for g in grads]
                    plan = pack.plan
                    if found_inf is not None or grad_scale is not None:
                        plan = partial(plan, found_inf=_beside(pack, found_inf), grad_scale=_beside(pack, grad_scale))
                    with pack.there():
                        if observer is None:
                            self.run(plan, pack.updated, grads, group)
                        else:
                            self._observed(observer, plan, group, pack.updated, grads)
                except (ValueError, AttributeError):
                    self._explain(pack)
                    raise
                inplace.rewrote(pack.records, self._what)
        return loss

    def _observed(self, observer: Any, plan: Any, group: Group, *args: Any) -> None:
        """The update as an operation that whoever watches operations sees: its results are the parameters."""
        def update(params: list[Any], grads: list[Any]) -> tuple[Any, ...]:
            self.run(plan, params, grads, group)
            return tuple(params)
        observer(_Update(self._what), update)(*args)

    def _outdated(self, packs: list[_Pack], group: Group) -> bool:
        kept = self.kept(group)
        for pack in packs:
            if pack.mastered is not bool(group.get("master_weights")):
                return True
            for p, array in zip(pack.params, pack.arrays):
                if p.value is not array:
                    return True
            for kind in kept:
                if kind is not None and kind not in pack.states:
                    return True
        return False

    def _explain(self, pack: _Pack) -> None:
        for i, p in enumerate(pack.params):
            if p.grad is None:
                continue
            if not isinstance(p.grad, Value):
                raise DTypeError(f"{type(self).__name__}.step: the gradient of parameter {i} is a {type(p.grad).__name__}; "
                                 "expected a tensor")
            if p.grad.device != p.device:
                raise DeviceError(f"{self._what}: parameter {i} lives on {p.device}, its gradient on {p.grad.device}; move the "
                                  "gradient with .to(device)")
            if tuple(p.grad.value.shape) != tuple(p.value.shape):
                raise ShapeError(f"{type(self).__name__}.step: parameter {i} has shape {tuple(p.value.shape)}, and its gradient "
                                 f"{tuple(p.grad.value.shape)}; they must be the same")
            if not getattr(getattr(p.value, "flags", None), "writeable", True):
                raise OptimizerError(f"{type(self).__name__}.step: parameter {i} lies in memory that is read-only (a NumPy array "
                                     "with writeable=False?); make it from a copy")

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients (or set them to zeros)."""
        if set_to_none:
            for p in self._held:
                p.grad = None
            return
        for p in self._held:
            if p.grad is not None:
                p.grad = creation.zeros_like(p.grad.detach())

    # ---- state -----------------------------------------------------------------------------------------------------------

    def _prepare(self, index: int) -> list[_Pack]:
        """The group's packs, one for each device, with the state there is and new state for the rest."""
        import numpy as np
        group, state = self.param_groups[index], self._state_of(index)
        kept, mastered = self.kept(group), bool(group.get("master_weights"))
        places: dict[Any, list[Any]] = {}
        for p in group["params"]:
            backend = backends.backend_of(p.value)
            places.setdefault((backend, backend.device_of(p.value)), []).append(p)
        packs = []
        for params in places.values():
            steps = np.array([state.get(p, {}).get("step", 0) for p in params], np.int64)
            wide = [mastered and is_half(p.value) for p in params]
            states = {kind: [self._state_array(kind, p, state.get(p, {}).get(kind), w) for p, w in zip(params, wide)]
                      for kind in kept if kind is not None}
            if any(wide):
                states[MASTER] = [self._state_array(MASTER, p, state.get(p, {}).get(MASTER), w) if w else None
                                  for p, w in zip(params, wide)]
            if not self.step_in_state:   # the buffer's first step sets it
                for i, p in enumerate(params):
                    if not {kind for kind in kept if kind is not None} <= state.get(p, {}).keys():
                        steps[i] = 0
            packs.append(_Pack(self.kernel, params, states, kept, steps, mastered))
        for p in group["params"]:
            self._pending.pop(p, None)
        self._packs[index] = packs
        return packs

    def _state_array(self, kind: str, p: Any, found: Any, wide: bool) -> Any:
        """A parameter's state of one kind: what was found of it, cast and moved to the parameter, or a new one."""
        backend = backends.backend_of(p.value)
        xp, dtype, device = backend.xp, p.value.dtype, backend.device_of(p.value)
        if wide:
            dtype = xp.float32
        if found is None:
            return xp.astype(p.value, dtype) if kind == MASTER else xp.zeros_like(p.value, dtype=dtype)
        array = found.value if isinstance(found, Value) else found
        same = type(array) is type(p.value) and array.dtype == dtype and backend.device_of(array) == device
        if not same:
            array = creation.asarray(array).to(device).value
        if tuple(array.shape) != tuple(p.value.shape):
            raise OptimizerError(f"{type(self).__name__}: the state {kind} has shape {tuple(array.shape)}, but its parameter has "
                                 f"{tuple(p.value.shape)}; the state belongs to another model")
        return array if same else backend.asarray(array, dtype=dtype)

    def _state_of(self, index: int) -> dict[Any, dict[str, Any]]:
        """parameter -> its state, as far as there is any: {"step": 3, "exp_avg": array, ...}."""
        out = {p: self._pending[p] for p in self.param_groups[index]["params"] if p in self._pending}
        for pack in self._packs[index]:
            for i, (p, step) in enumerate(zip(pack.params, pack.steps.tolist())):
                if step and p not in out:
                    out[p] = {"step": step, **{kind: arrays[i] for kind, arrays in pack.states.items() if arrays[i] is not None}}
        return out

    @property
    def state(self) -> dict[Any, dict[str, Any]]:
        """parameter -> its state, whose tensors share the optimizer's memory; without the parameters that were never updated."""
        out = {}
        for index in range(len(self.param_groups)):
            for p, found in self._state_of(index).items():
                entry = {} if not self.step_in_state else {"step": found.get("step", 0)}
                for kind, array in found.items():
                    if kind != "step":
                        entry[kind] = array if isinstance(array, Value) else new(array)
                if entry:
                    out[p] = entry
        return out

    def state_dict(self) -> dict[str, Any]:
        """``{"state": {0: {...}}, "param_groups": [{"lr": ..., "params": [0, 1]}]}``: parameters by their number."""
        number = {p: i for i, p in enumerate(self._held)}
        state = self.state
        groups = [{**g, "params": [number[p] for p in g["params"]]} for g in self.param_groups]
        return {"state": {number[p]: state[p] for p in self._held if p in state}, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over settings and (a copy of) the state; training goes on as if it had not been interrupted.

        Errors: ``OptimizerError`` if the groups or the shapes differ; then nothing has been changed.
        """
        name = type(self).__name__
        if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= state_dict.keys():
            raise OptimizerError(f"{name}.load_state_dict: expected the dict that state_dict() returned, with 'state' and "
                                 "'param_groups'")
        groups, mine = state_dict["param_groups"], self.param_groups
        sizes, wanted = [len(g["params"]) for g in groups], [len(g["params"]) for g in mine]
        if sizes != wanted:
            raise OptimizerError(f"{name}.load_state_dict: the saved groups have {sizes} parameters and the optimizer's "
                                 f"{wanted}; they must match")
        order = dict(zip([i for g in groups for i in g["params"]], [p for g in mine for p in g["params"]]))
        pending: dict[Any, dict[str, Any]] = {}
        for saved, entry in state_dict["state"].items():
            p = order.get(int(saved) if isinstance(saved, str) else saved)
            if p is not None:
                pending[p] = self._copied(p, entry)
        for group, saved in zip(mine, groups):
            group.update({k: v for k, v in saved.items() if k != "params"})
        self._pending = pending
        self._packs = [[] for _ in mine]

    def _copied(self, p: Any, entry: Mapping[str, Any]) -> dict[str, Any]:
        foreign = [kind for kind in entry if kind not in ("step", MASTER) and kind not in self.kinds]
        if foreign:
            raise OptimizerError(f"{type(self).__name__}.load_state_dict: the saved state has {', '.join(map(str, foreign))}, "
                                 f"where this optimizer keeps {', '.join(self.kinds)}; it is the state of another optimizer")
        out: dict[str, Any] = {"step": int(entry.get("step", 0) or 0)}
        for kind, value in entry.items():
            if kind == "step" or value is None:
                continue
            dtype = None if is_half(p.value) else p.value.dtype   # a 16-bit parameter's state may be float32
            array = creation.asarray(value).detach().to(device=p.device, dtype=dtype, copy=True).value
            if tuple(array.shape) != tuple(p.value.shape):
                raise OptimizerError(f"{type(self).__name__}.load_state_dict: the state {kind} has shape {tuple(array.shape)}, "
                                     "but its parameter "
                                     f"has {tuple(p.value.shape)}; the state belongs to another model")
            out[kind] = array
        if not self.step_in_state and len(out) > 1:
            out["step"] = max(out["step"], 1)
        return out

    # ---- showing, pickling -------------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        lines = []
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {key}: {value}" for key, value in sorted(group.items()) if key != "params"]
        return f"{type(self).__name__} (\n" + "\n".join(lines) + "\n)"

    def __getstate__(self) -> dict[str, Any]:
        kept = {k: v for k, v in self.__dict__.items() if k not in ("_packs", "_pending")}
        pending = {p: entry for index in range(len(self.param_groups)) for p, entry in self._state_of(index).items()}
        return {**kept, "_packs": [[] for _ in self.param_groups], "_pending": pending}


__all__ = ["Group", "Optimizer", "OptimizerError"]
