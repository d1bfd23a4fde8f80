"""The programs in examples/ run, each in a few seconds, and say what they are to show."""
from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"

# what each prints, among other things
SAYS = {
    "accuracy": ["reverse              error", "e-16", "central differences  error 2", "reverse              peak"],
    "caffe_sigmoid": ["CUDA imported: ", "0.25 "],
    "computational_graph": ["by hand:    f = -12.0", "[-4.0, -4.0, 3.0]"],
    "control_flow": ["a = -0.71852928: 204800.0", "its own path: tensor([  2048., 204800.,", "100 steps, 3 states kept: "],
    "custom_function": ["through round: tensor([ 0.,  4., -4.])", "gradcheck, twice: True"],
    "custom_rules": ["(x + y) z: -12.0 [-4.0, -4.0, 3.0]", "sigmoid: 0.1192, reverse 0.1050, forward 0.1050, second 0.0800"],
    "equilibrium": ["largest difference of the gradients: ", "test accuracy 9"],
    "hvp": ["the snippet:          tensor([1402.,  200.,   -2., -400.,  400.]", "the whole matrix:     tensor([1402.,"],
    "inplace_safety": ["1. backward of exp", "2. backward of mul", "3. setitem", "x[i] = v: tensor([0., 5., 4.])"],
    "mds": ["final loss"],
    "mnist_cnn": ["so it is the digits", "test accuracy 9"],
    "numpy_interop": ["gives Tensor", "TypeError: np.asarray"],
    "own_kernel": ["cpu     gradient   float64          ok", "GB/s", "gradient: tensor([0.0723, 0.5   , 1.0908])"],
    "playground": ["####", "test loss 0.0"],
    "rnn_step": ["ShapeError: ", "(1 - h^2) x^T: True"],
    "sparse_jacobian": ["114 entries: 3 passes forward and 0 in reverse, not 38; the same Jacobian: True", "hub "],
    "neural_turing_machine": ["steps 200 to 299  loss 0.0"],
    "three_paths": ["y -> u -> a -> f", "y -> u -> f", "y -> v -> b -> f"],
    "through_svd": ["singular values: tensor([2., 2.]", "central differences:        tensor([0.25, 0.  , 0.  , 0.25]"],
    "transfer": ["5 to 9,   3 images each, frozen      test accuracy 8", "5 to 9, 140 images each, scratch     test accuracy 9"],
    "train_mlp": ["test accuracy 9"],
    "zero_cotangents": ["at 0:   tensor(1.)", "tensor(nan)"],
}


@pytest.mark.parametrize("name", sorted(SAYS))
def test_example(name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--quick"])
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    said = capsys.readouterr().out
    for text in SAYS[name]:
        assert text in said


def test_every_example_is_here_and_short() -> None:
    files = sorted(EXAMPLES.glob("*.py"))
    assert [f.stem for f in files] == sorted(SAYS)
    assert all(len(f.read_text().splitlines()) <= 60 for f in files)
