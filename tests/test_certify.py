"""``certify`` over every row of the op table, and planted faults, each of which the right line of the report must show."""
from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import strict_backend  # noqa: F401 - registers the device "strict"
from test_optable import ROWS, cases

import tensorlite as tl
from tensorlite.engine.primitive import REGISTRY, primitive
from tensorlite.engine.value import raw
from tensorlite.errors import DeviceError, DTypeError
from tensorlite.testing import CertifyError, certify
from tensorlite.testing._checks import CHECKS

# its dtypes have the hashes of NumPy's and meet them in dictionaries
pytestmark = pytest.mark.filterwarnings("ignore:You are comparing a array_api_strict dtype")
SAMPLES = int(os.environ.get("TENSORLITE_CERTIFY_SAMPLES", "2"))   # of each row; 0 for all
rng = np.random.default_rng(0)
X = rng.normal(size=(2, 3))

REAL_PARTS = "of the two halves of a complex number: there is no complex type of half precision"
WIDE = "the samples hold numbers that narrower types cannot"
# what the table leaves out, (row, check): why. A row that passes after all makes the test fail.
LEFT_OUT = {("repeated", "empty"): "the row's reference makes no results of an empty batch",
            ("lstsq", "empty"): "array-api-strict decomposes no matrix without rows"}
# rows whose results are made of complex numbers, or of numbers that half precision cannot hold
NARROW = {"complex": REAL_PARTS, "polar": REAL_PARTS, "softmax far out": WIDE, "log_softmax far out": WIDE, "erfinv": WIDE}
# rows of which vmap refuses samples, and what its error says; PER_PATH: branching="group" runs them
PER_PATH = r"branching='group'"
REFUSED = {
    "allclose": r"was asked for its value", "dropout": r"draws random numbers", "batch_norm_followed": r"running statistics",
    "setitem": r"what is written belongs to", "change_view": r"what is written belongs to",
    "getitem": PER_PATH, "masked_select": PER_PATH, "repeat": r"numbers that differ along the batch",
    "nonzero": PER_PATH, "argwhere": PER_PATH, "unique_values": PER_PATH, "unique_counts": PER_PATH, "unique_inverse": PER_PATH,
    **{f"unique_all: {part}": PER_PATH for part in ("values", "indices", "inverse_indices", "counts")},
}


def spread(found: list[Any]) -> list[Any]:
    """Some samples, from all over the list."""
    return found if not SAMPLES or len(found) <= SAMPLES else [found[i * len(found) // SAMPLES] for i in range(SAMPLES)]


@pytest.mark.filterwarnings("ignore::tensorlite.errors.GaugeWarning")
@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
def test_every_row(row: Any) -> None:
    samples = spread([(c.args, c.kwargs) for _, c in cases(row)])
    skip = {"raw arrays": row.skip["raw"]} if "raw" in row.skip else {}
    if row.second is not True:
        skip.update({"double": str(row.second), "forward over reverse": str(row.second)})
    if "vmap" in row.skip:
        skip.update({"vmap": row.skip["vmap"], "vmap of gradient": row.skip["vmap"]})
    halves = () if row.name in NARROW or row.name.startswith("fft.") else ("float16", "bfloat16")
    report = certify(row.function, samples, ["cpu"] if "strict" in row.skip else ["cpu", "strict"], reference=row.reference,
                     argnums=row.grad, rtol=row.rtol, dtypes=("float32", *halves) if "float32" in row.dtypes else (), skip=skip,
                     name=row.name)
    left_out = {check for name, check in LEFT_OUT if name == row.name}
    wrong = [line for line in report.failures if line.check not in left_out]
    assert not wrong, f"{row.name}: {wrong}\n{report}"
    if not SAMPLES:
        assert {line.check for line in report.failures} == left_out, f"{row.name}: take what passes out of LEFT_OUT\n{report}"
    for check in ("vmap", "vmap of gradient"):
        told = report.line(check).detail
        assert check in skip or not told or row.name in REFUSED or told.startswith("no "), \
            f"{row.name}: vmap refuses it; say why in REFUSED: {told}"


def test_what_is_left_out_has_a_reason() -> None:
    names = {row.name for row in ROWS}
    reasons = [*LEFT_OUT.values(), *NARROW.values(), *REFUSED.values()]
    assert all(len(reason) > 10 for reason in reasons)
    assert {name for name, _ in LEFT_OUT} | set(NARROW) | set(REFUSED) <= names
    assert {check for _, check in LEFT_OUT} <= set(CHECKS)
    for row in ROWS:
        assert row.second is True or len(row.second) > 10, row.name
        assert all(len(reason) > 10 for reason in row.skip.values()), row.name


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refusals_of_vmap_explain(name: str) -> None:
    row = next(r for r in ROWS if r.name == name)
    report = certify(row.function, [(c.args, c.kwargs) for _, c in cases(row)], "cpu", argnums=(), name=name, skip={
        check: "not asked here" for check in CHECKS if check != "vmap"})
    import re
    assert re.search(REFUSED[name], report.line("vmap").detail), report


# ---- planted faults ----------------------------------------------------------------------------------------------------

@contextmanager
def planted(forward: Any = "sin", **kind: Any) -> Iterator[Any]:
    """A primitive of the test's own, sin with all its rules unless they are replaced."""
    op = primitive("planted", forward, **kind)
    op.vjp(x=lambda g, x: g * tl.cos(x))
    op.jvp(x=lambda t, x: t * tl.cos(x))
    op.batch(lambda op, args, batched, options, size: op(*args, **options))
    try:
        yield op
    finally:
        del REGISTRY["planted"]


def failed(op: Any, *args: Any, **more: Any) -> set[str]:
    """The lines that fail."""
    report = certify(op, [args or (X,)], **{"backends": "cpu", **more})
    assert {line.check for line in report} == set(CHECKS)
    assert report.ok == (not report.failures)
    assert all(len(line.detail) > 15 for line in report.failures), report
    return {line.check for line in report.failures}


def test_nothing_is_wrong_with_what_is_right() -> None:
    with planted() as op:
        report = certify(op, [(X,), (np.array(0.5),)], ["cpu", "strict"], reference=np.sin)
        assert report.ok and report.devices == ("cpu", "strict")
        report.raise_for_failures()
        assert all(line.verdict == "ok" for line in report), report
        assert repr(report).startswith("planted: certified, 2 samples on cpu, strict\n  forward ")


FAULTS: dict[str, tuple[Callable[[Any], None], set[str]]] = {
    "vjp": (lambda op: op.vjp(x=lambda g, x: g * tl.cos(x) * 1.01), {"gradient", "dot test"}),
    "jvp": (lambda op: op.jvp(x=lambda t, x: t * tl.cos(x) * 1.01), {"forward mode", "dot test"}),
    "second derivative": (lambda op: op.vjp(x=lambda g, x: g * tl.cos(tl.stop_gradient(x))), {"double", "forward over reverse"}),
    "batching": (lambda op: op.batch(lambda op, args, batched, options, size: op(tl.flip(args[0], 0), **options)), {"vmap"}),
    "no batching rule": (lambda op: op.batch(None), {"vmap"}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_wrong_rules(fault: str) -> None:
    plant, lines = FAULTS[fault]
    with planted() as op:
        plant(op)
        op.pointwise = False
        assert lines <= failed(op), failed(op)
        if fault in ("jvp", "second derivative"):
            assert "gradient" not in failed(op)


def test_a_rule_that_is_missing_names_the_operation() -> None:
    bare = primitive("planted", "sin")
    try:
        report = certify(bare, [(X,)], "cpu")
        assert "planted" in report.line("gradient").detail and report.line("gradient").verdict == "FAILED"
    finally:
        del REGISTRY["planted"]


def test_values() -> None:
    assert failed(tl.sin, reference=lambda x: np.sin(x) + 1e-9) >= {"forward"}
    assert failed(tl.sin, reference=lambda x: np.sin(x)[None]) >= {"forward"}
    assert not failed(tl.sin, reference=np.sin)
    wrong = certify(tl.sin, [(X,)], "cpu", reference=np.cos).line("forward").detail
    assert "most at (" in wrong and "expected" in wrong


def test_randomness() -> None:
    state = np.random.default_rng(1)
    assert "determinism" in failed(lambda x: x + tl.tensor(1e-3 * state.normal(size=x.shape)), argnums=())


def test_types() -> None:
    assert "dtypes" in failed(lambda x: tl.sin(x.to(tl.float64)))


def test_changed_inputs() -> None:
    def greedy(xp: Any, x: Any) -> Any:
        out = xp.sin(x)
        x *= 2.0
        return out
    with planted(greedy) as op:
        assert "inputs" in failed(op, argnums=())


def test_tensors_of_raw_arrays() -> None:
    mixed = certify(lambda x: (tl.sin(x), raw(tl.cos(x))), [(X,)], "cpu", argnums=())
    assert mixed.line("raw arrays").verdict == "ok"
    wrapped = certify(lambda x: (tl.sin(x), tl.asarray(tl.cos(x))), [(X,)], "cpu", argnums=())
    assert wrapped.line("raw arrays").verdict == "FAILED"
    assert certify(lambda x: tl.sin(tl.asarray(x)), [(X,)], "cpu").line("raw arrays") == (
        "raw arrays", "n/a", "", "it makes tensors of arrays")


def test_layouts_and_empty_arrays() -> None:
    def by_memory(xp: Any, x: Any) -> Any:   # as a kernel that takes rows for granted
        return xp.sin(np.frombuffer(x.tobytes(order="A"), x.dtype).reshape(x.shape) if x.flags.forc else x)
    with planted(by_memory) as op:
        assert "layouts" in failed(op, argnums=())
    assert "empty" in failed(lambda x: tl.sin(x) if x.shape[0] else tl.zeros(3), reference=np.sin)


def test_books_of_the_tape() -> None:
    class Leaky(tl.autograd.Function):
        """Its gradient of x is there only if y's is asked for too."""

        @staticmethod
        def forward(ctx: Any, x: Any, y: Any) -> Any:
            ctx.save_for_backward(x, y)
            return x * y

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            x, y = ctx.saved_tensors
            return (g * y if ctx.needs_input_grad[1] else g * 0), g * x
    assert "requires_grad" in failed(Leaky.apply, X, X + 1)
    constant = tl.tensor(1.0, dtype=tl.float64, requires_grad=True)
    assert "requires_grad" in failed(lambda x: x * constant)
    assert "gradient" in failed(lambda x: tl.sin(x.detach()))


def test_backends() -> None:
    assert "backends" in failed(lambda x: tl.sin(x) * (1 + 1e-6 * (x.device != "cpu")), backends=["cpu", "strict"])
    assert "backends" in failed(lambda x: tl.sin(x).to("cpu"), backends=["strict", "cpu"], argnums=())


def test_kinds_of_samples() -> None:
    ones = np.ones(2)
    for samples in ([ones], [(ones,)], [((ones,), {})], [tl.tensor(ones)], [([ones],)]):
        report = certify(lambda x: tl.sin(x[0] if isinstance(x, list) else x), samples, "cpu")
        assert report.ok and report.samples == 1, report
    z = rng.normal(size=3) + 1j * rng.normal(size=3)
    assert certify(lambda p, *, k: p["z"] * tl.conj(p["z"]) * p["w"] + k, [(({"z": z, "w": z[0]},), {"k": 2.0})], "cpu").ok


def test_wrong_calls() -> None:
    with pytest.raises(DTypeError, match="no samples of sin were given"):
        certify(tl.sin, [])
    with pytest.raises(DTypeError, match=r"skip names \['speed'\], which are no checks; expected some of forward"):
        certify(tl.sin, [(X,)], skip={"speed": "too slow"})
    with pytest.raises(DTypeError, match=r"dtypes names \['float8'\]"):
        certify(tl.sin, [(X,)], dtypes=("float8",))
    with pytest.raises(DeviceError, match="device 'abacus' is unknown"):
        certify(tl.sin, [(X,)], "abacus")
    with pytest.raises(DTypeError, match="a sample is a str"):
        certify(tl.sin, ["abc"])
    with pytest.raises(CertifyError, match=r"sin: 2 of \d+ checks failed\n  forward: forward: result 0 is off by .*\n  dtypes: "):
        certify(tl.sin, [(X,)], "cpu", reference=np.cos, name="sin").raise_for_failures()


def test_a_reason_replaces_a_check() -> None:
    report = certify(tl.sin, [(X,)], "cpu", skip={"vmap": "it is not asked for here"})
    assert report.line("vmap") == ("vmap", "n/a", "", "it is not asked for here")


# ---- the command line ----------------------------------------------------------------------------------------------------

def command(*words: str) -> int:
    from tensorlite.cli import main
    return main(["certify", *words])


def test_samples_are_of_what_there_is() -> None:
    from tensorlite.testing._samples import SAMPLES, entry
    assert len(SAMPLES) > 100
    for name in SAMPLES:
        function, samples, _ = entry(name)
        assert callable(function) and samples, name


def test_command(capsys: Any) -> None:
    assert command("tanh", "linalg.inv", "--device", "cpu", "--seed", "3") == 0
    out = capsys.readouterr().out
    assert "tanh: certified, 3 samples on cpu\n" in out and "linalg.inv: certified" in out
    assert out.endswith("2 of 2 certified\n")
    assert command("--list") == 0
    assert "nn.functional.cross_entropy\n" in capsys.readouterr().out


def test_command_on_a_users_function(tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    (tmp_path / "mine_to_certify.py").write_text(
        "import numpy as np, tensorlite as tl\n"
        "def good(x, y): return tl.sin(x) * y\n"
        "def bad(x, y): return tl.sin(x) * y.detach()\n"
        "def samples(): return [(np.ones(3), np.arange(3.0))]\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    assert command("mine_to_certify:good", "--shape", "2,3", "--shape", "3", "--device", "cpu") == 0
    assert command("mine_to_certify:good", "--samples", "mine_to_certify:samples", "--device", "cpu", "--quiet") == 0
    capsys.readouterr()
    assert command("mine_to_certify:bad", "--shape", "3", "--shape", "3", "--device", "cpu") == 1
    out = capsys.readouterr().out
    assert "gradient              FAILED" in out and out.endswith("not certified: mine_to_certify:bad\n")
    for words, text in ((("mine_to_certify:none", "--shape", "3"), "has no attribute 'none'"),
                        (("nothing",), "'nothing' has no samples"),
                        (("mine_to_certify:good",), "give --shape once for each argument"),
                        (("mine_to_certify:good", "--shape", "two"), "expected integers with commas")):
        assert command(*words) == 2
        assert text in capsys.readouterr().err
