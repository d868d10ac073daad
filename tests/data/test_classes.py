"""Classes by name and by number, and the folders that stand for them."""

import pytest

from gan_lightning.data.classes import class_folders, class_numbers
from gan_lightning.data.sources import FolderSource

NAMES = ("cats", "dogs", "owls")


@pytest.mark.parametrize(
    ("asked", "numbers"),
    [([2], [2]), (["owls", 0], [2, 0]), (["cats", 0, "dogs"], [0, 1])],
)
def test_a_class_is_asked_for_by_name_or_by_number(asked, numbers):
    assert class_numbers(asked, NAMES) == numbers


def test_a_name_goes_before_a_number():
    assert class_numbers([1, 2, 0], ["1", "2", "7"]) == [0, 1]


@pytest.mark.parametrize("asked", [3, -1, "2.5", True, ""])
def test_a_class_that_does_not_exist_is_refused_with_the_choices(asked):
    said = rf"no class {asked}: choose .* from 0 to 2, or by name from cats, dogs, owls$"
    with pytest.raises(ValueError, match=said):
        class_numbers([asked], NAMES)


def test_a_message_lists_only_some_names():
    with pytest.raises(ValueError, match=r"from class 0, class 1, .*, class 19, \.\.\.$"):
        class_numbers([1000], [f"class {i}" for i in range(1000)])


@pytest.mark.parametrize(
    ("names", "folders"),
    [
        (NAMES, [*NAMES]),
        (["not Smiling", "Smiling"], ["0", "1"]),  # not in order
        ([str(i) for i in range(10)], [*"0123456789"]),
        ([str(i) for i in range(11)], [f"{i:02d}" for i in range(11)]),
        (["cats", "cats"], ["0", "1"]),
        (["", "cats"], ["0", "1"]),
        (["cats", "dogs/wolves"], ["0", "1"]),
        ([".cats", "dogs"], ["0", "1"]),
    ],
)
def test_folders_are_in_the_order_of_the_labels(names, folders, tmp_path):
    assert class_folders(names) == folders
    for i, folder in enumerate(folders):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{i}.png").touch()
    source = FolderSource(tmp_path)
    assert source.classes == folders
    assert source.labels == [*range(len(names))]
