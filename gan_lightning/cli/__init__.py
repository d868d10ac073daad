"""The command line, ``gan-lightning``."""

from typing import TYPE_CHECKING, Any

from gan_lightning.cli.front import main

if TYPE_CHECKING:
    from gan_lightning.cli.program import GANCLI

__all__ = ["GANCLI", "main"]


def __getattr__(name: str) -> Any:  # noqa: ANN401
    # With it come torch and Lightning.
    if name == "GANCLI":
        from gan_lightning.cli.program import GANCLI

        return GANCLI
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
