"""The small classifier whose features and logits are used to score generated digits."""

import hashlib
from pathlib import Path

import torch
from torch import Tensor, nn

WEIGHTS = Path(__file__).with_name("digits_cnn.pt")
#: The hash of the file that ``python -m gan_lightning.metrics.train_digits_cnn`` writes.
SHA256 = "fea3ea00c62efd536eebf2daa43cab75e739e781f5fb655124920a8afa25fcf0"


class DigitsCNN(nn.Module):
    """Maps uint8 digits ``(N, 1, 8, 8)`` to 64 features and 10 logits."""

    num_features = 64

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(64 * 4 * 4, self.num_features),
            nn.ReLU(),
        )
        self.classifier = nn.Linear(self.num_features, 10)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features ``(N, 64)`` and logits ``(N, 10)``."""
        features = self.features(images.float() / 127.5 - 1)
        return features, self.classifier(features)


def load_digits_cnn() -> DigitsCNN:
    """The trained network, in eval mode.

    Raises:
        ValueError: the file's hash is not the one above, with which the scores are defined.
    """
    found = hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
    if found != SHA256:
        raise ValueError(f"{WEIGHTS} has the SHA-256 {found}, not {SHA256}: reinstall the package")
    network = DigitsCNN()
    network.load_state_dict(torch.load(WEIGHTS, weights_only=True))
    return network.eval()
