"""Every test can be collected where only the package's own requirements are installed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
#: Packages of the extras ``test``, ``hub`` and others, which a machine with a GPU may lack.
OPTIONAL = (
    *("wandb", "datasets", "lmdb", "onnxruntime", "onnx", "hypothesis", "gradio", "mlflow", "ray"),
    *("tensorboard", "huggingface_hub", "mkdocs", "nbformat", "jupytext"),
)
#: Makes them impossible to import.
BLOCK = """
import sys
for name in {names!r}:
    sys.modules[name] = None
"""


@pytest.mark.slow
def test_all_tests_are_collected_without_optional_packages(tmp_path):
    (tmp_path / "block.py").write_text(BLOCK.format(names=OPTIONAL))
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "block", str(TESTS)]
    command += ["-p", "no:hypothesispytest"]  # which imports it
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider"],
        env=os.environ | {"PYTHONPATH": path},
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "test_on_a_gpu_a_captured_run_equals_an_eager_run" in done.stdout
    assert "test_an_offline_run_contains_scalars" not in done.stdout
