"""Hooks of the base class for future techniques, tested with small ones."""

import functools
import math

import pytest
import torch
import torch.nn.functional as F
from helpers import IMAGE, SILENT, batches, differences, fixed, samples, state, train
from torch import nn

from gan_lightning import DCGAN, GAN, Regularizer
from gan_lightning.networks import family
from gan_lightning.training import iteration
from gan_lightning.training.checkpoints import read_checkpoint
from gan_lightning.utils.errors import WrongFileError

SMALL = {"generator_width": 8, "critic_width": 8, "latent_dim": 4}


def gradient_square(score, x, y):
    """1/2 E[|grad_x score(x, y)|^2], Mescheder et al. 2018, arXiv:1801.04406, eq. 9."""
    gradient = torch.func.grad(lambda x: score(x, y).sum())(x.detach())
    return gradient.flatten(1).square().sum(1).mean() / 2


class Relativistic(GAN):
    """A relativistic loss on pairs of scores, with R1 and R2."""

    latent_dim: int = 64
    n_critic: int = 1
    critic_lr: float = 2e-4
    generator_lr: float = 2e-4
    generator_batch: int = 2
    gamma: float = 0.1
    pairs = True

    def critic_loss(self, real, fake):
        return F.softplus(fake - real).mean()

    def generator_loss(self, fake, real):
        return F.softplus(real - fake).mean()

    def critic_regularizers(self):
        return [Regularizer(self.r1), Regularizer(self.r2)]

    def r1(self, x, y, fake):
        value = self.gamma * gradient_square(self.score, x, y)
        return value, {"r1": value.detach()}

    def r2(self, x, y, fake):
        value = self.gamma * gradient_square(self.score, fake, y)
        return value, {"r2": value.detach()}


class Features(DCGAN):
    """Feature matching: the generator matches the critic's mean features of real samples."""

    def generator_objective(self, x, y, z, due=None):
        real, fake = self.features(x), self.features(self.generator(z, y))
        loss = (real.mean(0) - fake.mean(0)).square().sum()
        return loss, {"loss/generator": loss.detach()}


class Lazy(DCGAN):
    """Lazy regularisation: path length every third update, R1 every second; mirrored samples."""

    network: str = "autoencoder"  # path length needs networks without batch normalisation

    critic_norm: str = "none"
    path_weight: float = 2.0

    def __post_init__(self):
        super().__post_init__()
        self.path_mean: torch.Tensor
        self.register_buffer("path_mean", torch.zeros(()))

    def build_augment(self):
        return Mirror()

    def critic_regularizers(self):
        return [Regularizer(self.r1, every=2)]

    def generator_regularizers(self):
        return [Regularizer(self.path_length, every=3)]

    def r1(self, x, y, fake):
        value = gradient_square(self.score, x, y)
        return value, {"r1": value.detach()}

    def path_length(self, y, z):
        noise = torch.randn(len(z), *self.shape, device=z.device) / math.prod(self.shape[1:]) ** 0.5
        gradient = torch.func.grad(lambda z: (self.generator(z, y) * noise).sum())(z)
        lengths = gradient.square().sum(1).sqrt()
        mean = torch.lerp(self.path_mean, lengths.mean(), 0.01)
        self.path_mean.copy_(mean.detach())
        return self.path_weight * (lengths - mean).square().mean(), {"path_mean": mean.detach()}

    @torch.no_grad()
    def after_critic_step(self, real, fake):
        assert real.dim() == fake.dim() == 1
        self.augmentation.p.add_((real.sign().mean() - 0.6).sign() * 0.01).clamp_(0, 1)


class Mirror(nn.Module):
    """Mirrors each sample with probability ``p``."""

    def __init__(self):
        super().__init__()
        self.register_buffer("p", torch.full((), 0.25))

    def forward(self, x):
        mirrored = torch.rand(len(x), device=x.device) < self.p
        return torch.where(mirrored.view(-1, *[1] * (x.dim() - 1)), x.flip(-1), x)


class Growing(DCGAN):
    """Progressive growing: real samples gain detail during training, with a level that changes."""

    grown: int = 4

    def __post_init__(self):
        super().__post_init__()
        self.alpha: torch.Tensor
        self.register_buffer("alpha", torch.zeros(()))

    def level_at(self, images):
        return int(images >= self.grown * 8)

    def on_update(self, update):
        self.alpha.fill_(min(1.0, update / self.grown))

    def prepare(self, x):
        coarse = F.interpolate(F.avg_pool2d(x, 2), scale_factor=2.0)
        return x if self.level else torch.lerp(coarse, super().prepare(x), self.alpha)


every_hook = pytest.mark.parametrize("technique", [Relativistic, Features, Lazy, Growing])


def run(technique, steps, ckpt_path=None, **options):
    torch.manual_seed(0)
    model = technique(IMAGE, **SMALL, n_critic=2, ema_decay=0.9, **options)
    return model, train(model, fixed(2), steps, ckpt_path=ckpt_path)


@every_hook
def test_a_technique_trains_and_logs_its_losses(technique):
    torch.manual_seed(0)
    model = technique(IMAGE, **SMALL)
    before = state(model)
    trainer = train(model, batches(IMAGE), max_steps=6, log_every_n_steps=1)
    changed = {key.split(".")[0] for key in differences(before, state(model))}
    assert {"critic", "generator"} <= changed
    logged = {name for name in trainer.callback_metrics if name.startswith("loss/")}
    assert logged == {"loss/critic", "loss/generator"}


@every_hook
def test_a_technique_resumes_exactly(technique, tmp_path):
    # At a step where not every regularizer is due, and before the level changes.
    whole, _ = run(technique, 8)
    run(technique, 3)[1].save_checkpoint(tmp_path / "3.ckpt")
    resumed, _ = run(technique, 8, ckpt_path=tmp_path / "3.ckpt")
    assert differences(state(whole), state(resumed)) == []


@pytest.mark.slow
@every_hook
def test_the_objectives_of_a_technique_compile_as_one_graph(technique):
    torch._dynamo.reset()
    model = technique(IMAGE, **SMALL)
    x, _ = samples(IMAGE, 4)
    z = model.draw_latents(4 * model.generator_batch)
    for objective, latents in ((model.critic_objective, z[:4]), (model.generator_objective, z)):
        losses = []
        before = state(model)
        for function in (objective, torch.compile(objective, fullgraph=True, backend="aot_eager")):
            model.load_state_dict(before)  # undo changes of buffers, such as the mean path length
            torch.manual_seed(1)
            losses.append(function(x, None, latents)[0])
        torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-5)


def final_state(name):
    """The final state of a rank that trains the technique of this name in this file."""
    torch.manual_seed(0)
    model = globals()[name](IMAGE, **SMALL)
    train(model, batches(IMAGE), 4, devices=2, **{k: v for k, v in SILENT.items() if k != "logger"})
    return model.state_dict()


@every_hook
def test_two_ranks_have_the_same_weights(technique, ranks):
    first, second = ranks(final_state, technique.__name__)
    parameters = [name for name, _ in technique(IMAGE, **SMALL).named_parameters()]
    assert all(first[name].isfinite().all() for name in parameters)
    assert [name for name in parameters if not torch.equal(first[name], second[name])] == []


# Regularizers, passes and graphs.


def test_a_lazy_regularizer_is_weighted_by_its_interval_when_it_is_due():
    model = Lazy(IMAGE, **SMALL)
    model.augmentation.p.zero_()
    x, _ = samples(IMAGE, 4)
    z = model.draw_latents(4)
    without, terms, _ = model.critic_objective(x, None, z, due=())
    assert "penalty" not in terms
    torch.manual_seed(1)
    loss, terms, _ = model.critic_objective(x, None, z, due=(0,))
    penalty = 2 * gradient_square(model.critic, x, None)
    torch.testing.assert_close(loss, without + penalty)
    torch.testing.assert_close(terms["penalty"], penalty)
    due = [model.kind(update)[1:3] for update in range(4)]
    assert due == [((), ()), ((0,), ()), ((), (0,)), ((0,), ())]


def test_a_relativistic_generator_loss_gets_the_last_real_samples():
    model = Relativistic(IMAGE, **SMALL)
    x, _ = samples(IMAGE, 4)
    z = model.draw_latents(8)
    loss, _ = model.generator_objective(x, None, z)
    real = model.critic(torch.cat([x, x]), None)
    fake = model.critic(model.generator(z, None), None)
    torch.testing.assert_close(loss, F.softplus(real - fake).mean())


class Mixing(nn.Module):
    mixes_samples = True

    def forward(self, x):
        return x - x.mean(0, keepdim=True)


class Mixed(DCGAN):
    critic_norm: str = "none"

    def build_networks(self):
        generator, critic = super().build_networks()
        critic.features = nn.Sequential(critic.features, Mixing())
        return generator, critic


@pytest.mark.parametrize(("technique", "passes"), [(Mixed, [4, 4]), (Lazy, [8])])
def test_a_critic_that_mixes_samples_scores_real_and_generated_separately(technique, passes):
    model, seen = technique(IMAGE, **SMALL), []
    model.critic.register_forward_hook(lambda module, args, scores: seen.append(len(scores)))
    x, _ = samples(IMAGE, 4)
    model.compare(x, -x, None)
    assert seen == passes


def test_each_level_and_set_of_due_regularizers_has_its_own_graph(monkeypatch, as_if_captured):
    kinds = []

    class Graph(iteration._Graph):
        def __init__(self, stream, run):
            kinds.append(run.args[0])
            super().__init__(stream, run)

    monkeypatch.setattr(iteration, "_Graph", Graph)
    monkeypatch.setattr(iteration, "WARM_UP", 100)
    run(Lazy, 6, cuda_graph=True)
    assert [kind[1:3] for kind in kinds] == [((), ()), ((0,), ()), ((), (0,)), ((0,), (0,))]
    kinds.clear()
    run(Growing, 6, cuda_graph=True)
    assert [kind.level for kind in kinds] == [0, 1]


# Levels, images and the moving average.


def test_real_samples_are_counted_and_the_count_and_the_level_are_saved(tmp_path):
    model, trainer = run(Growing, 3)
    assert (model.images, model.level) == (3 * 8, 0)
    trainer.save_checkpoint(tmp_path / "3.ckpt")
    resumed, trainer = run(Growing, 6, ckpt_path=tmp_path / "3.ckpt")
    assert (resumed.images, resumed.level) == (6 * 8, 1)
    trainer.save_checkpoint(tmp_path / "6.ckpt")
    loaded = Growing.load_from_checkpoint(tmp_path / "6.ckpt", map_location="cpu")
    assert (loaded.images, loaded.level) == (6 * 8, 1)


@pytest.mark.parametrize(("name", "value"), [("images", -1), ("level", -2), ("images", "many")])
def test_a_checkpoint_with_a_wrong_count_is_refused(name, value, tmp_path):
    _, trainer = run(Growing, 1)
    trainer.save_checkpoint(tmp_path / "1.ckpt")
    checkpoint = torch.load(tmp_path / "1.ckpt", weights_only=True)
    checkpoint["gan_lightning"][name] = value
    torch.save(checkpoint, tmp_path / "wrong.ckpt")
    with pytest.raises(WrongFileError, match=f"is not a checkpoint: its {name} is {value}"):
        read_checkpoint(tmp_path / "wrong.ckpt")


@pytest.mark.parametrize("stop", [4, 5])
def test_moments_start_anew_with_a_level_also_after_a_resume(stop, tmp_path):
    steps = {}
    for ckpt_path in (None, tmp_path / "stop.ckpt"):
        run(Growing, stop)[1].save_checkpoint(tmp_path / "stop.ckpt")
        _, trainer = run(Growing, 6, ckpt_path=ckpt_path)
        states = [state for each in trainer.optimizers for state in each.state.values()]
        steps[ckpt_path] = {state["step"].item() for state in states}
    # The level changes before update 4: two generator updates, and two critic updates in each.
    assert list(steps.values()) == [{4, 2}, {4, 2}]


def test_a_network_that_grows_has_the_level_of_its_technique():
    class Grown(Growing):
        def build_networks(self):
            generator, critic = super().build_networks()
            critic.features = nn.Sequential(critic.features, family.Growing())
            return generator, critic

    model = Grown(IMAGE, **SMALL)
    (grows,) = (each for each in model.modules() if isinstance(each, family.Growing))
    assert (grows.level, model.kind(0).level) == (0, 0)
    model.images = 4 * 8
    assert model.begin_update(4, []).level == grows.level == 1
    assert DCGAN(IMAGE, **SMALL).kind(0).level == family.Growing().level == -1


def test_before_its_start_the_moving_average_is_a_copy():
    model, _ = run(DCGAN, 3, ema_start=3)
    averaged = dict(model.generator_ema.named_parameters())
    for name, parameter in model.generator.named_parameters():
        assert torch.equal(averaged[name], parameter)
    model, _ = run(DCGAN, 4, ema_start=3)
    assert differences(state(model.generator), state(model.generator_ema))


def test_a_decay_of_each_update_averages_as_a_constant_one():
    class Varying(DCGAN):
        def average_decay(self, update):
            return self.ema_decay

    constant, varying = run(DCGAN, 4)[0], run(Varying, 4)[0]
    for name, tensor in constant.generator_ema.state_dict().items():
        torch.testing.assert_close(varying.generator_ema.state_dict()[name], tensor)


# Hyperparameters as attributes.


def test_an_annotated_tensor_is_refused():
    with pytest.raises(TypeError, match=r"Wrong.k would be an argument: annotate tensors in"):

        class Wrong(DCGAN):
            k: torch.Tensor


def test_an_argument_that_the_inherited_constructor_lacks_is_refused():
    class Own(DCGAN):
        def __init__(self, shape, num_classes=0, **options):
            super().__init__(shape, num_classes, **options)

    message = "Wrong adds scale to Own, whose __init__ does not take them"
    with pytest.raises(TypeError, match=message):

        class Wrong(Own):
            scale: float = 1.0


def test_a_default_without_an_annotation_is_refused():
    with pytest.raises(TypeError, match=r"Wrong.n_critic is no default without an annotation"):

        class Wrong(DCGAN):
            n_critic = 3


def test_a_penalty_that_no_regularizer_returns_is_refused():
    with pytest.raises(TypeError, match=r"Wrong.penalty is not used: return it from critic_reg"):

        class Wrong(DCGAN):
            def penalty(self, x, y, fake):
                return x.mean(), {}


def wrapped(function):
    @functools.wraps(function)
    def call(*arguments, **options):
        return function(*arguments, **options)

    return call


@pytest.mark.parametrize("wrap", [lambda function: function, wrapped])
def test_a_constructor_that_forwards_all_arguments_saves_them(wrap):
    class All(DCGAN):
        @wrap
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)

    assert All(IMAGE, 0, **SMALL).hparams == {"shape": IMAGE, "num_classes": 0, **SMALL}


def test_the_constructor_of_a_mixin_runs():
    class Mixin:
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            self.mixed = True

    class Mixed(Mixin, DCGAN):
        pass

    assert Mixed(IMAGE, **SMALL).mixed


def test_torch_can_still_compile_a_module():
    assert DCGAN(IMAGE, compile=True, **SMALL).compiled
    assert callable(DCGAN(IMAGE, **SMALL).compile)
    assert callable(DCGAN.compile)


class Attached(Relativistic):
    """Logs a value that is still part of the graph, as a beginner writes it."""

    generator_batch: int = 1

    def r1(self, x, y, fake):
        value = self.gamma * gradient_square(self.score, x, y)
        return value, {"r1": value}

    def log_scalars(self, values):
        self.logged = values


def test_values_to_log_need_not_be_detached():
    model = Attached((2,), **SMALL)
    train(model, batches(), 1, log_every_n_steps=1)
    assert model.logged["r1"] > 0
    assert not any(value.requires_grad for value in model.logged.values())
