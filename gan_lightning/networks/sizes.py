"""The sizes of feature maps, chosen so that every family takes every size from 8 to 256."""

#: From this size on, residual networks are the papers' networks for larger images.
LARGE = 64
#: The largest size that the families are tested at.
MAX_SIZE = 256


def halvings(size: int, smallest: int, at_least: int = 0) -> list[int]:
    """``size`` and its halves, rounded up, down to the first below ``2 * smallest``.

    There are ``at_least`` halvings, whatever the size: ``halvings(32, 4) == [32, 16, 8, 4]``,
    ``halvings(28, 4) == [28, 14, 7]``, ``halvings(8, 4, at_least=2) == [8, 4, 2]``.
    """
    sizes = [size]
    while sizes[-1] >= 2 * smallest or len(sizes) <= at_least:
        sizes.append((sizes[-1] + 1) // 2)
    return sizes
