# %% [markdown]
# # A technique from its paper
#
# You read a paper, and want to try its loss. Here that takes fifteen lines, and you get the loop,
# checkpoints, scores and the command line with it. The paper is
# [arXiv:2501.05441](https://arxiv.org/abs/2501.05441), "The GAN is dead; long live the GAN! A
# modern baseline GAN" (Huang, Gokaslan, Kuleshov & Tompkin 2024). Its claim: a loss that compares
# real and generated samples in **pairs**, with two gradient penalties, does without the usual
# tricks.
#
# We look at points in the plane: eight narrow spots on a ring. A plain GAN loses most of them. Each
# spot that it finds can be counted.

# %%
import os

import torch
from PIL import Image
from torch.nn.functional import softplus

from gan_lightning import DCGAN, Regularizer, Trainer
from gan_lightning.callbacks import Evaluate, run_dir
from gan_lightning.data import Ring
from gan_lightning.penalties import squared_gradient_norms

UPDATES = int(os.environ.get("UPDATES", "2000"))

# %% [markdown]
# ## 1. Write the equations down
#
# With scores $D(x)$ of real and $D(G(z))$ of generated samples, and $f(t) = \log(1 + e^{-t})$, the
# critic minimises
#
# $$\mathbb E\,[f(D(x) - D(G(z)))] + \tfrac{\gamma}{2}\,\mathbb E\,\lVert\nabla_x D(x)\rVert^2
# + \tfrac{\gamma}{2}\,\mathbb E\,\lVert\nabla D(G(z))\rVert^2$$
#
# and the generator $\mathbb E\,[f(D(G(z)) - D(x))]$. In words: the critic wants each real score to
# be above the score of its partner, and may not be steep at real or at generated samples. The
# penalties are called R1 and R2.
#
# Each term becomes a method. `pairs = True` gives the generator's loss the real scores too.


# %%
class PairedGAN(DCGAN):
    """Relativistic pairing loss with R1 and R2, arXiv:2501.05441, section 2."""

    pairs = True
    gamma: float = 0.05  # the paper's values are for images; points are small numbers

    def critic_loss(self, real, fake):
        """f(D(x) - D(G(z)))."""
        return softplus(fake - real).mean()

    def generator_loss(self, fake, real):
        """f(D(G(z)) - D(x))."""
        return softplus(real - fake).mean()

    def critic_regularizers(self):
        """R1 and R2."""
        return [Regularizer(self.penalty)]

    def penalty(self, x, y, fake):
        """gamma / 2 times the squared norms of the critic's gradient."""
        r1 = squared_gradient_norms(self.score, x, y).mean()
        r2 = squared_gradient_norms(self.score, fake, y).mean()
        return self.gamma / 2 * (r1 + r2), {"r1": r1, "r2": r2}


# %% [markdown]
# ## 2. Check it on numbers that you know
#
# Do this before you train. A sign that is wrong still trains, badly.

# %%
model = PairedGAN(shape=(2,))
equal = torch.zeros(4)
print(f"equal scores: {model.critic_loss(equal, equal):.4f}, log 2 is 0.6931")
print(f"real far above fake: {model.critic_loss(equal + 10, equal):.4f} for the critic, ", end="")
print(f"{model.generator_loss(equal, equal + 10):.1f} for the generator")

# %% [markdown]
# ## 3. Train it, and the one that it should beat
#
# Everything else is equal: networks, rates, batches, seed, number of updates.

# %%
data = Ring(batch_size=128)
found, pictures = {}, {}
for technique in (DCGAN, PairedGAN):
    torch.manual_seed(0)
    model = technique(shape=data.shape, generator_width=64, critic_width=64)
    trainer = Trainer(
        max_steps=UPDATES,
        val_check_interval=UPDATES // 4,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Evaluate()],
    )
    trainer.fit(model, data)
    scores = trainer.callback_metrics
    found[technique.__name__] = int(scores["modes10k"])
    pictures[technique.__name__] = Image.open(sorted(run_dir(trainer).glob("grids/*.png"))[-1])
    print(
        f"{technique.__name__}: {scores['modes10k']:.0f} of 8 modes, "
        f"distance {scores['swd10k_train']:.3f}"
    )

# %% [markdown]
# DCGAN at the left, the paper's loss at the right. Blue is real, orange generated. A spot counts as
# found with one point close to it: the ring is found, and is not sharp yet.

# %%
left, right = (picture.convert("RGB") for picture in pictures.values())
both = Image.new("RGB", (left.width + right.width, left.height), "white")
both.paste(left, (0, 0))
both.paste(right, (left.width, 0))
both

# %% [markdown]
# ## 4. On the command line
#
# Put the class into a file `paired.py`. Then it is a technique like any other, and each of its
# attributes an option:
#
# ```
# gan-lightning fit --model paired.PairedGAN --data Ring --model.gamma 0.5
# ```
#
# [A custom technique](../custom.md) has all hooks, and how a package offers a technique by name.
#
# ## What goes wrong
#
# - **A forgotten penalty.** Without it the critic becomes a cliff, and the generator jumps between
#   spots.
# - **Batch normalisation in the critic.** It mixes the gradients of samples, so a penalty on each
#   sample's gradient means nothing. Here it is an error; on images, `critic_norm="none"` turns it
#   off.
# - **One seed.** Two runs may differ by luck: [compare fairly](compare_fairly.md).
#
# ## Exercises
#
# 1. Return `0 * r1` as the penalty. How many spots are left? Is it the pairs or the penalties?
# 2. Drop R2. The paper says that R1 alone is not enough. Do you see it here?
# 3. Which `gamma` is too large? What do the points look like then?
