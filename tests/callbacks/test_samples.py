"""SampleGrid and SampleWriter: which images are written where, and that they are comparable."""

import csv
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from helpers import IMAGE, SILENT, tiny
from PIL import Image
from pytorch_lightning.loggers import CSVLogger

from gan_lightning import WGANGP, sampling
from gan_lightning.callbacks import SampleGrid, SampleWriter
from gan_lightning.data import Digits, FashionMNIST, ImageFolder, Ring
from gan_lightning.utils.errors import ArgumentError
from gan_lightning.utils.images import image_grid, scatter_plot

TINY = [
    "--model=WGANGP",
    "--model.generator_width=8",
    "--model.critic_width=8",
    "--trainer.max_steps=1",
    "--evaluate.extractor=none",
]
# Distance in pixels between adjacent 8 x 8 images, enlarged four times.
PITCH = 34


class _Painted(WGANGP):
    """Every sample has a grey level given by its label."""

    def sample(self, n, y=None):
        assert len(y) == n
        return (y / 4.5 - 1).view(-1, 1, 1, 1).expand(-1, *self.shape)


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def size(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return image.size


def grids(run):
    return sorted(path.name for path in (run / "grids").iterdir())


@pytest.fixture
def picture(make_trainer, tmp_path):
    """``picture(model, data)`` runs a validation and returns the file it writes."""

    def draw(model, data, name="pictures"):
        logger = CSVLogger(tmp_path, name)
        trainer = make_trainer(SampleGrid(), logger=logger, limit_val_batches=2)
        trainer.validate(model, data, verbose=False)
        (path,) = (Path(logger.log_dir) / "grids").iterdir()
        return path

    return draw


# SampleGrid


def test_a_fit_writes_a_grid_at_every_evaluation(fit):
    run = fit(
        *TINY,
        "--data=Digits",
        "--data.batch_size=8",
        "--trainer.max_steps=4",
        "--trainer.val_check_interval=2",
    )
    assert grids(run) == ["step_000000.png", "step_000002.png", "step_000004.png"]
    drawn = [pixels(run / "grids" / name) for name in grids(run)]
    assert not np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[1], drawn[2])


@pytest.mark.parametrize(
    ("shape", "pitch"), [(IMAGE, PITCH), ((1, 28, 28), 30), ((3, 64, 64), 66), ((3, 12, 12), 38)]
)
def test_small_images_are_enlarged_to_about_32_pixels(shape, pitch):
    grid = image_grid(torch.zeros(11, *shape), columns=8)
    assert (grid.shape, grid.dtype) == ((3, 2 * pitch + 2, 8 * pitch + 2), torch.uint8)


def test_a_grid_shows_every_pixel_of_its_images_row_by_row():
    images = torch.rand(6, *IMAGE) * 2 - 1
    grid = image_grid(images, columns=4)
    shown = grid[:, 2 + PITCH : 2 + PITCH + 32 : 4, 2 + PITCH : 2 + PITCH + 32 : 4]
    assert torch.equal(shown, ((images[5] + 1) * 127.5).round().byte().expand(3, -1, -1))
    assert (grid[:, :2] == 255).all()


@pytest.mark.parametrize("data", [Digits, FashionMNIST])
def test_a_grid_is_eight_by_eight(picture, data_files, data):
    module = data(**data_files(data.__name__))
    pitch = {Digits: PITCH, FashionMNIST: 30}[data]
    assert size(picture(tiny("wgan_gp", module.shape), module)) == (8 * pitch + 2, 8 * pitch + 2)


@pytest.mark.parametrize(("model", "data"), [(IMAGE, Digits), ((2,), Ring)])
def test_latents_are_the_same_at_every_validation(picture, model, data):
    model = tiny("wgan_gp", model)
    first = picture(model, data(), "one").read_bytes()
    torch.manual_seed(99)
    assert picture(model, data(), "other").read_bytes() == first


def test_drawing_does_not_change_the_random_state(picture):
    model = tiny("wgan_gp", IMAGE, num_classes=10)
    before = torch.get_rng_state()
    picture(model, Digits(conditional=True))
    assert torch.equal(torch.get_rng_state(), before)


def test_every_class_has_a_column(picture):
    model = _Painted(IMAGE, 10, latent_dim=4, generator_width=8, critic_width=8)
    path = picture(model, Digits(conditional=True))
    assert size(path) == (10 * PITCH + 2, 8 * PITCH + 2)
    middles = pixels(path)[PITCH // 2 :: PITCH, PITCH // 2 :: PITCH, 0]
    greys = [round(label / 9 * 255) for label in range(10)]
    assert middles.tolist() == [greys] * 8


def test_more_classes_than_columns_are_mixed(picture):
    model = tiny("wgan_gp", IMAGE, num_classes=17)
    assert size(picture(model, Digits(conditional=True))) == (8 * PITCH + 2, 8 * PITCH + 2)


def test_vectors_are_plotted_with_real_ones(picture):
    path = picture(tiny("wgan_gp"), Ring())
    assert size(path) == (400, 400)
    # Besides a white background and black axes, there are dots in two colours.
    colours = np.unique(pixels(path)[..., :3].reshape(-1, 3), axis=0).astype(int)
    blue, orange = colours - [31, 119, 180], colours - [255, 127, 14]
    assert min(abs(blue).sum(axis=1).min(), 99) < 60
    assert min(abs(orange).sum(axis=1).min(), 99) < 60


def test_plots_of_one_training_have_the_same_axes(tmp_path):
    real = torch.randn(300, 2)
    fakes = {"near": real[:60], "far": 100 * real[:60], "nan": torch.full((60, 2), torch.nan)}
    pictures = {}
    for name, fake in fakes.items():
        scatter_plot(real, fake, tmp_path / f"{name}.png")
        pictures[name] = pixels(tmp_path / f"{name}.png")
    # The numbers beside the axes and below them.
    for other in ("far", "nan"):
        for part in (np.s_[:, :20], np.s_[-20:]):
            assert np.array_equal(pictures["near"][part], pictures[other][part])
    # What lies beyond is at the edge, and the legend is longer.
    assert not np.array_equal(pictures["near"], pictures["far"])
    assert not np.array_equal(pictures["far"], pictures["nan"])


# SampleWriter


def test_predict_writes_the_requested_number_of_images_and_a_grid(fit):
    run = fit(*TINY, "--data=Digits", "--data.batch_size=8")
    checkpoint = run / "checkpoints" / "last.ckpt"
    folder = fit("--ckpt_path", checkpoint, "--data.predict_samples=11", command="predict")
    written = sorted((folder / "samples").iterdir())
    assert [path.name for path in written] == [*(f"{i:06d}.png" for i in range(11)), "grid.png"]
    assert {size(path) for path in written[:-1]} == {(8, 8)}
    # The grid shows them in order: the ninth begins the second row.
    grid = pixels(folder / "samples" / "grid.png")
    assert grid.shape == (2 * PITCH + 2, 8 * PITCH + 2, 3)
    assert np.array_equal(grid[2 + PITCH : PITCH + 34 : 4, 2:34:4, 0], pixels(written[8]))
    assert len({path.read_bytes() for path in written}) == 12


def test_predict_is_reproducible(fit, tmp_path):
    run = fit(*TINY, "--data=Digits", "--data.batch_size=8")
    contents = []
    for name in ("one", "other"):
        fit(
            "--ckpt_path",
            run / "checkpoints" / "last.ckpt",
            "--data.predict_samples=3",
            f"--samples.output={tmp_path / name}",
            command="predict",
        )
        contents.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert contents[0] == contents[1]
    assert len(contents[0]) == 4


@pytest.fixture
def table(fit, tmp_path):
    """``table()`` predicts 11 vectors into a folder and returns the name and rows of its table."""
    run = fit(*TINY, "--data=Ring", "--data.batch_size=8")

    def predict():
        fit(
            "--ckpt_path",
            run / "checkpoints" / "last.ckpt",
            "--data.predict_samples=11",
            f"--samples.output={tmp_path / 'vectors'}",
            command="predict",
        )
        (path,) = (tmp_path / "vectors").iterdir()
        with path.open() as file:
            return path.name, [[float(value) for value in row] for row in csv.reader(file)]

    return predict


def test_predict_writes_a_table_of_vectors(table):
    name, rows = table()
    assert name == "samples_rank0.csv"
    assert np.isfinite(np.array(rows)).all()
    assert np.array(rows).shape == (11, 2)
    assert len({tuple(row) for row in rows}) == 11


def test_predicting_again_overwrites_the_table(table):
    assert table() == table()


# Classes

CONDITIONAL = ["--data.conditional=true", "--data.batch_size=8"]


@pytest.fixture(scope="module")
def conditional(fit_once):
    """``conditional(data)``: the options that predict with a class-conditional model of it."""

    @cache
    def trained(data):
        run = fit_once(*TINY, f"--data={data}", *CONDITIONAL)
        return f"--ckpt_path={run / 'checkpoints' / 'last.ckpt'}"

    return trained


def written(folder):
    """The files below a folder, with their folders."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def read_back(folder, tmp_path):
    """The labels with which ``ImageFolder`` reads a folder, and the names of its classes."""
    data = ImageFolder(folder, conditional=True, size=8, cache_dir=tmp_path / "cache")
    return data.load("train")[1].tolist(), [data.class_name(i) for i in range(data.num_classes)]


def test_the_folders_of_a_conditional_model_are_read_back_with_the_same_labels(
    fit, conditional, tmp_path, caplog
):
    run = fit(conditional("Digits"), "--data.predict_samples=13", command="predict")
    assert written(run / "samples") == sorted(f"{i % 10}/{i:06d}.png" for i in range(13))
    labels, _ = read_back(run / "samples", tmp_path)
    assert labels == sorted(i % 10 for i in range(13))
    # Each class has a column.
    assert size(run / "samples_grid.png") == (10 * PITCH + 2, 2 * PITCH + 2)
    (message,) = (each for each in caplog.messages if "samples are in" in each)
    assert message == (
        f"13 samples are in {run / 'samples'}, in a folder for each class; some are in "
        f"{run / 'samples_grid.png'}"
    )


@pytest.mark.parametrize(("classes", "drawn"), [("3", [3]), ("[0,3]", [0, 3]), ("[3,0,3]", [3, 0])])
def test_predict_draws_the_classes_that_it_is_asked_for_in_turn(fit, conditional, classes, drawn):
    options = ("--data.predict_samples=5", f"--data.predict_classes={classes}")
    run = fit(conditional("Digits"), *options, command="predict")
    files = sorted(f"{drawn[i % len(drawn)]}/{i:06d}.png" for i in range(5))
    assert written(run / "samples") == files


def test_samples_are_of_the_class_of_their_folder(make_trainer, tmp_path):
    model = _Painted(IMAGE, 10, latent_dim=4, generator_width=8, critic_width=8)
    data = Digits(conditional=True, predict_samples=12, predict_classes=[7, 2], batch_size=5)
    trainer = make_trainer(SampleWriter(str(tmp_path / "out")), default_root_dir=tmp_path)
    trainer.predict(model, data)
    for path in (tmp_path / "out").rglob("*.png"):
        assert (pixels(path) == round(int(path.parent.name) / 9 * 255)).all()
    assert len(written(tmp_path / "out")) == 12


def test_the_classes_of_a_folder_are_asked_for_by_name(make_trainer, data_files, tmp_path):
    data = ImageFolder(
        **data_files("ImageFolder"),
        **{"conditional": True, "size": 8, "predict_samples": 3, "predict_classes": "dogs"},
    )
    model = tiny("wgan_gp", data.shape, data.num_classes)
    make_trainer(SampleWriter(str(tmp_path / "out")), default_root_dir=tmp_path).predict(
        model, data
    )
    assert written(tmp_path / "out") == [f"dogs/{i:06d}.png" for i in range(3)]


def test_a_table_of_a_conditional_model_ends_with_the_labels(fit, conditional):
    options = ("--data.predict_samples=11", "--data.predict_classes=[5,1]")
    run = fit(conditional("Ring"), *options, command="predict")
    rows = [line.split(",") for line in (run / "samples" / "samples_rank0.csv").open()]
    assert [len(row) for row in rows] == [3] * 11
    assert [int(row[2]) for row in rows] == [5, 1] * 5 + [5]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("10", "predict_classes has no class 10: choose one, or a list in brackets, from 0 to 9"),
        ("[3,-1]", "predict_classes has no class -1: choose"),
        ("cats", "predict_classes has no class cats: choose"),
        ("[]", "predict_classes names no class: leave it out for all classes"),
    ],
)
def test_a_class_that_does_not_exist_is_refused(fit, conditional, capfd, given, said):
    with pytest.raises(SystemExit) as ended:
        fit(conditional("Digits"), f"--data.predict_classes={given}", command="predict")
    assert ended.value.code == 2
    assert f"gan-lightning: {said}" in capfd.readouterr().err.splitlines()[-1]


def test_a_class_of_a_model_without_classes_is_refused(fit, make_trainer, capfd):
    run = fit(*TINY, "--data=Digits", "--data.batch_size=8")
    with pytest.raises(SystemExit) as ended:
        fit(
            *("--ckpt_path", run / "checkpoints" / "last.ckpt", "--data.predict_classes=3"),
            command="predict",
        )
    assert ended.value.code == 2
    assert capfd.readouterr().err.splitlines()[-1] == (
        "gan-lightning: there are no classes, conditional is false: leave out predict_classes"
    )
    with pytest.raises(ArgumentError, match="WGANGP has no classes: leave out predict_classes"):
        make_trainer().predict(tiny("wgan_gp", IMAGE), Digits(conditional=True, predict_classes=3))


def test_labels_that_the_model_does_not_use_are_not_written(make_trainer, tmp_path):
    writer = SampleWriter(str(tmp_path / "out"))
    data = Digits(conditional=True, predict_samples=2)
    make_trainer(writer).predict(tiny("wgan_gp", IMAGE), data)
    assert written(tmp_path / "out") == ["000000.png", "000001.png", "grid.png"]


def predict_on_two_ranks(folder):
    torch.manual_seed(1)
    model = tiny("wgan_gp", IMAGE, num_classes=10)
    trainer = pl.Trainer(
        **{"devices": 2, "strategy": "ddp", "callbacks": [SampleWriter(str(folder / "out"))]},
        **(SILENT | {"default_root_dir": folder}),
    )
    torch.manual_seed(0)
    trainer.predict(model, Digits(conditional=True, predict_samples=23, batch_size=4))


def test_two_ranks_draw_each_sample_once_and_always_the_same(ranks, tmp_path):
    contents = []
    for name in ("one", "other"):
        ranks(predict_on_two_ranks, tmp_path / name)
        folder = tmp_path / name / "out"
        files = written(folder)
        assert files == sorted(f"{i % 10}/{i:06d}.png" for i in range(23))
        contents.append([(folder / file).read_bytes() for file in files])
        # The grid shows the samples of both.
        grid = tmp_path / name / "samples_grid.png"
        assert size(grid) == (10 * PITCH + 2, 3 * PITCH + 2)
        shown = pixels(grid)[2 + PITCH : PITCH + 34 : 4, 2 + PITCH : PITCH + 34 : 4, 0]
        assert np.array_equal(shown, pixels(folder / "1" / "000011.png"))
    assert contents[0] == contents[1]
    assert len(set(contents[0])) == 23


# Truncation and standing statistics


def test_predict_draws_truncated_samples(make_trainer, tmp_path, monkeypatch):
    model, seen = tiny("wgan_gp", IMAGE), []
    monkeypatch.setattr(
        model, "generate", lambda z, y=None: seen.append(z) or torch.zeros(len(z), *IMAGE)
    )
    for truncation in (0.25, None):
        writer = SampleWriter(str(tmp_path / "out"), truncation=truncation)
        make_trainer(writer).predict(model, Digits(predict_samples=64))
    assert 0.2 < seen[0].abs().max() <= 0.25
    assert seen[1].abs().max() > 1


def test_predict_computes_standing_statistics_of_what_it_draws(make_trainer, tmp_path):
    found = {}
    for passes, truncation in ((0, None), (3, None), (3, 0.1)):
        torch.manual_seed(1)
        model = tiny("wgan_gp", IMAGE, latent_dim=16)
        writer = SampleWriter(str(tmp_path / "out"), truncation, passes)
        make_trainer(writer).predict(model, Digits(predict_samples=2))
        norm = model.generator.blocks[0].norm1.norm
        found[passes, truncation] = norm.running_var.mean().item(), norm.num_batches_tracked.item()
    assert found[0, None] == (1, 0)
    assert found[3, None][1] == found[3, 0.1][1] == 3
    # Numbers within +-0.1 have a variance of 1/300.
    assert found[3, 0.1][0] / found[3, None][0] == pytest.approx(1 / 300, rel=0.5)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("truncation=0", "truncation must be positive, got 0"),
        ("truncation=-0.5", "truncation must be at least 0, got -0.5"),
        ("standing_statistics=-1", "standing_statistics must be at least 0, got -1"),
        ("truncation=1e-9", "truncation 1e-09 is too small: latents hardly fall within it"),
    ],
)
def test_wrong_numbers_are_refused_in_one_line(fit, conditional, capfd, option, said, monkeypatch):
    monkeypatch.setattr(sampling, "MAX_DRAWS", 3)
    with pytest.raises(SystemExit) as ended:
        fit(conditional("Digits"), f"--samples.{option}", command="predict")
    assert ended.value.code == 2
    assert f"gan-lightning: {said}" in capfd.readouterr().err.splitlines()[-1]


def test_a_share_of_styles_that_is_none_is_refused(make_trainer):
    with pytest.raises(ArgumentError, match=r"truncation must be in \[0, 1\], got 1.5"):
        make_trainer(SampleWriter(truncation=1.5)).predict(tiny("stylegan2", IMAGE), Digits())


def test_the_command_line_truncates_and_computes_statistics(fit, conditional, tmp_path):
    contents = []
    for options in ((), ("--samples.truncation=0.5",), ("--samples.standing_statistics=2",)):
        run = fit(conditional("Digits"), "--data.predict_samples=2", *options, command="predict")
        contents.append((run / "samples_grid.png").read_bytes())
    assert len(set(contents)) == 3


def test_a_generator_without_batch_normalisation_has_no_standing_statistics(make_trainer):
    with pytest.raises(ArgumentError, match="there is no batch normalisation"):
        make_trainer(SampleWriter(standing_statistics=1)).predict(tiny("began", IMAGE), Digits())
