"""What results say about the processor, the libraries and their settings."""

import dataclasses
import json
import platform
from pathlib import Path

import pytest
import torch

from benchmarks import environment
from benchmarks.environment import describe_processor, kernel_settings, processor, versions
from benchmarks.records import read_record, write_record

INTEL = """\
processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 143
model name\t: Intel(R) Xeon(R) Platinum 8480+
stepping\t: 8
flags\t\t: fpu sse4_2 avx2 amx_tile
cache size\t: 107520 KB

processor\t: 1
model name\t: another
stepping\t: 9
"""
ARM = """\
processor\t: 0
BogoMIPS\t: 243.75
Features\t: fp asimd sve
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x1
CPU part\t: 0xd40
CPU revision\t: 1
"""


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """``machine(text, capabilities)``: a machine with this /proc/cpuinfo."""

    def describe(text, capabilities):
        (tmp_path / "cpuinfo").write_text(text)
        monkeypatch.setattr(environment, "CPUINFO", tmp_path / "cpuinfo")
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)

    return describe


def test_an_x86_processor_has_a_family_a_model_and_instruction_sets(machine):
    known = {"amx_tile": True, "avx2": True, "avx512_fp16": False, "clwb": True, "sha": True}
    machine(INTEL, known | {"l2_cache_size": 2097152, "num_sockets": 2, "cpu_name": "Xeon"})
    assert processor() == "Intel(R) Xeon(R) Platinum 8480+"
    assert describe_processor() == {
        "architecture": platform.machine(),
        "vendor": "GenuineIntel",
        "family": "6",
        "model": "143",
        "stepping": "8",
        "instruction_sets": ["amx_tile", "avx2"],
        "l2_cache_size": 2097152,
    }


def test_an_arm_processor_has_a_part_and_vectors_of_a_length(machine):
    machine(ARM, {"sve": True, "sve_max_length": 256, "sme_max_length": 0, "neon": True})
    described = describe_processor()
    assert (described["implementer"], described["part"]) == ("0x41", "0xd40")
    assert described["instruction_sets"] == ["neon", "sve"]
    assert described["sve_max_length"] == 256
    assert "sme_max_length" not in described


def test_without_cpuinfo_a_processor_still_has_a_name(machine, tmp_path):
    machine("", {})
    (tmp_path / "cpuinfo").unlink()
    assert processor() == (platform.processor() or platform.machine())
    assert describe_processor() == {"architecture": platform.machine()}


def test_settings_name_the_kernels_that_torch_uses(monkeypatch):
    for name in environment.SETTINGS:
        monkeypatch.delenv(name, raising=False)
    assert kernel_settings() == {"cpu_capability": torch.backends.cpu.get_cpu_capability()}
    monkeypatch.setenv("MKL_CBWR", "AVX2")
    assert kernel_settings()["MKL_CBWR"] == "AVX2"


def test_versions_hold_what_moves_bits():
    found = versions()
    assert found["torch"] == torch.__version__.partition("+")[0]
    assert {"numpy", "scipy", "scikit-learn", "torch-fidelity", "pillow", "libc"} <= set(found)
    assert all(type(value) is str and value for value in found.values())


def test_a_record_holds_what_tells_processors_of_one_name_apart(record, tmp_path):
    device = {"name": processor(), "processor": describe_processor(), "settings": kernel_settings()}
    path = write_record(dataclasses.replace(record, device=device), tmp_path)
    assert read_record(path).device == device


def test_a_file_of_results_names_the_device_in_words_and_in_detail():
    described = environment.describe_environment(torch.device("cpu"))
    assert described["device"] == processor()
    assert described["processor"] == describe_processor()
    assert json.loads(json.dumps(described)) == described
    assert str(Path.home()) not in json.dumps(described)


def test_versions_of_a_gpu_are_told_where_there_is_one(monkeypatch, tmp_path):
    assert not {"cudnn", "driver"} & set(versions())
    (tmp_path / "version").write_text(
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun Jul 27 2025\nGCC version:"
    )
    monkeypatch.setattr(environment, "DRIVER", tmp_path / "version")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91002)
    found = versions()
    assert (found["cudnn"], found["driver"]) == ("91002", "580.65.06")
    monkeypatch.setattr(environment, "DRIVER", tmp_path / "none")
    assert "driver" not in versions()


def test_a_copy_without_its_history_is_told_its_commit(monkeypatch):
    monkeypatch.setenv("GAN_LIGHTNING_COMMIT", "0123abc-dirty")
    assert environment.commit() == "0123abc-dirty"
    assert environment.revision() == "0123abc-"
