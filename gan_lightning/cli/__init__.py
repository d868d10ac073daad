"""The command line, ``gan-lightning``."""

from gan_lightning.cli.program import main

__all__ = ["main"]
