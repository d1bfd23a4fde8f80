"""Programs written for JAX run here with their import lines changed, and give the same numbers.

JAX compiles for most of a minute, so what it gave lies in ``jax_programs.npz``. ``TENSORLITE_JAX=1`` compares with JAX itself,
``python tests/test_jax_programs.py`` writes the file anew.
"""
from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tensorlite as tl

STORED = Path(__file__).parent / "jax_programs.npz"
JAX = """
import jax
import jax.numpy as jnp
from jax import grad, hessian, jacfwd, jacrev, jvp, linearize, value_and_grad, vjp, vmap
from jax.lax import stop_gradient
from jax.nn import log_softmax, relu, sigmoid, silu, softmax, softplus
"""
OURS = """
import tensorlite as jnp
from tensorlite import grad, hessian, jacfwd, jacrev, jvp, linearize, stop_gradient, value_and_grad, vjp, vmap
from tensorlite.nn.functional import log_softmax, relu, sigmoid, silu, softmax, softplus
"""

PROGRAMS = {
    "hvp of the lecture (row 41)": """
def f(x):
    return jnp.sum(jnp.sin(x) ** 2) + x[0] * x[1] * x[2]

def hvp(f, x, v):
    return grad(lambda x: jnp.vdot(grad(f)(x), v))(x)

result = hvp(f, jnp.array([0.5, 1.0, -2.0]), jnp.array([1.0, 0.0, 2.0]))
""",
    "hvp both ways": """
def f(x):
    return jnp.prod(jnp.tanh(x)) + jnp.sum(x ** 4)

x, v = jnp.linspace(0.1, 1.0, 5), jnp.arange(5.0)
forward_over_reverse = jvp(grad(f), (x,), (v,))[1]
reverse_over_forward = grad(lambda x: jvp(f, (x,), (v,))[1])(x)
reverse_over_reverse = vjp(grad(f), x)[1](v)[0]
dense = hessian(f)(x) @ v
result = [forward_over_reverse, reverse_over_forward, reverse_over_reverse, dense]
""",
    "logistic regression": """
def predict(W, b, inputs):
    return 0.5 * (jnp.tanh(jnp.dot(inputs, W) / 2) + 1)

inputs = jnp.array([[0.52, 1.12, 0.77], [0.88, -1.08, 0.15], [0.52, 0.06, -1.30], [0.74, -2.49, 1.39]])
targets = jnp.array([1.0, 1.0, 0.0, 1.0])

def loss(W, b):
    preds = predict(W, b, inputs) + 0 * b
    label_probs = preds * targets + (1 - preds) * (1 - targets)
    return -jnp.sum(jnp.log(label_probs))

W, b = jnp.array([0.3, -0.2, 0.5]), 0.1
result = [grad(loss, argnums=0)(W, b), grad(loss, 1)(W, b), grad(loss, (0, 1))(W, b), value_and_grad(loss, (0, 1))(W, b),
          jacfwd(jacrev(loss))(W, b)]
""",
    "dictionaries and lists": """
def loss(params, batch):
    x, y = batch
    out = jnp.tanh(x @ params["layers"][0]["w"] + params["layers"][0]["b"]) @ params["layers"][1]["w"]
    return jnp.mean((out[:, 0] - y) ** 2) + 1e-2 * sum(jnp.sum(layer["w"] ** 2) for layer in params["layers"])

params = {"layers": [{"w": jnp.ones((3, 4)) * 0.1, "b": jnp.zeros(4)}, {"w": jnp.linspace(-1.0, 1.0, 4)[:, None]}]}
batch = (jnp.reshape(jnp.arange(6.0), (2, 3)), jnp.array([1.0, -1.0]))
value, gradient = value_and_grad(loss)(params, batch)
result = (value, gradient, jvp(lambda p: loss(p, batch), (params,), (gradient,)))
""",
    "MLP trained by gradient descent": """
def init(sizes):
    return [{"w": jnp.sin(jnp.arange(float(m * n))).reshape((m, n)) / jnp.sqrt(m), "b": jnp.zeros((n,))}
            for m, n in zip(sizes[:-1], sizes[1:])]

def forward(params, x):
    for layer in params[:-1]:
        x = relu(jnp.dot(x, layer["w"]) + layer["b"])
    return jnp.dot(x, params[-1]["w"]) + params[-1]["b"]

def loss(params, x, y):
    return -jnp.mean(jnp.sum(log_softmax(forward(params, x), axis=-1) * y, axis=-1))

def update(params, x, y, step):
    grads = grad(loss)(params, x, y)
    return [{k: p[k] - step * g[k] for k in p} for p, g in zip(params, grads)]

x = jnp.cos(jnp.arange(20.0)).reshape(5, 4)
y = jnp.eye(3)[jnp.array([0, 1, 2, 1, 0])]
params = init([4, 8, 3])
losses = []
for _ in range(10):
    losses.append(loss(params, x, y))
    params = update(params, x, y, 0.5)
result = (losses, params)
""",
    "Newton's method": """
def rosenbrock(x):
    return jnp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)

x = jnp.array([1.2, 1.1, 0.9])
path = [x]
for _ in range(6):
    x = x - jnp.linalg.solve(hessian(rosenbrock)(x), grad(rosenbrock)(x))
    path.append(x)
result = (jnp.stack(path), rosenbrock(x))
""",
    "per-example gradients": """
def loss(w, x, y):
    return jnp.square(jnp.dot(w, x) - y)

w = jnp.array([1.0, -2.0, 0.5])
xs, ys = jnp.arange(12.0).reshape(4, 3) / 10, jnp.array([0.0, 1.0, 2.0, 3.0])
gradients = vmap(grad(loss), in_axes=(None, 0, 0))(w, xs, ys)
values, other = vmap(value_and_grad(loss), in_axes=(None, 0, 0))(w, xs, ys)
result = (gradients, jnp.linalg.norm(gradients, axis=1), values, other, vmap(jnp.outer, in_axes=(1, None), out_axes=1)(xs, w))
""",
    "Jacobians": """
def f(x, y):
    return {"a": jnp.sin(x) * y[0], "b": (jnp.outer(x, y), jnp.sum(x) ** 2)}

x, y = jnp.array([0.1, 0.2, 0.3]), jnp.array([2.0, -1.0])
result = [jacfwd(f)(x, y), jacrev(f)(x, y), jacfwd(f, argnums=1)(x, y), jacrev(f, (0, 1))(x, y), jacrev(jacfwd(jnp.sin))(x)]
""",
    "vjp and linearize": """
def f(x, y):
    return jnp.exp(x) @ y, jnp.cumsum(y)

x, y = jnp.array([[0.1, 0.2], [0.3, -0.4]]), jnp.array([1.0, 2.0])
out, pullback = vjp(f, x, y)
cotangents = pullback((jnp.ones(2), jnp.arange(2.0)))
out2, push = linearize(f, x, y)
moved = push(jnp.ones((2, 2)), jnp.array([1.0, -1.0]))
out3, pullback, aux = vjp(lambda x: (x ** 2, {"twice": 2 * x}), x, has_aux=True)
result = [out, cotangents, out2, moved, out3, pullback(x), aux]
""",
    "auxiliary results": """
def loss(p, x):
    hidden = jnp.tanh(p * x)
    return jnp.sum(hidden ** 2), {"hidden": hidden, "count": 3}

p, x = jnp.array(0.7), jnp.array([1.0, 2.0])
(value, aux), g = value_and_grad(loss, has_aux=True)(p, x)
g2, aux2 = grad(loss, argnums=1, has_aux=True)(p, x)
j, aux3 = jacrev(lambda x: (x ** 2, x.sum()), has_aux=True)(x)
result = [value, aux, g, g2, aux2, j, aux3]
""",
    "nested": """
def tower(f, n):
    for _ in range(n):
        f = grad(f)
    return f

inner = grad(lambda x: x * grad(lambda y: x * y ** 2)(3.0))(2.0)
mixed = jacfwd(lambda x: vmap(grad(lambda z, s: jnp.sin(z) * s), (0, None))(x, x[0]))(jnp.array([0.5, 1.5]))
confusion = grad(lambda x: x * jvp(lambda y: x + y, (1.0,), (1.0,))[1])(1.0)
result = [tower(jnp.tanh, 4)(0.3), inner, mixed, confusion, vmap(tower(jnp.sin, 3))(jnp.linspace(0.0, 1.0, 4))]
""",
    "an ODE by Runge-Kutta": """
def lotka_volterra(state, theta):
    prey, predators = state
    return jnp.array([theta[0] * prey - theta[1] * prey * predators, theta[2] * prey * predators - theta[3] * predators])

def step(f, y, h, theta):
    k1 = f(y, theta)
    k2 = f(y + h / 2 * k1, theta)
    k3 = f(y + h / 2 * k2, theta)
    k4 = f(y + h * k3, theta)
    return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

def final(theta, y):
    for _ in range(8):
        y = step(lotka_volterra, y, 0.1, theta)
    return y

theta, y = jnp.array([1.1, 0.4, 0.1, 0.4]), jnp.array([10.0, 5.0])
result = [final(theta, y), jacfwd(final)(theta, y), jacrev(final, 1)(theta, y), grad(lambda t: jnp.sum(final(t, y) ** 2))(theta)]
""",
    "softmax regression": """
def cross_entropy(W, x, labels):
    logits = jnp.einsum("nd,dk->nk", x, W)
    log_probs = logits - jnp.log(jnp.sum(jnp.exp(logits - jnp.max(logits, axis=1, keepdims=True)), axis=1, keepdims=True)) \\
        - jnp.max(logits, axis=1, keepdims=True)
    return -jnp.mean(log_probs[jnp.arange(x.shape[0]), labels])

x = jnp.sin(jnp.arange(15.0)).reshape(5, 3)
labels = jnp.array([0, 1, 1, 0, 2])
W = jnp.zeros((3, 3))
for i in range(5):
    W = W - 0.3 * grad(cross_entropy)(W, x, labels)
result = [W, cross_entropy(W, x, labels), jnp.argmax(x @ W, axis=-1), softmax(x @ W, axis=-1),
          hessian(cross_entropy)(W, x, labels)]
""",
    "activations": """
x = jnp.linspace(-3.0, 3.0, 13)
functions = [sigmoid, softplus, silu, lambda v: softmax(v, axis=0), jnp.tanh, relu]
result = [[f(x), grad(lambda v: jnp.sum(f(v) ** 2))(x)] for f in functions]
""",
    "where, clip and friends": """
def f(x, y):
    a = jnp.where(x > 0, jnp.sqrt(jnp.where(x > 0, x, 1.0)), -x)
    b = jnp.clip(y, -0.5, 0.5) + jnp.maximum(x, y) * jnp.minimum(x, 0.3)
    c = jnp.concatenate([a, b])[::-1] + jnp.roll(jnp.hstack([b, a]), 1)
    return jnp.sum(jnp.sort(c) * jnp.arange(6.0)) + jnp.logaddexp(x[0], y[0]) + jnp.std(x) + jnp.var(y)

x, y = jnp.array([0.4, -0.7, 1.3]), jnp.array([0.2, -0.9, 0.8])
result = [f(x, y), grad(f, (0, 1))(x, y), hessian(f)(x, y), vmap(f, (0, None))(jnp.stack([x, 2 * x]), y)]
""",
    "linear algebra": """
A = jnp.array([[4.0, 1.0, 0.5], [1.0, 3.0, 0.2], [0.5, 0.2, 2.0]])
b = jnp.array([1.0, -1.0, 2.0])

def f(A, b):
    x = jnp.linalg.solve(A, b)
    sign, logdet = jnp.linalg.slogdet(A)
    return jnp.vdot(x, b) + logdet + jnp.trace(jnp.linalg.inv(A)) + jnp.linalg.norm(A @ A.T) + jnp.linalg.det(A)

w, v = jnp.linalg.eigh(A)
result = [f(A, b), grad(f, (0, 1))(A, b), w, grad(lambda A: jnp.sum(jnp.linalg.eigh(A)[0] ** 3))(A),
          jnp.abs(v.T @ A @ v), jnp.linalg.cholesky(A), jacfwd(jnp.linalg.cholesky)(A), jnp.linalg.svd(A)[1]]
""",
    "Gaussian process": """
def kernel(x, y, length):
    return jnp.exp(-0.5 * jnp.square((x - y) / length))

def gram(x, length):
    return vmap(lambda a: vmap(lambda b: kernel(a, b, length))(x))(x)

def negative_log_likelihood(log_length, x, y):
    K = gram(x, jnp.exp(log_length)) + 1e-2 * jnp.eye(x.shape[0])
    L = jnp.linalg.cholesky(K)
    alpha = jnp.linalg.solve(K, y)
    return 0.5 * y @ alpha + jnp.sum(jnp.log(jnp.diag(L))) + 0.5 * x.shape[0] * jnp.log(2 * jnp.pi)

x = jnp.linspace(0.0, 2.0, 6)
y = jnp.sin(3 * x)
result = [gram(x, 0.5), value_and_grad(negative_log_likelihood)(0.1, x, y), grad(grad(negative_log_likelihood))(0.1, x, y)]
""",
    "complex numbers": """
def f(z):
    return jnp.sum(jnp.abs(z) ** 2 + jnp.real(z * z))

z = jnp.array([1.0 + 2.0j, -0.5 + 0.3j])
result = [grad(f)(z), grad(jnp.sin, holomorphic=True)(1.0 + 2.0j), vjp(lambda z: jnp.conj(z) * z * z, z)[1](z),
          jvp(lambda z: jnp.exp(z) * jnp.imag(z), (z,), (1j * z,)), grad(lambda x: jnp.abs(jnp.exp(1j * x) + x))(0.4),
          jnp.fft.fft(z), grad(lambda x: jnp.sum(jnp.abs(jnp.fft.fft(x)) ** 2 * jnp.arange(4.0)))(jnp.arange(4.0))]
""",
    "attention": """
def attention(q, k, v, mask):
    scores = jnp.einsum("hqd,hkd->hqk", q, k) / jnp.sqrt(q.shape[-1])
    return jnp.einsum("hqk,hkd->hqd", softmax(jnp.where(mask, scores, -1e9), axis=-1), v)

q = jnp.sin(jnp.arange(24.0)).reshape(2, 4, 3)
k, v = jnp.cos(q), jnp.flip(q, axis=1)
mask = jnp.tril(jnp.ones((4, 4))) > 0
loss = lambda q, k, v: jnp.mean(attention(q, k, v, mask) ** 2)
result = [attention(q, k, v, mask), grad(loss, (0, 1, 2))(q, k, v), jvp(loss, (q, k, v), (v, q, k))]
""",
    "stopped gradients and momentum": """
def semi_gradient(theta, s, s_next, reward):
    target = reward + 0.9 * jnp.dot(theta, s_next)
    return (stop_gradient(target) - jnp.dot(theta, s)) ** 2

theta, velocity = jnp.array([0.1, -0.1, 0.0]), jnp.zeros(3)
s, s_next = jnp.array([1.0, 2.0, -1.0]), jnp.array([0.5, 0.1, 0.0])
for _ in range(5):
    velocity = 0.9 * velocity + grad(semi_gradient)(theta, s, s_next, 1.0)
    theta = theta - 0.05 * velocity
result = [theta, velocity]
""",
    "statistics and polynomials": """
x = jnp.array([[1.0, 2.0, 4.0], [0.5, -1.0, 3.0]])
w = jnp.array([0.2, 0.3, 0.5])

def f(x):
    areas = jnp.trapezoid(x, dx=0.5)
    return jnp.average(x, axis=1, weights=w).sum() + jnp.polyval(w, x).mean() + areas.sum() + jnp.inner(x, w).prod()

result = [f(x), grad(f)(x), jnp.column_stack([x[0], x[1]]), jnp.array_equal(x, x), jnp.kron(x, x), jnp.mod(x, 0.7),
          jnp.identity(2), jnp.ndim(x), list(jnp.shape(x)), jnp.tensordot(x, x, axes=([1], [1])), jnp.meshgrid(w, w)]
""",
    "Python's control flow": """
def f(x):
    total = 0.0
    while total < 10.0:
        total = total + x ** 2
        if total > 5.0:
            total = total * 1.5
    for i in range(3):
        total = total + jnp.sin(i * x)
    return total

result = [value_and_grad(f)(1.3), jvp(f, (1.7,), (1.0,)), grad(grad(f))(2.1), jacfwd(f)(0.9)]
""",
}


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    """Numbers are float64, as they are in JAX with x64."""
    before = tl.get_default_dtype()
    tl.set_default_dtype(tl.float64)
    yield
    tl.set_default_dtype(before)


def run(imports: str, program: str) -> dict[str, Any]:
    namespace: dict[str, Any] = {}
    exec(imports + program, namespace)
    return dict(numbers(namespace["result"]))


def numbers(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every number and array with the way to it."""
    if isinstance(tree, dict):
        for k in sorted(tree):
            yield from numbers(tree[k], f"{path}.{k}")
    elif isinstance(tree, (list, tuple)):
        for i, part in enumerate(tree):
            yield from numbers(part, f"{path}.{i}")
    else:
        yield path, np.asarray(tree.detach() if isinstance(tree, tl.Tensor) else tree)


def jax_numbers(program: str) -> dict[str, Any]:
    import jax
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    try:
        return run(JAX, program)
    finally:
        jax.config.update("jax_enable_x64", before)


def compare(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """The same tree of the same numbers."""
    assert list(ours) == list(theirs)
    for path, b in theirs.items():
        a = ours[path]
        assert a.shape == b.shape and a.dtype == b.dtype, f"result{path}: {a.shape} {a.dtype}, JAX {b.shape} {b.dtype}"
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12, err_msg=f"result{path}")


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str) -> None:
    with np.load(STORED) as file:
        theirs = {k.partition("|")[2]: file[k] for k in file.files if k.startswith(f"{name}|")}
    assert theirs, "run python tests/test_jax_programs.py"
    compare(run(OURS, PROGRAMS[name]), theirs)


@pytest.mark.skipif("TENSORLITE_JAX" not in os.environ, reason="JAX compiles for most of a minute; set TENSORLITE_JAX=1")
@pytest.mark.parametrize("name", PROGRAMS)
def test_program_in_jax(name: str) -> None:
    compare(run(OURS, PROGRAMS[name]), jax_numbers(PROGRAMS[name]))


def test_single_precision() -> None:
    """The default dtypes of both: 32 bits."""
    tl.set_default_dtype(tl.float32)
    with np.load(STORED) as file:
        for name in ("logistic regression", "Newton's method", "Jacobians", "activations"):
            for path, a in run(OURS, PROGRAMS[name]).items():
                assert a.dtype == np.float32, (name, path)
                np.testing.assert_allclose(a, file[f"{name}|{path}"], rtol=2e-4, atol=1e-4, err_msg=f"{name}, result{path}")


if __name__ == "__main__":
    np.savez_compressed(STORED, **{f"{name}|{path}": array for name, program in PROGRAMS.items()
                                   for path, array in jax_numbers(program).items()})
