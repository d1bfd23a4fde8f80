"""Layers, losses, initial values and utilities against PyTorch."""
from __future__ import annotations

import math

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import nn
from tensorlite.errors import DTypeError, GradError, OutOfRangeError, ShapeError
from tensorlite.nn import functional as F

torch = pytest.importorskip("torch")
rng = np.random.default_rng(0)


def array(*shape):
    return rng.standard_normal(shape)


def both(mine, theirs, *arrays, tolerance=1e-9):
    """Forward and backward of two modules in float64, weights copied by key, compared."""
    theirs = theirs.double()
    if isinstance(mine, nn.Module):
        mine.double()
        mine.load_state_dict(theirs.state_dict())
    a = [tl.tensor(x, requires_grad=x.dtype.kind == "f") for x in arrays]
    b = [torch.tensor(x, requires_grad=x.dtype.kind == "f") for x in arrays]
    out, expected = mine(*a), theirs(*b)
    np.testing.assert_allclose(out.detach().numpy(), expected.detach().numpy(), rtol=tolerance, atol=tolerance)
    if not expected.requires_grad:
        return
    g = array(*expected.shape)
    out.backward(tl.tensor(g))
    expected.backward(torch.tensor(g))
    for x, y in zip(a, b):
        if y.grad is not None:
            np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=tolerance, atol=tolerance)
    for key, q in theirs.named_parameters():
        np.testing.assert_allclose(mine.get_parameter(key).grad.numpy(), q.grad.numpy(), rtol=tolerance, atol=tolerance,
                                   err_msg=key)
    for key, q in theirs.named_buffers():
        np.testing.assert_allclose(mine.get_buffer(key).numpy(), q.numpy(), rtol=tolerance, atol=tolerance, err_msg=key)


# ---- layers ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("make", "shapes"), [
    (lambda n: n.Linear(4, 3), [(5, 4)]),
    (lambda n: n.Linear(4, 3, bias=False), [(2, 5, 4)]),
    (lambda n: n.Linear(4, 3), [(4,)]),
    (lambda n: n.Linear(4, 3), [(0, 4)]),
    (lambda n: n.Bilinear(3, 4, 2), [(5, 3), (5, 4)]),
    (lambda n: n.Bilinear(3, 4, 2, bias=False), [(2, 5, 3), (2, 5, 4)]),
    (lambda n: n.Identity(3, x=4), [(2, 3)]),
    (lambda n: n.Flatten(), [(2, 3, 4)]),
    (lambda n: n.Flatten(0, 1), [(2, 3, 4)]),
    (lambda n: n.Unflatten(1, (2, 3)), [(2, 6)]),
    (lambda n: n.LayerNorm(4), [(3, 4)]),
    (lambda n: n.LayerNorm((3, 4), eps=1e-3), [(2, 3, 4)]),
    (lambda n: n.LayerNorm(4, elementwise_affine=False), [(2, 3, 4)]),
    (lambda n: n.LayerNorm(4, bias=False), [(2, 3, 4)]),
    (lambda n: n.RMSNorm(4), [(3, 4)]),
    (lambda n: n.RMSNorm((3, 4), eps=1e-3), [(2, 3, 4)]),
    (lambda n: n.GroupNorm(2, 4), [(3, 4, 5)]),
    (lambda n: n.CosineSimilarity(dim=1), [(3, 4), (3, 4)]),
    (lambda n: n.BatchNorm1d(4), [(6, 4)]),
    (lambda n: n.BatchNorm1d(4, momentum=0.3, eps=1e-2), [(3, 4, 5)]),
    (lambda n: n.BatchNorm1d(4, affine=False), [(6, 4)]),
    (lambda n: n.BatchNorm1d(4, track_running_stats=False), [(6, 4)]),
    (lambda n: n.BatchNorm1d(4, momentum=None), [(6, 4)]),
    (lambda n: n.BatchNorm1d(4).eval(), [(6, 4)]),
    (lambda n: n.BatchNorm1d(4).eval(), [(1, 4)]),
    (lambda n: n.BatchNorm1d(4, track_running_stats=False).eval(), [(6, 4, 2)]),
    (lambda n: n.Dropout(0.0), [(3, 4)]),
    (lambda n: n.Dropout(0.5).eval(), [(3, 4)]),
    (lambda n: n.AlphaDropout(0.5).eval(), [(3, 4)]),
    (lambda n: n.Sequential(n.Linear(4, 8), n.BatchNorm1d(8), n.ReLU(), n.Dropout(0.3), n.Linear(8, 2)).eval(), [(3, 4)]),
])
def test_layers(make, shapes):
    both(make(nn), make(torch.nn), *[array(*s) for s in shapes])


ACTIVATIONS = [("ReLU", {}), ("ReLU6", {}), ("LeakyReLU", {"negative_slope": 0.2}), ("ELU", {"alpha": 0.7}),
               ("CELU", {"alpha": 0.7}), ("SELU", {}),
               ("GELU", {}), ("GELU", {"approximate": "tanh"}), ("SiLU", {}), ("Mish", {}), ("Softplus",
                                                                                             {"beta": 2.0}), ("Sigmoid", {}),
               ("Tanh", {}), ("LogSigmoid", {}), ("Hardtanh", {"min_val": -0.5}), ("Hardsigmoid", {}), ("Hardswish",
                                                                                                        {}), ("Softsign", {}),
               ("Tanhshrink", {}), ("Softshrink", {}), ("Hardshrink", {}), ("Threshold",
                                                                            {"threshold": 0.1, "value": 2.0}), ("PReLU", {}),
               ("PReLU", {"num_parameters": 6}), ("GLU", {}), ("Softmax", {"dim": 1}), ("Softmin", {"dim": 0}), ("LogSoftmax",
                                                                                                                 {"dim": -1})]


@pytest.mark.parametrize(("name", "options"), ACTIVATIONS, ids=[f"{n}-{o}" for n, o in ACTIVATIONS])
def test_activations(name, options):
    both(getattr(nn, name)(**options), getattr(torch.nn, name)(**options), array(5, 6) * 3,
         tolerance=1e-7)   # PyTorch has some constants in float32


def test_batch_norm_over_several_batches_and_then_evaluation():
    for momentum in (0.1, None):
        mine, theirs = nn.BatchNorm1d(3, momentum=momentum), torch.nn.BatchNorm1d(3, momentum=momentum)
        for _ in range(4):
            x = array(5, 3).astype(np.float32) * 2 + 1
            np.testing.assert_allclose(mine(tl.tensor(x)).detach().numpy(), theirs(torch.tensor(x)).detach().numpy(), atol=1e-5)
        assert mine.num_batches_tracked.item() == 4
        np.testing.assert_allclose(mine.running_var.numpy(), theirs.running_var.numpy(), rtol=1e-5)
        x = array(1, 3).astype(np.float32)
        np.testing.assert_allclose(mine.eval()(tl.tensor(x)).detach().numpy(), theirs.eval()(torch.tensor(x)).detach().numpy(),
                                   rtol=1e-4)
        mine.reset_running_stats()
        assert mine.running_var.tolist() == [1, 1, 1] and mine.num_batches_tracked.item() == 0


@pytest.mark.parametrize("module", [nn.LayerNorm(5), nn.BatchNorm1d(5), nn.RMSNorm(5)], ids=repr)
def test_what_normalisation_gave_may_be_changed_in_place(module):
    """Backward keeps the input and its moments, not the result."""
    x = tl.tensor(array(7, 5)).requires_grad_()
    module(x).relu().sum().backward()
    expected, x.grad = x.grad, None
    out = module(x)
    out.relu_()
    out.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), expected.numpy())


def test_running_statistics_over_all_batches():
    ours, theirs = nn.BatchNorm1d(4, momentum=None, dtype=tl.float64), torch.nn.BatchNorm1d(4, momentum=None).double()
    for _ in range(3):
        batch = array(6, 4)
        ours(tl.tensor(batch))
        theirs(torch.tensor(batch))
    np.testing.assert_allclose(ours.running_mean.numpy(), theirs.running_mean.numpy(), rtol=1e-12)
    np.testing.assert_allclose(ours.running_var.numpy(), theirs.running_var.numpy(), rtol=1e-12)
    assert int(ours.num_batches_tracked.item()) == 3
    with pytest.raises(ShapeError):
        ours(tl.tensor(array(1, 4)))
    assert int(ours.num_batches_tracked.item()) == 3   # a batch that was refused does not count


def test_half_precision_normalisation_computes_in_single():
    x = (array(4, 300) + 100).astype(np.float16)
    out = F.layer_norm(tl.tensor(x), 300)
    expected = torch.nn.functional.layer_norm(torch.tensor(x), (300,))
    assert out.dtype == tl.float16
    np.testing.assert_allclose(out.numpy().astype(np.float32), expected.numpy().astype(np.float32), atol=4e-3)


@pytest.mark.parametrize("padding", [None, 1, -1])
def test_embedding(padding):
    indices = np.array([[0, 1, 4], [4, 4, 1]])
    both(nn.Embedding(5, 3, padding_idx=padding), torch.nn.Embedding(5, 3, padding_idx=padding), indices)
    layer = nn.Embedding(5, 3, padding_idx=padding)
    if padding is not None:
        assert layer.weight.detach().numpy()[padding].tolist() == [0, 0, 0]
    for bad in ([5], [-1]):
        with pytest.raises(IndexError, match="but weight has 5 rows; expected 0 <= index < 5"):
            layer(tl.tensor(bad))
    with pytest.raises(DTypeError, match="embedding: input has dtype float32; expected integers"):
        layer(tl.ones(2))
    table = nn.Embedding.from_pretrained(tl.ones(4, 2))
    assert not table.weight.requires_grad and table(tl.tensor([1])).tolist() == [[1.0, 1.0]]


def test_embedding_gradient_of_many_repeats_is_deterministic():
    indices = tl.tensor(rng.integers(0, 7, 10000))
    g = tl.tensor(array(10000, 8).astype(np.float32))
    found = []
    for _ in range(3):
        weight = tl.zeros(7, 8, requires_grad=True)
        F.embedding(indices, weight).backward(g)
        found.append(weight.grad.numpy())
    assert np.array_equal(found[0], found[1]) and np.array_equal(found[0], found[2])


# ---- dropout ---------------------------------------------------------------------------------------------------------

def test_dropout():
    tl.random.manual_seed(0)
    x = tl.ones(200, 100, requires_grad=True)
    out = F.dropout(x, 0.3)
    values = out.detach().numpy()
    assert set(np.unique(values)) == {0.0, np.float32(1 / 0.7)} and abs((values == 0).mean() - 0.3) < 0.02
    out.sum().backward()
    assert np.array_equal(x.grad.numpy(), values)   # the same mask, recomputed
    assert not np.array_equal(F.dropout(x, 0.3).detach().numpy(), values)
    tl.random.manual_seed(0)
    assert np.array_equal(F.dropout(x, 0.3).detach().numpy(), values)
    assert F.dropout(x, 1.0).sum().item() == 0 and F.dropout(x, 0.5, training=False) is x
    layer = nn.Dropout(0.5)
    assert (layer(x).detach().numpy() == 0).any() and layer.eval()(x) is x
    for p in (-0.1, 1.5, math.nan):
        with pytest.raises(ValueError, match="expected a probability"):
            nn.Dropout(p)


def test_dropout_keeps_no_mask():
    x = tl.ones(10, requires_grad=True)
    assert not any(hasattr(s, "shape") for s in F.dropout(x, 0.5).grad_fn.saved)


def test_alpha_dropout_keeps_mean_and_variance():
    tl.random.manual_seed(0)
    out = F.alpha_dropout(tl.tensor(rng.standard_normal(200000)), 0.2, training=True).numpy()
    assert abs(out.mean()) < 0.01 and abs(out.var() - 1) < 0.02


# ---- losses ----------------------------------------------------------------------------------------------------------

LABELS, SIGNS = np.array([0, 2, 1, 2]), np.array([1.0, -1.0, 1.0, -1.0])
PROBABILITIES = rng.uniform(0.05, 0.95, (4, 3))


def losses(n, make):
    w = make(np.array([0.5, 1.0, 2.0]))
    return [
        (n.CrossEntropyLoss(), array(4, 3), LABELS), (n.CrossEntropyLoss(weight=w, label_smoothing=0.1), array(4, 3), LABELS),
        (n.CrossEntropyLoss(ignore_index=2, reduction="sum"), array(4, 3), LABELS), (n.CrossEntropyLoss(), array(4, 3),
                                                                                     PROBABILITIES),
        (n.NLLLoss(weight=w), array(4, 3), LABELS), (n.NLLLoss(reduction="none"), array(4, 3), LABELS),
        (n.MSELoss(), array(4, 3), array(4, 3)), (n.MSELoss(reduction="sum"), array(4, 3), array(4, 3)),
        (n.L1Loss(), array(4, 3), array(4, 3)), (n.HuberLoss(delta=0.5), array(4, 3), array(4, 3)),
        (n.SmoothL1Loss(beta=0.5), array(4, 3), array(4, 3)), (n.KLDivLoss(reduction="batchmean"), array(4, 3), PROBABILITIES),
        (n.KLDivLoss(log_target=True, reduction="sum"), array(4, 3), array(4, 3)), (n.BCELoss(), PROBABILITIES,
                                                                                    PROBABILITIES[::-1].copy()),
        (n.BCEWithLogitsLoss(pos_weight=w), array(4, 3), PROBABILITIES), (n.BCEWithLogitsLoss(weight=w), array(4, 3),
                                                                          PROBABILITIES),
        (n.HingeEmbeddingLoss(margin=0.5), array(4), SIGNS), (n.MarginRankingLoss(margin=0.2), array(4), array(4), SIGNS),
    ]


@pytest.mark.parametrize("i", range(len(losses(torch.nn, torch.tensor))))
def test_losses(i):
    mine, *arrays = losses(nn, tl.tensor)[i]
    theirs = losses(torch.nn, torch.tensor)[i][0]
    a = [tl.tensor(x, requires_grad=k == 0) for k, x in enumerate(arrays)]
    b = [torch.tensor(x, requires_grad=k == 0) for k, x in enumerate(arrays)]
    out, expected = mine(*a), theirs(*b)
    np.testing.assert_allclose(out.detach().numpy(), expected.detach().numpy(), rtol=1e-10)
    out.sum().backward()
    expected.sum().backward()
    np.testing.assert_allclose(a[0].grad.numpy(), b[0].grad.numpy(), rtol=1e-9, atol=1e-12)
    assert list(mine.state_dict()) == list(theirs.state_dict())


# ---- functions -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("call", "shapes"), [
    (lambda f: f.normalize, [(3, 4)]), (lambda f: lambda x: f.normalize(x, p=1.0, dim=0), [(3, 4)]),
    (lambda f: lambda x, y: f.cosine_similarity(x, y, dim=0), [(3, 4), (3, 4)]),
    (lambda f: f.pairwise_distance, [(3, 4), (3, 4)]),
    (lambda f: lambda x: f.pad(x, (1, 2), value=3.0), [(3, 4)]),
    (lambda f: f.scaled_dot_product_attention, [(2, 3, 5, 4), (2, 3, 6, 4), (2, 3, 6, 7)]),
    (lambda f: lambda q, k, v: f.scaled_dot_product_attention(q, k, v, is_causal=True), [(2, 5, 4), (2, 5, 4), (2, 5, 3)]),
    (lambda f: lambda q, k, v: f.scaled_dot_product_attention(q, k, v, scale=0.3), [(5, 4), (6, 4), (6, 3)]),
    (lambda f: lambda x: f.softmax(x, dim=1), [(3, 4)]), (lambda f: lambda x: f.log_softmax(x, dim=0), [(3, 4)]),
])
def test_functions(call, shapes):
    theirs = torch.nn.Module()
    theirs.forward = call(torch.nn.functional)
    both(call(F), theirs, *[array(*s) for s in shapes])


def test_attention_masks():
    q, k, v = array(2, 3, 4), array(2, 5, 4), array(2, 5, 4)
    for mask in (rng.random((3, 5)) < 0.7, array(3, 5)):
        out = F.scaled_dot_product_attention(*[tl.tensor(x) for x in (q, k, v)], attn_mask=tl.tensor(mask))
        expected = torch.nn.functional.scaled_dot_product_attention(*[torch.tensor(x) for x in (q, k, v)],
                                                                    attn_mask=torch.tensor(mask))
        np.testing.assert_allclose(out.numpy(), expected.numpy(), rtol=1e-10)


def test_one_hot():
    assert F.one_hot(tl.tensor([[0], [2]])).tolist() == torch.nn.functional.one_hot(torch.tensor([[0], [2]])).tolist()
    with pytest.raises(OutOfRangeError, match="classes reach from 0 to 3; expected 0 <= class < 3"):
        F.one_hot(tl.tensor([0, 3]), 3)


@pytest.mark.parametrize(("act", "error", "text"), [
    (lambda: nn.Linear(3, 2)(tl.ones(2, 4)), ShapeError, r"linear: input has shape \(2, 4\) and weight has shape \(2, 3\)"),
    (lambda: nn.Linear(-1, 2), ShapeError, "Linear: in_features is -1"),
    (lambda: nn.LayerNorm(3)(tl.ones(2, 4)), ShapeError, r"layer_norm: input has shape \(2, 4\); expected its last axes to be "
                                                         r"\(3,\)"),
    (lambda: nn.LayerNorm(4)(tl.ones(2, 4, dtype=tl.int64)), DTypeError, "layer_norm: input has dtype int64"),
    (lambda: F.layer_norm(tl.ones(2, 4), 4, tl.ones(3)), ShapeError, r"layer_norm: weight has shape \(3,\); expected \(4,\)"),
    (lambda: nn.BatchNorm1d(3)(tl.ones(2, 4)), ShapeError, r"batch_norm: running_mean has shape \(3,\).* 4 channels"),
    (lambda: nn.BatchNorm1d(3)(tl.ones(1, 3)), ShapeError, "more than one value per channel"),
    (lambda: nn.BatchNorm1d(3)(tl.ones(3)), ShapeError, "expected 2 or 3 axes"),
    (lambda: nn.GroupNorm(2, 3), ShapeError, "expected a multiple of num_groups, 2"),
    (lambda: nn.Embedding(3, 2, padding_idx=3), IndexError, "padding_idx is 3"),
    (lambda: nn.MSELoss()(tl.ones(2), tl.ones(2, 1)), ShapeError, "mse_loss"),
    (lambda: nn.CrossEntropyLoss()(tl.ones(2, 3), tl.tensor([0, 3])), IndexError, "3"),
])
def test_errors(act, error, text):
    with pytest.raises(error, match=text):
        act()


def test_second_order_of_normalisation():
    x = [tl.tensor(array(3, 4)), tl.tensor(array(4)), tl.tensor(array(4))]
    assert tl.testing.gradcheck(lambda x, w, b: F.layer_norm(x, 4, w, b), x, modes=("rev", "double"))
    assert tl.testing.gradcheck(lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True), x, modes=("rev", "double"))


@pytest.mark.parametrize("norm", [
    lambda x: F.layer_norm(x, 4, x[0] ** 2, x[1]),
    lambda x: F.rms_norm(x, 4, x[0] ** 2),
    lambda x: F.group_norm(x, 2),
    lambda x: F.batch_norm(x, None, None, x[0], x[1], training=True),
])
def test_third_order_of_normalisation(norm):
    """The moments depend on the input in every derivative, in both modes and inside of vmap."""
    def along(f, v, mode):
        if mode == "fwd":
            return lambda x: tl.jvp(f, (x,), (v,))[1]
        if mode == "vmap":
            return lambda x: (tl.vmap(tl.grad(f))(tl.stack([x, 2 * x]))[0] * v).sum()
        return lambda x: (tl.grad(f)(x) * v).sum()

    x, *vs = (tl.tensor(a) for a in np.random.default_rng(0).standard_normal((4, 3, 4)))
    f = lambda x: tl.sin(norm(x)).sum()
    for modes in (("rev", "rev", "rev"), ("fwd", "fwd", "fwd"), ("rev", "fwd", "rev"), ("vmap", "fwd", "rev"),
                  ("fwd", "vmap", "vmap")):
        for v, mode in zip(vs[:2], modes):
            f = along(f, v, mode)
        step = 1e-5 * vs[2]
        numeric = (f(x + step) - f(x - step)).item() / 2e-5
        assert abs(along(f, vs[2], modes[2])(x).item() - numeric) < 1e-5 * abs(numeric) + 1e-5
        f = lambda x: tl.sin(norm(x)).sum()


def test_per_sample_gradients_of_normalisation_depend_on_the_input_through_its_moments():
    x, v, w = (tl.tensor(a) for a in np.random.default_rng(0).standard_normal((3, 2, 4)))
    by_weight = tl.grad(lambda w, x: tl.sin(F.layer_norm(x, 4, w)).sum())
    per_sample = lambda x: (tl.vmap(by_weight, in_axes=(None, 0))(w[0], x) * v).sum()
    one_by_one = lambda x: sum((by_weight(w[0], x[i]) * v[i]).sum() for i in range(2))
    np.testing.assert_allclose(tl.grad(per_sample)(x).numpy(), tl.grad(one_by_one)(x).numpy(), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(tl.jacfwd(per_sample)(x).numpy(), tl.grad(one_by_one)(x).numpy(), rtol=1e-9, atol=1e-12)


# ---- initial values --------------------------------------------------------------------------------------------------

def spread(make, bound=None, std=None):
    t = tl.empty(400, 300)
    assert make(t) is t
    values = t.numpy()
    if bound is not None:
        assert abs(values).max() <= bound and abs(values).max() > 0.999 * bound
        std = bound / math.sqrt(3)
    assert abs(values.std() / std - 1) < 0.02 and abs(values.mean()) < 0.01 * std + 1e-3


def test_initial_distributions():
    tl.random.manual_seed(0)
    spread(lambda t: nn.init.uniform_(t, -2.0, 2.0), bound=2.0)
    spread(lambda t: nn.init.normal_(t, std=3.0), std=3.0)
    spread(nn.init.xavier_uniform_, bound=math.sqrt(6 / 700))
    spread(lambda t: nn.init.xavier_normal_(t, gain=2.0), std=2 * math.sqrt(2 / 700))
    spread(lambda t: nn.init.kaiming_uniform_(t, a=math.sqrt(5)), bound=1 / math.sqrt(300))
    spread(lambda t: nn.init.kaiming_normal_(t, mode="fan_out", nonlinearity="relu"), std=math.sqrt(2 / 400))
    t = nn.init.trunc_normal_(tl.empty(300, 300), 1.0, 2.0, 0.0, 2.5).numpy()
    assert t.min() >= 0 and t.max() <= 2.5
    expected = torch.nn.init.trunc_normal_(torch.empty(300, 300), 1.0, 2.0, 0.0, 2.5)
    assert abs(t.mean() - expected.mean().item()) < 0.01 and abs(t.std() - expected.std().item()) < 0.01
    assert nn.init.constant_(tl.empty(2), 3.0).tolist() == [3, 3] and nn.init.eye_(tl.empty(2, 3)).tolist() == [[1, 0, 0],
                                                                                                                [0, 1, 0]]
    assert nn.init.ones_(tl.empty(1)).item() == 1 and nn.init.zeros_(tl.empty(1)).item() == 0
    sparse = nn.init.sparse_(tl.empty(100, 5), 0.3).numpy()
    assert ((sparse == 0).sum(0) == 30).all()


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 2, 3)])
def test_orthogonal(shape):
    w = nn.init.orthogonal_(tl.empty(*shape, dtype=tl.float64), gain=2.0).numpy().reshape(shape[0], -1)
    product = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(product, 4 * np.eye(len(product)), atol=1e-12)


def test_gains_and_fans():
    for name in ("linear", "sigmoid", "tanh", "relu", "selu", "conv2d", "leaky_relu"):
        assert nn.init.calculate_gain(name) == pytest.approx(torch.nn.init.calculate_gain(name))
    assert nn.init.calculate_gain("leaky_relu", 0.3) == pytest.approx(torch.nn.init.calculate_gain("leaky_relu", 0.3))
    assert nn.init.fans(tl.empty(4, 3, 5, 5)) == torch.nn.init._calculate_fan_in_and_fan_out(torch.empty(4, 3, 5, 5))
    with pytest.raises(ShapeError, match="at least two axes"):
        nn.init.kaiming_uniform_(tl.empty(3))
    with pytest.raises(ShapeError, match="nonlinearity is 'sin'"):
        nn.init.calculate_gain("sin")


def test_defaults_of_layers_have_pytorchs_bounds():
    tl.random.manual_seed(0)
    layer = nn.Linear(400, 300)
    for p in (layer.weight, layer.bias):
        assert 0.97 / 20 < abs(p.detach().numpy()).max() <= 1 / 20
    assert abs(nn.Embedding(500, 100).weight.detach().numpy().std() - 1) < 0.02
    tl.random.manual_seed(0)
    assert np.array_equal(nn.Linear(400, 300).weight.detach().numpy(), layer.weight.detach().numpy())


# ---- utilities -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("norm_type", [2.0, 1.0, 3.0, math.inf, 0.5])
@pytest.mark.parametrize("limit", [0.5, 1e3])
def test_clip_grad_norm(norm_type, limit):
    grads = [array(3, 4), array(5)]
    mine = [tl.zeros(g.shape, dtype=tl.float64, requires_grad=True) for g in grads]
    theirs = [torch.zeros(g.shape, dtype=torch.float64) for g in grads]
    for p, q, g in zip(mine, theirs, grads):
        p.grad, q.grad = tl.tensor(g), torch.tensor(g)
    total = nn.utils.clip_grad_norm_([*mine, tl.zeros(1, requires_grad=True)], limit, norm_type)
    expected = torch.nn.utils.clip_grad_norm_(theirs, limit, norm_type)
    np.testing.assert_allclose(total.item(), expected.item(), rtol=1e-12)
    for p, q in zip(mine, theirs):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-12)


def test_clip_grad_norm_at_the_ends_of_the_range():
    for value, expected in ((1e30, 2e30), (1e-30, 2e-30), (0.0, 0.0)):
        x = tl.zeros(4, requires_grad=True)
        x.grad = tl.full((4,), value)
        np.testing.assert_allclose(nn.utils.clip_grad_norm_(x, 1.0).item(), expected, rtol=1e-6)
    for value in (math.nan, math.inf):
        x.grad = tl.tensor([value, 1.0, 1.0, 1.0])
        with pytest.raises(GradError, match="find what made it so"):
            nn.utils.clip_grad_norm_(x, 1.0, error_if_nonfinite=True)
        assert x.grad.tolist()[1] == 1.0
    assert nn.utils.clip_grad_norm_([], 1.0).item() == 0


def test_clip_grad_value_and_vectors():
    x = tl.zeros(3, requires_grad=True)
    x.grad = tl.tensor([-3.0, 0.5, 9.0])
    nn.utils.clip_grad_value_([x], 1.0)
    assert x.grad.tolist() == [-1.0, 0.5, 1.0]
    model = nn.Linear(2, 3)
    vector = nn.utils.parameters_to_vector(model.parameters())
    assert vector.shape == (9,) and vector.requires_grad
    nn.utils.vector_to_parameters(tl.arange(9.0), model.parameters())
    assert model.bias.tolist() == [6, 7, 8] and model.weight.is_leaf
    with pytest.raises(ShapeError, match=r"expected \(9,\)"):
        nn.utils.vector_to_parameters(tl.arange(8.0), model.parameters())


# ---- without a compiler ----------------------------------------------------------------------------------------------

def test_numpy_alone_agrees_with_the_compiled_kernels(monkeypatch):
    from tensorlite import kernels
    from tensorlite.backends import _numpy_nn, _numpy_normalization

    class Bare:
        cpu = None
    x, g, w, b = array(300, 200) + 2, array(300, 200), array(200), array(200)
    indices = rng.integers(0, 9, (20, 15))

    def everything():
        found = []
        forward, backward = (_numpy_normalization.IMPLEMENTATIONS[name] for name in ("normalize", "normalize_grad"))
        for axis, center in ((1, True), (1, False), (0, True)):
            options = {"axes": (axis,), "eps": 1e-5, "center": center}
            out, *m = forward(x, w, b, **options)
            found += [out, *m, *backward(g, x, w, *m, **options, shape=(200,)), *backward(g, x, None, *m, **options, shape=None)]
        table = _numpy_nn.embedding_grad(g, np.resize(indices, 300), rows=9, padding_idx=2)
        return [*found, table, _numpy_nn.embedding_grad(g[:0], indices.reshape(-1)[:0], rows=9, padding_idx=None)]
    compiled = everything()
    monkeypatch.setattr(kernels, "load", lambda name: Bare)
    for a, e in zip(everything(), compiled, strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-11, atol=1e-11)
