"""Disks that are full or read-only, damaged files, and files of other models and versions."""

import errno
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import yaml
from helpers import IMAGE, batches, differences, fixed, state, tiny, train
from PIL import Image
from program import LONG, assert_same, checkpoints, run_of

from gan_lightning import DCGAN, load
from gan_lightning.cli.program import main
from gan_lightning.data import ImageFolder
from gan_lightning.gan import GAN
from gan_lightning.utils.errors import WrongFileError
from gan_lightning.utils.files import remove_abandoned, whole_file

TINY = ("--model.generator_width=8", "--model.critic_width=8")
ARGUMENTS = ("--model=DCGAN", *LONG)


# Full and read-only disks


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "file"),
    [(60_000, "checkpoints/step="), (1_500, "metrics.csv")],
    ids=["big", "small"],
)
def test_a_file_size_limit_stops_the_run_and_leaves_the_checkpoint(program, tmp_path, limit, file):
    uninterrupted = program(*ARGUMENTS, root=tmp_path / "uninterrupted")
    root = tmp_path / "full"
    run = program(*ARGUMENTS, root=root)
    run.until(lambda: checkpoints(root))
    resource.prlimit(run.process.pid, resource.RLIMIT_FSIZE, (limit, limit))
    code, output = run.ended()
    assert code == 1, output
    assert "Traceback" not in output
    message = output.strip().splitlines()[-1]
    assert message.startswith("gan-lightning: ")
    assert file in message
    assert "cannot be written (File too large)" in message
    assert list(root.rglob("*.part")) == []
    (step,) = checkpoints(root)
    folder = run_of(root)
    load(folder / "checkpoints" / f"step={step}.ckpt")
    resume_arguments = (
        f"--config={folder / 'config.yaml'}",
        f"--ckpt_path={folder}/checkpoints/last.ckpt",
    )
    for each in (program(*resume_arguments, root=root), uninterrupted):
        code, output = each.ended()
        assert code == 0, output
    assert_same(folder, run_of(tmp_path / "uninterrupted"))


def can_mount():
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return (
        bool(shutil.which("unshare"))
        and not subprocess.run(command, capture_output=True).returncode
    )


def on_a_disk(folder, options, *arguments):
    """Fit with a separate disk for the runs; returns a copy of the disk, and the result."""
    disk, copy = folder / "disk", folder / "copy"
    disk.mkdir()
    command = [
        *(sys.executable, "-m", "gan_lightning", "fit", "--trainer.accelerator=cpu"),
        *("--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"),
        *(f"--trainer.default_root_dir={disk}/runs", *ARGUMENTS, *arguments),
    ]
    script = (
        f'mount -t tmpfs -o {options} tmpfs {disk} && "$@"; code=$?; '
        f"cp -a {disk} {copy}; exit $code"
    )
    return copy, subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, "sh", *command],
        cwd=folder,
        env=os.environ.copy(),
        capture_output=True,
        text=True,
        timeout=150,
    )


needs_a_mount = pytest.mark.skipif(
    not can_mount(), reason="full and read-only disks are NOT TESTED: mounting is not allowed"
)


@pytest.mark.slow
@needs_a_mount
def test_a_full_disk_stops_the_run_and_leaves_the_checkpoint(tmp_path):
    # There is space for one checkpoint, but not for two.
    copy, done = on_a_disk(tmp_path, "size=400k", "--trainer.log_every_n_steps=50")
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "cannot be written (No space left on device)" in done.stderr.splitlines()[-1]
    found = checkpoints(copy)
    assert found, done.stderr
    assert list(copy.rglob("*.part")) == []
    for path in copy.rglob("step=*.ckpt"):
        assert all(weight.isfinite().all() for weight in load(path).parameters())


@pytest.mark.slow
@needs_a_mount
def test_a_read_only_disk_is_reported_before_training(tmp_path):
    copy, done = on_a_disk(tmp_path, "ro")
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "Read-only file system" in done.stderr.splitlines()[-1]
    assert list(copy.rglob("*")) == []


# Files that cannot be used


@pytest.fixture
def answer(capfd, tmp_path):
    """``answer(*arguments)``: the last line of a command that fails and writes nothing.

    One that fails ``late`` leaves the files that were there.
    """

    def call(*arguments, code=1, late=False):
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        capfd.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main([*map(str, arguments), "--trainer.accelerator=cpu"])
        assert stopped.value.code == code
        after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        assert {path: after.get(path) for path in before} == before
        assert late or after.keys() == before.keys()
        output = capfd.readouterr().err
        assert "Traceback" not in output
        return output.strip().splitlines()[-1].removeprefix("gan-lightning: ")

    return call


FIT = ("--model=DCGAN", "--data=Digits", *TINY, "--trainer.max_steps=4")


@pytest.fixture(scope="module")
def trained_once(fit_once):
    return fit_once(*FIT, "--trainer.val_check_interval=2", "--checkpoint.save_top_k=-1")


@pytest.fixture
def trained(trained_once, copied):
    """The folder of a run with two checkpoints."""
    return copied(trained_once)


def truncated(content):
    return content[: len(content) // 2]


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    ("damage", "words", "code"),
    [
        (truncated, "is not a checkpoint", 2),
        (flipped, "is damaged", 1),
        (lambda content: b"", "is not a checkpoint", 2),
        (lambda content: content[:-1000] + bytes(1000), "is not a checkpoint", 2),
    ],
    ids=["truncated", "flipped", "empty", "zeroed end"],
)
@pytest.mark.parametrize("command", ["fit", "validate", "predict"])
def test_a_damaged_checkpoint_is_reported_with_the_newest_beside_it(
    answer, trained, command, damage, words, code
):
    folder = trained / "checkpoints"
    broken, other = folder / "step=4.ckpt", folder / "step=2.ckpt"
    broken.write_bytes(damage(broken.read_bytes()))
    os.utime(other)
    given = FIT if command == "fit" else ()
    output = answer(command, *given, f"--ckpt_path={broken}", code=code)
    assert words in output
    assert str(broken) in output
    assert output.endswith(f"the newest beside it is {other}")


def test_a_broken_link_is_reported_with_the_newest_checkpoint_beside_it(answer, trained):
    folder = trained / "checkpoints"
    (folder / "step=4.ckpt").unlink()
    output = answer("fit", *FIT, f"--ckpt_path={folder}/last.ckpt", code=2)
    assert output.endswith(f"the newest beside it is {folder}/step=2.ckpt")


def changed(path, change):
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)
    return path


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--model=WGAN",), "the checkpoint is of DCGAN, and the model is WGAN"),
        (("--model.generator_width=16",), "generator_width 8, not 16"),
        (("--model.latent_dim=5",), "latent_dim 100, not 5"),
        (("--data.conditional=true",), "num_classes 0, not 10"),
        (("--model.ema_decay=0.5",), "ema_decay 0.0, not 0.5"),
        (("--data=Ring",), "shape (1, 8, 8), not (2,)"),
    ],
)
def test_a_checkpoint_of_another_model_is_rejected(answer, trained, given, words):
    output = answer("fit", *FIT, *given, f"--ckpt_path={trained}/checkpoints/last.ckpt")
    assert words in output


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda c: c.update(gan_lightning={"format": 99, "version": "9.1"}),
            "was written by gan_lightning 9.1, which this version cannot read: upgrade it",
        ),
        (lambda c: c.pop("optimizer_states"), "holds weights alone: a fit cannot resume from it"),
        (lambda c: c.pop("lr_schedulers"), "has no lr_schedulers: a fit cannot resume from it"),
        (lambda c: c.pop("state_dict"), "is not a checkpoint of a run"),
        (
            lambda c: c["state_dict"].pop("critic.features.net.0.weight"),
            "critic.features.net.0.weight is missing",
        ),
    ],
)
def test_a_checkpoint_of_another_version_is_rejected(answer, trained, change, words):
    path = changed(trained / "checkpoints" / "step=4.ckpt", change)
    assert words in answer("fit", *FIT, f"--ckpt_path={path}")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("gan_lightning", value) for value in ([1], {"format": "x"})),
        *(("technique", 3), ("state_dict", 3), ("state_dict", {3: 4}), ("loops", {})),
        *(("optimizer_states", value) for value in ([], [3, 3], 3)),
        *(("callbacks", value) for value in ([1], {"ContinueLogs": 3})),
        *(("global_step", value) for value in ("a", None)),
        *(("pytorch-lightning_version", value) for value in (3, "")),
        *(("rng_states", value) for value in (3, [3], [{"cpu": torch.zeros(3)}])),
        *(("hyper_parameters", 3), ("lr_schedulers", 3), ("loops", {"fit_loop": {}})),
    ],
    ids=repr,
)
def test_a_checkpoint_with_wrong_types_is_rejected(answer, trained, name, value):
    path = changed(trained / "checkpoints" / "step=4.ckpt", lambda c: c.update({name: value}))
    assert "checkpoint" in answer("fit", *FIT, "--trainer.max_steps=6", f"--ckpt_path={path}")


def _critic(content):
    """The state of the critic's optimiser."""
    return content["optimizer_states"][0]


def _loop(content):
    return content["loops"]["fit_loop"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        # A fused step would write beyond the end of these.
        (
            lambda c: [s.update(exp_avg=torch.zeros(1)) for s in _critic(c)["state"].values()],
            "optimizer_states[0] have exp_avg of float32 and shape (1,) for parameter 0",
        ),
        (
            lambda c: _critic(c)["state"][3].update(exp_avg_sq=torch.zeros(())),
            "optimizer_states[0] have exp_avg_sq of float32 and shape () for parameter 3",
        ),
        (
            lambda c: _critic(c)["state"][0].update(
                exp_avg=_critic(c)["state"][0]["exp_avg"].to_sparse()
            ),
            "optimizer_states[0] have exp_avg of float32",
        ),
        (
            lambda c: [
                _critic(c)["param_groups"][0].update(amsgrad=True),
                *(s.update(max_exp_avg_sq=torch.zeros(1)) for s in _critic(c)["state"].values()),
            ],
            "have max_exp_avg_sq of float32 and shape (1,) for parameter 0",
        ),
        (
            lambda c: _critic(c)["state"][0].update(step=torch.zeros(9)),
            "have step of float32 and shape (9,) for parameter 0",
        ),
        (
            lambda c: _critic(c)["state"][0].update(
                exp_avg=_critic(c)["state"][0]["exp_avg"].bool()
            ),
            "have exp_avg of bool",
        ),
        (lambda c: _critic(c)["state"][0].pop("exp_avg"), "have exp_avg missing for parameter 0"),
        (lambda c: _critic(c)["state"].update({99: {}}), "are of other parameters"),
        (lambda c: _critic(c)["state"].clear(), "optimizer_states[0] hold no state"),
        (lambda c: c["optimizer_states"].pop(), "holds the states of 1 optimizers, not 2"),
        (
            lambda c: _critic(c)["param_groups"][0]["params"].pop(),
            "optimizer_states[0] are of other parameters than the model's",
        ),
        *(
            (
                lambda c, lr=lr: _critic(c)["param_groups"][0].update(lr=lr),
                f"optimizer_states[0] have lr {lr!r}, which is not a float of 0 or above",
            )
            for lr in ("fast", -1.0, float("nan"), True, None)
        ),
        (
            lambda c: _critic(c)["param_groups"][0].update(betas=(0.5, "x")),
            "have betas (0.5, 'x'), which is not a list",
        ),
        (lambda c: c.update(epoch=-1), "is not a checkpoint: its epoch is -1"),
        (lambda c: c.update(global_step=True), "is not a checkpoint: its global_step is True"),
        (
            lambda c: _loop(c)["epoch_progress"]["total"].update(ready=-5),
            "loops.fit_loop.epoch_progress.total.ready is -5",
        ),
        (
            lambda c: _loop(c).pop("epoch_loop.manual_optimization.optim_step_progress"),
            "epoch_loop.manual_optimization.optim_step_progress is missing",
        ),
        (lambda c: c.pop("loops"), "holds weights alone"),
        *(
            (
                lambda c, dtype=dtype: c["state_dict"].update(
                    {name: x.to(dtype) for name, x in c["state_dict"].items()}
                ),
                f"{kind}s, not a tensor of floats",
            )
            for dtype, kind in ((torch.bool, "bool"), (torch.complex64, "complex number"))
        ),
        (
            lambda c: c["lr_schedulers"].append({}),
            "holds the states of 1 learning rate schedules, not 0",
        ),
    ],
)
def test_a_checkpoint_whose_states_do_not_fit_is_rejected(answer, trained, change, words):
    path = changed(trained / "checkpoints" / "step=4.ckpt", change)
    assert words in answer("fit", *FIT, "--trainer.max_steps=6", f"--ckpt_path={path}")


def test_weights_of_another_kind_of_number_are_not_loaded(trained):
    path = trained / "checkpoints" / "step=4.ckpt"
    name = "critic.features.net.0.weight"
    changed(path, lambda c: c["state_dict"].update({name: c["state_dict"][name].bool()}))
    with pytest.raises(WrongFileError, match="is a tensor of bools, not a tensor of floats"):
        load(path)


def test_a_job_does_not_remember_a_run_that_it_cannot_resume(answer, trained, monkeypatch):
    monkeypatch.setattr("gan_lightning.training.requeue.job", lambda: "77")
    path = changed(trained / "checkpoints" / "step=4.ckpt", lambda c: c["optimizer_states"].pop())
    root = f"--trainer.default_root_dir={trained.parents[1]}"
    given = (*FIT, root, "--trainer.max_steps=6", f"--ckpt_path={path}")
    assert "holds the states of 1 optimizers" in answer("fit", *given)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.update(last_epoch=-1), "lr_schedulers[0] has last_epoch -1"),
        (lambda s: s.pop("last_epoch"), "lr_schedulers[0] has last_epoch None"),
        (lambda s: s.update(base_lrs=["x"]), "lr_schedulers[0] has base_lrs ['x']"),
        (lambda s: s.update(base_lrs=[0.1, 0.1]), "lr_schedulers[0] has base_lrs [0.1, 0.1]"),
    ],
)
def test_the_state_of_another_schedule_is_rejected(tmp_path, change, words):
    path = tmp_path / "decayed.ckpt"
    train(tiny("dcgan", decay_steps=9), batches(), 2).save_checkpoint(path)
    changed(path, lambda content: change(content["lr_schedulers"][0]))
    with pytest.raises(WrongFileError, match=re.escape(words)):
        train(tiny("dcgan", decay_steps=9), batches(), 4, ckpt_path=path)


@pytest.mark.parametrize("optimizer", ["Adafactor", "Adagrad", "ASGD", "NAdam", "RMSprop", "SGD"])
def test_the_state_of_any_optimizer_is_resumed(tmp_path, monkeypatch, optimizer):
    def make(self, network, lr):
        return getattr(torch.optim, optimizer)(network.parameters(), lr)

    monkeypatch.setattr(DCGAN, "make_optimizer", make)
    path, ends = tmp_path / "two.ckpt", []
    for steps, options in ((4, {}), (2, {}), (4, {"ckpt_path": path})):
        torch.manual_seed(0)
        model = tiny("dcgan", IMAGE)
        train(model, fixed(1), steps, **options).save_checkpoint(path)
        ends.append(state(model))
    assert differences(ends[2], ends[0]) == []
    assert differences(ends[2], ends[1]) != []


def test_a_checkpoint_without_random_states_is_resumed_with_a_warning(fit, trained):
    path = changed(trained / "checkpoints" / "step=4.ckpt", lambda c: c.pop("rng_states"))
    with pytest.warns(UserWarning, match="random states of 0 ranks, not 1: the fit resumes with"):
        fit(*FIT, "--trainer.max_steps=6", f"--ckpt_path={path}")


@pytest.mark.parametrize(
    "position",
    [
        *(3, {}, {"epoch": "a", "position": 1}, {"epoch": 0, "position": -1}),
        *({"epoch": 0, "position": 1, "seed": seed} for seed in ("a", -1)),
    ],
)
def test_an_invalid_position_in_the_data_is_rejected(answer, trained, position):
    def change(content):
        content["loops"]["fit_loop"]["state_dict"]["combined_loader"] = [position]

    path = changed(trained / "checkpoints" / "step=4.ckpt", change)
    output = answer("fit", *FIT, "--trainer.max_steps=6", f"--ckpt_path={path}")
    assert "the checkpoint has the state of another loader" in output


@pytest.mark.slow
def test_the_checkpoints_of_another_run_are_not_overwritten(answer, fit, tmp_path):
    option = "--checkpoint.dirpath=kept"
    root = f"--trainer.default_root_dir={tmp_path / 'runs'}"
    fit(*FIT, option)
    output = answer("fit", *FIT, "--model=WGAN", option, root, code=2)
    assert "holds checkpoints of another run" in output
    (last,) = tmp_path.rglob("last.ckpt")
    fit(*FIT, option, "--trainer.max_steps=6", f"--ckpt_path={last}")
    assert checkpoints(tmp_path) == [6]
    fit(*FIT, "--model=WGAN", option, "--checkpoint.enable_version_counter=true")
    assert {path.name for path in tmp_path.rglob("*.ckpt")} >= {"step=6.ckpt", "step=4.ckpt"}
    assert load(next(tmp_path.rglob("step=6.ckpt"))).__class__.__name__ == "DCGAN"


@pytest.mark.parametrize("name", ["step=4.ckpt", "other.ckpt"])
def test_a_link_to_itself_is_not_a_checkpoint(answer, trained, name):
    path = trained / "checkpoints" / "loop.ckpt"
    path.symlink_to(path)
    if name == "other.ckpt":
        assert "there is no file" in answer("fit", *FIT, f"--ckpt_path={path}", code=2)
    else:
        wrong = ("--model=WGAN", f"--ckpt_path={path.with_name(name)}")
        assert "the checkpoint is of DCGAN" in answer("fit", *FIT, *wrong)


def test_a_checkpoint_is_saved_if_its_folder_cannot_be_flushed(fit, monkeypatch):
    flush = os.fsync

    def refuse(handle):
        if os.path.isdir(f"/proc/self/fd/{handle}"):
            raise OSError(errno.EINVAL, "no folders")
        flush(handle)

    monkeypatch.setattr("os.fsync", refuse)
    assert checkpoints(fit(*FIT)) == [4]


def test_a_picture_that_cannot_be_written_is_reported(answer, trained):
    path = trained / "checkpoints" / "last.ckpt"
    (trained / "samples" / "000000.png").mkdir(parents=True)
    given = (f"--ckpt_path={path}", f"--samples.output={trained}/samples")
    output = answer("predict", *given, late=True)
    assert "samples/000000.png cannot be written (Is a directory)" in output


def test_a_checkpoint_of_the_first_versions_can_still_be_resumed(fit, trained):
    def age(content):
        del content["gan_lightning"]
        content["rng_states"] = [{"cpu": state["cpu"]} for state in content["rng_states"]]
        content["callbacks"] = {
            name: state for name, state in content["callbacks"].items() if name != "ContinueLogs"
        }

    path = changed(trained / "checkpoints" / "step=2.ckpt", age)
    run = fit(*FIT, "--trainer.max_steps=6", f"--ckpt_path={path}")
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["global_step"] == 6


def test_a_technique_whose_module_has_moved_can_still_be_resumed(fit, trained):
    path = changed(
        trained / "checkpoints" / "step=2.ckpt", lambda c: c.update(technique="elsewhere.DCGAN")
    )
    assert fit(*FIT, f"--ckpt_path={path}") is not None


def test_hyperparameters_unknown_to_this_version_are_reported(trained):
    path = changed(
        trained / "checkpoints" / "step=4.ckpt", lambda c: c["hyper_parameters"].update(clip_by=3)
    )
    with pytest.raises(ValueError, match=r"step=4.ckpt does not fit this DCGAN: .*clip_by"):
        load(path)
    assert issubclass(type(load(trained / "checkpoints" / "step=2.ckpt")), GAN)


# Files that several processes write


WHOLE = {letter * 100_000 for letter in "ABC"}


def test_writers_with_one_process_number_do_not_share_an_unfinished_file(tmp_path, monkeypatch):
    monkeypatch.setattr("os.getpid", lambda: 1)  # as in two containers
    path = tmp_path / "shared"
    with whole_file(path, "w") as first:
        first.write("A" * 50_000)
        with whole_file(path, "w") as second:
            second.write("B" * 50_000)
            first.write("A" * 50_000)
            second.write("B" * 50_000)
        assert path.read_text() == "B" * 100_000
    assert path.read_text() == "A" * 100_000
    assert list(tmp_path.iterdir()) == [path]


def test_no_read_is_torn_while_writers_with_one_process_number_write(tmp_path, monkeypatch):
    monkeypatch.setattr("os.getpid", lambda: 1)
    path = tmp_path / "shared"

    def write(content):
        for _ in range(50):
            with whole_file(path, "w", flushed=False) as file:
                for i in range(0, len(content), 10_000):
                    file.write(content[i : i + 10_000])
                    file.flush()

    path.write_text(min(WHOLE))
    with ThreadPoolExecutor() as pool:
        writers = [pool.submit(write, content) for content in WHOLE]
        reads = []
        while not all(writer.done() for writer in writers):
            reads.append(path.read_text())
    for writer in writers:
        writer.result()
    assert len(reads) > 10
    assert set(reads) <= WHOLE
    assert list(tmp_path.iterdir()) == [path]


def test_the_unfinished_file_of_a_writer_elsewhere_is_not_removed(tmp_path, monkeypatch):
    ahead = time.time() + 7200
    path = tmp_path / "step=1.ckpt"
    with whole_file(path, "w") as file:
        file.write("half")
        file.flush()
        monkeypatch.setattr("time.time", lambda: ahead)  # this machine's clock is wrong
        remove_abandoned(tmp_path, ".ckpt")
        file.write(" and half")
    assert path.read_text() == "half and half"


# Images on disk


@pytest.mark.parametrize("change", ["another folder", "replaced files", "replaced folder"])
def test_other_images_of_the_same_names_sizes_and_times_are_not_taken_from_the_cache(
    tmp_path, change
):
    red, blue = tmp_path / "red", tmp_path / "blue"
    for folder in (red, blue):
        folder.mkdir()
        for i in range(3):
            Image.new("RGB", (8, 8), folder.name).save(folder / f"{i}.bmp")
            os.utime(folder / f"{i}.bmp", (1e9, 1e9))  # as an archive keeps them

    def loaded(folder):
        data = ImageFolder(folder, size=8, cache_dir=tmp_path / "cache")
        # Statistics of real images are kept under the fingerprint.
        return data.load("train")[0].float().mean((0, 2, 3)).tolist(), data.fingerprint("train")

    before = loaded(red)
    assert loaded(red) == before
    assert before[0] == [255, 0, 0]
    match change:
        case "another folder":
            now = loaded(blue)
        case "replaced files":
            for i in range(3):
                shutil.copy2(blue / f"{i}.bmp", red / f"{i}.bmp")
            now = loaded(red)
        case "replaced folder":
            red.rename(tmp_path / "old")
            blue.rename(red)
            now = loaded(red)
            assert loaded(tmp_path / "old") == before
    assert now[0] == [0, 0, 255]
    assert now[1] != before[1]


@pytest.mark.parametrize(
    ("section", "option"), [("model", "spectral"), ("data", "cache"), ("trainer", "gpus")]
)
def test_the_version_of_an_older_config_is_reported(answer, trained, tmp_path, section, option):
    saved = trained / "config.yaml"
    assert saved.read_text().startswith("# gan_lightning==")
    config = yaml.safe_load(saved.read_text())
    content = config[section]
    content.get("init_args", content)[option] = 1
    older = tmp_path / "older.yaml"
    older.write_text("# gan_lightning==0.0.1\n" + yaml.safe_dump(config))
    output = answer("fit", f"--config={older}", code=2)
    assert option in output
    assert f"({older} was written by gan_lightning 0.0.1, and this is " in output
    # For a config of this version, it is not.
    saved.write_text(saved.read_text().splitlines()[0] + "\n" + yaml.safe_dump(config))
    assert "was written by" not in answer("fit", f"--config={saved}", code=2)
