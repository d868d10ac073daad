"""A bare loop over a technique's own iteration, without a trainer's folders and logs."""

from torch import Tensor
from torch.optim import Optimizer

from gan_lightning import GAN
from gan_lightning.gan import Terms
from gan_lightning.training.iteration import set_rate


class Loop:
    """Trains a technique: each call is one generator update, with its critic updates before it."""

    def __init__(self, model: GAN) -> None:
        self.model = model
        self.updates = 0
        self._optimizers: dict[int, Optimizer] = {}

    def __call__(self, x: Tensor, y: Tensor | None = None) -> Terms:
        """An update on real samples ``(n_critic * batch_size, ...)``; returns what it would log.

        ``y`` are their labels, for a class-conditional model.
        """
        model = self.model
        objectives = model.critic_objective, model.generator_objective
        kind = model.begin_update(self.updates, self._optimizers.values())
        self.updates += 1
        model.images += len(x)
        return model.iterate(x, y, kind, objectives, self._update)

    def train_critic(self, x: Tensor, z: Tensor, rate: float = 1.0) -> Terms:
        """One update of the critic alone, on real samples and those of latents ``z``.

        ``rate`` is a factor of its learning rate.
        """
        loss, terms, scores = self.model.critic_objective(x, None, z)
        for group in self._optimizer(0).param_groups:
            set_rate(group, rate * self.model.critic_lr)
        self._update(0, loss)
        self.model.after_critic_step(*scores)
        return terms

    def _update(self, which: int, loss: Tensor) -> None:
        optimizer = self._optimizer(which)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def _optimizer(self, which: int) -> Optimizer:
        """The critic's, 0, or the generator's, 1; a fixed generator needs none."""
        if which not in self._optimizers:
            model = self.model
            network = model.generator if which else model.critic
            lr = model.generator_lr if which else model.critic_lr
            self._optimizers[which] = model.make_optimizer(network, lr)
        return self._optimizers[which]
