"""Sources: which files count, in which order, and what is said where one cannot be read."""

import os
import pickle
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
    """The source of a folder, or of the zip archive of it."""

    def make(folder, **options):
        if request.param == "folder":
            return FolderSource(folder, **options)
        return ZipSource(zipped(folder, tmp_path / "archive.zip"), **options)

    return make


def test_images_are_in_the_order_of_their_names_and_others_are_passed_over(source_of, tmp_path):
    names = ["b/2.PNG", "b/10.jpeg", "a/z.webp", "c.tif"]
    others = ["notes.txt", ".hidden.png", ".git/a.png", "__MACOSX/._c.png", "page.eps", "Thumbs.db"]
    others += ["LICENSE", "labels.h5", "clip.mpg"]
    source = source_of(write(tmp_path / "images", *names, *others))
    assert [source.name(i) for i in range(len(source))] == sorted(names)


def test_files_without_an_ending_are_tried_where_none_has_a_pictures(source_of, tmp_path):
    source = source_of(write(tmp_path / "images", "2", "1", "notes.txt"))
    assert source.files == ["1", "2"]


@pytest.mark.parametrize(
    ("names", "train", "test"),
    [
        (["train/a/1.png", "test/a/2.png"], ["train/a/1.png"], ["test/a/2.png"]),
        (["train/1.png", "val/2.png"], ["train/1.png"], ["val/2.png"]),
        (["train/1.png"], ["train/1.png"], ["train/1.png"]),
        # Vehicles, one of which is a train.
        (["bus/1.png", "train/2.png"], ["bus/1.png", "train/2.png"], ["bus/1.png", "train/2.png"]),
        (["test/1.png", "val/2.png"], ["test/1.png", "val/2.png"], ["test/1.png", "val/2.png"]),
    ],
)
def test_splits_are_where_there_are_no_other_sub_folders(tmp_path, names, train, test):
    write(tmp_path / "images", *names)
    assert FolderSource(tmp_path / "images", split="train").files == train
    assert FolderSource(tmp_path / "images", split="test").files == test


def test_a_folder_around_all_of_an_archive_is_passed_over(tmp_path):
    write(tmp_path / "up" / "pictures", "a/1.png", "b/2.png")
    source = ZipSource(zipped(tmp_path / "up", tmp_path / "a.zip"))
    assert (source.files, source.classes) == (["a/1.png", "b/2.png"], ["a", "b"])
    assert source[1].shape == (3, 8, 8)


def test_an_archive_may_start_its_names_with_a_dot(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("./a/1.png", "./b/2.png", "../c/3.png"):
            archive.writestr(name, PNG)
    assert ZipSource(tmp_path / "a.zip").files == ["a/1.png", "b/2.png"]


def test_a_member_that_unpacks_to_more_than_any_picture_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MAX_BYTES", 10_000)
    write(tmp_path / "images", "a.webp", content=bytes(20_000))
    source = ZipSource(zipped(tmp_path / "images", tmp_path / "a.zip", compression=8))
    with pytest.raises(UnreadableImageError, match="unpacks to 20,000 bytes"):
        source[0]


def test_the_test_split_has_the_numbers_of_the_training_classes(source_of, tmp_path):
    folder = write(tmp_path / "images", "b/1.png", "c/2.png")
    assert source_of(folder, classes=["a", "b", "c"]).labels == [1, 2]
    with pytest.raises(WrongFileError, match="has the class c, which the training images do not"):
        source_of(folder, classes=["a", "b"])


def test_an_image_beside_the_splits_means_that_they_are_none(source_of, tmp_path):
    folder = write(tmp_path / "images", "train/1.png", "test/2.png", "cover.png")
    assert source_of(folder).files == ["cover.png", "test/2.png", "train/1.png"]


@pytest.mark.parametrize(
    ("place", "byte"),
    [(8, 8), (6, 99)],  # a name that is said to be UTF-8; a version of zip that nobody knows
)
def test_an_archive_that_python_cannot_open_is_said(tmp_path, place, byte):
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("\xe9.png".encode().decode("cp437"), PNG)
    content = bytearray(archive.read_bytes())
    directory = content.index(b"PK\x01\x02")
    if place == 8:
        content[directory + 9] |= byte
        content[content.index(b".png", directory) - 1] = 0xFF
    else:
        content[directory + place] = byte
    archive.write_bytes(bytes(content))
    with pytest.raises(WrongFileError, match=r"a.zip is not a zip archive"):
        ZipSource(archive)


def test_sub_folders_are_classes_whatever_lies_deeper(source_of, tmp_path):
    source = source_of(write(tmp_path / "images", "b/x/1.png", "a/1.png", "b/2.png"))
    assert source.classes == ["a", "b"]
    assert source.labels == [0, 1, 1]


def test_a_file_above_the_folders_means_no_classes(source_of, tmp_path):
    source = source_of(write(tmp_path / "images", "a/1.png", "2.png"))
    assert (source.classes, source.labels, source.unlabelled_file) == ([], None, "2.png")


def test_pictures_come_out_as_they_are(source_of, tmp_path):
    source = source_of(write(tmp_path / "images", "a.png"))
    assert torch.equal(source[0], FolderSource(tmp_path / "images")[0])
    assert source[0].shape == (3, 8, 8)


@pytest.mark.parametrize("files", [[], ["a.txt", "b.txt", "c.json"]])
def test_where_there_are_no_images_it_says_what_was_found(source_of, tmp_path, files):
    (tmp_path / "images").mkdir()
    words = r"found: 2 \.txt, 1 \.json" if files else "it is empty"
    with pytest.raises(WrongFileError, match=rf"no images in .*{words}"):
        source_of(write(tmp_path / "images", *files))


def test_what_is_not_there_is_said(tmp_path):
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
def test_what_is_no_whole_image_is_unreadable(source_of, tmp_path, name, content):
    source = source_of(write(tmp_path / "images", name, content=content))
    with pytest.raises(UnreadableImageError):
        source[0]


def test_postscript_is_not_run_whatever_its_file_is_called(tmp_path):
    write(tmp_path, "a.png", content=b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
    with pytest.raises(UnreadableImageError, match="not an image"):
        FolderSource(tmp_path)[0]


def test_a_file_that_went_away_stops_the_reading(tmp_path):
    source = FolderSource(write(tmp_path / "images", "a.png", "b.png"))
    (tmp_path / "images" / "b.png").unlink()
    with pytest.raises(SourceChangedError, match=r"b.png disappeared while the images"):
        source[1]
    with pytest.raises(SourceChangedError, match="changed while it was being read"):
        source.fingerprint()


def test_an_archive_that_went_away_stops_the_reading(tmp_path):
    write(tmp_path / "images", "a.png")
    source = ZipSource(zipped(tmp_path / "images", tmp_path / "a.zip"))
    (tmp_path / "a.zip").unlink()
    with pytest.raises(SourceChangedError, match=r"a.zip disappeared"):
        source[0]


def test_a_file_that_may_not_be_read_is_unreadable(tmp_path, monkeypatch):
    source = FolderSource(write(tmp_path, "a.png"))

    def refuse(*args, **kwargs):  # root may read all the same
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Image, "open", refuse)
    with pytest.raises(UnreadableImageError, match=r"^Permission denied$"):
        source[0]


def test_a_decoder_that_seeks_where_nothing_is_means_a_broken_file(tmp_path):
    # A BigTIFF whose directory is said to be 2 ** 62 bytes away.
    write(tmp_path, "a.tif", content=b"II+\0\x08\0\0\0" + (2**62).to_bytes(8, "little"))
    with pytest.raises(UnreadableImageError):
        FolderSource(tmp_path)[0]


def test_links_to_nowhere_and_pipes_are_passed_over(tmp_path):
    write(tmp_path, "a.png")
    os.symlink(tmp_path / "nowhere.png", tmp_path / "b.png")
    os.mkfifo(tmp_path / "c.png")
    source = FolderSource(tmp_path)
    assert source.files == ["a.png"]
    assert source.fingerprint()


def test_a_name_may_be_any_bytes(tmp_path):
    (tmp_path / os.fsdecode(b"\xe9.png")).write_bytes(PNG)
    source = FolderSource(tmp_path)
    assert source.fingerprint()
    assert source[0].shape == (3, 8, 8)


def test_a_folder_that_cannot_be_listed_is_said(tmp_path, monkeypatch):
    write(tmp_path, "a.png")

    def refuse(*args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(WrongFileError, match=r"cannot be listed .*Permission denied"):
        FolderSource(tmp_path)


def test_a_torn_member_of_an_archive_is_unreadable(tmp_path):
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
def test_the_fingerprint_differs_when_the_content_does(source_of, tmp_path, change):
    folder = write(tmp_path / "images", "a.png", "b.png")
    before = source_of(folder).fingerprint()
    assert source_of(folder).fingerprint() == before
    change(folder)
    assert source_of(folder).fingerprint() != before


def test_a_folder_that_was_moved_is_the_same(tmp_path):
    before = FolderSource(write(tmp_path / "here", "a.png")).fingerprint()
    (tmp_path / "here").rename(tmp_path / "there")
    assert FolderSource(tmp_path / "there").fingerprint() == before


def test_an_archive_goes_to_other_processes(tmp_path):
    write(tmp_path / "images", "a.png")
    source = ZipSource(zipped(tmp_path / "images", tmp_path / "a.zip"))
    there = pickle.loads(pickle.dumps(source))
    assert torch.equal(source[0], there[0])


def test_a_selection_is_those_that_are_chosen(tmp_path):
    source = FolderSource(write(tmp_path, "a.png", "b.png", "c.png"))
    chosen = Selection(source, [2, 0], [7, 8])
    assert [chosen.name(i) for i in range(len(chosen))] == ["c.png", "a.png"]
    assert torch.equal(chosen[0], source[2])
    assert chosen.fingerprint() != Selection(source, [0, 2], [8, 7]).fingerprint()
