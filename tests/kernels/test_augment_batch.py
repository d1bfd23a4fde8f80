"""Augmented batches of a data set in one pass: the pixels of a loop over images, the same bits on every device."""
from __future__ import annotations

import array_api_strict
import ml_dtypes
import numpy as np
import pytest

from tensorlite import kernels
from tensorlite.errors import OutOfRangeError, ShapeError

kernel = kernels.load("augment_batch")
SEED = 3
rng = np.random.default_rng(SEED)
print(f"seed {SEED}")
CHANNELS = rng.random((3, 1, 1)).astype(np.float32)


def loop(images, indices, moves, size=None, cut=0, fill=0, factor=1.0, offset=None, dtype="float32"):
    """The definition, pixel by pixel."""
    _, channels, height, width = images.shape
    rows, columns = size or (height, width)
    fill = np.broadcast_to(np.asarray(fill, images.dtype), channels)
    out = np.empty((len(indices), channels, rows, columns), images.dtype)
    for i, (down, right, mirrored, cut_row, cut_column) in enumerate(moves.tolist()):
        for y in range(rows):
            for x in range(columns):
                v, u = y + down, (columns - 1 - x if mirrored else x) + right
                inside = 0 <= v < height and 0 <= u < width
                inside &= not (cut_row <= y < cut_row + cut and cut_column <= x < cut_column + cut)
                out[i, :, y, x] = images[indices[i], :, v, u] if inside else fill
    floats = out.astype(np.float32) * np.asarray(factor, np.float32)
    return (floats if offset is None else floats + np.asarray(offset, np.float32)).astype(dtype)


def moves(k, reach, side):
    return np.stack([rng.integers(-reach, reach + 1, k), rng.integers(-reach, reach + 1, k), rng.integers(0, 2, k),
                     rng.integers(-side, side, k), rng.integers(-side, side, k)], axis=1).astype(np.int32)


CASES = {
    "plain": ((3, 8, 8), {}), "normalised": ((3, 8, 8), {"factor": CHANNELS, "offset": -CHANNELS}),
    "cut": ((3, 9, 7), {"cut": 4, "fill": (7, 8, 9), "factor": 0.5, "offset": 1.0}),
    "one": ((1, 5, 12), {"fill": 3, "factor": CHANNELS[:1]}),
    "smaller": ((3, 9, 9), {"size": (5, 4), "offset": CHANNELS}), "larger": ((2, 3, 4), {"size": (6, 8), "cut": 20}),
    "pixels": ((1, 1, 1), {"offset": 2.0}),
}


@pytest.mark.parametrize("out", ["float32", "float16", ml_dtypes.bfloat16, "float64"], ids=str)
@pytest.mark.parametrize("given", ["uint8", "float32", "int16"])
@pytest.mark.parametrize("name", CASES)
def test_the_pixels_of_a_loop(cuda, name, given, out):
    shape, options = CASES[name]
    images = rng.integers(0, 256, (20, *shape)).astype(given)
    images = images / np.float32(7) if given == "float32" else images
    for count, kind, reach in ((0, np.int64, 1), (1, np.int32, 0), (17, np.int16, 3), (9, np.int64, 15)):
        indices, steps = rng.integers(-20, 20, count).astype(kind), moves(count, reach, max(shape))
        expected = loop(images, indices, steps, **options, dtype=out)
        for found in (kernel.cuda(cuda, images, indices, steps, **options, dtype=out),
                      kernel.cpu(images, indices, steps, **options, dtype=out),
                      kernel.reference(np, images, indices, steps, **options, dtype=out)):
            assert found.dtype == expected.dtype and found.shape == expected.shape and found.tobytes() == expected.tobytes()
    cuda.check()


def test_many_images_on_several_threads():
    images, indices = rng.integers(0, 256, (40, 3, 32, 32)).astype(np.uint8), rng.integers(0, 40, 700)
    steps = moves(700, 4, 32)
    options = {"cut": 16, "factor": CHANNELS, "offset": -CHANNELS}
    assert np.array_equal(kernel.cpu(images, indices, steps, **options), kernel.reference(np, images, indices, steps, **options))


def test_misaligned_and_not_contiguous(cuda):
    images = np.empty(20 * 3 * 64 + 1, np.uint8)[1:].reshape(20, 3, 8, 8)
    images[...] = rng.integers(0, 256, images.shape)
    indices, steps = np.array([3, -1, 3, 7]), moves(8, 2, 8)[::2]
    for given in (images, np.asfortranarray(images), images[:, :, ::2], images.transpose(0, 1, 3, 2)):
        expected = loop(given, indices, steps, factor=0.1)
        for found in (kernel.cuda(cuda, given, indices, steps, factor=0.1), kernel.cpu(given, indices, steps, factor=0.1)):
            assert np.array_equal(found, expected)


def test_of_the_array_api_standard():
    images, steps = rng.integers(0, 256, (4, 2, 3, 5)).astype(np.uint8), moves(3, 2, 5)
    found = kernel.reference(array_api_strict, *map(array_api_strict.asarray, (images, np.array([3, -4, 0]), steps)),
                             cut=2, fill=(1, 2), factor=0.5, offset=1.0)
    assert np.array_equal(np.asarray(found), loop(images, [3, -4, 0], steps, cut=2, fill=(1, 2), factor=0.5, offset=1.0))
    cost = kernel.cost(images, np.arange(2), steps[:2], dtype="float16")
    assert cost.bytes == 2 * 30 * 3 + 16 + 40 and cost.flops == 120


@pytest.mark.parametrize("bad", [20, -21])
def test_an_index_out_of_range(cuda, bad):
    images, indices, steps = np.ones((20, 1, 4, 4), np.uint8), np.array([0, bad]), moves(2, 1, 4)
    words = f"augment_batch: index {bad} is out of range for axis 0 of length 20"
    with pytest.raises(OutOfRangeError, match=words):
        kernel.cpu(images, indices, steps)
    assert kernel.cuda(cuda, images, indices, steps).shape == (2, 1, 4, 4)
    with pytest.raises(OutOfRangeError, match=words):
        cuda.check()


def test_shapes_that_do_not_fit(cuda):
    for images, indices, steps in ((np.ones((3, 4, 4)), [0], moves(1, 1, 4)), (np.ones((2, 1, 4, 4)), [0, 1], moves(1, 1, 4))):
        for run in (kernel.cpu, lambda *a: kernel.cuda(cuda, *a), lambda *a: kernel.reference(np, *a)):
            with pytest.raises(ShapeError, match=r"expected \(n, channels, height, width\), \(k,\) and \(k, 5\)"):
                run(images.astype(np.uint8), np.asarray(indices), steps)
