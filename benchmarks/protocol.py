"""What makes two numbers comparable, frozen and versioned."""

from dataclasses import dataclass
from pathlib import Path

from gan_lightning import TECHNIQUES

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
THROUGHPUT = RESULTS / "throughput"
SENSITIVITY = RESULTS / "sensitivity"


@dataclass(frozen=True)
class Protocol:
    """A data set, a config per technique that fixes its budget, seeds, and the scores to compare.

    Techniques start from their papers' hyperparameters; a config names what it changes, and why.
    Any change that moves a number, in the configs too, takes a new ``version``.

    Args:
        name: of the folder of its records.
        version: a record of another version does not count.
        title: of its table.
        description: what is trained, on what, and how it is scored.
        configs: the folder with ``<technique>.yaml``.
        seeds: that a complete table has.
        distance: the Frechet distance that ranks; lower is better.
        score: the Inception-like score beside it; higher is better.
        accelerator: as the trainer names it.
        threads: of each run on a CPU, so that its bits do not depend on the machine's cores.
    """

    name: str
    version: int
    title: str
    description: str
    configs: Path
    seeds: tuple[int, ...]
    distance: str
    score: str
    accelerator: str
    threads: int

    def config(self, technique: str) -> Path:
        """The config of a technique."""
        return self.configs / f"{technique}.yaml"

    @property
    def techniques(self) -> tuple[str, ...]:
        """Those that have a config, in the order of ``TECHNIQUES``."""
        return tuple(name for name in TECHNIQUES if self.config(name).is_file())


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name="digits",
            version=4,
            title="Handwritten digits, 8 x 8",
            description=(
                "The 1,797 handwritten digits of scikit-learn, on one CPU thread. The last "
                "generator of each run makes 1,797 samples, which a small digit classifier "
                "compares with all real digits: `fd1797_digits_cnn` is the Frechet distance of its "
                "64 features (not FID, and not to be compared with any), `is1797_digits_cnn` is "
                "the Inception score on its ten classes, at most 10."
            ),
            configs=ROOT / "configs" / "digits",
            seeds=(0, 1, 2),
            distance="fd1797_digits_cnn",
            score="is1797_digits_cnn",
            accelerator="cpu",
            threads=1,
        ),
    )
}
