import dataclasses

import pytest

from benchmarks.protocols import PROTOCOLS
from benchmarks.records import Record


@pytest.fixture
def record() -> Record:
    def scores(distance, score, update):
        return {
            "update": update,
            "images": update * 16,
            "train_seconds": update / 50,
            "fd1797_digits_cnn": distance,
            "is1797_digits_cnn": score,
        }

    return Record(
        protocol="digits",
        protocol_version=PROTOCOLS["digits"].version,
        technique="dcgan",
        seed=0,
        status="finished",
        message="",
        distance="fd1797_digits_cnn",
        score="is1797_digits_cnn",
        untrained={"fd1797_digits_cnn": 2000.0, "is1797_digits_cnn": 1.0},
        last={"fd1797_digits_cnn": 9.0, "is1797_digits_cnn": 7.0},
        best=scores(8.0, 7.5, 100),
        curve=[scores(2000.0, 1.0, 0), scores(8.0, 7.5, 100), scores(9.0, 7.0, 200)],
        budget={"generator_updates": 200, "critic_updates": 200, "images": 3200},
        wall_seconds=90.0,
        peak_memory_bytes=500_000_000,
        device={"name": "a processor", "threads": 1},
        versions={"torch": "2.11.0"},
        commit="0" * 40,
        config={"model": {"class_path": "gan_lightning.DCGAN"}},
    )


@pytest.fixture
def failed(record) -> Record:
    return dataclasses.replace(
        record,
        technique="wgan",
        status="failed",
        message="<b>out of memory</b>",
        untrained={},
        last={},
        best={},
        curve=[],
    )
