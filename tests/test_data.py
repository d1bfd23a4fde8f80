"""Data sets, loaders that can be taken up again anywhere, augmentation, and what is wrong with files."""
from __future__ import annotations

import gzip
import hashlib
import os
import pickle
import struct
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tensorlite as tl
from tensorlite.data import (
    DataLoader,
    Normalize,
    RandomCrop,
    RandomFlip,
    Subset,
    TensorDataset,
    _idx,
    images,
    mnist,
    random_split,
)
from tensorlite.errors import CheckpointError, DataError, DTypeError, OutOfRangeError, ShapeError
from tensorlite.random import Generator, key


class Squares:
    """A data set that gives one sample at a time."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> tuple[Any, int]:
        if not 0 <= index < self.n:
            raise IndexError(index)
        return np.full(2, float(index)), index * index


def numbers(loader: Any) -> list[int]:
    return [int(n) for x, *_ in loader for n in x.numpy().reshape(len(x), -1)[:, 0]]


# ---- data sets -----------------------------------------------------------------------------------------------------------

def test_tensor_dataset() -> None:
    data = TensorDataset(tl.arange(6).reshape((3, 2)), np.asarray([5, 6, 7]))
    assert len(data) == 3
    x, y = data[-1]
    assert x.tolist() == [4, 5] and y.item() == 7 and y.shape == ()
    assert [t.tolist() for t in data[1:]] == [[[2, 3], [4, 5]], [6, 7]]
    assert [t.tolist() for t in data.tensors] == [[[0, 1], [2, 3], [4, 5]], [5, 6, 7]]
    with pytest.raises(OutOfRangeError, match="sample 3 of a data set with 3 samples"):
        data[3]


def test_tensor_dataset_refuses_what_does_not_fit() -> None:
    with pytest.raises(DataError, match=r"tensor 1 has shape \(2,\), tensor 0 has \(3, 1\)"):
        TensorDataset(np.zeros((3, 1)), np.zeros(2))
    with pytest.raises(DataError, match="no tensors"):
        TensorDataset()


def test_subset_and_its_subset() -> None:
    data = TensorDataset(tl.arange(10) * 10)
    part = Subset(Subset(data, [9, 7, 5, 3]), [3, -3])
    assert [part[i][0].item() for i in range(2)] == [30, 70] and len(part) == 2
    assert part.take(np.asarray([1, 0]))[0].tolist() == [70, 30]
    assert pickle.loads(pickle.dumps(part))[1][0].item() == 70
    general = Subset(Squares(5), [4, 2])
    assert general[0][1] == 16 and not hasattr(general, "take")
    with pytest.raises(OutOfRangeError, match="indices go from 3 to 10, but the data set has 10 samples"):
        Subset(data, [3, 10])
    with pytest.raises(OutOfRangeError):
        part[2]


@pytest.mark.parametrize(("lengths", "expected"), [([7, 3], [7, 3]), ([0.8, 0.2], [8, 2]), ([0.5, 0.25, 0.25], [6, 2, 2]),
                                                   ([10], [10]), ([1.0], [10]), ([10, 0], [10, 0]), ([0.9, 0.1], [9, 1])])
def test_random_split(lengths: list[float], expected: list[int]) -> None:
    data = TensorDataset(tl.arange(10))
    parts = random_split(data, lengths, generator=Generator(1))
    assert [len(p) for p in parts] == expected
    assert sorted(int(i) for p in parts for i in p.indices) == list(range(10))
    again = random_split(data, lengths, generator=Generator(1))
    assert all((a.indices == b.indices).all() for a, b in zip(parts, again))


@pytest.mark.parametrize("lengths", [[5, 4], [0.5, 0.4], [11, -1], [2.5, 7.5]])
def test_random_split_refuses(lengths: list[float]) -> None:
    with pytest.raises(DataError, match="lengths that sum to 10"):
        random_split(TensorDataset(tl.arange(10)), lengths)


# ---- the loader ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("indices", "message"), [([True, False] * 5, r"type bool; .*np\.flatnonzero"), ([1.5], "type float64")])
def test_a_mask_is_not_taken_for_sample_numbers(indices: list[Any], message: str) -> None:
    with pytest.raises(DTypeError, match=message):
        Subset(TensorDataset(np.arange(10)), indices)
    assert len(Subset(TensorDataset(np.arange(10)), [])) == 0


def test_what_is_no_batch_is_said() -> None:
    ragged = [np.zeros(2), np.zeros(3)]
    with pytest.raises(ShapeError, match=r"collate: the samples of a batch have the shapes \(2,\), \(3,\); .*collate_fn"):
        list(DataLoader(ragged, 2))
    with pytest.raises(OutOfRangeError, match="the sampler's numbers go from 0 to 50, but the data set has 10"):
        list(DataLoader(TensorDataset(np.arange(10)), 2, sampler=[0, 50]))
    for bad in (0, 2.5, None):
        with pytest.raises(DataError, match="batch_size is"):
            DataLoader(TensorDataset(np.arange(10)), bad)   # type: ignore[arg-type]
    with pytest.raises(DataError, match="the data has the type <U1; expected numbers"):
        TensorDataset(["a", "b"])


def test_batches_in_order() -> None:
    data = TensorDataset(tl.arange(7), tl.arange(7) * 2)
    batches = [(x.tolist(), y.tolist()) for x, y in DataLoader(data, 3)]
    assert batches == [([0, 1, 2], [0, 2, 4]), ([3, 4, 5], [6, 8, 10]), ([6], [12])]
    loader = DataLoader(data, 3, drop_last=True, num_workers=4)
    assert len(loader) == 2 and numbers(loader) == list(range(6))
    assert len(DataLoader(data, 3)) == 3 and numbers(DataLoader(TensorDataset(np.zeros(0)), 3)) == []


def test_shuffling_visits_everything_once_in_a_new_order_each_epoch() -> None:
    loader = DataLoader(TensorDataset(tl.arange(100)), 16, shuffle=True, generator=Generator(0))
    first, second = numbers(loader), numbers(loader)
    assert sorted(first) == sorted(second) == list(range(100)) and first != second
    again = DataLoader(TensorDataset(tl.arange(100)), 16, shuffle=True, generator=Generator(0))
    assert numbers(again) == first and numbers(again) == second


def test_the_default_generator_decides_the_order_without_another() -> None:
    loader = DataLoader(TensorDataset(tl.arange(20)), 20, shuffle=True)
    tl.random.manual_seed(3)
    first = numbers(loader)
    tl.random.manual_seed(3)
    assert numbers(loader) == first


def test_a_sampler_decides_the_order() -> None:
    loader = DataLoader(TensorDataset(tl.arange(5)), 2, sampler=[4, 4, 0])
    assert numbers(loader) == [4, 4, 0] and len(loader) == 2
    with pytest.raises(DataError, match="sampler and shuffle"):
        DataLoader(TensorDataset(tl.arange(5)), sampler=[0], shuffle=True)


def test_general_data_sets_are_collated() -> None:
    (x, y), last = DataLoader(Squares(3), 2)
    assert x.shape == (2, 2) and y.tolist() == [0, 1] and len(last) == 2
    loader = DataLoader([{"a": 1.5, "b": "x"}, {"a": 2.5, "b": "y"}], 2)
    batch = next(iter(loader))
    assert batch["a"].tolist() == [1.5, 2.5] and batch["a"].dtype == tl.float32 and batch["b"] == ["x", "y"]
    assert list(DataLoader(Squares(3), 2, collate_fn=len)) == [2, 1]
    assert list(DataLoader(TensorDataset(tl.arange(3)), 2, collate_fn=len)) == [2, 1]


def test_the_loader_refuses() -> None:
    with pytest.raises(DataError, match="dataset is a int"):
        DataLoader(3)
    with pytest.raises(DataError, match="batch_size is 0"):
        DataLoader(Squares(3), 0)


def test_batches_do_not_share_memory_with_the_data() -> None:
    source = np.arange(4.0)
    (x,), = DataLoader(TensorDataset(source), 4)
    x.numpy()[0] = 9
    assert source[0] == 0


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("stop", [1, 5, 6, 7, 12, 13])
def test_a_loader_goes_on_where_another_one_was(shuffle: bool, own: bool, stop: int) -> None:
    def make(seed: int) -> DataLoader:
        return DataLoader(TensorDataset(np.arange(50.0)), 8, shuffle, generator=Generator(seed) if own else None,
                          transform=lambda x, k: x + tl.random.uniform(k, (len(x),)).numpy())

    def batches(loader: DataLoader, epochs: int) -> Iterator[list[float]]:
        while loader.epoch < epochs or loader._running:
            yield from (x.tolist() for x, in loader)

    tl.random.manual_seed(5)
    expected = list(batches(make(5), 3))
    tl.random.manual_seed(5)
    first, got = make(5), []
    for batch in batches(first, 3):
        got.append(batch)
        if len(got) == stop:
            state, default = first.state_dict(), tl.random.get_rng_state()
            break
    second = make(99)
    tl.random.manual_seed(99)
    tl.random.set_rng_state(default)
    second.load_state_dict(state)
    assert got + list(batches(second, 3)) == expected


def test_a_samplers_order_is_part_of_the_state() -> None:
    order = [3, 1, 2, 0]
    loader = DataLoader(TensorDataset(tl.arange(4)), 1, sampler=order)
    taken = iter(loader)
    next(taken)
    state = loader.state_dict()
    order.reverse()
    loader.load_state_dict(state)
    assert numbers(loader) == [1, 2, 0]


def test_the_state_of_other_data_is_refused() -> None:
    state = DataLoader(TensorDataset(tl.arange(4)), 2).state_dict()
    with pytest.raises(CheckpointError, match="among 4 samples in batches of 2; here are 5 samples in batches of 2"):
        DataLoader(TensorDataset(tl.arange(5)), 2).load_state_dict(state)


# ---- normalisation and augmentation --------------------------------------------------------------------------------------

def test_normalize() -> None:
    x = np.asarray([[0, 128, 255]], np.uint8)
    out = Normalize(0.5, 0.25, scale=1 / 255)(x)
    assert out.dtype == np.float32 and np.allclose(out, (x / 255 - 0.5) / 0.25, atol=1e-6)
    rgb = np.ones((2, 3, 4, 4), np.uint8)
    assert np.allclose(Normalize([0.0, 1.0, 2.0], [1.0, 2.0, 4.0])(rgb)[0, :, 0, 0], [1, 0, -0.25])
    floats = np.ones(2, np.float32)
    Normalize(1.0)(floats)
    assert floats.tolist() == [1, 1]
    with pytest.raises(ShapeError, match="holds a zero"):
        Normalize(0.0, 0.0)


def test_flips_and_crops_are_the_images_moved() -> None:
    batch = np.arange(8 * 2 * 5 * 5).reshape(8, 2, 5, 5).astype(np.uint8) + 1
    flipped = RandomFlip(0.5)(batch, key(0))
    kept = [(a == b).all() for a, b in zip(flipped, batch)]
    assert 0 < sum(kept) < 8 and all(k or (a == b[..., ::-1]).all() for a, b, k in zip(flipped, batch, kept))
    moved = RandomCrop(1)(batch, key(0))
    padded = np.pad(batch, ((0, 0), (0, 0), (1, 1), (1, 1)))
    places = [[(i, j) for i in range(3) for j in range(3) if (m == p[:, i:i + 5, j:j + 5]).all()] for m, p in zip(moved, padded)]
    assert all(places) and len({p[0] for p in places}) > 1 and moved.dtype == np.uint8
    with pytest.raises(ShapeError, match="expected \\(n, channels, height, width\\)"):
        RandomCrop()(batch[0], key(0))


def test_augmentation_comes_before_normalisation_and_differs_by_batch_and_epoch() -> None:
    data = TensorDataset(np.full((4, 1), 7, np.uint8), normalize=Normalize(scale=0.5))
    seen = []

    def note(x: Any, k: Any) -> Any:
        seen.append((x.dtype, k))
        return x + 1
    loader = DataLoader(data, 2, transform=[note, note])
    assert [x.numpy().tolist() for x, in loader] == [[[4.5], [4.5]]] * 2
    list(loader)
    assert {d for d, _ in seen} == {np.dtype("uint8")} and len({k for _, k in seen}) == 8
    (x, y), = DataLoader(Squares(2), 2, transform=lambda x, k: x * 2)
    assert x.tolist() == [[0, 0], [2, 2]] and y.tolist() == [0, 1]


# ---- digits --------------------------------------------------------------------------------------------------------------

def test_digits() -> None:
    train, test = tl.data.digits(), tl.data.digits(train=False, flat=True)
    assert (len(train), len(test)) == (1438, 359) and train.sample_shape == (1, 8, 8) and test.sample_shape == (64,)
    x, y = train[:]
    assert x.dtype == np.float32 and abs(float(x.numpy().mean())) < 0.01 and abs(float(x.numpy().std()) - 1) < 0.01
    assert sorted(set(y.tolist())) == list(range(10)) and y.dtype == tl.int64
    assert all(34 <= n <= 38 for n in np.bincount(test.arrays[1]))


def test_digits_are_scikit_learns() -> None:
    datasets = pytest.importorskip("sklearn.datasets", reason="the comparison needs scikit-learn")
    theirs = datasets.load_digits()
    is_test = np.isin(np.arange(1797), np.argsort(theirs.target, kind="stable")[4::5])
    for train in (True, False):
        mine = tl.data.digits(train)
        assert np.array_equal(mine.arrays[0][:, 0], theirs.images[is_test != train])
        assert np.array_equal(mine.arrays[1], theirs.target[is_test != train])


def test_unknown_names() -> None:
    with pytest.raises(DataError, match="'letters' is unknown; there are digits, mnist"):
        tl.data.load("letters")


# ---- MNIST's files: a tiny one in its place ------------------------------------------------------------------------------

def idx(array: Any) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with 20 + 10 images as MNIST's files, of which two are gzipped, and nothing else to be found anywhere."""
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    table = {}
    for train, name, n in ((True, "train", 20), (False, "t10k", 10)):
        files = []
        contents = {"images-idx3": np.full((n, 28, 28), 7, np.uint8), "labels-idx1": np.arange(n, dtype=np.uint8) % 10}
        for kind, array in contents.items():
            data = idx(array)
            stem = f"{name}-{kind}-ubyte"
            files.append((stem, hashlib.md5(data, usedforsecurity=False).hexdigest()))
            if train:
                (folder / f"{stem}.gz").write_bytes(gzip.compress(data))
            else:
                (folder / stem).write_bytes(data)
        table[train] = (n, *files)
    monkeypatch.setattr(images, "_MNIST", table)
    monkeypatch.delenv("TENSORLITE_DATA", raising=False)
    monkeypatch.setenv("TENSORLITE_CACHE", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def server(tiny: Path) -> Iterator[str]:
    """A mirror on this machine, with every file gzipped."""
    served = tiny.parent / "served"
    served.mkdir()
    for path in tiny.iterdir():
        data = path.read_bytes()
        (served / f"{path.name.removesuffix('.gz')}.gz").write_bytes(data if path.suffix else gzip.compress(data))

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(served)))
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_address[1]}"
    httpd.shutdown()
    httpd.server_close()
    thread.join()


@pytest.mark.parametrize("sub", ["", "mnist"])
def test_mnist_from_the_folder_named(tiny: Path, monkeypatch: pytest.MonkeyPatch, sub: str) -> None:
    monkeypatch.setenv("TENSORLITE_DATA", str(tiny if not sub else tiny.parent))
    train, test = mnist(), mnist(train=False, flat=True)
    assert (len(train), len(test)) == (20, 10) and train.sample_shape == (1, 28, 28) and test.sample_shape == (784,)
    assert mnist(folder=tiny)[3][1].item() == 3


def test_mnist_is_downloaded_into_the_cache_once(server: str, tmp_path: Path) -> None:
    assert len(mnist(mirrors=["http://127.0.0.1:9/nothing", server])) == 20
    names = sorted(p.name for p in (tmp_path / "cache" / "mnist").iterdir())
    assert names == ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"]
    assert len(mnist(mirrors=[])) == 20


def test_a_download_that_is_not_what_it_should_be_is_not_kept(server: str, tiny: Path, tmp_path: Path) -> None:
    path = tiny.parent / "served" / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(b"something else"))
    with pytest.raises(DataError, match=r"download failed too: .*images-idx3-ubyte\.gz: expected contents with md5 .* found"):
        mnist(mirrors=[server])
    path.write_bytes(b"\x1f\x8b\x08 cut off")
    with pytest.raises(DataError, match="truncated or corrupt"):
        mnist(mirrors=[server])
    path.unlink()
    with pytest.raises(DataError, match=r"(?i)not found"):
        mnist(mirrors=[server])
    assert not (tmp_path / "cache").exists()


def test_offline_the_error_says_what_to_put_where(tiny: Path) -> None:
    with pytest.raises(DataError, match=r"images-idx3-ubyte\.gz is not in .*cache.*put the four files.*TENSORLITE_DATA.*refused"):
        mnist(mirrors=["http://127.0.0.1:9"])
    with pytest.raises(DataError, match=r"is not in .*put the four files.*TENSORLITE_DATA$"):
        mnist(download=False)


def broken(data: bytes) -> dict[str, tuple[bytes, str]]:
    return {
        "truncated": (data[:-5], "expected 20 bytes of data for the shape \\(20,\\), found 15"),
        "too long": (data + b"x", "expected 20 bytes of data for the shape \\(20,\\), found 21"),
        "empty": (b"", "found nothing and 0 bytes"),
        "magic": (b"\0\0\x08\x03" + data[4:], "its first bytes 00000801.*found 00000803"),
        "count": (idx(np.zeros(19, np.uint8)), "expected the shape \\(20,\\), found \\(19,\\)"),
        "labels": (idx(np.full(20, 11, np.uint8)), "expected labels from 0 to 9, found 11"),
        "gzip cut off": (gzip.compress(data)[:-9], "expected a whole gzip file, found .* bytes that do not unpack"),
        "gzip checksum": (gzip.compress(data)[:-8] + bytes(8), "truncated or corrupt"),
    }


@pytest.mark.parametrize("what", list(broken(b"12345678")))
def test_a_broken_file_is_named(tiny: Path, what: str) -> None:
    path = tiny / "train-labels-idx1-ubyte.gz"
    content, message = broken(gzip.decompress(path.read_bytes()))[what]
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"train-labels-idx1-ubyte.gz: .*{message}"):
        mnist(folder=tiny)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        _idx.read_idx(tmp_path, (None,))


def test_the_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENSORLITE_CACHE", "/a")
    assert _idx.cache_folder() == Path("/a")
    monkeypatch.delenv("TENSORLITE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    assert _idx.cache_folder() == Path("/b/tensorlite")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert _idx.cache_folder() == Path.home() / ".cache" / "tensorlite"


@pytest.mark.skipif("TENSORLITE_DATA" not in os.environ, reason="needs MNIST in the folder that TENSORLITE_DATA names")
def test_the_checksums_that_downloads_are_compared_with_are_those_of_the_real_mnist() -> None:
    places = _idx.folders("mnist")
    for _, *files in images._MNIST.values():
        for stem, md5 in files:
            path = _idx.find(places, stem)
            assert path is not None and hashlib.md5(_idx.unpacked(path.read_bytes(), path)).hexdigest() == md5, stem


@pytest.mark.skipif("TENSORLITE_DATA" not in os.environ, reason="needs MNIST in the folder that TENSORLITE_DATA names")
def test_the_real_mnist() -> None:
    train, test = mnist(download=False), mnist(train=False, download=False)
    assert (len(train), len(test)) == (60_000, 10_000)
    assert np.bincount(train.arrays[1])[0] == 5923 and np.bincount(test.arrays[1])[0] == 980
    x, _ = test[:]
    assert abs(float(x.numpy().mean())) < 0.02 and abs(float(x.numpy().std()) - 1) < 0.02
