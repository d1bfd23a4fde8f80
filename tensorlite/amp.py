"""Automatic mixed precision: dynamic loss scaling."""
from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tensorlite import backends, kernels
from tensorlite._autocast import autocast
from tensorlite.engine import inplace
from tensorlite.engine.value import Value, new
from tensorlite.errors import TensorliteError
from tensorlite.ops import creation
from tensorlite.optim import Optimizer

Tensor = Any
READY, UNSCALED, STEPPED = "ready", "unscaled", "stepped"


class GradScalerError(TensorliteError, RuntimeError):
    """A method of :class:`GradScaler` that was called at the wrong time."""


def _kernel(array: Any, name: str) -> Callable[..., Any]:
    """The kernel of that name for the backend of the array."""
    return backends.backend_of(array).implementation(name, kernels.load(name).reference)


class _Unscaled:
    """What is known of one optimizer's gradients since the last update."""

    def __init__(self) -> None:
        self.stage = READY
        self.found: list[Tensor] = []   # for each device, whether there is an inf or nan among the gradients


class GradScaler:
    """Keeps float16 gradients from vanishing: the loss is multiplied with a scale, and the gradients divided by it.

    The scale is as large as goes: where gradients overflow, the step is skipped and the scale multiplied with
    ``backoff_factor``; after ``growth_interval`` steps without that it is multiplied with ``growth_factor``. On a GPU nothing
    of this waits for the device: scale and counters are kept there, and the optimizer's kernel itself skips a step.

    Parameters
    ----------
    device: where the scale is kept at first; it follows the first loss.
    init_scale, growth_factor, backoff_factor, growth_interval: as above; 65536, twice, half, 2000.
    enabled: False for a scaler that does nothing, so that one program serves both.

    Unlike PyTorch's it takes float16 gradients of float16 parameters, as the optimizers keep float32 masters of them.
    Source: Micikevicius et al. 2018, section 3.2.

    >>> import tensorlite as tl
    >>> w = tl.tensor([1.0], requires_grad=True)
    >>> optimizer, scaler = tl.optim.SGD([w], lr=0.1), tl.amp.GradScaler()
    >>> scaler.scale((w * w).sum()).backward()
    >>> w.grad
    tensor([131072.])
    >>> scaler.step(optimizer); scaler.update(); w
    tensor([0.8], requires_grad=True)
    """

    def __init__(self, device: str | None = None, init_scale: float = 2.0**16, growth_factor: float = 2.0,
                 backoff_factor: float = 0.5, growth_interval: int = 2000, enabled: bool = True) -> None:
        self._device, self._enabled = device, enabled
        self._per_optimizer: dict[Any, _Unscaled] = {}
        self._scale: Tensor | None = None      # float32, without dimensions; made when it is first needed, where the loss is
        self._tracker: Tensor | None = None    # int32: the steps since the scale was changed
        self._init_scale, self._init_tracker = float(init_scale), 0
        self._growth, self._backoff, self._interval = float(growth_factor), float(backoff_factor), int(growth_interval)
        self._check(init_scale=init_scale > 0, growth_factor=growth_factor > 1, backoff_factor=0 < backoff_factor < 1,
                    growth_interval=growth_interval > 0)

    def _check(self, **fine: bool) -> None:
        expected = {"init_scale": "> 0", "growth_factor": "> 1", "backoff_factor": "between 0 and 1", "growth_interval": "> 0"}
        values = {"init_scale": self._init_scale, "growth_factor": self._growth, "backoff_factor": self._backoff,
                  "growth_interval": self._interval}
        for name, good in fine.items():
            if not good:
                raise ValueError(f"GradScaler: {name} is {values[name]}; expected a number {expected[name]}")

    # ---- the three calls of a training step ------------------------------------------------------------------------------

    def scale(self, outputs: Any) -> Any:
        """A loss (or an iterable of losses) multiplied with the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Value):
            return outputs * self._scale_on(outputs)
        if isinstance(outputs, Iterable) and not isinstance(outputs, (str, bytes)):
            scaled = (self.scale(output) for output in outputs)
            return list(scaled) if isinstance(outputs, list) else tuple(scaled)
        raise TypeError(f"GradScaler.scale: outputs is a {type(outputs).__name__}; expected a tensor or an iterable of tensors")

    def unscale_(self, optimizer: Any) -> None:
        """Divide the gradients of an optimizer's parameters by the scale, in place, to look at them or to clip them before
        :meth:`step`.

        16-bit gradients are rounded to 16 bits again, where the smallest vanish after all; :meth:`step` alone divides in float32.
        """
        if not self._enabled:
            return
        state = self._state(optimizer, "unscale_")
        if state.stage != READY:
            raise GradScalerError("GradScaler.unscale_: " + (
                "it has been called for this optimizer since the last update()" if state.stage == UNSCALED
                else "step() has been called for this optimizer; call it before step()"))
        self._look(optimizer, state, write=True)
        state.stage = UNSCALED

    def step(self, optimizer: Any, *args: Any, **options: Any) -> Any:
        """``optimizer.step()`` with the gradients divided by the scale, unless there is an inf or nan among them.

        Returns what the optimizer's step does. An optimizer that is not one of tensorlite's own waits for the device to decide.
        """
        if not self._enabled:
            return optimizer.step(*args, **options)
        if args or options.get("closure") is not None:
            raise GradScalerError("GradScaler.step: a closure cannot be taken, as the gradients must be there before the step")
        state = self._state(optimizer, "step")
        if state.stage == STEPPED:
            raise GradScalerError("GradScaler.step: it has been called for this optimizer since the last update()")
        fused = isinstance(optimizer, Optimizer) and type(optimizer).step is Optimizer.step
        if state.stage == READY:
            self._look(optimizer, state, write=not fused)
        found = self._sum(state.found)
        if fused:
            result = optimizer.step(found_inf=found, grad_scale=self._scale if state.stage == READY else None)
        else:
            result = None if found.item() else optimizer.step(**options)
        state.stage = STEPPED
        return result

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Set the scale of the next step: lower if gradients overflowed, higher after ``growth_interval`` steps without that.

        ``new_scale``: this scale instead.
        """
        if not self._enabled:
            return
        found = [number for state in self._per_optimizer.values() for number in state.found]
        scale, tracker = self._numbers("update")
        if new_scale is not None:
            value = new_scale.detach() if isinstance(new_scale, Value) else float(new_scale)
            self._scale = creation.asarray(value).to(device=scale.device, dtype="float32", copy=True)
        elif not found:
            raise GradScalerError("GradScaler.update: no gradients have been looked at; call step(optimizer) before update()")
        else:
            with backends.backend_of(scale.value).on(scale.device):
                _kernel(scale.value, "update_scale")(scale.value, tracker.value, self._sum(found).value, growth=self._growth,
                                                     backoff=self._backoff, interval=self._interval)
            inplace.wrote([scale.value, tracker.value], "GradScaler.update")
        self._per_optimizer.clear()

    # ---- settings and state ----------------------------------------------------------------------------------------------

    def get_scale(self) -> float:
        """The scale; waits for the device."""
        if not self._enabled:
            return 1.0
        return self._init_scale if self._scale is None else float(self._scale.item())

    def _get_tracker(self) -> int:
        return self._init_tracker if self._tracker is None else int(self._tracker.item())

    def is_enabled(self) -> bool:
        """Whether it does anything."""
        return self._enabled

    def get_growth_factor(self) -> float:
        """What the scale is multiplied with when it grows."""
        return self._growth

    def set_growth_factor(self, new_factor: float) -> None:
        """Set what the scale is multiplied with when it grows."""
        self._growth = float(new_factor)

    def get_backoff_factor(self) -> float:
        """What the scale is multiplied with after an overflow."""
        return self._backoff

    def set_backoff_factor(self, new_factor: float) -> None:
        """Set what the scale is multiplied with after an overflow."""
        self._backoff = float(new_factor)

    def get_growth_interval(self) -> int:
        """After how many steps without an overflow the scale grows."""
        return self._interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Set after how many steps without an overflow the scale grows."""
        self._interval = int(new_interval)

    def state_dict(self) -> dict[str, Any]:
        """Scale, settings and the steps since the scale was changed, as plain numbers; ``{}`` if it is not enabled."""
        if not self._enabled:
            return {}
        return {"scale": self.get_scale(), "growth_factor": self._growth, "backoff_factor": self._backoff,
                "growth_interval": self._interval, "_growth_tracker": self._get_tracker()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state."""
        if not self._enabled:
            return
        if not state_dict:
            raise GradScalerError("GradScaler.load_state_dict: the saved state is empty, as that of a scaler with enabled=False "
                                  "is; expected that of an enabled one")
        self._init_scale, self._init_tracker = float(state_dict["scale"]), int(state_dict["_growth_tracker"])
        self._growth, self._backoff = float(state_dict["growth_factor"]), float(state_dict["backoff_factor"])
        self._interval = int(state_dict["growth_interval"])
        if self._scale is not None:
            self._place(self._scale.device)

    def __getstate__(self) -> dict[str, Any]:
        if self._per_optimizer:
            raise GradScalerError("GradScaler: it can only be pickled between update() and the next step()")
        return {**self.__dict__, "_init_scale": self.get_scale() if self._enabled else self._init_scale,
                "_init_tracker": self._get_tracker(), "_scale": None, "_tracker": None}

    # ---- the parts -------------------------------------------------------------------------------------------------------

    def _place(self, device: str | None) -> None:
        self._scale = creation.asarray(self._init_scale, dtype="float32", device=device)
        self._tracker = creation.asarray(self._init_tracker, dtype="int32", device=device)

    def _scale_on(self, output: Tensor) -> Tensor:
        if self._scale is None:
            self._place(self._device or output.device)
        assert self._scale is not None
        return self._scale if self._scale.device == output.device else self._scale.to(output.device)

    def _numbers(self, method: str) -> tuple[Tensor, Tensor]:
        if self._scale is None:
            raise GradScalerError(f"GradScaler.{method}: nothing has been scaled yet; call scale(loss).backward() first")
        return self._scale, self._tracker

    def _state(self, optimizer: Any, method: str) -> _Unscaled:
        self._numbers(method)
        return self._per_optimizer.setdefault(optimizer, _Unscaled())

    def _look(self, optimizer: Any, state: _Unscaled, *, write: bool) -> None:
        """Look for inf and nan among the gradients, and divide them by the scale if they are to be written."""
        assert self._scale is not None
        places: dict[tuple[Any, str], list[Any]] = {}
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    array = p.grad.value
                    backend = backends.backend_of(array)
                    places.setdefault((backend, backend.device_of(array)), []).append(array)
        for (backend, device), arrays in places.items():
            scale = self._scale if self._scale.device == device else self._scale.to(device)
            with backend.on(device):
                state.found.append(new(_kernel(arrays[0], "unscale")(arrays, scale.value, write=write)))
            if write:
                inplace.wrote(arrays, "GradScaler.unscale_")
        if not places:
            raise GradScalerError("GradScaler: no parameter of the optimizer has a gradient; call scale(loss).backward() first")

    def _sum(self, found: list[Tensor]) -> Tensor:
        """The numbers' sum, on the device of the scale."""
        assert self._scale is not None
        moved = [number if number.device == self._scale.device else number.to(self._scale.device) for number in found]
        return sum(moved[1:], moved[0])


__all__ = ["GradScaler", "GradScalerError", "autocast"]
