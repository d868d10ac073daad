"""The image cache: its contents, that it is built only once, and what survives a fault."""

import errno
import json
import os
import shutil
import signal
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from formats import encoded, picture
from PIL import Image

from gan_lightning import data as data_modules
from gan_lightning.data import cache as cache_module
from gan_lightning.data import workers as workers_module
from gan_lightning.data.cache import CHUNKS, IMAGES, META, open_cache
from gan_lightning.data.pixels import ImageTransform
from gan_lightning.data.sources import FolderSource, ZipSource
from gan_lightning.utils.errors import CacheError, SourceChangedError, WrongFileError

TRANSFORM = ImageTransform(3, 8)
COUNT = 20


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setattr(cache_module, "CHUNK", 4)


@pytest.fixture
def images(tmp_path):
    """A folder of images in two classes."""
    for i in range(COUNT):
        folder = tmp_path / "images" / f"class{i // 12}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i:03}.png").write_bytes(encoded(picture(8, 8, i), "PNG"))
    return tmp_path / "images"


@pytest.fixture
def parent(tmp_path):
    return tmp_path / "cache"


def opened(images, parent, transform=TRANSFORM, **options):
    return open_cache(FolderSource(images), transform, parent, "test", **options)


def expected(images, transform=TRANSFORM, without=()):
    source = FolderSource(images)
    return torch.stack([transform(source[i]) for i in range(len(source)) if i not in without])


def damage(images, *indices):
    files = FolderSource(images).files
    for i in indices:
        (images / files[i]).write_bytes(b"no image")
    return [files[i] for i in indices]


RAMP = np.linspace(0, 1, 64).reshape(8, 8)


def deepen(images, *indices, high=4095):
    """Replace images with ramps of 16 bits up to ``high``."""
    files = FolderSource(images).files
    ramp = Image.fromarray((RAMP * high).astype(np.uint16))
    for i in indices:
        (images / files[i]).write_bytes(encoded(ramp, "PNG"))


def folder_of(parent):
    (folder,) = [path for path in parent.iterdir() if path.is_dir()]
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class _NoDecoder:
    """Fails a test that decodes an image."""

    def __init__(self, *args):
        raise AssertionError("decoded again")


@pytest.fixture
def no_decoding(monkeypatch):
    """``no_decoding()``: any decoding after this call fails the test."""
    return lambda: monkeypatch.setattr(cache_module, "_Decoder", _NoDecoder)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_cache_holds_every_image_transformed_with_its_label(
    images, parent, monkeypatch, workers
):
    monkeypatch.setattr(workers_module, "WORKERS", workers)
    cache = opened(images, parent, ImageTransform(1, 16))
    assert torch.equal(cache.images, expected(images, ImageTransform(1, 16)))
    assert cache.labels.tolist() == [0] * 12 + [1] * 8
    assert cache.skipped == {}


def test_nothing_is_decoded_the_second_time(images, parent, no_decoding):
    first = opened(images, parent)
    no_decoding()
    assert torch.equal(opened(images, parent).images, first.images)


def test_building_does_not_change_the_random_state(images, parent):
    before = torch.get_rng_state()
    opened(images, parent)
    assert torch.equal(torch.get_rng_state(), before)


def test_another_transform_or_content_gets_its_own_cache(images, parent):
    opened(images, parent)
    opened(images, parent, ImageTransform(1, 8))
    opened(images, parent, ImageTransform(3, 8, 4))
    (images / "class0" / "000.png").write_bytes(encoded(picture(8, 8, 99), "PNG"))
    assert torch.equal(opened(images, parent).images, expected(images))
    assert len([path for path in parent.iterdir() if path.is_dir()]) == 4


def test_unreadable_images_are_named_counted_and_skipped(images, parent, no_decoding):
    names = damage(images, 3, 13, 14)
    message = rf"3 of 20 images cannot be read: {names[0]} \(not an image\), and 2 more; skipped"
    with pytest.warns(UserWarning, match=message):
        cache = opened(images, parent)
    assert torch.equal(cache.images, expected(images, without=(3, 13, 14)))
    assert cache.labels.tolist() == [0] * 11 + [1] * 6
    no_decoding()
    with pytest.warns(UserWarning, match="3 of 20 images cannot be read"):
        opened(images, parent)


@pytest.mark.parametrize("built_before", [False, True])
def test_strict_rejects_unreadable_images(images, parent, built_before):
    (name,) = damage(images, 13)
    if built_before:
        with pytest.warns(UserWarning, match="skipped"):
            opened(images, parent)
    with pytest.raises(WrongFileError, match=rf"^{name} cannot be read \(not an image\), and"):
        opened(images, parent, strict=True)
    (images / name).write_bytes(encoded(picture(8, 8), "PNG"))
    assert len(opened(images, parent, strict=True).images) == COUNT


def test_only_unreadable_files_raise_an_error_and_leave_no_cache(images, parent):
    damage(images, *range(COUNT))
    message = r"none of the 20 images can be read: the first is class0/000.png \(not an image"
    with pytest.raises(WrongFileError, match=message):
        opened(images, parent)
    assert [path for path in parent.iterdir() if path.is_dir()] == []


# Dark images


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("bright", [0, 9, 19])
def test_dark_images_are_used_if_one_of_their_set_is_bright(
    images, parent, monkeypatch, workers, bright
):
    monkeypatch.setattr(workers_module, "WORKERS", workers)
    dark = {2: 4095, 3: 10000, 10: 16000}
    for i, high in dark.items():
        deepen(images, i, high=high)
    deepen(images, bright, high=16384)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache = opened(images, parent, strict=True)
    assert torch.equal(
        cache.images[[i for i in range(COUNT) if i not in dark]], expected(images, without=dark)
    )
    for i, high in dark.items():
        levels = ((RAMP * high).astype(np.uint16) / 257).round()
        assert cache.images[i].tolist() == [levels.tolist()] * 3
    assert (len(cache.labels), cache.skipped) == (COUNT, {})


@pytest.mark.parametrize("workers", [0, 2])
def test_dark_images_are_unreadable_if_none_of_their_set_is_bright(
    images, parent, monkeypatch, no_decoding, workers
):
    monkeypatch.setattr(workers_module, "WORKERS", workers)
    deepen(images, 4, high=0)  # black is black
    deepen(images, 1, 8, 9, 10, 11)
    damage(images, *range(12, 16))
    levels = "levels from 0 to 4095, where white must be 65535: save it with 8 bits"
    message = rf"9 of 20 images cannot be read: class0/001.png \({levels}\), and 8 more; skipped"
    with pytest.warns(UserWarning, match=message):
        cache = opened(images, parent)
    assert torch.equal(cache.images, expected(images, without=(1, *range(8, 16))))
    assert cache.labels.tolist() == [0] * 7 + [1] * 4
    damaged = dict.fromkeys(range(12, 16), "not an image")
    assert cache.skipped == dict.fromkeys((1, 8, 9, 10, 11), levels) | damaged
    no_decoding()
    with pytest.raises(WrongFileError, match=rf"^class0/001.png cannot be read \({levels}\), and"):
        opened(images, parent, strict=True)


def test_a_set_of_dark_images_is_refused(images, parent):
    deepen(images, *range(COUNT))
    message = r"none of the 20 images can be read: the first is class0/000.png \(levels from 0 to"
    with pytest.raises(WrongFileError, match=message):
        opened(images, parent)
    assert [path for path in parent.iterdir() if path.is_dir()] == []


class _Stopped(Exception):
    pass


@pytest.mark.parametrize("bright", [False, True])
@pytest.mark.parametrize(
    ("owner", "name", "calls"),
    [
        (cache_module._Chunk, "of", 3),
        (cache_module._Chunk, "of", 8),  # while the files lose their dark images
        (os, "fsync", 2),
        (os, "fsync", 3),  # when the images lost them, and the journal did not
        (os, "fsync", 4),
    ],
)
def test_a_build_that_is_stopped_judges_dark_images_like_one_that_is_not(
    images, parent, monkeypatch, owner, name, calls, bright
):
    monkeypatch.setattr(workers_module, "WORKERS", 0)
    deepen(images, 1, 4, 5, 12, 18)
    if bright:
        deepen(images, 2, high=65535)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        opened(images, parent)
        whole = folder_of(parent)
        true = contents(whole)
        shutil.rmtree(whole)
        call, called = getattr(owner, name), []

        def stop(*args):
            called.append(args)
            if len(called) == calls:
                raise _Stopped
            return call(*args)

        with monkeypatch.context() as patch:
            patch.setattr(owner, name, stop)
            try:
                opened(images, parent)
            except _Stopped:
                assert folder_of(parent).suffix == ".part"
            else:
                assert bright  # there is nothing to lose
        if calls == 4 and not bright:
            journal = folder_of(parent) / CHUNKS
            os.truncate(journal, journal.stat().st_size - 50)
        opened(images, parent)
    assert contents(folder_of(parent)) == true


# Faults


def test_a_stopped_build_resumes_where_it_stopped(images, parent, monkeypatch):
    read = []
    source = FolderSource(images)

    class Stopped(Exception):
        pass

    class Stopping(FolderSource):
        def __getitem__(self, i):
            read.append(i)
            if i == 9 and read.count(9) == 1:
                raise Stopped
            return super().__getitem__(i)

    monkeypatch.setattr(workers_module, "WORKERS", 0)
    stopping = Stopping(images)
    with pytest.raises(Stopped):
        open_cache(stopping, TRANSFORM, parent, "test")
    assert folder_of(parent).name.endswith(".part")
    cache = open_cache(stopping, TRANSFORM, parent, "test")
    assert read == [*range(10), *range(8, COUNT)]
    assert torch.equal(cache.images, expected(images))
    assert len(source) == len(cache.images)


@pytest.mark.parametrize("fault", ["images", "line", "end of line", "byte", "garbage", "all"])
def test_damaged_parts_of_a_stopped_build_are_decoded_again(images, parent, monkeypatch, fault):
    damage(images, 17)
    monkeypatch.setattr(FolderSource, "fingerprint", lambda self: "the same")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", lambda *args: None)
        patch.setattr(cache_module, "_open", lambda *args: cache_module.Cache(None, None, {}, ""))
        opened(images, parent)
    part = folder_of(parent)
    (part / META).unlink()
    file, journal = part / IMAGES, part / CHUNKS
    match fault:
        case "images":
            os.truncate(file, file.stat().st_size - 1)
        case "line":
            os.truncate(journal, journal.stat().st_size - 5)
        case "end of line":
            lines = journal.read_bytes().splitlines(keepends=True)
            journal.write_bytes(b"".join(lines[:3])[:-1])
        case "byte":
            content = bytearray(file.read_bytes())
            content[900] ^= 1
            file.write_bytes(bytes(content))
        case "garbage":
            journal.write_bytes(b"\xff\0[1]\n{}\n" + journal.read_bytes())
        case "all":
            file.unlink()
    with pytest.warns(UserWarning, match="1 of 20 images cannot be read"):
        cache = opened(images, parent)
    assert torch.equal(cache.images, expected(images, without=[17]))
    assert cache.labels.tolist() == [0] * 12 + [1] * 7
    assert list(cache.skipped) == [17]


@pytest.mark.parametrize("name", [IMAGES, CHUNKS, META])
@pytest.mark.parametrize("fault", ["missing", "empty", "shorter", "longer", "garbage"])
def test_a_damaged_cache_is_reported_and_rebuilt(images, parent, name, fault):
    opened(images, parent)
    folder = folder_of(parent)
    before, path = contents(folder), folder / name
    content = path.read_bytes()
    match fault:
        case "missing":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case "shorter":
            path.write_bytes(content[:-3])
        case "longer":
            path.write_bytes(content + b"[9]")
        case "garbage":
            path.write_bytes(bytes(byte ^ 1 for byte in content))
    if (name, fault) == (CHUNKS, "longer"):
        # This is what a process leaves that was killed while writing a line.
        assert torch.equal(opened(images, parent).images, expected(images))
        return
    with pytest.warns(UserWarning, match=rf"the cache .*{folder.name} is damaged .*rebuilding it"):
        cache = opened(images, parent)
    assert torch.equal(cache.images, expected(images))
    assert contents(folder) == before


def test_a_cache_of_another_version_is_left_alone(images, parent, monkeypatch):
    opened(images, parent)
    old = folder_of(parent)
    before = contents(old)
    monkeypatch.setattr(cache_module, "VERSION", cache_module.VERSION + 1)
    opened(images, parent)
    assert contents(old) == before
    (new,) = [path for path in parent.iterdir() if path.is_dir() and path != old]
    # It is not used even under the name of the new cache.
    shutil.rmtree(new)
    shutil.copytree(old, new)
    with pytest.warns(UserWarning, match="do not match"):
        opened(images, parent)


def test_only_some_checksums_of_a_large_cache_are_compared(images, parent, monkeypatch):
    opened(images, parent)
    monkeypatch.setattr(cache_module, "CHECKED_BYTES", COUNT * TRANSFORM.nbytes // 2)
    path = folder_of(parent) / IMAGES
    content = bytearray(path.read_bytes())
    chunk = 4 * TRANSFORM.nbytes
    content[chunk] ^= 1  # in the second of five chunks
    path.write_bytes(bytes(content))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened(images, parent)
    content[-1] ^= 1  # in the last chunk, which is always checked
    path.write_bytes(bytes(content))
    with pytest.warns(UserWarning, match="damaged"):
        opened(images, parent)


@pytest.mark.parametrize("moved", ["folder", "file", "changed"])
def test_images_moved_during_a_build_stop_it_and_nothing_is_lost(
    images, parent, monkeypatch, moved
):
    away = images.with_name("away")

    class Moving(FolderSource):
        def __getitem__(self, i):
            if i == 9:
                match moved:
                    case "folder":
                        images.rename(away)
                    case "file":
                        (images / self.files[10]).rename(images / "class0" / "moved")
                    case "changed":
                        damage(images, 3)
            return super().__getitem__(i)

    other = images.with_name("other")
    shutil.copytree(images, other)
    opened(other, parent, ImageTransform(1, 8))
    earlier = contents(folder_of(parent))
    monkeypatch.setattr(workers_module, "WORKERS", 0)
    with pytest.raises(SourceChangedError, match=r"disappeared while|changed while they"):
        open_cache(Moving(images), TRANSFORM, parent, "test")
    (finished,) = [path for path in parent.iterdir() if path.is_dir() and path.suffix != ".part"]
    assert contents(finished) == earlier
    match moved:
        case "folder":
            away.rename(images)
        case "file":
            # The file may be another one of the same size and time.
            (images / "class0" / "moved").rename(images / FolderSource(other).files[10])
            assert torch.equal(opened(images, parent).images, expected(images))
            return
        case "changed":
            # It would mix old and new images, so it is deleted.
            assert list(parent.glob("*.part")) == []
            return
    read = []
    monkeypatch.setattr(
        FolderSource, "__getitem__", _recording(read, FolderSource.__getitem__), raising=True
    )
    assert len(opened(images, parent).images) == COUNT
    assert min(read) == 8


def test_an_archive_replaced_during_a_build_stops_it(images, parent, tmp_path, monkeypatch):
    first = shutil.make_archive(str(tmp_path / "first"), "zip", images)
    damage(images, *range(COUNT))
    second = shutil.make_archive(str(tmp_path / "second"), "zip", images)

    class Replaced(ZipSource):
        def __getitem__(self, i):
            if i == 9:
                os.replace(second, first)
            return super().__getitem__(i)

    monkeypatch.setattr(workers_module, "WORKERS", 0)
    with pytest.raises(SourceChangedError, match="changed while they were being read"):
        open_cache(Replaced(Path(first)), TRANSFORM, parent, "test")
    assert [path for path in parent.iterdir() if path.is_dir()] == []


def test_another_background_gets_its_own_cache(images, parent):
    white = open_cache(FolderSource(images, (255, 255, 255)), TRANSFORM, parent, "test")
    black = open_cache(FolderSource(images, (0, 0, 0)), TRANSFORM, parent, "test")
    assert torch.equal(white.images, black.images)  # the images are opaque
    assert len([path for path in parent.iterdir() if path.is_dir()]) == 2


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("data", ["CelebA", "LSUN", "STL10", "HuggingFaceImages"])
def test_every_source_works_with_and_without_workers(data_files, monkeypatch, data, workers):
    monkeypatch.setattr(workers_module, "WORKERS", workers)
    module = getattr(data_modules, data)(**data_files(data))
    x, _ = module.load("train")
    source = module.source("train")
    source.prepare()
    assert torch.equal(x, torch.stack([module.transform(source[i]) for i in range(len(source))]))


def test_a_retry_on_a_full_disk_loses_nothing(images, parent, monkeypatch):
    """A retry on a disk that is still full must not lose what was decoded before."""
    with monkeypatch.context() as patch:
        patch.setattr(cache_module, "_write_all", _full_after(2))
        with pytest.raises(CacheError):
            opened(images, parent)
    (part,) = parent.glob("*.part")
    before = (part / CHUNKS).read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(cache_module, "_write_all", _full_after(0))
        patch.setattr(Path, "write_text", _full)
        with pytest.raises(CacheError):
            opened(images, parent)
    assert (part / CHUNKS).read_bytes() == before


@pytest.mark.parametrize("fault", [OSError(errno.EIO, "I/O error"), PermissionError(13, "no")])
def test_a_cache_that_cannot_be_read_is_not_deleted(images, parent, monkeypatch, fault):
    opened(images, parent)
    before = contents(folder_of(parent))
    with monkeypatch.context() as patch:
        patch.setattr(cache_module, "_read_chunks", _raising(fault))
        with pytest.raises(CacheError, match=r"cannot be saved in"):
            opened(images, parent)
    assert contents(folder_of(parent)) == before


def _recording(read, getitem):
    def wrapped(self, i):
        read.append(i)
        return getitem(self, i)

    return wrapped


def test_a_lack_of_disk_space_is_reported_before_decoding(images, parent, monkeypatch, no_decoding):
    usage = shutil.disk_usage(images)._replace(free=COUNT * TRANSFORM.nbytes - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    no_decoding()
    with pytest.raises(CacheError, match=rf"need 0.0 GB in {parent}, which has 0.0 GB left"):
        opened(images, parent)


def test_nothing_is_lost_when_the_disk_fills_up(images, parent, monkeypatch):
    opened(images, parent, ImageTransform(1, 8))
    earlier = contents(folder_of(parent))
    with monkeypatch.context() as patch:
        patch.setattr(cache_module, "_write_all", _full_after(2))
        message = rf"cannot be saved in {parent} \(No space left on device\); .* is kept"
        with pytest.raises(CacheError, match=message):
            opened(images, parent)
    (finished,) = [path for path in parent.iterdir() if path.is_dir() and path.suffix != ".part"]
    assert contents(finished) == earlier
    (part,) = parent.glob("*.part")
    assert len((part / CHUNKS).read_text().splitlines()) == 2
    assert torch.equal(opened(images, parent).images, expected(images))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_writing_to_a_real_full_device_is_reported(images, parent, monkeypatch):
    monkeypatch.setattr(cache_module, "_resume_build", lambda part, *_: _onto_a_full_disk(part))
    with pytest.raises(CacheError, match="No space left on device"):
        opened(images, parent)


def _raising(error):
    def fail(*args, **kwargs):
        raise error

    return fail


_full = _raising(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))


def _full_after(chunks):
    """A write function that fails after ``chunks`` chunks and a part of the next."""
    write_all, written = cache_module._write_all, []

    def write(file, content):
        if len(written) == chunks:
            file.write(content[:10])
            _full()
        written.append(content)
        write_all(file, content)

    return write


def _onto_a_full_disk(part):
    (part / IMAGES).symlink_to("/dev/full")
    return []


def test_an_unwritable_folder_is_reported(images, tmp_path):
    (tmp_path / "file").write_text("a file")
    with pytest.raises(CacheError, match=r"cannot be saved in .*file/cache .*--data.cache_dir"):
        opened(images, tmp_path / "file" / "cache")


SLOW = """
import sys, time
from pathlib import Path
from gan_lightning.data import cache
from gan_lightning.data.pixels import ImageTransform
from gan_lightning.data.sources import FolderSource
cache.CHUNK = 1
class Slow(FolderSource):
    def __getitem__(self, i):
        time.sleep(float(sys.argv[3]))
        return super().__getitem__(i)
opened = cache.open_cache(Slow(Path(sys.argv[1])), ImageTransform(3, 8), Path(sys.argv[2]), "test")
print(len(opened.images))
"""


@pytest.fixture
def build_slowly(start, images, parent):
    """``build_slowly(each=0.1)`` starts a build that takes ``each`` seconds per image."""
    return lambda each=0.1: start("-c", SLOW, images, parent, each)


def decoded(parent, size):
    """A check that the journal of the cache being built is larger than ``size`` bytes."""
    return lambda: any(path.stat().st_size > size for path in parent.glob(f"*.part/{CHUNKS}"))


def test_a_killed_process_leaves_its_decoded_images_and_no_lock(
    build_slowly, images, parent, monkeypatch
):
    running = build_slowly(each=0.5)
    running.until(decoded(parent, 200))
    running.kill()
    running.process.wait()
    read = []
    monkeypatch.setattr(FolderSource, "__getitem__", _recording(read, FolderSource.__getitem__))
    monkeypatch.setattr(workers_module, "WORKERS", 0)
    assert torch.equal(opened(images, parent).images, expected(images))
    assert read[0] >= 2


def test_a_killed_worker_is_reported_and_nothing_is_lost(images, parent, monkeypatch):
    class Deadly(FolderSource):
        def __getitem__(self, i):
            if i == 9:
                time.sleep(0.5)  # lets the earlier chunks arrive
                os.kill(os.getpid(), signal.SIGKILL)
            return super().__getitem__(i)

    monkeypatch.setattr(workers_module, "WORKERS", 1)
    with pytest.raises(
        CacheError, match=r"a worker process that reads images was killed .*are kept"
    ):
        open_cache(Deadly(images), TRANSFORM, parent, "test")
    (part,) = parent.glob("*.part")
    assert len((part / CHUNKS).read_text().splitlines()) == 2
    assert torch.equal(opened(images, parent).images, expected(images))


def test_only_the_main_process_reports_an_interrupt(build_slowly, images, parent):
    running = build_slowly(each=0.5)  # far from done even on a slow machine
    running.until(decoded(parent, 100))
    running.kill(signal.SIGINT)
    _, errors = running.ended(within=60)
    assert errors.count("Traceback") == errors.count("KeyboardInterrupt") == 1
    assert torch.equal(opened(images, parent).images, expected(images))


def test_two_processes_build_the_cache_once(build_slowly, images, parent):
    first = build_slowly()
    first.until(lambda: list(parent.glob("*.part")))
    ended = [running.ended(within=120) for running in (first, build_slowly())]
    assert [(code, output.strip().splitlines()[-1]) for code, output in ended] == [
        (0, str(COUNT))
    ] * 2
    assert len([path for path in parent.iterdir() if path.is_dir()]) == 1
    assert "".join(output for _, output in ended).count("decoding 20 images") == 1


def test_the_journal_describes_the_contents_of_the_file(images, parent):
    damage(images, 5)
    with pytest.warns(UserWarning, match="skipped"):
        opened(images, parent)
    folder = folder_of(parent)
    lines = [json.loads(line) for line in (folder / CHUNKS).read_text().splitlines()]
    assert [(read, saved) for read, saved, *_ in lines] == [
        (4, 4),
        (4, 3),
        (4, 4),
        (4, 4),
        (4, 4),
    ]
    assert lines[1][3] == [[5, "not an image"]]
    assert json.loads((folder / META).read_text()) == {
        "version": cache_module.VERSION,
        "images": 19,
        "chunks": 5,
    }
