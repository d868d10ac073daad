"""Sources: which files they contain, in which order, and what happens if one is unreadable."""

import os
import pickle
import shutil
import time
import zipfile

import pytest
import torch
from formats import encoded, picture
from PIL import Image

from gan_lightning.data import sources
from gan_lightning.data.pixels import UnreadableImageError
from gan_lightning.data.sources import FolderSource, Selection, ZipSource
from gan_lightning.utils.errors import MissingFileError, SourceChangedError, WrongFileError

PNG = encoded(picture(8, 8), "PNG")


def write(folder, *names, content=PNG):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def zipped(folder, archive, **options):
    with zipfile.ZipFile(archive, "w", **options) as file:
        for path in sorted(folder.rglob("*")):
            file.write(path, path.relative_to(folder).as_posix())
    return archive


@pytest.fixture(params=["folder", "zip"])
def source_of(request, tmp_path):
    """``source_of(folder)``: the source of a folder, or of a zip archive of the folder."""

    def make(folder, **options):
        if request.param == "folder":
            return FolderSource(folder, **options)
        return ZipSource(zipped(folder, tmp_path / "archive.zip"), **options)

    return make


def test_images_are_sorted_by_name_and_other_files_are_ignored(source_of, tmp_path):
    names = ["b/2.PNG", "b/10.jpeg", "a/z.webp", "c.tif"]
    others = ["notes.txt", ".hidden.png", ".git/a.png", "__MACOSX/._c.png", "page.eps", "Thumbs.db"]
    others += ["LICENSE", "labels.h5", "clip.mpg"]
    source = source_of(write(tmp_path / "images", *names, *others))
    assert [source.name(i) for i in range(len(source))] == sorted(names)


def test_files_without_an_extension_are_used_if_none_has_an_image_extension(source_of, tmp_path):
    source = source_of(write(tmp_path / "images", "2", "1", "notes.txt"))
    assert source.files == ["1", "2"]


@pytest.mark.parametrize(
    ("names", "train", "test"),
    [
        (["train/a/1.png", "test/a/2.png"], ["train/a/1.png"], ["test/a/2.png"]),
        (["train/1.png", "val/2.png"], ["train/1.png"], ["val/2.png"]),
        (["train/1.png"], ["train/1.png"], ["train/1.png"]),
        # Classes of vehicles, one of which is a train.
        (["bus/1.png", "train/2.png"], ["bus/1.png", "train/2.png"], ["bus/1.png", "train/2.png"]),
        (["test/1.png", "val/2.png"], ["test/1.png", "val/2.png"], ["test/1.png", "val/2.png"]),
    ],
)
def test_split_folders_count_only_without_other_sub_folders(tmp_path, names, train, test):
    write(tmp_path / "images", *names)
    assert FolderSource(tmp_path / "images", split="train").files == train
    assert FolderSource(tmp_path / "images", split="test").files == test


def test_a_folder_around_the_whole_archive_is_ignored(tmp_path):
    write(tmp_path / "up" / "pictures", "a/1.png", "b/2.png")
    source = ZipSource(zipped(tmp_path / "up", tmp_path / "a.zip"))
    assert (source.files, source.classes) == (["a/1.png", "b/2.png"], ["a", "b"])
    assert source[1].shape == (3, 8, 8)


def test_names_in_an_archive_may_start_with_a_dot(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("./a/1.png", "./b/2.png", "../c/3.png"):
            archive.writestr(name, PNG)
    assert ZipSource(tmp_path / "a.zip").files == ["a/1.png", "b/2.png"]


def test_an_archive_member_that_unpacks_to_too_much_is_unreadable(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MAX_BYTES", 10_000)
    write(tmp_path / "images", "a.webp", content=bytes(20_000))
    source = ZipSource(zipped(tmp_path / "images", tmp_path / "a.zip", compression=8))
    with pytest.raises(UnreadableImageError, match="unpacks to 20,000 bytes"):
        source[0]


def test_the_test_split_uses_the_class_indices_of_the_training_split(source_of, tmp_path):
    folder = write(tmp_path / "images", "b/1.png", "c/2.png")
    assert source_of(folder, classes=["a", "b", "c"]).labels == [1, 2]
    with pytest.raises(WrongFileError, match="has the class c, which the training images do not"):
        source_of(folder, classes=["a", "b"])


def test_an_image_beside_train_and_test_means_they_are_not_splits(source_of, tmp_path):
    folder = write(tmp_path / "images", "train/1.png", "test/2.png", "cover.png")
    assert source_of(folder).files == ["cover.png", "test/2.png", "train/1.png"]


@pytest.mark.parametrize(
    ("position", "byte"),
    [(8, 8), (6, 99)],  # a name falsely flagged as UTF-8; an unknown version of zip
)
def test_an_archive_that_python_cannot_open_is_reported(tmp_path, position, byte):
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("\xe9.png".encode().decode("cp437"), PNG)
    content = bytearray(archive.read_bytes())
    directory = content.index(b"PK\x01\x02")
    if position == 8:
        content[directory + 9] |= byte
        content[content.index(b".png", directory) - 1] = 0xFF
    else:
        content[directory + position] = byte
    archive.write_bytes(bytes(content))
    with pytest.raises(WrongFileError, match=r"a.zip is not a zip archive"):
        ZipSource(archive)


def test_classes_are_the_first_level_of_sub_folders(source_of, tmp_path):
    source = source_of(write(tmp_path / "images", "b/x/1.png", "a/1.png", "b/2.png"))
    assert source.classes == ["a", "b"]
    assert source.labels == [0, 1, 1]


def test_a_file_beside_the_class_folders_means_no_classes(source_of, tmp_path):
    source = source_of(write(tmp_path / "images", "a/1.png", "2.png"))
    assert (source.classes, source.labels, source.unlabelled_file) == ([], None, "2.png")


def test_images_are_read_unchanged(source_of, tmp_path):
    source = source_of(write(tmp_path / "images", "a.png"))
    assert torch.equal(source[0], FolderSource(tmp_path / "images")[0])
    assert source[0].shape == (3, 8, 8)


@pytest.mark.parametrize("files", [[], ["a.txt", "b.txt", "c.json"]])
def test_the_error_for_no_images_lists_what_was_found(source_of, tmp_path, files):
    (tmp_path / "images").mkdir()
    message = r"found: 2 \.txt, 1 \.json" if files else "it is empty"
    with pytest.raises(WrongFileError, match=rf"no images in .*{message}"):
        source_of(write(tmp_path / "images", *files))


def test_missing_and_invalid_paths_are_reported(tmp_path):
    with pytest.raises(MissingFileError, match=r"no folder .*nowhere"):
        FolderSource(tmp_path / "nowhere")
    with pytest.raises(MissingFileError, match=r"no file .*nowhere.zip"):
        ZipSource(tmp_path / "nowhere.zip")
    write(tmp_path, "wrong.zip")
    with pytest.raises(WrongFileError, match=r"wrong.zip is not a zip archive"):
        ZipSource(tmp_path / "wrong.zip")


@pytest.mark.parametrize(
    "content",
    [b"", b"something else", PNG[:60], PNG[:8], b"\xff\xd8\xff\xe0\x00\x10JFIF", b"\0" * 99],
)
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tga", "a.webp", "a.avif", "a.psd", "a.ico"])
def test_an_empty_or_incomplete_image_is_unreadable(source_of, tmp_path, name, content):
    source = source_of(write(tmp_path / "images", name, content=content))
    with pytest.raises(UnreadableImageError):
        source[0]


def test_postscript_is_not_run_whatever_the_file_name(tmp_path):
    write(tmp_path, "a.png", content=b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
    with pytest.raises(UnreadableImageError, match="not an image"):
        FolderSource(tmp_path)[0]


def test_a_file_that_disappears_stops_the_reading(tmp_path):
    source = FolderSource(write(tmp_path / "images", "a.png", "b.png"))
    (tmp_path / "images" / "b.png").unlink()
    with pytest.raises(SourceChangedError, match=r"b.png disappeared while the images"):
        source[1]
    with pytest.raises(SourceChangedError, match="changed while it was being read"):
        source.fingerprint()


def test_an_archive_that_disappears_stops_the_reading(tmp_path):
    write(tmp_path / "images", "a.png")
    source = ZipSource(zipped(tmp_path / "images", tmp_path / "a.zip"))
    (tmp_path / "a.zip").unlink()
    with pytest.raises(SourceChangedError, match=r"a.zip disappeared"):
        source[0]


def test_a_file_without_read_permission_is_unreadable(tmp_path, monkeypatch):
    source = FolderSource(write(tmp_path, "a.png"))

    def deny(*args, **kwargs):  # root can read any file
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Image, "open", deny)
    with pytest.raises(UnreadableImageError, match=r"^Permission denied$"):
        source[0]


def test_an_image_that_points_beyond_its_end_is_unreadable(tmp_path):
    # A BigTIFF whose directory should be 2 ** 62 bytes away.
    write(tmp_path, "a.tif", content=b"II+\0\x08\0\0\0" + (2**62).to_bytes(8, "little"))
    with pytest.raises(UnreadableImageError):
        FolderSource(tmp_path)[0]


def test_broken_links_and_pipes_are_ignored(tmp_path):
    write(tmp_path, "a.png")
    os.symlink(tmp_path / "nowhere.png", tmp_path / "b.png")
    os.mkfifo(tmp_path / "c.png")
    source = FolderSource(tmp_path)
    assert source.files == ["a.png"]
    assert source.fingerprint()


def test_a_file_name_may_contain_any_bytes(tmp_path):
    (tmp_path / os.fsdecode(b"\xe9.png")).write_bytes(PNG)
    source = FolderSource(tmp_path)
    assert source.fingerprint()
    assert source[0].shape == (3, 8, 8)


def test_a_folder_that_cannot_be_listed_is_reported(tmp_path, monkeypatch):
    write(tmp_path, "a.png")

    def deny(*args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", deny)
    with pytest.raises(WrongFileError, match=r"cannot be listed .*Permission denied"):
        FolderSource(tmp_path)


def test_a_damaged_archive_member_is_unreadable(tmp_path):
    write(tmp_path / "images", "a.png", "b.png")
    archive = zipped(tmp_path / "images", tmp_path / "a.zip")
    content = bytearray(archive.read_bytes())
    content[content.index(PNG) + len(PNG) // 2] ^= 255
    archive.write_bytes(bytes(content))
    source = ZipSource(archive)
    with pytest.raises(UnreadableImageError):
        source[0]
    assert source[1].shape == (3, 8, 8)


def test_links_are_followed_once(tmp_path):
    write(tmp_path / "images", "a/1.png")
    os.symlink(tmp_path / "images", tmp_path / "images" / "a" / "round")
    os.symlink(write(tmp_path / "elsewhere", "2.png"), tmp_path / "images" / "b")
    assert FolderSource(tmp_path / "images").files == ["a/1.png", "b/2.png"]


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: write(folder, "c.png"),
        lambda folder: (folder / "a.png").unlink(),
        lambda folder: (folder / "a.png").rename(folder / "d.png"),
        lambda folder: write(folder, "a.png", content=encoded(picture(8, 8, seed=1), "PNG")),
    ],
)
def test_the_fingerprint_changes_with_the_content(source_of, tmp_path, change):
    folder = write(tmp_path / "images", "a.png", "b.png")
    before = source_of(folder).fingerprint()
    assert source_of(folder).fingerprint() == before
    change(folder)
    assert source_of(folder).fingerprint() != before


def alike(folder, *names, seed=0):
    """A folder whose files have the sizes and times of all others that this function writes."""
    for i, name in enumerate(names):
        write(folder, name, content=encoded(picture(8, 8, seed + i), "BMP"))
        os.utime(folder / name, (1e9, 1e9))
    return folder


NAMES = [f"{i:03}.bmp" for i in range(100)]


def test_folders_of_the_same_names_sizes_and_times_have_different_fingerprints(source_of, tmp_path):
    one, other = alike(tmp_path / "one", *NAMES), alike(tmp_path / "other", *NAMES, seed=100)
    before = source_of(one).fingerprint()
    assert source_of(other).fingerprint() != before
    assert source_of(one).fingerprint() == before
    one.rename(tmp_path / "away")
    other.rename(one)
    assert source_of(one).fingerprint() != before


@pytest.mark.parametrize("i", range(4))  # not every file's content is read
def test_a_file_replaced_with_its_time_kept_changes_the_fingerprint(source_of, tmp_path, i):
    one, other = alike(tmp_path / "one", *NAMES), alike(tmp_path / "other", NAMES[i], seed=100)
    before = source_of(one).fingerprint()
    time.sleep(0.02)  # the clock of some file systems ticks every 10 ms
    shutil.copy2(other / NAMES[i], one / NAMES[i])
    assert source_of(one).fingerprint() != before


def test_the_fingerprint_of_many_files_reads_only_some(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(sources, "_read_start", lambda path: read.append(path) or b"")
    FolderSource(alike(tmp_path / "images", *NAMES)).fingerprint()
    assert [os.path.basename(path) for path in read] == NAMES[::2]


def test_a_file_without_read_permission_has_a_fingerprint(tmp_path, monkeypatch):
    source = FolderSource(write(tmp_path, "a.png"))

    def deny(*args, **kwargs):  # root can read any file
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", deny)
    assert source.fingerprint()


def test_a_moved_folder_has_the_same_fingerprint(tmp_path):
    before = FolderSource(write(tmp_path / "here", "a.png")).fingerprint()
    (tmp_path / "here").rename(tmp_path / "there")
    assert FolderSource(tmp_path / "there").fingerprint() == before


def test_an_archive_source_can_be_pickled(tmp_path):
    write(tmp_path / "images", "a.png")
    source = ZipSource(zipped(tmp_path / "images", tmp_path / "a.zip"))
    copied = pickle.loads(pickle.dumps(source))
    assert torch.equal(source[0], copied[0])


def test_a_selection_contains_the_chosen_images(tmp_path):
    source = FolderSource(write(tmp_path, "a.png", "b.png", "c.png"))
    chosen = Selection(source, [2, 0], [7, 8])
    assert [chosen.name(i) for i in range(len(chosen))] == ["c.png", "a.png"]
    assert torch.equal(chosen[0], source[2])
    assert chosen.fingerprint() != Selection(source, [0, 2], [8, 7]).fingerprint()
