"""Changing what the tape has saved: a wrong gradient elsewhere, an error with both lines here."""
from __future__ import annotations

import numpy as np

import tensorlite as tl
from tensorlite.errors import GradError, InplaceError

if __name__ == "__main__":
    x = tl.tensor([1.0, 2.0, 3.0], requires_grad=True)

    y = tl.exp(x)
    loss = y.sum()
    y.add_(1.0)          # exp's backward needs its result
    try:
        loss.backward()
    except InplaceError as error:
        print("1.", error)

    data = np.array([1.0, 2.0, 3.0], dtype=np.float32)
    loss = (x * tl.from_numpy(data)).sum()
    data[0] = 100.0      # the same memory, changed behind tensorlite's back
    try:
        loss.backward()
    except InplaceError as error:
        print("2.", error)

    try:
        x[0] = 5.0       # the leaf itself
    except GradError as error:
        print("3.", error)

    y = x * 2            # nothing needs the result of a product by a constant: changing it is fine, and differentiated
    y[0] = x[1] * x[2]
    y.sum().backward()
    print("4. gradient through x[i] = v:", x.grad)
