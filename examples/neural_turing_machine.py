"""A neural Turing machine (Graves et al. 2014) learns to copy sequences by a memory addressed by content and by shifts."""
from __future__ import annotations

import sys
from typing import Any

import tensorlite as tl
from tensorlite import nn, optim
from tensorlite.nn import functional as F

BITS, PLACES, WIDTH, HIDDEN, BATCH = 4, 12, 8, 48, 16
HEAD = WIDTH, 1, 1, 3, 1   # key, its strength, the gate between content and the last place, shifts, sharpness


class Machine(nn.Module):
    def __init__(self) -> None:
        self.controller = nn.Linear(BITS + 2 + WIDTH, HIDDEN)
        self.heads = nn.Linear(HIDDEN, 2 * sum(HEAD) + 2 * WIDTH)
        self.output = nn.Linear(HIDDEN + WIDTH, BITS)

    def address(self, head: Any, at: Any, memory: Any) -> Any:
        """Weights over the places, out of those of the step before and the head's parameters (section 3.3)."""
        key, strength, gate, shift, sharpness = head.split(HEAD, 1)
        near = F.cosine_similarity(memory, F.tanh(key).unsqueeze(1), dim=2)
        at = at + F.sigmoid(gate) * (F.softmax(F.softplus(strength) * near, 1) - at)
        left, stay, right = F.softmax(shift, 1).split(1, 1)
        at = left * tl.roll(at, -1, 1) + stay * at + right * tl.roll(at, 1, 1)
        return F.normalize((at + 1e-8) ** (1 + F.softplus(sharpness)), 1, 1)

    def forward(self, sequence: Any) -> Any:
        length, outs = sequence.shape[1], []
        memory, seen = tl.full((BATCH, PLACES, WIDTH), 0.1), tl.zeros(BATCH, WIDTH)
        reads = writes = F.one_hot(tl.zeros(BATCH, dtype=tl.int64), PLACES).float()
        for step in range(2 * length):   # first the sequence comes in, then it is to come out
            flags = tl.tensor([[float(step < length), float(step == length)]]).expand(BATCH, 2)
            bits = sequence[:, step % length] * flags[:, :1]
            hidden = F.tanh(self.controller(tl.cat([bits, flags, seen], 1)))
            read, write, erase, add = self.heads(hidden).split([sum(HEAD), sum(HEAD), WIDTH, WIDTH], 1)
            writes, reads = self.address(write, writes, memory), self.address(read, reads, memory)
            memory = memory + writes.unsqueeze(2) * (add.unsqueeze(1) - memory * F.sigmoid(erase).unsqueeze(1))
            seen = (reads.unsqueeze(2) * memory).sum(1)
            outs.append(self.output(tl.cat([hidden, seen], 1)))
        return tl.stack(outs[length:], 1)


def train(steps: int, seed: int = 0) -> Any:
    tl.manual_seed(seed)
    optimizer = optim.Adam((machine := Machine()).parameters(), lr=1e-2)
    for step in range(steps):
        sequence = tl.random.bernoulli(0.5, (BATCH, 1 + step % 5, BITS)).float()
        optimizer.zero_grad()
        (loss := F.binary_cross_entropy_with_logits(machine(sequence), sequence)).backward()
        nn.utils.clip_grad_norm_(machine.parameters(), 5.0)
        optimizer.step()
        yield loss.item()


if __name__ == "__main__":
    for k in range(0, len(losses := list(train(300 if "--quick" in sys.argv else 600))), 100):
        print(f"steps {k:3} to {k + 99:3}  loss {sum(losses[k:k + 100]) / 100:.4f}")
