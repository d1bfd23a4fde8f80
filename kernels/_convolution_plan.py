"""What the CPU's convolutions know before they see a number: tables of addresses, and how the work is divided.

A *task* takes a band of output rows (the first axis), or several whole images, of one group. It copies the inputs that the band
sees into scratch memory that stays in the second-level cache, channels last and with zeros around them, does the indexed product
of ``_tiles``, and copies the result out. ``conv`` has one phase; ``conv_input_grad`` has one for each combination of remainders
modulo the stride, each of them a convolution of stride 1 with some of the weights.
"""
from __future__ import annotations

from itertools import product
from math import prod
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Axis", "Plan", "backward_axis", "forward_axis", "plan"]

BAND = 384 << 10    # bytes of a task's scratch memory: inputs and outputs of a band
ROWS = 24           # tables end with so many rows that may be computed and are not used
TASKS = 16          # tasks there should be for threads to share, if the batch is large enough


class Axis(NamedTuple):
    """One axis: inputs, outputs; a phase's q-th output is ``q leap + phase`` and sees inputs ``q step + e`` for its (t, e)."""

    size: int
    out: int
    step: int
    leap: int
    phases: tuple[tuple[tuple[int, int], ...], ...]

    def reach(self) -> tuple[int, int]:
        """The least and the greatest e."""
        found = [e for phase in self.phases for _, e in phase]
        return min(found), max(found)

    def count(self, phase: int) -> int:
        """How many outputs are of that phase."""
        return max(0, -(-(self.out - phase) // self.leap))


def forward_axis(size: int, out: int, k: int, stride: int, low: int, dilation: int) -> Axis:
    return Axis(size, out, stride, 1, (tuple([(t, t * dilation - low) for t in range(k)]),))


def backward_axis(size: int, out: int, k: int, stride: int, low: int, dilation: int) -> Axis:
    phases = [tuple([(t, (f + low - t * dilation) // stride) for t in range(k) if (f + low - t * dilation) % stride == 0])
              for f in range(stride)]
    return Axis(out, size, 1, stride, tuple(phases))


class Sizes(NamedTuple):
    """Of a group: channels that are summed over (1 if depthwise), channels that come out, and these padded to whole vectors."""

    groups: int
    inputs: int
    outputs: int
    columns: int
    blocks: int     # of images
    bands: int
    splits: int     # parts that a band's columns are divided into
    diagonal: bool


class Plan(NamedTuple):
    """``numbers``: what compiled code reads by position (see ``_convolution_cpu``). Of the phases, one after the other:
    ``phases`` (first tap, taps, first entry of the pixel tables, pixels of a row of q, row remainder), ``taps`` (a weight's
    position in the window, by phase), ``seen`` (where what a weight meets lies from a pixel's window on), ``pixels`` and
    ``places`` (where a pixel's window begins, and its place among the outputs), ``cells`` (where an input lies in scratch
    memory)."""

    numbers: Any
    phases: Any
    taps: Any
    seen: Any
    pixels: Any
    places: Any
    cells: Any
    sizes: Sizes
    tasks: int
    work: int   # multiplications of a task


def plan(axes: tuple[Axis, Axis, Axis], window: tuple[int, int, int], batch: int, groups: int, inputs: int, outputs: int,
         itemsize: int, summed: bool = False) -> Plan:
    """For images of ``groups`` x ``inputs`` channels to ``groups`` x ``outputs``; ``outputs`` 0: depthwise, channels are columns.
    ``summed``: over pixels, for the gradient by the weights, which copies cotangents a block of columns at a time."""
    unit = 64 // itemsize
    diagonal = not outputs
    columns = -(-(inputs if diagonal else outputs) // unit) * unit
    slot = -(-inputs // unit) * unit if inputs >= unit // 2 or diagonal else inputs
    first, _, _ = axes
    lows, highs = zip(*[a.reach() for a in axes])
    starts = [lows[0], *[min(0, low) for low in lows[1:]]]
    quotients = [max(a.count(f) for f in range(a.leap)) for a in axes]
    extents = [max(a.size - 1, (q - 1) * a.step + high) - start + 1
               for a, q, high, start in zip(axes[1:], quotients[1:], highs[1:], starts[1:])]
    line = prod(extents) * slot                          # scratch elements of an input row
    across = axes[1].out * axes[2].out                   # outputs of a row
    span = highs[0] - lows[0] + 1
    deep = quotients[0]
    held = min(columns, 4 * unit) if summed else columns
    bytes_of_row = (first.step * line + first.leap * across * held) * itemsize
    rows = max(1, min(deep, (BAND - span * line * itemsize) // bytes_of_row))
    rows = min(rows, max(-(-deep * batch * groups // TASKS), min(deep, 2 * span), 1))
    rows = -(-deep // -(-deep // rows))
    images = 1
    if rows == deep:
        whole = ((deep - 1) * first.step + span) * line + deep * first.leap * across * held
        images = max(1, min(batch, BAND // (whole * itemsize), batch * groups // TASKS))
    high = (rows - 1) * first.step + span                # input rows of a band
    taps: list[int] = []
    seen: list[int] = []
    pixels, places, phases = [], [], []
    entries = 0
    strides = (line, extents[1] * slot, slot)
    for f in product(*[range(a.leap) for a in axes]):
        found = list(product(*[a.phases[i] for a, i in zip(axes, f)]))
        counts = [rows, *[a.count(i) for a, i in zip(axes[1:], f[1:])]]
        phases.append((len(taps), len(found), entries, counts[1] * counts[2], f[0]))
        for tap in found:
            taps.append((tap[0][0] * window[1] + tap[1][0]) * window[2] + tap[2][0])
            begin = sum((e - start) * s for (_, e), start, s in zip(tap, starts, strides))
            seen += [begin] if diagonal else range(begin, begin + inputs)
        q = np.indices((images, *counts)).reshape(4, -1)
        x = q[0] * (high * line) + sum(q[i + 1] * (axes[i].step * strides[i]) for i in range(3))
        y = ((q[0] * (rows * first.leap) + q[1] * first.leap + f[0]) * axes[1].out + q[2] * axes[1].leap + f[1])
        y = y * axes[2].out + q[3] * axes[2].leap + f[2]
        spare = np.full(ROWS, images * rows * first.leap * across)
        pixels.append(np.concatenate([x, np.zeros(ROWS, np.int64)]))
        places.append(np.concatenate([y, spare]) * columns)
        entries += pixels[-1].size
    source = np.indices((high, axes[1].size, axes[2].size)).reshape(3, -1)
    cells = source[0] * line + (source[1] - starts[1]) * strides[1] + (source[2] - starts[2]) * slot
    bands = -(-deep // rows)
    blocks = -(-batch // images)
    splits = 1 if diagonal or blocks * groups * bands >= TASKS else -(-columns // (4 * unit))
    numbers = [batch, groups, inputs, outputs, slot, columns, images, rows, bands, high, first.size, first.out, deep, lows[0],
               first.step, first.leap, axes[1].size * axes[2].size, across, line, splits, int(diagonal),
               int(prod(extents) != axes[1].size * axes[2].size)]
    work = images * rows * first.leap * across * max(1, len(taps) // prod(a.leap for a in axes)) * (1 if diagonal else inputs) \
        * columns // splits
    as_array = lambda values: np.asarray(values, np.int64)
    sizes = Sizes(groups, 1 if diagonal else inputs, inputs if diagonal else outputs, columns, blocks, bands, splits, diagonal)
    return Plan(as_array(numbers), as_array(phases), as_array(taps), as_array(seen), np.concatenate(pixels).astype(np.int64),
                np.concatenate(places).astype(np.int64), cells.astype(np.int64), sizes, blocks * groups * bands * splits, work)

