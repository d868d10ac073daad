"""Pictures, scores and hyperparameters in loggers of experiments, read back from their files."""

import io
import shlex
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from helpers import IMAGE, batches, tiny
from PIL import Image
from pytorch_lightning.loggers import CSVLogger, MLFlowLogger, TensorBoardLogger, WandbLogger
from pytorch_lightning.loggers.logger import DummyLogger
from wandb_log import records

from gan_lightning import Trainer
from gan_lightning.callbacks import Evaluate
from gan_lightning.cli import main
from gan_lightning.utils.rows import read_rows

wandb = pytest.importorskip("wandb", reason="NOT TESTED: wandb is not installed")

#: The commands of the docs, and the package that each needs.
COMMANDS = [
    (line, package)
    for line in (Path(__file__).parents[2] / "docs" / "logging.md").read_text().splitlines()
    for logger, package in (
        ("TensorBoardLogger", "tensorboard"),
        ("WandbLogger", "wandb"),
        # Its small package has no database.
        ("MLFlowLogger", "sqlalchemy"),
    )
    if line.startswith("gan-lightning fit") and logger in line
]
SCORE = "fd20_digits_cnn_val"
#: The updates at which a run of four is evaluated.
EVALUATED = [0, 2, 4]


def fit(logger, root, evaluate=True, **options):
    """The trainer of a fit of four updates, evaluated at each second one, and the model."""
    trainer = Trainer(
        default_root_dir=root,
        logger=logger,
        max_steps=4,
        val_check_interval=2,
        log_every_n_steps=1,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Evaluate("digits_cnn", num_samples=20, cache_dir=None)] if evaluate else [],
        **options,
    )
    model = tiny("dcgan", IMAGE)
    trainer.fit(model, batches(IMAGE), batches(IMAGE))
    return trainer, model


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB"))


def grids(run):
    return [pixels(run / "grids" / f"step_{step:06d}.png") for step in EVALUATED]


def assert_logged(run):
    """Check that the log is in the folder of a run, a row for each update, and return it."""
    rows = read_rows(run / "metrics.csv")
    assert [row["step"] for row in rows] == ["0", "1", "2", "3", "4"]
    assert [int(row["step"]) for row in rows if row[SCORE]] == EVALUATED
    assert all(row["loss/critic"] for row in rows[1:])
    return rows


def events(folder):
    pytest.importorskip("tensorboard", reason="NOT TESTED: TensorBoard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder), {"images": 0, "scalars": 0})
    read.Reload()
    return read


def test_tensorboard_gets_the_grids_and_the_scalars_of_the_log(tmp_path):
    pytest.importorskip("tensorboard", reason="NOT TESTED: TensorBoard is not installed")
    fit(TensorBoardLogger(tmp_path, "gans"), tmp_path)
    run = tmp_path / "gans" / "version_0"
    read = events(run)
    images = read.Images("samples")
    assert [image.step for image in images] == EVALUATED
    for image, grid in zip(images, grids(run), strict=True):
        assert (pixels(io.BytesIO(image.encoded_image_string)) == grid).all()
    rows = assert_logged(run)
    for name in (SCORE, "loss/critic", "diversity/fake"):
        scalars = {event.step: event.value for event in read.Scalars(name)}
        logged = {int(row["step"]): float(row[name]) for row in rows if row[name]}
        assert scalars == pytest.approx(logged)


def test_tensorboard_shows_scores_beside_hyperparameters(tmp_path):
    pytest.importorskip("tensorboard", reason="NOT TESTED: TensorBoard is not installed")
    from tensorboard.plugins.hparams import metadata

    _, model = fit(TensorBoardLogger(tmp_path, "gans"), tmp_path)
    read = events(tmp_path / "gans" / "version_0")
    # Lightning would invent a score of -1.
    assert "hp_metric" not in read.Tags()["scalars"]
    content = {
        tag: read.summary_metadata[tag].plugin_data.content
        for tag in (metadata.EXPERIMENT_TAG, metadata.SESSION_START_INFO_TAG)
    }
    experiment = metadata.parse_experiment_plugin_data(content[metadata.EXPERIMENT_TAG])
    metrics = [info.name.tag for info in experiment.metric_infos]
    assert metrics == [SCORE, "is20_digits_cnn"]
    start = metadata.parse_session_start_info_plugin_data(content[metadata.SESSION_START_INFO_TAG])
    assert start.hparams["critic_lr"].number_value == model.critic_lr
    assert start.hparams["shape"].string_value == str(IMAGE)
    assert {info.name for info in experiment.hparam_infos} == set(model.hparams)
    # The tab shows the last scalar of each name.
    assert [event.step for event in read.Scalars(SCORE)] == EVALUATED


def test_without_scores_tensorboard_is_left_as_lightning_has_it(tmp_path):
    pytest.importorskip("tensorboard", reason="NOT TESTED: TensorBoard is not installed")
    fit(TensorBoardLogger(tmp_path, "gans"), tmp_path, evaluate=False)
    assert "hp_metric" in events(tmp_path / "gans" / "version_0").Tags()["scalars"]


@pytest.mark.slow
def test_mlflow_gets_grids_scores_and_hyperparameters(tmp_path, monkeypatch):
    pytest.importorskip("mlflow", reason="NOT TESTED: MLflow is not installed")
    # The package mlflow-skinny has no other store.
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    logger = MLFlowLogger("gans", save_dir=str(tmp_path / "mlruns"))
    trainer, model = fit(logger, tmp_path)
    run = Path(trainer.checkpoint_callback.dirpath).parent
    assert run.is_relative_to(tmp_path / "mlruns")
    rows = assert_logged(run)

    data = logger.experiment.get_run(logger.run_id).data
    assert data.metrics[SCORE] == pytest.approx(float(rows[-1][SCORE]))
    assert float(data.params["critic_lr"]) == model.critic_lr
    history = logger.experiment.get_metric_history(logger.run_id, SCORE)
    assert [metric.step for metric in history] == EVALUATED
    files = [
        Path(logger.experiment.download_artifacts(logger.run_id, file.path))
        for file in logger.experiment.list_artifacts(logger.run_id, "images")
        if file.path.endswith(".png")
    ]
    steps = {int(file.name.split("+")[2]): pixels(file) for file in files}
    assert sorted(steps) == EVALUATED
    assert all(
        (steps[step] == grid).all() for step, grid in zip(EVALUATED, grids(run), strict=True)
    )


class Pictures(DummyLogger):
    """A logger of no known kind, which takes pictures."""

    name, version, save_dir = "mine", "one", None

    def __init__(self):
        super().__init__()
        self.pictures = []

    def log_image(self, key, images, step=None):
        self.pictures.append((key, images, step))


def test_any_logger_with_log_image_gets_the_grids(tmp_path):
    logger = Pictures()
    fit(logger, tmp_path)
    run = tmp_path / "mine" / "one"
    assert logger.pictures == [
        ("samples", [str(run / "grids" / f"step_{step:06d}.png")], step) for step in EVALUATED
    ]
    assert_logged(run)


def test_a_logger_without_pictures_gets_none(tmp_path):
    trainer, _ = fit(CSVLogger(tmp_path, "gans"), tmp_path)
    assert len(trainer.loggers) == 1
    assert len(grids(tmp_path / "gans" / "version_0")) == 3


@pytest.fixture
def offline(monkeypatch):
    """Runs of Weights & Biases end with the test."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    yield
    wandb.finish()
    wandb.teardown()


@pytest.mark.usefixtures("offline")
def test_the_files_of_weights_and_biases_are_in_the_folder_of_the_run(tmp_path):
    trainer, _ = fit(WandbLogger(project="gans", save_dir=tmp_path, offline=True), tmp_path)
    assert not (tmp_path / "wandb").exists()
    identity = trainer.loggers[0].experiment.id
    run = tmp_path / "gans" / identity
    (folder,) = run.glob("wandb/offline-run-*")
    assert folder.name.endswith(identity)
    assert_logged(run)
    wandb.finish()
    wandb.teardown()  # wait for the process that writes the file
    (file,) = folder.glob("*.wandb")
    assert any(record.HasField("history") for record in records(file))


@pytest.mark.usefixtures("offline")
def test_beside_another_log_they_are_in_its_folder(tmp_path):
    loggers = [CSVLogger(tmp_path, "mine"), WandbLogger(project="gans", offline=True)]
    fit(loggers, tmp_path)
    assert len(list(tmp_path.glob("mine/version_0/wandb/offline-run-*"))) == 1
    assert not (tmp_path / "wandb").exists()


@pytest.mark.usefixtures("offline")
def test_a_run_that_has_begun_stays_where_it_is(tmp_path):
    begun = wandb.init(project="gans", dir=str(tmp_path), mode="offline")
    logger = WandbLogger(project="gans", offline=True, save_dir=tmp_path)
    fit(logger, tmp_path)
    assert logger.experiment.id == begun.id
    assert len(list(tmp_path.glob("wandb/offline-run-*"))) == 1


@pytest.mark.usefixtures("offline")
def test_an_agent_says_which_run_a_process_is(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_RUN_ID", "given0")
    fit(WandbLogger(project="gans", save_dir=tmp_path, offline=True), tmp_path)
    assert (tmp_path / "gans" / "given0" / "metrics.csv").is_file()


@pytest.mark.slow
@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(("command", "package"), COMMANDS)
def test_a_command_of_the_docs_logs_to_the_folder_of_its_run(command, package, tmp_path):
    if find_spec(package) is None:
        pytest.skip(f"NOT TESTED: {package} is not installed")
    assert len(COMMANDS) == 3
    options = ["--trainer.max_steps=2", "--trainer.accelerator=cpu", "--model.generator_width=8"]
    main([*shlex.split(command)[1:], *options])
    (log,) = tmp_path.rglob("metrics.csv")
    (row,) = (row for row in read_rows(log) if row["step"] == "2")
    assert float(row["fd1797_digits_cnn"]) > 0
    assert (log.parent / "config.yaml").is_file()
    assert not (tmp_path / "wandb").exists()
