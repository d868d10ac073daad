"""The configs that come with the package, by name: ``--config digits/wgan_gp``.

The standard library alone is imported here.
"""

import re
from pathlib import Path

import gan_lightning
from gan_lightning.utils.shipped import shipped_root


def folder() -> Path:
    """Where the configs are: inside an installed package, and beside the package in a clone."""
    return shipped_root(Path(gan_lightning.__file__).parent) / "configs"


def named_configs() -> dict[str, Path]:
    """The path of each config by its name, such as ``digits/wgan_gp``."""
    root = folder()
    paths = sorted(root.rglob("*.yaml"))
    return {path.relative_to(root).with_suffix("").as_posix(): path for path in paths}


def find_config(name: str) -> Path | None:
    """The config of this name, in any spelling of its words; None if there is none."""
    wanted = _letters(name)
    return next((path for key, path in named_configs().items() if _letters(key) == wanted), None)


def description(path: Path) -> str:
    """The comment that a config begins with, in one line."""
    lines = []
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# "))
    return " ".join(lines)


def _letters(name: str) -> str:
    """The name without its case, its suffix and what divides its words; folders stay."""
    return re.sub(r"[^a-z0-9/]", "", name.lower().removesuffix(".yaml"))
