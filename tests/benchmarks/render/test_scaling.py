"""From one GPU to many: the numbers are those that one computes by hand."""

import json

import pytest

from benchmarks.protocol import PAPER_RUNS, THROUGHPUT
from benchmarks.render import scaling
from gan_lightning import TECHNIQUES


def cells(table):
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]


@pytest.fixture
def file(tmp_path):
    """``file(content)``: the path of a JSON file."""

    def write(content):
        (tmp_path / "file.json").write_text(json.dumps(content))
        return tmp_path / "file.json"

    return write


def test_averaging_is_computed_from_the_parameters(file):
    run = {"technique": "wgan", "batch_size": 64, "n_critic": 5, "flops": 0.4 * 494.7e12 * 0.1}
    run["parameters"] = [20_000_000, 16_000_000]
    ((title, count, size, *times, fast, slow),) = cells(
        scaling.averaging_table(file({"runs": [run]}))
    )
    # 100 million gradients; twice 400 MB at 450 and at 12.5 GB/s, and six times 20 microseconds.
    assert (title, count, size) == ("WGAN", "6", "400")
    assert times == ["1.90", "64.1"]
    # Of 100 ms, a ninth of what is left by each of 5 GPUs for 1.898 ms: 11.1 / 1.898 = 5.85.
    assert (fast, slow) == ("5", "1")


def test_no_more_gpus_share_a_batch_than_it_has_samples():
    assert scaling._largest(1.0, 1e-6, 64) == "64"


def test_every_technique_is_in_the_committed_table():
    assert len(cells(scaling.averaging_table(PAPER_RUNS))) == len(TECHNIQUES.own)


def test_caches_hold_bytes_of_pixels(file):
    rows = cells(scaling.cache_table(file({"decoding": {"178 x 218": 100.0}})))
    by_name = {(row[0], row[3]): row for row in rows}
    assert by_name["CIFAR-10", "32 x 32"][4:] == ["0.18", "-"]
    # 202,599 x 3 x 64 x 64 bytes; 202,599 / 100 / 3,600 hours.
    assert by_name["CelebA", "64 x 64"][4:] == ["2.49", "0.56"]
    assert by_name["LSUN bedrooms", "128 x 128"][5] == "-"


def test_ranks_share_the_features_and_one_computes_the_distance(file):
    rows = cells(scaling.ranks_table(file({"seconds": {"compute fd": 2.0}})))
    # 50,000 x 11.4 GFLOP at 26.76 and 6.69 TFLOP/s.
    assert rows[0] == ["1", "21.3 to 85.2", "2.00", "23.3 to 87.2"]
    assert rows[3] == ["8", "2.66 to 10.7", "2.00", "4.66 to 12.7"]


@pytest.mark.parametrize(
    "table", [scaling.averaging_table, scaling.cache_table, scaling.ranks_table]
)
def test_without_a_measurement_there_is_no_table(table, tmp_path):
    assert table(tmp_path / "none.json") == ""
    assert THROUGHPUT.is_dir()
