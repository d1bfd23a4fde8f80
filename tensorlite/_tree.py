"""Nested lists, tuples and dicts as flat lists of leaves, and back."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any


def flatten(tree: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """The leaves from left to right (dicts by sorted key), and a function that puts such a list back into the tree's shape."""
    if isinstance(tree, dict):
        keys = sorted(tree, key=str)
        parts = [flatten(tree[k]) for k in keys]
        return _joined(parts, lambda values: type(tree)(zip(keys, values)))
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return _joined([flatten(t) for t in tree], lambda values: type(tree)(*values))
    if isinstance(tree, (list, tuple)):
        return _joined([flatten(t) for t in tree], type(tree))
    if tree is None:
        return [], lambda leaves: None
    return [tree], lambda leaves: leaves[0]


def _joined(parts: list[tuple[list[Any], Callable[[list[Any]], Any]]], make: Callable[[list[Any]], Any]) -> Any:
    sizes = [len(leaves) for leaves, _ in parts]

    def build(leaves: list[Any]) -> Any:
        values, start = [], 0
        for size, (_, rebuild) in zip(sizes, parts):
            values.append(rebuild(leaves[start:start + size]))
            start += size
        return make(values)
    return [leaf for leaves, _ in parts for leaf in leaves], build
