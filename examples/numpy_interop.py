"""Tensors and NumPy: NumPy's functions keep the graph, memory is shared where it can be, what would lose a gradient says so."""
from __future__ import annotations

import numpy as np

import tensorlite as tl

if __name__ == "__main__":
    x = tl.tensor(np.linspace(0.0, 1.0, 5), requires_grad=True)
    y = np.sum(np.sin(x) * np.arange(5.0))   # a tensor: NumPy hands its functions over
    y.backward()
    print("np.sum(np.sin(x) * k) gives", type(y).__name__, "and the gradient", x.grad.numpy().round(4))

    print("functions take arrays and give arrays:", tl.logsumexp(np.array([1.0, 2.0, 3.0])))

    a = np.zeros(3)
    t = tl.from_numpy(a)
    a[0] = 7.0
    print("from_numpy shares memory:", t)
    print("and DLPack does, both ways:", np.from_dlpack(t), tl.from_dlpack(a))

    try:
        np.asarray(x)
    except TypeError as error:
        print("TypeError:", error)
    print("so say it:", np.asarray(x.detach()))
