# %% [markdown]
# # Your own images
#
# Put images into a folder, and train on it. Any format that Pillow reads will do, at any size: they
# are cropped to squares and scaled. A thousand images are few, ten thousand are good.

# %%
import os
import random
from pathlib import Path

from PIL import Image, ImageDraw
from torchvision.transforms.functional import to_pil_image
from torchvision.utils import make_grid

from gan_lightning import DCGAN, Trainer
from gan_lightning.callbacks import Evaluate
from gan_lightning.data import ImageFolder
from gan_lightning.metrics.diversity import nearest_distance

#: The folder of your images.
FOLDER = Path(os.environ.get("PICTURES", "pictures"))
UPDATES = int(os.environ.get("UPDATES", "600"))

# %% [markdown]
# ## 1. A folder
#
# If you have none yet, this draws one: coloured circles, squares and triangles.


# %%
def draw_shapes(folder, count=600, size=32):
    """Write pictures of one shape each."""
    folder.mkdir(parents=True)
    chance = random.Random(0)
    for i in range(count):
        picture = Image.new("RGB", (size, size), "white")
        x, y, r = chance.uniform(12, 20), chance.uniform(12, 20), chance.uniform(7, 11)
        box, color = (x - r, y - r, x + r, y + r), chance.choice(("#d55e00", "#0072b2", "#009e73"))
        pen = ImageDraw.Draw(picture)
        match chance.choice(("circle", "square", "triangle")):
            case "circle":
                pen.ellipse(box, fill=color)
            case "square":
                pen.rectangle(box, fill=color)
            case "triangle":
                pen.regular_polygon((x, y, r), 3, fill=color)
        picture.save(folder / f"{i:04}.png")


if not FOLDER.exists():
    draw_shapes(FOLDER)
print(f"{len(list(FOLDER.rglob('*.*'))):,} files in {FOLDER.name}")

# %% [markdown]
# ## 2. See what the network will see
#
# Do not skip this. Images that are cropped in the wrong place, or come out stretched, are found
# here and not after a night of training. Here `size=16`: few pixels, so that a CPU is enough. The
# images are read once, and kept small in a cache.

# %%
data = ImageFolder(FOLDER, size=16, batch_size=32, flip=True)
real, _ = data.load("train")
print(f"{len(real):,} images of {data.shape}")


def picture_of(images, factor=3):
    """Forty images in four rows."""
    grid = to_pil_image(make_grid(images[:40], nrow=10, padding=1, pad_value=255))
    size = grid.width * factor, grid.height * factor
    return grid.resize(size, Image.Resampling.BOX)


picture_of(real)

# %% [markdown]
# ## 3. Train
#
# Widths grow with the images: 64 and more for 64 x 64 pixels. Scores on photographs need
# Inception's weights, which are downloaded once. These drawings have little to do with photographs,
# so there is no score here: `extractor="none"`. The trainer still watches the **diversity** of the
# samples.

# %%
model = DCGAN(shape=data.shape, generator_width=32, critic_width=32, ema_decay=0.99)
trainer = Trainer(
    max_steps=UPDATES,
    val_check_interval=UPDATES // 3,
    enable_progress_bar=False,
    enable_model_summary=False,
    callbacks=[Evaluate(extractor="none")],
)
trainer.fit(model, data)

# %% [markdown]
# ## 4. Look
#
# Compare with the real ones above. Are all colours there? All shapes? Are edges straight? After 600
# updates expect spots of the right colours and little more.

# %%
samples = model.sample(200)
picture_of(samples.add(1).mul(127.5).round().byte())

# %% [markdown]
# Diversity is the mean distance from each image to its nearest neighbour. If that of the samples is
# below half of that of real ones, the generator has collapsed to a few images.

# %%
share = nearest_distance(samples) / nearest_distance(real[:200].float() / 127.5 - 1)
print(f"the samples have {share:.0%} of the diversity of real images")

# %% [markdown]
# ## The same without Python
#
# ```
# gan-lightning fit --config image_folder/dcgan --data.data_dir pictures
# ```
#
# The config is for 64 x 64 pixels and 100,000 updates: a GPU's work. With
# `--data.size 16 --model.generator_width 32 --model.critic_width 32 --trainer.max_steps 600` it is
# the run above. With `--data.conditional true` the first sub-folders are classes.
# [Data](../data.md) has the details.
#
# ## What goes wrong
#
# - **Few images.** Below a few hundred the critic learns them by heart, and the samples become
#   copies or noise. `flip=True` doubles them, if left and right do not matter.
# - **Mixed images.** Faces, maps and screenshots in one folder are several tasks. Sort them.
# - **One odd file.** Files that cannot be read are left out, and a message says which.
#
# ## Exercises
#
# 1. Train on three folders, one for each shape, with `conditional=True`. Are the edges better?
# 2. Leave 30 images in the folder. What do the samples look like after 600 updates? Find the real
#    image that is nearest to each.
# 3. Try `SNGAN` in place of `DCGAN`, with `network="dcgan"`. What changes?
