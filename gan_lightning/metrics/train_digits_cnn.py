"""Train the classifier that scores digits: ``python -m gan_lightning.metrics.train_digits_cnn``.

Writes ``digits_cnn.pt`` next to this file and prints its hash, which belongs in ``digits_cnn.py``,
because other weights give other scores. On one machine the file is the same byte for byte every
time; another processor's arithmetic may differ in the last bits.
"""

import argparse
import hashlib
import io
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from gan_lightning.data import Digits
from gan_lightning.metrics.digits_cnn import SHA256, WEIGHTS, DigitsCNN

HELD_OUT = 297
EPOCHS = 60
BATCH_SIZE = 50


def train(x: Tensor, y: Tensor) -> DigitsCNN:
    """Cross-entropy, AdamW at 1e-3 decayed to zero, images shifted by up to a pixel."""
    network = DigitsCNN()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-2)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(x)).split(BATCH_SIZE):
            dy, dx = torch.randint(3, (2,)).tolist()
            shifted = F.pad(x[batch], (1, 1, 1, 1))[:, :, dy : dy + 8, dx : dx + 8]
            loss = F.cross_entropy(network(shifted)[1], y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        scheduler.step()
    return network.eval()


@torch.no_grad()
def accuracy(network: DigitsCNN, x: Tensor, y: Tensor) -> float:
    """The share of images ``(N, 1, 8, 8)`` whose label ``(N,)`` has the largest logit."""
    return (network(x)[1].argmax(dim=1) == y).float().mean().item()


def main() -> None:
    """Train the classifier, write its weights and print its accuracy."""
    parser = argparse.ArgumentParser(description="Train the classifier that scores digits.")
    parser.add_argument("--output", type=Path, default=WEIGHTS, help="where to write the weights")
    output = parser.parse_args().output

    torch.set_num_threads(1)
    torch.manual_seed(0)
    x, y = Digits().load("train")
    order = torch.randperm(len(x))
    x, y = x[order], y[order]
    network = train(x[HELD_OUT:], y[HELD_OUT:])
    # Through a buffer, because torch.save writes a file's name into the file.
    buffer = io.BytesIO()
    torch.save(network.state_dict(), buffer)
    output.write_bytes(buffer.getvalue())
    found = hashlib.sha256(buffer.getvalue()).hexdigest()
    share = accuracy(network, x[:HELD_OUT], y[:HELD_OUT])
    print(
        f"accuracy on {HELD_OUT} held-out digits: {share:.4f}\n"
        f"{output}, {output.stat().st_size / 1000:.0f} kB, SHA-256 {found}\n"
        + ("the weights of the package" if found == SHA256 else "NOT the weights of the package")
    )


if __name__ == "__main__":
    main()
