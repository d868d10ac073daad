"""The command line: every technique on every kind of data, checkpoints, and error messages."""

import json
import math
import subprocess
import sys
from inspect import isabstract
from pathlib import Path

import pytest
import torch
import yaml
from formats import encoded, picture
from helpers import CONDITIONAL, KINDS, differences
from torchmetrics.image.fid import FrechetInceptionDistance

from gan_lightning import DCGAN, GAN, TECHNIQUES
from gan_lightning import data as data_modules
from gan_lightning.cli.program import main
from gan_lightning.data import GANDataModule

COMMANDS = ("fit", "validate", "test", "predict")
WIDTHS = ["--model.generator_width=8", "--model.critic_width=8"]
TINY = [*WIDTHS, "--data.batch_size=8", "--trainer.max_steps=3", "--trainer.log_every_n_steps=1"]
DATA_OPTIONS = {
    "vectors": ["--data=Ring", "--data.num_samples=200"],
    "images": ["--data=Digits"],
    "labelled images": ["--data=Digits", "--data.conditional=true"],
}
CASES = [
    pytest.param(
        *(name, kind),
        id=f"{name} on {kind}",
        marks=() if name in KINDS and (kind == "images" or name == "dcgan") else pytest.mark.slow,
    )
    for name in TECHNIQUES
    for kind in DATA_OPTIONS
    if name in CONDITIONAL or kind != "labelled images"
]
CLASSES = [technique.__name__ for technique in TECHNIQUES.values()]
DATA = [
    name
    for name in data_modules.__all__
    if issubclass(cls := getattr(data_modules, name), GANDataModule) and not isabstract(cls)
]

UNSCORED = ["--trainer.max_steps=1", "--evaluate.extractor=none"]
MODEL, DIGITS = "--model=WGANGP", "--data=Digits"
FIT = ["fit", MODEL, DIGITS, *TINY]


def checkpoint(run):
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)


def config(run):
    return yaml.safe_load((run / "config.yaml").read_text())


@pytest.fixture
def error_line(capsys):
    """``error_line(*arguments)`` returns the exit code and the one-line error message."""

    def stop(*arguments):
        with pytest.raises(SystemExit) as exited:
            main(list(map(str, arguments)))
        error = capsys.readouterr().err
        (line,) = error.splitlines()
        assert line.startswith("gan-lightning: ")
        return exited.value.code, line

    return stop


# Training


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_every_technique_trains(fit, metrics, name, kind):
    technique = TECHNIQUES[name].__name__
    run = fit(f"--model={technique}", *DATA_OPTIONS[kind], *TINY)

    logged = metrics(run)
    assert [step for step, row in logged.items() if "loss/critic" in row] == [1, 2, 3]
    assert max(logged) == 3
    scored = [step for step, row in logged.items() if "fd1797_digits_cnn" in row]
    assert scored == ([] if kind == "vectors" else [0, 3])
    assert checkpoint(run)["global_step"] == 3
    assert (run / "checkpoints" / "step=3.ckpt").samefile(run / "checkpoints" / "last.ckpt")
    assert {path.name for path in (run / "grids").iterdir()} == {
        "step_000000.png",
        "step_000003.png",
    }
    saved = config(run)
    assert saved["model"]["class_path"].endswith(f".{technique}")
    assert saved["model"]["init_args"]["generator_width"] == 8
    assert saved["data"]["init_args"]["conditional"] == (kind == "labelled images")
    classes = checkpoint(run)["hyper_parameters"]["num_classes"]
    assert classes == (10 if kind == "labelled images" else 0)


def test_began_rejects_labels(error_line):
    code, line = error_line("fit", "--model=BEGAN", *DATA_OPTIONS["labelled images"], *TINY)
    assert code == 2
    assert "BEGAN trains without labels" in line


# Checkpoints


@pytest.fixture(scope="module")
def trained_once(fit_once):
    return fit_once(MODEL, DIGITS, *TINY, "--model.ema_decay=0.5", "--model.latent_dim=6")


@pytest.fixture
def trained(trained_once, copied):
    """A run whose checkpoint needs its saved config: it cannot be loaded with the defaults."""
    return copied(trained_once)


def test_validate_and_test_reproduce_the_final_scores_of_the_fit(fit, metrics, trained):
    last = metrics(trained)[3]
    assert last["fd1797_digits_cnn"] > 0
    for command, split in (("validate", ""), ("test", "_test")):
        run = fit(
            *("--ckpt_path", trained / "checkpoints" / "last.ckpt"),
            "--evaluate.cache_dir=null",
            command=command,
        )
        (row,) = metrics(run).values()
        distance = row[f"fd1797_digits_cnn{split}"]
        assert distance == pytest.approx(last["fd1797_digits_cnn"], rel=1e-6), command
        assert row["is1797_digits_cnn"] == pytest.approx(last["is1797_digits_cnn"], rel=1e-6), (
            command
        )
        written = json.loads((run / f"{command}.json").read_text())
        assert written == pytest.approx(row | {"step": 3}, rel=1e-6)


def test_a_score_that_is_not_finite_is_written_as_null(fit, trained, monkeypatch):
    nan = torch.tensor(math.nan)
    monkeypatch.setattr(FrechetInceptionDistance, "compute", lambda self: nan)
    run = fit("--ckpt_path", trained / "checkpoints" / "last.ckpt", command="validate")
    text = (run / "validate.json").read_text()
    scores = json.loads(text)
    assert scores["fd1797_digits_cnn"] is None
    assert scores["is1797_digits_cnn"] > 1
    assert "NaN" not in text


def test_a_generator_whose_samples_are_not_finite_is_reported_as_diverged(fit, metrics, tmp_path):
    arguments = ["--model=DCGAN", DIGITS, *TINY, "--model.generator_lr=1e30"]
    with pytest.warns(
        UserWarning, match="DCGAN diverged: some of 1,797 generated samples are not finite"
    ):
        run = fit(*arguments, "--trainer.max_steps=1")
    rows = metrics(run)
    assert [row.get("diverged") for row in rows.values()] == [None, 1]
    assert rows[0]["fd1797_digits_cnn"] > 0
    assert math.isnan(rows[1]["fd1797_digits_cnn"])
    assert config(run)["model"]["init_args"]["generator_lr"] == 1e30
    with pytest.warns(UserWarning, match="diverged"):
        validated = fit("--ckpt_path", run / "checkpoints" / "last.ckpt", command="validate")
    assert json.loads((validated / "validate.json").read_text()) == {
        "fd1797_digits_cnn": None,
        "is1797_digits_cnn": None,
        "diverged": 1,
        "step": 1,
    }


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
def test_an_evaluation_says_which_checkpoint_it_is_of(fit, trained, command):
    path = trained / "checkpoints" / "step=3.ckpt"
    before = (trained / "config.yaml").read_text()
    run = fit("--ckpt_path", path, "--data.predict_samples=5", command=command)
    saved = yaml.safe_load((run / f"{command}.yaml").read_text())
    assert saved["ckpt_path"] == str(path)
    assert saved["data"]["init_args"]["predict_samples"] == 5
    assert not (run / "config.yaml").exists()
    assert (trained / "config.yaml").read_text() == before


def test_a_fit_needs_only_the_checkpoint(fit, trained):
    last = trained / "checkpoints" / "last.ckpt"
    assert fit("--ckpt_path", last, "--trainer.max_steps=5") is None
    assert checkpoint(trained)["global_step"] == 5
    assert config(trained)["model"]["init_args"]["latent_dim"] == 6
    assert config(trained)["ckpt_path"] is None


def test_a_validation_logs_the_update_of_its_checkpoint(fit, metrics, trained):
    run = fit("--ckpt_path", trained / "checkpoints" / "last.ckpt", command="validate")
    assert list(metrics(run)) == [3]
    assert [path.name for path in (run / "grids").iterdir()] == ["step_000003.png"]


@pytest.mark.parametrize("joined", [True, False])
def test_predict_needs_only_the_checkpoint(fit, trained, joined):
    path = trained / "checkpoints" / "step=3.ckpt"
    option = [f"--ckpt_path={path}"] if joined else ["--ckpt_path", path]
    run = fit(*option, "--data.predict_samples=5", command="predict")
    assert len(list((run / "samples").glob("0*.png"))) == 5


def test_a_given_config_takes_precedence_over_the_one_of_the_checkpoint(fit, trained, tmp_path):
    changed = config(trained)
    changed["data"]["init_args"]["predict_samples"] = 2
    (tmp_path / "changed.yaml").write_text(yaml.safe_dump(changed))
    run = fit(
        f"--config={tmp_path / 'changed.yaml'}",
        f"--ckpt_path={trained / 'checkpoints' / 'last.ckpt'}",
        command="predict",
    )
    assert len(list((run / "samples").glob("0*.png"))) == 2


def without_clock(rows):
    """The logged values without the training time."""
    stripped = {
        step: {name: value for name, value in row.items() if name != "train_seconds"}
        for step, row in rows.items()
    }
    assert stripped != rows
    return stripped


RESUMED = [MODEL, DIGITS, *TINY, "--data.batch_size=100", "--trainer.val_check_interval=2"]


def resume_arguments(run, name="last.ckpt"):
    """The arguments that resume a fit from a checkpoint of a run."""
    return f"--config={run / 'config.yaml'}", f"--ckpt_path={run / 'checkpoints' / name}"


@pytest.mark.slow
def test_a_resumed_fit_is_equal_to_an_uninterrupted_one(fit, metrics):
    uninterrupted = fit(*RESUMED, "--trainer.max_steps=6")  # 3 updates an epoch
    run = fit(*RESUMED, "--trainer.max_steps=2")
    # It continues in the folder of the run and creates no new one.
    assert fit(*resume_arguments(run), "--trainer.max_steps=6") is None
    actual, expected = checkpoint(run), checkpoint(uninterrupted)
    assert actual["global_step"] == 6
    for part in ("state_dict", "optimizer_states", "rng_states", "loops"):
        assert differences(actual[part], expected[part]) == [], part
    assert without_clock(metrics(run)) == without_clock(metrics(uninterrupted))
    names = [{str(path.relative_to(r)) for path in r.rglob("*")} for r in (run, uninterrupted)]
    assert names[0] == names[1]


@pytest.mark.slow
def test_a_fit_from_an_earlier_checkpoint_does_not_change_its_run(fit):
    run = fit(*RESUMED, "--trainer.max_steps=4", "--checkpoint.save_top_k=-1")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    other = fit(*resume_arguments(run, "step=2.ckpt"), "--trainer.max_steps=6")
    assert other.name == "version_1"
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_fit_resumed_with_another_root_folder_continues_there(fit, tmp_path):
    run = fit(*RESUMED, "--trainer.max_steps=2")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    other = tmp_path / "other"
    fit(*resume_arguments(run), "--trainer.max_steps=4", f"--trainer.default_root_dir={other}")
    assert checkpoint(other / "Digits-WGANGP" / "version_0")["global_step"] == 4
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_a_printed_config_can_be_used_for_a_fit(fit, metrics, capsys, tmp_path):
    with pytest.raises(SystemExit) as exited:
        main([*FIT, "--trainer.accelerator=cpu", "--print_config"])
    assert not exited.value.code
    (tmp_path / "printed.yaml").write_text(capsys.readouterr().out)
    run = fit(f"--config={tmp_path / 'printed.yaml'}")
    other = fit(MODEL, DIGITS, *TINY)
    assert without_clock(metrics(run)) == without_clock(metrics(other))


# Mistakes


@pytest.mark.parametrize(
    ("option", "suggestion"),
    [
        ("--modl=WGANGP", "--model"),
        ("--trainer.max_stepz=3", "--trainer.max_steps"),
        ("--model.generator_widht=8", "generator_width"),
        ("--data.batchsize=8", "batch_size"),
        ("--evaluate.num_smaples=8", "--evaluate.num_samples"),
        ("--checkpoint.moniter=is", "--checkpoint.monitor"),
        ("--samples.outputs=here", "--samples.output"),
    ],
)
def test_a_misspelt_option_gives_the_nearest_option(error_line, option, suggestion):
    code, line = error_line(*FIT, option)
    assert code == 2
    name = option.split("=")[0]
    assert name in line or name.rsplit(".", 1)[-1] in line
    assert line.endswith(f"did you mean {suggestion}?")


def test_an_unknown_option_gives_a_hint_to_help(error_line):
    code, line = error_line(*FIT, "--zzz=1")
    assert code == 2
    assert "there is no option --zzz: --help lists them" in line


@pytest.mark.parametrize(
    ("option", "wrong", "suggestion", "choices"),
    [
        ("--model", "WGANP", "WGANGP", CLASSES),
        ("--model", "dcgam", "DCGAN", CLASSES),
        ("--data", "Digts", "Digits", DATA),
        ("--trainer.logger", "WandLogger", "WandbLogger", ["CSVLogger", "TensorBoardLogger"]),
        ("--trainer.callbacks", "Timr", "Timer", ["EarlyStopping"]),
    ],
)
def test_a_misspelt_class_gives_the_nearest_class_and_all_choices(
    error_line, option, wrong, suggestion, choices
):
    code, line = error_line(*FIT, f"{option}={wrong}")
    assert code == 2
    assert f"{option}: there is no class {wrong}: did you mean {suggestion}?" in line
    listed = line.split("Choose from ")[1].rstrip(".").split(", ")
    assert set(choices) <= set(listed)
    assert not any(name.startswith("_") for name in listed)


def foreign_subclasses(cls):
    """The names of all direct and indirect subclasses that other tests define."""
    found = {sub.__name__ for sub in cls.__subclasses__() if not is_internal(sub)}
    return found.union(*(foreign_subclasses(sub) for sub in cls.__subclasses__()))


def is_internal(cls):
    return cls.__module__.split(".")[0] == "gan_lightning"


@pytest.mark.parametrize(
    ("option", "base", "choices"), [("--model", GAN, CLASSES), ("--data", GANDataModule, DATA)]
)
def test_an_unknown_class_gives_all_choices(error_line, option, base, choices):
    code, line = error_line(*FIT, f"{option}=Zebra")
    assert code == 2
    assert "did you mean" not in line
    listed = line.split("Choose from ")[1].rstrip(".").split(", ")
    assert listed == sorted(listed)
    assert set(listed) - foreign_subclasses(base) == set(choices)


def test_an_option_of_another_technique_is_not_suggested_for_itself(error_line):
    code, line = error_line(*FIT, "--model.clip=0.1")
    assert code == 2
    assert "clip" in line
    assert "did you mean clip" not in line


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        pytest.param([], COMMANDS, id="no arguments"),
        pytest.param(["fitt"], ["fitt", "did you mean fit?", *COMMANDS], id="a misspelt command"),
        pytest.param(["paint"], ["no command paint", *COMMANDS], id="an unknown command"),
        pytest.param(["fit"], ["--data and --model missing", "--config"], id="no classes"),
        pytest.param(["fit", DIGITS], ["--model missing"], id="no model"),
        pytest.param(["fit", MODEL], ["--data missing"], id="no data"),
        pytest.param(["predict"], ["--data and --model missing"], id="no checkpoint"),
        pytest.param(
            ["fit", "--config=nowhere.yaml"], ["nowhere.yaml is no file"], id="a missing config"
        ),
        pytest.param(
            ["fit", "--data.batch_size=8", DIGITS, MODEL],
            ["--data"],
            id="an option before its class",
        ),
        pytest.param(
            [*FIT, "--model.generator_width=wide"],
            ["generator_width: expected int or null, got wide"],
            id="text for a number",
        ),
        pytest.param(
            [*FIT, "--data.batch_size=1.5"],
            ["batch_size: expected int, got 1.5"],
            id="a fractional batch size",
        ),
        pytest.param(
            [*FIT, "--trainer.max_steps=many"],
            ["trainer.max_steps: expected int, got many"],
            id="text for a number of the trainer",
        ),
        pytest.param(
            [*FIT, "--data.conditional=maybe"],
            ["conditional: expected bool, got maybe"],
            id="an invalid boolean",
        ),
        pytest.param(
            [*FIT, "--data.batch_size=0"],
            ["batch_size must be at least 1, got 0"],
            id="a batch size of zero",
        ),
        pytest.param(
            [*FIT, "--model.latent_dim=0"],
            ["latent_dim must be at least 1"],
            id="a latent dimension of zero",
        ),
        pytest.param(
            ["fit", MODEL, "--data=SwissRoll", "--data.conditional=true"],
            ["SwissRoll has no labels"],
            id="labels for unlabelled data",
        ),
        pytest.param(
            [*FIT, "--trainer.accelerator=abacus"], ["abacus", "cpu"], id="an unknown accelerator"
        ),
        pytest.param(
            [*FIT, "--evaluate.extractor=inceptoin"],
            ["inceptoin", "inception", "digits_cnn"],
            id="a misspelt extractor",
        ),
        pytest.param(
            [*FIT, "--evaluate.weights=own.pth"],
            ["digits_cnn comes with its weights"],
            id="weights for an extractor with built-in weights",
        ),
        pytest.param(
            [*FIT, "--evaluate.num_samples=0"], ["num_samples", "0"], id="a score of no samples"
        ),
        pytest.param(
            [*FIT, "--model.network=resnt"],
            ["there is no network 'resnt': choose from dcgan, sndcgan, resnet"],
            id="a misspelt network",
        ),
        pytest.param(
            [*FIT, "--model.critic_lr=-1"],
            ["critic_lr must be at least 0"],
            id="a negative learning rate",
        ),
        pytest.param(
            [*FIT, "--model.generator_lr=nan"],
            ["generator_lr", "expected float"],
            id="a learning rate that is not a number",
        ),
        pytest.param(
            [*FIT, "--model.betas=[0.5,1]"],
            ["betas", "two numbers in [0, 1)"],
            id="a large beta",
        ),
        pytest.param([*FIT, "--model.betas=[0.5]"], ["betas", "2 elements"], id="one beta"),
        pytest.param(
            [*FIT, "--trainer.precision=16-true"],
            ["precision 16-true is not supported: use bf16-mixed"],
            id="an unsupported precision",
        ),
        pytest.param([*FIT, f"--evaluate.seed={10**30}"], ["seed", "2**63"], id="a large seed"),
        pytest.param([*FIT, "--diversity.seed=-1"], ["seed", "from 0"], id="a seed below 0"),
        pytest.param(
            [*FIT, "--trainer.strategy=ddp_spawn"], ["not spawned", "ddp"], id="spawned processes"
        ),
        pytest.param(
            [*FIT, "--model.critic_norm=batch"],
            ["critic_norm must be none or layer"],
            id="batch normalisation under a gradient penalty",
        ),
        pytest.param(
            ["fit", "--model=SNGAN", DIGITS, "--model.objective=hing"],
            ["objective", "'non_saturating', 'minimax', 'hinge'", "hing"],
            id="a misspelt objective",
        ),
        pytest.param(
            ["fit", "--model=WGAN", DIGITS, "--model.betas=[0,0.9]"],
            ["the chosen class has no option betas"],
            id="Adam's betas for RMSprop",
        ),
        pytest.param(
            [*FIT, "--model.ema_deacy=0.9"],
            ["ema_deacy: did you mean ema_decay?"],
            id="a misspelt argument of the base class",
        ),
    ],
)
def test_a_mistake_gives_a_one_line_message(error_line, arguments, parts):
    code, line = error_line(*arguments)
    assert code == 2
    assert [part for part in parts if part not in line] == []
    assert "NestedArg" not in line


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--checkpoint.filename=a{"], ["'{'"]),
        (
            ["--evaluate.extractor=mobilenet_v2", "--evaluate.weights=~nobody0/w.pth"],
            ["~nobody0/w.pth"],
        ),
        ([f"--evaluate.num_samples={10**15}"], ["not enough memory"]),
        (
            [
                "--trainer.callbacks=GradientAccumulationScheduler",
                "--trainer.callbacks.scheduling={0: 2}",
            ],
            ["manual optimization"],
        ),
    ],
)
def test_a_mistake_found_during_a_run_gives_a_one_line_message(capfd, arguments, parts):
    with pytest.raises(SystemExit) as exited:
        main([*FIT, "--trainer.accelerator=cpu", *arguments])
    assert exited.value.code == 1
    line = capfd.readouterr().err.splitlines()[-1]
    assert line.startswith("gan-lightning: ")
    assert [part for part in parts if part not in line] == []


class Broken(DCGAN):
    """A technique with an error in its loss."""

    def generator_loss(self, fake):
        return fake.view(3, 3, 3).mean()


def test_an_error_in_custom_code_keeps_its_traceback(fit):
    with pytest.raises(RuntimeError, match=r"shape '\[3, 3, 3\]' is invalid"):
        fit(f"--model={__name__}.Broken", DIGITS, "--trainer.max_steps=1")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("trainer: {max_stepz: 3}", ["max_stepz", "did you mean --trainer.max_steps?"]),
        ("modle: WGANGP", ["--modle", "did you mean --model?"]),
        (
            "model: {class_path: WGANGP, init_args: {generator_widht: 8}}",
            ["generator_widht", "did you mean generator_width?"],
        ),
        (
            "data: {class_path: Digits, init_args: {batchsize: 8}}",
            ["batchsize", "did you mean batch_size?"],
        ),
        ("model: WGAMGP", ["WGAMGP", "did you mean WGANGP?", *CLASSES]),
        ("model: [WGANGP", ["config", "line 1"]),
    ],
)
def test_a_mistake_in_a_config_gives_a_one_line_message(error_line, tmp_path, text, parts):
    (tmp_path / "right.yaml").write_text("model: WGANGP\ndata: Digits\n")
    (tmp_path / "wrong.yaml").write_text(text)
    code, line = error_line("fit", "--config=right.yaml", "--config=wrong.yaml")
    assert code == 2
    assert [part for part in parts if part not in line] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_a_checkpoint_that_does_not_exist_is_named(error_line, command):
    classes = [MODEL, DIGITS, *WIDTHS] if command == "fit" else []
    _, line = error_line(command, *classes, "--ckpt_path=nowhere.ckpt")
    assert "nowhere.ckpt" in line


def test_a_file_that_is_not_a_checkpoint_is_named(error_line, tmp_path):
    (tmp_path / "other.ckpt").write_text("something else")
    _, line = error_line(*FIT, f"--ckpt_path={tmp_path / 'other.ckpt'}")
    assert "other.ckpt" in line


# Missing and unsuitable files


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("data", ["FashionMNIST", "CIFAR10"])
def test_missing_data_offline_gives_a_one_line_message(error_line, data, tmp_path):
    code, line = error_line(
        *("fit", MODEL, f"--data={data}", *TINY, f"--data.data_dir={tmp_path / 'no'}"),
        "--evaluate.extractor=none",  # whose weights would be missed first
    )
    assert code == 1
    assert f"{data} is not in {tmp_path / 'no'}" in line
    assert "--data.data_dir" in line


BAD_FOLDERS = {
    "there is no folder {data_dir}: choose one with --data.data_dir": {"data_dir": "nowhere"},
    "there are no images in {data_dir}: it is empty": {"data_dir": "empty"},
    "there are no images in {data_dir} (found: 1 .txt)": {"data_dir": "texts"},
    "none of the 1 images can be read: the first is a.png (not an image)": {"data_dir": "broken"},
    "10 samples do not fill one batch: 64 on each": {"data_dir": "few"},
    "the decoded images cannot be saved in": {"data_dir": "few", "cache_dir": "file/cache"},
    "shape must be (C, size, size) with 1 to 4 channels and size 8 to 256": {"size": 7},
    "there are no labels: a.png in {data_dir} is not in a sub-folder": {"conditional": "true"},
    "there is no colour 'blu': use a name or #rrggbb": {"background": "blu"},
}


@pytest.mark.parametrize("message", BAD_FOLDERS)
def test_an_unusable_folder_of_images_gives_a_one_line_message(capfd, tmp_path, message):
    Path("empty").mkdir()
    for name, content in {"texts/a.txt": b"", "broken/a.png": b"", "file": b""}.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(content)
    Path("few").mkdir()
    for i in range(10):
        Path("few", f"{chr(97 + i)}.png").write_bytes(encoded(picture(16, 16, i), "PNG"))
    arguments = {"data_dir": "few", "cache_dir": "cache"} | BAD_FOLDERS[message]
    options = [f"--data.{name}={value}" for name, value in arguments.items()]
    with pytest.raises(SystemExit) as exited:
        main(["fit", "--model=DCGAN", *WIDTHS, "--data=ImageFolder", *options, *UNSCORED])
    *_, line = capfd.readouterr().err.splitlines()
    assert line.startswith("gan-lightning: " + message.format(**arguments))
    assert exited.value.code in (1, 2)
    assert not list(tmp_path.glob("runs/**/*.ckpt"))


def test_a_missing_required_argument_is_named_as_its_option(error_line):
    assert error_line("fit", MODEL, "--data=ImageFolder") == (
        2,
        "gan-lightning: --data.data_dir missing",
    )


def test_an_invalid_choice_gives_the_valid_ones(error_line):
    _, line = error_line(*FIT, "--data.placement=disk")
    assert line == ("gan-lightning: placement: expected one of 'auto', 'device', 'host', got disk")


@pytest.mark.usefixtures("no_network")
def test_missing_weights_offline_give_a_one_line_message(
    error_line, data_files, tmp_path, monkeypatch
):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("GAN_LIGHTNING_INCEPTION", raising=False)
    folder = data_files("FashionMNIST")["data_dir"]
    code, line = error_line("fit", MODEL, "--data=FashionMNIST", *TINY, f"--data.data_dir={folder}")
    assert code == 1
    assert str(tmp_path) in line
    assert "--evaluate.weights" in line


def test_a_file_that_does_not_hold_weights_gives_a_one_line_message(error_line, tmp_path):
    (tmp_path / "wrong.pth").write_text("something else")
    _, line = error_line(
        *FIT, "--evaluate.extractor=inception", f"--evaluate.weights={tmp_path / 'wrong.pth'}"
    )
    assert "wrong.pth does not hold Inception weights" in line


def test_too_few_samples_give_a_one_line_message(error_line):
    code, line = error_line(*FIT, "--data.batch_size=1000")
    assert code == 1
    assert "1797 samples do not fill one batch: 5000" in line


# Entry points


@pytest.fixture
def programs():
    """The three ways to start the program."""
    scripts = [Path(sys.executable).with_name(name) for name in ("gan-lightning", "lightning")]
    if missing := [script.name for script in scripts if not script.is_file()]:
        pytest.skip(f"{' and '.join(missing)}: not beside the interpreter, so NOT tested")
    names = [[sys.executable, "-m", "gan_lightning"], *([str(script)] for script in scripts)]

    def outputs(*arguments):
        running = [
            subprocess.Popen([*name, *arguments], stdout=subprocess.PIPE, text=True)
            for name in names
        ]
        for process in running:
            out, _ = process.communicate(timeout=200)
            assert process.returncode == 0
            yield out

    return outputs


@pytest.mark.slow
def test_the_program_can_be_started_under_three_names(programs):
    for out in programs("--help"):
        assert "usage: gan-lightning" in out
        assert [command for command in COMMANDS if f"    {command} " not in out] == []


@pytest.mark.slow
def test_a_class_in_the_working_folder_is_found_under_each_name(programs):
    text = "from gan_lightning import DCGAN\nclass Mine(DCGAN):\n    strength: float = 0.25\n"
    Path("my_technique.py").write_text(text)
    for out in programs("fit", "--model.help", "my_technique.Mine"):
        assert "--model.strength" in out
        assert "default: 0.25" in out
