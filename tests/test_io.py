"""Saving and loading: everything comes back as it was, nothing is half written, and what is broken says so."""
from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import _files, io
from tensorlite.errors import CheckpointError, DTypeError

pytest.importorskip("safetensors", reason='needs safetensors: pip install "tensorlite[train]"')
DTYPES = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64",
          "complex64", "complex128"]


def test_a_tree_comes_back_with_its_types_and_values(tmp_path: Path) -> None:
    tree = {"list": [1, 2.5, True, None, "text"], "tuple": (1, (2, [])), 3: {"inf": float("inf"), "big": 2**64 - 1},
            "complex": 1 - 2j, "tensor": tl.tensor([1.0, 2.0]), "array": np.arange(3), "scalar": np.float32(0.1)}
    io.save(tree, tmp_path / "x")
    back = io.load(tmp_path / "x")
    assert list(back) == list(tree)
    for name in ("list", "tuple", 3, "complex"):
        assert back[name] == tree[name] and type(back[name]) is type(tree[name])
    assert isinstance(back["tensor"], tl.Tensor) and back["tensor"].tolist() == [1, 2]
    assert isinstance(back["array"], np.ndarray) and (back["array"] == np.arange(3)).all()
    assert back["scalar"] == np.float32(0.1) and back["scalar"].dtype == np.float32
    assert back["list"][2] is True


def test_a_nan_comes_back(tmp_path: Path) -> None:
    io.save([float("nan")], tmp_path / "x")
    assert np.isnan(io.load(tmp_path / "x")[0])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3)])
def test_arrays_of_all_dtypes_and_shapes(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    io.save({"a": array, "t": tl.asarray(array)}, tmp_path / "x")
    back = io.load(tmp_path / "x")
    for got in (back["a"], back["t"].numpy()):
        assert got.dtype == array.dtype and got.shape == shape and np.array_equal(got, array)


def test_bfloat16(tmp_path: Path) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="bfloat16 needs ml_dtypes")
    array = np.asarray([1.0, 2.5], ml_dtypes.bfloat16)
    io.save({"a": array}, tmp_path / "x")
    back = io.load(tmp_path / "x")["a"]
    assert back.dtype == array.dtype and (back == array).all()


def test_arrays_that_are_views_and_big_endian_are_stored_by_value(tmp_path: Path) -> None:
    a = np.arange(12.0).reshape(3, 4)
    io.save({"t": a.T, "r": a[::-1, ::2], "b": a.astype(">f4")}, tmp_path / "x")
    back = io.load(tmp_path / "x")
    assert np.array_equal(back["t"], a.T) and np.array_equal(back["r"], a[::-1, ::2]) and np.array_equal(back["b"], a)


def test_requires_grad_is_kept_and_loaded_memory_is_writable(tmp_path: Path) -> None:
    io.save({"w": tl.tensor([1.0], requires_grad=True), "v": tl.tensor([1.0]), "a": np.zeros(2)}, tmp_path / "x")
    back = io.load(tmp_path / "x")
    assert back["w"].requires_grad and not back["v"].requires_grad
    back["a"][0] = 1


def test_names_that_collide_are_told_apart(tmp_path: Path) -> None:
    io.save({"a": {"b": np.zeros(1)}, "a.b": np.ones(1), "a.b#1": np.full(1, 2.0)}, tmp_path / "x")
    back = io.load(tmp_path / "x")
    assert (back["a"]["b"][0], back["a.b"][0], back["a.b#1"][0]) == (0, 1, 2)


def test_a_state_dict_is_a_plain_safetensors_file_for_others(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file
    io.save({"0.weight": tl.ones((2, 3)), "0.bias": tl.zeros(2)}, tmp_path / "x")
    assert set(load_file(tmp_path / "x")) == {"0.weight", "0.bias"}
    save_file({"w": np.arange(3.0)}, tmp_path / "y")
    assert tl.load(tmp_path / "y")["w"].tolist() == [0, 1, 2]
    assert tl.io.load_safetensors(tmp_path / "y")["w"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("bad", [object(), b"bytes", {1, 2}, len, Path("x")])
def test_what_is_no_data_is_refused_with_its_place(tmp_path: Path, bad: Any) -> None:
    with pytest.raises(DTypeError, match=r"save: a\.1 is a .*expected tensors"):
        io.save({"a": [0, bad]}, tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_keys_are_strings_or_integers(tmp_path: Path) -> None:
    with pytest.raises(DTypeError, match=r"the key \(1, 2\) at a is a tuple"):
        io.save({"a": {(1, 2): 3}}, tmp_path / "x")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere: there is no such file"):
        io.load(tmp_path / "nowhere")


def test_every_truncation_and_every_flipped_byte_is_found(tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    io.save({"w": np.arange(5, dtype=np.int16), "n": 3}, good)
    data = good.read_bytes()
    for length in range(len(data)):
        bad.write_bytes(data[:length])
        with pytest.raises(CheckpointError, match="bad: "):
            io.load(bad)
    for position in range(len(data)):
        bad.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1:])
        try:
            back = io.load(bad)
        except CheckpointError as error:
            assert "bad: " in str(error)
        else:   # the padding of the header, or the name of the metadata that holds the checksum
            assert isinstance(back, dict)
            if "n" in back:
                assert back["n"] == 3 and (back["w"] == np.arange(5)).all()


def test_other_files_are_refused(tmp_path: Path) -> None:
    import pickle
    path = tmp_path / "x.pt"
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        io.load(path)


def test_a_description_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    for tree in ('{"tensor":"absent"}', "{", '{"unheard":1}'):
        io.save_safetensors({}, tmp_path / "x", {"tensorlite": tree})
        with pytest.raises(CheckpointError, match="description of the contents cannot be read"):
            io.load(tmp_path / "x")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "x"
    _files.write_atomic(path, b"old")

    def fail(file: Any) -> None:
        file.write(b"half of the n")
        raise OSError(28, "No space left on device")
    with pytest.raises(OSError, match=f"No space left on device: '{path}'"):
        _files.write_atomic(path, fail)
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    program = f"""
import numpy as np, resource, signal
from tensorlite import io
io.save({{"w": np.zeros(10)}}, {str(tmp_path / 'x')!r})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    io.save({{"w": np.ones(1_000_000)}}, {str(tmp_path / 'x')!r})
except OSError as error:
    print("refused:", error)
"""
    assert resource.RLIMIT_FSIZE is not None and signal.SIGXFSZ
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("refused:"), done.stderr
    assert io.load(tmp_path / "x")["w"].sum() == 0 and [p.name for p in tmp_path.iterdir()] == ["x"]


def test_leftovers_of_killed_writers_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".x.123.tmp").write_bytes(b"half")
    (tmp_path / "x").write_bytes(b"whole")
    _files.remove_leftovers(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_without_safetensors_the_error_names_the_pip_line(tmp_path: Path) -> None:
    program = "import sys; sys.modules['safetensors'] = None\nimport tensorlite as tl\ntl.save({}, 'x')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert 'pip install "tensorlite[train]"' in done.stderr.splitlines()[-1]


def test_importing_tensorlite_imports_none_of_the_layers_above() -> None:
    program = ("import sys, json, tensorlite as tl\n"
               "before = [m for m in sys.modules if m.startswith(('tensorlite.data', 'tensorlite.train', 'tensorlite.io', "
               "'tensorlite.models', 'tensorlite.cli'))]\n"
               "tl.data, tl.train, tl.io, tl.models, tl.save, tl.load\n"
               "print(json.dumps([before, [m for m in ('matplotlib', 'rich', 'safetensors') if m in sys.modules]]))")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert json.loads(done.stdout) == [[], []], done.stderr


def test_the_name_that_the_format_keeps_for_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DTypeError, match="'__metadata__', which the format keeps for itself"):
        io.save({"__metadata__": np.ones(1)}, tmp_path / "x")
    assert not (tmp_path / "x").exists()
