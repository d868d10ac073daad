"""What is to be run, and with which options of this machine."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.protocol import Protocol


@dataclass(frozen=True)
class Run:
    """One run of a protocol."""

    protocol: Protocol
    technique: str
    seed: int

    @property
    def key(self) -> tuple[str, str, int]:
        """The key of its record: protocol, technique and seed."""
        return self.protocol.name, self.technique, self.seed

    @property
    def name(self) -> str:
        """The name in messages."""
        return f"{self.technique} seed {self.seed}"

    @property
    def updates(self) -> int:
        """The number of generator updates."""
        return self.protocol.updates(self.technique)

    @property
    def batch_size(self) -> int:
        """Real images per critic update, over all devices."""
        if self.protocol.budget is not None:
            return self.protocol.budget.batch_size
        return int(self.protocol.settings(self.technique).get("data", {}).get("batch_size", 64))


@dataclass(frozen=True)
class Options:
    """A worker's options on this machine.

    Args:
        results: the folder of records.
        work: the folder of checkpoints and logs.
        devices: the number of devices that each run trains on.
        paths: command-line options with the paths of data and weights, which are not recorded.
        wandb: the W&B project; None does not log to W&B.
        wandb_checkpoints: also store the last checkpoint in W&B.
    """

    results: Path
    work: Path
    devices: int = 1
    paths: Mapping[str, str] = field(default_factory=dict)
    wandb: str | None = None
    wandb_checkpoints: bool = False
