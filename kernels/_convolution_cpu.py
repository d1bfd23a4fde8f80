"""Convolution and its two gradients on the CPU: inputs copied in bands to where the cache keeps them, then register tiles.

Measured beside what else there is in ``bench/conv.py``. Convolution by copying every window (im2col) and a product in OpenBLAS
takes two to four times as long; Winograd's transforms would save at most half of the products and lose two digits.
"""
from __future__ import annotations

from typing import Any

import numpy as np

from ._convolution_plan import ROWS, Plan
from ._math import jit
from ._parallel import run
from ._tiles import WIDEST, make_tile, make_transpose

__all__ = ["UNITS", "arranged", "summed_over_pixels", "swept", "unit_of"]

UNITS = WIDEST
CHUNK = 24 << 10   # bytes of weights (or cotangents) that stay in the first-level cache while all rows pass by
COPIED = 200_000     # elements to copy that are worth a thread
GRAIN = 10_000_000   # multiplications worth a thread: some 80 us of work

_one, _two, _three, _four = make_tile(8 if UNITS > 1 else 6, 1), make_tile(8, 2), make_tile(6, 3), make_tile(6, 4)
_one_each, _two_each = make_tile(6, 1, True), make_tile(6, 2, True)
_transpose = make_transpose()
HEIGHT = 8 if UNITS > 1 else 6   # rows of the narrowest tile


def unit_of(dtype: Any) -> int:
    """Elements of 64 bytes."""
    return 64 // int(dtype.itemsize)


@jit(nogil=True)
def _gather(src: Any, last: Any, image: Any, channels: Any, c_first: Any, count: Any, plane: Any, p_first: Any, pixels: Any,
            dst: Any, base: Any, cells: Any) -> None:
    """Some channels of consecutive pixels, each pixel's to its cell."""
    unit = 64 // dst.itemsize
    if last:
        begin = (image * plane + p_first) * channels + c_first
        for p in range(pixels):
            at, to = begin + p * channels, base + cells[p]
            for c in range(count):
                dst[to + c] = src[at + c]
        return
    begin = (image * channels + c_first) * plane + p_first
    c0 = 0
    if count >= unit // 2:
        for c in range(0, count, unit):
            have = min(unit, count - c)
            at = begin + c * plane
            if pixels < unit and at + (have - 1) * plane + unit > src.size:
                break   # a square would read beyond the array
            for p in range(0, pixels, unit):
                q = max(0, min(p, pixels - unit))
                _transpose(src, at + q, plane, have, dst, base + c, 0, cells, q, min(unit, pixels))
            c0 = c + have
    for c in range(c0, count):
        at = begin + c * plane
        for p in range(pixels):
            dst[base + cells[p] + c] = src[at + p]


@jit(nogil=True)
def _scatter(src: Any, base: Any, columns: Any, dst: Any, last: Any, image: Any, channels: Any, c_first: Any, count: Any,
             plane: Any, p_first: Any, pixels: Any, nowhere: Any) -> None:
    """Rows of scratch memory, one a pixel, to consecutive pixels of the result."""
    unit = 64 // dst.itemsize
    if last:
        begin = (image * plane + p_first) * channels + c_first
        for p in range(pixels):
            at, to = base + p * columns, begin + p * channels
            for c in range(count):
                dst[to + c] = src[at + c]
        return
    begin = (image * channels + c_first) * plane + p_first
    if pixels < unit:
        for c in range(count):
            for p in range(pixels):
                dst[begin + c * plane + p] = src[base + p * columns + c]
        return
    for c in range(0, count, unit):
        want = min(unit, count - c)
        for p in range(0, pixels, unit):
            q = min(p, pixels - unit)
            _transpose(src, base + q * columns + c, columns, unit, dst, begin + c * plane + q, plane, nowhere, 0, want)


@jit(nogil=True)
def _product(units: Any, diagonal: Any, x: Any, shift: Any, a: Any, rows: Any, b: Any, k0: Any, k1: Any, w: Any, at: Any,
             ldw: Any, init: Any, first: Any, step: Any, out: Any, d: Any, column: Any) -> None:
    """``rows`` rows of the indexed product by tiles of that many units."""
    if diagonal:
        if units == 2:
            for r in range(0, rows, 6):
                _two_each(x, shift, a, r, b, k0, k1, w, at, ldw, init, first, step, out, d, column)
        else:
            for r in range(0, rows, 6):
                _one_each(x, shift, a, r, b, k0, k1, w, at, ldw, init, first, step, out, d, column)
    elif units == 4:
        for r in range(0, rows, 6):
            _four(x, shift, a, r, b, k0, k1, w, at, ldw, init, first, step, out, d, column)
    elif units == 3:
        for r in range(0, rows, 6):
            _three(x, shift, a, r, b, k0, k1, w, at, ldw, init, first, step, out, d, column)
    elif units == 2:
        for r in range(0, rows, 8):
            _two(x, shift, a, r, b, k0, k1, w, at, ldw, init, first, step, out, d, column)
    else:
        for r in range(0, rows, HEIGHT):
            _one(x, shift, a, r, b, k0, k1, w, at, ldw, init, first, step, out, d, column)


@jit(nogil=True)
def _band(numbers: Any, src: Any, last: Any, block: Any, group: Any, band: Any, scratch: Any, cells: Any) -> Any:
    """Copy what a band of a block of images sees; (images, first q, q's)."""
    batch, groups, inputs = numbers[0], numbers[1], numbers[2]
    images, rows, high, size, deep, low, step = (numbers[6], numbers[7], numbers[9], numbers[10], numbers[12], numbers[13],
                                                 numbers[14])
    across, line = numbers[16], numbers[18]
    q0 = band * rows
    begin = q0 * step + low
    r0, r1 = max(0, begin), min(size, begin + high)
    count = min(images, batch - block * images)
    if numbers[21] or r0 > begin or r1 < begin + high:
        scratch[:count * high * line] = 0
    for i in range(count):
        if r1 > r0:
            _gather(src, last, block * images + i, groups * inputs, group * inputs, inputs, size * across, r0 * across,
                    (r1 - r0) * across, scratch, (i * high + r0 - begin) * line, cells)
    return count, q0, min(rows, deep - q0)


@jit(nogil=True)
def _sweep(low: Any, high: Any, numbers: Any, phases: Any, seen: Any, pixels: Any, places: Any, cells: Any, widest: Any,
           spare: Any, src: Any, src_last: Any, w: Any, bias: Any, relu: Any, dst: Any, dst_last: Any) -> None:
    """The tasks low..high of a convolution."""
    groups, inputs, outputs, columns, images, rows, bands = (numbers[1], numbers[2], numbers[3], numbers[5], numbers[6],
                                                            numbers[7], numbers[8])
    tall, out_rows, leap, across, line, splits, diagonal = (numbers[9], numbers[11], numbers[15], numbers[17], numbers[18],
                                                           numbers[19], numbers[20])
    unit = 64 // dst.itemsize
    if diagonal:
        outputs = inputs
    total = seen.size
    scratch = np.zeros(images * tall * line + unit, dst.dtype) if diagonal else np.empty(images * tall * line + unit, dst.dtype)
    result = np.empty((images * rows * leap * across + spare) * columns, dst.dtype)
    nowhere = np.zeros(unit, np.int64)
    for task in range(low, high):
        split, rest = task % splits, task // splits
        band, rest = rest % bands, rest // bands
        group, block = rest % groups, rest // groups
        count, q0, qs = _band(numbers, src, src_last, block, group, band, scratch, cells)
        c0, c1 = (0, columns) if splits == 1 else (split * 4 * unit, min(columns, (split + 1) * 4 * unit))
        for j0 in range(c0, c1, widest * unit):
            units = min(widest, (columns - j0) // unit)
            chunk = CHUNK // (64 * units)
            for f in range(phases.shape[0]):
                # per phase: first tap, taps, first table entry, pixels of a row of q
                each = 1 if diagonal else inputs
                k_first, k_count = phases[f, 0] * each, phases[f, 1] * each
                a, d = pixels[phases[f, 2]:], places[phases[f, 2]:]
                many = count * qs * phases[f, 3] if images == 1 else count * rows * phases[f, 3]
                shift = j0 if diagonal else 0
                at = (group * columns + j0) * total
                for k0 in range(k_first, max(k_first + k_count, k_first + 1), chunk):
                    k1 = min(k_first + k_count, k0 + chunk)
                    if k0 == k_first:
                        _product(units, diagonal, scratch, shift, a, many, seen, k0, k1, w, at, units * unit, bias,
                                 group * columns + j0, 0, result, d, j0)
                    else:
                        _product(units, diagonal, scratch, shift, a, many, seen, k0, k1, w, at, units * unit, result, j0, 1,
                                 result, d, j0)
        i0, i1 = q0 * leap, min(out_rows, (q0 + qs) * leap)
        if relu:
            zero = dst.dtype.type(0)
            for i in range(count * rows * leap * across * columns):
                v = result[i]
                result[i] = v if v > zero or v != v else zero
        for i in range(count):
            _scatter(result, i * rows * leap * across * columns + c0, columns, dst, dst_last, block * images + i,
                     groups * outputs, group * outputs + c0, min(c1, outputs) - c0, out_rows * across, i0 * across,
                     (i1 - i0) * across, nowhere)


@jit(nogil=True)
def _reduce(low: Any, high: Any, numbers: Any, seen: Any, pixels: Any, cells: Any, widest: Any, height: Any, parts: Any,
            src: Any, src_last: Any, g: Any, g_last: Any, sums: Any) -> None:
    """The tasks low..high of the gradient by the weights: of a group, a block of columns, and a part of the bands."""
    batch, groups, inputs, outputs, columns, images, rows, bands = (numbers[0], numbers[1], numbers[2], numbers[3], numbers[5],
                                                                   numbers[6], numbers[7], numbers[8])
    tall, out_rows, across, line, diagonal = numbers[9], numbers[11], numbers[17], numbers[18], numbers[20]
    unit = 64 // g.itemsize
    if diagonal:
        outputs = inputs
    total, blocks = seen.size, -(-batch // images)
    tiles = -(-columns // (widest * unit))
    scratch = np.empty(images * tall * line + unit, g.dtype)
    cotangents = np.zeros((images * rows * across + unit) * widest * unit, g.dtype)   # subnormal rubbish would slow products down
    a, d = np.zeros(total + height, np.int64), np.empty(total + height, np.int64)
    a[:total] = seen
    dense = np.empty(rows * across, np.int64)
    for task in range(low, high):
        part, rest = task % parts, task // parts
        tile, group = rest % tiles, rest // tiles
        j0 = tile * widest * unit
        units = min(widest, (columns - j0) // unit)
        width = units * unit
        for p in range(dense.size):
            dense[p] = p * width
        for k in range(d.size):
            d[k] = min(k, total) * width
        # of a part its groups' columns, of these blocks of columns, each with a row more for what tiles compute beyond the end
        begin = ((part * groups + group) * columns + j0) * (total + 1)
        sums[begin:begin + width * (total + 1)] = 0
        chunk = CHUNK // (64 * units)
        for one in range(blocks * bands * part // parts, blocks * bands * (part + 1) // parts):
            block, band = one // bands, one % bands
            count, q0, qs = _band(numbers, src, src_last, block, group, band, scratch, cells)
            many = qs * across
            for i in range(count):
                _gather(g, g_last, block * images + i, groups * outputs, group * outputs + j0, min(width, outputs - j0),
                        out_rows * across, q0 * across, many, cotangents, i * many * width, dense)
            for k0 in range(0, count * many, chunk):
                _product(units, diagonal, scratch, j0 if diagonal else 0, a, total, pixels, k0, min(count * many, k0 + chunk),
                         cotangents, 0, width, sums, begin, 1, sums, d, begin)


@jit(nogil=True)
def _arrange(low: Any, high: Any, w: Any, turned: Any, inputs: Any, outputs: Any, columns: Any, widest: Any, taps: Any,
             out: Any) -> None:
    """Weights as tiles read them, for the blocks of columns low..high, those of a group one after the other: each (taps, inputs,
    columns of the block). w is (groups, outputs, inputs, window), or ``turned`` (groups, inputs, outputs, window)."""
    unit, size = 64 // out.itemsize, taps.size
    tiles = -(-columns // (widest * unit))
    cells = np.empty(inputs * size, np.int64)
    for block in range(low, high):
        group, j0 = block // tiles, block % tiles * widest * unit
        width = min(widest * unit, columns - j0)
        count = min(width, outputs - j0)
        to = (group * columns + j0) * size * inputs
        if count < width:
            out[to:to + width * size * inputs] = 0
        if turned:
            for k in range(size):
                cells[taps[k]] = k * inputs * width
            for c in range(inputs):
                _gather(w, size == 1, group * inputs + c, outputs, j0, count, size, 0, size, out, to + c * width, cells)
        else:
            for k in range(size):
                for c in range(inputs):
                    cells[c * size + taps[k]] = (k * inputs + c) * width
            _gather(w, False, group, outputs, j0, count, inputs * size, 0, inputs * size, out, to, cells)


@jit(nogil=True)
def _collect(low: Any, high: Any, sums: Any, parts: Any, groups: Any, inputs: Any, outputs: Any, columns: Any, widest: Any,
             size: Any, out: Any) -> None:
    """The parts' sums added in order, as weights (groups, outputs, inputs, window), for the blocks of columns low..high."""
    unit = 64 // out.itemsize
    tiles = -(-columns // (widest * unit))
    total, deep = inputs * size, min(inputs, 2 * unit)
    part = groups * columns * (total + 1)
    rows = np.empty((deep * size + unit) * widest * unit, out.dtype)
    nowhere = np.zeros(unit, np.int64)
    for block in range(low, high):
        group, j0 = block // tiles, block % tiles * widest * unit
        width = min(widest * unit, columns - j0)
        begin = (group * columns + j0) * (total + 1)
        for c0 in range(0, inputs, deep):
            c1 = min(inputs, c0 + deep)
            for t in range(size):
                for c in range(c0, c1):
                    at, to = begin + (t * inputs + c) * width, ((c - c0) * size + t) * width
                    for j in range(width):
                        rows[to + j] = sums[at + j]
                    for _ in range(1, parts):
                        at += part
                        for j in range(width):
                            rows[to + j] += sums[at + j]
            _scatter(rows, 0, width, out, False, group, outputs, j0, min(width, outputs - j0), total, c0 * size,
                     (c1 - c0) * size, nowhere)


def widest_of(plan: Plan) -> int:
    """Units of a tile's row: depthwise tiles load x's vectors too, and have registers for half as many."""
    return min(UNITS, 2) if plan.sizes.diagonal else UNITS


def arranged(plan: Plan, w: Any, turned: bool) -> Any:
    """The weights as :func:`swept` wants them; ``turned``: for the gradient by the input."""
    groups, inputs, outputs, columns = plan.sizes[:4]
    out = np.empty(groups * columns * plan.taps.size * inputs, w.dtype)
    widest = widest_of(plan)
    blocks = groups * -(-columns // (widest * unit_of(w.dtype)))
    run(_arrange, blocks, max(1, COPIED * blocks // out.size), w.reshape(-1), turned and not plan.sizes.diagonal, inputs,
        outputs, columns, widest, plan.taps, out)
    return out


def swept(plan: Plan, x: Any, x_last: bool, w: Any, bias: Any, relu: bool, out: Any, out_last: bool) -> None:
    """Every pixel of ``out``; arrays flat; bias with the columns of each group."""
    run(_sweep, plan.tasks, max(1, GRAIN // max(1, plan.work)), plan.numbers, plan.phases, plan.seen, plan.pixels, plan.places,
        plan.cells, widest_of(plan), ROWS, x, x_last, w, bias, relu, out, out_last)


def summed_over_pixels(plan: Plan, x: Any, x_last: bool, g: Any, g_last: bool, out: Any) -> None:
    """The gradient by the weights, into ``out``. How many parts are summed apart depends on the shapes alone."""
    groups, inputs, outputs, columns, blocks, bands, splits, _ = plan.sizes
    widest, pieces = widest_of(plan), blocks * bands
    tiles = -(-columns // (widest * unit_of(out.dtype)))
    held = groups * columns * (plan.seen.size + 1)
    parts = max(1, min(pieces, -(-8 // (groups * tiles)), (16 << 20) // (held * out.itemsize)))
    if groups * tiles == 1:
        parts = max(parts, min(2, pieces))
    sums = np.empty(parts * held, out.dtype)
    work = plan.work * splits * pieces // (tiles * parts)
    run(_reduce, groups * tiles * parts, max(1, GRAIN // max(1, work)), plan.numbers, plan.seen, plan.pixels, plan.cells, widest,
        HEIGHT, parts, x, x_last, g, g_last, sums)
    run(_collect, groups * tiles, max(1, COPIED * groups * tiles // (held * parts)), sums, parts, groups, inputs, outputs,
        columns, widest, plan.taps.size, out)
