# %% [markdown]
# # Compare fairly
#
# "Mine is better" is easy to show, and easy to fool yourself with. Here two techniques are compared
# in the way of [the benchmark](../benchmark.md), in small. The rules:
#
# 1. **The same** networks, batches, data and number of real images. Not the same number of updates:
#    WGAN-GP makes five critic updates for each of the generator's, and sees five times the images.
# 2. **Several seeds.** One run says little.
# 3. **The last checkpoint**, not the best: you would not know the best without having its score.
# 4. **Each at its own rates**, those of its paper, or tuned with equal effort.

# %%
import csv
import os
from statistics import mean, stdev

from matplotlib.figure import Figure
from PIL import Image
from pytorch_lightning import seed_everything

from gan_lightning import DCGAN, WGANGP, Trainer
from gan_lightning.callbacks import Evaluate, run_dir
from gan_lightning.data import Ring

#: Real points that each critic sees.
BUDGET = int(os.environ.get("BUDGET", "192000"))
SEEDS = [int(seed) for seed in os.environ.get("SEEDS", "0,1,2").split(",")]
BATCH, LOOKS = 128, 6

# %% [markdown]
# ## 1. One run
#
# The score is the sliced Wasserstein distance from 10,000 generated points to the real ones.


# %%
def train(technique, seed, **options):
    """The distance over the real points seen."""
    seed_everything(seed, verbose=False)
    model = technique(shape=(2,), generator_width=64, critic_width=64, **options)
    updates = BUDGET // (BATCH * model.n_critic)
    trainer = Trainer(
        max_steps=updates,
        val_check_interval=max(1, updates // LOOKS),
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Evaluate()],
    )
    trainer.fit(model, Ring(batch_size=BATCH))
    with (run_dir(trainer) / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["swd10k_train"]]
    images = BATCH * model.n_critic
    return [(int(row["step"]) * images, float(row["swd10k_train"])) for row in rows]


# %% [markdown]
# ## 2. All runs
#
# WGAN-GP's weight 0.1 is the one for points in the plane; its paper's 10 is for images.

# %%
curves = {
    "DCGAN": [train(DCGAN, seed) for seed in SEEDS],
    "WGAN-GP": [train(WGANGP, seed, penalty_weight=0.1) for seed in SEEDS],
}
for name, runs in curves.items():
    print(f"{name:8} saw {runs[0][-1][0]:,} points")

# %% [markdown]
# ## 3. A table with the spread
#
# The number after ± is the standard deviation over seeds. If two means are closer than that, the
# honest word is "no difference seen".

# %%
last = {name: [run[-1][1] for run in runs] for name, runs in curves.items()}
print("technique  last distance     seeds")
for name, distances in sorted(last.items(), key=lambda item: mean(item[1])):
    spread = stdev(distances) if len(distances) > 1 else float("nan")
    print(f"{name:10} {mean(distances):.3f} ± {spread:.3f}     {len(distances)}")

# %% [markdown]
# ## 4. The curves
#
# Always draw them. A table of last values hides a run that was good and got worse.

# %%
figure = Figure(figsize=(6.5, 2.8), layout="constrained")
axes = figure.subplots()
for (name, runs), color in zip(curves.items(), ("#d55e00", "#0072b2"), strict=True):
    for i, run in enumerate(runs):
        axes.semilogy(*zip(*run, strict=True), ".-", color=color, label=None if i else name)
axes.set(xlabel="real points seen", ylabel="distance")
axes.legend()
figure.savefig("curves.png", dpi=100)
Image.open("curves.png")

# %% [markdown]
# ## In earnest
#
# ```
# python -m benchmarks.run --protocol digits --techniques dcgan wgan_gp --results runs/compare
# python -m benchmarks.render --results runs/compare --output runs/compare
# ```
#
# does this on digits, resumes what was interrupted, writes a record for each run with its commit,
# versions and processor, and makes the table. [The benchmark](../benchmark.md) tells how your own
# technique gets a row.
#
# ## What goes wrong
#
# - **Tuning yours and not the other.** The most common unfairness, and nobody notices.
# - **Another score.** FID of 5,000 samples is higher than FID of 50,000. The names of our scores
#   say how many.
# - **The best of ten seeds.** Report all of them.
# - **Time instead of images**, on machines that do other work too.
#
# ## Exercises
#
# 1. Compare at equal generator updates instead. Who wins now? Who paid for it?
# 2. Take one seed only. How often would you have drawn the opposite conclusion?
# 3. Add LSGAN. Is it beyond the seeds of DCGAN?
