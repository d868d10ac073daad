"""``python -m benchmarks.render``."""

from benchmarks.render.command import main

if __name__ == "__main__":
    main()
