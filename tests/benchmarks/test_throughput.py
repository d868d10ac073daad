"""Throughput: measured in turn, written, and shown in the docs."""

import itertools
import json

import pytest
import torch
from formats import TEST, TRAIN
from torchvision import models

from benchmarks import throughput
from benchmarks.measured_tables import data_tables, evaluation_tables, training_tables
from benchmarks.speed import loaders, timing, training
from gan_lightning.data import PrefetchLoader, TensorLoader


def test_cases_run_in_turn_and_the_first_round_does_not_count():
    order, clock = [], itertools.count()

    def case(name):
        return lambda: order.append(name) or next(clock)

    results = timing.run_interleaved({"a": case("a"), "b": case("b")}, rounds=3)
    assert order == ["a", "b"] * 4
    assert results == {"a": [2, 4, 6], "b": [3, 5, 7]}


def test_the_median_and_range_are_over_the_rounds():
    assert timing.median_and_range([5, 1, 2]) == {"median": 2, "low": 1, "high": 5}


def test_the_stopwatch_times_the_requested_number_of_batches():
    handed_out = []

    class Loader:
        def __len__(self):
            return 7

        def __iter__(self):
            for i in range(7):
                handed_out.append(i)
                yield torch.zeros(1), None

    seconds = loaders.stopwatch(Loader(), torch.device("cpu"), 20)()
    assert seconds > 0
    assert len(handed_out) == 10 + 20


def test_a_loader_without_a_batch_is_rejected():
    with pytest.raises(SystemExit, match="no batch: use a smaller --batch-size"):
        loaders.stopwatch(TensorLoader(torch.zeros(0, 1), None, 4), torch.device("cpu"), 1)


def test_all_cases_load_the_same_images(tmp_path, data_files, monkeypatch):
    monkeypatch.setattr(loaders, "CIFAR_SHAPE", (12, 3, 8, 8))
    cpu = torch.device("cpu")
    folder = tmp_path / data_files("ImageFolder")["data_dir"]
    cases = loaders.build_loaders(4, cpu, tmp_path, folder)
    assert [type(case) for case in cases.values()][:2] == [TensorLoader, PrefetchLoader]
    assert [name for name in cases if "DataLoader" in name] == [
        f"DataLoader, {what}, {workers} workers"
        for what in ("images in memory", "image files")
        for workers in (0, 2)
    ]

    def sorted_images(name):
        batches = [batch[0] for batch in cases[name]]
        assert {tuple(x.shape) for x in batches} == {(4, 3, 8, 8)}
        return torch.cat(batches).flatten(1).sum(dim=1).sort()[0]

    ours = sorted_images("tensor on the device")
    for name in ("memory-mapped file, prefetched", "DataLoader, images in memory, 0 workers"):
        torch.testing.assert_close(sorted_images(name), ours)


def test_measurements_are_written_and_shown(tmp_path, data_files, monkeypatch, capsys):
    monkeypatch.setattr(loaders, "CIFAR_SHAPE", (64, 3, 8, 8))
    arguments = ["--data", "--folder", data_files("ImageFolder")["data_dir"]]
    arguments += ["--batch-size", "8", "--batches", "3", "--rounds", "2"]
    throughput.main([*arguments, "--output", str(tmp_path / "figures")])
    (path,) = (tmp_path / "figures").iterdir()
    result = json.loads(path.read_text())
    assert result["folder"]["images"] == TRAIN + TEST
    assert 0 < result["folder"]["second"] < result["folder"]["first"]
    assert f"wrote {path}" in capsys.readouterr().out
    page = data_tables(tmp_path / "figures")
    for name, figure in result["images_per_second"].items():
        assert 0 < figure["low"] <= figure["median"] <= figure["high"]
        assert f"| {name} | {figure['median']:,.0f} |" in page
    assert f"A folder of {TRAIN + TEST} images" in page


@pytest.mark.slow
def test_the_parts_of_an_evaluation_are_measured_written_and_shown(tmp_path, capsys):
    weights = tmp_path / "weights.pth"
    torch.save(models.get_model("mobilenet_v2").state_dict(), weights)
    arguments = ["--eval", "--extractor", "mobilenet_v2", "--weights", str(weights)]
    arguments += ["--samples", "20", "--rounds", "2", "--output", str(tmp_path / "figures")]
    throughput.main(arguments)
    (path,) = (tmp_path / "figures").iterdir()
    assert path.name == "eval-mobilenet_v2-cpu.json"
    result = json.loads(path.read_text())
    assert list(result["seconds"]) == [
        "generate",
        "round and featurise",
        "sum up",
        "compute fd",
        "compute is",
    ]
    assert all(seconds > 0 for seconds in result["seconds"].values())
    # A network at 224 pixels takes longer than a generator at 32.
    assert result["seconds"]["round and featurise"] > result["seconds"]["generate"]
    speed = result["images_per_second"]
    assert speed["low"] <= speed["median"] <= speed["high"]
    assert f"{speed['median']:,.1f} images/s" in capsys.readouterr().out
    page = evaluation_tables(tmp_path / "figures")
    assert f"{speed['median']:,.0f} images per second" in page
    assert page.count("%") == 5


@pytest.mark.slow
def test_an_iteration_is_measured_in_each_mode_written_and_shown(tmp_path, capsys):
    modes = [training.EAGER, f"{training.EAGER}, bfloat16", f"{training.EAGER}, CUDA graph"]
    arguments = ["--train", "--points", "--techniques", "dcgan", "wgan_gp", "--width", "8"]
    arguments += ["--rounds", "2", "--updates", "3", "--batch-size", "4", "--modes", *modes]
    throughput.main([*arguments, "--name", "points", "--output", str(tmp_path / "figures")])
    output = capsys.readouterr().out
    (path,) = (tmp_path / "figures").iterdir()
    assert path.name.startswith("train-points-")
    result = json.loads(path.read_text())
    assert [case["technique"] for case in result["cases"]] == ["DCGAN", "WGANGP"]
    page = training_tables(tmp_path / "figures")
    for case in result["cases"]:
        assert case["shape"] == [2]
        assert case["generator_width"] == case["critic_width"] == 8
        assert list(case["modes"])[:3] == [training.BARE, *modes[:2]]
        for name, row in case["modes"].items():
            taken = row["milliseconds"]
            assert 0 < taken["low"] <= taken["median"] <= taken["high"]
            assert f"| {name} | {taken['median']:,.3g} ({taken['low']:,.3g} to" in page
            assert name in output
    # Five critic updates, each with a second gradient, beside one of the generator.
    plain, penalised = (case["operators"] for case in result["cases"])
    assert penalised > 3 * plain


def test_operations_match_a_count_by_hand():
    bare = training.BareLoop(training.Case("dcgan", (2,), 4, width=8), torch.device("cpu"))
    layers = [m for m in bare.gan.modules() if isinstance(m, torch.nn.Linear)]
    critic = [m for m in layers if m in set(bare.gan.critic.modules())]
    generator = [m for m in layers if m not in critic]

    def products(layers):
        return sum(2 * layer.in_features * layer.out_features for layer in layers)

    first_of_critic, first = products(critic[:1]), products(generator[:1])
    # The critic's update: the generator's forward pass; for the critic, on twice the batch, the
    # forward pass, the gradients of weights, and those of inputs other than the samples. The
    # generator's update: both forward passes, the gradients of the critic's inputs, and those of
    # the generator's weights and inputs.
    expected = 4 * (
        products(generator)
        + 2 * (3 * products(critic) - first_of_critic)
        + products(generator)
        + 2 * products(critic)
        + 2 * products(generator)
        - first
    )
    assert bare.counts()[0] == expected


def test_one_thing_is_measured_at_a_time(capsys):
    for arguments in ([], ["--data", "--eval"]):
        with pytest.raises(SystemExit):
            throughput.main(arguments)
    assert "not allowed with argument" in capsys.readouterr().err
