"""How a GAN is used once it is trained, or while it trains: the one door to generated samples."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import signature
from typing import TypeVar

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from gan_lightning.networks.statistics import accumulate_statistics
from gan_lightning.utils.checks import at_least
from gan_lightning.utils.errors import ArgumentError

Network = TypeVar("Network", bound=nn.Module)

#: The most times that components of latents are drawn again; at a threshold of 0.01, all of a
#: million normal ones are within after some 1,700.
MAX_DRAWS = 10_000


class Sampling(pl.LightningModule):
    """Samples of a generator in eval mode, from its moving average where there is one."""

    shape: tuple[int, ...]
    num_classes: int
    generator: nn.Module
    generator_ema: nn.Module | None
    draw_latents: Callable[..., Tensor]
    #: The ``truncation`` of samples that a trainer's ``predict`` draws.
    predict_truncation: float | None = None

    @property
    def is_image(self) -> bool:
        """Whether samples are images ``(C, H, W)``."""
        return len(self.shape) == 3

    @property
    def sampled(self) -> nn.Module:
        """The generator that samples come from: the moving average, where there is one."""
        return self.generator if self.generator_ema is None else self.generator_ema

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """The samples ``(N, *shape)`` of latents ``(N, latent_dim)`` and labels ``(N,)``.

        Images are in [-1, 1]. Gradients pass; the generator is in eval mode.
        """
        with in_eval_mode(self.sampled) as generator:
            # Outside of a fit, torch makes float32 whatever the trainer's precision is.
            x = generator(z.to(self.dtype) if z.is_floating_point() else z, y)
        return x.clamp(-1, 1) if self.is_image else x

    @torch.no_grad()
    def generate(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """``forward`` without gradients, in float32 at least: what ``sample`` and scores see."""
        x = self(z, y)
        return x.to(torch.promote_types(x.dtype, torch.float32))

    def sample(
        self,
        n: int | None = None,
        y: Tensor | None = None,
        *,
        z: Tensor | None = None,
        truncation: float | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Draw ``n`` samples ``(n, *shape)``, images in [-1, 1].

        Args:
            n: how many; by default as many as ``z``, or ``y``, has.
            y: ``n`` labels; by default a class-conditional model draws from all classes uniformly.
            z: ``(n, latent_dim)`` latents; by default they are drawn.
            truncation: the smaller, the less varied samples are and, mostly, the better; what it
                is a technique says in ``generate_truncated``.
            generator: a source of random numbers on the module's device, in place of torch's own.

        Raises:
            ValueError: the numbers do not agree, or one is out of its range.
        """
        counts = {len(given) for given in (z, y) if given is not None}
        counts |= set() if n is None else {n}
        if len(counts) != 1:
            raise ValueError(f"n, y and z must give one number of samples, got {sorted(counts)}")
        (count,) = counts
        z, y = self.draw_inputs(count, y, generator=generator, z=z)
        if truncation is None:
            return self.generate(z, y)
        return self.generate_truncated(z, y, truncation, generator)

    def generate_truncated(
        self,
        z: Tensor,
        y: Tensor | None,
        truncation: float,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """``generate`` with the components of ``z`` beyond +-truncation drawn again until within.

        Brock et al. 2019, arXiv:1809.11096, section 3.1.

        Raises:
            ValueError: the truncation is not positive, or none of many drawn components is within.
        """
        return self.generate(self.truncate(z, truncation, generator), y)

    def truncate(
        self, z: Tensor, truncation: float, generator: torch.Generator | None = None
    ) -> Tensor:
        """Latents ``(N, latent_dim)`` with the components beyond +-truncation drawn again.

        Raises:
            ValueError: the truncation is not positive, or none of many drawn components is within.
        """
        if not truncation > 0:
            raise ArgumentError(f"truncation must be positive, got {truncation}")
        for _ in range(MAX_DRAWS):
            beyond = z.abs() > truncation
            if not beyond.any():
                return z
            z = z.where(~beyond, self._draw(len(z), generator))
        raise ArgumentError(f"truncation {truncation} is too small: latents hardly fall within it")

    def standing_statistics(
        self,
        passes: int = 16,
        batch_size: int = 64,
        truncation: float | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        """Fit the batch normalisation of the sampled generator to what is sampled, in place.

        Its statistics become averages over passes of drawn latents, truncated ones if so asked, and
        labels drawn from all classes uniformly. The moving average has averages of statistics, and
        those of latents that are not truncated.

        Brock et al. 2019, arXiv:1809.11096.

        Raises:
            ValueError: a number is out of its range, or there is no batch normalisation.
        """
        at_least(1, passes=passes)
        at_least(2, batch_size=batch_size)
        inputs = []
        for _ in range(passes):
            z, y = self.draw_inputs(batch_size, generator=generator)
            if truncation is not None:
                z = self.truncate(z, truncation, generator)
            inputs.append((z.to(self.dtype), y))
        accumulate_statistics(self.sampled, inputs)

    def draw_inputs(
        self,
        n: int,
        y: Tensor | None = None,
        *,
        z: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Latents ``(n, latent_dim)`` and, where there are classes, labels ``(n,)``.

        Raises:
            ValueError: a label is of no class, or ``draw_latents`` takes no ``generator``.
        """
        if self.num_classes and y is None:
            y = torch.randint(self.num_classes, (n,), device=self.device, generator=generator)
        elif (
            self.num_classes
            and y is not None
            and not bool(((y >= 0) & (y < self.num_classes)).all())
        ):
            raise ValueError(f"labels must be from 0 to {self.num_classes - 1}, got {y.tolist()}")
        if z is None:
            z = self._draw(n, generator)
        return z, y if self.num_classes else None

    def _draw(self, n: int, generator: torch.Generator | None) -> Tensor:
        if generator is None:
            return self.draw_latents(n)
        if "generator" not in signature(self.draw_latents).parameters:
            raise ValueError(f"{type(self).__name__}.draw_latents takes no generator")
        return self.draw_latents(n, generator=generator)

    def predict_step(self, batch: int | tuple[int, Tensor], batch_idx: int) -> Tensor:
        """As many samples as the batch, a number, says; or a number and their labels ``(N,)``."""
        drawn = batch if isinstance(batch, tuple) else (int(batch),)
        if self.predict_truncation is None:
            return self.sample(*drawn)
        return self.sample(*drawn, truncation=self.predict_truncation)


@contextmanager
def in_eval_mode(network: Network) -> Iterator[Network]:
    """The network in eval mode; then its modules are in their own modes again."""
    in_training = [module for module in network.modules() if module.training]
    if in_training:
        network.eval()
    try:
        yield network
    finally:
        for module in in_training:
            module.training = True
