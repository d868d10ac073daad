"""The help of a command: ours first, and one group alone."""

import re

import pytest

from gan_lightning.cli import main
from gan_lightning.cli.help import GROUPS, asked_group


def helped(capsys, *arguments):
    with pytest.raises(SystemExit) as exited:
        main(["fit", *arguments])
    assert not exited.value.code
    return capsys.readouterr().out


def test_our_options_come_before_those_of_the_trainer(capsys):
    text = helped(capsys, "--help")
    usage, described = text.split("\n\n")[:2]
    assert usage.startswith("usage: gan-lightning fit --model CLASS --data CLASS")
    assert "\n" not in usage
    assert "--evaluate.help" in described
    places = [re.search(rf"^  --{group}[. ]", text, re.MULTILINE).start() for group in GROUPS]
    assert places == sorted(places)
    assert text.index("  --ckpt_path") < places[0]
    assert "--trainer.max_steps" in text


@pytest.mark.parametrize("group", GROUPS[2:])
def test_the_help_of_a_group_has_its_options_alone(group, capsys):
    text = helped(capsys, f"--{group}.help")
    options = re.findall(r"^  --(\w+)", text, re.MULTILINE)
    assert len(options) > 1
    assert set(options) == {group}


def test_a_group_is_asked_for_among_other_arguments():
    assert asked_group(["fit", "--model", "DCGAN", "--samples.help"]) == "samples"
    assert asked_group(["fit", "--model.help", "DCGAN"]) == ""


def test_help_of_a_class_that_does_not_exist_is_answered_in_one_line(capsys):
    with pytest.raises(SystemExit) as exited:
        main(["fit", "--data.help", "Rng"])
    assert exited.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--data: there is no class Rng: did you mean Ring?" in line
