"""The techniques of this package and of installed ones, each imported when it is asked for.

This module imports the standard library alone, so that names can be listed at once.
"""

import re
import warnings
from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from functools import cached_property
from importlib import import_module
from importlib.metadata import Distribution, EntryPoint, distributions
from typing import TYPE_CHECKING, NamedTuple

from gan_lightning.utils.errors import BrokenPackageError, one_line

if TYPE_CHECKING:
    from gan_lightning.gan import GAN

#: The group of entry points by which packages offer techniques: ``key = module:Class``.
GROUP = "gan_lightning.techniques"


class Offer(NamedTuple):
    """A technique of another package.

    Args:
        point: its entry point.
        distribution: the name and the version of what was installed.
    """

    point: EntryPoint
    distribution: str

    @property
    def module(self) -> str:
        """The module that the entry point names."""
        return self._parts[0]

    @property
    def class_name(self) -> str:
        """The class that the entry point names; "" where it names none."""
        return self._parts[1]

    @property
    def _parts(self) -> tuple[str, str]:
        # EntryPoint's own attributes raise where the value has another form.
        module, _, name = self.point.value.partition("[")[0].partition(":")
        return module.strip(), name.strip()

    def load(self) -> "type[GAN]":
        """The class.

        Raises:
            BrokenPackageError: it cannot be imported, or is not a technique.
        """
        from gan_lightning.gan import GAN

        what = f"the technique {self.point.name} of {self.distribution} cannot be used"
        try:
            technique = self.point.load()
        except (Exception, SystemExit) as error:
            raise BrokenPackageError(f"{what}: {type(error).__name__}: {error}") from error
        if not (isinstance(technique, type) and issubclass(technique, GAN)):
            raise BrokenPackageError(f"{what}: {self.point.value} is not a subclass of GAN")
        return technique


class Techniques(Mapping[str, "type[GAN]"]):
    """The class of each technique by its key.

    The techniques of this package come first, in their order, then those that installed packages
    offer, sorted by key. ``items`` and ``values`` leave out, with a warning, those that cannot be
    used; ``[key]`` raises BrokenPackageError for them.

    Args:
        own: the class names of this package's techniques; the keys are their modules.
    """

    def __init__(self, own: Mapping[str, str]) -> None:
        self.own = own

    @cached_property
    def offers(self) -> dict[str, Offer]:
        """The techniques of other packages, by key; none of them is imported.

        A key that is taken is left out with a warning, and so is what cannot be read.
        """
        found: dict[str, Offer] = {}
        for offer in sorted(_offers(), key=lambda each: (each.point.name, each.distribution)):
            key = offer.point.name
            if key in self.own:
                owner = "this package"
            elif key in found:
                owner = found[key].distribution
            else:
                found[key] = offer
                continue
            _warn(
                f"the technique {key} of {offer.distribution} is ignored: {owner} has a technique "
                "of that key"
            )
        return found

    def __getitem__(self, key: str) -> "type[GAN]":
        if key in self.own:
            technique: type[GAN] = getattr(import_module(f"{__package__}.{key}"), self.own[key])
            return technique
        return self.offers[key].load()

    def __iter__(self) -> Iterator[str]:
        yield from self.own
        yield from self.offers

    def __len__(self) -> int:
        return len(self.own) + len(self.offers)

    def __contains__(self, key: object) -> bool:
        return key in self.own or key in self.offers

    def find(self, name: str) -> str | None:
        """The key of the technique of this key or class, in any spelling of its words.

        ``wgan_gp``, ``WGANGP``, ``wgan-gp`` and ``WGAN-GP`` are all the same. None if there is
        none, or if several have it.
        """
        if name in self:
            return name
        offered = {key: offer.class_name for key, offer in self.offers.items()}
        classes = {**self.own, **offered}
        for found in (
            [key for key, class_name in classes.items() if class_name == name],
            [key for key in classes if _letters(name) in (_letters(key), _letters(classes[key]))],
        ):
            if found:
                return found[0] if len(found) == 1 else None
        return None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self)})"

    def items(self) -> "ItemsView[str, type[GAN]]":
        """The pairs of key and class; what cannot be used is left out, with a warning."""
        return self._usable().items()

    def values(self) -> "ValuesView[type[GAN]]":
        """The classes; what cannot be used is left out, with a warning."""
        return self._usable().values()

    def _usable(self) -> "dict[str, type[GAN]]":
        usable = {}
        for key in self:
            try:
                usable[key] = self[key]
            except BrokenPackageError as error:
                _warn(str(error))
        return usable

    def import_own(self) -> None:
        """Import the techniques of this package, so that they are found among GAN's subclasses."""
        for key in self.own:
            self[key]

    def import_class(self, name: str) -> None:
        """Import the techniques whose class has this name or import path, if there are any.

        A name that this package has means its own class. A path need not be the one that an entry
        point gives: a package may have several of a class.

        Raises:
            BrokenPackageError: one of another package cannot be used.
        """
        self.import_own()
        package, dot, _ = name.partition(".")
        class_name = name.rpartition(".")[2]
        if not class_name or (not dot and class_name in self.own.values()):
            return
        errors, found = [], False
        for offer in self.offers.values():
            same_package = not dot or package == offer.module.partition(".")[0]
            if class_name == offer.class_name and same_package:
                try:
                    offer.load()
                    found = True
                except BrokenPackageError as error:
                    errors.append(error)
        if errors and not found:
            raise errors[0]


def _letters(name: str) -> str:
    """The name without its case and what divides its words."""
    return re.sub(r"[\s._-]", "", name.casefold())


def _offers() -> Iterator[Offer]:
    """What installed distributions offer, each distribution once."""
    seen = set()
    for distribution in distributions():
        # Few have the group, and reading all metadata would take long.
        if GROUP not in (distribution.read_text("entry_points.txt") or ""):
            continue
        name = _named(distribution)
        if name in seen:
            continue
        seen.add(name)
        try:
            points = distribution.entry_points.select(group=GROUP)
        except Exception as error:
            # One malformed file must not hide what the others offer.
            _warn(f"the entry points of {name} cannot be read: {error}")
            continue
        yield from (Offer(point, name) for point in points)


def _named(distribution: Distribution) -> str:
    """The name and the version of a distribution, or where it is."""
    metadata = distribution.metadata
    if name := metadata["Name"]:
        return f"{name} {metadata['Version']}"
    return f"a distribution in {distribution.locate_file('')}"


def _warn(message: str) -> None:
    # Shown as a warning of this package's, whoever asked first.
    warnings.warn(one_line(message), stacklevel=1)
