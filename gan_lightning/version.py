"""The version of the package, known also where it is not installed."""

__version__ = "0.1.0"
