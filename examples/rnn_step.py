"""One step of a recurrent network as PyTorch's first tutorial had it, and the shape mistake in it."""
from __future__ import annotations

import tensorlite as tl
from tensorlite.autograd import Variable
from tensorlite.errors import ShapeError

if __name__ == "__main__":
    x = Variable(tl.randn(1, 20))
    prev_h = Variable(tl.randn(1, 20))
    W_h = Variable(tl.randn(20, 20), requires_grad=True)
    W_x = Variable(tl.randn(20, 20), requires_grad=True)

    i2h = tl.mm(W_x, x.t())
    h2h = tl.mm(W_h, prev_h.t())
    next_h = i2h + h2h
    next_h = next_h.tanh()
    print("next_h has shape", next_h.shape)

    try:
        next_h.backward(tl.ones(1, 20))
    except ShapeError as error:
        print("ShapeError:", error)
    next_h.backward(tl.ones_like(next_h))
    print("dW_x = (1 - h^2) x^T:", tl.allclose(W_x.grad, (1 - next_h.detach() ** 2) @ x, atol=1e-5))
    print("dW_h has shape", W_h.grad.shape)
