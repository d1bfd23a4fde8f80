"""Convolution on CUDA: what cuDNN is asked for, on a stand-in (and validated by the real frontend where it is installed); columns
without it."""
from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from cuda_device import stand_in
from cuda_on_cpu import build
from cuda_on_cpu import cudnn as stand_in_cudnn
from test_optable import ROWS, TOLERANCE, backward, call, cases, cast, close, results, tensors

import tensorlite as tl
from tensorlite.backends import _cudnn
from tensorlite.backends._columns import Columns
from tensorlite.nn import functional as F
from tensorlite.ops._convolution import conv_input_grad_p, conv_weight_grad_p

pytestmark = pytest.mark.skipif(build.why_not() is not None, reason=str(build.why_not()))
CONVOLUTIONS = [row for row in ROWS if row.name.startswith("conv")]
PLAIN: dict[str, Any] = {"stride": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1)}


@pytest.fixture
def backend() -> Iterator[Any]:
    stand_in_cudnn.controls.__init__()   # type: ignore[misc]
    with stand_in() as found:
        yield found


def given(*shapes: tuple[int, ...], dtype: Any = "float32") -> list[Any]:
    rng = np.random.default_rng(3)
    return [rng.standard_normal(s).astype(dtype) for s in shapes]


def on_device(*arrays: Any) -> list[Any]:
    return [tl.tensor(a, device="cuda") for a in arrays]


def last(x: Any) -> Any:
    """The tensor with its channels last in memory."""
    return tl.permute_dims(tl.permute_dims(x, (0, 2, 3, 1)).contiguous(), (0, 3, 1, 2))


def test_a_training_step_is_three_launches_of_plans_made_once(backend: Any) -> None:
    x, w, b = given((2, 3, 5, 5), (4, 3, 3, 3), (4,))
    leaves = [t.requires_grad_() for t in on_device(x, w, b)]
    for _ in range(2):
        F.conv2d(*leaves, padding=1).sum().backward()
    assert stand_in_cudnn.controls.built == ["fprop+bias", "dgrad", "wgrad"]
    assert stand_in_cudnn.controls.ran == 6
    assert set(stand_in_cudnn.controls.streams) == {backend.cupy.cuda.get_current_stream().ptr}
    host = [tl.tensor(a).requires_grad_() for a in (x, w, b)]
    for _ in range(2):
        F.conv2d(*host, padding=1).sum().backward()
    for one, other in zip(leaves, host):
        np.testing.assert_allclose(one.grad.cpu().numpy(), other.grad.numpy(), rtol=1e-5, atol=1e-5)


def test_channels_last_stays(backend: Any) -> None:
    x, w, g = on_device(*given((2, 3, 5, 4), (6, 3, 3, 3), (2, 6, 5, 4)))
    out = F.conv2d(last(x), w, padding=1)
    assert _cudnn.channels_last(out.value)
    np.testing.assert_allclose(out.cpu().numpy(), F.conv2d(x, w, padding=1).cpu().numpy(), rtol=1e-5, atol=1e-5)
    dx = conv_input_grad_p(last(g), w, size=(5, 4), groups=1, **PLAIN)
    dw = conv_weight_grad_p(last(g), last(x), window=(3, 3), groups=1, **PLAIN)
    assert _cudnn.channels_last(dx.value) and dw.value.flags.c_contiguous


def test_a_bias_that_no_plan_takes_is_added(backend: Any) -> None:
    stand_in_cudnn.controls.refused = {"fprop+bias"}
    x, w, b = given((2, 3, 5, 5), (4, 3, 3, 3), (4,))
    out = F.conv2d(*on_device(x, w, b))
    assert stand_in_cudnn.controls.built == ["fprop"]
    np.testing.assert_allclose(out.cpu().numpy(), F.conv2d(*map(tl.tensor, (x, w, b))).numpy(), rtol=1e-5, atol=1e-5)


def test_channels_are_put_last_where_only_that_has_a_plan(backend: Any) -> None:
    stand_in_cudnn.controls.refused = {"fprop first"}
    x, w = given((2, 3, 5, 5), (4, 3, 3, 3), dtype="float16")
    out = F.conv2d(*on_device(x, w))
    assert stand_in_cudnn.controls.built == ["fprop"]
    np.testing.assert_allclose(out.cpu().numpy(), F.conv2d(tl.tensor(x), tl.tensor(w)).numpy(), rtol=2e-2, atol=2e-2)


def test_what_has_no_plan_goes_by_columns(backend: Any) -> None:
    stand_in_cudnn.controls.refused = {"fprop", "dgrad", "wgrad"}
    x, w = given((2, 3, 5, 5), (4, 3, 3, 3))
    leaves, host = [[t.requires_grad_() for t in made] for made in (on_device(x, w), [tl.tensor(x), tl.tensor(w)])]
    for each in (leaves, host):
        F.conv2d(*each, stride=2).sum().backward()
    assert not stand_in_cudnn.controls.ran
    for one, other in zip(leaves, host):
        np.testing.assert_allclose(one.grad.cpu().numpy(), other.grad.numpy(), rtol=1e-5, atol=1e-5)


def test_the_same_bits_every_time_and_tf32_only_where_it_is_allowed(backend: Any) -> None:
    x, w = on_device(*given((2, 3, 5, 5), (4, 3, 3, 3)))
    F.conv2d(x, w)
    assert set(stand_in_cudnn.controls.notes) == {"NONDETERMINISTIC", "TENSOR_CORE", "DOWN_CONVERT_INPUTS"}
    backend.runtime.tf32 = True
    F.conv2d(x, w)
    assert stand_in_cudnn.controls.notes == ("NONDETERMINISTIC",)
    assert stand_in_cudnn.controls.built == ["fprop", "fprop"]


def test_relu_in_the_same_launch(backend: Any) -> None:
    library = _cudnn.Cudnn(backend.cupy, stand_in_cudnn)
    x, w, b = (t.value for t in on_device(*given((2, 3, 4, 4), (5, 3, 3, 3), (5,))))
    out = library.fprop(x, w, b, (4, 4), False, relu=True, **PLAIN)
    plain = library.fprop(x, w, b, (4, 4), False, **PLAIN)
    np.testing.assert_array_equal(out.get(), np.maximum(plain.get(), 0))


@pytest.mark.parametrize("row", CONVOLUTIONS, ids=lambda r: r.name)
def test_without_cudnn(row: Any, backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cudnn", None)
    with pytest.warns(RuntimeWarning, match="cuDNN cannot be used"):
        F.conv2d(*on_device(*given((1, 1, 2, 2), (1, 1, 1, 1))))
    for number, case in cases(row):
        what = f"{row.name}, case {number}"
        close(results(call(row, case, tensors(case.args, device="cuda"), device="cuda")),
              results(call(row, case, tensors(case.args))), 1e-11, what)
        close(backward(row, case, np.copy, device="cuda", order=2), backward(row, case, np.copy, order=2), 1e-10, what)
        half = cast(case.args, "float16")
        close(results(call(row, case, tensors(half, device="cuda"), device="cuda")), results(call(row, case, tensors(half))),
              TOLERANCE["float16"], what)


@pytest.mark.parametrize("row", CONVOLUTIONS, ids=lambda r: r.name)
def test_numpy_without_a_compiler(row: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same columns on NumPy, a window at a time."""
    from tensorlite.backends import _numpy_convolution as cpu
    expected = [(results(call(row, c, tensors(c.args))), backward(row, c, np.copy)) for _, c in cases(row)]
    monkeypatch.setattr(cpu.kernels, "load", lambda name: type("Kernel", (), {"cpu": None}))
    monkeypatch.setattr(cpu, "columns", Columns(np, np, cpu.matmul, 1, ("float32", "float64")))
    for (number, case), (out, grads) in zip(cases(row), expected):
        close(results(call(row, case, tensors(case.args))), out, 1e-11, f"{row.name}, case {number}")
        close(backward(row, case, np.copy), grads, 1e-11, f"{row.name}, case {number}")


# ---- the real frontend ---------------------------------------------------------------------------------------------------------

@pytest.fixture
def cudnn() -> Any:
    try:
        import cudnn as module
    except (ImportError, OSError) as error:
        pytest.skip(f"nvidia-cudnn-frontend: {error}")
    return module


@pytest.mark.parametrize("channels", ["first", "last"])
@pytest.mark.parametrize("name", _cudnn.TYPES)
@pytest.mark.parametrize("kind", ["fprop", "fprop+bias", "fprop+bias+relu", "dgrad", "wgrad"])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_the_frontend_knows_these_graphs(cudnn: Any, axes: int, kind: str, name: str, channels: str) -> None:
    """Its names and arguments are these, and a graph so described is valid; it needs no GPU for that."""
    tall = (5, 6, 7)[:axes]
    x, w, out = (2, 8, *tall), (4, 8, *(3,) * axes), (2, 4, *tall)
    how = ((1,) * axes, ((1, 1),) * axes, (1,) * axes)
    shapes, result = {"d": ([out, w], x), "w": ([x, out], w)}.get(kind[0], ([x, w] + [(4,)] * ("bias" in kind), out))
    element = getattr(cudnn.data_type, _cudnn.TYPES[name])
    wide = cudnn.data_type.DOUBLE if name == "float64" else cudnn.data_type.FLOAT
    graph = cudnn.pygraph(io_data_type=element, intermediate_data_type=wide, compute_data_type=wide)
    turned = channels == "last"
    inputs = [graph.tensor(**_cudnn._description(s, turned, axes + 2), data_type=element) for s in shapes]
    output = _cudnn._graph_of(graph, kind.partition("+")[0], inputs, how, "relu" in kind)
    described = _cudnn._description(result, turned, axes + 2)
    output.set_output(True).set_data_type(element).set_dim(described["dim"]).set_stride(described["stride"])
    graph.validate()
    assert output.get_dim() == described["dim"] and output.get_stride() == described["stride"]
    assert [getattr(cudnn.numerical_note, n) for n in ("TENSOR_CORE", "DOWN_CONVERT_INPUTS", "NONDETERMINISTIC")]
    assert cudnn.heur_mode.A and cudnn.heur_mode.FALLBACK and issubclass(cudnn.cudnnGraphNotSupportedError, Exception)
