"""What holds memory, for the error that says there is none left."""
from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from typing import Any

from tensorlite import backends
from tensorlite._site import describe
from tensorlite.engine.value import KIND, RAW, Value
from tensorlite.errors import OutOfMemoryError

LISTED = 4   # holders that the error names


def exhausted(op: str, error: MemoryError, values: Sequence[Any], device: str = "cpu") -> Exception:
    """The error for an allocation that failed in ``op``, which was called with ``values``, or with no array was to make one on
    ``device``."""
    if isinstance(error, OutOfMemoryError):
        return error
    arrays = [v for v in values if KIND.get(type(v)) == RAW]
    backend: Any = backends.backend_of(arrays[0]) if arrays else backends.backend_for_device(device)
    place = backend.device_of(arrays[0]) if arrays else device
    given = ", ".join(f"{tuple(a.shape)} {a.dtype}" for a in arrays)
    given = f" (given {given})" if given else ""
    lines = [f"{op}: out of memory on {place}{given}: {backend.out_of_memory(error, arrays)}"]
    lines += [f"  {size / 2**20:,.1f} MiB  {what}" for size, what in holders(backend)[:LISTED]]
    lines.append("try a smaller batch, gradient checkpointing, no_grad() where no gradient is needed, or a smaller dtype; the "
                 "program can go on: what failed allocated nothing")
    return OutOfMemoryError("\n".join(lines))


def holders(backend: Any) -> list[tuple[int, str]]:
    """(bytes, what) of what keeps arrays of this backend alive, the largest first. Memory that several hold is counted once."""
    seen: set[int] = set()
    sizes: dict[str, int] = {}
    for what, array in _held():
        found = backends.of_type(type(array))
        if found is None or found is not backend:
            continue
        owner = found.owner(array)
        if id(owner) not in seen:
            seen.add(id(owner))
            sizes[what] = sizes.get(what, 0) + int(getattr(owner, "nbytes", 0))
    return sorted(((size, what) for what, size in sizes.items()), reverse=True)


def _held() -> Iterator[tuple[str, Any]]:
    """(description, array) of every array that a tensor or the tape holds."""
    from tensorlite.engine.tape import Node
    found = [o for o in gc.get_objects() if issubclass(type(o), (Value, Node))]   # isinstance would run what proxies define
    tensors, nodes = [o for o in found if isinstance(o, Value)], [o for o in found if isinstance(o, Node)]
    for tensor in tensors:
        if tensor.tracked and tensor.node is None:
            yield "parameters", tensor.value
        if isinstance(tensor.grad, Value):
            yield "gradients", tensor.grad.value
    for node in nodes:
        for array in node.saved or ():
            if KIND.get(type(array)) == RAW:
                yield f"saved for backward by {node.op.name} ({describe(node.site)})", array
    for tensor in tensors:
        node = tensor.node
        yield "other tensors" if node is None else f"results of {node.op.name} ({describe(node.site)})", tensor.value
