"""The papers' figures, made with our techniques: ``python -m benchmarks.figures``."""
