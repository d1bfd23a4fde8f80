"""Philox on CUDA, its sources run on the CPU: the reference's numbers bit for bit, whatever the kind, the size and the place."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_philox import DRAWS, KNOWN

from tensorlite.kernels import philox
from tensorlite.kernels.philox.cuda import wrapped
from tensorlite.kernels.philox.reference import reference

PLACES = [
    {"seed": 0},
    {"seed": (1 << 64) - 5, "stream": 0xFEDCBA9876543210, "offset": (1 << 32) - 20},
    {"seed": (1 << 63) + 1, "stream": 3, "offset": (1 << 63) - 100},
]


@pytest.mark.parametrize("draw", DRAWS, ids=lambda d: "-".join(str(v) for v in d.values()))
@pytest.mark.parametrize("place", PLACES, ids=["origin", "across 2^32", "far"])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 15, 16, 17, 64, 10_007])
def test_is_the_reference_bit_for_bit(cuda: Any, draw: dict[str, Any], place: dict[str, int], n: int) -> None:
    ours, expected = philox.kernel.cuda(cuda, shape=(n,), **place, **draw), reference(np, shape=(n,), **place, **draw)
    assert ours.dtype == expected.dtype
    assert ours.tobytes() == expected.tobytes()


@pytest.mark.parametrize("counter, key, expected", KNOWN)
def test_known_answers(cuda: Any, counter: tuple[int, ...], key: tuple[int, ...], expected: tuple[int, ...]) -> None:
    words = philox.kernel.cuda(cuda, kind="bits", dtype="uint32", shape=(2, 2), seed=key[0] | key[1] << 32,
                               offset=counter[0] | counter[1] << 32, stream=counter[2] | counter[3] << 32)
    assert tuple(words.ravel().tolist()) == expected


@pytest.mark.parametrize("kind", ["uniform", "normal"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_million_numbers_agree(cuda: Any, kind: str, dtype: str) -> None:
    """Enough for every quadrant and thousands of small radii; the CPU version is the reference's equal (test_philox)."""
    options = {"kind": kind, "dtype": dtype, "shape": (1 << 20,), "seed": 5, "offset": 77}
    assert philox.kernel.cuda(cuda, **options).tobytes() == reference(np, **options).tobytes()


def test_what_no_kernel_takes_is_left_to_the_reference(cuda: Any) -> None:
    with pytest.raises(ValueError, match="kind is 'nonsense', expected bits"):
        philox.kernel.cuda(cuda, kind="nonsense", dtype="float32", shape=(3,), seed=0)


def test_words_of_64_bits_arrive_as_signed_numbers() -> None:
    assert [wrapped(w) for w in (0, 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 64, -1)] == [
        0, 1, (1 << 63) - 1, -(1 << 63), -1, 0, -1]
