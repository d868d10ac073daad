"""The measurements of ``benchmarks.throughput``, one file for each part."""
