"""The rows that are compared with a plain DCGAN: each differs from it in what its name says."""

import dataclasses

import pytest
import torch
import yaml

from benchmarks.protocols import PROTOCOLS
from benchmarks.records import read_record, record_path
from benchmarks.run import command as run
from benchmarks.stabilizers import AttentiveDCGAN, ClippedDCGAN, PenalizedDCGAN
from gan_lightning import DCGAN
from gan_lightning.networks.attention import SelfAttention2d

COMPARED = {name: protocol for name, protocol in PROTOCOLS.items() if protocol.baseline is not None}
#: Rows with other critics, or with a generator of their own.
OTHER_CRITICS = {"minibatch-discrimination", "batch-normalisation-in-the-critic", "began"}
OTHER_GENERATORS = {"self-attention"}
#: Techniques as they are, with their own latents and optimisers.
WHOLE_TECHNIQUES = {"wgan", "wgan-gp-weight-0.1", "began"}
SHAPES = {"Digits": (1, 8, 8), "FashionMNIST": (1, 28, 28), "Ring": (2,), "Grid": (2,)}

every_row = pytest.mark.parametrize(
    ("name", "row"),
    [
        pytest.param(name, row, id=f"{name}-{row.key}")
        for name, protocol in COMPARED.items()
        for row in protocol.rows
    ],
)


def build(protocol, row):
    """The row's model, from the options of its command line; the last one of a name counts."""
    options = [option.removeprefix("--") for option in protocol.command_line(row)]
    given = dict(option.split("=", 1) for option in options)
    arguments = {
        name.removeprefix("model."): yaml.safe_load(value)
        for name, value in given.items()
        if name.startswith("model.")
    }
    for name in ("critic_lr", "generator_lr"):
        if name in arguments:
            arguments[name] = float(arguments[name])
    return row.model_class()(shape=SHAPES[given["data"]], **arguments)


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


@every_row
def test_a_row_has_the_networks_and_the_images_of_the_plain_one(name, row):
    protocol = COMPARED[name]
    plain = next(each for each in protocol.rows if each.key == protocol.baseline)
    ours, theirs = build(protocol, row), build(protocol, plain)
    if row.key not in WHOLE_TECHNIQUES:
        torch.manual_seed(0)
        z = theirs.draw_latents(4)
        torch.manual_seed(0)
        assert torch.equal(ours.draw_latents(4), z)
        assert ours.betas == theirs.betas
        assert (ours.generator_batch, ours.dequantize) == (1, False)
    assert row.key in OTHER_GENERATORS or count(ours.generator) == count(theirs.generator)
    others = OTHER_CRITICS | OTHER_GENERATORS
    assert row.key in others or count(ours.critic) == count(theirs.critic)
    images = protocol.updates(row) * ours.n_critic * protocol.batch_size(row)
    assert images == protocol.budget.images


def test_the_penalties_are_those_of_a_linear_critic():
    x, y, fake = torch.zeros(4, 2), None, torch.ones(4, 2)
    for one_sided, slope, expected in ((False, 3.0, 40), (True, 3.0, 40), (False, 0.5, 2.5)):
        model = PenalizedDCGAN(shape=(2,), one_sided=one_sided)
        model.critic.forward = lambda x, y, slope=slope: slope * x[:, 0]
        ((penalty, _),) = (regularizer.term(x, y, fake) for regularizer in _of(model))
        assert penalty.item() == pytest.approx(expected, rel=1e-6)
    model = PenalizedDCGAN(shape=(2,), one_sided=True)
    model.critic.forward = lambda x, y: 0.5 * x[:, 0]
    ((penalty, _),) = (regularizer.term(x, y, fake) for regularizer in _of(model))
    assert penalty.item() == 0


def _of(model):
    return model.critic_regularizers()


def test_the_critic_is_clipped_at_the_start_and_after_each_step():
    model = ClippedDCGAN(shape=(2,), clip=0.02)

    def largest():
        return max(parameter.abs().max().item() for parameter in model.critic.parameters())

    assert largest() == pytest.approx(0.02)
    with torch.no_grad():
        next(model.critic.parameters()).fill_(1)
    model.after_critic_step(torch.zeros(1), torch.zeros(1))
    assert largest() == pytest.approx(0.02)


@pytest.mark.parametrize("size", [8, 28])
def test_self_attention_starts_as_the_identity(size):
    models = []
    for technique in (DCGAN, AttentiveDCGAN):
        torch.manual_seed(0)  # the layers that both have are drawn first
        arguments = {"generator_width": 16, "critic_width": 16, "critic_norm": "none"}
        models.append(technique(shape=(1, size, size), **arguments).eval())
    plain, attentive = models
    assert count(attentive.generator) > count(plain.generator)
    assert count(attentive.critic) > count(plain.critic)
    x = plain.generator(plain.draw_latents(2), None)
    torch.manual_seed(1)
    z = plain.draw_latents(2)
    torch.testing.assert_close(attentive.generator(z, None), plain.generator(z, None))
    torch.testing.assert_close(attentive.critic(x, None), plain.critic(x, None))
    # They do something once they have a weight.
    for network in (attentive.generator, attentive.critic):
        (layer,) = (each for each in network.modules() if isinstance(each, SelfAttention2d))
        torch.nn.init.ones_(layer.gamma)
    assert not torch.allclose(attentive.generator(z, None), plain.generator(z, None))
    assert not torch.allclose(attentive.critic(x, None), plain.critic(x, None))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("digits-stabilizers", "self-attention"),
        ("digits-stabilizers", "spectral-normalisation"),
        ("ring-stabilizers", "gradient-penalty-one-sided"),
        ("grid-stabilizers", "saturating-loss-5-unrolled-steps"),
    ],
)
def test_a_row_is_trained_and_recorded_with_its_scores(name, key, tmp_path, monkeypatch):
    protocol = COMPARED[name]
    budget = dataclasses.replace(protocol.budget, images=10 * protocol.budget.batch_size)
    small = dataclasses.replace(protocol, budget=dataclasses.replace(budget, evaluations=1))
    monkeypatch.setitem(run.PROTOCOLS, name, small)
    results = tmp_path / "results"
    run.main(
        [
            *("--protocol", name, "--techniques", key, "--seeds", "0", "--parallel", "1"),
            *("--results", str(results), "--work", str(tmp_path / "work")),
        ]
    )
    record = read_record(record_path(results, name, key, 0))
    assert record.status == "finished", record.message
    assert {protocol.distance, protocol.score, *protocol.more_scores} <= record.last.keys()
