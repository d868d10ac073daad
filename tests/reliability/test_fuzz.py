"""Made-up inputs: each gets an answer, or one line that says what is wrong with it.

``--examples N`` makes up so many inputs of each kind, others at each call where they are more than
the default; ``--timeout 0`` gives them the time.
"""

import copy
import dataclasses
import hashlib
import inspect
import io
import json
import shutil
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
import yaml
from formats import encoded, picture
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.trainer import call
from pytorch_lightning.trainer.states import TrainerStatus

from benchmarks import render
from benchmarks.protocol import PROTOCOLS, RESULTS, ROOT
from benchmarks.records import Record, read_record, record_path, write_whole
from gan_lightning import TECHNIQUES
from gan_lightning import data as data_modules
from gan_lightning.callbacks import Evaluate, SampleWriter
from gan_lightning.cli import main
from gan_lightning.data import cache as cache_module
from gan_lightning.data import workers as workers_module
from gan_lightning.data.cache import CHUNKS, IMAGES, META, open_cache
from gan_lightning.data.pixels import Form
from gan_lightning.data.sources import FolderSource
from gan_lightning.errors import UserError
from gan_lightning.metrics import Features, Pool
from gan_lightning.metrics.statistics import read_statistics, write_statistics

#: Up to so many, the same at every call.
FEW = 100


@pytest.fixture
def fuzz(request):
    """``fuzz(check, inputs, known)``: the check of inputs that are known, and of made-up ones."""
    count = request.config.getoption("--examples")

    def run(check, inputs, known=()):
        test = given(inputs)(lambda made_up: check(made_up))
        for one in known:
            test = example(one)(test)
        settings(
            max_examples=count,
            derandomize=count <= FEW,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )(test)()

    return run


# What inputs are made of

#: Of what a shell hands over, and of what a program may be given in a file.
WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.one_of(
    st.integers(-3, 70),
    st.sampled_from([2**31, 2**63, 10**12, -(10**12), 10**400, -(10**400)]),
    st.floats(),
)
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, WORDS)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(WORDS, inner, max_size=3)
    ),
    max_leaves=5,
)
DEEP = 100_000


@st.composite
def damaged(draw, contents):
    """Bytes of one of these, cut, flipped, joined or filled up."""
    content = bytearray(draw(contents))
    for _ in range(draw(st.integers(1, 4))):
        i = draw(st.integers(0, len(content)))
        j = draw(st.integers(i, min(len(content), i + draw(st.sampled_from([1, 8, 10_000])))))
        part = draw(
            st.one_of(
                st.just(b""),
                st.binary(max_size=8),
                st.sampled_from(SPLINTERS),
                st.just(bytes(byte ^ 1 for byte in content[i:j])),
                st.just(bytes(content[i:j]) * 2),
            )
        )
        content[i:j] = part
    return bytes(content)


SPLINTERS = [
    *(b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\0", b"\r\n", b"\xed\xa0\x80", b"\\ud800"),
    *(b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-0", b"9" * 400, b"9" * 5000, b"true"),
    *(b"null", b'"', b"{", b"}", b"[", b"]", b":", b",", b"\n", b"[" * DEEP, b'{"a":' * DEEP),
    *(b": ", b"- ", b"#", b"\t", b"'", b"? ", b"| ", b"> ", b"---\n", b"...\n", b"%YAML 9.9\n"),
    *(b"&a ", b"*a ", b"&a [*a] ", b"<<: ", b"!!python/object/apply:os.getcwd []", b"!!binary x"),
    *(b"!!int x", b"!!float x", b"!!timestamp 2001-99-99", b"!!set {a: 1}", b"!x ", b"0x", b"0o9"),
    *(b"1_0", b"2001-01-01", b"2001-99-99", b"1:99:99", b".inf", b".nan", b"=", b"@", b"`", b"~"),
]


def places(value, here=()):
    """The ways to all that is inside nested lists and dicts."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield (*here, key)
        if isinstance(inner, dict | list):
            yield from places(inner, (*here, key))


@st.composite
def changed(draw, contents, values=JSON):
    """One of these, nested lists and dicts, with values replaced, added and left out."""
    content = copy.deepcopy(draw(contents))
    for _ in range(draw(st.integers(1, 3))):
        *way, last = draw(st.sampled_from(list(places(content)) or [[None]]))
        inside = content
        for key in way:
            inside = inside[key]
        match draw(st.sampled_from(["replace", "replace", "remove", "add"])):
            case _ if last is None:
                return content
            case "replace":
                inside[last] = draw(values)
            case "remove":
                del inside[last]
            case "add" if isinstance(inside, dict):
                inside[draw(WORDS)] = draw(values)
            case _:
                inside.insert(last, draw(values))
    return content


# Records

UNNAMED = PROTOCOLS["folder"]
RECORDS = [
    json.loads(record_path(RESULTS, "digits", technique, 0).read_text())
    for technique in ("dcgan", "began")
]
#: That of a protocol whose scores are called what its records say.
RECORDS += [content | {"protocol": UNNAMED.name} for content in RECORDS]
RECORDS += [
    content | {"status": "failed", "message": "out of memory", "last": {}, "curve": []}
    for content in RECORDS[:1]
]
TEXTS = [json.dumps(content).encode() for content in RECORDS]

record_files = st.one_of(
    changed(st.sampled_from(RECORDS)).map(lambda content: json.dumps(content).encode()),
    damaged(st.sampled_from(TEXTS)),
    JSON.map(lambda content: json.dumps(content).encode()),
    st.binary(max_size=20),
)


def with_value(*way, value):
    """The first record's file with another value."""
    content = copy.deepcopy(RECORDS[2])
    inside = content
    for key in way[:-1]:
        inside = inside[key]
    inside[way[-1]] = value
    return json.dumps(content).encode()


def test_a_record_is_read_and_shown_or_refused_in_one_line(fuzz, tmp_path, capsys):
    output = tmp_path / "output"

    def check(content):
        path = record_path(tmp_path / "results", *_run_of(content), 0)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        try:
            record = read_record(path)
        except ValueError as error:
            assert str(error).startswith(f"{path} is not a record: ")
            assert len(str(error).splitlines()) == 1
        else:
            assert isinstance(record, Record)
        try:
            render.main(["--results", str(tmp_path / "results"), "--output", str(output)])
        except SystemExit as error:
            assert str(error).startswith(str(path))
            assert len(str(error).splitlines()) == 1
        finally:
            capsys.readouterr()
            path.unlink()

    fuzz(check, record_files)


def _run_of(content):
    """The protocol and the technique that a file's record says, where they are known."""
    for known in RECORDS:
        names = (known["protocol"], known["technique"])
        if all(f'"{name}"'.encode() in content for name in names):
            return names
    return "digits", "dcgan"


# Caches

FORM = Form(3, 8)
PICTURES = 5
#: In place of a file.
GONE, FOLDER = "no file", "a folder"


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """A source, the pictures that are in it, and the folder of its cache, built and half built."""
    monkeypatch.setattr(cache_module, "CHUNK", 2)
    monkeypatch.setattr(workers_module, "WORKERS", 0)
    for i in range(PICTURES):
        path = tmp_path / "images" / f"class{i % 2}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(picture(8, 8, i), "PNG") if i != 1 else b"no picture")
    source = FolderSource(tmp_path / "images")
    whole = tmp_path / "whole"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cache = open_cache(source, FORM, whole, "test")
    (folder,) = [path for path in whole.iterdir() if path.is_dir()]
    return source, cache, folder


def test_a_cache_gives_the_true_pictures_or_is_made_again(fuzz, cached, tmp_path):
    source, true, folder = cached
    true_images = true.images.clone()
    files = {name: (folder / name).read_bytes() for name in (IMAGES, CHUNKS, META)}
    lines = [json.loads(line) for line in files[CHUNKS].splitlines()]
    replaced = {
        IMAGES: damaged(st.just(files[IMAGES])),
        CHUNKS: st.one_of(
            damaged(st.just(files[CHUNKS])),
            changed(st.just(lines)).map(
                lambda lines: "".join(json.dumps(line) + "\n" for line in lines).encode()
            ),
        ),
        META: st.one_of(
            damaged(st.just(files[META])),
            changed(st.just(json.loads(files[META]))).map(lambda meta: json.dumps(meta).encode()),
            JSON.map(lambda meta: json.dumps(meta).encode()),
        ),
    }
    states = st.tuples(
        st.booleans(),
        *(
            st.one_of(st.just(files[name]), changes, st.sampled_from([GONE, FOLDER]))
            for name, changes in replaced.items()
        ),
    )

    def check(state):
        half_built, *contents = state
        parent = tmp_path / "parent"
        place = parent / (folder.name + ".part" * half_built)
        place.mkdir(parents=True)
        for name, content in zip(replaced, contents, strict=True):
            if content is FOLDER:
                (place / name).mkdir()
            elif content is not GONE:
                (place / name).write_bytes(content)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                cache = open_cache(source, FORM, parent, "test")
        except UserError:
            assert FOLDER in contents
        else:
            assert torch.equal(cache.images, true_images)
            assert torch.equal(cache.labels, true.labels)
        finally:
            shutil.rmtree(parent)

    fuzz(check, states)


# Statistics


def signed(content):
    """The bytes of a file whose checksum is right."""
    return hashlib.sha256(content).hexdigest().encode() + content


def saved(content):
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return signed(buffer.getvalue())


TENSORS = st.builds(
    lambda shape, dtype: torch.zeros(shape, dtype=dtype),
    st.lists(st.integers(0, 4), max_size=3),
    st.sampled_from([torch.float32, torch.float64, torch.int64, torch.bool, torch.complex64]),
)
ODD_TENSORS = st.sampled_from(
    [
        torch.eye(3).to_sparse(),
        torch.zeros(3, 3, device="meta"),
        torch.nn.Parameter(torch.zeros(3, 3)),
    ]
)


def test_statistics_are_read_or_measured_again(fuzz, tmp_path):
    features = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    pool = Pool(3, keep=False)
    pool.add(features, features[:, :2], torch.arange(6))
    written, path = [], tmp_path / "file"
    for one in (Features(features, features[:, :2]), pool.gathered()):
        write_statistics(one, path)
        written.append(path.read_bytes())
    contents = [torch.load(io.BytesIO(content[64:]), weights_only=True) for content in written]

    def check(content):
        path.write_bytes(content)
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            read = read_statistics(path)
        if read is None:
            assert "the real samples are measured again" in str(warned[-1].message)
        else:
            assert len(read) == read.moments.count
            assert read.finite in (True, False)
            assert (read.moments + read.moments).products.shape == read.moments.products.shape

    fuzz(
        check,
        st.one_of(
            damaged(st.sampled_from(written)),
            damaged(st.sampled_from([content[64:] for content in written])).map(signed),
            changed(st.sampled_from(contents), TENSORS | ODD_TENSORS | JSON).map(saved),
            (TENSORS | ODD_TENSORS | JSON).map(saved),
        ),
    )
