"""tensorlite.debug: graphs, paths, missing gradients, anomalies, profiles."""
from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

import tensorlite as tl
from tensorlite import debug
from tensorlite.errors import GradError, ShapeError
from tensorlite.nn import functional as F


def scalar(value: float) -> Any:
    return tl.tensor(value, dtype=tl.float64, requires_grad=True)


def test_graph_is_in_topological_order() -> None:
    w, b = tl.randn(3, requires_grad=True), tl.randn(3, requires_grad=True)
    h = tl.tanh(w * w + b)
    loss = (h * tl.exp(h) + h[0]).sum()
    nodes = debug.graph(loss, {"w": w, "b": b})
    assert all(k < i for i, n in enumerate(nodes) for k in n.inputs)
    assert {n.name for n in nodes if not n.inputs} == {"w", "b"}
    assert nodes[-1].node is loss.grad_fn
    assert [nodes[k].name for n in nodes if n.name == "Tanh" for k in n.inputs] == ["Add"]


def test_graph_knows_shapes_lines_and_saved_bytes() -> None:
    x = tl.ones((4, 5), dtype=tl.float64).requires_grad_()
    nodes = debug.graph(tl.exp(x + 1).sum())
    by_name = {n.name: n for n in nodes}
    assert by_name["Exp"].shape == (4, 5) and by_name["Exp"].saved_bytes == 160   # its result
    assert by_name["Add"].saved_bytes == 0 and by_name["Sum"].saved_bytes == 0
    assert __file__ in by_name["Exp"].where
    assert nodes.saved_bytes == 160
    assert debug.graph((x * x).sum()).saved_bytes == 160   # one array, kept once


def test_graph_shows_results_of_several_and_draws() -> None:
    x = tl.ones(4, requires_grad=True)
    a, b = tl.split(x, 2)
    nodes = debug.graph((a * b).sum(), {"x": x})
    text, dot = str(nodes), nodes.dot()
    assert "Mul" in text and "x" in text
    assert dot.startswith("digraph {") and dot.count("->") == sum(len(n.inputs) for n in nodes) and dot.endswith("}")


def test_graph_of_a_leaf_and_of_a_constant() -> None:
    x = tl.ones(2, requires_grad=True)
    assert [n.name for n in debug.graph(x)] == ["leaf"]
    with pytest.raises(GradError, match="no graph behind it"):
        debug.graph(tl.ones(2))


def test_graph_keeps_nothing_alive_and_buffers_are_freed() -> None:
    x = tl.ones((100,), requires_grad=True)
    y = tl.exp(x)
    held = weakref.ref(y.detach().numpy())
    loss = (y * 2).sum()
    del y
    assert len(debug.graph(loss)) == 4
    assert held() is not None
    loss.backward()
    gc.collect()
    assert held() is None
    assert debug.graph(loss).saved_bytes == 0


def test_explain_lists_paths() -> None:
    x, y = scalar(2.0), scalar(3.0)

    def f(x: Any, y: Any) -> Any:
        p = x * y
        q = tl.sin(p)
        return q * x

    found = debug.explain(f, x, y)
    gx, gy = tl.grad(f, (0, 1))(x.detach(), y.detach())
    assert [(p.argument, len(p.factors)) for p in found] == [("x", 3), ("y", 3), ("x", 1)]
    assert found[0].steps == ("x", "p", "q", "f")
    assert found.gradient["x"] == pytest.approx(gx.item(), rel=1e-14)
    assert found.gradient["y"] == pytest.approx(gy.item(), rel=1e-14)
    assert "d/dx" in str(found) and "x -> p -> q -> f" in str(found)


def test_explain_counts_a_repeated_argument_twice() -> None:
    assert [p.product for p in debug.explain(lambda x: x * x, 3.0)] == [3.0, 3.0]


def test_explain_refuses_what_it_cannot_say() -> None:
    with pytest.raises(ShapeError, match=r"sum .* is not a function of scalars"):
        debug.explain(lambda x: x.sum(), tl.ones(3))
    with pytest.raises(ShapeError, match="expected a scalar"):
        debug.explain(lambda x: x * 2, tl.ones(3))
    with pytest.raises(GradError, match="more than 10 paths"):
        debug.explain(lambda x: x * x * x * x * x * x * x * x * x * x * x, 1.0, limit=10)
    with pytest.raises(GradError, match="does not depend"):
        debug.explain(lambda x: x.detach() * 2, 1.0)


class TestWhyNone:
    p: Any

    def setup_method(self) -> None:
        self.p, self.w = tl.tensor([1.0, 2.0], requires_grad=True), tl.tensor([3.0, 4.0], requires_grad=True)

    def why(self, loss: Any) -> str:
        return debug.why_none(self.p, loss)

    def test_there_is_one(self) -> None:
        self.p.sum().backward()
        assert "is not None" in self.why(self.p.sum())

    def test_not_required(self) -> None:
        self.p = tl.ones(2)
        assert "requires_grad_()" in self.why(self.w.sum())
        self.p = tl.arange(3)
        assert "int64" in self.why(self.w.sum())

    def test_not_a_leaf(self) -> None:
        q = self.p * 2
        assert "mul" in debug.why_none(q, q.sum()) and "retain_grad()" in debug.why_none(q, q.sum())
        q.retain_grad()
        assert "backward() has not been called" in debug.why_none(q, q.sum())

    def test_no_backward(self) -> None:
        assert "has not been called" in self.why((self.p * 2).sum())
        assert "has not been called" in self.why(lambda: (self.p * 2).sum())

    def test_detached(self) -> None:
        assert "constant by mul" in self.why((self.p.detach() * self.w).sum())
        said = self.why(lambda: (self.p.detach() + self.w).sum())
        assert "add at" in said and __file__ in said and "detach()" in said

    def test_no_grad(self) -> None:
        def loss() -> Any:
            q = self.p * 2
            with tl.no_grad():
                q = tl.exp(q)
            return (q * self.w).sum()
        assert self.why(loss).startswith("exp at ") and "no_grad()" in self.why(loss)

    def test_integers_and_comparisons(self) -> None:
        assert "cast at" in (said := self.why(lambda: (self.p.to(tl.int64) * self.w).sum())) and "int64" in said
        assert "discrete" in self.why(lambda: ((self.p > 0) * self.w).sum())

    def test_only_cuts_before_the_loss_count(self) -> None:
        def loss() -> Any:
            with tl.no_grad():
                tl.log(self.p)   # a metric
            return (self.p.detach() * self.w).sum()
        assert "log" not in self.why(loss) and "mul" in self.why(loss)

    def test_unused_or_left_through_a_number(self) -> None:
        assert "graph does not contain it" in self.why(self.w.sum())
        assert "no graph" in self.why(tl.ones(2).sum())
        assert ".item()" in self.why(lambda: (self.w * self.p[0].item()).sum())


class TestDetectAnomaly:
    def test_forward_names_op_and_line(self) -> None:
        said = r"log made 1 nan out of finite values at .*test_debug.py:\d+"
        with debug.detect_anomaly(), pytest.raises(debug.AnomalyError, match=said):
            tl.log(tl.tensor([1.0, -1.0]))
        with debug.detect_anomaly(), pytest.raises(debug.AnomalyError, match="exp made 1 inf"):
            tl.exp(tl.tensor(1000.0))

    def test_backward_names_the_forward_line(self) -> None:
        x = tl.tensor([0.0, 4.0], requires_grad=True)
        with debug.detect_anomaly():
            y = tl.sqrt(x)
            said = r"1 inf out of finite values in backward of sqrt \(.*test_debug.py:\d+\)"
            with pytest.raises(debug.AnomalyError, match=said):
                y.sum().backward()

    def test_silent_where_nothing_is_wrong(self) -> None:
        with debug.detect_anomaly():
            a = tl.tensor(0.0, requires_grad=True)
            tl.where(a > 0, tl.sqrt(a), a).backward()
            tl.masked_fill(tl.ones(3), tl.tensor([True, False, False]), float("-inf")).max()   # the infinity is given
            F.cross_entropy(tl.tensor([[1e4, -1e4]], requires_grad=True), tl.tensor([1])).backward()
        assert a.grad.item() == 1.0

    def test_in_transforms_and_after_it_is_over(self) -> None:
        with debug.detect_anomaly(), pytest.raises(debug.AnomalyError, match="log"):
            tl.grad(lambda x: tl.log(x))(tl.tensor(0.0))
        with pytest.warns(RuntimeWarning):
            assert tl.isnan(tl.log(tl.tensor(-1.0))).item()


class TestProfile:
    def test_counts_calls_time_and_bytes(self) -> None:
        x = tl.ones((10, 10), requires_grad=True)
        with debug.profile() as p:
            (x @ x).sum().backward()
        assert p.rows["matmul"][0] == 3 and p.rows["matmul"][2] == 3 * 400
        assert p.seconds > 0 and str(p).startswith("operation") and "matmul" in str(p)

    def test_a_training_step(self) -> None:
        """Among them are operations with several results, some of them None."""
        model = tl.nn.Sequential(tl.nn.Linear(4, 8), tl.nn.BatchNorm1d(8), tl.nn.ReLU(), tl.nn.Dropout(0.5), tl.nn.Linear(8, 3))
        with debug.detect_anomaly(), debug.profile() as p:
            F.cross_entropy(model(tl.randn(16, 4)), tl.randint(0, 3, (16,))).backward()
        assert p.rows["relu"][0] == 1 and all(w.grad is not None for w in model.parameters())

    def test_nests_and_ends(self) -> None:
        with debug.profile() as outer:
            tl.exp(tl.ones(2))
            with debug.profile() as inner, debug.detect_anomaly():
                tl.exp(tl.ones(2))
        tl.exp(tl.ones(2))
        assert (outer.rows["exp"][0], inner.rows["exp"][0]) == (2, 1)


def test_optimizer_steps_are_seen() -> None:
    p = tl.nn.Parameter(tl.ones(3))
    optimizer = tl.optim.SGD([p], lr=0.1)
    p.grad = tl.ones(3)
    with tl.debug.profile() as counted:
        optimizer.step()
    assert counted.rows["SGD.step"][0] == 1 and p.tolist() == pytest.approx([0.9] * 3)
    p.grad = tl.tensor([1.0, 1e38, 1.0])
    optimizer.param_groups[0]["lr"] = 1e30
    with pytest.raises(tl.debug.AnomalyError, match=r"SGD\.step made 1 inf"), tl.debug.detect_anomaly():
        optimizer.step()


class TestTraceTable:
    @staticmethod
    def f(x: Any, y: Any) -> Any:
        return tl.log(x) + x * y - tl.sin(y)

    def test_names_expressions_and_columns(self) -> None:
        x, y = (tl.tensor(v, dtype=tl.float64) for v in (2.0, 5.0))
        forward, reverse = (debug.trace_table(self.f, x, y, mode=mode) for mode in ("forward", "reverse"))
        assert [r.name for r in forward] == ["x", "y", "v1", "v2", "v3", "v4", "v5"]
        assert [r.expression for r in forward] == ["", "", "log(x)", "x * y", "v1 + v2", "sin(y)", "v3 - v4"]
        assert forward.columns == ("d/dx", "d/dy") and reverse.columns == ("adjoint",)
        for table in (forward, reverse):
            assert [g.item() for g in table.gradient.values()] == [g.item() for g in tl.grad(self.f, (0, 1))(x, y)]
        assert [d.item() for d in forward["v2"].derivatives] == [5, 2]
        assert reverse["v4"].derivatives[0].item() == -1

    def test_several_results_arrays_and_paths(self) -> None:
        def f(x: Any) -> Any:
            a, b = tl.split(x, 2)
            while a.sum() < 10:
                a = a * 2
            return (a.detach() * b).sum() + (a ** 2.5).max()
        x = tl.tensor([1.0, 2.0, 3.0, 4.0], dtype=tl.float64)
        forward, reverse = (debug.trace_table(f, x, mode=mode) for mode in ("forward", "reverse"))
        assert [r.name for r in reverse] == ["x", *[f"v{k}" for k in range(1, len(reverse))]]
        assert [r.expression for r in reverse if r.expression.endswith(" * 2")] == ["v1 * 2", "v4 * 2"]   # sum() is a row too
        assert reverse.gradient["x"].tolist() == tl.grad(f)(x).tolist()
        assert forward.gradient["x"].item() == pytest.approx(tl.grad(f)(x).sum().item(), rel=1e-14)
        assert "** 2.5" in str(reverse)

    def test_closed_over_tensors_are_constants(self) -> None:
        w = tl.tensor(3.0, dtype=tl.float64, requires_grad=True)
        table = debug.trace_table(lambda x: x * w, 2.0)
        assert table["v1"].expression == "x * 3" and w.grad is None

    def test_refusals(self) -> None:
        with pytest.raises(GradError, match="mode is 'both'; expected 'forward' or 'reverse'"):
            debug.trace_table(tl.sin, 1.0, mode="both")
        with pytest.raises(ShapeError, match=r"shape \(2,\); reverse mode is of a scalar"):
            debug.trace_table(tl.sin, tl.ones(2))
        with pytest.raises(GradError, match="does not depend"):
            debug.trace_table(lambda x: tl.ones(()), 1.0)


def test_explain_in_forward_mode_agrees() -> None:
    f = lambda x, y: tl.exp(x * y) * x / tl.maximum(x, y) - y ** 2
    at = tl.tensor(1.5, dtype=tl.float64), tl.tensor(0.5, dtype=tl.float64)
    reverse, forward = debug.explain(f, *at), debug.explain(f, *at, mode="forward")
    assert [p.steps for p in forward] == [p.steps for p in reverse]
    for a, b in zip(forward, reverse):
        assert a.factors == pytest.approx(b.factors, rel=1e-14)
    assert list(forward.gradient.values()) == pytest.approx([g.item() for g in tl.grad(f, (0, 1))(*at)], rel=1e-14)
