"""What ``gan-lightning list`` reads from sources is what there is."""

from inspect import isabstract

import pytest
from torch_fidelity.feature_extractor_dinov2 import MODEL_METADATA

from benchmarks.protocols import PROTOCOLS
from gan_lightning import data
from gan_lightning.augment import OPERATIONS, POLICIES
from gan_lightning.cli import main
from gan_lightning.cli.configs import named_configs
from gan_lightning.cli.listing import SECTIONS, sections
from gan_lightning.metrics import EXTRACTORS
from gan_lightning.metrics.extractors import DINOV2
from gan_lightning.networks import FAMILIES
from gan_lightning.regularizers import REGULARIZERS


def rows(section):
    """The cells of a section's table."""
    return [line.split(maxsplit=1) for line in sections(section).splitlines()[1:]]


def test_the_titles_of_protocols_are_read_without_importing_them():
    expected = [[name, protocol.title] for name, protocol in PROTOCOLS.items()]
    assert rows("protocols") == expected


def test_every_family_of_networks_has_a_remark():
    found = rows("networks")
    assert [name for name, _ in found] == list(FAMILIES)
    assert all(len(remark) > 10 for _, remark in found)


def test_augmentations_and_regularizers_are_listed():
    assert [name for name, _ in rows("augmentations")] == [*POLICIES, *OPERATIONS]
    assert [name for name, _ in rows("regularizers")] == [*REGULARIZERS]


def test_every_data_module_is_listed_with_its_docstring():
    modules = {name: getattr(data, name) for name in data.__all__}
    expected = {
        name: module.__doc__.partition("\n")[0].removesuffix(".")
        for name, module in modules.items()
        if issubclass(module, data.GANDataModule) and not isabstract(module)
    }
    found = dict(rows("data"))
    assert found.keys() == expected.keys()
    assert [name for name in found if not found[name].startswith(expected[name])] == []


def test_extractors_are_listed():
    found = [name for name, _ in rows("extractors")]
    assert found == [*EXTRACTORS, *DINOV2, "mobilenet_v2"]
    assert len(DINOV2) == len(MODEL_METADATA) > 0


def test_without_a_section_all_are_shown(capsys):
    main(["list"])
    said = capsys.readouterr().out
    for section in SECTIONS:
        assert f"{section.capitalize()}, for " in said
        assert sections(section) in said
    assert [name for name in named_configs() if name not in said] == []


@pytest.mark.parametrize("section", SECTIONS)
def test_no_cell_is_empty(section):
    assert [row for row in rows(section) if len(row) != 2] == []
