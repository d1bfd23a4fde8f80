"""Modules and parameters in order or by name."""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from operator import index
from typing import Any, Self, overload

from tensorlite.errors import DTypeError, OutOfRangeError
from tensorlite.nn._activation import ReLU
from tensorlite.nn._linear import Linear
from tensorlite.nn._module import Module
from tensorlite.nn._parameter import Parameter
from tensorlite.ops.contraction import linear_p, linear_relu_p


class _Numbered(Module):
    """Modules under the names "0", "1", ..."""

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        self.extend(modules)

    def _list(self) -> list[Module]:
        own = self.__dict__
        return [own[name] for name in self._module_names]

    def _replace(self, modules: list[Module]) -> None:
        for name in list(self._module_names):
            del self.__dict__[name]
        self._module_names.clear()
        self.extend(modules)

    def _position(self, i: Any, end: int | None = None) -> int:
        count = len(self)
        position = index(i)
        if not -count <= position < (count if end is None else end):
            raise OutOfRangeError(f"{type(self).__name__}: index {position} is out of range for {count} modules")
        return position % count if count else 0

    def __len__(self) -> int:
        return len(self._module_names)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._list())

    @overload
    def __getitem__(self, i: int) -> Module: ...
    @overload
    def __getitem__(self, i: slice) -> Self: ...
    def __getitem__(self, i: int | slice) -> Any:
        if isinstance(i, slice):
            out = type(self)()
            for name in list(self._module_names)[i]:
                out.add_module(str(len(out)) if isinstance(self, ModuleList) else name, self.__dict__[name])
            return out
        return self._list()[self._position(i)]

    def __setitem__(self, i: int, module: Module) -> None:
        setattr(self, list(self._module_names)[self._position(i)], module)

    def __delitem__(self, i: int | slice) -> None:
        left = self._list()
        del left[i if isinstance(i, slice) else self._position(i)]
        self._replace(left)

    def append(self, module: Module) -> Self:
        """Add a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end."""
        for module in modules:
            self.append(module)
        return self

    def insert(self, i: int, module: Module) -> Self:
        """Put a module before position i."""
        modules = self._list()
        modules.insert(i, module)
        self._replace(modules)
        return self

    def pop(self, i: int) -> Module:
        """Take the module at position i out."""
        modules = self._list()
        out = modules.pop(self._position(i))
        self._replace(modules)
        return out


class Sequential(_Numbered):
    """Modules one after the other: ``Sequential(a, b)`` or, with names, ``Sequential({"first": a, "second": b})``.

    A ``Linear`` and the ``ReLU`` after it run as one operation where neither has hooks; the values are the same.

    >>> import tensorlite as tl
    >>> model = tl.nn.Sequential(tl.nn.Linear(4, 3), tl.nn.ReLU(), tl.nn.Linear(3, 2))
    >>> model(tl.zeros(5, 4)).shape, len(model[:2])
    ((5, 2), 2)
    """

    def __init__(self, *modules: Any) -> None:
        named = modules[0] if len(modules) == 1 and isinstance(modules[0], Mapping) else None
        super().__init__(() if named is not None else modules)
        for name, module in (named or {}).items():
            self.add_module(name, module)

    def forward(self, input: Any) -> Any:
        own = self.__dict__
        linear = None   # a Linear that waits to see whether a ReLU follows
        for name in self._module_names:
            module = own[name]
            # exactly of a kind, with no hooks and no forward of its own put on it: nothing sees that it is not called
            kind = module.__class__ if module._hooks is None and "forward" not in module.__dict__ else None
            if linear is not None:
                if kind is ReLU:
                    input, linear = linear_relu_p(input, linear.weight, linear.bias), None   # one node for the two
                    continue
                input, linear = linear_p(input, linear.weight, linear.bias), None
            if kind is Linear:
                linear = module
            else:
                input = module(input)
        if linear is not None:
            input = linear_p(input, linear.weight, linear.bias)
        return input


class ModuleList(_Numbered):
    """A list of modules, whose parameters count as its own."""

    def __iadd__(self, modules: Iterable[Module]) -> Self:
        return self.extend(modules)

    def __add__(self, modules: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *modules])


class ModuleDict(Module):
    """A dict of modules, whose parameters count as its own."""

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] = ()) -> None:
        super().__init__()
        self.update(modules)

    def __len__(self) -> int:
        return len(self._module_names)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._module_names))

    def __contains__(self, name: str) -> bool:
        return name in self._module_names

    def __getitem__(self, name: str) -> Module:
        if name not in self._module_names:
            raise KeyError(name)
        found: Module = self.__dict__[name]
        return found

    def __setitem__(self, name: str, module: Module) -> None:
        self.add_module(name, module)

    def __delitem__(self, name: str) -> None:
        self.pop(name)

    def pop(self, name: str) -> Module:
        """Take a module out."""
        out = self[name]
        delattr(self, name)
        return out

    def clear(self) -> None:
        """Take all modules out."""
        for name in list(self._module_names):
            delattr(self, name)

    def keys(self) -> list[str]:
        """The names."""
        return list(self._module_names)

    def values(self) -> list[Module]:
        """The modules."""
        return [self.__dict__[name] for name in self._module_names]

    def items(self) -> list[tuple[str, Module]]:
        """(name, module) pairs."""
        return [(name, self.__dict__[name]) for name in self._module_names]

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add or replace modules."""
        for name, module in modules.items() if isinstance(modules, (Mapping, ModuleDict)) else modules:
            self.add_module(name, module)


class ParameterList(Module):
    """A list of parameters; tensors become parameters."""

    def __init__(self, values: Iterable[Any] = ()) -> None:
        super().__init__()
        self.extend(values)

    def __len__(self) -> int:
        return len(self._param_names)

    def __iter__(self) -> Iterator[Parameter]:
        return iter([self.__dict__[name] for name in self._param_names])

    def __getitem__(self, i: int) -> Parameter:
        names = list(self._param_names)
        if not -len(names) <= i < len(names):
            raise OutOfRangeError(f"ParameterList: index {i} is out of range for {len(names)} parameters")
        found: Parameter = self.__dict__[names[i]]
        return found

    def __setitem__(self, i: int, value: Any) -> None:
        self[i]
        setattr(self, str(i % len(self)), value if isinstance(value, Parameter) else Parameter(value))

    def append(self, value: Any) -> Self:
        """Add a parameter at the end."""
        self.register_parameter(str(len(self)), value if isinstance(value, Parameter) else Parameter(value))
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Add parameters at the end."""
        for value in values:
            self.append(value)
        return self

    def extra_repr(self) -> str:
        return "\n".join(f"({i}): Parameter of shape {tuple(p.shape)} and dtype {p.dtype}" for i, p in enumerate(self))


class ParameterDict(Module):
    """A dict of parameters; tensors become parameters."""

    def __init__(self, values: Mapping[str, Any] | Iterable[tuple[str, Any]] = ()) -> None:
        super().__init__()
        for name, value in values.items() if isinstance(values, Mapping) else values:
            self[name] = value

    def __len__(self) -> int:
        return len(self._param_names)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._param_names))

    def __contains__(self, name: str) -> bool:
        return name in self._param_names

    def __getitem__(self, name: str) -> Parameter:
        if name not in self._param_names:
            raise KeyError(name)
        found: Parameter = self.__dict__[name]
        return found

    def __setitem__(self, name: str, value: Any) -> None:
        if not isinstance(name, str):
            raise DTypeError(f"ParameterDict: the key is {name!r}; expected a string")
        self.register_parameter(name, value if isinstance(value, Parameter) else Parameter(value))

    def __delitem__(self, name: str) -> None:
        self[name]
        delattr(self, name)

    def keys(self) -> list[str]:
        """The names."""
        return list(self._param_names)

    def values(self) -> list[Parameter]:
        """The parameters."""
        return [self.__dict__[name] for name in self._param_names]

    def items(self) -> list[tuple[str, Parameter]]:
        """(name, parameter) pairs."""
        return [(name, self.__dict__[name]) for name in self._param_names]

    def extra_repr(self) -> str:
        return "\n".join(f"({k}): Parameter of shape {tuple(p.shape)} and dtype {p.dtype}" for k, p in self.items())
