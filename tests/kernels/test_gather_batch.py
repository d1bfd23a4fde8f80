"""Batches of a data set in one pass: the bits of NumPy's four passes, on every device, and a loader that does not wait."""
from __future__ import annotations

import array_api_strict
import ml_dtypes
import numpy as np
import pytest
from cuda_device import stand_in

import tensorlite as tl
from tensorlite import kernels
from tensorlite.data import DataLoader, Normalize, RandomFlip, Subset, TensorDataset
from tensorlite.errors import OutOfRangeError

kernel = kernels.load("gather_batch")
rng = np.random.default_rng(0)
CHANNELS = rng.random((3, 1, 1)).astype(np.float32)
CASES = {
    "mnist": ((784,), 1 / 255 / 0.3081, -0.1307 / 0.3081), "mnist image": ((1, 28, 28), 0.01, 0.1), "digits": ((64,), 0.3, None),
    "cifar": ((3, 32, 32), CHANNELS, -CHANNELS), "odd channels": ((3, 5, 7), CHANNELS, None), "odd": ((13,), 0.5, -0.0),
    "rows": ((2, 4, 8), rng.random((4, 1)), 2.0), "each": ((20,), rng.random(20), None), "number": ((), 2.0, None),
    "two axes": ((2, 3), rng.random((2, 3)), 0.5), "mixed": ((3, 4, 4), CHANNELS, 1.0), "nothing": ((0,), 1.0, None),
}


@pytest.mark.parametrize("out", ["float32", "float16", ml_dtypes.bfloat16, "float64"], ids=str)
@pytest.mark.parametrize("given", ["uint8", "float32", "int16"])
@pytest.mark.parametrize("name", CASES)
def test_the_bits_of_numpys_passes(cuda, name, given, out):
    shape, factor, offset = CASES[name]
    images = rng.integers(0, 256, (50, *shape)).astype(given)
    images = images / np.float32(7) if given == "float32" else images
    for count, kind in ((0, np.int64), (1, np.int32), (37, np.int16)):
        indices = rng.integers(-50, 50, count).astype(kind)
        expected = images[indices].astype(np.float32) * np.asarray(factor, np.float32)
        expected = (expected if offset is None else expected + np.asarray(offset, np.float32)).astype(out)
        options = {"factor": factor, "offset": offset, "dtype": out}
        for found in (kernel.cuda(cuda, images, indices, **options), kernel.cpu(images, indices, **options),
                      kernel.reference(np, images, indices, **options)):
            assert found.dtype == expected.dtype and found.shape == expected.shape and found.tobytes() == expected.tobytes()
    cuda.check()


def test_misaligned_and_not_contiguous(cuda):
    images = np.empty(50 * 64 + 1, np.uint8)[1:].reshape(50, 64)
    images[...] = rng.integers(0, 256, images.shape)
    for given in (images, np.asfortranarray(images), images[:, ::2]):
        expected = given[[3, -1]].astype(np.float32) * np.float32(0.1)
        for found in (kernel.cuda(cuda, given, np.array([3, -1]), factor=0.1), kernel.cpu(given, np.array([3, -1]), factor=0.1)):
            assert np.array_equal(found, expected)


def test_of_the_array_api_standard():
    images = array_api_strict.asarray(np.arange(12, dtype=np.uint8).reshape(4, 3))
    found = kernel.reference(array_api_strict, images, array_api_strict.asarray([3, -4]), factor=0.5, offset=1.0)
    assert np.asarray(found).tolist() == [[5.5, 6.0, 6.5], [1.0, 1.5, 2.0]]
    assert kernel.cost(np.ones((4, 3), np.uint8), np.arange(2), dtype="float16").bytes == 2 * 3 * 3 + 16


@pytest.mark.parametrize("bad", [50, -51])
@pytest.mark.parametrize("shape", [(16,), (5,)])
def test_an_index_out_of_range(cuda, bad, shape):
    images, indices = np.ones((50, *shape), np.uint8), np.array([0, bad])
    words = f"gather_batch: index {bad} is out of range for axis 0 of length 50"
    with pytest.raises(OutOfRangeError, match=words):
        kernel.cpu(images, indices)
    assert kernel.cuda(cuda, images, indices).shape == (2, *shape)
    with pytest.raises(OutOfRangeError, match=words):
        cuda.check()


def test_constants_that_do_not_fit():
    with pytest.raises(ValueError, match=r"factor and offset have shapes \(2, 1, 1\) and \(\); expected such as broadcast to"):
        kernel.cpu(np.ones((5, 3, 4, 4), np.uint8), np.array([0]), factor=np.ones((2, 1, 1)))


# ---- data sets ---------------------------------------------------------------------------------------------------------------

def dataset(device: str = "cpu", **options):
    images = np.random.default_rng(1).integers(0, 256, (100, 3, 8, 8)).astype(np.uint8)
    normalize = Normalize((0.1, 0.2, 0.3), (0.5, 0.6, 0.7), scale=1 / 255)
    return TensorDataset(tl.tensor(images, device=device), tl.arange(100, device=device), normalize=normalize, **options)


def batches(loader):
    return [tuple(np.asarray(part.cpu()) for part in batch) for batch in loader]


def same(found, expected):
    assert len(found) == len(expected)
    assert all(a.dtype == b.dtype and np.array_equal(a, b) for x, y in zip(found, expected) for a, b in zip(x, y))


def test_one_pass_gives_what_two_gave():
    data, at = dataset(), np.array([5, -1, 5])
    same([data.batch(at)], [data.finish(data.take(at))])


def test_an_overridden_step_is_not_left_out():
    class Doubled(TensorDataset):
        def finish(self, batch):
            return tuple(2 * part for part in batch)
    data = Doubled(np.ones((4, 2), np.uint8), normalize=Normalize())
    assert next(iter(DataLoader(data, 2)))[0].tolist() == [[2, 2], [2, 2]]


@pytest.mark.parametrize("options", [{}, {"shuffle": True}, {"shuffle": True, "transform": RandomFlip()}, {"drop_last": True},
                                     {"sampler": [3, -1, 79, 3]}], ids=lambda options: " ".join(options) or "in order")
@pytest.mark.parametrize("nested", [False, True])
def test_data_on_the_gpu_give_the_cpus_batches(options, nested):
    def loader(device):
        data = dataset(device)
        return DataLoader(Subset(Subset(data, np.arange(90)[::-1]), np.arange(80)) if nested else data, 16,
                          generator=tl.Generator(3), **options)
    with stand_in():
        first = next(iter(loader("cuda")))
        assert first[0].device == first[1].device == "cuda:0" and first[0].dtype == tl.float32
        same(batches(loader("cuda")), batches(loader("cpu")))


def test_the_host_does_not_wait_for_data_on_the_gpu():
    from cuda_on_cpu.cupy._machine import machine
    with stand_in():
        loader = DataLoader(dataset("cuda"), 16, shuffle=True, generator=tl.Generator(0))
        passing = iter(loader)
        next(passing)   # sends the order and the constants
        before = len(machine.syncs)
        rest = list(passing)
        assert len(rest) == 6 and machine.syncs[before:] == []


@pytest.mark.parametrize("pin", [False, True])
def test_data_of_the_host_go_to_the_gpu(pin):
    with stand_in():
        make = lambda device: DataLoader(dataset(), 16, shuffle=True, generator=tl.Generator(3), device=device, pin_memory=pin)
        loader = make("cuda")
        assert {part.device for batch in loader for part in batch} == {"cuda:0"}
        same(batches(make("cuda")), batches(make(None)))


def test_a_loader_on_the_gpu_is_taken_up_again():
    with stand_in():
        make = lambda: DataLoader(dataset("cuda"), 16, shuffle=True, generator=tl.Generator(3))
        loader, seen = make(), []
        for number, batch in enumerate(loader):
            if number == 2:
                state = loader.state_dict()
            seen.append(tuple(np.asarray(part.cpu()) for part in batch))
        again = make()
        again.load_state_dict(state)
        same(batches(again), seen[3:])
