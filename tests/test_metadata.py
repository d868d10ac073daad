"""What the project says of itself in other files than its code."""

import re
from pathlib import Path

import pytest
import yaml

import gan_lightning

ROOT = Path(__file__).parents[1]


def test_the_citation_is_valid_and_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    # What version 1.2.0 of the format requires, and what it allows of what is given here.
    assert {"authors", "cff-version", "message", "title"} <= set(citation)
    allowed = {"version", "date-released", "license", "keywords", "type"}
    assert set(citation) <= {"authors", "cff-version", "message", "title"} | allowed
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] == "software"
    assert str(citation["version"]) == gan_lightning.__version__
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", str(citation["date-released"]))
    assert citation["license"] == "MIT"
    assert citation["authors"] == [{"name": copyright_holder()}]
    assert all(isinstance(word, str) for word in citation["keywords"])


def copyright_holder():
    return re.search(r"Copyright \(c\) \d+ (.*)", (ROOT / "LICENSE").read_text())[1]


def test_the_version_is_written_once():
    tomllib = pytest.importorskip("tomllib", reason="NOT TESTED before Python 3.11")
    content = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert content["project"]["dynamic"] == ["version"]
    assert "version" not in content["project"]
    assert content["tool"]["setuptools"]["dynamic"]["version"] == {
        "attr": "gan_lightning.version.__version__"
    }
    assert content["project"]["authors"] == [{"name": copyright_holder()}]


def test_the_changelog_has_the_version_with_its_date():
    versions = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == "Unreleased"
    assert f"{gan_lightning.__version__} - 2026-11-22" in versions


def test_the_file_for_a_forge_calls_what_runs_everywhere():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    (job,) = workflow["jobs"].values()
    assert job["steps"][-1] == {"run": ".ci/run"}
    assert (ROOT / ".ci" / "run").is_file()
