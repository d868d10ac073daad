"""Train the runs of a protocol that have no record yet: ``python -m benchmarks.run``."""
