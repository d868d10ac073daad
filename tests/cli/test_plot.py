"""``gan-lightning plot`` and the curves that it draws."""

import math
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from gan_lightning import curves
from gan_lightning.cli import main
from gan_lightning.metrics.measures import METRIC_NAMES, POINT_METRIC_NAMES, full_name
from gan_lightning.training.loggers import ContinuedCSVLogger
from gan_lightning.utils.errors import ArgumentError

COMMANDS = re.findall(
    r"^gan-lightning plot .*$",
    (Path(__file__).parents[2] / "docs" / "logging.md").read_text(),
    re.MULTILINE,
)


@pytest.fixture
def run(tmp_path):
    """``run(path, points=3)``: the folder of a run with a log of so many updates."""

    def write(path, points=3, offset=0.0):
        folder = tmp_path / path
        logger = ContinuedCSVLogger(folder.parent.parent, folder.parent.name, folder.name)
        for step in range(points):
            values = {"fd1797_digits_cnn": 2000 / (1 + step) + offset, "train_seconds": step}
            if step:
                values |= {"loss/critic": 1 / step + offset, "loss/generator": math.log(step)}
                values |= {"gradient_norm": 1.0, "is1797_digits_cnn": 1 + step}
            logger.log_metrics(values, step)
        logger.finalize("success")
        return folder

    return write


def lines(figure):
    """The titles of the panels, with their curves by colour."""
    return {
        axes.get_title(loc="left"): {
            line.get_color(): list(zip(*line.get_data(), strict=True))
            for line in axes.get_lines()
            if line.get_alpha() is None and len(line.get_xdata()) > 1
        }
        for axes in figure.axes
    }


def test_all_runs_are_in_one_picture_each_in_its_colour(run):
    folders = [run("Digits-DCGAN/version_0"), run("Digits-WGANGP/version_0", offset=5)]
    runs = [curves.read_run(folder) for folder in folders]
    names = curves.choose(runs)
    assert names == [
        *("loss/critic", "loss/generator"),
        *("fd1797_digits_cnn", "is1797_digits_cnn"),
    ]
    figure = curves.draw(runs, names)
    drawn = lines(figure)
    assert list(drawn) == ["loss of the critic", "loss of the generator", *names[2:]]
    first, second = curves.COLOURS[:2]
    assert drawn["fd1797_digits_cnn"] == {
        first: [(0, 2000), (1, 1000), (2, pytest.approx(2000 / 3))],
        second: [(0, 2005), (1, 1005), (2, pytest.approx(2000 / 3 + 5))],
    }
    assert drawn["loss of the critic"][second] == [(1, 6), (2, 5.5)]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "Digits-DCGAN/version_0",
        "Digits-WGANGP/version_0",
    ]


@pytest.mark.parametrize(("points", "scale"), [(3, "linear"), (50, "log")])
def test_a_distance_that_varies_widely_has_a_logarithmic_axis(run, points, scale):
    figure = curves.draw([curves.read_run(run("a/b", points))], ["fd1797_digits_cnn"])
    (axes,) = figure.axes
    assert axes.get_yscale() == scale
    (dot,) = (line for line in axes.get_lines() if line.get_marker() == "o")
    assert dot.get_xydata().tolist() == [[points - 1, pytest.approx(2000 / points)]]


def test_a_loss_with_many_points_has_a_median_that_a_spike_does_not_move():
    points = [(i, 100.0 if i == 500 else 1.0) for i in range(1000)]
    runs = [curves.Run(Path("one"), {"loss/critic": points})]
    (axes,) = curves.draw(runs, ["loss/critic"]).axes
    pale, strong = axes.get_lines()
    assert max(pale.get_ydata()) == 100
    assert set(strong.get_ydata()) == {1}
    assert axes.get_ylim()[1] < 2


def test_rows_of_one_update_are_joined_and_what_is_not_finite_is_left_out(tmp_path):
    (tmp_path / "metrics.csv").write_text("a,b,step\n1,,5\n,2,5\nnan,inf,6\n3,,7\n")
    assert curves.read_run(tmp_path).values == {"a": [(5, 1), (7, 3)], "b": [(5, 2)]}
    assert curves.read_run(tmp_path / "metrics.csv").folder == tmp_path


@pytest.mark.parametrize(
    ("paths", "titles"),
    [
        (["x/version_0"], ["x/version_0"]),
        (["a/x/version_0", "b/x/version_0"], ["a/x/version_0", "b/x/version_0"]),
        (["x/one", "x/two"], ["one", "two"]),
    ],
)
def test_runs_are_named_by_what_tells_them_apart(paths, titles):
    assert curves.labels(list(map(Path, paths))) == titles


def test_scores_are_known_by_their_names():
    for metric in (*METRIC_NAMES, *POINT_METRIC_NAMES):
        for network in (None, "inception", "digits_cnn"):
            for count, split in ((50_000, "train"), (1797, "train5"), (200, "val")):
                name = full_name(metric, network, count, split)
                assert curves.SCORE.match(name), name
                lower_is_better = metric in ("fd", "kd", "swd")
                assert bool(curves.DISTANCE.match(name)) == lower_is_better
    for name in ("loss/critic", "score/real", "train_seconds", "diversity/fake", "step", "level"):
        assert not curves.SCORE.match(name)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_of_the_docs_draw(command, run, tmp_path, capsys):
    for name in ("Digits-DCGAN", "Digits-WGANGP"):
        run(f"runs/{name}/version_0", 60)
    main(shlex.split(command)[1:])
    (path,) = re.findall(r"wrote (\S+)", capsys.readouterr().out)
    if path.endswith(".svg"):
        assert "<svg" in (tmp_path / path).read_text()
        return
    with Image.open(tmp_path / path) as image:
        assert image.format == "PNG"
        assert len(image.convert("RGB").getcolors(100_000)) > 50
    assert len(COMMANDS) == 3


@pytest.mark.parametrize(
    ("arguments", "code", "answer"),
    [
        ([], 2, "plot: the following arguments are required: RUN"),
        (["nowhere"], 1, "there is no run nowhere"),
        (["runs/a"], 1, "runs/a has no metrics.csv: give the folder of a run, such as runs/a/b"),
        (["runs/a/b", "runs/a/../a/b"], 2, "the run runs/a/../a/b is given twice"),
        (["runs/a/b", "--values", "mode"], 2, "no run has logged mode: choose from fd1797"),
        (["runs/a/b", "--output", "x.gif"], 2, "plot: x.gif must end in .png, .svg, .pdf"),
        (["text"], 1, "text/metrics.csv is not the log of a run"),
        (["binary"], 1, "binary/metrics.csv is not the log of a run"),
        (["empty"], 1, "empty/metrics.csv holds no values yet"),
        (["other"], 2, "there are no losses and scores: choose from mine"),
        (["runs/a/b", "--output", "file/x.png"], 1, "file/x.png cannot be written"),
    ],
)
def test_a_mistake_is_answered_in_one_line(arguments, code, answer, run, tmp_path, capsys):
    run("runs/a/b")
    for name, content in {
        "text": b"hello\nworld\n",
        "binary": bytes(range(256)),
        "empty": b"a,step\n",
        "other": b"mine,step\n1,2\n",
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.csv").write_bytes(content)
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as stopped:
        main(["plot", *arguments])
    said = capsys.readouterr().err
    assert stopped.value.code == code
    assert said.startswith(f"gan-lightning: {answer}")
    assert said.count("\n") == 1


def test_a_run_is_not_drawn_twice(run):
    one = curves.read_run(run("a/b"))
    with pytest.raises(ArgumentError, match="given twice"):
        curves.draw([one, one], ["loss/critic"])


def test_it_imports_neither_torch_nor_lightning(run, tmp_path):
    run("a/b")
    text = (
        "import sys; from gan_lightning.cli import main; main(['plot', 'a/b']); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert {"torch", "pytorch_lightning", "jsonargparse"} & set(done.stdout.split()) == set()
    assert (tmp_path / "curves.png").is_file()
