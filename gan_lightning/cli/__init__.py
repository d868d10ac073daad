"""The command line, ``gan-lightning``."""

from gan_lightning.cli.program import GANCLI, main

__all__ = ["GANCLI", "main"]
