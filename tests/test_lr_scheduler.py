"""Schedules against PyTorch's, step by step."""
from __future__ import annotations

import json

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import optim
from tensorlite.optim import OptimizerError
from tensorlite.optim import lr_scheduler as S

SCHEDULES = [
    ("StepLR", {"step_size": 4, "gamma": 0.5}),
    ("MultiStepLR", {"milestones": [3, 7, 7, 11], "gamma": 0.3}),
    ("ExponentialLR", {"gamma": 0.9}),
    ("ConstantLR", {"factor": 0.25, "total_iters": 5}),
    ("LinearLR", {"start_factor": 0.1, "end_factor": 0.9, "total_iters": 6}),
    ("PolynomialLR", {"total_iters": 9, "power": 2.0}),
    ("CosineAnnealingLR", {"T_max": 10, "eta_min": 0.01}),
    ("CosineAnnealingLR", {"T_max": 7}),
    ("CosineAnnealingWarmRestarts", {"T_0": 3, "T_mult": 2, "eta_min": 0.02}),
    ("CosineAnnealingWarmRestarts", {"T_0": 5}),
    ("LambdaLR", {"lr_lambda": lambda t: 0.9**t}),
    ("MultiplicativeLR", {"lr_lambda": lambda t: 0.5 + 0.01 * t}),
    ("OneCycleLR", {"max_lr": 0.5, "total_steps": 26}),
    ("OneCycleLR", {"max_lr": 0.5, "epochs": 13, "steps_per_epoch": 2, "anneal_strategy": "linear", "three_phase": True}),
]


def optimizers(name="SGD"):
    torch = pytest.importorskip("torch")
    options = {"lr": 0.3, "momentum": 0.9} if name == "SGD" else {"lr": 0.3}
    groups = [{}, {"lr": 0.7}]
    mine = getattr(optim, name)([{"params": [tl.zeros(1, requires_grad=True)], **g} for g in groups], **options)
    theirs = getattr(torch.optim, name)([{"params": [torch.zeros(1, requires_grad=True)], **g} for g in groups], **options)
    return mine, theirs, torch.optim.lr_scheduler


def rates(optimizer):
    return [[g["lr"], g.get("momentum", g.get("betas", (0,))[0])] for g in optimizer.param_groups]


def compare(mine, theirs, a, b, steps=25):
    for _ in range(steps):
        np.testing.assert_allclose(rates(mine), rates(theirs), rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(a.get_last_lr(), b.get_last_lr(), rtol=1e-12, atol=1e-15)
        theirs.step()
        a.step()
        b.step()


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
@pytest.mark.parametrize(("name", "options"), SCHEDULES, ids=[f"{i}-{name}" for i, (name, _) in enumerate(SCHEDULES)])
def test_rates_as_pytorch(name, options, optimizer):
    mine, theirs, T = optimizers(optimizer)
    compare(mine, theirs, getattr(S, name)(mine, **options), getattr(T, name)(theirs, **options))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_sequences_and_chains_as_pytorch():
    mine, theirs, T = optimizers()
    a, b = (M.SequentialLR(o, [M.LinearLR(o, 0.1, total_iters=4), M.CosineAnnealingLR(o, 10), M.ExponentialLR(o, 0.9)], [5, 12])
            for M, o in ((S, mine), (T, theirs)))
    compare(mine, theirs, a, b)
    mine, theirs, T = optimizers()
    a, b = (M.ChainedScheduler([M.ConstantLR(o, 0.1, 4), M.ExponentialLR(o, 0.9), M.CosineAnnealingLR(o, 6)])
            for M, o in ((S, mine), (T, theirs)))
    compare(mine, theirs, a, b, steps=6)


@pytest.mark.parametrize("options", [{}, {"mode": "max", "factor": 0.5},
                                     {"threshold_mode": "abs", "threshold": 0.1, "cooldown": 2},
                                     {"min_lr": [0.01, 0.2], "factor": 0.3, "patience": 0}], ids=str)
def test_plateau_as_pytorch(options):
    mine, theirs, T = optimizers()
    options = {"patience": 2, **options}
    a, b = S.ReduceLROnPlateau(mine, **options), T.ReduceLROnPlateau(theirs, **options)
    rng = np.random.default_rng(3)
    for metric in np.exp(-np.arange(40) / 5) + 0.05 * rng.normal(size=40):
        a.step(tl.tensor(metric))
        b.step(metric)
        np.testing.assert_allclose(rates(mine), rates(theirs), rtol=1e-12)


@pytest.mark.parametrize(("name", "options"), SCHEDULES, ids=[f"{i}-{name}" for i, (name, _) in enumerate(SCHEDULES)])
def test_state_round_trip(name, options):
    def start():
        optimizer = optim.SGD([tl.zeros(1, requires_grad=True)], lr=0.3, momentum=0.9)
        return optimizer, getattr(S, name)(optimizer, **options)
    first, a = start()
    for _ in range(6):
        a.step()
    second, b = start()
    second.load_state_dict(first.state_dict())
    b.load_state_dict(json.loads(json.dumps(a.state_dict())))
    for _ in range(12):
        a.step()
        b.step()
        assert rates(first) == rates(second)


def test_sequence_and_plateau_round_trip():
    def start():
        optimizer = optim.SGD([tl.zeros(1, requires_grad=True)], lr=0.3)
        return optimizer, S.SequentialLR(optimizer, [S.LinearLR(optimizer, 0.1, total_iters=4), S.ExponentialLR(optimizer, 0.9)],
                                         [5])
    first, a = start()
    for _ in range(3):
        a.step()
    second, b = start()
    second.load_state_dict(first.state_dict())
    b.load_state_dict(json.loads(json.dumps(a.state_dict())))
    for _ in range(9):
        a.step()
        b.step()
        assert rates(first) == rates(second)
    plateau = S.ReduceLROnPlateau(first, patience=0)
    plateau.step(1.0)
    other = S.ReduceLROnPlateau(first, patience=5)
    other.load_state_dict(plateau.state_dict())
    assert other.best == 1.0 and other.patience == 0


def test_errors():
    optimizer = optim.SGD([tl.zeros(1, requires_grad=True)], lr=0.3)
    with pytest.raises(OptimizerError, match="StepLR: optimizer is a int"):
        S.StepLR(3, 1)
    with pytest.raises(OptimizerError, match="initial_lr"):
        S.StepLR(optimizer, 1, last_epoch=4)
    with pytest.raises(OptimizerError, match="ConstantLR: factor"):
        S.ConstantLR(optimizer, factor=2.0)
    with pytest.raises(OptimizerError, match="how many steps"):
        S.OneCycleLR(optimizer, 0.1)
    schedule = S.OneCycleLR(optimizer, 0.1, total_steps=2)
    schedule.step()
    schedule.step()   # the loop that steps after each of two updates ends here, as in PyTorch
    with pytest.raises(OptimizerError, match="the cycle is over"):
        schedule.step()
    with pytest.raises(OptimizerError, match="SequentialLR: 1 schedules"):
        S.SequentialLR(optimizer, [schedule], [3])
