"""StepProgressBar: its output in a terminal and in a log file."""

import re

import pytest
import torch
from helpers import IMAGE, tiny
from pytorch_lightning.callbacks import LambdaCallback
from rich.console import Console

from gan_lightning.callbacks import Evaluate, StepProgressBar
from gan_lightning.callbacks.progress import _TerminalBar
from gan_lightning.data import Digits, Ring


@pytest.fixture
def train(make_trainer, monkeypatch):
    """``train(model, data, *callbacks)`` trains for 4 updates with a progress bar."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(model, data, *callbacks, bar=None, ckpt_path=None, **arguments):
        defaults = {
            "max_steps": 4,
            "val_check_interval": 2,
            "check_val_every_n_epoch": None,
            "num_sanity_val_steps": -1,
            "enable_progress_bar": True,
            "log_every_n_steps": 1,
        }
        trainer = make_trainer(*callbacks, bar or StepProgressBar(), **(defaults | arguments))
        trainer.fit(model, data, ckpt_path=ckpt_path)
        return trainer

    return run


def score_lines(lines):
    return [line for line in lines if line.startswith("update ")]


def test_every_validation_prints_a_line_with_its_scores(train, capsys):
    train(tiny("wgan_gp", IMAGE), Digits(batch_size=8), Evaluate())
    lines = score_lines(capsys.readouterr().out.splitlines())
    assert [line.split(": ")[0] for line in lines] == ["update 0", "update 2", "update 4"]
    for line in lines:
        name, distance, other, score = line.split(": ")[1].split()
        assert (name, other) == ("fd1797_digits_cnn", "is1797_digits_cnn")
        assert float(distance) > 100
        assert 1 <= float(score) <= 10


def test_the_last_line_has_the_final_scores(train, capsys):
    trainer = train(tiny("wgan_gp", IMAGE), Digits(batch_size=8), Evaluate())
    last = score_lines(capsys.readouterr().out.splitlines())[-1]
    for name, value in trainer.callback_metrics.items():
        assert (f"{name} {value:.3f}" in last) == name.endswith("digits_cnn")


def test_the_finished_bar_shows_updates_and_the_last_losses(train, capsys):
    trainer = train(tiny("wgan_gp"), Ring(num_samples=100, batch_size=8))
    (bar,) = [line for line in capsys.readouterr().out.splitlines() if "WGANGP" in line]
    assert "4/4" in bar
    for name in ("critic", "generator"):
        assert f"{name} {trainer.callback_metrics[f'loss/{name}']:.3g}" in bar


@pytest.mark.parametrize("columns", [80, 100])
def test_a_terminal_has_room_for_a_bar_and_everything_else(capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("rich.progress.Task.speed", 0.512)
    bar = _TerminalBar("SoftplusWGAN", 100_000, 99_000, Console())
    bar.draw(99_500, "critic -1.23e+04  generator 0.0123")
    bar.close()
    (line,) = capsys.readouterr().out.splitlines()
    assert len(line) == columns
    assert line.startswith("Softplus… ━")
    assert line.count("━") + line.count("╸") >= columns - 75
    for part in ("99500/100000", "0.512/s", "0:16:17", "critic -1.23e+04", "generator 0.0123"):
        assert part in line


@pytest.mark.parametrize("columns", [80, 100])
def test_the_bar_of_a_run_with_scores_shows_rate_and_losses(train, capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    bar = StepProgressBar(refresh_rate=1)
    monkeypatch.setattr("rich.progress.Task.speed", 12.34)
    train(tiny("wgan_gp", IMAGE), Digits(batch_size=8), Evaluate(), bar=bar)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "WGANGP" in line]
    assert len(line) == columns
    assert re.search(r"━{20,} 4/4 12.3/s 0:00:\d\d critic \S+  generator \S+", line)


def test_a_notebook_has_a_bar_too(train, capsys, monkeypatch, recwarn):
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    trainer = train(tiny("wgan_gp"), Ring(num_samples=100, batch_size=8))
    line = capsys.readouterr().err.rpartition("\r")[2]
    assert re.search(r"WGANGP: 100%.* 4/4 \[.* updates/s, critic \S+  generator \S+\]", line)
    assert f"critic {trainer.callback_metrics['loss/critic']:.3g}" in line
    assert not any("widgets" in str(warning.message) for warning in recwarn)


def test_an_epoch_gives_the_number_of_updates(train, capsys):
    data = Ring(num_samples=200, batch_size=8)
    train(tiny("lsgan"), data, max_steps=-1, max_epochs=1, val_check_interval=10)
    assert "25/25" in capsys.readouterr().out


def test_the_bar_works_without_losses_and_scores(train, capsys):
    train(tiny("wgan_gp"), Ring(num_samples=100, batch_size=8), log_every_n_steps=0)
    lines = capsys.readouterr().out.splitlines()
    assert score_lines(lines) == []
    assert any("4/4" in line for line in lines)


def test_the_bar_of_a_resumed_run_starts_at_its_checkpoint(train, capsys, tmp_path):
    data = Ring(num_samples=100, batch_size=8)
    train(tiny("wgan_gp"), data, max_steps=2).save_checkpoint(tmp_path / "two.ckpt")
    capsys.readouterr()
    shown = []

    def record(trainer, *_):
        (bar,) = (c for c in trainer.callbacks if isinstance(c, StepProgressBar))
        shown.append(bar._bar._progress.tasks[0].completed)

    train(
        tiny("wgan_gp"),
        data,
        LambdaCallback(on_train_batch_start=record),
        ckpt_path=tmp_path / "two.ckpt",
    )
    assert shown[0] == 2
    assert "4/4" in capsys.readouterr().out


def test_a_disabled_bar_is_silent(train, capsys):
    bar = StepProgressBar()
    bar.disable()
    train(tiny("wgan_gp", IMAGE), Digits(batch_size=8), Evaluate(), bar=bar)
    assert capsys.readouterr().out == ""


def test_a_bar_can_be_enabled_again(train, capsys):
    bar = StepProgressBar()
    bar.disable()
    bar.enable()
    train(tiny("wgan_gp"), Ring(num_samples=100, batch_size=8), bar=bar)
    assert "4/4" in capsys.readouterr().out


def test_an_error_releases_the_terminal(train):
    def stop(*_):
        raise RuntimeError("stopped")

    bar = StepProgressBar()
    failing = LambdaCallback(on_train_batch_end=stop)
    with pytest.raises(RuntimeError, match="stopped"):
        train(tiny("wgan_gp"), Ring(num_samples=100, batch_size=8), failing, bar=bar)
    assert bar._bar is None


def test_the_bar_reads_losses_only_when_they_are_logged(train, monkeypatch):
    read = []
    convert = torch.Tensor.__float__
    monkeypatch.setattr(torch.Tensor, "__float__", lambda x: read.append(1) or convert(x))

    def count_reads(log_every):
        read.clear()
        data = Ring(num_samples=100, batch_size=8)
        train(tiny("lsgan"), data, log_every_n_steps=log_every, limit_val_batches=0)
        return len(read)

    assert count_reads(log_every=1) == 4 * count_reads(log_every=4) > 0
