"""Parts of a network that keep float32 where the rest computes in bfloat16."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor


def full_precision(tensor: Tensor) -> AbstractContextManager[None]:
    """Products inside keep the dtypes of their factors, also under autocast.

    Autocast's list of what it computes in a lower precision differs from device to device.

    Args:
        tensor: one on the device that computes.
    """
    if tensor.device.type == "meta":  # which computes nothing
        return nullcontext()
    return torch.autocast(tensor.device.type, enabled=False)


@contextmanager
def without_autocast_cache() -> Iterator[None]:
    """Weights that change inside are cast at each use: autocast would keep the first cast.

    Lightning's precision plugins switch its cache off; other plugins and custom loops do not.
    """
    enabled = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)
    try:
        yield
    finally:
        torch.set_autocast_cache_enabled(enabled)
