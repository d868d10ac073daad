"""Lock files: complete, with checksums, for every record, and without addresses of a machine."""

import re
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from benchmarks import environment_lock as lock
from benchmarks.environment_lock import LOCKS, deviations, installed_versions, read_locks, read_pins
from benchmarks.protocol import RESULTS, ROOT
from benchmarks.records import read_record

tomllib = pytest.importorskip("tomllib")  # Python 3.11 and later
FILES = sorted(LOCKS.glob("*.txt"))
HASH = r"    --hash=sha256:[0-9a-f]{64}"


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def text(request):
    return request.param.read_text()


def requirements():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [Requirement(each) for each in project["dependencies"]]


def test_every_dependency_is_locked_at_a_version_that_it_allows(text):
    pins = read_pins(text)
    for each in requirements():
        assert each.specifier.contains(pins[canonicalize_name(each.name)]), each


def test_a_lock_has_packages_and_checksums_and_nothing_else(text):
    head = re.match(r"(#.*\n)+", text)[0]
    entry = rf"[a-z0-9-]+==[0-9][\w.!+]*(?: \\\n{HASH})+\n"
    assert re.fullmatch(rf"(?:{entry})+", text.removeprefix(head))


def test_a_lock_names_no_host_and_no_folder_of_a_machine(text):
    head = re.match(r"(#.*\n)+", text)[0]
    assert not re.search(r"://|index|find-links|(?<![\w.-])/\w|\\|[\w-]+\.(com|org|io|net)\b", head)


def test_a_lock_is_named_after_its_torch_and_says_how_to_install_it():
    for path in FILES:
        pins = read_pins(path.read_text())
        assert path.name == f"torch-{pins['torch']}-linux-x86_64.txt"
        assert f"make locked LOCK={path.relative_to(ROOT).as_posix()}\n" in path.read_text()


def test_every_record_has_a_lock_with_its_versions():
    locks = read_locks()
    assert locks
    for path in RESULTS.glob("*/*/seed*.json"):
        there = read_record(path).versions
        fits = [
            all(pins.get(canonicalize_name(name), each) == each for name, each in there.items())
            for pins in locks.values()
        ]
        assert any(fits), path


def test_make_installs_a_lock_that_exists():
    default = re.search(r"^LOCK := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
    assert ROOT / default in FILES


def test_the_newest_torch_comes_first(tmp_path, monkeypatch):
    for version in ("2.9.0", "2.15.0", "2.14.1"):
        (tmp_path / f"{version}.txt").write_text(f"torch=={version}\n")
    monkeypatch.setattr(lock, "LOCKS", tmp_path)
    assert list(read_locks()) == ["2.15.0.txt", "2.14.1.txt", "2.9.0.txt"]


def test_an_environment_equals_a_lock_only_with_all_of_its_versions(tmp_path, monkeypatch):
    installed = installed_versions()
    monkeypatch.setattr(lock, "LOCKS", tmp_path)
    pins = [f"{name}=={installed[name]}" for name in ("torch", "numpy", "typing-extensions")]
    file = tmp_path / "here.txt"
    for lines, equal in ((pins, "here.txt"), ([*pins, "absent==1"], "none")):
        file.write_text("\n".join(lines) + "\n")
        lock.installed_lock.cache_clear()
        assert lock.installed_lock() == equal
    file.write_text("torch==0\n")
    lock.installed_lock.cache_clear()
    assert lock.installed_lock() == "none"


@pytest.fixture(autouse=True)
def _uncached():
    yield
    lock.installed_lock.cache_clear()


def test_deviations_name_both_versions():
    assert deviations({"a": "1", "b": "2", "c": "3"}, {"a": "1", "b": "3", "d": "4"}) == {
        "b": ("2", "3"),
        "c": ("3", None),
    }


@pytest.fixture
def uv(monkeypatch, tmp_path):
    """``uv(code)``: a ``uv`` that locks torch as constrained, and exits with this code."""
    monkeypatch.setattr(lock, "ROOT", tmp_path)
    monkeypatch.setattr(lock, "LOCKS", tmp_path / "locks")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")

    def fake(code):
        def run(command, **_):
            given = dict(pairwise(command))
            pinned = read_pins(Path(given["--constraint"]).read_text())
            assert "gan-lightning" not in pinned
            Path(given["--output-file"]).write_text(f"torch=={pinned['torch']} \\\n{HASH}\n")
            return subprocess.CompletedProcess(command, code)

        monkeypatch.setattr("subprocess.run", run)

    return fake


def test_the_installed_versions_are_locked(uv, capsys):
    uv(0)
    lock.main()
    torch = installed_versions()["torch"]
    ((name, pins),) = read_locks().items()
    assert (name, pins) == (f"torch-{torch}-linux-x86_64.txt", {"torch": torch})
    assert capsys.readouterr().out == f"locks/{name}: 1 packages\n"


def test_without_a_solution_nothing_is_written(uv):
    uv(2)
    with pytest.raises(SystemExit, match="uv failed with exit code 2"):
        lock.main()
    assert read_locks() == {}


def test_other_platforms_have_no_locks(uv, monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(SystemExit, match="for Linux x86-64"):
        lock.main()
