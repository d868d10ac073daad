"""The committed records, and how records are written and read."""

import dataclasses
import json

import pytest

from benchmarks.protocol import RESULTS
from benchmarks.protocols import PROTOCOLS
from benchmarks.records import read_record, read_records, record_path, write_record
from benchmarks.render.dates import Dates
from benchmarks.render.page import page
from benchmarks.render.pictures import Links
from benchmarks.render.published import read_reported
from benchmarks.render.table import rows
from gan_lightning import TECHNIQUES

DIGITS = PROTOCOLS["digits"]


@pytest.mark.parametrize("seed", DIGITS.seeds)
@pytest.mark.parametrize("technique", TECHNIQUES)
def test_committed_digits_run_is_ten_times_better_than_untrained(technique, seed):
    path = record_path(RESULTS, "digits", technique, seed)
    record = read_record(path)
    assert record.status == "finished"
    assert (record.protocol, record.technique, record.seed) == ("digits", technique, seed)
    assert record.protocol_version == DIGITS.version
    assert record.last[DIGITS.distance] * 10 <= record.untrained[DIGITS.distance]
    assert record.commit
    assert not record.commit.endswith("-dirty")
    assert path.with_suffix(".png").stat().st_size > 1000


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_committed_runs_of_a_technique_differ_only_by_the_seed(technique):
    records = [r for r in read_records(RESULTS, DIGITS) if r.folder == technique]
    assert len(records) == len(DIGITS.seeds)
    models = [json.dumps([r.config["model"], r.config["data"], r.budget]) for r in records]
    assert len(set(models)) == 1
    assert len({json.dumps(r.last) for r in records}) == len(records)


def test_budget_and_best_agree_with_the_curve():
    for record in read_records(RESULTS, DIGITS):
        assert record.budget["generator_updates"] == record.config["trainer"]["max_steps"]
        assert record.curve[-1]["update"] == record.budget["generator_updates"]
        assert record.curve[-1]["images"] == record.budget["images"]
        assert record.best[DIGITS.distance] == min(p[DIGITS.distance] for p in record.curve)
        assert record.curve[0]["update"] == 0


def test_record_reads_back_as_it_was_written(tmp_path, record):
    path = write_record(record, tmp_path)
    assert path == record_path(tmp_path, "digits", record.technique, record.seed)
    assert read_record(path) == record
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_leaves_the_earlier_record(tmp_path, record):
    path = write_record(record, tmp_path)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_record(
            dataclasses.replace(record, last={"fd1797_digits_cnn": float("nan")}), tmp_path
        )
    assert read_record(path) == record


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"protocol": "digits"}', "3"])
def test_a_file_that_is_not_a_record_is_reported(tmp_path, text):
    path = tmp_path / "seed0.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"seed0\.json is not a record"):
        read_record(path)


def test_an_old_record_without_names_of_scores_is_read_and_shown(tmp_path, record):
    path = write_record(dataclasses.replace(record, protocol_version=3), tmp_path)
    content = json.loads(path.read_text())
    del content["distance"], content["score"]
    for point in content["curve"]:
        del point["train_seconds"]
    path.write_text(json.dumps(content))
    read = read_record(path)
    assert (read.distance, read.score) == (record.distance, record.score)
    (row,) = [row for row in rows([read], DIGITS, tmp_path) if row.key == "dcgan"]
    assert row.label == "DCGAN (stale)"
    assert row.values("last") == [9.0]
    dates = Dates(tmp_path, [read], ask_git=False)
    text = page([(DIGITS, [row])], read_reported(), Links(tmp_path, tmp_path), dates)
    assert text.count('DCGAN <span class="mark">stale</span>') == 1


@pytest.mark.parametrize(
    ("fake", "score", "diversity", "collapse"),
    [
        (2.4, 7.0, 0.8, None),
        (1.5, 7.0, 0.5, None),
        (1.4, 7.0, 1.4 / 3, "its samples have 47% of the diversity of real ones"),
        (0.0, 7.0, 0.0, "its samples have 0% of the diversity of real ones"),
        (2.4, 1.02, 0.8, "its is1797_digits_cnn is 1.02, that of samples which are all alike"),
        (None, 7.0, None, None),
        (None, 1.0, None, "its is1797_digits_cnn is 1.00, that of samples which are all alike"),
    ],
)
def test_a_record_tells_whether_its_last_samples_have_collapsed(
    tmp_path, record, fake, score, diversity, collapse
):
    last = {"fd1797_digits_cnn": 9.0, "is1797_digits_cnn": score}
    if fake is not None:
        last |= {"diversity/fake": fake, "diversity/real": 3.0}
    read = read_record(write_record(dataclasses.replace(record, last=last), tmp_path))
    assert read.diversity == pytest.approx(diversity)
    assert read.collapse == collapse


def test_a_single_real_sample_gives_no_diversity(record):
    last = {"fd1797_digits_cnn": 9.0, "diversity/fake": 1.0, "diversity/real": 0.0}
    read = dataclasses.replace(record, last=last)
    assert (read.diversity, read.collapse) == (None, None)


def test_records_of_every_version_are_read(tmp_path, record):
    old = dataclasses.replace(record, protocol_version=0)
    write_record(old, tmp_path)
    assert read_records(tmp_path, DIGITS) == [old]
