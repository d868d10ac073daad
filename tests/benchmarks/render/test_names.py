"""Names that people read."""

import pytest

from benchmarks.protocol import ROOT
from benchmarks.protocols import PROTOCOLS
from benchmarks.render.names import TITLES, paper, row_title, score_title, short_title
from benchmarks.variants import Variant
from gan_lightning import TECHNIQUES


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("fd1797_digits_cnn", "FD, digits classifier"),
        ("is10k_fashion_mnist_0495fd30", "IS, Fashion-MNIST classifier"),
        ("recall10k_cifar10_jpeg_5aadd586", "Recall, CIFAR-10 (JPEG) classifier"),
        ("fid50k_train", "FID"),
        ("fd10k_mobilenet_v2_test", "FD, MobileNetV2"),
        ("is50k", "IS"),
        ("swd10k_train", "Sliced Wasserstein distance"),
        ("high_quality10k", "High-quality samples"),
        ("fd10k_another", "FD, another"),
        ("loss/critic", None),
        ("fd", None),
    ],
)
def test_a_score_has_a_name_that_people_read(name, title):
    assert score_title(name) == title


def test_every_score_of_every_protocol_has_a_name():
    for protocol in PROTOCOLS.values():
        for name in filter(None, (protocol.distance, protocol.score, *protocol.more_scores)):
            assert score_title(name), name
            assert "_" not in score_title(name)


def test_a_distance_in_a_sentence():
    names = ("fd1797_digits_cnn", "fid50k_train", "swd10k_train", "mine")
    assert [*map(short_title, names)] == ["FD", "FID", "sliced Wasserstein distance", "distance"]


@pytest.mark.parametrize("key", sorted(TECHNIQUES))
def test_a_technique_is_called_as_its_page_is(key):
    heading = (ROOT / "docs" / "techniques" / f"{key}.md").read_text().splitlines()[0]
    assert heading == f"# {row_title(Variant(key))}"
    assert key not in TITLES or TITLES[key] != TECHNIQUES[key].__name__


def test_a_row_with_a_title_of_its_own_keeps_it():
    assert row_title(Variant("wgan_gp", title="Mine")) == "Mine"
    assert row_title(Variant("my_module.WGANGP")) == "WGANGP"


def test_every_technique_names_its_paper_and_a_strangers_class_is_not_imported():
    assert {key for key in TECHNIQUES if not paper(Variant(key), trusted=False)} == set()
    assert paper(Variant("wgan_gp"), trusted=False) == "1704.00028"
    assert paper(Variant("not_there.MyGAN"), trusted=False) is None
