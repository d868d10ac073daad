"""The base of every technique: one loop that alternates critic and generator updates."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, get_args

import pytorch_lightning as pl
import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from gan_lightning.checkpoints import (
    FORMAT,
    check_fits,
    forget_foreign_paths,
    have_validation_run,
    last_checkpoint,
    read_checkpoint,
    rewind_to_batch_end,
)
from gan_lightning.checks import at_least, checked_shape, one_of
from gan_lightning.distributed import RNGState, gather_rng_states, restore_rng_state
from gan_lightning.divergence import DivergedError, FiniteIterations
from gan_lightning.ema import update_average
from gan_lightning.errors import ArgumentError, WrongFileError
from gan_lightning.hyperparameters import Hyperparameters
from gan_lightning.networks import FAMILIES, MLP, Norm, mixes_samples
from gan_lightning.speed import (
    CapturedIteration,
    Iteration,
    Kind,
    Objective,
    Update,
    as_usual,
    check_one_gpu,
    compiled,
    keep_on_device,
    lay_out_as_parameters,
)

Terms = dict[str, Tensor]
Batch = tuple[Tensor, Tensor | None]
#: Scores ``(N,)`` of real and of generated samples.
Scores = tuple[Tensor, Tensor]
#: One of 256, for images in [-1, 1].
GREY_LEVEL = 2 / 255


class Regularizer(NamedTuple):
    """A term of a network's loss, and how often it counts.

    Args:
        term: returns its weighted value, a scalar, and what to log. The critic's takes real
            samples ``x``, their labels ``y`` and generated samples of the same labels; the
            generator's takes labels ``y`` and latents ``z``.
        every: it counts in one of so many generator updates, and is multiplied by that number. It
            is logged where a row is due in such an update.
    """

    term: Callable[..., tuple[Tensor, Terms]]
    every: int = 1


class GAN(Hyperparameters, pl.LightningModule, ABC):
    """A critic ``(x, y) -> (N,)`` and a generator ``(z, y) -> x``, trained in turn.

    Samples ``x`` are images ``(N, C, H, W)`` in [-1, 1] or vectors ``(N, D)``; labels ``y`` are
    int64 ``(N,)``, or None where ``num_classes`` is 0; latents ``z`` are ``(N, latent_dim)``.

    One ``training_step`` is one generator update, with its ``n_critic`` critic updates before it,
    on a batch ``(x, y)`` of ``n_critic`` times as many samples as one update takes. So
    ``max_steps``, ``global_step``, the loggers' axis and a checkpoint's step count generator
    updates.

    A technique is a subclass with its two losses and its paper's hyperparameters as annotated
    attributes; the other methods up to ``make_optimizer`` are there for those that need them. One
    that trains on more than scores overrides an objective.

    Args:
        shape: of one sample: ``(C, size, size)`` with C 1 or 3 and size 8 to 128, or ``(D,)``.
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
        decay_steps: generator updates over which both learning rates fall linearly to 0; 0 keeps
            them constant.
        channels_last: keep maps with their channels innermost, which some kernels are faster on.
        compile: turn the two objectives into compiled kernels; the first step takes a while.
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
    decay_steps: int = 0
    channels_last: bool = False
    compile: bool = False  # type: ignore[assignment]
    cuda_graph: bool = False

    #: Whether the generator's loss sees the scores of real samples too.
    pairs: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if hasattr(cls, "penalty") and cls.critic_regularizers is GAN.critic_regularizers:
            raise TypeError(
                f"{cls.__name__}.penalty is not used: return it from critic_regularizers"
            )

    def __post_init__(self) -> None:
        super().__init__()
        self.save_arguments()
        self.automatic_optimization = False
        self._check_arguments()
        is_image = len(self.shape) == 3
        self.family = FAMILIES[self.network] if is_image else MLP
        published = self.family.widths_at(self.shape[-1])
        given = self.generator_width, self.critic_width
        self.widths = tuple(p if g is None else g for p, g in zip(published, given, strict=True))
        self.generator_width, self.critic_width = self.widths
        self.dequantize = self.dequantize and is_image
        self.channels_last = self.channels_last and is_image
        # The argument's name is that of a method of modules.
        self.compiled: bool = vars(self).pop("compile")

        self.generator, self.critic = self.build_networks()
        self.augment = self.build_augment()
        if self.channels_last:
            self.to(memory_format=torch.channels_last)
        self._mixes_samples = mixes_samples(self.critic)
        #: Of networks that grow, set by ``on_update``; a captured graph is of one level.
        self.level = 0
        self.generator_ema: nn.Module | None = None
        if self.ema_decay:
            self.generator_ema = copy.deepcopy(self.generator).requires_grad_(False)
        self._iteration: Iteration | None = None
        self._finite: FiniteIterations | None = None
        self._began = 0
        self._rng_states: list[RNGState] | None = None
        self._validated: dict[str, int] | None = None
        self._loaded_updates = 0

    def _check_arguments(self) -> None:
        self.shape = checked_shape(self.shape)
        for least, names in (
            (0, ("num_classes", "decay_steps")),
            (0.0, ("critic_lr", "generator_lr")),
            (1, ("latent_dim", "n_critic", "generator_batch")),
        ):
            for name in names:
                at_least(least, **{name: getattr(self, name)})
        for name in ("generator_width", "critic_width"):
            if (width := getattr(self, name)) is not None:
                at_least(1, **{name: width})
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must be two numbers in [0, 1), got {self.betas}")
        self.betas = (self.betas[0], self.betas[1])
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay must be in [0, 1), got {self.ema_decay}")
        one_of(FAMILIES, network=self.network)
        one_of(get_args(Norm), critic_norm=self.critic_norm)

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
        """What the paper says one can watch, of the scores ``(N,)``; scalars to log."""
        return {}

    def critic_updates(self, update: int) -> int:
        """How many critic updates, 1 at least, go before generator update ``update``, from 0."""
        return self.n_critic

    def build_networks(self) -> tuple[nn.Module, nn.Module]:
        """The generator and the critic for ``self.shape``, initialised.

        A layer of a critic whose output for a sample depends on the others has an attribute
        ``mixes_samples``, which is true; batch normalisation is known.
        """
        widths = self.widths
        return (
            self.family.make_generator(self.shape, self.latent_dim, self.num_classes, widths[0]),
            self.family.make_critic(self.shape, self.num_classes, widths[1], self.critic_norm),
        )

    def build_augment(self) -> nn.Module | None:
        """What real and generated samples pass on their way to the critic; None for nothing."""
        return None

    def prepare(self, x: Tensor) -> Tensor:
        """Real samples as the critic is shown them."""
        if not self.dequantize:
            return x
        # Of a shape alone: in each order of memory the noise is the same.
        noise = torch.rand(x.shape, dtype=x.dtype, device=x.device)
        return x + (noise - 0.5) * GREY_LEVEL

    def on_update(self, update: int) -> None:
        """Called on the host before generator update ``update``, from 0, and its critic updates."""

    def after_critic_step(self, real: Tensor, fake: Tensor) -> None:
        """Called after each critic update, with the scores ``(N,)`` that led to it."""

    def draw_latents(self, n: int) -> Tensor:
        """``(n, latent_dim)`` latents, standard normal."""
        return torch.randn(n, self.latent_dim, device=self.device)

    def make_optimizer(self, network: nn.Module, lr: float) -> Optimizer:
        """The optimiser of one network: Adam with ``self.betas``."""
        return torch.optim.Adam(network.parameters(), lr=lr, betas=self.betas, fused=True)

    # The critic on samples.

    def score(self, x: Tensor, y: Tensor | None) -> Tensor:
        """The critic's scores ``(N,)`` of augmented samples, in float32 at least."""
        return _exactly(self.critic(self._augmented(x), y))

    def features(self, x: Tensor) -> Tensor:
        """The critic's features of augmented samples, ``(N, ...)``, before its last layer."""
        return self.critic.features(self._augmented(x))  # type: ignore[operator]

    def compare(self, x: Tensor, generated: Tensor, y: Tensor | None) -> Scores:
        """The scores ``(N,)`` of real and of generated samples.

        In one pass, which costs half as many kernels; in two where the critic mixes samples, as
        batch normalisation does, whose statistics are not to be of both.
        """
        if self._mixes_samples:
            return self.score(x, y), self.score(generated, y)
        both = torch.cat([x, generated.to(x.dtype)])
        scores = self.score(both, None if y is None else torch.cat([y, y]))
        return scores[: len(x)], scores[len(x) :]

    def _augmented(self, x: Tensor) -> Tensor:
        return x if self.augment is None else self.augment(x)

    # The two objectives: tensors in, a scalar to minimise and the terms to log out.

    def critic_objective(
        self, x: Tensor, y: Tensor | None, z: Tensor, due: Sequence[int] | None = None
    ) -> tuple[Tensor, Terms, Scores]:
        """The critic's loss on real ``x`` and on the samples of ``z``, and the scores ``(N,)``.

        With the regularizers of the numbers ``due``, or all.
        """
        with torch.no_grad():
            generated = self.generator(z, y)
        real, fake = self.compare(x, generated, y)
        loss = self.critic_loss(real, fake)
        scores = real.detach(), fake.detach()
        terms = {"score/real": scores[0].mean(), "score/fake": scores[1].mean()}
        terms |= self.watch(*scores)
        penalty, regularized = _penalty(self.critic_regularizers(), due, x, y, generated)
        if penalty is not None:
            loss = loss + penalty
            terms |= {"penalty": penalty.detach(), **regularized}
        terms["loss/critic"] = loss.detach()
        return loss, terms, scores

    def generator_objective(
        self, x: Tensor, y: Tensor | None, z: Tensor, due: Sequence[int] | None = None
    ) -> tuple[Tensor, Terms]:
        """The generator's loss on the samples of ``z``.

        With the regularizers of the numbers ``due``, or all. ``x`` are the real samples of the last
        critic update, which ``pairs`` or another objective may use; there are ``generator_batch``
        times as many latents.
        """
        generated = self.generator(z, y)
        if self.pairs:
            shown = x.repeat(len(z) // len(x), *[1] * (x.dim() - 1))
            real, fake = self.compare(shown, generated, y)
            loss = self.generator_loss(fake, real)  # type: ignore[call-arg]
        else:
            loss = self.generator_loss(self.score(generated, y))
        terms = {}
        penalty, regularized = _penalty(self.generator_regularizers(), due, y, z)
        if penalty is not None:
            loss = loss + penalty
            terms = {"penalty/generator": penalty.detach(), **regularized}
        return loss, {**terms, "loss/generator": loss.detach()}

    # The loop.

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LambdaLR]]:
        """The critic's optimiser and the generator's, in this order, and their schedules."""
        optimizers = [
            self.make_optimizer(self.critic, self.critic_lr),
            self.make_optimizer(self.generator, self.generator_lr),
        ]
        schedules = [LambdaLR(o, self._rate) for o in optimizers] if self.decay_steps else []
        return optimizers, schedules

    def _rate(self, update: int) -> float:
        return max(0.0, 1 - update / self.decay_steps)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """``n_critic`` critic updates, each on its share of the batch, and a generator update."""
        if self._iteration is None:
            self._iteration = self._make_iteration()
        update = self.global_step
        self.on_update(update)
        terms = self._iteration(*self._unpack(batch), self._kind(update))
        if self.decay_steps:
            for schedule in self.lr_schedulers():  # type: ignore[union-attr]
                schedule.step()
        every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        if every and self.global_step % every == 0:
            # The next iteration may write over them.
            kept = {n: x.clone() if isinstance(x, Tensor) else x for n, x in terms.items()}
            self.log_scalars(kept)
        self._stop_where_diverged(self._finite.faulty() if self._finite else None)

    def _kind(self, update: int) -> Kind:
        critic_due, generator_due = (
            tuple(i for i, each in enumerate(regularizers) if (update + 1) % each.every == 0)
            for regularizers in (self.critic_regularizers(), self.generator_regularizers())
        )
        return Kind(self.critic_updates(update), critic_due, generator_due, self.level)

    def _iterate(
        self,
        x: Tensor,
        y: Tensor | None,
        kind: Kind,
        objectives: tuple[Objective, Objective],
        update: Update,
    ) -> Terms:
        """All that an iteration computes, which no step waits for."""
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

        with _frozen(self.critic):
            y = None if y is None else y.repeat(self.generator_batch)
            z = self.draw_latents(len(x) * self.generator_batch)
            loss, generator_terms = generator_objective(x, y, z, kind.generator_due)
            update(1, loss)
            losses.append(loss.detach())
        if self.generator_ema is not None:
            update_average(self.generator_ema, self.generator, self.ema_decay)
        if self._finite is not None:
            self._finite.add(losses)
        return critic_terms | generator_terms

    def _make_iteration(self) -> Iteration:
        objectives: tuple[Objective, Objective] = self.critic_objective, self.generator_objective
        if self.compiled:
            cls = type(self)
            objectives = (
                partial(compiled(cls.critic_objective), self),
                partial(compiled(cls.generator_objective), self),
            )
        if self.cuda_graph:
            for optimizer in self._optimizers():
                keep_on_device(optimizer.optimizer, self.device)
        runs = CapturedIteration if self.cuda_graph else Iteration
        return runs(self._iterate, objectives, self._optimizers, self.manual_backward)

    def _optimizers(self) -> tuple[LightningOptimizer, LightningOptimizer]:
        critic_optimizer, generator_optimizer = self.optimizers()  # type: ignore[attr-defined]
        # Lightning counts every step of every optimiser into global_step, and re-installs these
        # hooks before each training_step: the critic's are not to be counted.
        critic_optimizer._on_before_step = critic_optimizer._on_after_step = _do_nothing
        return critic_optimizer, generator_optimizer

    def _stop_where_diverged(self, iteration: int | None) -> None:
        if iteration is None:
            return
        kept = last_checkpoint(self.trainer)
        raise DivergedError(
            f"{type(self).__name__} diverged at update {self._began + iteration + 1:,}: a loss or "
            f"a weight is not finite; the last good checkpoint is {kept or 'none'}"
        )

    @property
    def updates(self) -> int:
        """Generator updates done; outside of ``fit``, those of the checkpoint that was loaded."""
        return max(self.global_step, self._loaded_updates)

    def log_scalars(self, values: Mapping[str, Tensor | float]) -> None:
        """Hand values to callbacks, and to the loggers at the number of updates done.

        In ``fit`` past Lightning's own axis, which counts from 0; elsewhere through it, so that
        ``trainer.validate()`` returns them, with the updates under ``step``.
        """
        if self.trainer.state.fn != TrainerFn.FITTING:
            self.log_dict({**values, "step": float(self.updates)})
            return
        self.log_dict(values, logger=False)
        scalars = {name: float(value) for name, value in values.items()}
        for logger in self.loggers:
            logger.log_metrics(scalars, step=self.updates)
            logger.save()

    def _unpack(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        if not isinstance(batch, list | tuple) or len(batch) != 2:
            raise TypeError(f"a batch must be a pair (x, y), y possibly None; got {type(batch)}")
        x, y = batch
        if x.shape[1:] != self.shape:
            raise ValueError(
                f"the model is built for samples of shape {self.shape}, "
                f"the batch holds {tuple(x.shape[1:])}"
            )
        if len(x) < self.n_critic:
            raise ValueError(
                f"a batch feeds {self.n_critic} critic updates and holds only {len(x)} samples"
            )
        if self.num_classes and y is None:
            raise ValueError(f"the model has {self.num_classes} classes, the batch has no labels")
        if self.channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        return x, y if self.num_classes else None

    # Samples.

    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        """Draw ``n`` samples ``(n, *shape)``, images in [-1, 1], from the averaged generator.

        It is the generator itself where there is no average, in eval mode either way. ``y`` holds
        ``n`` labels; by default a class-conditional model draws them uniformly.
        """
        return self.generate(*self.draw_inputs(n, y))

    def draw_inputs(self, n: int, y: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Latents ``(n, latent_dim)`` and, where there are classes, labels ``(n,)``.

        Raises:
            ValueError: a label is of no class.
        """
        if self.num_classes and y is None:
            y = torch.randint(self.num_classes, (n,), device=self.device)
        elif (
            self.num_classes
            and y is not None
            and not bool(((y >= 0) & (y < self.num_classes)).all())
        ):
            raise ValueError(f"labels must be from 0 to {self.num_classes - 1}, got {y.tolist()}")
        return self.draw_latents(n), y if self.num_classes else None

    @property
    def sampled(self) -> nn.Module:
        """The generator that samples come from: the average, where there is one."""
        return self.generator if self.generator_ema is None else self.generator_ema

    @torch.no_grad()
    def generate(self, z: Tensor, y: Tensor | None) -> Tensor:
        """The samples of latents and labels, as ``sample`` and scores have them."""
        generator = self.sampled
        training = generator.training
        generator.eval()
        try:
            x = generator(z, y)
        finally:
            generator.train(training)
        return x.clamp(-1, 1) if len(self.shape) == 3 else x

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Nothing: callbacks score samples against the batches of the validation loop."""

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Nothing: callbacks score samples against the batches of the test loop."""

    def predict_step(self, batch: int, batch_idx: int) -> Tensor:
        """As many samples as the batch, a number, says."""
        return self.sample(int(batch))

    # Checkpoints: the class to load them with, and every rank's random state.

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what an exact resume needs beyond what Lightning saves.

        Raises:
            DivergedError: there is nothing to go on from.
        """
        self._stop_where_diverged(self._finite.settled() if self._finite else None)
        checkpoint["technique"] = _class_name(type(self))
        checkpoint["gan_lightning"] = {"format": FORMAT, "version": version("gan-lightning")}
        checkpoint["rng_states"] = gather_rng_states()
        if self.cuda_graph:
            as_usual(checkpoint.get("optimizer_states", []), checkpoint.get("lr_schedulers", []))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the random states until training starts, and the number of updates done.

        Of other checkpoints it names only those in a folder of this file system: Lightning deletes
        what they replace.

        Raises:
            WrongFileError: a trainer reads it for a model that it is not of, or for a fit, and it
                holds weights alone or no random state.
        """
        forget_foreign_paths(checkpoint)
        self._rng_states = checkpoint.get("rng_states")
        if self._trainer is not None:
            check_fits(checkpoint, self, _class_name(type(self)))
            if self.trainer.state.fn == TrainerFn.FITTING:
                if not checkpoint.get("optimizer_states"):
                    raise WrongFileError(
                        "the checkpoint holds weights alone: a fit cannot go on from it"
                    )
                with isolate_rng():  # whether it can, before anything is written
                    self._go_on_drawing()
        self._loaded_updates = checkpoint["global_step"]
        if "loops" in checkpoint:
            rewind_to_batch_end(checkpoint["loops"]["fit_loop"])
            self._validated = have_validation_run(checkpoint["loops"]["fit_loop"])

    def setup(self, stage: str) -> None:
        """Let DDP, which would not, accept that each update leaves the other network alone."""
        if stage == "fit":
            # Of a checkpoint that this fit does not resume from.
            self._loaded_updates, self._validated = 0, None
        strategy = self.trainer.strategy
        if isinstance(strategy, DDPStrategy):
            strategy._ddp_kwargs.setdefault("find_unused_parameters", True)

    def on_fit_start(self) -> None:
        """Refuse a precision whose loss scaling two optimisers would share, and a futile graph."""
        if self.trainer.precision in ("16-mixed", "16-true"):
            raise ArgumentError(
                f"precision {self.trainer.precision} is not supported: use bf16-mixed or 32-true"
            )
        if self.cuda_graph:
            check_one_gpu(self.device, self.trainer.world_size)

    def on_train_start(self) -> None:
        """Restore the random state of a checkpoint, or give each rank noise of its own."""
        self._go_on_drawing()
        if self._validated is not None:
            loop = self.trainer.fit_loop.epoch_loop.val_loop
            loop.batch_progress.total.load_state_dict(self._validated)
        self._rng_states = self._validated = None
        for optimizer in self._optimizers():
            lay_out_as_parameters(optimizer.optimizer)
        weights = [*self.critic.parameters(), *self.generator.parameters()]
        self._finite, self._began = FiniteIterations(weights), self.global_step
        self._iteration = None  # of an earlier fit: the first step makes this one's

    def _go_on_drawing(self) -> None:
        rank, world_size = self.trainer.global_rank, self.trainer.world_size
        if self._rng_states is not None and len(self._rng_states) == world_size:
            restore_rng_state(self._rng_states[rank])
        elif world_size > 1:
            torch.manual_seed(torch.initial_seed() + rank)

    def on_fit_end(self) -> None:
        """Tell of the last updates, and free the graph."""
        self._stop_where_diverged(self._finite.settled() if self._finite else None)
        self._iteration = self._finite = None

    def __getstate__(self) -> dict[str, Any]:
        """Lightning's, without a captured graph, which no copy can have."""
        return super().__getstate__() | {"_iteration": None, "_finite": None}


def load(path: str | Path, map_location: str | torch.device = "cpu") -> GAN:
    """The module that a checkpoint holds, of the technique that wrote it.

    A class of one's own must be imported first.

    Raises:
        WrongFileError: the file is not a checkpoint of a known technique.
    """
    checkpoint = read_checkpoint(Path(path))
    name = checkpoint.get("technique")
    for technique in _subclasses(GAN):
        if _class_name(technique) == name:
            # Lightning would drop them.
            if unknown := technique.unknown_arguments(checkpoint.get("hyper_parameters", {})):
                raise WrongFileError(
                    f"{path} does not fit this {technique.__name__}: it has no {', '.join(unknown)}"
                )
            try:
                return technique.load_from_checkpoint(
                    path, map_location=map_location, weights_only=True
                )
            except (TypeError, ValueError, RuntimeError) as error:
                said = " ".join(str(error).split())
                raise WrongFileError(
                    f"{path} does not fit this {technique.__name__}: {said}"
                ) from error
    raise WrongFileError(f"{path} holds {name or 'no technique'}, which is not imported here")


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


def _exactly(scores: Tensor) -> Tensor:
    """In float32 at least."""
    return scores.to(torch.promote_types(scores.dtype, torch.float32))


def _penalty(
    regularizers: Sequence[Regularizer], due: Sequence[int] | None, *args: Any
) -> tuple[Tensor | None, Terms]:
    """The sum of those that are due, each times its ``every``; None where none is."""
    penalty: Tensor | None = None
    terms: Terms = {}
    for i in range(len(regularizers)) if due is None else due:
        value, said = regularizers[i].term(*args)
        if regularizers[i].every > 1:
            value = regularizers[i].every * value
        penalty = value if penalty is None else penalty + value
        terms |= said
    return penalty, terms


def _do_nothing() -> None:
    pass


def _class_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _subclasses(cls: type) -> Iterator[type[GAN]]:
    subclass: type[GAN]
    for subclass in cls.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)
