"""Learning rates that change with the step. Call ``scheduler.step()`` after ``optimizer.step()``, each epoch or each step.

Most schedules are a factor f(t) of the rate the optimizer was made with, and each step multiplies the current rate by f(t) /
f(t-1), so that several schedules of one optimizer work together.
"""
from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from math import cos, inf, pi
from typing import Any

from tensorlite.optim._optimizer import Optimizer, OptimizerError


def _optimizer(name: str, optimizer: Any) -> Any:
    if not isinstance(optimizer, Optimizer):
        raise OptimizerError(f"{name}: optimizer is a {type(optimizer).__name__}; expected an Optimizer")
    return optimizer


class LRScheduler:
    """The base: a subclass gives ``get_lr()``, the rates of ``self.last_epoch``, one for each group.

    ``last_epoch``: -1 to start anew; the last epoch's number to go on, with an optimizer whose state was loaded.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = _optimizer(type(self).__name__, optimizer)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])   # another schedule may have changed the rate
            elif "initial_lr" not in group:
                raise OptimizerError(f"{type(self).__name__}: last_epoch is {last_epoch}, but group {i} of the optimizer has no "
                                     "initial_lr; "
                                     "load the optimizer's state first, or start with last_epoch=-1")
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._last_lr: list[float] = []
        self.step()

    def get_lr(self) -> list[float]:
        """The rates of ``self.last_epoch``."""
        raise NotImplementedError(f"{type(self).__name__} has no get_lr method; write one")

    def get_last_lr(self) -> list[float]:
        """The rates that the last step set."""
        return self._last_lr

    def step(self) -> None:
        """Go on to the next epoch (or step)."""
        self.last_epoch += 1
        self._set(self.get_lr())

    def _set(self, rates: Sequence[float]) -> None:
        for group, lr in zip(self.optimizer.param_groups, rates):
            group["lr"] = lr
        self._last_lr = list(rates)

    def restart(self) -> None:
        """Set the rates of epoch 0: what a sequence does when it comes to this schedule."""
        self.last_epoch = 0
        for group, base in zip(self.optimizer.param_groups, self.base_lrs):
            group["lr"] = base
        self._set(self.get_lr())

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer and functions."""
        return {k: v for k, v in self.__dict__.items() if k != "optimizer" and not callable(v)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.__dict__.update(state_dict)


class _Factor(LRScheduler):
    """A schedule that is a factor of the rate the optimizer was made with, above a floor ``eta_min``."""

    eta_min: float = 0.0

    def factor(self, t: int) -> float:
        """f(t) for t >= 0."""
        raise NotImplementedError

    def get_lr(self) -> list[float]:
        t, floor = self.last_epoch, self.eta_min
        if t == 0 and not self._last_lr and self.factor(0) == 1:
            return [group["lr"] for group in self.optimizer.param_groups]
        now, before = self.factor(t), self.factor(t - 1) if t else 1.0
        if now == before:
            return [group["lr"] for group in self.optimizer.param_groups]
        if before == 0:
            return [floor + (base - floor) * now for base in self.base_lrs]
        return [floor + (group["lr"] - floor) * (now / before) for group in self.optimizer.param_groups]


class LambdaLR(LRScheduler):
    """base rate times ``lr_lambda(t)``; one function, or a list with one for each group."""

    def __init__(self, optimizer: Optimizer, lr_lambda: Any, last_epoch: int = -1) -> None:
        count = len(_optimizer("LambdaLR", optimizer).param_groups)
        self.lr_lambdas = list(lr_lambda) if isinstance(lr_lambda, (list, tuple)) else [lr_lambda] * count
        if len(self.lr_lambdas) != count:
            raise OptimizerError(f"LambdaLR: {len(self.lr_lambdas)} functions for {count} groups; give one, or one for each")
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return [base * f(self.last_epoch) for base, f in zip(self.base_lrs, self.lr_lambdas)]

    def state_dict(self) -> dict[str, Any]:
        return {k: v for k, v in super().state_dict().items() if k != "lr_lambdas"}


class MultiplicativeLR(LambdaLR):
    """The rate times ``lr_lambda(t)`` at each step t > 0."""

    def get_lr(self) -> list[float]:
        rates = [group["lr"] for group in self.optimizer.param_groups]
        return rates if self.last_epoch == 0 else [lr * f(self.last_epoch) for lr, f in zip(rates, self.lr_lambdas)]


class StepLR(LRScheduler):
    """The rate times ``gamma`` every ``step_size`` steps."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        if step_size < 1:
            raise OptimizerError(f"StepLR: step_size is {step_size}; expected an integer >= 1")
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        t = self.last_epoch
        factor = self.gamma if t and t % self.step_size == 0 else 1
        return [group["lr"] * factor for group in self.optimizer.param_groups]


class MultiStepLR(LRScheduler):
    """The rate times ``gamma`` at each of the ``milestones``."""

    def __init__(self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        factor = self.gamma ** Counter(self.milestones)[self.last_epoch]
        return [group["lr"] * factor for group in self.optimizer.param_groups]


class ExponentialLR(LRScheduler):
    """The rate times ``gamma`` at every step."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return [group["lr"] * (self.gamma if self.last_epoch else 1) for group in self.optimizer.param_groups]


class ConstantLR(_Factor):
    """The base rate times ``factor`` for the first ``total_iters`` steps."""

    def __init__(self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1) -> None:
        if not 0 < factor <= 1:
            raise OptimizerError(f"ConstantLR: factor is {factor}; expected 0 < factor <= 1")
        self.first, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def factor(self, t: int) -> float:
        return self.first if t < self.total_iters else 1.0


class LinearLR(_Factor):
    """Warm-up: the base rate times a factor that goes from ``start_factor`` to ``end_factor`` in ``total_iters`` steps.

    >>> import tensorlite as tl
    >>> optimizer = tl.optim.SGD([tl.zeros(1, requires_grad=True)], lr=1.0)
    >>> schedule = tl.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.5, total_iters=2)
    >>> rates = [schedule.get_last_lr()]
    >>> for _ in range(2): schedule.step(); rates += [schedule.get_last_lr()]
    >>> rates
    [[0.5], [0.75], [1.0]]
    """

    def __init__(self, optimizer: Optimizer, start_factor: float = 1.0 / 3, end_factor: float = 1.0, total_iters: int = 5,
                 last_epoch: int = -1) -> None:
        if not 0 < start_factor <= 1 or not 0 <= end_factor <= 1:
            raise OptimizerError(f"LinearLR: start_factor is {start_factor} and end_factor {end_factor}; expected 0 < "
                                 "start_factor <= 1 and "
                                 "0 <= end_factor <= 1")
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def factor(self, t: int) -> float:
        if t >= self.total_iters:
            return self.end_factor
        return self.start_factor + (self.end_factor - self.start_factor) * t / self.total_iters


class PolynomialLR(_Factor):
    """The base rate times (1 - t / total_iters)^power."""

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def factor(self, t: int) -> float:
        return (1.0 - min(t, self.total_iters) / self.total_iters) ** self.power


class CosineAnnealingLR(_Factor):
    """From the base rate to ``eta_min`` in ``T_max`` steps along half a cosine, and back again (Loshchilov and Hutter 2017)."""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        if T_max < 1:
            raise OptimizerError(f"CosineAnnealingLR: T_max is {T_max}; expected an integer >= 1")
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def factor(self, t: int) -> float:
        return (1 + cos(pi * t / self.T_max)) / 2


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half cosines from the base rate to ``eta_min``, of T_0, T_0 T_mult, ... steps (Loshchilov and Hutter 2017)."""

    def __init__(self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        if T_0 < 1 or T_mult < 1:
            raise OptimizerError(f"CosineAnnealingWarmRestarts: T_0 is {T_0} and T_mult {T_mult}; expected integers >= 1")
        self.T_0, self.T_mult, self.eta_min = T_0, T_mult, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        t, length = self.last_epoch, self.T_0
        if self.T_mult == 1:
            t %= length
        while t >= length:
            t, length = t - length, length * self.T_mult
        return [self.eta_min + (base - self.eta_min) * (1 + cos(pi * t / length)) / 2 for base in self.base_lrs]


class OneCycleLR(LRScheduler):
    """From max_lr / div_factor up to ``max_lr`` in the fraction ``pct_start`` of all steps, then down to that / final_div_factor.

    One step a batch; ``total_steps``, or ``epochs`` times ``steps_per_epoch``. ``cycle_momentum`` moves the momentum (or the
    first beta) the other way, between ``base_momentum`` and ``max_momentum``. ``three_phase``: back to the initial rate first,
    and then down.
    Source: Smith and Topin 2019. Errors: ``OptimizerError`` for a step beyond the last.
    """

    def __init__(self, optimizer: Optimizer, max_lr: Any, total_steps: int | None = None, epochs: int | None = None,
                 steps_per_epoch: int | None = None, pct_start: float = 0.3, anneal_strategy: str = "cos",
                 cycle_momentum: bool = True, base_momentum: float = 0.85, max_momentum: float = 0.95, div_factor: float = 25.0,
                 final_div_factor: float = 1e4, three_phase: bool = False, last_epoch: int = -1) -> None:
        groups = _optimizer("OneCycleLR", optimizer).param_groups
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise OptimizerError("OneCycleLR: how many steps? give total_steps, or epochs and steps_per_epoch")
            total_steps = epochs * steps_per_epoch
        if total_steps < 1:
            raise OptimizerError(f"OneCycleLR: there are {total_steps} steps; expected at least 1")
        if not 0 <= pct_start <= 1:
            raise OptimizerError(f"OneCycleLR: pct_start is {pct_start}; expected 0 <= pct_start <= 1")
        if anneal_strategy not in ("cos", "linear"):
            raise OptimizerError(f"OneCycleLR: anneal_strategy is {anneal_strategy!r}; expected 'cos' or 'linear'")
        peaks = list(max_lr) if isinstance(max_lr, (list, tuple)) else [max_lr] * len(groups)
        if len(peaks) != len(groups):
            raise OptimizerError(f"OneCycleLR: max_lr has {len(peaks)} rates for {len(groups)} groups")
        self.total_steps, self.anneal_strategy, self.cycle_momentum = total_steps, anneal_strategy, cycle_momentum
        peak = float(pct_start * total_steps) - 1
        ends = [peak, 2 * pct_start * total_steps - 2, total_steps - 1] if three_phase else [peak, total_steps - 1]
        self._ends = [float(end) for end in ends]
        self._rates = []
        for group, top in zip(groups, peaks):
            start = top / div_factor
            self._rates.append([start, top, start, start / final_div_factor] if three_phase
                               else [start, top, start / final_div_factor])
            if last_epoch == -1:
                group["lr"] = group["initial_lr"] = start
        self._momenta = [max_momentum, base_momentum, max_momentum, max_momentum][:len(self._ends) + 1]
        if cycle_momentum and not ("betas" in groups[0] or "momentum" in groups[0]):
            raise OptimizerError("OneCycleLR: cycle_momentum needs an optimizer with momentum or betas; pass "
                                 "cycle_momentum=False")
        super().__init__(optimizer, last_epoch)

    def _at(self, levels: list[float]) -> float:
        t, start = self.last_epoch, 0.0
        for i, end in enumerate(self._ends):
            if t <= end or i == len(self._ends) - 1:
                part = (t - start) / (end - start) if end != start else 1.0
                a, b = levels[i], levels[i + 1]
                return b + (a - b) / 2.0 * (1 + cos(pi * part)) if self.anneal_strategy == "cos" else (b - a) * part + a
            start = end
        raise AssertionError

    def get_lr(self) -> list[float]:
        if self.last_epoch > self.total_steps:   # one step past the end is allowed: the usual loop ends with a step
            raise OptimizerError(f"OneCycleLR: step {self.last_epoch} of {self.total_steps}; the cycle is over")
        if self.cycle_momentum:
            momentum = self._at(self._momenta)
            for group in self.optimizer.param_groups:
                if "betas" in group:
                    group["betas"] = (momentum, *group["betas"][1:])
                else:
                    group["momentum"] = momentum
        return [self._at(rates) for rates in self._rates]


class SequentialLR(LRScheduler):
    """Schedules one after the other: the next begins, at its own step 0, at each of the ``milestones``.

    >>> import tensorlite as tl
    >>> S = tl.optim.lr_scheduler
    >>> optimizer = tl.optim.SGD([tl.zeros(1, requires_grad=True)], lr=1.0)
    >>> schedule = S.SequentialLR(optimizer, [S.LinearLR(optimizer, 0.1, total_iters=5), S.CosineAnnealingLR(optimizer, 95)], [5])
    >>> schedule.get_last_lr()
    [0.1]
    """

    def __init__(self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int],
                 last_epoch: int = -1) -> None:
        groups = _optimizer("SequentialLR", optimizer).param_groups
        if not schedulers or len(milestones) != len(schedulers) - 1 or list(milestones) != sorted(set(milestones)):
            raise OptimizerError(f"SequentialLR: {len(schedulers)} schedules and the milestones {list(milestones)}; expected "
                                 "rising milestones, "
                                 "one fewer than schedules")
        if any(s.optimizer is not optimizer for s in schedulers):
            raise OptimizerError("SequentialLR: a schedule is of another optimizer; expected the same for all")
        self.optimizer, self._schedulers, self._milestones = optimizer, list(schedulers), list(milestones)
        self.last_epoch = last_epoch + 1
        self.base_lrs = [group["initial_lr"] for group in groups]
        self._schedulers[0].restart()
        self._last_lr = self._schedulers[0].get_last_lr()

    def step(self) -> None:
        self.last_epoch += 1
        i = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[i]
        if i and self._milestones[i - 1] == self.last_epoch:
            scheduler.restart()
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()

    def state_dict(self) -> dict[str, Any]:
        own = {k: v for k, v in self.__dict__.items() if k not in ("optimizer", "_schedulers")}
        return {**own, "_schedulers": [s.state_dict() for s in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.__dict__.update({k: v for k, v in state_dict.items() if k != "_schedulers"})
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"]):
            scheduler.load_state_dict(state)


class ChainedScheduler(LRScheduler):
    """Schedules that all step together, each multiplying the rate."""

    def __init__(self, schedulers: Sequence[LRScheduler]) -> None:
        if not schedulers:
            raise OptimizerError("ChainedScheduler: there are no schedules")
        self.optimizer, self._schedulers = schedulers[0].optimizer, list(schedulers)
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def step(self) -> None:
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    state_dict = SequentialLR.state_dict
    load_state_dict = SequentialLR.load_state_dict


class ReduceLROnPlateau:
    """The rate times ``factor`` when the ``metrics`` given to ``step`` have not got better for more than ``patience`` steps.

    Better: below (``mode="min"``) or above ("max") the best so far by ``threshold``, relative to it ("rel") or absolute ("abs").
    After a reduction ``cooldown`` steps are not counted; the rate does not fall below ``min_lr`` nor change by less than ``eps``.
    """

    def __init__(self, optimizer: Optimizer, mode: str = "min", factor: float = 0.1, patience: int = 10, threshold: float = 1e-4,
                 threshold_mode: str = "rel", cooldown: int = 0, min_lr: Any = 0.0, eps: float = 1e-8) -> None:
        groups = _optimizer("ReduceLROnPlateau", optimizer).param_groups
        if factor >= 1:
            raise OptimizerError(f"ReduceLROnPlateau: factor is {factor}; expected a number below 1")
        if mode not in ("min", "max") or threshold_mode not in ("rel", "abs"):
            raise OptimizerError(f"ReduceLROnPlateau: mode is {mode!r} and threshold_mode {threshold_mode!r}; expected 'min' or "
                                 "'max', and "
                                 "'rel' or 'abs'")
        self.min_lrs = list(min_lr) if isinstance(min_lr, (list, tuple)) else [min_lr] * len(groups)
        if len(self.min_lrs) != len(groups):
            raise OptimizerError(f"ReduceLROnPlateau: min_lr has {len(self.min_lrs)} rates for {len(groups)} groups")
        self.optimizer, self.mode, self.factor, self.patience, self.threshold = optimizer, mode, factor, patience, threshold
        self.threshold_mode, self.cooldown, self.eps = threshold_mode, cooldown, eps
        self.best = inf if mode == "min" else -inf
        self.num_bad_epochs = self.cooldown_counter = self.last_epoch = 0
        self._last_lr = [group["lr"] for group in groups]

    def is_better(self, a: float, best: float) -> bool:
        """Whether a is better than the best so far."""
        sign = -1.0 if self.mode == "min" else 1.0
        if self.threshold_mode == "rel":
            return a * sign > best * (1.0 + sign * self.threshold) * sign
        return a * sign > (best + sign * self.threshold) * sign

    def step(self, metrics: Any) -> None:
        """Look at the latest value of what is being watched: a number or a tensor of one."""
        current = float(metrics)
        self.last_epoch += 1
        if self.is_better(current, self.best):
            self.best, self.num_bad_epochs = current, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            for group, least in zip(self.optimizer.param_groups, self.min_lrs):
                lower = max(group["lr"] * self.factor, least)
                if group["lr"] - lower > self.eps:
                    group["lr"] = lower
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    get_last_lr: Callable[..., list[float]] = LRScheduler.get_last_lr
    state_dict: Callable[..., dict[str, Any]] = LRScheduler.state_dict
    load_state_dict: Callable[..., None] = LRScheduler.load_state_dict


__all__ = [
    "ChainedScheduler", "ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "ExponentialLR", "LRScheduler",
    "LambdaLR", "LinearLR", "MultiStepLR", "MultiplicativeLR", "OneCycleLR", "PolynomialLR", "ReduceLROnPlateau",
    "SequentialLR", "StepLR",
]
