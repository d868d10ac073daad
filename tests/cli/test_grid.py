"""``gan-lightning grid``, and the grids of samples that it draws."""

import pytest
import torch
from helpers import CLASSES, IMAGE, VECTOR, batches, tiny, train
from PIL import Image
from torch import nn

from gan_lightning.cli.program import main
from gan_lightning.grids import PSIS, THRESHOLDS, mixing_grid, noise_grid, truncation_grid
from gan_lightning.utils.errors import ArgumentError

every_style = pytest.mark.parametrize("name", ["stylegan", "stylegan2"])


def seeded():
    return torch.Generator().manual_seed(0)


def styled(name, num_classes=0):
    model = tiny(name, IMAGE, num_classes)
    for parameter_name, parameter in model.generator.named_parameters():
        if parameter_name.endswith("noise_strength"):
            nn.init.normal_(parameter)  # at first they are 0
    model.generator.w_avg.normal_()
    return model


def rows_of(grid):
    return grid.images.unflatten(0, (-1, grid.columns))


@pytest.mark.parametrize("num_classes", [0, CLASSES])
@pytest.mark.parametrize("name", ["dcgan", "began", "stylegan2"])
def test_a_row_of_a_truncation_grid_has_one_latent(name, num_classes):
    if name == "began" and num_classes:
        return
    model = styled(name, num_classes) if name == "stylegan2" else tiny(name, IMAGE, num_classes)
    rows = rows_of(truncation_grid(model, 3, generator=seeded()))
    # Uniform latents are all within 1.
    columns = len(PSIS) if name == "stylegan2" else len([t for t in THRESHOLDS if t <= 1])
    assert rows.shape == (3, columns, *IMAGE)
    z, y = model.draw_inputs(3, generator=seeded())
    # The last truncation changes nothing of styles.
    if name == "stylegan2":
        assert torch.equal(rows[:, -1], model.sample(z=z, y=y))


@every_style
def test_a_mixed_image_has_the_layers_of_its_column_and_the_rest_of_its_source(name):
    model = styled(name, CLASSES)
    rows = rows_of(mixing_grid(model, sources=2, styles=3, generator=seeded()))
    assert rows.shape == (1 + 3 * 2, 4, *IMAGE)
    z, y = model.draw_inputs(5, generator=seeded())
    styles, images = model.styles(z, y), model.sample(z=z, y=y)
    assert (rows[0, 0] == 1).all()
    torch.testing.assert_close(rows[0, 1:], images[2:])
    for source in range(2):
        for group in range(3):
            torch.testing.assert_close(rows[1 + 2 * group + source, 0], images[source])
    # The second group, the second source, the third style: four layers are two, one and one.
    mixed = torch.cat([styles[1, :2], styles[4, 2:3], styles[1, 3:]])
    torch.testing.assert_close(rows[4, 3], model.synthesize(mixed[None])[0])
    assert not torch.equal(rows[4, 3], images[1])


@every_style
def test_a_noise_grid_differs_in_noise_alone(name):
    model = styled(name)
    grid = noise_grid(model, 2, 3, seeded())
    rows = rows_of(grid)
    assert rows.shape == (2, 3, *IMAGE)
    assert len(grid.images.flatten(1).unique(dim=0)) == 6
    assert torch.equal(noise_grid(model, 2, 3, seeded()).images, grid.images)
    for parameter_name, parameter in model.generator.named_parameters():
        if parameter_name.endswith("noise_strength"):
            nn.init.zeros_(parameter)
    rows = rows_of(noise_grid(model, 2, 3, seeded()))
    torch.testing.assert_close(rows[:, 0], rows[:, 1])


def test_models_without_styles_or_images_are_refused():
    for grid in (mixing_grid, noise_grid):
        for model in (tiny("dcgan", IMAGE), tiny("stylegan2", VECTOR)):
            with pytest.raises(ArgumentError, match=f"{type(model).__name__} has no styles: "):
                grid(model)
    with pytest.raises(ArgumentError, match="a grid is of images, and samples have the shape"):
        truncation_grid(tiny("dcgan", VECTOR))


@pytest.fixture
def run(tmp_path):
    """``run(name)``: the folder of a run of this technique."""

    def make(name):
        trainer = train(tiny(name, IMAGE), batches(IMAGE), max_steps=1)
        trainer.save_checkpoint(tmp_path / name / "checkpoints" / "last.ckpt")
        return tmp_path / name

    return make


@pytest.mark.parametrize(
    ("kind", "columns", "rows"),
    [("truncation", 5, 4), ("mixing", 6, 7), ("noise", 5, 4), ("walk", 8, 4)],
)
def test_the_command_writes_a_picture(run, kind, columns, rows, capsys):
    main(["grid", "--ckpt_path", str(run("stylegan2")), "--kind", kind])
    assert f"wrote {kind}.png" in capsys.readouterr().out
    # Enlarged eight times, with lines of two pixels; names are above, or to the left.
    with Image.open(f"{kind}.png") as image:
        assert image.width - (columns * 66 + 2) in range(1 if kind != "mixing" else 80)
        assert image.height - (rows * 66 + 2) == (24 if kind == "truncation" else 0)


def test_the_command_takes_a_file_and_options(run, tmp_path):
    path = run("dcgan") / "checkpoints" / "last.ckpt"
    output = tmp_path / "of_dcgan.png"
    main(["grid", f"--ckpt_path={path}", "--values", "0.5", "1", "--rows=3", f"--output={output}"])
    with Image.open(output) as image:
        assert image.size == (2 * 66 + 2, 3 * 66 + 2 + 24)


def test_films_are_of_walks_truncations_and_noise(run):
    folder = run("stylegan2")
    for kind, options, frames in (
        ("walk", ["--rows=4", "--columns=6", "--stops=3"], 6),
        ("truncation", [], len(PSIS)),
        ("noise", [], 5),
    ):
        main(["grid", f"--ckpt_path={folder}", f"--kind={kind}", "--film", *options])
        with Image.open(f"{kind}.webp") as film:
            assert film.format == "WEBP"
            assert film.n_frames == frames


@pytest.fixture(scope="module")
def conditional(fit_once):
    """A short run on digits with classes, which has a config and two evaluations."""
    return fit_once(
        *("--model=DCGAN", "--data=Digits", "--data.conditional=true", "--data.batch_size=16"),
        *("--model.generator_width=8", "--model.critic_width=8", "--trainer.max_steps=2"),
        *("--trainer.val_check_interval=2", "--evaluate.extractor=none"),
    )


def test_a_film_of_training(conditional):
    main(["grid", f"--ckpt_path={conditional}", "--kind=training", "--output=run.gif"])
    main(["grid", f"--ckpt_path={conditional}/checkpoints/last.ckpt", "--kind=training"])
    for name in ("run.gif", "training.webp"):
        with Image.open(name) as film:
            assert film.n_frames == len(list((conditional / "grids").iterdir())) == 2


def test_classes_are_asked_for_by_name_or_number(conditional, capsys):
    main(["grid", f"--ckpt_path={conditional}", "--kind=classes", "--classes", "3", "8"])
    main(["grid", f"--ckpt_path={conditional}", "--kind=walk", "--classes", "3", "8", "--rows=3"])
    with Image.open("classes.png") as image:
        assert image.height == 2 * 66 + 2
    with pytest.raises(SystemExit):
        main(["grid", f"--ckpt_path={conditional}", "--kind=classes", "--classes", "ten"])
    assert "grid: --classes has no class ten: choose from 0 to 9" in capsys.readouterr().err


def test_nearest_images_are_those_of_the_run_s_data(conditional, capsys):
    options = ["--kind=nearest", "--rows=2", "--columns=3", "--samples=8", "--data.flip=true"]
    main(["grid", f"--ckpt_path={conditional}", *options, "--extractor=digits_cnn"])
    said = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in said] == ["pixels", "digits_cnn", "wrote nearest.png"]
    with Image.open("nearest.png") as image:
        assert image.height == 4 * 66 + 2 + 24
    # The run's scores were on no network.
    main(["grid", f"--ckpt_path={conditional}", *options])
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == [
        *("pixels", "wrote nearest.png"),
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data.flip=maybe"], "flip: expected bool, got maybe"),
        (["--data.nothing=1"], "there is no option nothing"),
        (["--data=Nothing"], "there is no class Nothing"),
        (["--data=Ring", "--extractor=none"], "have the shape (1, 8, 8), and real ones (2,)"),
        (["--extractor=nothing"], "there is no extractor 'nothing'"),
    ],
)
def test_a_mistake_about_the_data_is_answered_with_one_line(conditional, options, message, capsys):
    with pytest.raises(SystemExit):
        main(["grid", f"--ckpt_path={conditional}", "--kind=nearest", "--samples=6", *options])
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_missing_weights_leave_the_pixels(conditional, no_network, monkeypatch, capsys):
    monkeypatch.delenv("GAN_LIGHTNING_INCEPTION", raising=False)
    options = ["--kind=nearest", "--rows=2", "--samples=4", "--data.conditional=true"]
    config = conditional / "config.yaml"
    text = config.read_text()
    try:
        config.write_text(text.replace("extractor: none", "extractor: inception"))
        main(["grid", f"--ckpt_path={conditional}", *options])
        said = capsys.readouterr().out.splitlines()
        assert said[0].startswith("only in pixels: FID and IS need")
        assert said[-1] == "wrote nearest.png"
        with pytest.raises(SystemExit):
            main(["grid", f"--ckpt_path={conditional}", *options, "--extractor=inception"])
    finally:
        config.write_text(text)


def test_a_run_without_a_config_needs_its_data_named(run, capsys):
    path = run("dcgan")
    with pytest.raises(SystemExit):
        main(["grid", f"--ckpt_path={path}", "--kind=nearest"])
    assert "name its data, such as --data Digits" in capsys.readouterr().err
    main(["grid", f"--ckpt_path={path}", "--kind=nearest", "--data=Digits", "--samples=6"])
    assert "digits_cnn: the median" in capsys.readouterr().out


def test_points_are_plotted_or_it_is_said_why_not(tmp_path, capsys):
    trainer = train(tiny("wgan_gp", VECTOR, CLASSES), batches(VECTOR), max_steps=1)
    path = tmp_path / "points.ckpt"
    trainer.save_checkpoint(path)
    for kind in ("walk", "classes", "truncation"):
        main(["grid", f"--ckpt_path={path}", f"--kind={kind}"])
        with Image.open(f"{kind}.png") as image:
            assert min(image.size) > 200
    for options, message in (
        (["--kind=nearest"], "--kind nearest is of images, and samples have the shape (2,): "),
        (["--kind=mixing"], "--kind mixing is of images"),
        (["--kind=walk", "--film"], "--film is of images"),
    ):
        capsys.readouterr()
        with pytest.raises(SystemExit):
            main(["grid", f"--ckpt_path={path}", *options])
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--kind=mixing"], "DCGAN has no styles: mixing, noise and the space w are of StyleGAN"),
        (["--kind=noise"], "DCGAN has no styles"),
        (["--kind=other"], "grid: argument --kind: invalid choice: 'other'"),
        (["--values=0"], "grid: truncation must be positive, got 0.0"),
        (["--rows=-1"], "grid: rows must be at least 1, got -1"),
        (["--seed=-1"], "grid: seed must be from 0"),
        (["--ckpt_path=nothing.ckpt"], "there is no file nothing.ckpt"),
        (["--kind=classes"], "grid: this DCGAN has no classes: it was trained without labels"),
        (["--kind=walk", "--classes", "1"], "--classes: this DCGAN has none"),
        (["--kind=walk", "--space=w"], "grid: DCGAN has no styles"),
        (["--kind=walk", "--values", "1"], "grid: --values is of --kind truncation, not of walk"),
        (["--kind=training"], "there are no pictures step_*.png in"),
        (["--output=x.jpg"], "--output: x.jpg must end in .png, .gif, .webp"),
        (["--nothing"], "grid: unrecognized arguments: --nothing"),
        (["nothing"], "grid: unrecognized arguments: nothing"),
    ],
)
def test_a_mistake_is_answered_with_one_line(run, options, message, capsys):
    with pytest.raises(SystemExit):
        main(["grid", "--ckpt_path", str(run("dcgan")), *options])
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
