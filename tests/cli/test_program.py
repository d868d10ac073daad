"""The command line: every technique on every sort of data, checkpoints, and its answers."""

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
SORTS = {
    "vectors": ["--data=Ring", "--data.num_samples=200"],
    "images": ["--data=Digits"],
    "labelled images": ["--data=Digits", "--data.conditional=true"],
}
CASES = [
    pytest.param(
        *(name, sort),
        id=f"{name} on {sort}",
        marks=() if name in KINDS or sort == "images" else pytest.mark.slow,
    )
    for name in TECHNIQUES
    for sort in SORTS
    if name in CONDITIONAL or sort != "labelled images"
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
def answer(capsys):
    """``answer(*arguments)``: the exit code and the one line that a mistake gets."""

    def stop(*arguments):
        with pytest.raises(SystemExit) as stopped:
            main(list(map(str, arguments)))
        error = capsys.readouterr().err
        (line,) = error.splitlines()
        assert line.startswith("gan-lightning: ")
        return stopped.value.code, line

    return stop


# Every technique


@pytest.mark.parametrize(("name", "sort"), CASES)
def test_every_technique_trains(fit, metrics, name, sort):
    technique = TECHNIQUES[name].__name__
    run = fit(f"--model={technique}", *SORTS[sort], *TINY)

    logged = metrics(run)
    assert [step for step, row in logged.items() if "loss/critic" in row] == [1, 2, 3]
    assert max(logged) == 3
    scored = [step for step, row in logged.items() if "fd1797_digits_cnn" in row]
    assert scored == ([] if sort == "vectors" else [0, 3])
    assert checkpoint(run)["global_step"] == 3
    assert (run / "checkpoints" / "step=3.ckpt").samefile(run / "checkpoints" / "last.ckpt")
    assert {path.name for path in (run / "grids").iterdir()} == {
        "step_000000.png",
        "step_000003.png",
    }
    saved = config(run)
    assert saved["model"]["class_path"].endswith(f".{technique}")
    assert saved["model"]["init_args"]["generator_width"] == 8
    assert saved["data"]["init_args"]["conditional"] == (sort == "labelled images")
    classes = checkpoint(run)["hyper_parameters"]["num_classes"]
    assert classes == (10 if sort == "labelled images" else 0)


def test_began_refuses_labels(answer):
    code, line = answer("fit", "--model=BEGAN", *SORTS["labelled images"], *TINY)
    assert code == 2
    assert "BEGAN trains without labels" in line


# A checkpoint alone


@pytest.fixture(scope="module")
def trained_once(fit_once):
    return fit_once(MODEL, DIGITS, *TINY, "--model.ema_decay=0.5", "--model.latent_dim=6")


@pytest.fixture
def trained(trained_once, copied):
    """A run whose checkpoint needs its own config: the defaults would not load it."""
    return copied(trained_once)


def test_validate_and_test_measure_what_the_fit_ended_with(fit, metrics, trained):
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


def test_a_score_that_is_not_finite_is_null_where_it_is_written(fit, trained, monkeypatch):
    nothing = torch.tensor(math.nan)
    monkeypatch.setattr(FrechetInceptionDistance, "compute", lambda self: nothing)
    run = fit("--ckpt_path", trained / "checkpoints" / "last.ckpt", command="validate")
    text = (run / "validate.json").read_text()
    scores = json.loads(text)
    assert scores["fd1797_digits_cnn"] is None
    assert scores["is1797_digits_cnn"] > 1
    assert "NaN" not in text


def test_a_generator_whose_samples_are_not_finite_is_said_to_have_diverged(fit, metrics, tmp_path):
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


def test_a_validation_says_which_update_it_is_of(fit, metrics, trained):
    run = fit("--ckpt_path", trained / "checkpoints" / "last.ckpt", command="validate")
    assert list(metrics(run)) == [3]
    assert [path.name for path in (run / "grids").iterdir()] == ["step_000003.png"]


@pytest.mark.parametrize("together", [True, False])
def test_predict_needs_the_checkpoint_alone(fit, trained, together):
    path = trained / "checkpoints" / "step=3.ckpt"
    option = [f"--ckpt_path={path}"] if together else ["--ckpt_path", path]
    run = fit(*option, "--data.predict_samples=5", command="predict")
    assert len(list((run / "samples").glob("0*.png"))) == 5


def test_a_config_given_goes_before_the_one_beside_the_checkpoint(fit, trained, tmp_path):
    own = config(trained)
    own["data"]["init_args"]["predict_samples"] = 2
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(own))
    run = fit(
        f"--config={tmp_path / 'own.yaml'}",
        f"--ckpt_path={trained / 'checkpoints' / 'last.ckpt'}",
        command="predict",
    )
    assert len(list((run / "samples").glob("0*.png"))) == 2


def but_for_the_clock(rows):
    """What was logged, without the seconds that it took."""
    kept = {
        step: {name: value for name, value in row.items() if name != "train_seconds"}
        for step, row in rows.items()
    }
    assert kept != rows
    return kept


RESUMED = [MODEL, DIGITS, *TINY, "--data.batch_size=100", "--trainer.val_check_interval=2"]


def goes_on(run, name="last.ckpt"):
    """The arguments with which a fit goes on from one of a run's checkpoints."""
    return f"--config={run / 'config.yaml'}", f"--ckpt_path={run / 'checkpoints' / name}"


def test_a_fit_goes_on_from_a_checkpoint_as_if_it_had_never_stopped(fit, metrics):
    whole = fit(*RESUMED, "--trainer.max_steps=6")  # 3 updates an epoch
    run = fit(*RESUMED, "--trainer.max_steps=2")
    # In the folder of its run: there is no new one.
    assert fit(*goes_on(run), "--trainer.max_steps=6") is None
    ended, expected = checkpoint(run), checkpoint(whole)
    assert ended["global_step"] == 6
    for part in ("state_dict", "optimizer_states", "rng_states", "loops"):
        assert differences(ended[part], expected[part]) == [], part
    assert but_for_the_clock(metrics(run)) == but_for_the_clock(metrics(whole))
    names = [{str(path.relative_to(r)) for path in r.rglob("*")} for r in (run, whole)]
    assert names[0] == names[1]


def test_a_fit_from_an_earlier_checkpoint_leaves_its_run_alone(fit):
    run = fit(*RESUMED, "--trainer.max_steps=4", "--checkpoint.save_top_k=-1")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    other = fit(*goes_on(run, "step=2.ckpt"), "--trainer.max_steps=6")
    assert other.name == "version_1"
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_fit_with_a_place_of_its_own_goes_on_there(fit, tmp_path):
    run = fit(*RESUMED, "--trainer.max_steps=2")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    other = tmp_path / "other"
    fit(*goes_on(run), "--trainer.max_steps=4", f"--trainer.default_root_dir={other}")
    assert checkpoint(other / "Digits-WGANGP" / "version_0")["global_step"] == 4
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_printed_config_is_one_to_fit_with(fit, metrics, capsys, tmp_path):
    with pytest.raises(SystemExit) as stopped:
        main([*FIT, "--trainer.accelerator=cpu", "--print_config"])
    assert not stopped.value.code
    (tmp_path / "printed.yaml").write_text(capsys.readouterr().out)
    run = fit(f"--config={tmp_path / 'printed.yaml'}")
    other = fit(MODEL, DIGITS, *TINY)
    assert but_for_the_clock(metrics(run)) == but_for_the_clock(metrics(other))


# Mistakes


@pytest.mark.parametrize(
    ("option", "meant"),
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
def test_a_misspelt_option_is_told_the_nearest(answer, option, meant):
    code, line = answer(*FIT, option)
    assert code == 2
    name = option.split("=")[0]
    assert name in line or name.rsplit(".", 1)[-1] in line
    assert line.endswith(f"did you mean {meant}?")


def test_an_option_like_no_other_is_told_where_to_look(answer):
    code, line = answer(*FIT, "--zzz=1")
    assert code == 2
    assert "there is no option --zzz: --help lists them" in line


@pytest.mark.parametrize(
    ("option", "wrong", "meant", "choices"),
    [
        ("--model", "WGANP", "WGANGP", CLASSES),
        ("--model", "dcgam", "DCGAN", CLASSES),
        ("--data", "Digts", "Digits", DATA),
        ("--trainer.logger", "WandLogger", "WandbLogger", ["CSVLogger", "TensorBoardLogger"]),
        ("--trainer.callbacks", "Timr", "Timer", ["EarlyStopping"]),
    ],
)
def test_a_misspelt_class_is_told_the_nearest_and_the_choices(
    answer, option, wrong, meant, choices
):
    code, line = answer(*FIT, f"{option}={wrong}")
    assert code == 2
    assert f"{option}: there is no class {wrong}: did you mean {meant}?" in line
    listed = line.split("Choose from ")[1].rstrip(".").split(", ")
    assert set(choices) <= set(listed)
    assert not any(name.startswith("_") for name in listed)


def of_others(cls):
    """The names of a class's subclasses, at any depth, that other tests have brought along."""
    found = {sub.__name__ for sub in cls.__subclasses__() if not is_ours(sub)}
    return found.union(*(of_others(sub) for sub in cls.__subclasses__()))


def is_ours(cls):
    return cls.__module__.split(".")[0] == "gan_lightning"


@pytest.mark.parametrize(
    ("option", "base", "choices"), [("--model", GAN, CLASSES), ("--data", GANDataModule, DATA)]
)
def test_a_class_like_no_other_is_told_all_choices(answer, option, base, choices):
    code, line = answer(*FIT, f"{option}=Zebra")
    assert code == 2
    assert "did you mean" not in line
    listed = line.split("Choose from ")[1].rstrip(".").split(", ")
    assert listed == sorted(listed)
    assert set(listed) - of_others(base) == set(choices)


def test_an_option_of_another_technique_is_not_suggested_to_itself(answer):
    code, line = answer(*FIT, "--model.clip=0.1")
    assert code == 2
    assert "clip" in line
    assert "did you mean clip" not in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param([], COMMANDS, id="nothing"),
        pytest.param(["fitt"], ["fitt", "did you mean fit?", *COMMANDS], id="a misspelt command"),
        pytest.param(["paint"], ["no command paint", *COMMANDS], id="an unknown command"),
        pytest.param(["fit"], ["--data and --model missing", "--config"], id="no classes"),
        pytest.param(["fit", DIGITS], ["--model missing"], id="no model"),
        pytest.param(["fit", MODEL], ["--data missing"], id="no data"),
        pytest.param(["predict"], ["--data and --model missing"], id="no checkpoint"),
        pytest.param(["fit", "--config=nowhere.yaml"], ["nowhere.yaml", "not exist"], id="no file"),
        pytest.param(
            ["fit", "--data.batch_size=8", DIGITS, MODEL],
            ["--data"],
            id="an option before its class",
        ),
        pytest.param(
            [*FIT, "--model.generator_width=wide"],
            ["generator_width: expected int or null, got wide"],
            id="a word for a number",
        ),
        pytest.param(
            [*FIT, "--data.batch_size=1.5"],
            ["batch_size: expected int, got 1.5"],
            id="half a sample",
        ),
        pytest.param(
            [*FIT, "--trainer.max_steps=many"],
            ["trainer.max_steps: expected int, got many"],
            id="a word for the trainer",
        ),
        pytest.param(
            [*FIT, "--data.conditional=maybe"],
            ["conditional: expected bool, got maybe"],
            id="neither true nor false",
        ),
        pytest.param(
            [*FIT, "--data.batch_size=0"], ["batch_size must be at least 1, got 0"], id="no batch"
        ),
        pytest.param(
            [*FIT, "--model.latent_dim=0"], ["latent_dim must be at least 1"], id="no latents"
        ),
        pytest.param(
            ["fit", MODEL, "--data=SwissRoll", "--data.conditional=true"],
            ["SwissRoll has no labels"],
            id="labels of a spiral",
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
            id="weights for an extractor that has its own",
        ),
        pytest.param(
            [*FIT, "--evaluate.num_samples=0"], ["num_samples", "0"], id="a score of nothing"
        ),
        pytest.param(
            [*FIT, "--model.network=resnt"],
            ["there is no network 'resnt': choose from dcgan, sndcgan, resnet"],
            id="a misspelt network",
        ),
        pytest.param(
            [*FIT, "--model.critic_lr=-1"], ["critic_lr must be at least 0"], id="a negative rate"
        ),
        pytest.param(
            [*FIT, "--model.generator_lr=nan"], ["generator_lr", "expected float"], id="no rate"
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
            id="a precision that two optimisers cannot share",
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
            ["objective", "'hinge', 'softplus'", "hing"],
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
            id="a misspelt argument of the base",
        ),
    ],
)
def test_a_mistake_gets_one_line(answer, arguments, words):
    code, line = answer(*arguments)
    assert code == 2
    assert [word for word in words if word not in line] == []
    assert "NestedArg" not in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--checkpoint.filename=a{"], ["'{'"]),
        (
            ["--evaluate.extractor=mobilenet_v2", "--evaluate.weights=~nobody0/w.pth"],
            ["~nobody0/w.pth"],
        ),
        ([f"--evaluate.num_samples={10**15}"], ["not enough memory"]),
        (
            ["--trainer.callbacks=EarlyStopping", "--trainer.callbacks.monitor=nothing"],
            ["nothing", "not available"],
        ),
        (
            [
                "--trainer.callbacks=GradientAccumulationScheduler",
                "--trainer.callbacks.scheduling={0: 2}",
            ],
            ["manual optimization"],
        ),
    ],
)
def test_what_shows_to_be_wrong_when_it_runs_gets_one_line(capfd, arguments, words):
    with pytest.raises(SystemExit) as stopped:
        main([*FIT, "--trainer.accelerator=cpu", *arguments])
    assert stopped.value.code == 1
    line = capfd.readouterr().err.splitlines()[-1]
    assert line.startswith("gan-lightning: ")
    assert [word for word in words if word not in line] == []


class Broken(DCGAN):
    """A technique that has a fault."""

    def generator_loss(self, fake):
        return fake.view(3, 3, 3).mean()


def test_a_fault_of_ones_own_code_keeps_its_traceback(fit):
    with pytest.raises(RuntimeError, match=r"shape '\[3, 3, 3\]' is invalid"):
        fit(f"--model={__name__}.Broken", DIGITS, "--trainer.max_steps=1")


@pytest.mark.parametrize(
    ("text", "words"),
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
def test_a_mistake_in_a_config_gets_one_line(answer, tmp_path, text, words):
    (tmp_path / "right.yaml").write_text("model: WGANGP\ndata: Digits\n")
    (tmp_path / "wrong.yaml").write_text(text)
    code, line = answer("fit", "--config=right.yaml", "--config=wrong.yaml")
    assert code == 2
    assert [word for word in words if word not in line] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_a_checkpoint_that_does_not_exist_is_named(answer, command):
    classes = [MODEL, DIGITS, *WIDTHS] if command == "fit" else []
    _, line = answer(command, *classes, "--ckpt_path=nowhere.ckpt")
    assert "nowhere.ckpt" in line


def test_a_file_that_is_no_checkpoint_is_named(answer, tmp_path):
    (tmp_path / "other.ckpt").write_text("something else")
    _, line = answer(*FIT, f"--ckpt_path={tmp_path / 'other.ckpt'}")
    assert "other.ckpt" in line


# What is missing


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("data", ["FashionMNIST", "CIFAR10"])
def test_missing_data_offline_gets_one_line(answer, data, tmp_path):
    code, line = answer("fit", MODEL, f"--data={data}", *TINY, f"--data.data_dir={tmp_path / 'no'}")
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


@pytest.mark.parametrize("words", BAD_FOLDERS)
def test_a_folder_of_images_that_will_not_do_gets_one_line(capfd, tmp_path, words):
    Path("empty").mkdir()
    for name, content in {"texts/a.txt": b"", "broken/a.png": b"", "file": b""}.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(content)
    Path("few").mkdir()
    for i in range(10):
        Path("few", f"{chr(97 + i)}.png").write_bytes(encoded(picture(16, 16, i), "PNG"))
    arguments = {"data_dir": "few", "cache_dir": "cache"} | BAD_FOLDERS[words]
    options = [f"--data.{name}={value}" for name, value in arguments.items()]
    with pytest.raises(SystemExit) as stopped:
        main(["fit", "--model=DCGAN", *WIDTHS, "--data=ImageFolder", *options, *UNSCORED])
    *_, line = capfd.readouterr().err.splitlines()
    assert line.startswith("gan-lightning: " + words.format(**arguments))
    assert stopped.value.code in (1, 2)
    assert not list(tmp_path.glob("runs/**/*.ckpt"))


def test_what_is_left_out_of_a_call_is_named_as_the_option(answer):
    assert answer("fit", MODEL, "--data=ImageFolder") == (
        2,
        "gan-lightning: --data.data_dir missing",
    )


def test_a_choice_that_does_not_exist_is_told_the_others(answer):
    _, line = answer(*FIT, "--data.placement=disk")
    assert line == ("gan-lightning: placement: expected one of 'auto', 'device', 'host', got disk")


@pytest.mark.usefixtures("no_network")
def test_missing_weights_offline_get_one_line(answer, data_files, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("GAN_LIGHTNING_INCEPTION", raising=False)
    place = data_files("FashionMNIST")["data_dir"]
    code, line = answer("fit", MODEL, "--data=FashionMNIST", *TINY, f"--data.data_dir={place}")
    assert code == 1
    assert str(tmp_path) in line
    assert "--evaluate.weights" in line


def test_weights_that_are_none_get_one_line(answer, tmp_path):
    (tmp_path / "wrong.pth").write_text("something else")
    _, line = answer(
        *FIT, "--evaluate.extractor=inception", f"--evaluate.weights={tmp_path / 'wrong.pth'}"
    )
    assert "wrong.pth does not hold Inception weights" in line


def test_too_few_samples_get_one_line(answer):
    code, line = answer(*FIT, "--data.batch_size=1000")
    assert code == 1
    assert "1797 samples do not fill one batch: 5000" in line


# The process


@pytest.mark.slow
def test_the_program_has_three_names():
    scripts = [Path(sys.executable).with_name(name) for name in ("gan-lightning", "lightning")]
    if missing := [script.name for script in scripts if not script.is_file()]:
        pytest.skip(f"{' and '.join(missing)}: not beside the interpreter, so NOT tested")
    names = [[sys.executable, "-m", "gan_lightning"], *([str(script)] for script in scripts)]
    running = [
        subprocess.Popen([*name, "--help"], stdout=subprocess.PIPE, text=True) for name in names
    ]
    for process in running:
        out, _ = process.communicate(timeout=200)
        assert process.returncode == 0
        assert "usage: gan-lightning" in out
        assert [command for command in COMMANDS if f"    {command} " not in out] == []
