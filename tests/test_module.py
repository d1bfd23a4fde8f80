"""The module: registration, walking, state, hooks, copies."""
from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import nn
from tensorlite.errors import DTypeError, OutOfRangeError
from tensorlite.nn import ModuleError, Parameter, StateDictError


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.norm = nn.BatchNorm1d(4)
        self.rest = nn.Sequential(nn.ReLU(), nn.Linear(4, 2))
        self.scale = Parameter(tl.ones(2))
        self.register_buffer("seen", tl.zeros(1), persistent=False)

    def forward(self, x):
        return self.rest(self.norm(self.first(x))) * self.scale


KEYS = ["scale", "first.weight", "first.bias", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var",
        "norm.num_batches_tracked", "rest.1.weight", "rest.1.bias"]


# ---- parameters ------------------------------------------------------------------------------------------------------

def test_parameter():
    data = tl.tensor([1.0, 2.0])
    p = Parameter(data)
    assert p.requires_grad and p.is_leaf and p.value is data.value and isinstance(p, tl.Tensor)
    assert repr(p) == "Parameter containing:\ntensor([1., 2.], requires_grad=True)"
    assert type(p + 1) is tl.Tensor and type(p.detach()) is tl.Tensor
    for clone in (copy.deepcopy(p), pickle.loads(pickle.dumps(p))):
        assert type(clone) is Parameter and clone.requires_grad and clone.value is not p.value
        assert clone.tolist() == [1.0, 2.0]
    assert not Parameter([1, 2], requires_grad=False).requires_grad
    with pytest.raises(DTypeError, match="only floating"):
        Parameter([1, 2])


# ---- registration ----------------------------------------------------------------------------------------------------

def test_names_and_order():
    net = Net()
    assert list(net.state_dict()) == KEYS
    assert [k for k, _ in net.named_parameters()] == [k for k in KEYS if "running" not in k and "num" not in k]
    assert [k for k, _ in net.named_buffers()] == ["seen", *[k for k in KEYS if "running" in k or "num" in k]]
    assert [k for k, _ in net.named_modules()] == ["", "first", "norm", "rest", "rest.0", "rest.1"]
    assert [k for k, _ in net.named_children()] == ["first", "norm", "rest"]
    assert [k for k, _ in net.named_parameters(prefix="net", recurse=False)] == ["net.scale"]
    assert len(list(net.modules())) == 6 and len(list(net.children())) == 3
    assert net.get_submodule("rest.1") is net.rest[1] and net.get_submodule("") is net
    assert net.get_parameter("rest.1.bias") is net.rest[1].bias and net.get_buffer("seen") is net.seen


def test_key_names_and_order_as_pytorch():
    torch = pytest.importorskip("torch")

    def build(n):
        return n.Sequential(n.Linear(3, 4), n.BatchNorm1d(4), n.ModuleDict({"a": n.LayerNorm(4), "b": n.Embedding(3, 2)}),
                            n.ModuleList([n.PReLU(), n.GroupNorm(2, 4), n.RMSNorm(3), n.Bilinear(1, 2, 3)]), n.CrossEntropyLoss())
    mine, theirs = build(nn), build(torch.nn)
    assert list(mine.state_dict()) == list(theirs.state_dict())
    assert {k: tuple(v.shape) for k, v in mine.state_dict().items()} == {k: tuple(v.shape) for k,
                                                                         v in theirs.state_dict().items()}
    assert [k for k, _ in mine.named_modules()] == [k for k, _ in theirs.named_modules()]
    mine.load_state_dict(theirs.state_dict())
    np.testing.assert_array_equal(mine[0].weight.detach().numpy(), theirs[0].weight.detach().numpy())


def test_shared_parameters_are_counted_once():
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    net[1].weight = net[0].weight
    assert len(list(net.parameters())) == 3 and len(net.state_dict()) == 4
    assert len(list(nn.Sequential(net, net).modules())) == 4
    clone = copy.deepcopy(net)
    assert clone[0].weight is clone[1].weight is not net[0].weight


def test_attributes_change_their_kind():
    net = Net()
    net.scale = None
    assert "scale" not in dict(net.named_parameters())
    net.scale = Parameter(tl.ones(3))
    assert net.get_parameter("scale").shape == (3,)
    with pytest.raises(DTypeError, match=r"Net\.scale was registered as a parameter, and a Tensor was assigned"):
        net.scale = tl.ones(3)
    with pytest.raises(DTypeError, match=r"Net\.first was registered as a module, and a int"):
        net.first = 3
    with pytest.raises(DTypeError, match=r"Net\.seen was registered as a buffer, and a list"):
        net.seen = [1]
    net.seen = tl.ones(2)
    assert net.get_buffer("seen").shape == (2,)
    del net.scale
    assert not hasattr(net, "scale") and "scale" not in net.state_dict()
    net.scale = 2.0
    assert net.scale == 2.0
    net.first = Parameter(tl.ones(1))
    assert "first" in dict(net.named_parameters()) and "first" not in dict(net.named_children())
    net.made_without_init = Net.__new__(Net)   # a subclass may forget super().__init__()
    assert dict(net.named_children())["made_without_init"] is net.made_without_init


@pytest.mark.parametrize(("act", "text"), [
    (lambda m: m.register_parameter("a.b", None), "without dots"),
    (lambda m: m.register_buffer("", None), "not empty"),
    (lambda m: m.register_buffer("forward", None), "has an attribute 'forward' already"),
    (lambda m: nn.ModuleDict({"train": nn.ReLU()}), "has an attribute 'train' already"),
    (lambda m: m.get_submodule("rest.7"), r"Sequential has no module '7' \(asked for 'rest.7'\); there are 0, 1"),
    (lambda m: m.get_parameter("first.gain"), "there are weight, bias"),
])
def test_errors_of_names(act, text):
    with pytest.raises(ModuleError, match=text):
        act(Net())


@pytest.mark.parametrize("act", [lambda m: m.register_parameter("a", tl.ones(1)), lambda m: m.register_buffer("a", 3),
                                 lambda m: m.add_module("a", 3), lambda m: m.train(1), lambda m: m.to(tl.int64),
                                 lambda m: m.load_state_dict([])])
def test_errors_of_types(act):
    with pytest.raises(DTypeError):
        act(Net())


# ---- state -----------------------------------------------------------------------------------------------------------

def test_state_dict_shares_memory_and_loads_in_place():
    net, other = Net(), Net()
    state = net.state_dict()
    assert state["scale"].value is net.scale.value and not state["scale"].requires_grad
    assert net.state_dict(keep_vars=True)["scale"] is net.scale and "a.scale" in net.state_dict(prefix="a.")
    memory = other.first.weight.value
    keys = other.load_state_dict(state)
    assert keys == ([], []) and other.first.weight.value is memory
    x = tl.ones(2, 3)
    assert np.array_equal(net(x).detach().numpy(), other(x).detach().numpy())
    other.load_state_dict({k: v.numpy().astype(np.float64) for k, v in state.items()})
    assert other.first.weight.dtype == tl.float32


def test_load_state_dict_that_does_not_fit_changes_nothing():
    net = Net()
    before = {k: v.numpy().copy() for k, v in net.state_dict().items()}
    state = {k: tl.full(v.shape, 7.0) for k, v in before.items()}
    del state["scale"], state["first.bias"]
    state.update({"extra": tl.ones(1), "first.weight": tl.ones(4, 5)})
    text = (r"load_state_dict: the state dict does not fit Net: first.weight has shape \(4, 5\) in the state dict and \(4, 3\) "
            r"in the module; "
            r"missing: scale, first.bias; unexpected: extra; strict=False")
    with pytest.raises(StateDictError, match=text):
        net.load_state_dict(state)
    with pytest.raises(RuntimeError, match=r"first\.weight has shape"):
        net.load_state_dict(state, strict=False)
    for key, value in net.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[key])
    del state["first.weight"]
    missing, unexpected = net.load_state_dict(state, strict=False)
    assert missing == ["scale", "first.weight", "first.bias"] and unexpected == ["extra"]
    assert net.norm.bias.tolist() == [7.0] * 4 and net.scale.tolist() == [1.0, 1.0]


def test_loading_between_forward_and_backward_is_noticed():
    net = nn.Linear(2, 2)
    out = net(net(tl.ones(1, 2))).sum()
    net.load_state_dict(net.state_dict())
    with pytest.raises(tl.errors.InplaceError, match="load_state_dict"):
        out.backward()


def test_train_eval_apply_freeze_zero_grad():
    net = Net()
    assert net.training and not net.eval().rest[0].training and net.train().norm.training
    order = []
    net.apply(lambda m: order.append(type(m).__name__))
    assert order == ["Linear", "BatchNorm1d", "ReLU", "Linear", "Sequential", "Net"]
    net(tl.ones(2, 3)).sum().backward()
    net.zero_grad(set_to_none=False)
    assert net.scale.grad.tolist() == [0.0, 0.0]
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())
    assert not any(p.requires_grad for p in net.requires_grad_(False).parameters())
    assert not net(tl.ones(2, 3)).requires_grad


def test_to_changes_floating_values_in_place_of_the_same_objects():
    net = Net()
    weight = net.first.weight
    net(tl.ones(2, 3)).sum().backward()
    net.double()
    assert net.first.weight is weight and weight.dtype == tl.float64 and weight.grad.dtype == tl.float64
    assert net.norm.num_batches_tracked.dtype == tl.int64 and net.seen.dtype == tl.float64
    assert net(tl.ones(2, 3, dtype=tl.float64)).dtype == tl.float64
    assert net.half().scale.dtype == tl.float16 and net.float().scale.dtype == tl.float32
    assert net.to("cpu").to("float64").scale.dtype == tl.float64
    assert net.to(tl.zeros(1)).scale.dtype == tl.float32
    with pytest.raises(tl.errors.TensorliteError):
        net.cuda()


def test_copies_are_independent():
    net = Net()
    net.register_forward_hook(lambda m, a, out: out * 2)
    x = tl.ones(2, 3)
    expected = net(x).detach().numpy().copy()
    clone = copy.deepcopy(net)
    assert np.array_equal(clone(x).detach().numpy(), expected)
    with tl.no_grad():
        clone.scale.value[...] = 5
    assert net.scale.tolist() == [1.0, 1.0]
    plain = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    again = pickle.loads(pickle.dumps(plain))
    assert list(again.state_dict()) == list(plain.state_dict())
    assert np.array_equal(again[0].weight.detach().numpy(), plain[0].weight.detach().numpy())


# ---- hooks -----------------------------------------------------------------------------------------------------------

def test_forward_hooks():
    layer, seen = nn.Identity(), []
    first = layer.register_forward_pre_hook(lambda m, args: seen.append("pre") or (args[0] + 1,))
    second = layer.register_forward_hook(lambda m, args, out: seen.append(("post", args[0].item())) or out * 10)
    assert layer(tl.tensor(1.0)).item() == 20 and seen == ["pre", ("post", 2.0)]
    first.remove()
    assert layer(tl.tensor(1.0)).item() == 10
    second.remove()
    assert layer(tl.tensor(1.0)).item() == 1
    with layer.register_forward_pre_hook(lambda m, args: args[0] * 3):
        assert layer(tl.tensor(1.0)).item() == 3


def test_backward_hooks_as_pytorch():
    torch = pytest.importorskip("torch")
    found = []
    for n, make in ((nn, tl.tensor), (torch.nn, torch.tensor)):
        layer, log = n.Linear(2, 3), []
        layer.load_state_dict({"weight": make([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), "bias": make([0.0, 0.0, 0.0])})
        layer.register_full_backward_pre_hook(lambda m, g, log=log: log.append(g[0].tolist()) or (g[0] * 2,))
        layer.register_full_backward_hook(lambda m, gi, go, log=log: log.append((gi[0].tolist(),
                                                                                 go[0].tolist())) or (gi[0] * 10,))
        x = make([[1.0, -1.0]], requires_grad=True)
        layer(x).sum().backward()
        found.append((log, x.grad.tolist(), layer.weight.grad.tolist()))
    assert found[0] == found[1]


def test_backward_hook_without_tracked_input_and_under_no_grad():
    layer, log = nn.Linear(2, 1), []
    handle = layer.register_full_backward_hook(lambda m, gi, go: log.append((gi, go[0].tolist())))
    layer(tl.ones(1, 2)).sum().backward()
    assert log == [((None,), [[1.0]])]
    with tl.no_grad():
        layer(tl.ones(1, 2))
    handle.remove()
    layer(tl.ones(1, 2)).sum().backward()
    assert len(log) == 1


def test_backward_hook_of_a_module_with_several_results():
    class Two(nn.Module):
        def forward(self, x, y):
            return x * 2, y * 3
    module, log = Two(), []
    module.register_full_backward_hook(lambda m, gi, go: log.append(([None if g is None else g.item() for g in gi],
                                                                      [None if g is None else g.item() for g in go])))
    x, y = tl.tensor(1.0, requires_grad=True), tl.tensor(1.0, requires_grad=True)
    a, b = module(x, y)
    (a + b * 5).backward()
    assert log == [([2.0, 15.0], [1.0, 5.0])] and x.grad.item() == 2 and y.grad.item() == 15
    a, b = module(x, y)
    b.backward()
    assert log[-1] == ([None, 3.0], [None, 1.0]) or log[-1] == ([0.0, 3.0], [None, 1.0])


# ---- containers and showing ------------------------------------------------------------------------------------------

def test_sequential():
    a, b, c = nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)
    net = nn.Sequential(a, b)
    net.append(c)
    assert len(net) == 3 and net[0] is a and net[-1] is c and list(net) == [a, b, c] and list(net[1:]) == [b, c]
    assert list(nn.Sequential({"x": a, "y": b}).state_dict()) == ["x.weight", "x.bias"]
    net[1] = nn.Tanh()
    net.insert(1, nn.Identity())
    assert [type(m).__name__ for m in net] == ["Linear", "Identity", "Tanh", "Linear"]
    assert list(net.state_dict()) == ["0.weight", "0.bias", "3.weight", "3.bias"]
    del net[1]
    assert net.pop(-1) is c and len(net) == 2
    with pytest.raises(OutOfRangeError, match="index 5 is out of range for 2 modules"):
        net[5]


def test_module_list_and_dict():
    modules = nn.ModuleList([nn.Linear(1, 1)])
    modules += [nn.ReLU(), nn.Tanh()]
    assert len(modules) == 3 and [k for k, _ in modules[1:].named_children()] == ["0", "1"]
    assert len(modules.__add__([nn.ReLU()])) == 4
    table = nn.ModuleDict({"a": nn.ReLU()})
    table["b"] = nn.Linear(1, 1)
    assert list(table) == ["a", "b"] and "a" in table and len(table) == 2 and list(table.state_dict()) == ["b.weight", "b.bias"]
    assert isinstance(table.pop("a"), nn.ReLU) and table.keys() == ["b"]
    with pytest.raises(KeyError):
        table["a"]
    table.clear()
    assert not table


def test_parameter_containers():
    values = nn.ParameterList([tl.ones(2), Parameter(tl.zeros(1))])
    values.append(tl.ones(3))
    values[0] = tl.zeros(2)
    assert [p.shape for p in values.parameters()] == [(2,), (1,), (3,)]
    assert values[-1].requires_grad and list(values.state_dict()) == ["0", "1", "2"]
    table = nn.ParameterDict({"a": tl.ones(2)})
    table["b"] = tl.ones(1)
    del table["a"]
    assert list(table.state_dict()) == ["b"] and "b" in table
    with pytest.raises(OutOfRangeError):
        values[3]


def test_repr_as_pytorch():
    torch = pytest.importorskip("torch")

    def build(n):
        return n.Sequential(n.Linear(3, 4, bias=False), n.ModuleList([n.BatchNorm1d(4), n.LayerNorm(4)]), n.Flatten(),
                            n.Identity(),
                            n.ModuleDict({"e": n.Embedding(3, 2, padding_idx=1)}),
                            n.Softmax(dim=1), n.ELU(), n.LeakyReLU(0.1), n.GELU())
    mine, theirs = repr(build(nn)), repr(build(torch.nn))
    for line in ("(0): Linear(in_features=3, out_features=4, bias=False)",
                 "(0): BatchNorm1d(4, eps=1e-05, momentum=0.1, affine=True"):
        assert line in mine and line in theirs
    assert [line.split("(")[0:2] for line in mine.splitlines()] == [line.split("(")[0:2] for line in theirs.splitlines()]
    assert repr(nn.ReLU()) == "ReLU()"


def test_a_module_without_forward():
    with pytest.raises(NotImplementedError, match="Module has no forward method"):
        nn.Module()(1)


def test_a_shallow_copy_has_registries_of_its_own():
    net = Net()
    net.register_forward_hook(lambda module, args, out: out * 2)
    other = copy.copy(net)
    other.extra = nn.Linear(2, 2)
    other.register_forward_hook(lambda module, args, out: out * 0)
    assert [n for n, _ in net.named_children()] == ["first", "norm", "rest"] and "extra" in dict(other.named_children())
    assert other.first is net.first and net.eval()(tl.ones(2, 3)).detach().abs().sum().item() > 0


def test_load_state_dict_names_what_is_no_tensor_and_refuses_complex_numbers():
    layer = nn.Linear(2, 1)
    saved = layer.state_dict()
    with pytest.raises(StateDictError, match="bias is a NoneType in the state dict; expected a tensor"):
        layer.load_state_dict({**saved, "bias": None})
    with pytest.raises(StateDictError, match="bias is complex128 in the state dict and float32 in the module"):
        layer.load_state_dict({**saved, "bias": np.ones(1) * 1j})


def test_a_batch_that_batch_norm_refuses_does_not_count():
    layer = nn.BatchNorm1d(3, momentum=None)
    with pytest.raises(ValueError, match="more than one value per channel"):
        layer(tl.ones(1, 3))
    assert layer.num_batches_tracked.item() == 0
    layer(tl.tensor([[1.0, 2.0, 3.0], [3.0, 4.0, 5.0]]))
    assert layer.num_batches_tracked.item() == 1 and layer.running_mean.tolist() == [2.0, 3.0, 4.0]


def test_cross_entropy_of_integers_is_refused():
    with pytest.raises(DTypeError, match="cross_entropy: input has dtype int64; expected floating logits"):
        nn.functional.cross_entropy(tl.ones(2, 3, dtype=tl.int64), tl.tensor([0, 1]))
