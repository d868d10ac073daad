"""Throughput: measured in turn, written, and shown in the docs."""

import itertools
import json
import time
from concurrent.futures import Future

import pytest
import torch
from formats import TEST, TRAIN
from torchvision import models

from benchmarks.render.measured import (
    data_tables,
    evaluation_tables,
    shared_batch_tables,
    training_tables,
)
from benchmarks.throughput import command as throughput
from benchmarks.throughput import loaders, shared_batch, timing, training
from gan_lightning import TECHNIQUES
from gan_lightning.data import PrefetchLoader, TensorLoader

SHARED = sorted({technique for technique, _, _ in shared_batch.SETTINGS})


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
    monkeypatch.setattr(loaders, "FILE_COUNT", 4)
    arguments = ["--data", "--folder", data_files("ImageFolder")["data_dir"]]
    arguments += ["--batch-size", "8", "--batches", "3", "--rounds", "2"]
    throughput.main([*arguments, "--output", str(tmp_path / "figures")])
    (path,) = (tmp_path / "figures").iterdir()
    result = json.loads(path.read_text())
    assert result["folder"]["images"] == TRAIN + TEST
    assert list(result["decoding"]) == ["178 x 218", "256 x 256", "500 x 375"]
    assert min(result["decoding"].values()) > 0
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


class Clock:
    """Stands in for ``time``; each reading is a second after the one before."""

    def __init__(self):
        self.now = 0

    def monotonic(self):
        self.now += 1
        return self.now


@pytest.fixture
def loops(monkeypatch):
    """Loops that take a second and train nothing; the names of those that ran."""
    ran = []

    class Loop:
        def __init__(self, case, device, mode=None, captured=False):
            self.name = training.BARE if mode is None else mode.precision
            self.gan = case.build()

        def seconds(self, updates, inside=None):
            ran.append(self.name)
            clock.now += 10
            return 0.5

        def counts(self):
            return 100, 7

    clock = Clock()
    for module in (training, throughput):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(training, "BareLoop", Loop)
    monkeypatch.setattr(training, "LightningLoop", Loop)
    return ran


CASE = training.Case("dcgan", (2,), 4, width=8)
TWO_MODES = {"a": training.Mode(), "b": training.Mode(precision="bf16-mixed")}


def test_each_measurement_is_reported_before_the_next(loops):
    reported = []

    def report(result):
        rows = result["modes"].values()
        reported.append([None if row is None else row["milliseconds"]["median"] for row in rows])

    device = torch.device("cpu")
    result = training.measure_training(CASE, device, 5, 2, TWO_MODES, report=report)
    assert loops == [training.BARE, "32-true", "bf16-mixed"] * 3
    none = [None, None, None]
    assert reported == [
        *[none, none, none],
        *([500, None, None], [500, 500, None], [500, 500, 500]),
        *[[500, 500, 500]] * 3,
    ]
    assert result["modes"]["b"]["precision"] == "bf16-mixed"
    assert result["modes"]["a"]["images_per_second"]["median"] == 8


def test_no_measurement_starts_that_would_end_too_late(loops):
    # The three rounds of warming up end at 33, the first measurements at 45 and 58.
    result = training.measure_training(CASE, torch.device("cpu"), 5, 9, TWO_MODES, until=55)
    assert loops == [training.BARE, "32-true", "bf16-mixed", training.BARE, "32-true"]
    assert [row is None for row in result["modes"].values()] == [False, False, True]


def test_a_mode_without_a_measurement_is_shown_as_such(loops, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(throughput, "peak_flops", lambda device, dtype: 1e3)
    modes = [training.EAGER, f"{training.EAGER}, bfloat16"]
    arguments = ["--train", "--points", "--techniques", "dcgan", "wgan", "--modes", *modes]
    throughput.main([*arguments, "--minutes", "0.8", "--output", str(tmp_path)])
    assert "not measured" in capsys.readouterr().out
    result = json.loads((tmp_path / "train-all-cpu.json").read_text())
    assert [case["technique"] for case in result["cases"]] == ["DCGAN", "WGAN"]
    page = training_tables(tmp_path)
    # There is time for two measurements of the first.
    assert page.count("| not measured | - | - | - |") == 4


def test_launches_are_counted_per_update():
    loop = training.BareLoop(CASE, torch.device("cpu"))
    counted = training.count_launches(loop, [training.ProfilerActivity.CPU])
    assert counted == {"launches": 0, "kernels": 0}


def test_modes_are_compiled_before_they_are_timed(monkeypatch):
    compiled = []
    monkeypatch.setattr(training, "ProcessPoolExecutor", Inline)
    monkeypatch.setattr(
        training, "LightningLoop", lambda case, device, mode: Compiling(compiled, case, mode)
    )
    cases = [training.Case(name, (2,), 4) for name in ("dcgan", "wgan")]
    training.compile_ahead(cases, torch.device("cpu"), training.MODES)
    training.compile_ahead(cases, torch.device("cpu"), {"eager": training.Mode()})
    assert compiled == [("dcgan", {"compile": True}), ("wgan", {"compile": True})]


class Inline:
    """A pool that calls functions at once."""

    def __init__(self, workers, context):
        assert workers >= 1
        assert context.get_start_method() == "spawn"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def submit(self, function, *arguments):
        future = Future()
        future.set_result(function(*arguments))
        return future


class Compiling:
    def __init__(self, compiled, case, mode):
        compiled.append((case.technique, mode.options))

    def seconds(self, updates):
        assert updates == 1


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


@pytest.mark.parametrize("technique", SHARED)
def test_a_batch_can_be_shared_by_one_critic_update_alone(technique):
    assert TECHNIQUES[technique].n_critic == 1


@pytest.mark.parametrize("technique", SHARED)
def test_on_the_same_latents_a_shared_batch_gives_the_same_gradients(technique):
    loops = shared_batch.build_loops(training.Case(technique, (3, 16, 16), 4, width=8))
    ours, shared = (loop.gan for loop in loops)
    with torch.no_grad():  # a new critic cannot separate these from others: no hinge is flat
        x, z = ours.generator(ours.draw_latents(4), None), ours.draw_latents(4)
    shared.generator.generator.load_state_dict(ours.generator.state_dict())
    shared.critic.load_state_dict(ours.critic.state_dict())
    for loop in loops:
        loop.gan.draw_latents = lambda n: z
        for name, module in loop.gan.named_modules():
            # Our second pass would make one more power iteration.
            if name.startswith("generator") and name.endswith("parametrizations.weight.0"):
                module.eval()
        loop.iterate(x)
    for network in ("generator", "critic"):
        gradients = [
            [parameter.grad for parameter in getattr(gan, network).parameters()]
            for gan in (ours, shared)
        ]
        assert any(gradient.count_nonzero() for gradient in gradients[0])
        torch.testing.assert_close(*gradients, rtol=0, atol=0)


def test_a_batch_is_shared_once():
    generator = shared_batch.SharedBatch(torch.nn.Linear(2, 2))
    generator.generator.forward = lambda z, y: generator.generator.weight * z
    with torch.no_grad():
        generated = generator(torch.ones(2))
    again = generator(torch.zeros(2))
    assert torch.equal(again, generated)
    assert [again.requires_grad, generated.requires_grad] == [True, False]
    with pytest.raises(RuntimeError, match="needs a critic's update before it"):
        generator(torch.ones(2))


def test_a_shared_batch_saves_one_pass_of_the_generator():
    ours, shared = shared_batch.build_loops(training.Case("dcgan", (3, 32, 32), 4, width=16))
    before, after = ours.counts()[0], shared.counts()[0]
    # Multiplications of one sample in each layer of the generator and of the critic.
    generator = [100 * 64 * 4**2, 64 * 32 * 4**4, 32 * 16 * 4**5, 16 * 3 * 4**6]
    critic = [3 * 16 * 4**6, 16 * 32 * 4**5, 32 * 64 * 4**4, 64 * 4**2]
    # As in the count by hand above.
    ours_by_hand = 4 * sum(generator) - generator[0] + 8 * sum(critic) - 2 * critic[0]
    assert before == 4 * 2 * ours_by_hand
    assert before - after == 4 * 2 * sum(generator)
    assert after / before == pytest.approx(0.9093, abs=1e-4)


def test_a_shared_batch_is_measured_written_and_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(throughput, "SETTINGS", [("dcgan", 16, 8), ("began", 16, 8)])
    arguments = ["--shared-batch", "--rounds", "3", "--updates", "2", "--batch-size", "4"]
    throughput.main([*arguments, "--output", str(tmp_path / "figures")])
    (path,) = (tmp_path / "figures").iterdir()
    assert path.name == "shared-batch-cpu.json"
    result = json.loads(path.read_text())
    assert [case["technique"] for case in result["cases"]] == ["DCGAN", "BEGAN"]
    output, page = capsys.readouterr().out, shared_batch_tables(tmp_path / "figures")
    assert "Batches of 4;" in page
    assert "medians of 3 rounds of 2 updates" in page
    for case in result["cases"]:
        times, ratio = case["processor_milliseconds"], case["relative_processor_time"]
        assert 0 < times["ours"]["low"] <= times["ours"]["median"] <= times["ours"]["high"]
        assert 0 < ratio["low"] <= ratio["median"] <= ratio["high"]
        assert case["relative_flops"] == case["flops"]["shared batch"] / case["flops"]["ours"] < 1
        assert f"| {case['technique']} | 3 x 16 x 16 | 8 and 8 |" in page
        assert f"| {ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f}) |" in page
        assert f"{case['technique']}, 16 px, width 8" in output


def test_time_that_a_process_waits_is_not_processor_time(monkeypatch):
    monkeypatch.setattr(training.BareLoop, "update", lambda loop: time.sleep(0.1))
    result = shared_batch.measure_shared_batch(training.Case("dcgan", (2,), 4, width=8), 1, 1)
    assert 0 < result["processor_milliseconds"]["ours"]["high"] < 50


def test_one_thing_is_measured_at_a_time(capsys):
    for arguments in ([], ["--data", "--eval"]):
        with pytest.raises(SystemExit):
            throughput.main(arguments)
    assert "not allowed with argument" in capsys.readouterr().err
