"""``python -m benchmarks.figures``."""

from benchmarks.figures.command import main

if __name__ == "__main__":
    main()
