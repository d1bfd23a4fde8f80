"""The module: parameters, buffers and modules under names, and a forward computation.

What is registered lives in the instance's ``__dict__`` like any attribute, and only its name is recorded: reading
``self.weight`` costs what reading an attribute costs (15 ns; through ``__getattr__`` it would be 250).
"""
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Self

from tensorlite import _dtypes, backends
from tensorlite.autograd import RemovableHandle
from tensorlite.engine import inplace
from tensorlite.engine.value import Value
from tensorlite.errors import DTypeError, TensorliteError
from tensorlite.nn import _hooks
from tensorlite.nn._parameter import Parameter
from tensorlite.ops import creation

Tensor = Any


class ModuleError(TensorliteError, ValueError):
    """A name that cannot be registered or does not exist."""


class StateDictError(TensorliteError, RuntimeError):
    """A state dict that does not fit the module."""


class IncompatibleKeys(NamedTuple):
    """What ``load_state_dict`` did not find, and what it found beyond the module's own."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module:
    """The base of every layer and network: assign parameters and modules as attributes, and write ``forward``.

    >>> import tensorlite as tl
    >>> class Net(tl.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.layer = tl.nn.Linear(3, 2)
    ...     def forward(self, x):
    ...         return self.layer(x).relu()
    >>> [(name, p.shape) for name, p in Net().named_parameters()]
    [('layer.weight', (2, 3)), ('layer.bias', (2,))]
    """

    training: bool = True
    _hooks: dict[str, dict[int, Any]] | None = None   # by kind; None as long as there never was one
    _param_names: dict[str, None]
    _buffer_names: dict[str, bool]                    # name -> whether the state dict has it
    _module_names: dict[str, None]
    forward: Callable[..., Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls)
        self.__dict__.update(_param_names={}, _buffer_names={}, _module_names={})
        return self

    def __init__(self) -> None:
        pass

    def __copy__(self) -> Self:
        """A module of its own with the same parameters, buffers and modules: what is added to one is not in the other."""
        out = type(self).__new__(type(self))
        own = self.__dict__
        out.__dict__.update(own, **{k: dict(own[k]) for k in ("_param_names", "_buffer_names", "_module_names")})
        if self._hooks is not None:
            out.__dict__["_hooks"] = {kind: dict(hooks) for kind, hooks in self._hooks.items()}
        return out

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._hooks is not None:
            return _hooks.call(self, self._hooks, args, kwargs)
        return self.forward(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:   # type: ignore[no-redef]
        """What the module computes; every subclass writes its own."""
        raise NotImplementedError(f"{type(self).__name__} has no forward method; write one")

    # ---- registration ------------------------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        own = self.__dict__
        if isinstance(value, Parameter):
            self._register(self._param_names, name, value, None)
        elif isinstance(value, Module):
            self._register(self._module_names, name, value, None)
        else:
            if value is not None and (name in own["_param_names"] or name in own["_module_names"]):
                expected = "Parameter" if name in own["_param_names"] else "Module"
                raise DTypeError(f"{type(self).__name__}.{name} was registered as a {expected.lower()}, and a "
                                 f"{type(value).__name__} was assigned; expected a "
                                 f"{expected} or None (delete the attribute first to change what it is)")
            if name in own["_buffer_names"] and value is not None and not isinstance(value, Value):
                raise DTypeError(f"{type(self).__name__}.{name} was registered as a buffer, and a {type(value).__name__} was "
                                 "assigned; expected a tensor or None")
            object.__setattr__(self, name, value)

    def _register(self, names: dict[str, Any], name: str, value: Any, note: Any) -> None:
        for others in (self._param_names, self._buffer_names, self._module_names):
            if others is not names:
                others.pop(name, None)
        names[name] = note
        self.__dict__[name] = value

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        for names in (self._param_names, self._buffer_names, self._module_names):
            names.pop(name, None)

    def _check_name(self, what: str, name: str, names: Mapping[str, Any]) -> None:
        if not isinstance(name, str) or not name or "." in name:
            raise ModuleError(f"{what}: the name is {name!r}; expected a string without dots that is not empty")
        if hasattr(self, name) and name not in names:
            raise ModuleError(f"{what}: {type(self).__name__} has an attribute {name!r} already; choose another name")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter, or None for one that a variant of the layer does without."""
        self._check_name("register_parameter", name, self._param_names)
        if param is not None and not isinstance(param, Parameter):
            raise DTypeError(f"register_parameter: {name} is a {type(param).__name__}; expected a Parameter or None")
        self._register(self._param_names, name, param, None)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that moves and is saved with the module (unless ``persistent`` is false) and is no parameter."""
        self._check_name("register_buffer", name, self._buffer_names)
        if tensor is not None and not isinstance(tensor, Value):
            raise DTypeError(f"register_buffer: {name} is a {type(tensor).__name__}; expected a tensor or None")
        self._register(self._buffer_names, name, tensor, persistent)

    def register_module(self, name: str, module: Module | None) -> None:
        """Add a module under a name; ``add_module`` is the same."""
        self._check_name("add_module", name, self._module_names)
        if module is not None and not isinstance(module, Module):
            raise DTypeError(f"add_module: {name} is a {type(module).__name__}; expected a Module or None")
        self._register(self._module_names, name, module, None)

    add_module = register_module

    # ---- walking -----------------------------------------------------------------------------------------------------

    def named_modules(self, memo: set[Any] | None = None, prefix: str = "",
                      remove_duplicate: bool = True) -> Iterator[tuple[str, Module]]:
        """(name, module) of this module ("") and of all inside it, each once."""
        memo = set() if memo is None else memo
        if remove_duplicate:
            if self in memo:
                return
            memo.add(self)
        yield prefix, self
        for name in self._module_names:
            module = self.__dict__[name]
            if module is not None:
                yield from module.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """This module and all inside it."""
        for _, module in self.named_modules():
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) of the modules directly inside."""
        seen = set()
        for name in self._module_names:
            module = self.__dict__[name]
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The modules directly inside."""
        for _, module in self.named_children():
            yield module

    def _named(self, which: str, prefix: str, recurse: bool, remove_duplicate: bool) -> Iterator[tuple[str, Tensor]]:
        seen = set()
        for path, module in self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]:
            for name in module.__dict__[which]:
                found = module.__dict__[name]
                if found is None or (remove_duplicate and found in seen):
                    continue
                seen.add(found)
                yield (f"{path}.{name}" if path else name), found

    def named_parameters(self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
                         ) -> Iterator[tuple[str, Parameter]]:
        """(dotted name, parameter), each parameter once."""
        return self._named("_param_names", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, each once: what an optimizer takes."""
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
                      ) -> Iterator[tuple[str, Tensor]]:
        """(dotted name, buffer), each buffer once."""
        return self._named("_buffer_names", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers, each once."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def get_submodule(self, target: str) -> Module:
        """The module of a dotted name; "" is this one."""
        at: Any = self
        for name in target.split(".") if target else ():
            if name not in at._module_names or at.__dict__[name] is None:
                raise ModuleError(f"get_submodule: {type(at).__name__} has no module {name!r} (asked for {target!r}); "
                                  f"there are {', '.join(at._module_names) or 'none'}")
            at = at.__dict__[name]
        found: Module = at
        return found

    def _get(self, which: str, what: str, target: str) -> Any:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if name not in module.__dict__[which]:
            raise ModuleError(f"get_{what}: {type(module).__name__} has no {what} {name!r} (asked for {target!r}); "
                              f"there are {', '.join(module.__dict__[which]) or 'none'}")
        return module.__dict__[name]

    def get_parameter(self, target: str) -> Parameter:
        """The parameter of a dotted name."""
        found: Parameter = self._get("_param_names", "parameter", target)
        return found

    def get_buffer(self, target: str) -> Tensor:
        """The buffer of a dotted name."""
        return self._get("_buffer_names", "buffer", target)

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call ``fn`` on every module, children before parents."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    # ---- state -------------------------------------------------------------------------------------------------------

    def state_dict(self, *, prefix: str = "", keep_vars: bool = False) -> dict[str, Tensor]:
        """Name -> tensor of all parameters and persistent buffers: the same memory, cut off the tape (unless ``keep_vars``)."""
        out = {}
        for key, tensor in self._state(prefix):
            out[key] = tensor if keep_vars else tensor.detach()
        return out

    def _state(self, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
        """(key, tensor) in the state dict's order; a tensor with two names comes under both."""
        for path, module in self.named_modules(prefix=prefix.rstrip("."), remove_duplicate=False):
            saved = [*module._param_names, *(name for name, persistent in module._buffer_names.items() if persistent)]
            for name in saved:
                if module.__dict__[name] is not None:
                    yield (f"{path}.{name}" if path else name), module.__dict__[name]

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Copy the values into the parameters and buffers, in place; they may be tensors or arrays of any library.

        Returns the missing and the unexpected keys. Errors: ``StateDictError`` if there are any and ``strict``, or if a shape
        differs; then nothing has been changed.
        """
        if not isinstance(state_dict, Mapping):
            raise DTypeError(f"load_state_dict: a {type(state_dict).__name__} was given; expected a dict of names and tensors")
        own = dict(self._state())
        missing = [key for key in own if key not in state_dict]
        unexpected = [key for key in state_dict if key not in own]
        values = {key: _as_tensor(key, state_dict[key]) for key in own if key in state_dict}
        wrong = [f"{key} has shape {tuple(value.shape)} in the state dict and {tuple(own[key].shape)} in the module"
                 for key, value in values.items() if tuple(value.shape) != tuple(own[key].shape)]
        wrong += [f"{key} is {value.dtype} in the state dict and {own[key].dtype} in the module" for key, value in values.items()
                  if _dtypes.kind(value.dtype) == "c" != _dtypes.kind(own[key].dtype)]
        if strict and missing:
            wrong.append(f"missing: {', '.join(missing)}")
        if strict and unexpected:
            wrong.append(f"unexpected: {', '.join(unexpected)}")
        if wrong:
            hint = "; strict=False ignores missing and unexpected keys" if strict and (missing or unexpected) else ""
            raise StateDictError(f"load_state_dict: the state dict does not fit {type(self).__name__}: " + "; ".join(wrong)
                                 + hint)
        for key, value in values.items():
            target = own[key].value
            backend = backends.backend_of(target)
            backend.assign(target, Ellipsis, backend.asarray(value.to(backend.device_of(target)).value, dtype=target.dtype))
        inplace.wrote([own[key].value for key in values], "load_state_dict")
        return IncompatibleKeys(missing, unexpected)

    def train(self, mode: bool = True) -> Self:
        """Switch everything inside to training behaviour (dropout, batch statistics), or away from it."""
        if not isinstance(mode, bool):
            raise DTypeError(f"train: mode is {mode!r}; expected True or False")
        for module in self.modules():
            module.__dict__["training"] = mode
        return self

    def eval(self) -> Self:
        """``train(False)``."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Start or stop recording what is done with the parameters."""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the parameters' gradients (or set them to zeros)."""
        for p in self.parameters():
            p.grad = None if set_to_none or p.grad is None else creation.zeros_like(p.grad)

    # ---- moving ------------------------------------------------------------------------------------------------------

    def to(self, *target: Any, device: Any = None, dtype: Any = None) -> Self:
        """Move everything to a device, or what is floating to a dtype; the parameters stay the same objects."""
        for t in target:
            if isinstance(t, Value):
                device, dtype = t.device, t.dtype
            elif isinstance(t, str) and not _dtypes.is_name(t):
                device = t
            elif t is not None:
                dtype = t
        if dtype is not None and not _dtypes.is_differentiable(_dtypes.as_dtype(dtype)):
            raise DTypeError(f"to: dtype is {dtype}; a module's parameters can only become floating or complex")
        for tensor in [*self.parameters(), *self.buffers()]:
            for each in (tensor, tensor.grad):
                if each is not None:
                    floating = _dtypes.is_differentiable(each.dtype)
                    each.value = each.detach().to(device=device, dtype=dtype if floating else None).value
        return self

    def float(self) -> Self:
        """All floating parameters and buffers to float32."""
        return self.to(dtype=_dtypes.float32)

    def double(self) -> Self:
        """All floating parameters and buffers to float64."""
        return self.to(dtype=_dtypes.float64)

    def half(self) -> Self:
        """All floating parameters and buffers to float16."""
        return self.to(dtype=_dtypes.float16)

    def cpu(self) -> Self:
        """Everything to host memory."""
        return self.to(device="cpu")

    def cuda(self, device: Any = None) -> Self:
        """Everything to a CUDA device."""
        return self.to(device="cuda" if device is None else f"cuda:{device}" if isinstance(device, int) else device)

    # ---- hooks -------------------------------------------------------------------------------------------------------

    def _add_hook(self, kind: str, hook: Callable[..., Any]) -> RemovableHandle:
        if self._hooks is None:
            self.__dict__["_hooks"] = {}
        hooks: dict[str, dict[int, Any]] = self.__dict__["_hooks"]
        return RemovableHandle(hooks.setdefault(kind, {}), hook)

    def register_forward_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """``hook(module, args)`` before forward; what it returns, if not None, takes the place of the positional arguments."""
        return self._add_hook("pre", hook)

    def register_forward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """``hook(module, args, output)`` after forward; what it returns, if not None, takes the place of the output."""
        return self._add_hook("post", hook)

    def register_full_backward_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """``hook(module, grad_output)`` when the outputs' gradients are known; it may return others."""
        return self._add_hook("backward_pre", hook)

    def register_full_backward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """``hook(module, grad_input, grad_output)`` when the inputs' gradients are known; it may return others for the inputs."""
        return self._add_hook("backward", hook)

    # ---- showing -----------------------------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """What ``repr`` shows of the module's own settings."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [f"({name}): " + repr(self.__dict__[name]).replace("\n", "\n  ") for name in self._module_names]
        if not children and len(lines) <= 1:
            return f"{type(self).__name__}({extra})"
        return f"{type(self).__name__}(\n  " + "\n  ".join(lines + children) + "\n)"


def _as_tensor(key: str, value: Any) -> Tensor:
    try:
        return creation.asarray(value).detach()
    except (TypeError, ValueError) as error:
        raise StateDictError(f"load_state_dict: {key} is a {type(value).__name__} in the state dict; expected a tensor or an "
                             f"array ({error})") from None


__all__ = ["IncompatibleKeys", "Module", "ModuleError", "StateDictError"]
