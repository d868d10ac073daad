"""Feature extractors: their outputs, and their messages about unsuitable files."""

import hashlib
import pickle
import warnings
from pathlib import Path

import pytest
import torch
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3
from torchvision import models
from torchvision.transforms.v2 import functional

from gan_lightning.data import Digits
from gan_lightning.metrics import digits_cnn, load_extractor
from gan_lightning.metrics.extractors import INCEPTION_VARIABLE
from gan_lightning.utils.errors import MissingFileError

OPTION = "--evaluate.weights"


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    """An empty download cache of torch."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(INCEPTION_VARIABLE, raising=False)
    return tmp_path / "cache" / "hub" / "checkpoints"


def rejection(path, error=ValueError):
    """The message when ``path`` is rejected as Inception weights."""
    with pytest.raises(error) as raised:
        load_extractor("inception", path)
    return str(raised.value)


def images(channels=3, n=2):
    return torch.randint(256, (n, channels, 16, 16), dtype=torch.uint8)


def test_an_unknown_name_lists_the_choices():
    with pytest.raises(ValueError, match=r"'resnet'.*inception, digits_cnn"):
        load_extractor("resnet")


# digits_cnn


def test_the_digits_network_classifies_the_digits():
    x, y = Digits().load("train")
    _, logits = load_extractor("digits_cnn").network(x)
    assert (logits.argmax(dim=1) == y).float().mean() >= 0.98


def test_the_digits_network_returns_features_and_logits_of_ten_classes():
    extractor = load_extractor("digits_cnn")
    features, logits = extractor.network(Digits().load("train")[0][:3])
    assert (features.shape, logits.shape) == ((3, 64), (3, 10))
    assert features.dtype == logits.dtype == torch.float32
    assert (extractor.name, extractor.num_features, extractor.classes) == ("digits_cnn", 64, True)
    assert features.min() >= 0
    # The logits are computed from the features.
    torch.testing.assert_close(extractor.network.classifier(features), logits)


def test_the_digits_network_is_deterministic_and_frozen():
    x = Digits().load("train")[0][:50]
    first, second = (load_extractor("digits_cnn").network for _ in range(2))
    assert not first.training
    assert not any(parameter.requires_grad for parameter in first.parameters())
    for one, other in zip(first(x), second(x), strict=True):
        assert torch.equal(one, other)


def test_the_weights_of_the_digits_network_are_small():
    assert digits_cnn.WEIGHTS.parent == Path(digits_cnn.__file__).parent
    assert digits_cnn.WEIGHTS.stat().st_size <= 500_000


def test_changed_weights_of_the_digits_network_are_rejected(tmp_path, monkeypatch):
    changed = bytearray(digits_cnn.WEIGHTS.read_bytes())
    changed[len(changed) // 2] ^= 1
    path = tmp_path / "changed.pt"
    path.write_bytes(changed)
    monkeypatch.setattr(digits_cnn, "WEIGHTS", path)
    with pytest.raises(ValueError, match=rf"{path} .*SHA-256"):
        load_extractor("digits_cnn")


def test_the_digits_network_takes_no_weights_file(inception_file):
    with pytest.raises(ValueError, match=r"digits_cnn .*no file"):
        load_extractor("digits_cnn", inception_file)


# Inception


def test_inception_returns_features_and_logits_without_bias(inception_file):
    extractor = load_extractor("inception", inception_file)
    features, logits = extractor.network(images())
    assert (features.shape, logits.shape) == ((2, 2048), (2, 1008))
    assert features.dtype == logits.dtype == torch.float32
    assert features.isfinite().all()
    assert features[0].dist(features[1]) > 0.01 * features[0].norm() > 0
    torch.testing.assert_close(logits, features @ extractor.network.net.fc.weight.T)
    assert (extractor.name, extractor.num_features, extractor.classes) == ("inception", 2048, True)
    assert not any(module.training for module in extractor.network.modules())
    assert not any(parameter.requires_grad for parameter in extractor.network.parameters())


def test_weights_of_a_torchvision_network_are_found_through_the_environment(tmp_path, monkeypatch):
    torch.manual_seed(0)
    network = models.resnet18(weights=None)
    torch.save(network.state_dict(), tmp_path / "complete.pt")
    with pytest.raises(MissingFileError, match="or GAN_LIGHTNING_RESNET18"):
        load_extractor("resnet18")
    monkeypatch.setenv("GAN_LIGHTNING_RESNET18", str(tmp_path / "complete.pt"))
    found = load_extractor("resnet18").network
    assert torch.equal(found.net.conv1.weight, network.conv1.weight)


def test_inception_is_found_through_the_environment_variable(
    inception_file, empty_cache, monkeypatch
):
    monkeypatch.setenv(INCEPTION_VARIABLE, str(inception_file))
    named = load_extractor("inception").network
    given = load_extractor("inception", inception_file).network
    x = images(n=1)
    for one, other in zip(named(x), given(x), strict=True):
        assert torch.equal(one, other)
    assert not empty_cache.exists()


def test_inception_is_found_in_the_download_cache_of_torch(inception_file, empty_cache):
    empty_cache.mkdir(parents=True)
    name = Path(URL_INCEPTION_V3).name
    (empty_cache / name).symlink_to(inception_file)
    assert load_extractor("inception").num_features == 2048


def test_the_option_takes_precedence_over_the_environment_variable(inception_file, monkeypatch):
    monkeypatch.setenv(INCEPTION_VARIABLE, "elsewhere.pth")
    assert load_extractor("inception", inception_file).num_features == 2048


def test_grey_images_are_repeated_to_three_channels(inception_file):
    network = load_extractor("inception", inception_file).network
    grey = images(channels=1)
    for one, other in zip(network(grey), network(grey.repeat(1, 3, 1, 1)), strict=True):
        assert torch.equal(one, other)


def test_the_message_for_a_missing_file_names_the_file_and_option():
    message = rejection("nowhere.pth", MissingFileError)
    assert "nowhere.pth" in message
    assert OPTION in message


def test_the_message_for_a_missing_file_names_the_environment_variable(monkeypatch):
    monkeypatch.setenv(INCEPTION_VARIABLE, "nowhere.pth")
    message = rejection(None, MissingFileError)
    assert "nowhere.pth" in message
    assert INCEPTION_VARIABLE in message


@pytest.mark.usefixtures("no_network")
def test_offline_the_message_explains_how_to_provide_the_weights(empty_cache):
    message = rejection(None, MissingFileError)
    url = URL_INCEPTION_V3
    for part in (str(empty_cache / Path(url).name), url, OPTION, INCEPTION_VARIABLE):
        assert part in message
    assert "\n" not in message
    assert list(empty_cache.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(lambda path: path.write_text("<html>"), id="a web page"),
        pytest.param(lambda path: torch.save({"weight": torch.zeros(1)}, path), id="other weights"),
        pytest.param(lambda path: torch.save(torch.zeros(1), path), id="a tensor"),
    ],
)
def test_the_message_for_a_wrong_file_names_the_file_and_option(content, tmp_path):
    path = tmp_path / "wrong.pth"
    content(path)
    message = rejection(path)
    assert f"{path} does not hold Inception weights" in message
    assert OPTION in message
    assert "\n" not in message


def test_weights_without_a_layer_are_rejected(inception_file, tmp_path):
    state = torch.load(inception_file, weights_only=True)
    del state["fc.weight"]
    torch.save(state, tmp_path / "short.pth")
    assert "short.pth does not hold Inception weights" in rejection(tmp_path / "short.pth")


class _Dangerous:
    def __reduce__(self):
        return Path.touch, (Path("unpickled"),)


@pytest.mark.parametrize(
    "save", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))]
)
def test_a_pickle_with_code_is_never_executed(save, tmp_path):
    path = tmp_path / "dangerous.pth"
    save({"Mixed_7c.branch_pool.conv.weight": _Dangerous()}, path)
    message = rejection(path)
    assert not Path("unpickled").exists()
    assert f"{path} does not hold Inception weights" in message
    assert OPTION in message
    assert "\n" not in message


def test_weights_other_than_the_published_ones_warn(inception_file):
    with pytest.warns(UserWarning, match="does not hold the published weights: fid and is"):
        load_extractor("inception", inception_file)


def test_the_published_weights_are_recognised_by_their_hash(inception_file, monkeypatch):
    digest = hashlib.sha256(inception_file.read_bytes()).hexdigest()
    monkeypatch.setattr("gan_lightning.metrics.extractors.INCEPTION_SHA256", digest[:8])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_extractor("inception", inception_file)


# torchvision


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_networks_that_transform_their_input_do_so(name, tmp_path):
    torch.manual_seed(0)
    options = {"init_weights": False, "transform_input": True}
    reference = models.get_model(name, weights=None, **options).eval()
    path = tmp_path / "weights.pt"
    torch.save(reference.state_dict(), path)
    x = images()
    size = {"googlenet": 224, "inception_v3": 299}[name]
    resized = functional.resize(x.float() / 255, [size, size], antialias=True)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    expected = reference(functional.normalize(resized, mean, std))
    features, logits = load_extractor(name, path).network(x)
    torch.testing.assert_close(logits, expected)
    torch.testing.assert_close(reference.fc(features), expected)


# DINOv2


@pytest.mark.usefixtures("no_network")
def test_offline_dinov2_reports_the_cache_folder_of_torch(empty_cache):
    with pytest.raises(MissingFileError, match=r"dinov2-vit-s-14 could not be downloaded .*hub"):
        load_extractor("dinov2_vit_s_14")


def test_dinov2_takes_no_weights_file(tmp_path):
    with pytest.raises(ValueError, match=r"dinov2_vit_s_14 is loaded by torch.hub: it takes no"):
        load_extractor("dinov2_vit_s_14", tmp_path / "file")
