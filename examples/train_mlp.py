"""The training loop that everybody writes: forward, loss, backward, step; on the handwritten digits that come with tensorlite."""
from __future__ import annotations

import sys

import tensorlite as tl
from tensorlite import nn, optim
from tensorlite.data import DataLoader, load

if __name__ == "__main__":
    device = next((a for a in sys.argv[1:] if a in ("cpu", "cuda")), "cpu")
    epochs = 3 if "--quick" in sys.argv else 15
    tl.manual_seed(0)
    train = DataLoader(load("digits", train=True, flat=True), batch_size=64, shuffle=True)
    test = DataLoader(load("digits", train=False, flat=True), batch_size=512)
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10)).to(device)
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.parameters(), lr=2e-3)

    for epoch in range(epochs):
        for images, labels in train:
            images, labels = images.to(device), labels.to(device)
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
        with tl.no_grad():
            right = sum((model(x.to(device)).argmax(axis=1) == y.to(device)).sum().item() for x, y in test)
        print(f"epoch {epoch + 1:2}  loss {loss.item():.4f}  test accuracy {right / len(test.dataset):.1%}")
