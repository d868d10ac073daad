"""The base of every technique: one loop that alternates critic and generator updates."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, get_args

import pytorch_lightning as pl
import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
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
from gan_lightning.networks import FAMILIES, MLP, Norm
from gan_lightning.speed import (
    CapturedIteration,
    Objective,
    as_usual,
    check_one_gpu,
    compiled,
    keep_on_device,
    lay_out_as_parameters,
)

Terms = dict[str, Tensor]
Batch = tuple[Tensor, Tensor | None]
#: Makes the critic's update, 0, or the generator's, 1, with a loss.
Update = Callable[[int, Tensor], None]

#: One of 256, for images in [-1, 1].
GREY_LEVEL = 2 / 255


class GAN(pl.LightningModule, ABC):
    """A critic ``(x, y) -> (N,)`` and a generator ``(z, y) -> x``, trained in turn.

    Samples ``x`` are images ``(N, C, H, W)`` in [-1, 1] or vectors ``(N, D)``; labels ``y`` are
    int64 ``(N,)``, or None where ``num_classes`` is 0; latents ``z`` are ``(N, latent_dim)``.

    One ``training_step`` is one generator update, with its ``n_critic`` critic updates before it,
    on a batch ``(x, y)`` of ``n_critic`` times as many samples as one update takes. So
    ``max_steps``, ``global_step``, the loggers' axis and a checkpoint's step count generator
    updates.

    A technique is a subclass with its two losses and its paper's hyperparameters as defaults;
    ``penalty``, ``watch``, ``after_critic_step``, ``critic_updates``, ``draw_latents``,
    ``make_optimizer`` and ``build_networks`` are there for those that need them.

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

    #: Arguments that a subclass does not take but passes on itself: a checkpoint leaves them out.
    fixed: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        shape: Sequence[int],
        num_classes: int = 0,
        *,
        latent_dim: int,
        n_critic: int,
        critic_lr: float,
        generator_lr: float,
        betas: Sequence[float] = (0.9, 0.999),
        network: str = "dcgan",
        generator_width: int | None = None,
        critic_width: int | None = None,
        critic_norm: Norm = "none",
        generator_batch: int = 1,
        dequantize: bool = False,
        ema_decay: float = 0.0,
        decay_steps: int = 0,
        channels_last: bool = False,
        compile: bool = False,
        cuda_graph: bool = False,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=list(self.fixed))
        self.automatic_optimization = False
        self.shape = checked_shape(shape)
        self.num_classes = at_least(0, num_classes=num_classes)
        self.latent_dim = at_least(1, latent_dim=latent_dim)
        self.n_critic = at_least(1, n_critic=n_critic)
        self.critic_lr = at_least(0.0, critic_lr=critic_lr)
        self.generator_lr = at_least(0.0, generator_lr=generator_lr)
        if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas must be two numbers in [0, 1), got {betas}")
        self.betas = (betas[0], betas[1])
        family = one_of(FAMILIES, network=network)
        self.family = FAMILIES[family] if len(self.shape) == 3 else MLP
        published = self.family.widths_at(self.shape[-1])
        generator_width = published[0] if generator_width is None else generator_width
        critic_width = published[1] if critic_width is None else critic_width
        self.generator_width = at_least(1, generator_width=generator_width)
        self.critic_width = at_least(1, critic_width=critic_width)
        self.critic_norm: Norm = one_of(get_args(Norm), critic_norm=critic_norm)
        self.generator_batch = at_least(1, generator_batch=generator_batch)
        self.dequantize = dequantize and len(self.shape) == 3
        if not 0 <= ema_decay < 1:
            raise ValueError(f"ema_decay must be in [0, 1), got {ema_decay}")
        self.ema_decay = ema_decay
        self.decay_steps = at_least(0, decay_steps=decay_steps)
        self.channels_last = channels_last and len(self.shape) == 3
        self.compiled = compile
        self.cuda_graph = cuda_graph

        self.generator, self.critic = self.build_networks()
        if self.channels_last:
            self.to(memory_format=torch.channels_last)
        self._has_batch_statistics = any(isinstance(m, _BatchNorm) for m in self.critic.modules())
        self.generator_ema: nn.Module | None = None
        if ema_decay:
            self.generator_ema = copy.deepcopy(self.generator).requires_grad_(False)
        self._captured: CapturedIteration | None = None
        self._finite: FiniteIterations | None = None
        self._began = 0
        self._rng_states: list[RNGState] | None = None
        self._validated: dict[str, int] | None = None
        self._loaded_updates = 0

    # What a technique says.

    @abstractmethod
    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """The critic's loss, a scalar, of its numbers ``(N,)`` on real and generated samples."""

    @abstractmethod
    def generator_loss(self, fake: Tensor) -> Tensor:
        """The generator's loss, a scalar, of the critic's numbers ``(N,)`` on its samples."""

    def penalty(self, x: Tensor, y: Tensor | None, fake: Tensor) -> tuple[Tensor, Terms] | None:
        """What the critic's loss gets on top, weighted, and what to log of it; None for nothing."""
        return None

    def watch(self, real: Tensor, fake: Tensor) -> Terms:
        """What the paper says one can watch, of the critic's numbers ``(N,)``; scalars to log."""
        return {}

    def critic_updates(self, update: int) -> int:
        """How many critic updates, 1 at least, go before generator update ``update``, from 0."""
        return self.n_critic

    def build_networks(self) -> tuple[nn.Module, nn.Module]:
        """The generator and the critic for ``self.shape``, initialised."""
        return (
            self.family.make_generator(
                self.shape, self.latent_dim, self.num_classes, self.generator_width
            ),
            self.family.make_critic(
                self.shape, self.num_classes, self.critic_width, self.critic_norm
            ),
        )

    def after_critic_step(self, real: Tensor, fake: Tensor) -> None:
        """Called after each critic update, with the mean scores (scalars) that led to it."""

    def draw_latents(self, n: int) -> Tensor:
        """``(n, latent_dim)`` latents, standard normal."""
        return torch.randn(n, self.latent_dim, device=self.device)

    def make_optimizer(self, parameters: Iterator[nn.Parameter], lr: float) -> Optimizer:
        """The optimiser of one network: Adam with ``self.betas``."""
        return torch.optim.Adam(parameters, lr=lr, betas=self.betas, fused=True)

    # The two objectives: tensors in, a scalar to minimise and the terms to log out.

    def critic_objective(self, x: Tensor, y: Tensor | None, z: Tensor) -> tuple[Tensor, Terms]:
        """The critic's loss with its penalty, on real ``x`` and on the samples of ``z``."""
        with torch.no_grad():
            generated = self.generator(z, y)
        real, fake = self.criticise(x, generated, y)
        loss = self.critic_loss(real, fake)
        terms = {"score/real": real.detach().mean(), "score/fake": fake.detach().mean()}
        terms |= self.watch(real.detach(), fake.detach())
        penalty = self.penalty(x, y, generated)
        if penalty is not None:
            loss = loss + penalty[0]
            terms |= {"penalty": penalty[0].detach(), **penalty[1]}
        terms["loss/critic"] = loss.detach()
        return loss, terms

    def criticise(self, x: Tensor, generated: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        """The critic's numbers ``(N,)`` on real and on generated samples, in float32 at least.

        In one pass, which costs half as many kernels; in two where the critic has batch
        normalisation, whose statistics are not to mix the two.
        """
        if self._has_batch_statistics:
            return _exactly(self.critic(x, y)), _exactly(self.critic(generated, y))
        both = torch.cat([x, generated.to(x.dtype)])
        numbers = _exactly(self.critic(both, None if y is None else torch.cat([y, y])))
        return numbers[: len(x)], numbers[len(x) :]

    def generator_objective(self, y: Tensor | None, z: Tensor) -> tuple[Tensor, Terms]:
        """The generator's loss on the samples of ``z``."""
        loss = self.generator_loss(_exactly(self.critic(self.generator(z, y), y)))
        return loss, {"loss/generator": loss.detach()}

    # The loop.

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LambdaLR]]:
        """The critic's optimiser and the generator's, in this order, and their schedules."""
        optimizers = [
            self.make_optimizer(self.critic.parameters(), self.critic_lr),
            self.make_optimizer(self.generator.parameters(), self.generator_lr),
        ]
        schedules = [LambdaLR(o, self._rate) for o in optimizers] if self.decay_steps else []
        return optimizers, schedules

    def _rate(self, update: int) -> float:
        return max(0.0, 1 - update / self.decay_steps)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """``n_critic`` critic updates, each on its share of the batch, and a generator update."""
        x, y = self._unpack(batch)
        optimizers, critic_updates = self._optimizers(), self.critic_updates(self.global_step)
        if self._captured is not None and critic_updates == self.n_critic:
            # The next iteration writes over its terms.
            terms = self._captured(x, y)
            optimizers[1]._on_before_step()
            optimizers[1]._on_after_step()
        else:
            # Of a longer phase there are few.
            terms = self._iterate(x, y, critic_updates, partial(self._update, optimizers))
        if self.decay_steps:
            for schedule in self.lr_schedulers():  # type: ignore[union-attr]
                schedule.step()
        every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        if every and self.global_step % every == 0:
            if self._captured is not None:
                terms = {name: torch.as_tensor(value).clone() for name, value in terms.items()}
            self.log_scalars(terms)
        self._stop_where_diverged(self._finite.faulty() if self._finite else None)

    def _iterate(self, x: Tensor, y: Tensor | None, critic_updates: int, update: Update) -> Terms:
        """All that an iteration computes, which no step waits for."""
        critic_objective, generator_objective = self._objectives()
        losses = []
        parts = torch.tensor_split(x, self.n_critic)
        labels = (None,) * self.n_critic if y is None else torch.tensor_split(y, self.n_critic)
        for i in range(critic_updates):
            # A longer phase goes through the batch again, with new noise.
            part, part_labels = parts[i % self.n_critic], labels[i % self.n_critic]
            if self.dequantize:
                # Of a shape alone: in each order of memory the noise is the same.
                noise = torch.rand(part.shape, dtype=part.dtype, device=part.device)
                part = part + (noise - 0.5) * GREY_LEVEL
            z = self.draw_latents(len(part))
            loss, critic_terms = critic_objective(part, part_labels, z)
            update(0, loss)
            losses.append(loss.detach())
            self.after_critic_step(critic_terms["score/real"], critic_terms["score/fake"])

        with _frozen(self.critic):
            y = labels[-1]
            y = None if y is None else y.repeat(self.generator_batch)
            z = self.draw_latents(len(parts[-1]) * self.generator_batch)
            loss, generator_terms = generator_objective(y, z)
            update(1, loss)
            losses.append(loss.detach())
        if self.generator_ema is not None:
            update_average(self.generator_ema, self.generator, self.ema_decay)
        if self._finite is not None:
            self._finite.add(losses)
        return critic_terms | generator_terms

    def _objectives(self) -> tuple[Objective, Objective]:
        if not self.compiled:
            return self.critic_objective, self.generator_objective
        cls = type(self)
        return (
            partial(compiled(cls.critic_objective), self),
            partial(compiled(cls.generator_objective), self),
        )

    def _optimizers(self) -> tuple[LightningOptimizer, LightningOptimizer]:
        critic_optimizer, generator_optimizer = self.optimizers()  # type: ignore[attr-defined]
        # Lightning counts every step of every optimiser into global_step, and re-installs these
        # hooks before each training_step: the critic's are not to be counted.
        critic_optimizer._on_before_step = critic_optimizer._on_after_step = _do_nothing
        return critic_optimizer, generator_optimizer

    def _update(self, optimizers: Sequence[LightningOptimizer], which: int, loss: Tensor) -> None:
        optimizers[which].zero_grad()
        self.manual_backward(loss)
        optimizers[which].step()

    def _capture(self) -> CapturedIteration:
        """The usual iteration, captured; past Lightning, whose part in it is the host's."""
        optimizers = [optimizer.optimizer for optimizer in self._optimizers()]
        for optimizer in optimizers:
            keep_on_device(optimizer, self.device)

        def update(which: int, loss: Tensor) -> None:
            optimizers[which].zero_grad()
            loss.backward()
            optimizers[which].step()

        return CapturedIteration(lambda x, y: self._iterate(x, y, self.n_critic, update))

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
            self._loaded_updates = 0  # of a checkpoint that this fit does not go on from
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
        self._captured = self._capture() if self.cuda_graph else None

    def _go_on_drawing(self) -> None:
        rank, world_size = self.trainer.global_rank, self.trainer.world_size
        if self._rng_states is not None and len(self._rng_states) == world_size:
            restore_rng_state(self._rng_states[rank])
        elif world_size > 1:
            torch.manual_seed(torch.initial_seed() + rank)

    def on_fit_end(self) -> None:
        """Tell of the last updates, and free the graph."""
        self._stop_where_diverged(self._finite.settled() if self._finite else None)
        self._captured = self._finite = None

    def __getstate__(self) -> dict[str, Any]:
        """Lightning's, without the graph, which no copy can have."""
        return super().__getstate__() | {"_captured": None, "_finite": None}


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


def _exactly(numbers: Tensor) -> Tensor:
    """In float32 at least."""
    return numbers.to(torch.promote_types(numbers.dtype, torch.float32))


def _do_nothing() -> None:
    pass


def _class_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _subclasses(cls: type) -> Iterator[type[GAN]]:
    subclass: type[GAN]
    for subclass in cls.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)
