# %% [markdown]
# # Your first GAN in ten minutes
#
# A GAN is two networks that compete. The **generator** turns random numbers into images. The
# **critic** looks at an image and gives it a score: high for real, low for generated. Each learns
# from the other. In the end the generator's images are hard to tell from real ones.
#
# You will train one on handwritten digits of 8 x 8 pixels. They come with scikit-learn, so nothing
# is downloaded, and one CPU core is enough.

# %%
import csv
import os

from matplotlib.figure import Figure
from PIL import Image
from torchvision.transforms.functional import to_pil_image
from torchvision.utils import make_grid

from gan_lightning import DCGAN, Trainer, load
from gan_lightning.callbacks import Evaluate, run_dir
from gan_lightning.data import Digits

#: Generator updates. More are better, and take longer: 1,500 take less than a minute.
UPDATES = int(os.environ.get("UPDATES", "1500"))


def enlarge(picture, factor=3):
    """A picture whose pixels can be seen."""
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.BOX)


# %% [markdown]
# ## 1. Look at the data
#
# Always look first. The generator can only learn what is here.

# %%
data = Digits(batch_size=16)
images, labels = data.load("train")
print(f"{len(images):,} images of {data.shape}")
enlarge(to_pil_image(make_grid(images[:40], nrow=10, padding=1)))

# %% [markdown]
# ## 2. Make the two networks
#
# `DCGAN` is the classic recipe. The widths are small because the images are. `ema_decay` keeps a
# moving average of the generator's weights: its samples are less noisy than those of the last
# weights alone.

# %%
model = DCGAN(shape=data.shape, generator_width=32, critic_width=32, ema_decay=0.99)
print("latents", model.draw_latents(2).shape, "become images", model.sample(2).shape)

# %% [markdown]
# ## 3. Train
#
# One step of the trainer is one update of the generator, after one of the critic. `Evaluate` scores
# the samples now and then: it compares them with the real digits through a small classifier, and
# the **distance** says how much they differ. Lower is better.

# %%
trainer = Trainer(
    max_steps=UPDATES,
    val_check_interval=UPDATES // 5,
    log_every_n_steps=max(1, UPDATES // 100),
    enable_progress_bar=False,  # leave this line out to see one
    callbacks=[Evaluate()],
)
trainer.fit(model, data)
run = run_dir(trainer)
print(f"{run} has {', '.join(sorted(path.name for path in run.iterdir()))}")

# %% [markdown]
# ## 4. Look at the samples
#
# The folder `grids` has a picture for each evaluation, always from the same latents. These are the
# untrained generator, the middle and the end.

# %%
grids = sorted((run / "grids").glob("*.png"))
first, middle, last = (Image.open(grids[i]) for i in (0, len(grids) // 2, -1))
strip = Image.new("RGB", (3 * first.width + 20, first.height), "white")
for i, grid in enumerate((first, middle, last)):
    strip.paste(grid, (i * (first.width + 10), 0))
strip

# %% [markdown]
# ## 5. Read the losses
#
# `metrics.csv` has everything that was logged. The losses do **not** fall towards 0, as those of a
# classifier would: each network gets better, and so makes the other's task harder. Whether the
# samples get better is what the distance tells.

# %%
with (run / "metrics.csv").open() as file:
    rows = list(csv.DictReader(file))


def column(name):
    """The updates at which a value was logged, and the values."""
    pairs = [(int(row["step"]), float(row[name])) for row in rows if row[name]]
    return zip(*pairs, strict=True)


figure = Figure(figsize=(8, 2.6), layout="constrained")
left, right = figure.subplots(1, 2)
left.plot(*column("loss/critic"), label="critic")
left.plot(*column("loss/generator"), label="generator")
left.set(title="losses", xlabel="updates")
left.legend()
right.semilogy(*column("fd1797_digits_cnn"), "o-")
right.set(title="distance, lower is better", xlabel="updates")
figure.savefig(run / "losses.png", dpi=100)
Image.open(run / "losses.png")

# %%
updates, distances = column("fd1797_digits_cnn")
print(f"distance before training {distances[0]:,.0f}, after {updates[-1]:,} updates ", end="")
print(f"{distances[-1]:,.0f}")

# %% [markdown]
# ## 6. Use it
#
# `load` brings the model back from its checkpoint, ready to draw.

# %%
generator = load(run / "checkpoints" / "last.ckpt")
samples = generator.sample(40)
print(f"samples {tuple(samples.shape)}, from {samples.min():.2f} to {samples.max():.2f}")
enlarge(to_pil_image(make_grid(samples, nrow=10, padding=1, normalize=True, value_range=(-1, 1))))

# %% [markdown]
# ## The same without Python
#
# ```
# gan-lightning fit --config digits/dcgan
# ```
#
# trains the same networks for 12,000 updates, in about two minutes. Its distance is near 6.
#
# ## What goes wrong
#
# - **All samples look alike.** That is mode collapse; the trainer warns of it. See
#   [why GANs fail](../failures.md#mode-collapse).
# - **The critic wins.** Its loss goes to 0 and the samples stay noise. See
#   [no gradient](../failures.md#the-generator-gets-no-gradient).
# - **The samples are grey mush.** Usually it is just too early: train longer.
#
# ## Exercises
#
# 1. Give the critic a learning rate of `critic_lr=2e-2`. What do the losses do, and what the
#    distance?
# 2. Set `ema_decay=0`. Do the samples get sharper or noisier?
# 3. Train with labels: `Digits(batch_size=16, conditional=True)` and
#    `DCGAN(shape=data.shape, num_classes=10, ...)`. What is in the columns of a grid now?
#
# Next: [a technique from its paper](from_a_paper.md).
