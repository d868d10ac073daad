"""Generated inputs: each is accepted, or rejected with one line that says what is wrong with it.

``--examples N`` generates N inputs of each kind, different ones in each run if N is larger than the
default; ``--timeout 0`` removes the time limit.
"""

import copy
import hashlib
import inspect
import io
import json
import logging
import shutil
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
import yaml
from formats import encoded, picture
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.trainer import call
from pytorch_lightning.trainer.states import TrainerStatus

from benchmarks.protocol import RESULTS, ROOT
from benchmarks.protocols import PROTOCOLS
from benchmarks.records import Record, read_record, record_path
from benchmarks.render import command as render
from gan_lightning import TECHNIQUES
from gan_lightning import data as data_modules
from gan_lightning.callbacks import Evaluate, RunCheckpoint, SampleWriter
from gan_lightning.cli.program import main
from gan_lightning.data import cache as cache_module
from gan_lightning.data import workers as workers_module
from gan_lightning.data.cache import CHUNKS, IMAGES, META, VERSION, open_cache
from gan_lightning.data.pixels import ImageTransform
from gan_lightning.data.sources import FolderSource
from gan_lightning.metrics import Features, Pool
from gan_lightning.metrics.statistics import read_statistics, write_statistics
from gan_lightning.utils.errors import UserError

hypothesis = pytest.importorskip("hypothesis", reason="NOT TESTED: hypothesis is not installed")
HealthCheck, example, given, settings, st = (
    getattr(hypothesis, name)
    for name in ("HealthCheck", "example", "given", "settings", "strategies")
)

#: Up to this number, the examples are the same in every run.
MAX_DETERMINISTIC = 100


@pytest.fixture
def fuzz(examples, record_property):
    """``fuzz(check, inputs, known)`` checks known inputs, and generated ones."""
    tried = 0

    def run(check, inputs, known=()):
        @given(inputs)
        def test(made_up):
            nonlocal tried
            tried += 1
            check(made_up)

        for one in known:
            test = example(one)(test)
        settings(
            max_examples=examples,
            derandomize=examples <= MAX_DETERMINISTIC,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )(test)()

    yield run
    record_property("inputs", tried)


# Building blocks of inputs

#: Text that a shell can pass.
WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
#: Text that a file can contain.
STRINGS = WORDS | st.text(st.characters(exclude_categories=["Cs"]) | st.just("\0"), max_size=12)
NUMBERS = st.one_of(
    st.integers(-3, 70),
    st.sampled_from([2**31, 2**63, 10**12, -(10**12), 10**400, -(10**400)]),
    st.floats(),
)
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, STRINGS)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(STRINGS, inner, max_size=3)
    ),
    max_leaves=5,
)
DEEP = 100_000


@st.composite
def damaged(draw, contents):
    """One of these byte strings, with parts removed, inserted, flipped or repeated."""
    content = bytearray(draw(contents))
    for _ in range(draw(st.integers(1, 4))):
        i = draw(st.integers(0, len(content)))
        j = draw(st.integers(i, min(len(content), i + draw(st.sampled_from([1, 8, 10_000])))))
        part = draw(
            st.one_of(
                st.just(b""),
                st.binary(max_size=8),
                st.sampled_from(FRAGMENTS),
                st.just(bytes(byte ^ 1 for byte in content[i:j])),
                st.just(bytes(content[i:j]) * 2),
            )
        )
        content[i:j] = part
    return bytes(content)


FRAGMENTS = [
    *(b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\0", b"\r\n", b"\xed\xa0\x80", b"\\ud800"),
    *(b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-0", b"9" * 400, b"9" * 5000, b"true"),
    *(b"null", b'"', b"{", b"}", b"[", b"]", b":", b",", b"\n", b"[" * DEEP, b'{"a":' * DEEP),
    *(b": ", b"- ", b"#", b"\t", b"'", b"? ", b"| ", b"> ", b"---\n", b"...\n", b"%YAML 9.9\n"),
    *(b"&a ", b"*a ", b"&a [*a] ", b"<<: ", b"!!python/object/apply:os.getcwd []", b"!!binary x"),
    *(b"!!int x", b"!!float x", b"!!timestamp 2001-99-99", b"!!set {a: 1}", b"!x ", b"0x", b"0o9"),
    *(b"1_0", b"2001-01-01", b"2001-99-99", b"1:99:99", b".inf", b".nan", b"=", b"@", b"`", b"~"),
]


def inner_paths(value, here=()):
    """The keys and indices that lead to each value inside nested lists and dicts."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield (*here, key)
        if isinstance(inner, dict | list):
            yield from inner_paths(inner, (*here, key))


@st.composite
def changed(draw, contents, values=JSON):
    """One of these nested lists and dicts, with values replaced, added and removed."""
    # The same object may be drawn again, so it must not be changed.
    content = copy.deepcopy(draw(contents))
    for _ in range(draw(st.integers(1, 3))):
        *path, last = draw(st.sampled_from(list(inner_paths(content)) or [[None]]))
        inside = content
        for key in path:
            inside = inside[key]
        match draw(st.sampled_from(["replace", "replace", "remove", "add"])):
            case _ if last is None:
                return content
            case "replace":
                inside[last] = copy.deepcopy(draw(values))
            case "remove":
                del inside[last]
            case "add" if isinstance(inside, dict):
                inside[draw(WORDS)] = copy.deepcopy(draw(values))
            case _:
                inside.insert(last, copy.deepcopy(draw(values)))
    return content


# Records

UNNAMED = PROTOCOLS["folder"]
RECORDS = [
    json.loads(record_path(RESULTS, "digits", technique, 0).read_text())
    for technique in ("dcgan", "began")
]
#: Records of a protocol that takes the names of its scores from the records.
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


def with_value(*path, value):
    """A record of that protocol, with one value replaced."""
    content = copy.deepcopy(RECORDS[2])
    inside = content
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = value
    return json.dumps(content).encode()


DISTANCE = RECORDS[2]["distance"]
#: Records that were once accepted, and could not be rendered.
KNOWN_RECORDS = {
    "a string instead of a number": with_value("last", DISTANCE, value="3"),
    "a number too large for a float": with_value("budget", "images", value=10**400),
    "not a number": with_value("wall_seconds", value=float("nan")),
    "a list instead of a status": with_value("status", value=["finished"]),
    "no budget": with_value("budget", value={}),
    "a curve of another score": with_value("curve", value=[{"update": 0}]),
    "a negative distance": with_value("curve", 1, DISTANCE, value=-1.0),
    "a distance of 0": with_value("curve", 1, DISTANCE, value=0.0),
    "the smallest distance": with_value("curve", 1, DISTANCE, value=5e-324),
    "the largest distance": with_value("curve", 1, DISTANCE, value=1.7e308),
    "negative images": with_value("curve", value=[{"update": 0, "images": -1, DISTANCE: 1.0}]),
    "the shortest axis": with_value(
        "curve", value=[{"update": 0, "images": 5e-324, DISTANCE: 1.0}]
    ),
    "half a surrogate pair": with_value("message", value="\ud800"),
    "markup in a name": with_value("score", value="[/b]"),
    "a seed too long for a path": with_value("seed", value=10**300),
    "more than one line": with_value("a\nb", value=1),
    "nested too deeply": b"[" * DEEP,
}


def test_a_record_is_rendered_or_rejected_in_one_line(fuzz, tmp_path, capsys):
    output = tmp_path / "output"

    def check(content):
        path = record_path(tmp_path / "results", *_run_of(content), 0)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        try:
            record = read_record(path)
            assert isinstance(record, Record)
        except ValueError as error:
            message = str(error)
            assert message.startswith(f"{path} is not a record: ")
            assert len(message.splitlines()) == 1
        try:
            render.main(["--results", str(tmp_path / "results"), "--output", str(output)])
        except SystemExit as error:
            message = str(error)
            assert message.startswith(f"benchmarks.render: {path} ")
            assert len(message.splitlines()) == 1
        finally:
            capsys.readouterr()
            path.unlink()

    fuzz(check, record_files, KNOWN_RECORDS.values())


def _run_of(content):
    """The protocol and the technique that a file names, if they are known."""
    for known in RECORDS:
        names = (known["protocol"], known["technique"])
        if all(f'"{name}"'.encode() in content for name in names):
            return names
    return "digits", "dcgan"


# Caches

TRANSFORM = ImageTransform(3, 8)
PICTURES = 5
#: Instead of the content of a file.
MISSING, FOLDER = "no file", "a folder"


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """A source of pictures, its cache, and the folder of the cache."""
    monkeypatch.setattr(cache_module, "CHUNK", 2)
    monkeypatch.setattr(workers_module, "WORKERS", 0)
    for i in range(PICTURES):
        path = tmp_path / "images" / f"class{i % 2}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(picture(8, 8, i), "PNG") if i != 1 else b"no picture")
    source = FolderSource(tmp_path / "images")
    complete = tmp_path / "complete"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cache = open_cache(source, TRANSFORM, complete, "test")
    (folder,) = [path for path in complete.iterdir() if path.is_dir()]
    return source, cache, folder


def test_a_cache_returns_the_right_pictures_or_is_rebuilt(fuzz, cached, tmp_path):
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
            st.one_of(st.just(files[name]), changes, st.sampled_from([MISSING, FOLDER]))
            for name, changes in replaced.items()
        ),
    )

    def check(state):
        half_built, *contents = state
        parent = tmp_path / "parent"
        target = parent / (folder.name + ".part" * half_built)
        target.mkdir(parents=True)
        for name, content in zip(replaced, contents, strict=True):
            if content is FOLDER:
                (target / name).mkdir()
            elif content is not MISSING:
                (target / name).write_bytes(content)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                cache = open_cache(source, TRANSFORM, parent, "test")
        except UserError:
            assert FOLDER in contents
        else:
            assert torch.equal(cache.images, true_images)
            assert torch.equal(cache.labels, true.labels)
        finally:
            shutil.rmtree(parent)

    half, pixels, meta = True, files[IMAGES], files[META]
    last = files[CHUNKS].replace(b"[3, ", b"[2, ")
    known = [
        # Floats instead of integers, which are not indices.
        (half, pixels, files[CHUNKS].replace(b"[2, 2,", b"[2.0, 2.0,"), MISSING),
        # More pictures than there are, all of them skipped.
        (
            half,
            b"",
            b"[99, 0, 0, [" + b", ".join(b'[%d, ""]' % i for i in range(99)) + b"], [], false]\n",
            MISSING,
        ),
        (
            not half,
            b"",
            b'[1, 0, 0, [[0, ""]], [], false]\n',
            b'{"version": %d, "images": 0, "chunks": 1}' % VERSION,
        ),
        # Longer than when it was written: the next lines would be written into the middle of it.
        (half, pixels, files[CHUNKS].replace(b", ", b",    "), MISSING),
        # One bit has changed: another picture is skipped, so the labels belong to other pictures.
        (not half, pixels, last, meta),
        (half, pixels, last, MISSING),
        # A picture that is not dark, which would be skipped.
        (half, pixels, files[CHUNKS].replace(b"[], false]", b'[[0, ""]], false]', 1), MISSING),
        (half, pixels, files[CHUNKS].replace(b"[], false]", b"[], [0]]", 1), MISSING),
        (not half, pixels, b"[" * DEEP + b"\n", meta),
        (not half, pixels, files[CHUNKS], b"[" * DEEP),
    ]
    fuzz(check, states, known)


# Statistics


def signed(content):
    """The bytes of a file with a valid checksum."""
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


def test_statistics_are_read_or_computed_again(fuzz, tmp_path):
    features = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    pool = Pool(3, keep=False)
    pool.add(features, features[:, :2], torch.arange(6))
    written, path = [], tmp_path / "file"
    with_neighbours = Features(features)
    assert len(with_neighbours.neighbour_distances) == len(features)
    for one in (Features(features, features[:, :2]), with_neighbours, pool.gather()):
        write_statistics(one, path)
        written.append(path.read_bytes())
    contents = [torch.load(io.BytesIO(content[64:]), weights_only=True) for content in written]

    def check(content):
        path.write_bytes(content)
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            read = read_statistics(path)
        if read is None:
            assert "the features of real samples are computed again" in str(warned[-1].message)
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


# The command line


MODELS = [technique.__name__ for technique in TECHNIQUES.values()]
DATA = ["Digits", "Ring", "Grid", "SwissRoll", "MNIST", "CIFAR10", "ImageFolder", "LSUN"]
MODULES = [*TECHNIQUES.values(), *(getattr(data_modules, name) for name in DATA)]
MODULES += [data_modules.GANDataModule, data_modules.ImageDataModule, data_modules.CachedDataModule]
GROUPS = {
    "model": [*MODULES[: len(TECHNIQUES)], TECHNIQUES["dcgan"].__base__],
    "data": MODULES[len(TECHNIQUES) :],
    "trainer": [pl.Trainer],
    "evaluate": [Evaluate],
    "checkpoint": [ModelCheckpoint, RunCheckpoint],
    "samples": [SampleWriter],
}
#: All options of the classes, with the parameters they set.
OPTIONS = {
    f"--{group}.{name}": parameter
    for group, classes in GROUPS.items()
    for cls in classes
    for name, parameter in inspect.signature(cls).parameters.items()
}
OTHER_OPTIONS = [
    "--model",
    "--data",
    "--config",
    "-c",
    "--ckpt_path",
    "--seed_everything",
    "--trainer",
]
OTHER_OPTIONS += [
    "--evaluate",
    "--return_predictions",
    "--weights_only",
    "--print_config",
    "--verbose",
]
OTHER_OPTIONS += [
    "--model.help",
    "--data.help",
    "--trainer.callbacks.help",
    "--help",
    "-h",
    "--version",
]
OTHER_OPTIONS += ["--trainer.callbacks+", "--trainer.logger.name", "--trainer.callbacks.monitor"]
OTHER_OPTIONS += ["--model.class_path", "--model.init_args", "--data.init_args.batch_size"]
OTHER_OPTIONS += ["--data.dict_kwargs.more", "--model.init_args.network", "--fit", "--fit.model"]
SCORE = ["--real", "--fake", "--extractor", "--weights", "--metrics", "--batch_size", "--device"]
SCORE += ["--json"]
COMMANDS = ["fit", "validate", "test", "predict"]
CLASSES = ["CSVLogger", "EarlyStopping", "Timer", "ModelCheckpoint", "MLFlowLogger", "CometLogger"]
CLASSES += ["TensorBoardLogger", "NeptuneLogger", "gan_lightning.GAN", "gan_lightning.WGANGP"]
CLASSES += ["os.system", "builtins.dict", "sys.exit", "torch.nn.Linear", "gan_lightning.nothing"]
CLASSES += ["gan_lightning", "nowhere.Nothing", ".", "..", ".a", "a..b", "a.", "GAN", "1.2"]
PLAIN = ["true", "false", "null", "None", "auto", "none", "cpu", "gpu", "tpu", "cuda", "cuda:1"]
PLAIN += ["mps", "meta", "ddp", "ddp_spawn", "fsdp", "deepspeed", "warn", "simple", "xla", "min"]
PLAIN += ["bf16-mixed", "64", "16-true", "link", "layer", "hinge", "digits_cnn", "inception"]
PLAIN += ["mobilenet_v2", "dinov2_vit_b_14", "classifier", "fd", "is", "kid", "white", "#12345g"]
PLAIN += ["host", "device", "dcgan", "resnet", "mlp", "train", "0:00:00:10", "00:00:99:00", "a:b"]
PLAIN += ["0,1", "0,a", "[0]", "[]", "[-1]", "{}", "[[]]", "[0,0.9]", "[0.5]", "{a: 1}", "[null]"]
PATHS = [
    "images",
    "images/0.png",
    "nowhere",
    "",
    ".",
    "..",
    "~",
    "~nobody",
    "/dev/null",
    "deep.yaml",
]
PATHS += ["/dev/null/x", "/proc/x", "x" * 300, "x/" * 3000, "a\nb"]
PATHS += [
    "text.ckpt",
    "empty.ckpt",
    "other.ckpt",
    "best",
    "last",
    "hpc",
    "registry",
    "s3://bucket/x",
    "nowhere://x",
    "file:///",
]
PATHS += ["archive.zip", "wrong.yaml", "latin.yaml", "right.yaml"]
STRANGE = [
    "[",
    "{",
    "[1",
    "{a",
    "}",
    "a: b: c",
    "- ",
    "*a",
    "&a",
    "&a [*a]",
    "!!int x",
    "!x",
    "%",
    "@",
]
STRANGE += [
    "!!python/object/apply:os.getcwd []",
    "!!binary x",
    "!!set {a}",
    "? ",
    "|",
    ">",
    "'",
    '"',
]
STRANGE += ["`", "\t", "\n", " ", "=", "\u2028", "\x85", "\x1b[31m", "\ufeff", "\udcff", "é\udce9"]
STRANGE += ["日本", "😀", "nan", "NaN", ".nan", "inf", "-inf", ".inf", "1e999", "-1e999", "1e-999"]
STRANGE += ["0x10", "0b1", "0o9", "1_000", "1:30", "2001-99-99", "9" * 400, "9" * 5000, "-0", "-1"]
STRANGE += [str(n) for n in (2**31, 2**63, -(2**63) - 1, 2**64, 10**12, 10**30)]
STRANGE += ["[" * 3000, "{a: " * 3000, "[" * 500 + "]" * 500, "{}: 1", "[1]: 2", "{[]: 1}", "1: 2"]
STRANGE += ["{class_path: Digits}", "{class_path: 3}", "{class_path: null}", "{init_args: {}}"]
STRANGE += ["{class_path: WGANGP, init_args: 3}", "{class_path: WGANGP, init_args: {3: 4}}"]
STRANGE += ["{class_path: [], init_args: {}}", "{class_path: WGANGP, more: 1}", "[EarlyStopping]"]
STRANGE += ["[{class_path: EarlyStopping, init_args: {monitor: a}}]", "[{class_path: Timer}]"]

VALUES = st.one_of(
    st.integers(-2, 70).map(str),
    st.sampled_from([*MODELS, *DATA]),
    *(st.sampled_from(some) for some in (CLASSES, PLAIN, PATHS, STRANGE)),
    WORDS,
)


#: Values of each type.
TYPED = {
    "bool": ["true", "false"],
    "int": ["-1", "0", "1", "3", "1000", *(n for n in STRANGE if n.lstrip("-").isdigit())],
    "float": ["-1", "0", "0.5", "1", "2", "nan", ".nan", ".inf", "-.inf", "1e300", "1e-320"],
    "str": [*PLAIN, *PATHS],
    "Literal": PLAIN,
    "None": ["null"],
    "list": ["[]", "[0]", "[0,1]", "[-1]", "[null]"],
    "tuple": ["[0,0.9]", "[1,1]", "[-1,2]", "[0.5,0.9]"],
    "Path": PATHS,
    "time": ["0:00:00:10", "00:00:00:00", "{days: 1}", "{seconds: -1}", "{days: 1e12}"],
    "Strategy": ["auto", "ddp", "ddp_spawn", "fsdp", "deepspeed", "xla"],
    "Accelerator": ["cpu", "gpu", "tpu", "mps"],
    "Logger": ["CSVLogger", "TensorBoardLogger", "MLFlowLogger", "CometLogger", "true", "false"],
    "Callback": [
        "EarlyStopping",
        "Timer",
        "ModelCheckpoint",
        "RichProgressBar",
        "DeviceStatsMonitor",
    ],
    "Profiler": ["simple", "advanced", "pytorch", "xla", "PyTorchProfiler"],
}


@st.composite
def misspelt(draw, words):
    """A word with a letter lost, doubled or changed."""
    word = draw(words)
    i = draw(st.integers(0, max(0, len(word) - 1)))
    middle = draw(st.one_of(st.just(""), st.just(word[i : i + 1] * 2), WORDS))
    return word[:i] + middle + word[i + 1 :]


@st.composite
def typed_option(draw):
    """An option with a value of its type, which may be too large or make no sense."""
    name, parameter = draw(st.sampled_from(sorted(OPTIONS.items())))
    kinds = [kind for kind in TYPED if kind in str(parameter.annotation)]
    values = [*[str(parameter.default)] * (parameter.default is not parameter.empty)]
    values += [value for kind in kinds for value in TYPED[kind]]
    return [f"{name}={draw(st.sampled_from(values or ['1']))}"]


@st.composite
def any_option(draw, names):
    """An option with any value, joined to it or separate, or without one."""
    name = draw(names if draw(st.integers(0, 5)) else misspelt(names))
    value = draw(VALUES)
    return draw(st.sampled_from([[f"{name}={value}"], [f"{name}={value}"], [name, value], [name]]))


ANY_OPTION = any_option(st.sampled_from(sorted(OPTIONS)) | st.sampled_from(OTHER_OPTIONS))


@st.composite
def command_line(draw):
    """What a shell may pass: mostly a command with classes and options."""
    kind = draw(st.sampled_from(["train", "train", "train", "train", "score", "text"]))
    if kind == "text":
        return draw(st.lists(st.one_of(VALUES, st.sampled_from(OTHER_OPTIONS), WORDS), max_size=4))
    if kind == "score":
        given = [
            "score",
            "--real=images",
            "--fake=images",
            "--extractor=digits_cnn",
            "--device=cpu",
        ]
        options = [any_option(st.sampled_from(SCORE))]
    else:
        model, data = draw(st.sampled_from(MODELS)), draw(st.sampled_from(DATA[:4]))
        given = [draw(st.sampled_from(COMMANDS)), f"--model={model}", f"--data={data}", *SMALL]
        options = [typed_option(), typed_option(), ANY_OPTION]
    if not draw(st.integers(0, 9)):
        given[0] = draw(st.one_of(misspelt(st.just(given[0])), VALUES))
    if not draw(st.integers(0, 9)):
        del given[draw(st.integers(0, len(given) - 1))]
    more = draw(st.lists(st.one_of(options), max_size=3))
    return [*given, *(argument for option in more for argument in option)]


SMALL = ["--model.generator_width=8", "--model.critic_width=8"]


@pytest.fixture
def answer(tmp_path, monkeypatch, no_network):
    """``answer(arguments)`` runs a command without the training, and checks its messages."""
    (tmp_path / "images").mkdir()
    for i in range(12):
        (tmp_path / "images" / f"{i}.png").write_bytes(encoded(picture(8, 8, i), "PNG"))
    shutil.make_archive("archive", "zip", "images")
    shutil.copy("archive.zip", "other.ckpt")
    Path("text.ckpt").write_text("text")
    Path("empty.ckpt").touch()
    Path("right.yaml").write_text("model: WGANGP\ndata: Digits\n")
    Path("wrong.yaml").write_text("model: [WGANGP")
    Path("latin.yaml").write_bytes("model: é".encode("latin-1"))
    Path("deep.yaml").write_text("model: " + "[" * DEEP)
    monkeypatch.setattr(pl.Trainer, "_run", _no_run)
    with_signals = call._call_and_handle_interrupt

    def without_processes(trainer, *args, **kwargs):
        if trainer.strategy.launcher is None:
            with_signals(trainer, *args, **kwargs)

    monkeypatch.setattr(call, "_call_and_handle_interrupt", without_processes)
    yield _answer
    torch.use_deterministic_algorithms(False)


def _no_run(trainer, *args, **kwargs):
    trainer.training = False
    trainer.state.status = TrainerStatus.FINISHED


def _answer(arguments):
    out, err = (
        io.TextIOWrapper(io.BytesIO(), "utf-8", errors, write_through=True)
        for errors in ("strict", "backslashreplace")
    )
    logger = logging.getLogger("pytorch_lightning.utilities.rank_zero")
    filters = list(logger.filters)
    with redirect_stdout(out), redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            main(arguments)
            code = 0
        except SystemExit as stopped:
            code = stopped.code or 0
        finally:
            logger.filters[:] = filters
    stderr = err.buffer.getvalue().decode()
    assert code in (0, 1, 2, 130), code
    assert "Traceback" not in stderr
    if code:
        lines = stderr.splitlines()
        assert lines
        assert [line for line in lines if not line.startswith("gan-lightning: ")] == []
        assert len(lines) == 1 or arguments[0] == "score", stderr
    return code, stderr


LONG = "x" * 300
TRAIN = ["--model=DCGAN", "--data=Ring", *SMALL]
SCORED = ["score", "--real=images", "--fake=images"]
#: Command lines that once ended with a traceback, or did not end.
KNOWN_COMMAND_LINES = {
    "a path that is too long": ["fit", *TRAIN, f"--ckpt_path={LONG}"],
    "images of an unknown user": ["score", "--real=~nobody0/x", "--fake=images"],
    "images at a path that is too long": ["score", f"--real={LONG}", "--fake=images"],
    "weights at a path that is too long": [*SCORED, f"--weights={LONG}"],
    "a classifier at a path that is too long": [
        *SCORED,
        "--extractor=classifier",
        f"--weights={LONG}",
    ],
    "a backbone at a path that is too long": [
        *SCORED,
        "--extractor=mobilenet_v2",
        f"--weights={LONG}",
    ],
    "a device whose package is missing": [*SCORED, "--extractor=digits_cnn", "--device=hpu"],
    "a negative seed": ["fit", *TRAIN, "--seed_everything=-1"],
    "a seed beyond 32 bits": ["fit", *TRAIN, f"--seed_everything={10**12}"],
    "more devices than an index can hold": ["fit", *TRAIN, f"--trainer.devices={10**400}"],
    "more devices than fit in memory": ["fit", *TRAIN, f"--trainer.devices={10**12}"],
    "more batches than a float can hold": ["fit", *TRAIN, f"--trainer.limit_val_batches={10**400}"],
    "a log folder whose package is missing": ["fit", *TRAIN, "--trainer.logger=s3://bucket/x"],
    "a checkpoint that Lightning does not find": ["fit", *TRAIN, "--ckpt_path=best"],
    "two callbacks of the same type": [
        "fit",
        *TRAIN,
        '--trainer.callbacks=[{"class_path": "Timer"}, {"class_path": "Timer"}]',
    ],
    "a folder below a file": ["validate", *TRAIN, "--trainer.default_root_dir=/dev/null/x"],
    "a value that is nested too deeply": ["fit", f"--data={'[' * 3000}"],
    "a value that contains itself": ["fit", "--data=&a [*a]"],
    "a file that is not UTF-8": ["fit", "--config=latin.yaml"],
    "a file that is nested too deeply": ["fit", "--config=deep.yaml"],
}


@pytest.mark.parametrize("known", KNOWN_COMMAND_LINES)
def test_a_known_mistake_is_reported_in_one_line(answer, known):
    code, _ = answer(KNOWN_COMMAND_LINES[known])
    assert code in (1, 2)


def test_a_command_line_is_executed_or_rejected_in_one_line(fuzz, answer):
    fuzz(answer, command_line())


# Configs

CONFIGS = [path.read_bytes() for path in sorted((ROOT / "configs" / "digits").glob("*.yaml"))]
WRONG = st.one_of(
    JSON,
    VALUES.filter(lambda text: "\udcff" not in text and "\udce9" not in text),
    st.sampled_from([float("nan"), float("inf"), 10**12, 10**400, [], {}, [[]], [None], ""]),
    st.fixed_dictionaries(
        {"class_path": st.sampled_from([*CLASSES, *MODELS, *DATA, 3, None, [], {}])},
        optional={
            "init_args": JSON,
            "dict_kwargs": JSON,
            "more": JSON,
        },
    ),
)


@st.composite
def config(draw):
    """A nested config: some of the sections, and in them some of the options, right or wrong."""
    model, data = draw(st.sampled_from(MODELS)), draw(st.sampled_from(DATA[:4]))
    widths = {"generator_width": 8, "critic_width": 8}
    content = {
        "model": {"class_path": model, "init_args": widths},
        "data": {"class_path": data, "init_args": {}},
        "trainer": {},
    }
    for _ in range(draw(st.integers(0, 3))):
        group = draw(st.sampled_from(sorted(GROUPS)))
        known = [name.split(".")[1] for name in OPTIONS if name.startswith(f"--{group}.")]
        name = draw(st.one_of(st.sampled_from(known), st.sampled_from(known), WORDS))
        section = content.setdefault(group, {})
        section.get("init_args", section)[name] = copy.deepcopy(draw(WRONG))
    if draw(st.booleans()):
        content = draw(changed(st.just(content), WRONG))
    if draw(st.integers(0, 3)) == 0:
        key = draw(st.one_of(st.sampled_from([*GROUPS, "fit", "config", "subcommand"]), LEAVES))
        content[key] = copy.deepcopy(draw(WRONG))
    return yaml.safe_dump(content, allow_unicode=draw(st.booleans())).encode()


CONFIG_FILES = st.one_of(
    config(),
    config(),
    damaged(st.sampled_from(CONFIGS)),
    damaged(config()),
    JSON.map(lambda content: yaml.safe_dump(content).encode()),
    st.binary(max_size=20),
)


#: Configs that once ended with a traceback, a crash, or more than one line.
KNOWN_CONFIGS = [
    *(b"\xf0", b"model: " + b"[" * DEEP, b"a: " * 3 + b"&a [*a]", b"model: &a {b: *a}"),
    *(b"seed_everything: " + b"9" * 5000, b"model: !!timestamp 2001-99-99", b"model: !!int x"),
    b'model: WGANGP\ndata:\n  class_path: Ring\n  init_args: {"a\\nb\\u2028c": 1}\n',
    *(b"config: %b\nmodel: DCGAN\ndata: Ring\n" % value for value in (b"false", b"null", b"[a]")),
    *(b"trainer: %b\nmodel: DCGAN\ndata: Ring\n" % value for value in (b".nan", b"null", b"[a]")),
    b"trainer: {default_root_dir: null}\nmodel: DCGAN\ndata: Ring\n",
    *(b"model: !!%b" % value for value in (b"timestamp 2001-99-99#", b"bool x", b"int ''")),
    b'trainer: {default_root_dir: "a\\0b"}\nmodel: DCGAN\ndata: Ring\n',
    b'ckpt_path: "a\\0b"\nmodel: DCGAN\ndata: Ring\n',
]


def test_a_config_is_executed_or_rejected_in_one_line(fuzz, answer):
    path = Path("made_up.yaml")

    def check(content):
        path.write_bytes(content)
        answer(["fit", f"--config={path}"])

    fuzz(check, CONFIG_FILES, KNOWN_CONFIGS)
