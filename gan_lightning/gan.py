"""The base of every technique: one loop that alternates critic and generator updates."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import field
from typing import Any, ClassVar, get_args

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gan_lightning.augment import ADA, make_augment
from gan_lightning.losses import Relativistic, mean_of_top_share, relativistic_scores
from gan_lightning.networks import (
    Family,
    Norm,
    family_for,
    has_batch_norm,
    mixes_samples,
    start_from_data,
    starts_from_data,
)
from gan_lightning.penalties import Regularizer, regularization
from gan_lightning.regularizers import CriticRegularizer, make_regularizers
from gan_lightning.sampling import Sampling
from gan_lightning.sharing import Sharing
from gan_lightning.training.batches import Batch
from gan_lightning.training.ema import update_average
from gan_lightning.training.hyperparameters import Hyperparameters
from gan_lightning.training.iteration import Kind, Objective, Update, reset_moments
from gan_lightning.training.module import Terms, TrainingModule
from gan_lightning.utils.checks import at_least, checked_shape, one_of
from gan_lightning.utils.errors import ArgumentError
from gan_lightning.utils.precision import without_autocast_cache

__all__ = ["GAN", "Batch", "Regularizer", "Scores", "Terms"]

#: Scores ``(N,)`` of real and of generated samples.
Scores = tuple[Tensor, Tensor]
#: One of 256, for images in [-1, 1].
GREY_LEVEL = 2 / 255
#: Real samples with which the share that ``top_k`` ends at falls by a hundredth.
TOP_K_IMAGES = 50_000


class GAN(Hyperparameters, Sampling, Sharing, TrainingModule, ABC):
    """A critic ``(x, y) -> (N,)`` and a generator ``(z, y) -> x``, trained in turn.

    Samples ``x`` are images ``(N, C, H, W)`` in [-1, 1], vectors ``(N, D)``, or of another shape;
    labels ``y`` are int64 ``(N,)``, or None where ``num_classes`` is 0; latents ``z`` are
    ``(N, latent_dim)``.

    One ``training_step`` is one generator update, with its ``n_critic`` critic updates before it,
    on a batch of ``n_critic`` times as many samples as one update takes: ``(x, y)``, ``x`` or a
    dictionary (``gan_lightning.training.batches.pair``). So ``max_steps``, ``global_step``, the
    loggers' axis and a checkpoint's step count generator updates.

    A technique is a subclass with its two losses and its paper's hyperparameters as annotated
    attributes; the other methods up to ``make_optimizer`` are there for those that need them. One
    that trains on more than scores overrides an objective.

    Args:
        shape: of one sample: any that the networks take. The built-in families take images
            ``(C, size, size)`` with C 1 to 4 and size 8 to 256, and vectors ``(D,)``.
        num_classes: 0 trains without labels.
        latent_dim: the length of z.
        n_critic: critic updates per generator update.
        critic_lr: the critic's learning rate.
        generator_lr: the generator's learning rate.
        betas: Adam's, for both.
        network: the family of both networks, a name in ``FAMILIES``; vectors get perceptrons.
        generator_width: channels, or hidden units, that the generator's family scales with; by
            default as published at this size.
        critic_width: the same for the critic.
        critic_norm: normalisation inside an image critic: ``none``, ``batch`` or ``layer``.
        generator_batch: samples in a generator update, as a multiple of those in a critic's.
        dequantize: real images get uniform noise as wide as one of 256 grey levels, centred on
            theirs.
        ema_decay: of the generator's exponential moving average, from which ``sample`` draws;
            0 keeps none.
        ema_start: the generator update that the average starts with; before, it is a copy.
        decay_steps: generator updates over which both learning rates fall linearly to 0; 0 keeps
            them constant.
        augment: what images pass on their way to the critic, real and generated alike:
            ``diffaugment``, or some of its operations, such as ``translation,cutout``; or ``ada``,
            as often as the critic needs it. Penalties are of the gradient before it.
        regularize: terms that the critic's loss gets, each perhaps with a weight in place of its
            paper's: ``r1``, ``r2``, ``dragan``, ``lecam``, ``cr``, ``bcr``; ``r1=0.1,lecam``.
        relativistic: scores are judged in ``pairs`` of a real and a generated sample, or against
            the ``averages`` of the other side; the generator's loss is then the critic's with the
            roles exchanged.
        top_k: the share of generated samples, those with the highest scores, that the generator's
            loss is of in the end: it falls from 1 by a hundredth with every 50,000 real images.
        channels_last: keep maps with their channels innermost, which some kernels are faster on.
        compile: compile the two objectives; the first step takes a while.
        cuda_graph: capture the whole iteration as one CUDA graph, for one GPU. Hooks around
            backward passes and optimisers' steps are then not called, and what a technique computes
            in Python, other than on tensors, is computed once.

    Raises:
        ValueError: no network fits ``shape``, or a hyperparameter is out of its range.
    """

    shape: tuple[int, ...] = field(kw_only=False)
    num_classes: int = field(default=0, kw_only=False)
    latent_dim: int
    n_critic: int
    critic_lr: float
    generator_lr: float
    betas: tuple[float, float] = (0.9, 0.999)
    network: str = "dcgan"
    generator_width: int | None = None
    critic_width: int | None = None
    critic_norm: Norm = "none"
    generator_batch: int = 1
    dequantize: bool = False
    ema_decay: float = 0.0
    ema_start: int = 0
    decay_steps: int = 0
    augment: str = "none"
    regularize: str = "none"
    relativistic: Relativistic = "none"
    top_k: float = 1.0
    channels_last: bool = False
    compile: bool = False  # type: ignore[assignment]
    cuda_graph: bool = False

    #: Whether the technique is nothing without the networks of its paper: tables that compare
    #: techniques on the same networks leave it out.
    own_networks: ClassVar[bool] = False
    #: Whether the generator's loss takes the scores of real samples too.
    pairs: ClassVar[bool] = False
    #: Whether real samples have the high scores.
    high_scores_are_real: ClassVar[bool] = True
    #: Whether the losses are of differences of scores, so that ``relativistic`` changes nothing.
    compares_scores: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if hasattr(cls, "penalty") and cls.critic_regularizers is GAN.critic_regularizers:
            raise TypeError(
                f"{cls.__name__}.penalty is not used: return it from critic_regularizers"
            )

    def __post_init__(self) -> None:
        super().__init__()
        self.save_arguments()
        self._check_arguments()
        self.family = family_for(self.shape, self.network)
        published = self.family.widths_at(self.shape[-1])
        given = self.generator_width, self.critic_width
        self.widths = tuple(p if g is None else g for p, g in zip(published, given, strict=True))
        self.generator_width, self.critic_width = self.widths
        self.dequantize = self.dequantize and self.is_image
        self.channels_last = self.channels_last and self.is_image
        # The argument has the name of a method of modules.
        self.compiled: bool = vars(self).pop("compile")

        self.generator, self.critic = self.build_networks()
        self.augmentation = self.build_augment()
        self.regularizers = self.build_regularizers()
        self._check_comparison()
        if self.channels_last:
            self.to(memory_format=torch.channels_last)
        self._mixes_samples = mixes_samples(self.critic)
        self.set_level(self.level_at(0))
        self.generator_ema: nn.Module | None = None
        if self.keeps_average:
            self.generator_ema = copy.deepcopy(self.generator).requires_grad_(False)
        #: The share of samples that the generator's loss is of in the present update.
        self.top_share: Tensor | None
        #: The decay of the average in the present update, where it is not the same in all.
        self.present_decay: Tensor | None
        varies = self.ema_start > 0 or type(self).average_decay is not GAN.average_decay
        for name, is_needed in (("top_share", self.top_k < 1), ("present_decay", varies)):
            if is_needed:
                self.register_buffer(name, torch.ones(()), persistent=False)
            else:
                setattr(self, name, None)  # not a buffer, which torch.export would count

    def _check_arguments(self) -> None:
        self.shape = checked_shape(self.shape)
        for name in ("num_classes", "decay_steps", "ema_start", "critic_lr", "generator_lr"):
            at_least(0, **{name: getattr(self, name)})
        for name in ("latent_dim", "n_critic", "generator_batch"):
            at_least(1, **{name: getattr(self, name)})
        for name in ("generator_width", "critic_width"):
            if (width := getattr(self, name)) is not None:
                at_least(1, **{name: width})
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must be two numbers in [0, 1), got {self.betas}")
        self.betas = (self.betas[0], self.betas[1])
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay must be in [0, 1), got {self.ema_decay}")
        one_of(get_args(Norm), critic_norm=self.critic_norm)
        one_of(get_args(Relativistic), relativistic=self.relativistic)
        if not 0 < self.top_k <= 1:
            raise ValueError(f"top_k must be in (0, 1], got {self.top_k}")

    @property
    def scores_have_signs(self) -> bool:
        """Whether a positive score means that the critic takes a sample for real."""
        return not (self.compares_scores or self.pairs or self.relativistic != "none") and (
            self.high_scores_are_real
        )

    def _low_scores(self, option: str) -> str:
        name = type(self).__name__
        return f"{name} gives real samples low scores, and {option} takes them for high ones"

    def _check_comparison(self) -> None:
        """Raise ArgumentError if the losses are not such that ``relativistic`` or ``top_k`` fit."""
        name, compares = type(self).__name__, self.relativistic != "none"
        if not compares and self.top_k == 1:
            return
        option = "relativistic" if compares else "top_k"
        if type(self).generator_objective is not GAN.generator_objective:
            raise ArgumentError(f"{name} has an objective of its own, which {option} does not fit")
        if not self.high_scores_are_real:
            raise ArgumentError(self._low_scores(option))
        if compares and (self.compares_scores or self.pairs):
            raise ArgumentError(f"{name} compares scores already: leave out relativistic")
        if self.top_k < 1 and (compares or self.pairs):
            raise ArgumentError("top_k does not fit a loss of pairs of samples")

    # What a technique says.

    @abstractmethod
    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """The critic's loss, a scalar, of its scores ``(N,)`` of real and generated samples."""

    @abstractmethod
    def generator_loss(self, fake: Tensor, /) -> Tensor:
        """The generator's loss, a scalar, of the scores ``(N,)`` of its samples.

        With ``pairs`` it takes the scores of as many real samples too: ``(fake, real)``.
        """

    def critic_regularizers(self) -> Sequence[Regularizer]:
        """Terms of the critic's loss beside its scores: penalties."""
        return ()

    def generator_regularizers(self) -> Sequence[Regularizer]:
        """Terms of the generator's loss beside its scores."""
        return ()

    def watch(self, real: Tensor, fake: Tensor) -> Terms:
        """Scalars to log, of the scores ``(N,)``: what the paper says one can watch."""
        return {}

    def critic_updates(self, update: int) -> int:
        """How many critic updates, 1 at least, go before generator update ``update``, from 0."""
        return self.n_critic

    @property
    def keeps_average(self) -> bool:
        """Whether the generator has a moving average."""
        return self.ema_decay > 0

    def average_decay(self, update: int) -> float:
        """The decay of the moving average in generator update ``update``, from 0."""
        return self.ema_decay if update >= self.ema_start else 0.0

    def level_at(self, images: int) -> int:
        """The level of networks that grow, after the critic was shown so many real samples.

        It is from 0, or the last, -1. With each new level, the optimisers' moments start anew.
        """
        return -1

    def build_networks(self) -> tuple[nn.Module, nn.Module]:
        """The generator and the critic for ``self.shape``, initialised.

        A layer of a critic whose output for a sample depends on the others has an attribute
        ``mixes_samples``, which is true; batch normalisation is known.
        """
        return self.make_networks(self.family)

    def make_networks(self, family: Family) -> tuple[nn.Module, nn.Module]:
        """The generator and the critic of a family."""
        generator_width, critic_width = self.widths
        return (
            family.make_generator(self.shape, self.latent_dim, self.num_classes, generator_width),
            family.make_critic(self.shape, self.num_classes, critic_width, self.critic_norm),
        )

    def build_augment(self) -> nn.Module | None:
        """What real and generated samples pass on their way to the critic; None for nothing.

        Raises:
            ArgumentError: there is no such augmentation, or samples are no images.
        """
        augmentation = make_augment(self.augment)
        if augmentation is not None and not self.is_image:
            raise ArgumentError(f"augment is for images, and samples have the shape {self.shape}")
        if isinstance(augmentation, ADA) and not self.scores_have_signs:
            raise ArgumentError(
                "ada follows the signs of real samples' scores, which tell nothing where they are "
                f"not judged alone: {type(self).__name__} takes diffaugment"
            )
        return augmentation

    def build_regularizers(self) -> nn.ModuleDict | None:
        """The terms that ``regularize`` names, ``CriticRegularizer``; None for nothing.

        Raises:
            ArgumentError: there is no such term, or it does not fit the critic.
        """
        regularizers = make_regularizers(self.regularize)
        for name, term in regularizers.items():
            assert isinstance(term, CriticRegularizer)
            if term.of_gradients and has_batch_norm(self.critic):
                raise ArgumentError(
                    f"{name} penalises each sample's gradient: critic_norm must be none or layer"
                )
            if term.of_images and not self.is_image:
                raise ArgumentError(
                    f"{name} is for images, and samples have the shape {self.shape}"
                )
            if term.of_high_scores and not self.high_scores_are_real:
                raise ArgumentError(self._low_scores(name))
        return regularizers or None

    def prepare(self, x: Tensor) -> Tensor:
        """Real samples as the critic is shown them."""
        if not self.dequantize:
            return x
        # Drawn by shape alone: the noise is the same in each memory format.
        noise = torch.rand(x.shape, dtype=x.dtype, device=x.device)
        return x + (noise - 0.5) * GREY_LEVEL

    def on_first_batch(self, x: Tensor, y: Tensor | None) -> None:
        """Called on the host before the first update of a run that starts anew, with its batch.

        The critic's layers that start from data do so, from the samples of its first update, unless
        they were trained before.
        """
        if starts_from_data(self.critic):
            x = x[: len(x) // self.n_critic]
            y = None if y is None else y[: len(x)]
            start_from_data(self.critic, self._augmented(self.prepare(x)), y)

    def on_update(self, update: int) -> None:
        """Called on the host before generator update ``update``, from 0, and its critic updates."""

    def after_critic_step(self, real: Tensor, fake: Tensor) -> None:
        """Called after each critic update, with the scores ``(N,)`` that led to it."""

    def draw_latents(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """``(n, latent_dim)`` latents, standard normal; an override may omit ``generator``."""
        return torch.randn(n, self.latent_dim, device=self.device, generator=generator)

    def make_optimizer(self, network: nn.Module, lr: float) -> Optimizer:
        """The optimiser of one network: Adam with ``self.betas``."""
        return torch.optim.Adam(network.parameters(), lr=lr, betas=self.betas, fused=True)

    # The critic on samples.

    def score(self, x: Tensor, y: Tensor | None) -> Tensor:
        """The critic's scores ``(N,)`` of augmented samples, in float32 at least."""
        scores = self.critic(self._augmented(x), y)
        return scores.to(torch.promote_types(scores.dtype, torch.float32))

    def features(self, x: Tensor) -> Tensor:
        """The critic's features of augmented samples, ``(N, ...)``, before its last layer."""
        return self.critic.features(self._augmented(x))  # type: ignore[operator]

    def compare(self, x: Tensor, generated: Tensor, y: Tensor | None) -> Scores:
        """The scores ``(N,)`` of real and of generated samples.

        In one pass, which costs half as many kernels; in two where the critic mixes samples, as
        batch normalisation does: its statistics must not mix real and generated ones.
        """
        if self._mixes_samples:
            return self.score(x, y), self.score(generated, y)
        both = torch.cat([x, generated.to(x.dtype)])
        scores = self.score(both, None if y is None else torch.cat([y, y]))
        return scores[: len(x)], scores[len(x) :]

    def _augmented(self, x: Tensor) -> Tensor:
        return x if self.augmentation is None else self.augmentation(x)

    # The two objectives: tensors in; a scalar to minimise and the terms to log out.

    def critic_objective(
        self, x: Tensor, y: Tensor | None, z: Tensor, due: Sequence[int] | None = None
    ) -> tuple[Tensor, Terms, Scores]:
        """The critic's loss on real ``x`` and on the samples of ``z``, and the scores ``(N,)``.

        With the regularizers of indices ``due``, or all.
        """
        with torch.no_grad():
            generated = self.generator(z, y)
        real, fake = self.compare(x, generated, y)
        loss = self._judge(real, fake)
        scores = real.detach(), fake.detach()
        terms = {"score/real": scores[0].mean(), "score/fake": scores[1].mean()}
        terms |= self.watch(*scores)
        penalty, logged = regularization(self.critic_regularizers(), due, x, y, generated)
        for term in () if self.regularizers is None else self.regularizers.values():
            value, more = term(self, x, y, generated, (real, fake))
            value, logged = term.weight * value, {**logged, **more}
            penalty = value if penalty is None else penalty + value
        if penalty is not None:
            loss = loss + penalty
            terms |= {"penalty": penalty.detach(), **logged}
        terms["loss/critic"] = loss.detach()
        return loss, terms, scores

    def generator_objective(
        self, x: Tensor, y: Tensor | None, z: Tensor, due: Sequence[int] | None = None
    ) -> tuple[Tensor, Terms]:
        """The generator's loss on the samples of ``z``.

        With the regularizers of indices ``due``, or all. ``x`` are the real samples of the last
        critic update, for ``pairs`` and for overrides; there are ``generator_batch`` times as many
        latents.
        """
        generated = self.generator(z, y)
        if self.pairs or self.relativistic != "none":
            shown = x.repeat(len(z) // len(x), *[1] * (x.dim() - 1))
            real, fake = self.compare(shown, generated, y)
            judge: Callable[..., Tensor] = self.generator_loss if self.pairs else self._judge
            loss = judge(fake, real)
        elif self.top_share is not None:
            fake = self.score(generated, y)
            loss = mean_of_top_share(self.generator_loss, fake, self.top_share)
        else:
            loss = self.generator_loss(self.score(generated, y))
        return self.with_generator_penalty(loss, {}, y, z, due)

    def _judge(self, first: Tensor, second: Tensor) -> Tensor:
        """The critic's loss with ``first`` as real, relativistic where that is chosen."""
        if self.relativistic == "none":
            return self.critic_loss(first, second)
        return self.critic_loss(*relativistic_scores(first, second, self.relativistic)) / 2

    def with_generator_penalty(
        self, loss: Tensor, terms: Terms, y: Tensor | None, z: Tensor, due: Sequence[int] | None
    ) -> tuple[Tensor, Terms]:
        """The generator's loss and the terms to log, with the regularizers due added to both."""
        penalty, logged = regularization(self.generator_regularizers(), due, y, z)
        if penalty is not None:
            loss = loss + penalty
            terms = {**terms, "penalty/generator": penalty.detach(), **logged}
        return loss, {**terms, "loss/generator": loss.detach()}

    # The loop.

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """``n_critic`` critic updates, each on its share of the batch, and a generator update."""
        x, y = self.unpack(batch)
        if len(x) < self.n_critic:
            raise ArgumentError(
                f"a batch feeds {self.n_critic} critic updates and holds only {len(x)} samples"
            )
        kind = self.begin_update(self.global_step, self.trainer.optimizers)
        terms = self.iteration(x, y, kind)
        self.images += len(x) * self.trainer.world_size
        self.step_schedules()
        self.log_terms(terms)

    def begin_update(self, update: int, optimizers: Iterable[Optimizer]) -> Kind:
        """What the host does before generator update ``update``, from 0; returns its kind."""
        if (level := self.level_at(self.images)) != self.level:
            self.set_level(level)
            reset_moments(optimizers)
        if self.present_decay is not None:
            self.present_decay.fill_(self.average_decay(update))
        if self.top_share is not None:
            self.top_share.fill_(max(self.top_k, 0.99 ** (self.images // TOP_K_IMAGES)))
        self.on_update(update)
        return self.kind(update)

    @without_autocast_cache()
    def iterate(
        self,
        x: Tensor,
        y: Tensor | None,
        kind: Kind,
        objectives: tuple[Objective, Objective],
        update: Update,
    ) -> Terms:
        """All that an iteration computes; no step waits for the device.

        ``objectives`` and ``update`` are those of how the iteration runs.
        """
        critic_objective, generator_objective = objectives
        losses = []
        parts = torch.tensor_split(x, self.n_critic)
        labels = (None,) * self.n_critic if y is None else torch.tensor_split(y, self.n_critic)
        for i in range(kind.critic_updates):
            # A longer phase goes through the batch again, with new noise.
            x, y = self.prepare(parts[i % self.n_critic]), labels[i % self.n_critic]
            z = self.draw_latents(len(x))
            loss, critic_terms, scores = critic_objective(x, y, z, kind.critic_due)
            update(0, loss)
            losses.append(loss.detach())
            self.after_critic_step(*scores)
            if isinstance(self.augmentation, ADA):
                self.augmentation.adapt(scores[0])
                critic_terms = {**critic_terms, "augment/p": self.augmentation.p}

        with _frozen(self.critic):
            y = None if y is None else y.repeat(self.generator_batch)
            z = self.draw_latents(len(x) * self.generator_batch)
            loss, generator_terms = generator_objective(x, y, z, kind.generator_due)
            update(1, loss)
            losses.append(loss.detach())
        if self.generator_ema is not None:
            decay = self.ema_decay if self.present_decay is None else self.present_decay
            update_average(self.generator_ema, self.generator, decay)
        if self.finite_checks is not None:
            self.finite_checks.add(losses)
        return critic_terms | generator_terms


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """Keep gradients from the network's parameters."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
