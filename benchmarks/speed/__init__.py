"""What ``benchmarks.throughput`` measures, one file for each part."""
