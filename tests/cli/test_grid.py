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
    assert rows.shape == (3, len(PSIS if name == "stylegan2" else THRESHOLDS), *IMAGE)
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
    ("kind", "columns", "rows"), [("truncation", 5, 4), ("mixing", 6, 7), ("noise", 5, 4)]
)
def test_the_command_writes_a_picture(run, kind, columns, rows, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    main(["grid", "--ckpt_path", str(run("stylegan2")), "--kind", kind])
    assert f"wrote {kind}.png" in capsys.readouterr().out
    # Enlarged four times, with lines of two pixels.
    with Image.open(f"{kind}.png") as image:
        assert image.size == (columns * 34 + 2, rows * 34 + 2)


def test_the_command_takes_a_file_and_options(run, tmp_path):
    path = run("dcgan") / "checkpoints" / "last.ckpt"
    output = tmp_path / "of_dcgan.png"
    main(["grid", f"--ckpt_path={path}", "--values", "0.5", "1", "--rows=3", f"--output={output}"])
    with Image.open(output) as image:
        assert image.size == (2 * 34 + 2, 3 * 34 + 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--kind=mixing"], "DCGAN has no styles: mixing and noise are of StyleGAN and StyleGAN2"),
        (["--kind=noise"], "DCGAN has no styles"),
        (["--kind=other"], "grid: argument --kind: invalid choice: 'other'"),
        (["--values=0"], "grid: truncation must be positive, got 0.0"),
        (["--rows=-1"], "grid: rows must be at least 1, got -1"),
        (["--seed=-1"], "grid: seed must be from 0"),
        (["--ckpt_path=nothing.ckpt"], "there is no file nothing.ckpt"),
    ],
)
def test_a_mistake_is_answered_with_one_line(run, options, message, capsys):
    with pytest.raises(SystemExit):
        main(["grid", "--ckpt_path", str(run("dcgan")), *options])
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
