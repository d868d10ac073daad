"""Augmentation between samples and critic, real and generated alike, with gradients through it."""

from collections.abc import Callable

from torch import nn

from gan_lightning.augment.ada import ADA
from gan_lightning.augment.diffaugment import OPERATIONS, DiffAugment, color, cutout, translation
from gan_lightning.utils.errors import ArgumentError
from gan_lightning.utils.suggestions import no_such

__all__ = [
    "ADA",
    "OPERATIONS",
    "POLICIES",
    "DiffAugment",
    "color",
    "cutout",
    "make_augment",
    "translation",
]

#: Policies by name, which stand alone; operations of ``DiffAugment`` are joined by commas.
POLICIES: dict[str, Callable[[], nn.Module | None]] = {
    "none": lambda: None,  # images as they are
    "diffaugment": lambda: DiffAugment(tuple(OPERATIONS)),  # all three operations, always
    "ada": ADA,  # mirrored, turned, shifted, recoloured; as often as the critic needs it
}


def make_augment(policy: str) -> nn.Module | None:
    """The augmentation of a name in ``POLICIES``, or of operations joined by commas.

    None for ``none``.

    Raises:
        ArgumentError: there is no such policy or operation.
    """
    if policy in POLICIES:
        return POLICIES[policy]()
    operations = tuple(part.strip() for part in policy.split(","))
    for name in operations:
        if name not in OPERATIONS:
            raise ArgumentError(no_such("augmentation", name, [*OPERATIONS, *POLICIES]))
    return DiffAugment(operations)
