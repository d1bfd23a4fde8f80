"""Image data: CIFAR's files, folders of images, augmentation on every device, batches made ahead."""
from __future__ import annotations

import io
import os
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from hashlib import md5
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cuda_device import stand_in

import tensorlite as tl
from tensorlite.data import (
    ColorJitter,
    Cutout,
    DataLoader,
    ImageFolder,
    Normalize,
    RandomCrop,
    RandomFlip,
    Subset,
    TensorDataset,
    _cifar,
    cifar10,
    cifar100,
    load,
)
from tensorlite.data.transforms import moves_of
from tensorlite.errors import DataError, DTypeError, OutOfRangeError, ShapeError, TensorliteError
from tensorlite.random import fold_in, key

# ---- CIFAR's files: tiny ones in their place -------------------------------------------------------------------------------

COUNT = 20   # records in a file


def records(labels: int, seed: int) -> Any:
    """COUNT records, whose pixels are random and whose labels are 0, 1, ..."""
    out = np.random.default_rng(seed).integers(0, 256, (COUNT, labels + 3072)).astype(np.uint8)
    out[:, :labels] = np.arange(COUNT)[:, None] % 10
    return out


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with both data sets, all files of COUNT images, and nothing else to be found anywhere."""
    for version in ("cifar10", "cifar100"):
        known = _cifar.VERSIONS[version]
        folder = tmp_path / "data" / known.folder
        folder.mkdir(parents=True)
        for k, name in enumerate((*known.train, *known.test)):
            (folder / name).write_bytes(records(len(known.labels), k).tobytes())
        for name, classes in zip(known.names, known.labels):
            (folder / name).write_text("".join(f"kind {k}\n" for k in range(classes)) + "\n")
        monkeypatch.setitem(_cifar.VERSIONS, version, known._replace(records=(COUNT, COUNT)))
    monkeypatch.setenv("TENSORLITE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("TENSORLITE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "data"


def test_cifar10_is_planes_of_red_green_and_blue(tiny: Path) -> None:
    train, test = cifar10(), cifar10(train=False)
    assert (len(train), len(test)) == (5 * COUNT, COUNT) and train.sample_shape == (3, 32, 32) and train.classes == 10
    assert train.names[3] == "kind 3"
    for k in range(5):
        expected = records(1, k)
        assert np.array_equal(train.arrays[0][k * COUNT:(k + 1) * COUNT], expected[:, 1:].reshape(-1, 3, 32, 32))
        assert np.array_equal(train.arrays[1][k * COUNT:(k + 1) * COUNT], expected[:, 0])
    x, y = next(iter(DataLoader(test, 4)))
    pixels = records(1, 5)[:4, 1:].reshape(4, 3, 32, 32) / 255
    expected = (pixels - np.array([0.4914, 0.4822, 0.4465])[:, None, None]) / np.array([0.247, 0.2435, 0.2616])[:, None, None]
    np.testing.assert_allclose(x.numpy(), expected, atol=1e-5)
    assert y.tolist() == [0, 1, 2, 3] and x.dtype == tl.float32
    flat, _ = next(iter(DataLoader(cifar10(train=False, flat=True), 4)))
    assert np.array_equal(flat.numpy(), x.numpy().reshape(4, -1))


def test_cifar100_has_two_kinds_of_labels(tiny: Path) -> None:
    fine, coarse = cifar100(train=False), cifar100(train=False, coarse=True)
    assert (fine.classes, coarse.classes, len(fine.names), len(coarse.names)) == (100, 20, 100, 20)
    data = records(2, 1)
    data[:, 1] = np.arange(COUNT) + 80
    (tiny / "cifar-100-binary" / "test.bin").write_bytes(data.tobytes())
    assert cifar100(train=False).arrays[1].tolist() == list(range(80, 100)) and len(cifar100()) == COUNT
    assert np.array_equal(fine.arrays[0], data[:, 2:].reshape(-1, 3, 32, 32))
    assert len(load("cifar100", train=False)) == COUNT


def test_names_may_be_missing(tiny: Path) -> None:
    (tiny / "cifar-10-batches-bin" / "batches.meta.txt").unlink()
    (tiny / "cifar-100-binary" / "fine_label_names.txt").write_text("one\n")
    assert cifar10(train=False).names[:3] == ("airplane", "automobile", "bird") and cifar100(train=False).names[-1] == "99"


@pytest.mark.parametrize(("change", "message"), [
    (lambda data: data[:-5],
     r"data_batch_3\.bin: expected 61460 bytes \(20 images of 1 \+ 3072\), found 61455; it is truncated"),
    (lambda data: b"", "found 0;"), (lambda data: data + data, "found 122920"),
    (lambda data: data[:2 * 3073] + b"\x0b" + data[2 * 3073 + 1:],
     r"data_batch_3\.bin: expected labels from 0 to 9, found 11 in image 2"),
])
def test_a_broken_file_is_named(tiny: Path, change: Any, message: str) -> None:
    path = tiny / "cifar-10-batches-bin" / "data_batch_3.bin"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=message):
        cifar10()
    assert len(cifar10(train=False)) == COUNT


def test_the_error_says_what_to_put_where(tiny: Path) -> None:
    (tiny / "cifar-10-batches-bin" / "data_batch_5.bin").unlink()
    with pytest.raises(DataError, match=r"CIFAR-10: data_batch_1.bin, .* are not together in .*unpack cifar-10-binary.tar"):
        cifar10(download=False)
    with pytest.raises(DataError, match=r"the download failed too: .*9/cifar-10-binary.tar.gz"):
        cifar10(mirrors=["http://127.0.0.1:9"])


@pytest.fixture
def mirror(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server on this machine with both archives; the files themselves are gone."""
    served = tiny.parent / "served"
    served.mkdir()
    for name in ("cifar10", "cifar100"):
        version = _cifar.VERSIONS[name]
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            archive.add(tiny / version.folder, version.folder)
        (served / version.archive).write_bytes(packed.getvalue())
        monkeypatch.setitem(_cifar.VERSIONS, name, version._replace(md5=md5(packed.getvalue()).hexdigest()))
    monkeypatch.setenv("TENSORLITE_DATA", str(tiny.parent / "nothing"))

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


def test_archives_are_downloaded_into_the_cache_once(mirror: str, tmp_path: Path) -> None:
    assert len(cifar10(mirrors=["http://127.0.0.1:9", mirror])) == 5 * COUNT and len(cifar100(mirrors=[mirror])) == COUNT
    names = sorted(p.name for p in (tmp_path / "cache" / "cifar10" / "cifar-10-batches-bin").iterdir())
    assert names == ["batches.meta.txt", *(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"]
    assert len(cifar10(train=False, mirrors=[])) == COUNT


def test_a_download_that_is_not_what_it_should_be_is_not_kept(mirror: str, tmp_path: Path,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "served" / "cifar-10-binary.tar.gz").write_bytes(b"something else")
    with pytest.raises(DataError, match=r"expected cifar-10-binary.tar.gz with md5 .*, found .* in 14 bytes"):
        cifar10(mirrors=[mirror])
    known = _cifar.VERSIONS["cifar10"]
    monkeypatch.setitem(_cifar.VERSIONS, "cifar10", known._replace(md5=md5(b"something else").hexdigest()))
    with pytest.raises(DataError, match=r"cifar-10-binary.tar.gz: cannot be unpacked"):
        cifar10(mirrors=[mirror])
    assert not (tmp_path / "cache").exists()


def test_the_real_cifar10() -> None:
    if "TENSORLITE_DATA" not in os.environ:
        pytest.skip("needs CIFAR-10's binary version in the folder that TENSORLITE_DATA names")
    try:
        train, test = cifar10(download=False), cifar10(train=False, download=False)
    except DataError as error:
        pytest.skip(str(error))
    assert np.bincount(train.arrays[1]).tolist() == [5000] * 10 and np.bincount(test.arrays[1]).tolist() == [1000] * 10
    x, _ = test[:2000]
    assert abs(float(x.numpy().mean())) < 0.05 and abs(float(x.numpy().std()) - 1) < 0.05


# ---- folders of images ---------------------------------------------------------------------------------------------------

@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of three images each, one grey and one with transparency, and files that are none."""
    pil = pytest.importorskip("PIL.Image", reason='needs Pillow: pip install "tensorlite[images]"')
    root, rng = tmp_path / "photos", np.random.default_rng(0)
    for name in ("dogs", "cats"):
        (root / name / "more").mkdir(parents=True)
        pil.fromarray(rng.integers(0, 256, (30, 40, 3)).astype(np.uint8)).save(root / name / "b.png")
        pil.fromarray(rng.integers(0, 256, (24, 16)).astype(np.uint8)).save(root / name / "more" / "a.PNG")
        pil.fromarray(np.full((60, 60, 4), 200, np.uint8)).save(root / name / "c.webp", lossless=True)
    (root / "readme.txt").write_text("hello")
    (root / "cats" / "notes.txt").write_text("hello")
    return root


def test_classes_are_folders(folder: Path) -> None:
    data = ImageFolder(folder, 16)
    assert data.names == ("cats", "dogs") and data.labels.tolist() == [0, 0, 0, 1, 1, 1] and len(data) == 6
    assert [p.name for p in data.paths] == ["b.png", "c.webp", "a.PNG"] * 2 and data.sample_shape == (3, 16, 16)
    x, y = data[-2]
    assert x.shape == (3, 16, 16) and x.dtype == tl.float32 and y.item() == 1
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(x.numpy()[:, 8, 8], (200 / 255 - mean) / std, atol=1e-5)
    batch, labels = next(iter(DataLoader(data, 4, transform=RandomFlip())))
    assert batch.shape == (4, 3, 16, 16) and labels.tolist() == [0, 0, 0, 1]
    with pytest.raises(OutOfRangeError, match="sample 6 of a data set with 6"):
        data[6]


def test_images_cover_the_size_and_their_middle_is_kept(folder: Path) -> None:
    from PIL import Image
    path = folder / "cats" / "b.png"
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, 10:30] = (255, 128, 0)
    Image.fromarray(pixels).save(path)
    found = ImageFolder(folder, 20, normalize=lambda x: x).take(np.array([0]))[0][0]
    assert np.array_equal(found, pixels[:, 10:30].transpose(2, 0, 1))
    small = ImageFolder(folder, (10, 20), grey=True, normalize=lambda x: x).take(np.array([0]))[0][0]
    assert small.shape == (1, 10, 20) and small[0, 5, 10] > 100 and small[0, 5, 0] < 50
    turned = Image.fromarray(pixels)
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(folder / "cats" / "b.jpg", exif=exif, quality=100)
    data = ImageFolder(folder, (40, 20), normalize=lambda x: x)
    found = data.take(np.array([0]))[0][0]
    assert data.paths[0].name == "b.jpg" and found[0, 20, 10] > 240 and found[0, 4].max() < 20 and found[0, 35].max() < 20


def test_loaded_once_and_mapped_from_a_file(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = ImageFolder(folder, 16)
    expected, labels = data.take(np.arange(6))
    memory, mapped = data.load(), data.load(tmp_path / "cache" / "photos.npy", workers=2)
    for found in (memory, mapped):
        assert np.array_equal(found.arrays[0], expected) and np.array_equal(found.arrays[1], labels) and found.names == data.names
        assert np.array_equal(found[2][0].numpy(), data[2][0].numpy())
    assert isinstance(mapped.arrays[0].base, np.memmap) and memory.arrays[0].base is None
    monkeypatch.setattr(ImageFolder, "read", lambda self, path: pytest.fail("read again"))
    assert np.array_equal(data.load(tmp_path / "cache" / "photos.npy").arrays[0], expected)
    monkeypatch.undo()
    (folder / "dogs" / "c.webp").unlink()
    assert len(ImageFolder(folder, 16).load(tmp_path / "cache" / "photos.npy")) == 5
    assert sorted(p.name for p in (tmp_path / "cache").iterdir()) == ["photos.json", "photos.npy"]


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n and then nothing", "half"])
def test_a_corrupt_image_is_named(folder: Path, content: Any, tmp_path: Path) -> None:
    path = folder / "dogs" / "b.png"
    path.write_bytes(path.read_bytes()[:900] if content == "half" else content)
    for run in (lambda: ImageFolder(folder, 8)[3], lambda: ImageFolder(folder, 8).load(tmp_path / "x.npy"),
                lambda: list(DataLoader(ImageFolder(folder, 8), 2, num_workers=2))):
        with pytest.raises(DataError, match=r"dogs/b\.png: not an image that can be read .*; it is truncated or corrupt"):
            run()
    assert not list(tmp_path.glob("*x*"))


def test_what_is_no_folder_of_classes(folder: Path, tmp_path: Path) -> None:
    for root, message in ((tmp_path / "none", "is not a folder"),
                          (folder / "cats" / "more", "has no images .* expected root/class/image")):
        with pytest.raises(DataError, match=message):
            ImageFolder(root, 8)
    (folder / "birds").mkdir()
    with pytest.raises(DataError, match=r"there are no images in .*birds; remove what is empty"):
        ImageFolder(folder, 8)
    with pytest.raises(DataError, match="size is 0"):
        ImageFolder(folder, 0)


def test_pillow_is_asked_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(TensorliteError, match=r'reading images needs Pillow .*pip install "tensorlite\[images\]"'):
        ImageFolder(folder, 8)


# ---- augmentation --------------------------------------------------------------------------------------------------------

rng = np.random.default_rng(7)
IMAGES = rng.integers(1, 256, (50, 3, 12, 10)).astype(np.uint8)
NORMALIZE = Normalize((0.1, 0.2, 0.3), (0.5, 0.6, 0.7), scale=1 / 255)
PIPELINES: dict[str, list[Any]] = {
    "crop": [RandomCrop(3)], "flip": [RandomFlip()], "cutout": [Cutout(5, fill=(1, 2, 3))],
    "crop flip": [RandomCrop(2), RandomFlip()],
    "flip crop": [RandomFlip(0.4), RandomCrop(2, fill=9)], "all": [RandomFlip(), RandomCrop(4), Cutout(6, p=0.7)],
    "smaller": [RandomFlip(), RandomCrop(0, size=(7, 6)), Cutout(3)], "larger": [RandomCrop(4, size=16), RandomFlip()],
}
COMPOSED: dict[str, list[Any]] = {
    "jitter": [ColorJitter(0.4, 0.4, 0.4)], "cutout first": [Cutout(4), RandomFlip()], "twice": [RandomCrop(1), RandomCrop(1)],
    "two fills": [RandomCrop(2, fill=1), Cutout(4, fill=2)], "own": [RandomFlip(), lambda x, k: x[..., ::2]],
}


def sequence(transforms: list[Any], images: Any, keys: list[Any]) -> Any:
    for transform, k in zip(transforms, keys):
        images = transform(images, k)
    return images


@pytest.mark.parametrize("name", [*PIPELINES, *COMPOSED])
def test_one_pass_gives_what_one_after_the_other_does(name: str) -> None:
    transforms = (PIPELINES | COMPOSED)[name]
    keys = [fold_in(key(3), k) for k in range(len(transforms))]
    indices = np.array([4, 9, -1, 4, 30] * 3)
    data = TensorDataset(IMAGES, np.arange(50), normalize=NORMALIZE)
    expected = NORMALIZE(sequence(transforms, IMAGES[indices], keys))
    fused = data.augmented(indices, transforms, keys)
    assert (fused is None) == (name in COMPOSED)
    if fused is not None:
        assert fused[0].dtype == np.float32 and np.array_equal(fused[0], expected) and np.array_equal(fused[1], indices % 50)
    loader = DataLoader(data, 15, transform=transforms, generator=tl.Generator(3), sampler=indices)
    root = fold_in(fold_in(key(3), 1), 0)
    keys = [fold_in(root, k) for k in range(len(transforms))]
    assert np.array_equal(next(iter(loader))[0].numpy(), NORMALIZE(sequence(transforms, IMAGES[indices], keys)))


@pytest.mark.parametrize("name", [*PIPELINES, *COMPOSED])
def test_the_gpu_gives_the_cpus_images(name: str) -> None:
    transforms = (PIPELINES | COMPOSED)[name]
    data = TensorDataset(IMAGES, np.arange(50), normalize=NORMALIZE)
    with stand_in():
        def batches(device: str) -> list[Any]:
            loader = DataLoader(data.to(device), 16, shuffle=True, transform=transforms, generator=tl.Generator(1), num_workers=2)
            return [(str(x.device), x.cpu().numpy(), y.cpu().numpy()) for x, y in loader]
        for (where, x, y), (_, expected, labels) in zip(batches("cuda"), batches("cpu"), strict=True):
            assert where == "cuda:0" and np.array_equal(x, expected) and np.array_equal(y, labels)


def test_the_host_does_not_wait_for_augmentation_on_the_gpu() -> None:
    from cuda_on_cpu.cupy._machine import machine
    with stand_in():
        loader = DataLoader(TensorDataset(IMAGES, normalize=NORMALIZE).to("cuda"), 16, shuffle=True, transform=PIPELINES["all"])
        passing = iter(loader)
        next(passing)
        before = len(machine.syncs)
        assert len(list(passing)) == 3 and machine.syncs[before:] == []


def test_crops_are_windows_and_all_of_them_come() -> None:
    images = np.tile(np.arange(1, 10, dtype=np.uint8).reshape(1, 1, 3, 3), (400, 1, 1, 1))
    padded = np.pad(images[0, 0], 1)
    windows = {padded[i:i + 3, j:j + 3].tobytes() for i in range(3) for j in range(3)}
    assert {x.tobytes() for x in RandomCrop(1)(images, key(0))} == windows
    inner = {images[0, 0, i:i + 2, j:j + 2].tobytes() for i in range(2) for j in range(2)}
    assert {x.tobytes() for x in RandomCrop(0, size=2)(images, key(0))} == inner
    with pytest.raises(ShapeError, match=r"windows of \(6, 6\) do not fit images of \(3, 3\) with a padding of 1; choose"):
        RandomCrop(1, size=6)(images, key(0))
    for bad in ({"padding": -1}, {"size": 0}):
        with pytest.raises(DataError, match="expected a padding of 0 or more"):
            RandomCrop(**bad)


def test_cutouts_are_squares_around_every_pixel() -> None:
    images = np.full((2000, 1, 6, 5), 9, np.uint8)
    holes = Cutout(3)(images, key(1)) == 0
    expected = set()
    for y in range(6):
        for x in range(5):
            hole = np.zeros((6, 5), bool)
            hole[max(y - 1, 0):y + 2, max(x - 1, 0):x + 2] = True
            expected.add(hole.tobytes())
    assert {h.tobytes() for h in holes} == expected
    some = (Cutout(3, p=0.25, fill=4)(images, key(2)) == 4).any(axis=(1, 2, 3))
    assert 0.2 < some.mean() < 0.3 and not (Cutout(3, p=0.0)(images, key(2)) != 9).any()
    with pytest.raises(DataError, match="Cutout: size is 0"):
        Cutout(0)
    with pytest.raises(ShapeError, match=r"Cutout: images have shape \(5,\)"):
        Cutout(2)(np.ones(5, np.uint8), key(0))


def test_jitter_is_its_formula() -> None:
    jitter, k = ColorJitter(0.5, 0.4, 0.3), key(5)
    b, c, s = (np.asarray(tl.random.uniform(one, (50,), minval=1 - v, maxval=1 + v).numpy(), np.float64).reshape(-1, 1, 1, 1)
               for one, v in zip(tl.random.split(k, 3), (0.5, 0.4, 0.3)))
    grey = lambda x: (x * np.array([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdims=True)
    y = c * b * IMAGES + (1 - c) * b * grey(IMAGES).mean((2, 3), keepdims=True)
    expected = np.clip(s * y + (1 - s) * grey(y), 0, 255)
    found = jitter(IMAGES, k)
    assert found.dtype == np.uint8 and np.abs(found - expected).max() < 0.51 and (found != IMAGES).mean() > 0.5
    assert np.array_equal(ColorJitter()(IMAGES, k), IMAGES)
    with pytest.raises(DTypeError, match="expected uint8 of \\(n, 3, height, width\\)"):
        jitter(IMAGES.astype(np.float32), k)
    with pytest.raises(DataError, match="expected numbers of 0 or more"):
        ColorJitter(-1)


def test_a_subclass_is_not_taken_for_its_parent() -> None:
    class Never(RandomFlip):
        def __call__(self, images: Any, key: Any) -> Any:
            return images

    class Corner(RandomCrop):
        def draw(self, key: Any, shape: Any, device: str) -> Any:
            return np.full(shape[0], 1), np.full(shape[0], 2)
    assert moves_of([Never(1.0)], [key(0)], IMAGES.shape, "cpu") is None
    assert np.array_equal(Corner(0)(IMAGES, key(0))[:, :, :-1, :-2], IMAGES[:, :, 1:, 2:])
    assert repr(PIPELINES["all"]) == ("[RandomFlip(p=0.5), RandomCrop(padding=4, size=None, fill=0), Cutout(6, p=0.7, fill=0)]")


def test_a_resumed_loader_augments_alike() -> None:
    def loader() -> DataLoader:
        return DataLoader(TensorDataset(IMAGES, normalize=NORMALIZE), 8, True, transform=PIPELINES["all"],
                          generator=tl.Generator(2), num_workers=1)
    first, seen, state = loader(), [], {}
    for number, (x,) in enumerate(first):
        if number == 2:
            state = first.state_dict()
        seen.append(x.numpy())
    again = loader()
    again.load_state_dict(state)
    assert all(np.array_equal(x.numpy(), expected) for (x,), expected in zip(again, seen[3:], strict=True))


# ---- batches made ahead --------------------------------------------------------------------------------------------------

class Slow:
    """Samples that take different times, made by whoever asks; number ``bad`` cannot be made."""

    def __init__(self, n: int, bad: int | None = None) -> None:
        self.n, self.bad, self.asked, self.threads = n, bad, [], set()

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> int:
        self.asked.append(index)
        self.threads.add(threading.current_thread().name)
        if index == self.bad:
            raise ValueError(f"sample {index}")
        time.sleep(0.002 * (index % 3))
        return index


def workers() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("tensorlite-loader")]


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_batches_come_in_order_whoever_makes_them(threads: int) -> None:
    data = Slow(20)
    loader = DataLoader(data, 3, num_workers=threads, transform=lambda x, k: x + tl.random.uniform(k, (len(x),)).numpy())
    tl.random.manual_seed(1)
    found = [x.tolist() if hasattr(x, "tolist") else x for x in DataLoader(data, 3, num_workers=threads)]
    assert found == [list(range(k, min(k + 3, 20))) for k in range(0, 20, 3)] and sorted(set(data.asked)) == list(range(20))
    assert len(loader) == 7 and workers() == []
    assert data.threads == {"MainThread"} if not threads else all("tensorlite-loader" in t for t in data.threads)


def test_no_more_is_made_ahead_than_was_asked_for() -> None:
    data = Slow(100)
    passing = iter(DataLoader(data, 1, num_workers=2, prefetch_factor=3))
    next(passing)
    time.sleep(0.1)
    assert max(data.asked) == 6 and len(workers()) == 2
    passing.close()   # type: ignore[attr-defined]
    assert workers() == [] and max(data.asked) == 6


def test_an_exception_comes_where_its_batch_would_have_come() -> None:
    data, seen = Slow(20, bad=7), []
    with pytest.raises(ValueError, match="sample 7"):
        seen.extend(batch.tolist() for batch in DataLoader(data, 2, num_workers=2))
    assert seen == [[0, 1], [2, 3], [4, 5]] and workers() == []


def test_leaving_the_loop_ends_the_threads() -> None:
    loader = DataLoader(Slow(50), 2, num_workers=2)
    for batch in loader:
        if 4 in batch.tolist():
            break
    assert loader.position == 3
    del batch
    for _ in range(100):   # the iterator is gone with the loop
        if not workers():
            break
        time.sleep(0.01)
    assert workers() == []


def test_workers_see_the_callers_state() -> None:
    seen = []

    def note(x: Any, k: Any) -> Any:
        seen.append(tl.is_grad_enabled())
        return x
    with tl.no_grad():
        list(DataLoader(TensorDataset(np.ones((4, 2))), 2, transform=note, num_workers=1))
    list(DataLoader(Subset(TensorDataset(np.ones((4, 2))), [0]), 2, transform=note, num_workers=1))
    assert seen == [False, False, True]


def test_pinned_by_the_thread_and_sent_by_the_caller() -> None:
    with stand_in():
        data = TensorDataset(IMAGES, normalize=NORMALIZE)
        def make(**options: Any) -> list[Any]:
            return [x.cpu().numpy() for x, in DataLoader(data, 16, generator=tl.Generator(0), shuffle=True, **options)]
        for found, expected in zip(make(device="cuda", pin_memory=True, num_workers=2), make(), strict=True):
            assert np.array_equal(found, expected)
        x, = next(iter(DataLoader(data, 16, pin_memory=True, num_workers=1)))
        assert x.is_pinned()


@pytest.mark.parametrize("bad", [{"num_workers": -1}, {"prefetch_factor": 0}])
def test_the_loader_refuses(bad: dict[str, int]) -> None:
    with pytest.raises(DataError, match="expected 0 or more threads, and 1 or more batches ahead"):
        DataLoader(Slow(3), **bad)   # type: ignore[arg-type]
