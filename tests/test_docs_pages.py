"""The manual's code runs and prints what the pages say: ``docs/*.md`` and ``README.md``, each in a process and folder of its own.

The blocks of a page share one namespace. ``python`` with prompts is a doctest; without prompts it is run, and a ``text`` block
right after it is its output (numbers to within a tenth); with a ``title`` it is a file that the rest of the page finds. In
``console`` blocks every ``$ tensorlite`` command is run. ``...`` in an expected output stands for anything. ``<!-- skip -->``
before a block leaves it out. On pages that hold ``<!-- cuda -->``, ``device="cuda"`` is a GPU where there is one, else the
stand-in for CuPy, which runs CUDA C++ on the CPU.
"""
from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))] if (ROOT / "docs").is_dir() else []
FLAGS = doctest.ELLIPSIS
PAGE_SECONDS = 300
CUDA = "<!-- cuda -->"
NUMBER, NEAR = re.compile(r"\d+(?:\.\d+)?"), 0.1   # after training, digits differ from one machine to the next
SPEED = re.compile(r"\d+\.\d+ s  [\d,]+ samples/s")   # and these from one run to the next


class Block(NamedTuple):
    """A fenced block: its language, what stands behind that, its text, the line it begins on, and what is directly above."""

    language: str
    note: str
    text: str
    line: int
    above: str


def blocks(markdown: str) -> list[Block]:
    """The fenced blocks of a page."""
    found, lines = [], markdown.splitlines()
    start = None
    for number, line in enumerate(lines):
        if start is None and (match := re.match(r"```(\w*)\s*(.*)", line)):
            start = number
            above = next((a for a in reversed(lines[:number]) if a.strip()), "")
            head = (match[1], match[2])
        elif start is not None and line == "```":
            found.append(Block(*head, "".join(a + "\n" for a in lines[start + 1:number]), start + 2, above))
            start = None
    return found


def differ(what: str, want: str, got: str) -> str | None:
    """What is wrong with ``got``, or None."""
    def lines(text: str) -> str:
        return "".join(line.rstrip() + "\n" for line in SPEED.sub("", text).strip("\n").splitlines())

    want, got = lines(want), lines(got)
    expected, found = NUMBER.findall(want), NUMBER.findall(got)
    near = len(expected) == len(found) and all(abs(float(a) - float(b)) <= NEAR * abs(float(a)) for a, b in zip(expected, found))
    if doctest.OutputChecker().check_output(want, got, FLAGS) or (near and NUMBER.sub("0", want) == NUMBER.sub("0", got)):
        return None
    return f"{what}\nexpected:\n{want}\ngot:\n{got}"


def prompts(block: Block, names: dict[str, Any], page: str) -> str | None:
    test = doctest.DocTestParser().get_doctest(block.text, names, page, page, block.line - 1)
    report = io.StringIO()
    doctest.DocTestRunner(optionflags=FLAGS, verbose=False).run(test, out=report.write, clear_globs=False)
    names.update(test.globs)
    return report.getvalue() or None


def program(block: Block, following: Block | None, names: dict[str, Any]) -> str | None:
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            exec(compile(block.text, "example.py", "exec"), names)
    except Exception:
        return traceback.format_exc()
    if following is None or following.language != "text" or following.above != "```":
        return None
    return differ("the program's output", following.text, out.getvalue())


def file(block: Block, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.text)
    if path.parts[0] == "kernels":   # as if the folder were in the source tree
        from tensorlite import kernels
        if os.path.abspath("kernels") not in kernels.__path__:
            kernels.__path__.append(os.path.abspath("kernels"))


def commands(block: Block) -> str | None:
    for call in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, want = call.partition("\n")
        assert command.startswith("tensorlite "), f"console blocks run tensorlite only; put <!-- skip --> before {command!r}"
        done = subprocess.run([sys.executable, "-m", *shlex.split(command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True)
        wrong = differ(f"$ {command}", want, done.stdout)
        if wrong:
            return wrong
    return None


def failures(path: Path) -> list[str]:
    """What is wrong with a page; its files go into the current folder."""
    names: dict[str, Any] = {"__name__": "__main__"}
    found = []
    page = blocks(path.read_text())
    for block, following in zip(page, [*page[1:], None]):
        if block.above == "<!-- skip -->":
            continue
        wrong = None
        title = re.search(r'title="([^"]+)"', block.note)
        if block.language in ("python", "cuda") and title:
            file(block, Path(title[1]))
        elif block.language == "python":
            wrong = prompts(block, names, path.name) if block.text.startswith(">>>") else program(block, following, names)
        elif block.language == "console":
            wrong = commands(block)
        if wrong:
            found.append(f"{path.name}:{block.line}: {wrong}")
    return found


@contextlib.contextmanager
def devices(page: Path) -> Iterator[None]:
    """A context in which the page finds the devices that it uses."""
    if CUDA not in page.read_text():
        yield
        return
    from cuda_device import real, stand_in
    with contextlib.nullcontext() if real() else stand_in():
        yield


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.stem)
def test_page(path: Path) -> None:
    if CUDA in path.read_text():
        from cuda_on_cpu import why_not
        if why_not():
            pytest.skip(str(why_not()))
    command = [sys.executable, "-W", "error", __file__, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PAGE_SECONDS)
    assert not done.returncode, done.stdout + done.stderr


def test_a_wrong_page_fails(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\nx = 1\n```\n\n```python\n>>> x + 1\n3\n```\n\n```python\nprint(x)\n```\n```text\n2\n```\n")
    found = [wrong.partition("\n")[0] for wrong in failures(page)]
    assert found == ["page.md:6: " + "*" * 70, "page.md:11: the program's output"]


def test_links_lead_somewhere() -> None:
    for path in PAGES:
        prose = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)   # C++ has [](x) too
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", prose):
            if path.name == "README.md" or not target.startswith("../"):
                assert (path.parent / target).exists(), f"{path.name}: {target} does not exist"


def test_the_reference_is_complete() -> None:
    """Every public function of the operations, and every name of the modules above them, stands on a page."""
    import tensorlite as tl
    text = "".join(page.read_text() for page in (ROOT / "docs" / "reference").glob("*.md"))
    listed = set(re.findall(r"\w+", text)) | {"batch_norm_by_batch", "batch_norm_fixed", "follow_batch"}   # parts of batch_norm
    modules = [tl.nn, tl.optim, tl.data, tl.train, tl.debug, tl.errors, tl.func, tl.testing, tl.random]
    wanted = {name for module in modules for name in module.__all__ if callable(getattr(module, name))}
    for namespace in (tl, tl.nn.functional):
        functions = [f for f in vars(namespace).values() if getattr(f, "__module__", "").startswith("tensorlite.ops.")]
        wanted |= {f.__name__ for f in functions if f.__module__ != "tensorlite.ops._names"}
    assert not {name for name in wanted - listed if not name.startswith("_")}


if __name__ == "__main__":
    page = Path(sys.argv[1]).resolve()
    sys.path.append(str(ROOT))   # for bench
    with tempfile.TemporaryDirectory() as folder:   # pages write files
        os.chdir(folder)
        with devices(page):
            wrong = failures(page)
        os.chdir(ROOT)
    print("\n".join(wrong))
    sys.exit(bool(wrong))
