"""What a repeated run is told about its machine and that of the record."""

import dataclasses
import subprocess

import pytest

from benchmarks import comparison, environment
from benchmarks.comparison import compare
from benchmarks.environment import (
    SETTINGS,
    describe_processor,
    kernel_settings,
    processor,
    versions,
)
from benchmarks.environment_lock import FOLDER, read_locks
from benchmarks.protocol import RESULTS
from benchmarks.records import read_record


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    """No variable of this machine chooses kernels."""
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def here(record):
    """A record of this machine and environment."""
    device = {
        "name": processor(),
        "threads": 1,
        "count": 1,
        "processor": describe_processor(),
        "settings": kernel_settings(),
    }
    return dataclasses.replace(record, versions=versions(), device=device)


@pytest.fixture
def changed(here):
    """``changed(part, **values)``: the record of this machine with other values in a part."""

    def change(part, **values):
        if part == "versions":
            return dataclasses.replace(here, versions=here.versions | values)
        device = here.device | values
        if part != "device":
            device = here.device | {part: here.device[part] | values}
        return dataclasses.replace(here, device=device)

    return change


def test_equal_bits_are_expected_on_the_machine_of_the_record(here):
    found = compare(here)
    assert found.exact
    assert (found.different, found.unknown, found.installation) == ({}, [], "")
    assert {"torch", "numpy", "processor", "threads", "devices", "accelerator"} <= set(found.equal)
    assert str(found).splitlines()[-1] == "equal bits are expected"


def test_a_run_of_several_machines_is_not_expected_to_have_equal_bits(here):
    device = here.device | {"earlier_machines": [{"processor": {"family": "1"}, "settings": {}}]}
    found = compare(dataclasses.replace(here, device=device))
    assert not found.exact
    assert "machines 2 different ones, one after another -> one" in str(found)


@pytest.mark.parametrize(
    ("part", "name", "there", "shown"),
    [
        ("versions", "numpy", "1.0", "numpy"),
        ("versions", "python", "3.9.1", "python"),
        ("versions", "libc", "glibc 1.0", "libc"),
        ("versions", "cuda", "1.0", "cuda"),
        ("device", "name", "another", "processor"),
        ("processor", "family", "1", "processor family"),
        ("processor", "unheard_of", "yes", "processor unheard_of"),
        ("settings", "cpu_capability", "none", "cpu_capability"),
        ("settings", "OPENBLAS_CORETYPE", "Haswell", "OPENBLAS_CORETYPE"),
    ],
)
def test_each_difference_is_named_with_both_values(changed, part, name, there, shown):
    found = compare(changed(part, **{name: there}))
    assert list(found.different) == [shown]
    assert found.different[shown].startswith(f"{there} -> ")
    assert not found.exact
    assert f"equal bits cannot be expected: changed: {shown}" in str(found)


def test_instruction_sets_are_compared_one_by_one(changed, monkeypatch):
    monkeypatch.setattr(
        comparison, "describe_processor", lambda: {"instruction_sets": ["avx2", "fma3"]}
    )
    record = changed("device", processor={"instruction_sets": ["avx2", "avx512_f"]})
    assert compare(record).different == {"processor instruction_sets": "-avx512_f +fma3"}


def test_a_setting_here_that_the_record_was_made_without_is_a_difference(here, monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    assert compare(here).different == {"OPENBLAS_CORETYPE": "none -> Haswell"}


def test_the_name_of_a_processor_does_not_tell_whether_bits_are_equal(here):
    old = {"name": processor(), "threads": 1, "count": 1}
    found = compare(dataclasses.replace(here, device=old))
    assert not found.different
    assert {"processor instruction_sets", "cpu_capability"} <= set(found.unknown)
    assert not found.exact
    assert "equal bits are possible, but not certain" in str(found)


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*/*/seed0.json")), ids=lambda path: path.stem)
def test_records_of_all_ages_can_be_compared(path):
    record = read_record(path)
    found = compare(record)
    assert "threads 1" in str(found)
    # The environment that made it is installed, or a lock file has it.
    if found.installation:
        assert found.installation.startswith(f"make locked LOCK={FOLDER}/torch-")
        assert record.versions["torch"] in found.installation


def test_no_order_of_sums_is_promised_on_a_gpu(changed, monkeypatch):
    monkeypatch.setattr(comparison, "gpu_names", lambda: ["a GPU", "a GPU"])
    record = changed("device", name="a GPU", count=2)
    del record.device["threads"]
    found = compare(record)
    assert found.equal.items() >= {"accelerator": "cuda", "GPU": "a GPU", "devices": "2"}.items()
    assert not found.different
    assert "equal bits cannot be expected: on a GPU" in str(found)
    monkeypatch.setattr(comparison, "gpu_names", list)
    changes = {"accelerator": "cuda -> cpu", "GPU": "a GPU -> none", "devices": "2 -> 0"}
    assert compare(record).different == changes


def test_options_and_other_code_are_differences(here, monkeypatch):
    monkeypatch.setattr(comparison, "commit", lambda: "1" * 40)
    found = compare(here, ["model.compile=true"])
    assert found.different == {
        "model.compile": "as recorded -> true",
        "code": f"{'0' * 40} -> {'1' * 40}",
    }
    monkeypatch.setattr(comparison, "commit", lambda: here.commit)
    assert list(compare(here, ["model.compile=true"]).different) == ["model.compile"]


def test_a_lock_with_the_versions_of_a_record_is_named(here):
    for name, pins in read_locks().items():
        there = {library: pins[library] for library in ("torch", "torchvision", "numpy")}
        old = {**there, "python": "3.9.1"}
        found = compare(dataclasses.replace(here, versions=old))
        same = all(here.versions[library] == version for library, version in there.items())
        assert same or found.installation == f"make locked LOCK={FOLDER}/{name} PYTHON=python3.9"


def test_without_a_lock_the_versions_are_named_as_words_of_a_shell(here):
    old = {"torch": "1.0; touch out", "numpy": "2.0"}
    found = compare(dataclasses.replace(here, versions=old))
    assert found.installation.startswith("pip install 'torch==1.0; touch out' numpy==2.0 (no lock")


@pytest.fixture
def committed(here, monkeypatch):
    """``committed(lock)``: a record whose commit has this lock file, which is not here."""

    def commit(lock):
        monkeypatch.setattr(comparison, "show_file", lambda revision, path: lock)
        return dataclasses.replace(here, versions=here.versions | {"lock": "old.txt"})

    return commit


def test_the_lock_of_the_records_commit_is_preferred(committed):
    record = committed("numpy==2.0\nwandb==0.1\n")
    found = compare(record)
    assert list(found.packages) == ["wandb"]
    assert found.packages["wandb"].startswith("0.1 -> ")
    assert found.installation.startswith(f"git show {'0' * 40}:{FOLDER}/old.txt > old.txt && make")
    assert found.exact  # the versions of the record itself are those that move bits


def test_a_lock_that_equals_what_is_installed_needs_no_installation(committed):
    found = compare(committed(f"numpy=={versions()['numpy']}\n"))
    assert (found.packages, found.installation) == ({}, "")


@pytest.mark.parametrize("name", ["../../etc/passwd", "-n.txt", "a b.txt", "$(x).txt", "x;y.txt"])
def test_a_lock_is_no_other_file_and_no_command(here, monkeypatch, name):
    monkeypatch.setattr(comparison, "show_file", lambda *_: pytest.fail("it was read"))
    found = compare(dataclasses.replace(here, versions=here.versions | {"lock": name}))
    assert name not in str(found)


def test_values_of_a_record_cannot_control_the_terminal(changed):
    record = changed("versions", numpy="1\x1b[2J")
    assert "\x1b" not in str(compare(record))


def test_a_commit_that_is_not_here_has_no_lock(here):
    record = dataclasses.replace(here, commit="f" * 40)
    with pytest.raises(subprocess.CalledProcessError):
        environment.show_file(record.commit, "README.md")
    assert compare(record).packages == {}
