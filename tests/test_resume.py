"""A run that is killed with SIGKILL at random moments, and resumed each time, ends with the bits of one that was left alone."""
from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tensorlite import io

pytest.importorskip("safetensors", reason='needs safetensors: pip install "tensorlite[train]"')
pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")

PROGRAM = '''
import sys, time
import numpy as np
import tensorlite as tl
from tensorlite import data, io, nn, optim, random, train
from tensorlite.optim import lr_scheduler as schedules

out, kind, pause = sys.argv[1], sys.argv[2], float(sys.argv[3])
random.manual_seed(11)
noise = np.random.default_rng(0)
x = noise.integers(0, 255, (230, 1, 6, 6)).astype(np.uint8)
y = (x.reshape(230, -1)[:, :18].sum(1) > x.reshape(230, -1)[:, 18:].sum(1)).astype(np.int64) + (x[:, 0, 0, 0] > 200)
images = data.TensorDataset(x, y, normalize=data.Normalize(0.5, 0.3, scale=1 / 255))
own = random.Generator(5) if kind != "sgd" else None
fit_on, held = data.random_split(images, [0.8, 0.2], generator=random.Generator(2))
batches = data.DataLoader(fit_on, 16, shuffle=True, generator=own, transform=[data.RandomCrop(1), data.RandomFlip()])
model = nn.Sequential(nn.Flatten(), nn.Linear(36, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Dropout(0.3), nn.Linear(24, 3))
if kind == "sgd":
    optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-4)
    scheduler, every, callbacks = schedules.StepLR(optimizer, 2, 0.5), "epoch", []
elif kind == "adam":
    optimizer = optim.AdamW(model.parameters(), lr=0.01)
    scheduler, every = schedules.OneCycleLR(optimizer, 0.01, total_steps=6 * len(batches)), "step"
    callbacks = [train.EarlyStopping(patience=3)]
else:
    optimizer = optim.RMSprop(model.parameters(), lr=0.01, momentum=0.5)
    scheduler, every, callbacks = schedules.ReduceLROnPlateau(optimizer, patience=0), "epoch", [train.EarlyStopping(patience=9)]

class Slow(train.Callback):
    def on_step_end(self, trainer, loss):
        if trainer.step == 1:
            print("started", flush=True)
        time.sleep(pause)

trainer = train.Trainer(model, optimizer, nn.CrossEntropyLoss(), [*callbacks, Slow()], scheduler=scheduler, scheduler_step=every,
                        grad_clip=1.0, out=out, checkpoint_every=None if kind == "sgd" else 5, progress=False)
print("begins", flush=True)
history = trainer.fit(batches, data.DataLoader(held, 64), epochs=6, resume=True)
kept = [{k: v for k, v in r.items() if k not in ("seconds", "samples_per_second")} for r in history]
io.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "history": kept, "random": random.get_rng_state()},
        out + "/end")
print("done", flush=True)
'''


def arguments(out: Path, kind: str, pause: float) -> list[str]:
    return [sys.executable, "-c", PROGRAM, str(out), kind, str(pause)]


def same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b))
    if hasattr(a, "numpy"):
        return a.shape == b.shape and a.numpy().tobytes() == b.numpy().tobytes()
    return bool(np.array_equal(a, b, equal_nan=isinstance(a, float)))


def killed_after(out: Path, kind: str, seconds: float) -> bool:
    """Run, kill after so long; whether it was still running."""
    process = subprocess.Popen(arguments(out, kind, 0.01), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()   # it begins: what follows is training
    time.sleep(seconds)
    running = process.poll() is None
    if running:
        process.send_signal(signal.SIGKILL)
    process.communicate()
    return running


@pytest.mark.parametrize("kind", ["sgd", "adam", "rmsprop"])
def test_killed_and_resumed_ends_with_the_same_bits(tmp_path: Path, kind: str) -> None:
    moments = random.Random(kind)
    whole, pieces = tmp_path / "whole", tmp_path / "pieces"
    subprocess.run(arguments(whole, kind, 0.0), check=True, timeout=120, stdout=subprocess.DEVNULL)
    kills = sum(killed_after(pieces, kind, moments.uniform(0.02, 0.5)) for _ in range(4))
    assert kills >= 2
    subprocess.run(arguments(pieces, kind, 0.0), check=True, timeout=120, stdout=subprocess.DEVNULL)
    expected, got = io.load(whole / "end"), io.load(pieces / "end")
    assert same(expected, got), [(a, b) for a, b in zip(expected["history"], got["history"]) if a != b][:1]
    assert len(got["history"]) >= 3
    names = {p.name for p in (pieces / "checkpoints").iterdir()}
    assert {"last.safetensors", "previous.safetensors", "best.safetensors"} <= names
    assert not [n for n in names if n.endswith(".tmp")]


def test_compiling_the_kernels_and_taking_them_from_the_disk_give_the_same_bits(tmp_path: Path) -> None:
    """The first run after installation compiles, the one that resumes it does not."""
    pytest.importorskip("numba", reason="without Numba there is nothing to compile")
    ends = []
    for name in ("cold", "warm"):
        subprocess.run(arguments(tmp_path / name, "adam", 0.0), check=True, timeout=300, stdout=subprocess.DEVNULL,
                       env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")})
        ends.append(io.load(tmp_path / name / "end"))
    assert same(*ends)
