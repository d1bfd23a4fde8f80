"""Saving and loading, safe by default: arrays as safetensors, everything else as JSON in the same file, never pickle.

A file holds a checksum of its contents and is written as a whole or not at all. It needs the package safetensors
(``pip install "tensorlite[train]"``); any other reader of safetensors can read the arrays.
"""
from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from tensorlite import backends
from tensorlite._files import write_atomic
from tensorlite._tensor import Tensor
from tensorlite.engine.value import new, raw
from tensorlite.errors import CheckpointError, DTypeError, TensorliteError

__all__ = ["load", "load_safetensors", "save", "save_safetensors"]

_TREE, _CHECKSUM = "tensorlite", "crc32"
_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32",
           "I16": "int16", "I8": "int8", "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8",
           "BOOL": "bool", "C64": "complex64"}
_SAVED = frozenset(_DTYPES.values()) - {"complex64"}
Path = str | os.PathLike[str]


class MissingExtra(TensorliteError, ImportError):
    """A package of an optional extra that is not installed."""


def package() -> Any:
    """The package safetensors; ``MissingExtra`` with the pip line if it is not installed."""
    try:
        import safetensors
        import safetensors.numpy
    except ImportError as error:
        raise MissingExtra(f"saving and loading need the package safetensors ({error}); "
                           'install it with: pip install "tensorlite[train]"') from None
    return safetensors


# ---- arrays by name --------------------------------------------------------------------------------------------------

def save_safetensors(tensors: Mapping[str, Any], path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write named tensors or arrays as a safetensors file, as a whole or not at all; ``metadata`` holds strings only.

    Errors: ``OSError`` if it cannot be written (the old file stays as it was), ``DTypeError`` for a dtype the format lacks.

    >>> import tensorlite as tl, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tl.io.save_safetensors({"w": tl.ones(2)}, f"{folder}/w.safetensors")
    ...     tl.io.load_safetensors(f"{folder}/w.safetensors")
    {'w': tensor([1., 1.])}
    """
    safetensors = package()
    if "__metadata__" in tensors:   # the file would be unreadable
        raise DTypeError("save: an array has the name '__metadata__', which the format keeps for itself; give it another")
    arrays = {name: _host(name, value) for name, value in tensors.items()}
    notes = dict(metadata or {})
    notes[_CHECKSUM] = f"{_checksum(arrays, notes):08x}"
    write_atomic(path, safetensors.numpy.save(arrays, metadata=notes))


def load_safetensors(path: Path, *, device: Any = None) -> dict[str, Tensor]:
    """The tensors of a safetensors file by name. ``CheckpointError`` if it is missing, truncated or corrupt."""
    return {name: _tensor(array, device) for name, array in _read(path)[0].items()}


def _host(name: str, value: Any) -> Any:
    array = raw(value)
    if not isinstance(array, np.ndarray):
        array = backends.backend_of(array).to_numpy(array)
    if array.dtype.name not in _SAVED:
        raise DTypeError(f"save: {name!r} has dtype {array.dtype}, which a safetensors file cannot hold; cast it first")
    return np.asarray(array, dtype=array.dtype.newbyteorder("="), order="C")


def _checksum(arrays: Mapping[str, Any], notes: Mapping[str, str]) -> int:
    crc = 0
    for name in sorted(notes):
        if name != _CHECKSUM:
            crc = zlib.crc32(f"{name}\0{notes[name]}\0".encode(), crc)
    for name in sorted(arrays):
        a = arrays[name]
        crc = zlib.crc32(f"{name}\0{a.dtype.name}\0{a.shape}\0".encode(), crc)
        crc = zlib.crc32(a.reshape(-1).view(np.uint8), crc) if a.size else crc
    return crc


def _read(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The arrays and the metadata of a file, checked."""
    safetensors = package()
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        raise CheckpointError(f"{os.fspath(path)}: there is no such file") from None
    except OSError as error:
        raise CheckpointError(f"{os.fspath(path)}: cannot be read ({error.strerror or error})") from None
    try:
        entries = safetensors.deserialize(data)
        header = json.loads(data[8:8 + int.from_bytes(data[:8], "little")])
        arrays = {name: _array(entry) for name, entry in entries}
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(f"{os.fspath(path)}: not a whole safetensors file ({error}; it has {len(data)} bytes); it is "
                              "truncated or corrupt, or of another kind") from None
    notes = header.get("__metadata__") or {}
    if _CHECKSUM in notes:
        found = f"{_checksum(arrays, notes):08x}"
        if found != notes[_CHECKSUM]:
            raise CheckpointError(f"{os.fspath(path)}: corrupt, its contents have the checksum {found} where {notes[_CHECKSUM]} "
                                  "was written")
    return arrays, notes


def _array(entry: Mapping[str, Any]) -> Any:
    name = _DTYPES[entry["dtype"]]
    if name == "bfloat16":
        import ml_dtypes  # registers the dtype's name with NumPy
        kind = np.dtype(ml_dtypes.bfloat16)
    else:
        kind = np.dtype(name)
    return np.frombuffer(bytearray(entry["data"]), dtype=kind).reshape(entry["shape"])


def _tensor(array: Any, device: Any) -> Tensor:
    tensor: Tensor = new(array)
    return tensor if device is None else tensor.to(device=str(device))


# ---- anything --------------------------------------------------------------------------------------------------------

def save(obj: Any, path: Path) -> None:
    """Write ``obj``: tensors and arrays in any nesting of dicts, lists and tuples, with numbers, strings, booleans and None.

    Errors: ``DTypeError`` naming the place of anything else (nothing is ever pickled), ``OSError`` if the file cannot be written
    (the old one stays as it was).

    >>> import tensorlite as tl, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tl.save({"w": tl.ones(2), "epoch": 3, "betas": (0.9, 0.999)}, f"{folder}/state.safetensors")
    ...     tl.load(f"{folder}/state.safetensors")
    {'w': tensor([1., 1.]), 'epoch': 3, 'betas': (0.9, 0.999)}
    """
    arrays: dict[str, Any] = {}
    tree = _encode(obj, (), arrays)
    save_safetensors(arrays, path, {_TREE: json.dumps(tree, separators=(",", ":"))})


def load(path: Path, *, device: Any = None) -> Any:
    """What :func:`save` wrote, its tensors on ``device``; of another program's safetensors file, a dict of tensors.

    ``CheckpointError`` naming the file if it is missing, truncated or corrupt. Loading runs no code from the file.
    """
    arrays, notes = _read(path)
    if _TREE not in notes:
        return {name: _tensor(array, device) for name, array in arrays.items()}
    try:
        return _decode(json.loads(notes[_TREE]), arrays, device)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{os.fspath(path)}: its description of the contents cannot be read ({error!r})") from None


def _encode(obj: Any, place: tuple[str, ...], arrays: dict[str, Any]) -> Any:
    """JSON for ``obj``: plain values as they are, everything else as a dict with one key that says what it is."""
    if obj is None or isinstance(obj, (bool, str)) or type(obj) in (int, float):
        return obj
    if isinstance(obj, (Tensor, np.ndarray, np.generic)):
        return _encode_array(obj, place, arrays)
    if isinstance(obj, Mapping):
        for key in obj:
            if not isinstance(key, (str, int)):
                raise DTypeError(f"save: the key {key!r} at {_say(place)} is a {type(key).__name__}; expected a string or an "
                                 "integer")
        return {"dict": [[key, _encode(value, (*place, str(key)), arrays)] for key, value in obj.items()]}
    if isinstance(obj, (list, tuple)):
        kind = "list" if isinstance(obj, list) else "tuple"
        return {kind: [_encode(value, (*place, str(i)), arrays) for i, value in enumerate(obj)]}
    if isinstance(obj, complex):
        return {"complex": [obj.real, obj.imag]}
    raise DTypeError(f"save: {_say(place)} is a {type(obj).__module__}.{type(obj).__qualname__}; expected tensors, arrays, "
                     "numbers, "
                     "strings, None, and dicts, lists and tuples of them (for a module or an optimizer, save its state_dict())")


def _say(place: tuple[str, ...]) -> str:
    return ".".join(place) or "the object"


def _encode_array(obj: Any, place: tuple[str, ...], arrays: dict[str, Any]) -> Any:
    stem = ".".join(place) or "value"
    name, copy = stem, 1
    while name in arrays:
        name, copy = f"{stem}#{copy}", copy + 1
    kind = "tensor" if isinstance(obj, Tensor) else "array" if isinstance(obj, np.ndarray) else "scalar"
    entry: dict[str, Any] = {kind: name}
    array = raw(obj) if kind == "tensor" else np.asarray(obj)
    if kind == "tensor":
        array = backends.backend_of(array).to_numpy(array)
        if obj.requires_grad:
            entry["requires_grad"] = True
    if array.dtype.kind == "c":
        entry["complex"] = array.dtype.name
        array = np.stack([array.real, array.imag], axis=-1)
    arrays[name] = array
    return entry


def _decode(node: Any, arrays: Mapping[str, Any], device: Any) -> Any:
    if not isinstance(node, dict):
        return node
    if "dict" in node:
        return {key: _decode(value, arrays, device) for key, value in node["dict"]}
    if "list" in node:
        return [_decode(value, arrays, device) for value in node["list"]]
    if "tuple" in node:
        return tuple(_decode(value, arrays, device) for value in node["tuple"])
    kind = next((k for k in ("tensor", "array", "scalar") if k in node), None)
    if kind is None:
        return complex(*node["complex"])
    array = arrays[node[kind]]
    if "complex" in node:
        array = array.view(node["complex"])[..., 0]
    if kind == "array":
        return array
    if kind == "scalar":
        return array[()]
    tensor = _tensor(array, device)
    return tensor.requires_grad_(True) if node.get("requires_grad") else tensor
