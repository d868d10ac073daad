"""The command lines of the benchmark's programs, and ``gan-lightning benchmark``."""

import dataclasses
import json
import re

import pytest

from benchmarks import protocol
from benchmarks.comparison import compare
from benchmarks.environment import commit, revision
from benchmarks.records import write_record
from benchmarks.render import command as render
from benchmarks.run import process
from gan_lightning import __version__
from gan_lightning.cli import benchmark, program
from gan_lightning.metrics import load_extractor
from gan_lightning.utils.errors import MissingPackageError
from gan_lightning.utils.shipped import find_weights, shipped_root

WEIGHTS = protocol.EXTRACTORS / "fashion_mnist.pt"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("run --protocol digts", "there is no protocol digts: did you mean digits?"),
        ("run --nothing", "unrecognized arguments: --nothing"),
        ("run --seeds x", "invalid int value: 'x'"),
        ("run --techniques wgan_gpp", "there is no technique wgan_gpp: did you mean wgan_gp?"),
        ("run --results /dev/null/x", "--results: /dev/null/x cannot be made (Not a directory)"),
        ("render --results nowhere", "there are no records in nowhere"),
        ("reproduce nowhere.json", "nowhere.json cannot be read"),
        ("figures nothing", "there is no figure nothing"),
        ("throughput", "one of the arguments --train --shared-batch"),
        ("throughput --train --rounds 0", "expected a number of at least 1, got '0'"),
        ("throughput --train --techniques wgn", "there is no technique wgn: did you mean wgan"),
        ("throughput --eval --extractor nothing", "there is no extractor 'nothing'"),
    ],
)
def test_a_mistake_is_answered_in_one_line(arguments, message, capsys):
    name = arguments.split()[0]
    with pytest.raises(SystemExit) as exited:
        program.main(["benchmark", *arguments.split()])
    code = exited.value.code
    said = f"{code}\n" if isinstance(code, str) else capsys.readouterr().err
    (line,) = said.splitlines()
    assert line.startswith(f"gan-lightning: benchmark {name}: ")
    assert message in line
    assert code in (2, said.strip())


def test_an_installation_without_the_benchmark_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(benchmark, "shipped_root", lambda: tmp_path)
    with pytest.raises(MissingPackageError, match="this installation has no folder"):
        benchmark.main(["run"])


def test_a_clone_has_everything_beside_the_package(tmp_path):
    assert shipped_root() == protocol.ROOT
    assert not protocol.INSTALLED
    assert protocol.OWN_RESULTS == protocol.RESULTS
    package = tmp_path / "gan_lightning"
    (package / "shipped").mkdir(parents=True)
    assert shipped_root(package) == package / "shipped"


def test_weights_of_records_are_found_in_every_folder(tmp_path):
    relative = WEIGHTS.relative_to(protocol.ROOT)
    assert find_weights(relative) == WEIGHTS
    assert load_extractor("classifier", relative).name == "fashion_mnist_0495fd30"
    assert find_weights(relative.with_name("no.pt")) == relative.with_name("no.pt")
    assert find_weights(tmp_path / relative) == tmp_path / relative
    own = tmp_path / relative
    own.parent.mkdir(parents=True)
    own.write_bytes(b"mine")
    assert find_weights(relative) == relative  # tests run in tmp_path


def test_published_rows_stand_beside_own_ones(record, tmp_path, capsys):
    mine = dataclasses.replace(
        record, technique="my_module.MyGAN", key="mygan", title="MyGAN", files={"my_module.py": "0"}
    )
    write_record(mine, tmp_path)
    render.main(["--results", str(tmp_path), "--output", str(tmp_path / "out"), "--published"])
    table = (tmp_path / "out" / "LEADERBOARD.md").read_text()
    assert "Trained here: MyGAN. The other rows are the published ones." in table
    ours = json.loads((protocol.RESULTS / "digits" / "dcgan" / "seed0.json").read_text())
    assert ours["protocol_version"] == record.protocol_version
    (line,) = (line for line in table.splitlines() if re.match(r"\| =?\d+ \| DCGAN \|", line))
    assert line.endswith("| 3 |")
    assert "fashion" not in table.lower()  # protocols without own runs are not shown
    capsys.readouterr()
    render.main(["--results", str(tmp_path), "--output", str(tmp_path / "out")])
    assert "Trained here" not in (tmp_path / "out" / "LEADERBOARD.md").read_text()


def test_an_installed_package_is_named_by_its_version(monkeypatch, record):
    monkeypatch.setattr("benchmarks.environment.INSTALLED", True)
    assert commit() == ""
    assert revision() == f"v{__version__}"
    made = dataclasses.replace(record, commit="", versions={"gan-lightning": __version__})
    assert compare(made, current=True).equal["code"] == f"version {__version__}"
    other = dataclasses.replace(record, versions={"gan-lightning": __version__})
    assert compare(other, current=True).different["code"] == f"{'0' * 40} -> version {__version__}"


def test_a_training_of_an_installed_package_imports_the_benchmark(monkeypatch, tmp_path):
    monkeypatch.setattr(process, "INSTALLED", True)
    seen = process.environment(1, modules=tmp_path)
    assert seen["PYTHONPATH"].split(":")[:2] == [str(protocol.ROOT), str(tmp_path)]
    assert "GAN_LIGHTNING_CODE" not in seen
