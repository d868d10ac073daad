"""Rows of a protocol: their names, their folders, and what their options change."""

import dataclasses
import sys

import pytest
import yaml

from benchmarks.protocols import PROTOCOLS
from benchmarks.records import read_record, write_record
from benchmarks.run.plan import Run, custom_row
from benchmarks.variants import KEY, MAX_TITLE, Variant, check_modules, module_files
from gan_lightning import TECHNIQUES
from gan_lightning.utils.errors import ArgumentError

DIGITS = PROTOCOLS["digits"]
#: 192,000 images in batches of 32.
BUDGET = PROTOCOLS["fashion-mnist-cpu"]

MODULE = """
from gan_lightning import GAN
from {helper} import mean_square

class MyGAN(GAN):
    latent_dim: int = 4
    n_critic: int = 2
    critic_lr: float = 1e-3
    generator_lr: float = 1e-3
    decay_steps: int = 7

    def critic_loss(self, real, fake):
        return mean_square(real - 1) + mean_square(fake)

    def generator_loss(self, fake):
        return mean_square(fake - 1)

class Unfinished(GAN):
    def critic_loss(self, real, fake):
        return fake.mean()

class Untold(MyGAN):
    def __init__(self, shape, **options):
        super().__init__(shape, **options)

class NoDefault(GAN):
    latent_dim: int = 4
    critic_lr: float = 1e-3
    generator_lr: float = 1e-3
    critic_loss = generator_loss = MyGAN.critic_loss

something = 3
"""


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """A folder with the module ``mine``, which imports ``helping`` beside it."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("mine", "helping", "broken", "needy"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "mine.py").write_text(MODULE.format(helper="helping"))
    (tmp_path / "helping.py").write_text("def mean_square(x):\n    return (x * x).mean()\n")
    (tmp_path / "unrelated.py").touch()
    (tmp_path / "broken.py").write_text("def f(:\n")
    (tmp_path / "needy.py").write_text("import nothing_such\n")
    (tmp_path / "mine.yaml").write_text("trainer: {max_steps: 2}\n")
    yield tmp_path
    for name in ("mine", "helping"):
        sys.modules.pop(name, None)


def planned(modules, technique="mine.MyGAN", protocol=DIGITS, **given):
    if technique.startswith("mine."):
        given.setdefault("config", str(modules / "mine.yaml"))
    return custom_row(protocol, modules / "results", technique, modules=modules, **given)


# Names


def test_a_technique_is_the_simplest_row():
    row = Variant("wgan_gp")
    assert (row.key, row.title, row.is_plain) == ("wgan_gp", "WGANGP", True)
    assert DIGITS.rows[: len(TECHNIQUES)] == tuple(map(Variant, TECHNIQUES))


@pytest.mark.parametrize(
    ("row", "key", "title"),
    [
        (Variant("dcgan", ("model.x=1",)), "dcgan-model.x-1", "DCGAN, model.x=1"),
        (Variant("dcgan", ("model.x=-1",)), "dcgan-model.x--1", "DCGAN, model.x=-1"),
        (Variant("dcgan", title="Labels 0.9 / 0"), "labels-0.9-0", "Labels 0.9 / 0"),
        (Variant("a.b.MyGAN"), "mygan", "MyGAN"),
        (Variant("dcgan", title="Été"), "ete", "Été"),
        (Variant("dcgan", title="../../x/."), "x", "../../x/."),
        (Variant("dcgan", title="a\nb\x1b[2J"), "a-b-2j", "a b\N{REPLACEMENT CHARACTER}[2J"),
        (Variant("dcgan", key="given", title="Any"), "given", "Any"),
    ],
)
def test_a_key_is_made_from_the_title(row, key, title):
    assert (row.key, row.title, row.is_plain) == (key, title, False)


@pytest.mark.parametrize(
    "title", ["", "!!!", "..", "/", "матрица", "生成", "x" * 500, "é" * 500, "\ud800", "-", "nul\0"]
)
def test_every_title_gives_the_name_of_a_folder(title):
    row = Variant("dcgan", ("model.x=1",), title=title)
    assert KEY.fullmatch(row.key)
    assert row.key not in (".", "..")
    assert 0 < len(row.title) <= MAX_TITLE
    assert row.title.isprintable()


def test_titles_whose_letters_are_lost_have_different_keys():
    titles = ["матрица", "матрицы", "生成", "x" * 300, "x" * 301, "!", "?"]
    assert len({Variant("dcgan", title=title).key for title in titles}) == len(titles)


@pytest.mark.parametrize("key", ["..", ".", "a/b", "", "A", "x" * 65, "a\n"])
def test_a_key_is_the_name_of_a_folder(key):
    if key:
        with pytest.raises(ValueError, match="is not a key"):
            Variant("dcgan", key=key)
    assert not KEY.fullmatch(key)


def test_the_rows_of_a_protocol_have_different_names():
    smooth = Variant("dcgan", ("model.x=1",), title="Smooth")
    protocol = dataclasses.replace(DIGITS, variants=(smooth,))
    assert protocol.rows[-1] == smooth
    for other in (
        Variant("lsgan", ("model.x=1",), title="Smooth"),
        Variant("lsgan", ("model.x=1",), title="WGANGP"),
        Variant("dcgan", ("model.x=1",), title="wgan_gp"),
    ):
        with pytest.raises(ValueError, match="digits has two rows"):
            dataclasses.replace(DIGITS, variants=(smooth, other))


# What options and classes change


def test_options_come_after_the_protocols_arguments_and_before_its_budget():
    row = Variant("sngan", ("model.critic_norm=layer",))
    line = BUDGET.command_line(row)
    places = [
        line.index(argument)
        for argument in (
            "--model.critic_norm=none",
            "--model.critic_norm=layer",
            f"--trainer.max_steps={BUDGET.updates(row)}",
            f"--model.decay_steps={BUDGET.updates(row)}",
        )
    ]
    assert places == sorted(places)


def test_an_option_changes_the_updates_of_a_budget_of_images():
    assert BUDGET.updates(Variant("dcgan")) == 6000
    assert BUDGET.updates(Variant("dcgan", ("model.n_critic=2",))) == 3000
    assert BUDGET.updates(Variant("dcgan", ("model.init_args.n_critic=2",))) == 3000


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ((), "1200"),
        (("model.decay_steps=3",), "3"),
        (("--model.init_args.decay_steps=3",), "3"),
    ],
)
def test_a_decay_is_that_of_the_budget_unless_it_is_an_option(options, steps):
    line = BUDGET.command_line(Variant("sngan", options))
    assert [part for part in line if "decay_steps" in part] == [f"--model.decay_steps={steps}"]


def test_options_change_the_updates_and_the_batch_of_a_protocol_without_a_budget():
    row = Variant("dcgan", ("trainer.max_steps=7", "data.batch_size=5"))
    run = Run(DIGITS, row, 0)
    assert (run.updates, run.batch_size) == (7, 5)


def test_the_budget_respects_the_defaults_of_a_custom_class(modules):
    row = planned(modules, protocol=BUDGET)
    assert BUDGET.updates(row) == 3000
    assert BUDGET.command_line(row)[-1] == "--model.decay_steps=3000"
    assert BUDGET.updates(planned(modules, "mine.Untold", BUDGET)) == 3000
    (modules / "mine.yaml").write_text("model: {init_args: {n_critic: 4, decay_steps: 0}}")
    row = planned(modules, protocol=BUDGET)
    assert BUDGET.updates(row) == 1500
    assert not any(argument.startswith("--model.decay") for argument in BUDGET.command_line(row))
    (modules / "mine.yaml").write_text("model: {n_critic: 3}")
    assert BUDGET.updates(planned(modules, "mine.NoDefault", BUDGET)) == 1998


def test_a_config_of_the_users_own_need_not_name_the_classes(modules):
    config = modules / "mine.yaml"
    assert DIGITS.config_arguments(planned(modules)) == [
        *("--model=mine.MyGAN", "--data=Digits", f"--config={config}")
    ]
    row = planned(modules, "dcgan", config=str(config))
    assert (row.title, row.key) == ("DCGAN, mine.yaml", "dcgan-mine.yaml")
    assert DIGITS.config_arguments(row)[0] == "--model=gan_lightning.techniques.dcgan.DCGAN"


# What is refused


@pytest.mark.parametrize(
    ("technique", "message"),
    [
        ("nothing", "there is no technique 'nothing': choose from dcgan, "),
        ("mine.", "there is no technique 'mine.'"),
        ("mine/../x.A", "there is no technique"),
        ("nothing_such.A", "there is no module nothing_such in "),
        ("mine.Nothing", "there is no class Nothing in mine"),
        ("mine.something", "mine.something is not a subclass of gan_lightning.GAN"),
        ("mine.Unfinished", "mine.Unfinished does not define generator_loss"),
        ("broken.A", "broken cannot be imported: SyntaxError"),
        ("needy.A", "needy needs the module nothing_such"),
    ],
)
def test_a_technique_that_cannot_be_trained_is_refused(modules, technique, message):
    with pytest.raises(ArgumentError) as refused:
        planned(modules, technique)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("model.nothing=1", "DCGAN has no option nothing"),
        ("n_critic=1", "is not an option such as"),
        ("model=WGAN", "is not an option such as"),
        ("seed_everything=1", "is not an option such as"),
        ("evaluate.num_samples=2", "is not an option such as"),
        ("data.data_dir=/x", "data.data_dir is given as --data-dir"),
        ("trainer.devices=2", "trainer.devices is the same for all rows"),
        ("trainer.logger.name=x", "trainer.logger.name is the same for all rows"),
        ("trainer.max_steps=2", "trainer.max_steps is the same for all rows of fashion-mnist-cpu"),
        ("trainer.num_nodes=2", "trainer.num_nodes is the same for all rows"),
        ("model.long_n_critic=2", "model.long_n_critic is the same for all rows of fashion-mnist"),
        ("data.class_path=CIFAR10", "data.class_path cannot be an option"),
        ("model.class_path=WGAN", "model.class_path cannot be an option"),
        ("model.n_critic=[", "has no value in YAML"),
        ("model.n_critic=x", "cannot be used: "),
        ("model.n_critic=1000000", "would be trained for no update"),
    ],
)
def test_an_option_that_a_row_cannot_have_is_refused(modules, option, message):
    with pytest.raises(ArgumentError) as refused:
        planned(modules, "dcgan", BUDGET, options=[option])
    assert message in str(refused.value)


def test_an_option_is_given_once(modules):
    with pytest.raises(ArgumentError, match=r"model\.n_critic is given twice"):
        planned(modules, "dcgan", options=["model.n_critic=1", "--model.init_args.n_critic=2"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no config"),
        ("a: [b", "cannot be used: while parsing"),
        ("- a", "cannot be used: a config is a mapping"),
        ("model: WGAN", "has the model WGAN, not MyGAN"),
        ("model: {class_path: other.WGAN}", "has the model other.WGAN, not MyGAN"),
        ("data: {class_path: CIFAR10}", "has the data CIFAR10, not Digits"),
        ("evaluate: {num_samples: 10}", "sets evaluate: only model, data, trainer can differ"),
        ("init_from: x.ckpt", "sets init_from: only model, data, trainer can differ"),
        ("trainer: {max_steps: 0}", "would be trained for no update"),
        ("trainer: {max_steps: some}", "cannot be used: invalid literal"),
        ("data: {init_args: {batch_size: []}}", "cannot be used: int()"),
    ],
)
def test_a_config_that_cannot_be_used_is_refused(modules, text, message):
    config = modules / "other.yaml"
    if text is not None:
        config.write_text(text)
    with pytest.raises(ArgumentError) as refused:
        planned(modules, config=str(config))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_class_needs_a_config_and_a_budget_needs_n_critic(modules):
    with pytest.raises(ArgumentError, match=r"digits has no config of mine\.MyGAN: give --config"):
        planned(modules, config=None)
    with pytest.raises(ArgumentError, match="NoDefault has no n_critic: give it in the config"):
        planned(modules, "mine.NoDefault", BUDGET)


@pytest.mark.parametrize("name", ["DCGAN", "dcgan", "wgan_gp", "WGAN-GP", "wgangp", " Smooth "])
def test_the_name_of_another_row_is_refused(modules, name):
    smooth = Variant("dcgan", ("model.n_critic=2",), title="Smooth")
    protocol = dataclasses.replace(DIGITS, variants=(smooth,))
    with pytest.raises(ArgumentError, match="choose another --name"):
        planned(modules, protocol=protocol, name=name)
    same = planned(
        modules, "dcgan", protocol, name="Smooth", options=["--model.init_args.n_critic=2"]
    )
    assert same == smooth
    assert planned(modules, "dcgan") == Variant("dcgan")


@pytest.mark.parametrize("name", ["", "\n", "x" * (MAX_TITLE + 1)])
def test_a_name_has_a_bounded_length(modules, name):
    with pytest.raises(ArgumentError, match="must have 1 to 80 characters"):
        planned(modules, name=name)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({}, None),
        ({"options": ["model.n_critic=3"]}, "'Mine' is that of mine.MyGAN model.n_critic=3"),
        ({"technique": "dcgan"}, "'Mine' is that of dcgan"),
        ({"title": "Mine!"}, "'Mine' gives the folder of 'Mine!'"),
        ({"files": {}}, "has records from before "),
    ],
)
def test_a_name_with_records_of_something_else_is_refused(modules, record, changed, message):
    row = planned(modules, name="Mine")
    own = {"technique": row.technique, "key": row.key, "title": row.title, "files": row.files()}
    path = write_record(dataclasses.replace(record, **own | changed), modules / "results")
    assert path.parent == modules / "results" / "digits" / "mine"
    if message is None:
        assert planned(modules, name="Mine") == row
        return
    with pytest.raises(ArgumentError) as refused:
        planned(modules, name="Mine")
    assert message in str(refused.value)
    assert str(refused.value).endswith(f"choose another --name, or delete {path.parent}")


# Files that no commit tells


@pytest.mark.parametrize("file", ["mine.py", "helping.py", "mine.yaml"])
def test_a_row_notices_changes_of_its_config_and_modules(modules, record, file):
    row = planned(modules, name="Mine")
    before = row.files()
    assert before.keys() == {"mine.py", "helping.py", "mine.yaml"}
    assert row.files() == before
    own = {"technique": row.technique, "key": row.key, "title": row.title, "files": before}
    record = dataclasses.replace(record, **own)
    check_modules(record.technique, record.files, modules)
    assert read_record(write_record(record, modules / "results")) == record
    with (modules / file).open("a") as changed:
        changed.write("# changed\n")
    after = row.files()
    assert [name for name in before if before[name] != after[name]] == [file]
    with pytest.raises(ArgumentError, match=f"from before {file} changed"):
        planned(modules, name="Mine")
    if file.endswith(".py"):
        with pytest.raises(ArgumentError, match=f"{file} is not as the record was made with"):
            check_modules(record.technique, record.files, modules)
    else:
        check_modules(record.technique, record.files, modules)


def test_modules_of_a_package_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    package = tmp_path / "a_package"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "inner" / "__init__.py").write_text("from .gan import MyGAN")
    (package / "inner" / "gan.py").write_text(MODULE.format(helper="..helping"))
    (package / "helping.py").write_text("from math import pi\ndef mean_square(x): return x\n")
    row = Variant("a_package.inner.MyGAN", modules=tmp_path)
    found = module_files(row.model_class())
    assert found.keys() == {
        f"a_package/{name}"
        for name in ("__init__.py", "helping.py", "inner/__init__.py", "inner/gan.py")
    }
    assert all((tmp_path / name).samefile(path) for name, path in found.items())


def test_folders_without_an_init_file_are_no_obstacle(modules):
    (modules / "spaces").mkdir()
    (modules / "spaces" / "deep.py").write_text(MODULE.format(helper="helping"))
    (modules / "wandb").mkdir()  # W&B makes one where a run starts
    with (modules / "helping.py").open("a") as helping:
        helping.write("import wandb\n")
    found = module_files(Variant("spaces.deep.MyGAN", modules=modules).model_class())
    assert found.keys() == {"spaces/deep.py", "helping.py"}
    sys.modules.pop("spaces.deep")


def test_all_files_of_an_installed_package_count(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    folder = tmp_path / "site-packages"
    (folder / "installed").mkdir(parents=True)
    (folder / "installed" / "__init__.py").touch()
    (folder / "installed" / "gan.py").write_text(MODULE.format(helper=".losses"))
    losses = folder / "installed" / "losses.py"
    losses.write_text("def mean_square(x): return x\n")
    row = Variant("installed.gan.MyGAN", modules=folder)
    before = row.files()
    assert before.keys() == {"installed"}
    losses.write_text("def mean_square(x): return 2 * x\n")
    assert row.files() != before


def test_techniques_of_the_package_have_no_files_of_their_own():
    assert all(row.files() == {} for row in DIGITS.rows)
    assert Variant("gan_lightning.DCGAN").files() == {}
    check_modules("not.there", {}, DIGITS.configs)


def test_records_of_techniques_are_written_as_before(tmp_path, record):
    content = yaml.safe_load(write_record(record, tmp_path).read_text())
    assert not {"key", "title", "options", "files"} & content.keys()
