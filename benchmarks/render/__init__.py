"""Tables and pages from the records: ``python -m benchmarks.render``."""
