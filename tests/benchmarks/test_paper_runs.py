"""Operations of the papers' runs, counted without computing them."""

import json

import pytest
import torch
from helpers import tiny
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks import paper_runs
from benchmarks.protocol import PAPER_RUNS
from benchmarks.render.paper_runs import paper_runs_table
from benchmarks.render.published import Reported, read_reported
from benchmarks.throughput.training import BareLoop, Case
from gan_lightning import DCGAN, TECHNIQUES, Regularizer


@pytest.mark.parametrize("technique", ["dcgan", "wgan_gp"])
def test_operations_are_those_of_a_computed_update(technique):
    case = Case(technique, (3, 16, 16), 4, width=8, network="dcgan")
    expected, _ = BareLoop(case, torch.device("cpu")).counts()
    with FakeTensorMode():
        model = case.build()
        found = paper_runs.flops_of(model, model.kind(0), case.batch_size)
    assert found == expected > 0


class Lazy(DCGAN):
    """A regularizer of 2 x 7 x 5 x 3 operations, now and then; a level with half as many."""

    critic_norm: str = "none"

    def critic_regularizers(self):
        return [Regularizer(self.product, every=4)]

    def product(self, x, y, fake):
        rows = 7 if self.level else 14
        return (torch.ones(rows, 5) @ torch.ones(5, 3)).sum(), {}

    def level_at(self, images):
        return int(images >= 100 * 8)


def test_regularizers_and_levels_count_as_often_as_they_are_computed():
    with FakeTensorMode():
        model = Lazy((1, 8, 8), generator_width=8, critic_width=8)
        plain = paper_runs.flops_of(model, model.kind(0), 8)
        found = paper_runs.mean_flops(model, updates=200, batch_size=8)
    assert found - plain == pytest.approx((420 + 210) / 2 / 4)


def test_unrolled_steps_count():
    with FakeTensorMode():
        costs = []
        for steps in (0, 2):
            model = tiny("unrolled", (1, 8, 8), unrolled_steps=steps)
            paper_runs.attach_optimizers(model)
            costs.append(paper_runs.flops_of(model, model.kind(0), 4))
    assert costs[1] > 2 * costs[0]


def test_the_committed_table_has_all_techniques():
    runs = json.loads(PAPER_RUNS.read_text())["runs"]
    assert [run["technique"] for run in runs] == list(TECHNIQUES.own)
    assert paper_runs_table(PAPER_RUNS, read_reported()).count("\n") == len(runs) + 1


def test_times_are_operations_over_a_share_of_the_peak(tmp_path):
    # At 40% of 494.7 TFLOP/s, 1.9788 TFLOP take 10 ms; 360,000 updates of that an hour.
    run = {"technique": "dcgan", "updates": 360_000, "batch_size": 64, "n_critic": 2}
    run |= {"parameters": [1_000_000, 2_500_000], "flops": 1.9788e12}
    (tmp_path / "runs.json").write_text(json.dumps({"runs": [run]}))
    entry = {"technique": "dcgan", "seconds": "0.5", "work": "2 x 64", "source": "[a](b)"}
    table = paper_runs_table(tmp_path / "runs.json", Reported([], [], [entry]))
    row = (
        "| DCGAN | 360,000 | 2 x 64 | 1.00 and 2.50 | 1,979 | 0.712 | 10.0 to 40.0 | 1.00 to 4.00 |"
    )
    assert table.splitlines()[-1] == f"{row} 0.5: 2 x 64, [a](b) |"


def test_without_a_file_there_is_no_table(tmp_path):
    assert paper_runs_table(tmp_path / "runs.json", Reported([], [], [])) == ""
