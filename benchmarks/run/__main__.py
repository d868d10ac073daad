"""``python -m benchmarks.run``."""

from benchmarks.run.command import main

if __name__ == "__main__":
    main()
