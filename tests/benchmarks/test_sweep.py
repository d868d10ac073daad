"""The sweep: its command lines are valid, and the score that it minimises is logged."""

import pytest
import yaml

from benchmarks.protocol import ROOT
from benchmarks.protocols import PROTOCOLS
from gan_lightning.cli.program import main

SWEEP = yaml.safe_load((ROOT / "benchmarks" / "sweep.yaml").read_text())


@pytest.mark.parametrize("end", ["first", "last"])
def test_both_ends_of_each_search_range_are_valid_arguments(end, monkeypatch, capsys):
    """The command is filled in as by Weights & Biases: --NAME=VALUE for each parameter."""
    monkeypatch.chdir(ROOT)
    arguments = []
    for name, parameter in SWEEP["parameters"].items():
        ends = parameter.get("values") or [parameter["min"], parameter["max"]]
        arguments.append(f"--{name}={ends[0 if end == 'first' else -1]}")
    program, command, *rest = SWEEP["command"]
    assert (program, command) == ("gan-lightning", "fit")
    filled = [a for part in rest for a in (arguments if part == "${args}" else [part])]
    with pytest.raises(SystemExit) as stop:
        main([command, *filled, "--print_config"])
    assert stop.value.code in (0, None)
    config = yaml.safe_load(capsys.readouterr().out)
    for argument in arguments:
        name, _, value = argument.removeprefix("--model.").partition("=")
        assert float(config["model"]["init_args"][name]) == float(value)


def test_the_sweep_minimises_the_distance_that_the_protocol_ranks_by():
    assert SWEEP["metric"]["name"] == PROTOCOLS["fashion-mnist"].distance
    assert "--evaluate.num_samples=10000" in PROTOCOLS["fashion-mnist"].arguments
