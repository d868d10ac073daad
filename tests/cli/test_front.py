"""What the command line answers at once: without torch, Lightning or code of other packages."""

import gc
import os
import re
import subprocess
import sys
from inspect import getdoc

import pytest

import gan_lightning
from gan_lightning import TECHNIQUES, Trainer
from gan_lightning.cli import front, main, program

#: Packages that take long to import.
SLOW = {"torch", "numpy", "pytorch_lightning", "jsonargparse", "torchvision", "rich", "yaml"}
NEW_PROCESS = """
import sys
from gan_lightning.cli import main
try:
    main(sys.argv[1:])
finally:
    print("MODULES", *{name.partition(".")[0] for name in sys.modules})
"""


@pytest.mark.parametrize(
    ("arguments", "code", "answer"),
    [
        ([], 2, f"a command is missing: {', '.join(front.COMMANDS)}"),
        (["--help"], 0, "usage: gan-lightning"),
        (["-h"], 0, "usage: gan-lightning"),
        (["--version"], 0, f"gan-lightning {gan_lightning.__version__}"),
        (["configs"], 0, "digits/sngan SNGAN on 8 x 8 digits"),
        (["weights"], 0, "digits/dcgan DCGAN on Digits"),
        (["list"], 0, "wgan_gp WGANGP Wasserstein GAN with gradient penalty (arXiv:1704.00028)"),
        (["fitt"], 2, "there is no command fitt: did you mean fit?"),
        (["list", "protocols"], 0, "digits-stabilizers Stabilisers on handwritten digits, 8 x 8"),
        (["list", "netwroks"], 2, "list: there is no section netwroks: did you mean networks?"),
        (["benchmark"], 2, "benchmark: a program is missing: run, render, reproduce, figures"),
        (["benchmark", "-h"], 0, "run Train the runs of a protocol that have no record yet."),
        (["benchmark", "rnu"], 2, "benchmark: there is no program rnu"),
        (["lsit"], 2, "there is no command lsit: did you mean list?"),
        (["--verison"], 2, "there is no option --verison: did you mean --version?"),
    ],
)
def test_it_is_answered_without_a_slow_import(arguments, code, answer):
    done = subprocess.run(
        [sys.executable, "-c", NEW_PROCESS, *arguments], capture_output=True, text=True
    )
    said, _, modules = done.stdout.partition("MODULES ")
    assert "gan_lightning" in modules.split()
    assert SLOW & set(modules.split()) == set()
    assert done.returncode == code
    assert answer in re.sub(" +", " ", said if code == 0 else done.stderr)
    assert len(done.stderr.splitlines()) == (code != 0)


def test_a_reader_that_has_enough_is_no_error():
    ours, theirs = os.pipe()
    os.close(ours)
    done = subprocess.run(
        [sys.executable, "-m", "gan_lightning", "list"],
        stdout=theirs,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(theirs)
    assert (done.returncode, done.stderr) == (1, "")


def test_modules_are_found_as_attributes():
    assert gan_lightning.techniques.wgan_gp.__name__ == "gan_lightning.techniques.wgan_gp"
    assert not hasattr(gan_lightning, "a.b")
    assert not hasattr(gan_lightning.techniques, "nothing")


def test_the_package_is_imported_without_a_slow_import():
    text = "import sys, gan_lightning, gan_lightning.cli.front; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert "gan_lightning.techniques" in done.stdout.split()
    assert SLOW & set(done.stdout.split()) == set()


@pytest.mark.slow
def test_names_of_the_package_are_imported_when_they_are_asked_for():
    text = """
import sys
import gan_lightning
assert {"DCGAN", "Trainer", "TECHNIQUES", "__version__"} <= set(dir(gan_lightning))
assert "torch" not in sys.modules
assert gan_lightning.losses.hinge_critic_loss and gan_lightning.penalties.Regularizer
from gan_lightning import DCGAN, GAN, load
assert gan_lightning.techniques.DCGAN is DCGAN is gan_lightning.TECHNIQUES["dcgan"]
found = GAN.__subclasses__()
found += [cls for each in found for cls in each.__subclasses__()]
assert {cls.__name__ for cls in found} == set(gan_lightning.TECHNIQUES.own.values())
"""
    subprocess.run([sys.executable, "-c", text], check=True)


def test_every_command_has_its_line_of_help(capsys):
    commands = list(program.GANCLI.subcommands())
    others = ["score", "grid", "plot", "demo", "export", "benchmark", "list", "configs", "weights"]
    assert list(front.COMMANDS) == [*commands, *others]
    for command in commands:
        paragraph = getdoc(getattr(Trainer, command)).partition("\n\n")[0]
        assert front.COMMANDS[command] == " ".join(paragraph.split())
    main(["--help"])
    words = " ".join(capsys.readouterr().out.split())
    assert [text for text in front.COMMANDS.values() if text not in words] == []


def test_the_help_has_the_options_that_stand_before_a_command(capsys):
    main(["--help"])
    said = options_in(capsys.readouterr().out)
    with pytest.raises(SystemExit):
        program.main(["--help"])
    assert said == options_in(capsys.readouterr().out) | {"--version"}
    assert said == set(front.OPTIONS)


def options_in(text):
    usage_and_options = text.partition("ommands:")[0]
    return set(re.findall(r"(?<![\w-])--?\w+", usage_and_options))


def test_other_arguments_go_to_the_program(monkeypatch):
    given = []
    monkeypatch.setattr(program, "main", given.append)
    for arguments in (["fit", "--help"], ["score"], ["-c", "a.yaml", "fit"], ["--config=a.yaml"]):
        main(arguments)
        assert given.pop() == arguments


def test_the_garbage_collector_passes_over_modules_in_a_process_of_the_program_alone(monkeypatch):
    frozen = []
    monkeypatch.setattr(program, "main", lambda args: frozen.append(gc.get_freeze_count()))
    monkeypatch.setattr(sys, "argv", ["gan-lightning", "fit"])
    try:
        main(["fit"])
        main()
        assert frozen[0] == 0 < frozen[1]
        assert gc.isenabled()
    finally:
        gc.unfreeze()


@pytest.mark.slow
def test_a_process_says_nothing_at_its_exit():
    # Through env it is a new process, not a fork that skips Python's last steps.
    command = ["env", sys.executable, "-m", "gan_lightning", "fit", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "--model" in done.stdout
    assert done.stderr == ""


def test_an_option_of_a_command_comes_after_it(capsys):
    with pytest.raises(SystemExit) as exited:
        main(["--model=DCGAN", "fit"])
    assert exited.value.code == 2
    assert "Other options follow the command." in capsys.readouterr().err


def test_lists_take_no_other_arguments(capsys):
    for arguments in (["list", "data", "everything"], ["configs", "everything"]):
        with pytest.raises(SystemExit) as exited:
            main(arguments)
        assert exited.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.endswith("what is everything? --help shows the arguments")
    with pytest.raises(SystemExit) as exited:
        main(["list", "--help"])
    assert not exited.value.code


def test_list_shows_each_technique_with_its_paper(capsys):
    main(["list", "techniques"])
    _, *lines = capsys.readouterr().out.splitlines()
    ours = lines[: len(TECHNIQUES.own)]
    for line, (key, name) in zip(ours, TECHNIQUES.own.items(), strict=True):
        first = TECHNIQUES[key].__doc__.splitlines()[0].rstrip(".")
        assert line.split()[:2] == [key, name]
        assert re.search(rf"  {first} \(arXiv:\d{{4}}\.\d{{5}}\)  ", line)
        assert line.endswith(f"  gan-lightning {gan_lightning.__version__}")
