"""Indices on the GPU: sums and values where they repeat, rows they name, and what is said of those out of range."""
from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from cuda_device import stand_in

from tensorlite import kernels
from tensorlite.backends import _cuda_scatter, _numpy_indexing
from tensorlite.errors import OutOfRangeError
from tensorlite.kernels.embedding_grad import cuda as embedding_grad
from tensorlite.kernels.put_rows.cuda import winners

ROW = pytest.mark.parametrize("width", [1, 3, 8, 33, 260])
embed, take, put, check = (kernels.load(name) for name in ("embedding_grad", "take_rows", "put_rows", "check_indices"))


def generator(*key: object) -> np.random.Generator:
    seed = abs(hash(tuple(map(str, key)))) % 2**32
    print(f"seed {seed}")
    return np.random.default_rng(seed)


def summed(g, indices, rows, padding=None):
    """In float64, in NumPy's way."""
    out, kept = np.zeros((rows, *g.shape[indices.ndim:])), np.ones(indices.shape, bool) if padding is None else indices != padding
    np.add.at(out, indices[kept], g[kept].astype(np.float64))
    return out


# ---- embedding_grad: sorted, and summed run by run -------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize(("count", "rows"), [(0, 5), (1, 1), (300, 7), (5000, 70_000), (9000, 3), (4096, 256), (4097, 255)])
@pytest.mark.parametrize("padding", [None, 0])
def test_sums_by_index(cuda, count, rows, dtype, padding):
    rng = generator(count, rows, dtype)
    indices = rng.integers(0, rows, count).astype(rng.choice(["int32", "int64", "uint16" if rows < 65536 else "uint32"]))
    g = rng.normal(size=(count, 9)).astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    found, expected = embed.cuda(cuda, g, indices, rows=rows, padding_idx=padding), summed(g, indices, rows, padding)
    cuda.check()
    assert found.dtype == g.dtype and found.shape == (rows, 9)
    size = np.sqrt(max(1, count / rows))
    tolerance = {"float32": 1e-6, "float64": 1e-14, "float16": 1e-3, "bfloat16": 8e-3}[dtype]
    assert (np.abs(found.astype(np.float64) - expected) <= tolerance * (np.abs(expected) + size + 1)).all()


@ROW
@pytest.mark.parametrize("kind", ["int32", "int64"])
def test_up_to_64_of_a_row_are_summed_as_on_the_cpu(cuda, width, kind):
    rng = generator(width, kind)
    indices = rng.permutation(np.repeat(np.arange(300), rng.integers(0, 65, 300))).astype(kind)
    g = rng.normal(size=(indices.size, width)).astype(np.float32)
    assert np.array_equal(embed.cuda(cuda, g, indices, rows=300), embed.cpu(g, indices, rows=300))


@pytest.mark.parametrize("repeats", [64, 65, 128, 129, 4096, 4097, 20_000])
def test_long_runs_are_cut_as_documented(cuda, repeats):
    """Among others, at several places, so that pieces of several runs lie side by side."""
    rng = generator(repeats)
    indices = rng.permutation(np.concatenate([np.repeat([5, 6, 9], repeats), np.arange(20), np.repeat(7, 70)]))
    g = rng.normal(size=(indices.size, 8)).astype(np.float32)
    found = embed.cuda(cuda, g, indices, rows=11 + 9, padding_idx=None)
    for row in (5, 6, 7, 9, 10):
        values = g[indices == row]
        piece = 64
        while piece * piece < len(values):
            piece *= 2
        piece = len(values) if len(values) <= 64 else piece
        total = np.zeros(8, np.float32)
        for first in range(0, len(values), piece):
            part = np.zeros(8, np.float32)
            for value in values[first:first + piece]:
                part += value
            total = part if piece == len(values) else total + part
        assert np.array_equal(found[row], total), row


def test_neither_alignment_nor_the_order_of_threads_matters(cuda):
    from cuda_on_cpu import thread_order
    rng = generator("order")
    indices, g = rng.choice([1, 2, 2, 3, 50, 900], 9000), rng.normal(size=(9000, 8)).astype(np.float32)
    expected = embed.cuda(cuda, g, indices, rows=1000)
    moved = np.empty(g.size + 1, g.dtype)[1:].reshape(g.shape)
    moved[...] = g
    assert np.array_equal(embed.cuda(cuda, moved, indices, rows=1000), expected)
    assert np.array_equal(embed.cuda(cuda, np.asfortranarray(g), np.repeat(indices, 2)[::2], rows=1000), expected)
    with thread_order(-1):
        assert np.array_equal(embed.cuda(cuda, g, indices, rows=1000), expected)


def test_numbers_beyond_32_bits(cuda, monkeypatch):
    """The sort of 64-bit keys, which large tables need, gives the same."""
    rng = generator("wide")
    indices, g = rng.integers(0, 40_000, 9000), rng.normal(size=(9000, 4)).astype(np.float32)
    expected = embed.cuda(cuda, g, indices, rows=40_000)
    monkeypatch.setattr(embedding_grad, "NARROW", 10)
    assert np.array_equal(embed.cuda(cuda, g, indices, rows=40_000), expected)


def test_against_torch(cuda):
    rng = generator("torch")
    indices, g = rng.integers(0, 50, (6, 40)), rng.normal(size=(6, 40, 12)).astype(np.float32)
    table = torch.zeros(50, 12, requires_grad=True)
    torch.nn.functional.embedding(torch.from_numpy(indices), table, padding_idx=3).backward(torch.from_numpy(g))
    np.testing.assert_allclose(embed.cuda(cuda, g, indices, rows=50, padding_idx=3), table.grad.numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bad", [-1, 3])
def test_sums_report_an_index_out_of_range(cuda, bad):
    found = embed.cuda(cuda, np.ones((3, 2), np.float32), np.array([0, bad, 0]), rows=3)
    assert found.tolist() == [[2, 2], [0, 0], [0, 0]]
    with pytest.raises(OutOfRangeError, match=rf"index {bad} \(number 1 of the indices\) .*expected 0 <= index < 3"):
        cuda.check()
    cuda.check()


# ---- take_rows, put_rows, check_indices ---------------------------------------------------------------------------------------

@ROW
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "uint8", "bool", "complex64", "int64"])
def test_rows_read_and_written(cuda, width, dtype):
    rng = generator(width, dtype)
    make = lambda rows: rng.integers(0, 100, (rows, width)).astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    for count, rows, kind in ((0, 3, np.int8), (1, 1, np.int64), (50, 7, np.int32), (300, 1000, np.int16)):
        table, v, indices = make(rows), make(count), rng.integers(-rows, rows, count).astype(kind)
        for run in (lambda *a, **o: take.cuda(cuda, *a, **o), take.cpu, lambda *a, **o: take.reference(np, *a, **o)):
            assert np.array_equal(run(table, indices, wrap=True), table[indices])
            assert run(table, indices.reshape(1, -1) % rows).shape == (1, count, width)
        expected = table.copy()
        expected[indices] = v   # NumPy: the last one stays
        for run in (lambda *a, **o: put.cuda(cuda, *a, **o), put.cpu, lambda *a, **o: put.reference(np, *a, **o)):
            assert np.array_equal(run(table, v, indices, wrap=True), expected)
        last = {row: k for k, row in enumerate(indices % rows)}
        assert winners(cuda, indices, rows=rows, wrap=True).tolist() == [last[row] == k for k, row in enumerate(indices % rows)]
    cuda.check()


def test_rows_of_what_is_misaligned_or_not_contiguous(cuda):
    rng = generator("layout")
    whole = rng.normal(size=(41, 16)).astype(np.float32)
    for table in (whole.reshape(-1)[1:641].reshape(40, 16), np.asfortranarray(whole), whole[:, ::2]):
        assert np.array_equal(take.cuda(cuda, table, np.array([3, -1, 3]), wrap=True), table[[3, -1, 3]])
        v = np.ones((2, table.shape[1]), np.float32)
        assert np.array_equal(put.cuda(cuda, table, v, np.array([0, 2])), put.cpu(table, v, np.array([0, 2])))


def test_every_order_of_threads_leaves_the_last_value(cuda):
    from cuda_on_cpu import thread_order
    rng = generator("last")
    x, v, indices = np.zeros((5, 40)), rng.normal(size=(2000, 40)), rng.integers(0, 5, 2000)
    for order in (0, -1):
        with thread_order(order):
            assert np.array_equal(put.cuda(cuda, x, v, indices), put.cpu(x, v, indices))


X = np.ones((5, 2))
FAULTS = {
    "take": (take, (X, np.array([1, -1])), {"what": "embedding"},
             r"embedding: index -1 is out of range for axis 0 of length 5 \(shape \(5, 2\)\); valid are 0 to 4"),
    "take wrapped": (take, (X, np.array([1, -6], np.int32)), {"wrap": True}, "index -6 is out of range .*; valid are -5 to 4"),
    "put": (put, (X, np.ones((2, 2)), np.array([5, 0])), {}, "put_rows: index 5 is out of range for axis 0 of length 5"),
    "check": (check, (np.array([[0, 9]], np.uint8),), {"low": 0, "high": 4, "what": "getitem", "axis": 1, "shape": (3, 4)},
              r"getitem: index 9 is out of range for axis 1 of length 4 \(shape \(3, 4\)\); valid are 0 to 3"),
    "check no axis": (check, (np.array([-1]),), {"low": 0, "high": 0}, "no index is valid in an axis of length 0"),
    "check large": (check, (np.array([2**64 - 1], np.uint64),), {"low": -4, "high": 4}, "is out of range"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_the_device_says_what_the_cpu_says(cuda, name):
    kernel, arrays, options, words = FAULTS[name]
    for run in (kernel.cpu, lambda *a, **o: kernel.reference(np, *a, **o)):
        with pytest.raises(OutOfRangeError, match=words):
            run(*arrays, **options)
    kernel.cuda(cuda, *arrays, **options)   # goes on
    with pytest.raises(OutOfRangeError, match=words):
        cuda.check()


@pytest.mark.parametrize("kind", ["int8", "uint8", "int32", "int64", "uint64"])
def test_indices_within_the_range_pass(cuda, kind):
    for run in (lambda *a, **o: check.cuda(cuda, *a, **o), check.cpu, lambda *a, **o: check.reference(np, *a, **o)):
        for indices in (np.arange(6, dtype=kind).reshape(2, 3)[:, ::2], np.zeros((0, 2), kind)):
            assert run(indices, low=-6, high=6) is indices
    cuda.check()


# ---- the operations that accumulate and assign -------------------------------------------------------------------------------

ARRAY, E, ALL = object(), Ellipsis, slice(None)


def keys() -> list[Any]:
    rng = np.random.default_rng(5)
    at = lambda n, *shape: rng.integers(-n, n, shape)
    return [
        ((7, 3, 4), (ARRAY, E), at(7, 20)),
        ((7, 3, 4), (ALL, ARRAY, E), at(3, 5, 4)),
        ((7, 3, 4), (E, ARRAY), at(4, 9)),
        ((7, 3, 4), (ARRAY, ARRAY, E), at(7, 20), at(3, 20)),
        ((7, 3, 4), (ARRAY, ALL, ARRAY, E), at(7, 20), at(4, 20)),
        ((7, 3, 4), (ARRAY, 1, E), at(7, 20)),
        ((7, 3, 4), (2, ARRAY, E), at(3, 6)),
        ((7, 3, 4), (ARRAY, slice(0, 2), E), at(7, 5)),
        ((7, 3, 4), (slice(1, 6, 2), ARRAY, E), at(3, 5)),
        ((7, 3, 4), (slice(None, None, -1), ARRAY, E), at(3, 5)),
        ((7, 3, 4), (None, ARRAY, E), at(7, 5)),
        ((7, 3, 4), (ARRAY, None, ARRAY, E), at(7, 5), at(3, 5)),
        ((7, 3, 4), (ARRAY, ARRAY, ARRAY, E), at(7, 5, 1), at(3, 6), at(4, 6)),
        ((500,), (ARRAY, E), at(9, 300)),
        ((5,), (ARRAY, E), np.array(2)),
        ((7, 3), (ARRAY, E), at(3, 0)),
        ((7, 3), (1, ARRAY, E), at(3, 2, 2)),
        ((7, 3), (ARRAY, ARRAY, E), rng.random(7) < 0.5, at(3, 1)),
        ((7, 3), (ARRAY, E), rng.random((7, 3)) < 0.5),
        ((7, 3), (ARRAY, E), rng.random(7) < 0.5),
        ((7, 3), (ARRAY, ARRAY, E), np.array(True), at(7, 4)),
        ((7, 3), (slice(1, 3), E)),
    ]


def named(case: Any) -> str:
    shape, spec, *indices = case
    given = iter(indices)
    return f"{shape} at " + ", ".join(str(next(given).shape if s is ARRAY else s) for s in spec)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int32", "complex64"])
@pytest.mark.parametrize("case", keys(), ids=named)
def test_operations_against_numpy(case, dtype):
    shape, spec, *indices = case
    rng = generator(shape, dtype)
    x, key = (10 * rng.normal(size=shape)).astype(dtype), _numpy_indexing.fill(spec, tuple(indices))
    v = (10 * rng.normal(size=x[key].shape)).astype(dtype)
    assigned = x.copy()
    _numpy_indexing.assign(assigned, key, v)
    with stand_in() as backend:
        table, up, down = _cuda_scatter.table(backend), backend.asarray, backend.to_numpy
        at = tuple(map(up, indices))
        assert np.array_equal(down(table["put"](up(x), up(v), *at, spec=spec)), assigned)
        whole = up(np.concatenate([x, x], axis=-1))
        part = whole[..., :shape[-1]]
        _cuda_scatter.write(backend, part, _numpy_indexing.fill(spec, at), up(v))
        assert np.array_equal(down(whole), np.concatenate([assigned, x], axis=-1))
        assigned[key] = 3
        assert np.array_equal(down(table["put"](up(x), 3, *at, spec=spec)), assigned)
        if not indices:
            return
        expected = np.zeros(shape, np.complex128 if x.dtype.kind == "c" else np.float64)
        np.add.at(expected, key, v.astype(expected.dtype))
        found = down(table["put_add"](up(v), *at, spec=spec, shape=shape))
        assert found.dtype == x.dtype
        tolerance = 1e-2 if dtype == "float16" else 1e-5
        np.testing.assert_allclose(found, expected.astype(x.dtype), rtol=tolerance, atol=10 * tolerance)
        if any(i.dtype.kind != "b" for i in indices):
            assert np.array_equal(down(table["winners"](up(v), *at, spec=spec, shape=shape)),
                                  _numpy_indexing._winners(v, *indices, spec=spec, shape=shape))


@pytest.mark.parametrize("replay", [lambda a: a[1:3, ::2], lambda a: a.T.reshape(-1)[3:9]], ids=["a view", "a copy"])
def test_a_write_through_a_view(replay):
    x = np.arange(20.0).reshape(4, 5)
    v = -np.ones(replay(x).shape)
    with stand_in() as backend:
        found = _cuda_scatter.table(backend)["write_view"](backend.asarray(x), backend.asarray(v), replay=replay)
        assert np.array_equal(backend.to_numpy(found), _numpy_indexing._write_view(x, v, replay=replay))


def test_operations_wait_for_nothing_and_report():
    from cuda_on_cpu.cupy._machine import machine
    with stand_in() as backend:
        table, up = _cuda_scatter.table(backend), backend.asarray
        x, v, at, far = up(np.zeros((7, 3))), up(np.ones((2, 3))), up(np.array([1, 1])), up(np.array([1, 9]))
        before = len(machine.syncs)
        table["put"](x, v, at, spec=(ARRAY, E))
        table["put_add"](v, at, spec=(ARRAY, E), shape=(7, 3))
        table["winners"](v, at, spec=(ARRAY, E), shape=(7, 3))
        table["embedding"](x, at)
        assert machine.syncs[before:] == []
        for run in (lambda: table["put"](x, v, far, spec=(ARRAY, E)), lambda: table["embedding"](x, far),
                    lambda: table["put_add"](v, far, spec=(ARRAY, E), shape=(7, 3))):
            out = run()
            with pytest.raises(OutOfRangeError, match=r"index 9 is out of range for axis 0 of length 7 \(shape \(7, 3\)\)"):
                backend.to_numpy(out)
