"""Transforms of functions: each opens a level, so any of them nests in any other, in any order and to any depth.

They work on functions of nested lists, tuples and dicts of tensors.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tensorlite import _levels as _levels  # the tensors of levels
from tensorlite.engine.value import Value, provide
from tensorlite.func._forward import jvp, linearize
from tensorlite.func._jacobian import hessian, hvp, jacfwd, jacobian, jacrev
from tensorlite.func._reverse import grad, value_and_grad, vjp
from tensorlite.func._vmap import vmap

__all__ = ["custom_jvp", "custom_root", "custom_vjp", "fixed_point", "functional_call", "grad", "hessian", "hvp", "jacfwd",
           "jacobian", "jacobian_plan", "jacobian_sparsity", "jacrev", "jvp", "linearize", "scan", "solve_bicgstab", "solve_cg",
           "stack_module_state", "stop_gradient", "value_and_grad", "vjp", "vmap", "while_loop"]

# on demand: importing tensorlite does not pay for them
_LAZY = {"custom_jvp": "_custom", "custom_vjp": "_custom", "functional_call": "_functional", "stack_module_state": "_functional",
         "custom_root": "_implicit", "fixed_point": "_implicit", "solve_bicgstab": "_implicit", "solve_cg": "_implicit",
         "jacobian_plan": "_compressed", "jacobian_sparsity": "_sparsity", "scan": "_loops", "while_loop": "_loops"}

if TYPE_CHECKING:
    from tensorlite.func._compressed import jacobian_plan
    from tensorlite.func._custom import custom_jvp, custom_vjp
    from tensorlite.func._functional import functional_call, stack_module_state
    from tensorlite.func._implicit import custom_root, fixed_point, solve_bicgstab, solve_cg
    from tensorlite.func._loops import scan, while_loop
    from tensorlite.func._sparsity import jacobian_sparsity


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'tensorlite.func' has no attribute {name!r}")
    from importlib import import_module
    return getattr(import_module(f"tensorlite.func.{_LAZY[name]}"), name)


def _namespace() -> Any:
    import tensorlite
    return tensorlite


provide(namespace=_namespace)


def stop_gradient(x: Any) -> Any:
    """``x``, as a constant to every transform and to the tape; of a tree, every tensor in it.

    >>> import tensorlite as tl
    >>> tl.grad(lambda x: x * tl.stop_gradient(x))(tl.tensor(3.0))
    tensor(3.)
    """
    from tensorlite import _tree
    leaves, rebuild = _tree.flatten(x)
    return rebuild([leaf.detach() if isinstance(leaf, Value) else leaf for leaf in leaves])
