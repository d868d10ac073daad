"""The commands that README and docs show are executed, on little data and for few updates.

Those that train for minutes plan their runs only, which tests of the benchmark train; those of
other programs are counted, so that a new one is not forgotten.
"""

import re
import runpy
import shlex
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from formats import WRITERS
from PIL import Image
from test_docs import FILES
from torchvision.models import mobilenet_v2

from benchmarks.figures.registry import FIGURES
from benchmarks.records import read_record
from benchmarks.run import cluster, pool
from gan_lightning.cli import main
from gan_lightning.cli.configs import named_configs
from gan_lightning.cli.front import COMMANDS
from gan_lightning.training import iteration

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`((?:gan-lightning|lightning|python -m) [^`\n]+)`")
#: The programs of others, and files of a job, which a test cannot start.
OTHER_PROGRAMS = {"HEAD=", "#SBATCH", "export", "make", "pip", "python3", "ray", "source", "srun"}
OTHER_PROGRAMS |= {"hf", "jupytext", "torchrun", "wandb", ".locked", "#!"}
PROGRAMS = {"gan-lightning", "lightning", "python"}
TRAINER = ("fit", "validate", "test", "predict")
CPU = ("--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false")
#: Programs that train or measure for minutes: what they are asked for is looked at.
LONG = ("benchmarks.figures", "benchmarks.paper_runs", "benchmarks.reliability")
LONG += ("benchmarks.render.picture", "benchmarks.sensitivity", "benchmarks.throughput")
LONG += ("benchmarks.draw_real_samples", "benchmarks.figures.curves", "benchmarks.site.notebooks")
LONG += ("benchmarks.weights", "benchmarks.gpu_day", "benchmarks.speedrun")
LONG += ("gan_lightning.metrics.train_digits_cnn", "benchmarks.reproduce", "gan_lightning")


def lines():
    """Each line of a block without a language, and each command in a sentence, with its page."""
    for page in PAGES:
        text = page.read_text()
        for language, block in FENCE.findall(text):
            for line in block.splitlines():
                if not language and line.strip():
                    yield page, re.sub(r"\s+#.*", "", line).strip()
        for command in INLINE.findall(FENCE.sub("", text)):
            yield page, command


def is_ours(line):
    return line.split()[0] in PROGRAMS


SHOWN = sorted({(page.relative_to(ROOT).as_posix(), line) for page, line in lines()})
COMMANDS_SHOWN = [(page, line) for page, line in SHOWN if is_ours(line)]


def subcommand(line):
    """``fit`` of ``gan-lightning fit ...``; "" of other programs."""
    words = line.split()
    return words[1] if words[0] in ("gan-lightning", "lightning") else ""


def is_a_name(line):
    """Whether a command stands for all of its kind: ``gan-lightning fit``."""
    return len(line.split()) == 2 and subcommand(line) not in ("list", "configs", "")


#: What a test cannot run: a page that serves until it is stopped (test_demo.py), and a repository
#: on the hub (test_sharing.py).
SERVED, PUSHED = "gan-lightning demo ", " --push "


def chosen(*kinds):
    cases = [case for case in COMMANDS_SHOWN if subcommand(case[1]) in kinds]
    cases = [case for case in cases if not is_a_name(case[1])]
    cases = [case for case in cases if SERVED not in case[1] and PUSHED not in case[1]]
    return pytest.mark.parametrize(("page", "line"), cases, ids=lambda value: value)


def value(line, option):
    """The value of an option, or None."""
    words = line.replace("=", " ").split()
    return words[words.index(option) + 1] if option in words else None


def test_every_line_is_a_command_of_a_known_program():
    unknown = {line for _, line in SHOWN if not is_ours(line)}
    left = {line for line in unknown if not line.startswith(tuple(OTHER_PROGRAMS))}
    assert not left
    assert len(COMMANDS_SHOWN) > 100


def test_every_command_exists():
    for _, line in COMMANDS_SHOWN:
        assert subcommand(line) in (*COMMANDS, ""), line


def test_every_config_has_its_name():
    for _, line in COMMANDS_SHOWN:
        config = value(line, "--config")
        if config and subcommand(line) and not config.endswith(".yaml"):
            assert config in named_configs(), line


def test_make_has_every_target():
    targets = set(re.findall(r"^([a-z][\w./-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    asked = {line.split()[1] for _, line in SHOWN if line.startswith("make ")}
    assert asked
    assert asked <= targets


def paired_module():
    """The code of the example from its imports to its class."""
    text = (ROOT / "docs" / "examples" / "from_a_paper.md").read_text()
    blocks = [block for language, block in FENCE.findall(text) if language == "python"]
    last = next(i for i, block in enumerate(blocks) if "class PairedGAN" in block)
    return "\n".join(blocks[: last + 1])


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with what the commands name: pictures, weights, modules and runs."""
    folder = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("HOME", str(folder / "home"))
        for name, text in FILES.items():
            Path(name).write_text(text)
        Path("paired.py").write_text(paired_module())
        patch.syspath_prepend(folder)
        for name in ("pictures", "real_images", "generated_images"):
            for kind in ("cats", "dogs"):
                Path(name, kind).mkdir(parents=True)
                for i in range(10):
                    pixels = torch.randint(256, (64, 64, 3), dtype=torch.uint8)
                    Image.fromarray(pixels.numpy()).save(Path(name, kind, f"{i}.png"))
        torch.save(mobilenet_v2(num_classes=1000).state_dict(), "mobilenet_v2.pth")
        Path("my.yaml").write_text(yaml.safe_dump({"model": "SNGAN", "data": "CIFAR10"}))
        data = {}
        for name in ("CIFAR10", "FashionMNIST"):
            files = folder / name
            files.mkdir()
            data[name] = str(WRITERS[name](files, patch)["data_dir"])
        yield folder, data


#: The runs whose checkpoints the commands name, with the options of each.
RUNS = {
    "Digits-WGANGP": (),
    "Digits-DCGAN": (),
    "Digits-SNGAN": ("--data.conditional=true",),
    "Digits-BigGAN": (),
    "Digits-StyleGAN": ("--model.mapping_layers=2",),
    "ImageFolder-SNGAN": ("--data.data_dir=pictures", "--data.conditional=true"),
    "CIFAR10-SNGAN": (),
    "Ring-MyWGANGP": ("--model=my_wgan_gp.MyWGANGP",),
}
NARROW = ("--model.generator_width=8", "--model.critic_width=8")


def fit_run(name, data):
    """Two updates of a run, in the working folder."""
    data_set, technique = name.split("-")
    paths = [f"--data.data_dir={data[data_set]}"] if data_set in data else []
    narrow = () if technique.startswith("My") else NARROW
    arguments = (*CPU, *narrow, f"--data={data_set}", *paths, "--data.batch_size=4")
    arguments += ("--trainer.max_steps=2", "--trainer.log_every_n_steps=1")
    if data_set != "Digits":  # which are scored fast
        arguments += ("--trainer.limit_val_batches=2", "--evaluate.extractor=none")
    chosen = () if technique.startswith("My") else (f"--model={technique}",)
    main(["fit", *chosen, *arguments, *RUNS[name]])


def arguments_of(page, line, data):
    """The words of a command, with the places of this folder, on the CPU and narrow."""
    words = shlex.split(line)[1:]
    run = "Digits-SNGAN" if "classes" in line else "Digits-StyleGAN"
    for place, meaning in (("RUN", run), ("PATH", "Digits-BigGAN")):
        words = [word.replace(place, f"runs/{meaning}/version_0") for word in words]
    if words[0] != "plot":
        last = "checkpoints/last.ckpt"
        words = [f"{word}/{last}" if word.endswith("version_0") else word for word in words]
    for word in words:
        name = re.match(r"runs/([^/]+)/", word)
        if name and not Path("runs", name[1]).exists():
            fit_run(name[1], data)
    if words[0] not in TRAINER or any("help" in word for word in words):
        return words
    words += CPU
    if words[0] == "fit":
        words += ["--trainer.max_steps=3", "--data.batch_size=4"]
        if "--evaluate.extractor" not in words:
            words += ["--evaluate.extractor=none"]
        if "--ckpt_path" not in words:
            technique = value(line, "--model") or ""
            words += () if "." in technique or "width" in line else NARROW
        name = value(line, "--data") or (value(line, "--config") or "").partition("/")[0]
        names = {"cifar10": "CIFAR10", "fashion_mnist": "FashionMNIST", "my.yaml": "CIFAR10"}
        name = names.get(name, name)
        if name in data and "--ckpt_path" not in words:
            words += [f"--data.data_dir={data[name]}"]
    return words


@pytest.mark.slow
@chosen(*TRAINER)
def test_a_command_of_the_trainer_runs(world, tmp_path, monkeypatch, page, line):
    folder, data = world
    for path in folder.iterdir():
        if path.name not in ("home", "runs", *data):
            (tmp_path / path.name).symlink_to(path)
    if "fashion.pt" in line:
        train_extractor(monkeypatch, data, "fashion.pt")
    words = arguments_of(page, line, data)
    before = set(tmp_path.rglob("*"))
    if any("help" in word for word in words):
        with pytest.raises(SystemExit) as stopped:
            main(words)
        assert not stopped.value.code
        return
    if "cuda_graph" in line and not torch.cuda.is_available():
        with pytest.raises(SystemExit):
            main(words)
        return
    if "--model.compile" in line:
        # Code generation takes a minute; other tests have it.
        monkeypatch.setattr(iteration, "compiled", partial(torch.compile, backend="aot_eager"))
    if "WandbLogger" in line:
        monkeypatch.setenv("WANDB_MODE", "offline")
    if "sqlite" in line:
        pytest.importorskip("sqlalchemy", reason="NOT TESTED: a data base of the full mlflow")
    if "my-start" in line:
        fit_run("Digits-DCGAN", data)
        checkpoint = "runs/Digits-DCGAN/version_0/checkpoints/last.ckpt"
        main(["export", "--ckpt_path", checkpoint, "--output", "my-start", "--critic"])
    main(words)
    assert set(tmp_path.rglob("*")) - before


def train_extractor(monkeypatch, data, output):
    words = ["--data=FashionMNIST", f"--data.data_dir={data['FashionMNIST']}", "--epochs=1"]
    monkeypatch.setattr(sys, "argv", ["train_extractor", *words, f"--output={output}"])
    runpy.run_module("gan_lightning.metrics.train_extractor", run_name="__main__")
    assert Path(output).is_file()


@pytest.mark.slow
@chosen(*(name for name in COMMANDS if name not in (*TRAINER, "benchmark")))
def test_a_command_without_a_trainer_runs(
    world, tmp_path, monkeypatch, capsys, inception_file, page, line
):
    folder, data = world
    monkeypatch.setenv("GAN_LIGHTNING_INCEPTION", str(inception_file))
    for path in folder.iterdir():
        if path.name not in ("home", "runs", *data):
            (tmp_path / path.name).symlink_to(path)
    words = arguments_of(page, line, data)
    before = set(tmp_path.rglob("*"))
    capsys.readouterr()
    main(words)
    assert capsys.readouterr().out or set(tmp_path.rglob("*")) - before


def as_module(line):
    """``python -m benchmarks.run`` for ``gan-lightning benchmark run``, in a clone the same."""
    return re.sub(r"^gan-lightning benchmark (?=\w)", "python -m benchmarks.", line)


MODULES_SHOWN = [
    (page, as_module(line))
    for page, line in COMMANDS_SHOWN
    if as_module(line).startswith("python -m ")
]


def modules(*names):
    cases = [(page, line) for page, line in MODULES_SHOWN if line.split()[2] in names]
    return pytest.mark.parametrize(("page", "line"), cases, ids=lambda value: value)


def run_module(monkeypatch, words):
    monkeypatch.setattr(sys, "argv", words)
    runpy.run_module(words[0], run_name="__main__")


def filled(line):
    """The words after ``python -m``, with values for what stands for one."""
    values = {"NAME": "ttur-saddle", "PATH": "pictures", "FOLDER": "pictures", "DIR": "pictures"}
    values |= {"<name>": "dcgan"}
    return [values.get(word, word) for word in shlex.split(line)[2:]]


@modules("benchmarks.run")
def test_a_benchmark_command_has_runs_to_train(tmp_path, monkeypatch, page, line):
    planned = []
    monkeypatch.setattr(pool, "train", lambda grid, *_: planned.extend(grid.runs))
    monkeypatch.setattr(cluster, "train", lambda grid, *_: planned.extend(grid.runs))
    for name, text in FILES.items():
        Path(name).write_text(text)
    Path("my_module.py").write_text(FILES["my_module.py"].replace("SoftplusWGAN", "MyGAN"))
    Path("my.yaml").write_text("model: {init_args: {latent_dim: 8}}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_module", raising=False)
    words = [word for word in filled(line) if not word.startswith("/shared")]
    words = [word for word in words if word not in ("--results", "--work")]
    words += [f"--results={tmp_path / 'results'}", f"--work={tmp_path / 'work'}"]
    words = [word for word in words if not word.startswith("runs/")]
    with pytest.raises(SystemExit):  # since no run is finished
        run_module(monkeypatch, words)
    assert planned


@modules(*LONG)
def test_a_long_command_is_understood(monkeypatch, page, line):
    name, *words = filled(line)
    if name == "benchmarks.figures":
        figures = [word for word in words if not word.startswith("-") and word != "pictures"]
        assert {*figures} <= {*FIGURES}
    if name == "benchmarks.reproduce" and words and not words[0].startswith("runs/"):
        assert read_record(ROOT / words[0]).status == "finished"
    if name == "gan_lightning":
        return
    with pytest.raises(SystemExit) as stopped:
        run_module(monkeypatch, [name, *words, "--help"])
    assert not stopped.value.code


def test_every_module_shown_is_tested():
    shown = {line.split()[2] for _, line in MODULES_SHOWN}
    tested = {"benchmarks.run", "benchmarks.render", "gan_lightning.metrics.train_extractor", *LONG}
    assert shown <= tested
