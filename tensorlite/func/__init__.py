"""Transforms of functions: each opens a level, so any of them nests in any other, in any order and to any depth.

They work on functions of nested lists, tuples and dicts of tensors.
"""
from __future__ import annotations

from typing import Any

from tensorlite import _levels as _levels  # the tensors of levels
from tensorlite.engine.value import Value, provide
from tensorlite.func._forward import jvp, linearize
from tensorlite.func._jacobian import hessian, hvp, jacfwd, jacobian, jacrev
from tensorlite.func._reverse import grad, value_and_grad, vjp
from tensorlite.func._vmap import vmap

__all__ = ["grad", "hessian", "hvp", "jacfwd", "jacobian", "jacrev", "jvp", "linearize", "stop_gradient", "value_and_grad", "vjp",
           "vmap"]


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
