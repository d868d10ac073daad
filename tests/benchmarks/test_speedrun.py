"""Speed runs: the clock, the rules, the records and their tables."""

import dataclasses
import json

import pytest

from benchmarks import speedrun
from benchmarks.protocol import SPEEDRUNS
from benchmarks.render.speedruns import speedrun_tables
from benchmarks.speedrun import TRACKS, Speedrun, main, read_speedrun
from gan_lightning.utils.errors import WrongFileError

DIGITS = TRACKS["digits"]
TINY = ("model.generator_width=8", "model.critic_width=8", "trainer.val_check_interval=4")


@pytest.fixture
def target(monkeypatch):
    """``target(distance)`` makes it that of the track of digits."""

    def set_to(distance):
        changed = dataclasses.replace(DIGITS, target=distance)
        monkeypatch.setitem(speedrun.TRACKS, "digits", changed)

    return set_to


def entry(tmp_path, *arguments):
    main(
        [
            *("--track", "digits", "--name", "mine", "--technique", "wgan gp", "--seeds", "3"),
            *("--results", str(tmp_path), "--options", *TINY, *arguments),
        ]
    )
    return read_speedrun(tmp_path / "digits" / "mine" / "seed3.json")


@pytest.mark.slow
def test_the_clock_stops_at_the_first_evaluation_that_reaches_the_target(target, tmp_path, capsys):
    target(1e9)
    found = entry(tmp_path, "trainer.max_steps=100000")
    assert (found.technique, found.seed, found.target) == ("wgan_gp", 3, 1e9)
    ((update, seconds, distance),) = (point.values() for point in found.curve)
    assert update == 0
    assert 0 < seconds == found.seconds
    assert distance > 100
    assert found.options == [*TINY, "trainer.max_steps=100000"]
    assert f"reached after {seconds:.1f} s" in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_that_does_not_reach_it_keeps_its_whole_curve(target, tmp_path, capsys):
    target(0.0)
    found = entry(tmp_path, "trainer.max_steps=8")
    assert found.seconds is None
    assert [point["update"] for point in found.curve] == [0, 4, 8]
    assert "not reached" in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_that_fails_leaves_no_record(tmp_path):
    with pytest.raises(SystemExit) as stopped:
        entry(tmp_path, "model.n_critic=0")
    assert "n_critic must be at least 1" in stopped.value.code
    assert not (tmp_path / "digits").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--options", "evaluate.num_samples=10"], "evaluate.num_samples is the same for all"),
        (["--options", "data=Ring"], "data is the same for all"),
        (["--options", "trainer.devices=2"], "trainer.devices is the same for all"),
        (["--name", "../mine"], "is not the name of a folder"),
        (["--technique", "nothing"], "there is no technique nothing"),
        (["--track", "fashion-mnist"], "fashion-mnist needs --data-dir"),
        (["--track", "cifar10", "--data-dir", "."], "cifar10 is run on a GPU"),
    ],
)
def test_what_breaks_the_rules_is_refused_before_it_runs(arguments, message, capsys, monkeypatch):
    monkeypatch.setattr(speedrun, "run", lambda *_: pytest.fail("it was run"))
    with pytest.raises(SystemExit):
        main(["--track", "digits", "--name", "mine", "--technique", "dcgan", *arguments])
    assert message in capsys.readouterr().err


def write(folder, name, *seconds):
    """A record of an entry for each of the times."""
    curve = ({"update": 0, "seconds": 1.0, "distance": 99.0},)
    environment = {"device": "A CPU"}
    for seed, each in enumerate(seconds):
        record = Speedrun(
            "digits", 20.0, name, "dcgan", (), seed, each, curve, environment, "2026-11-27"
        )
        path = folder / "digits" / name / f"seed{seed}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(dataclasses.asdict(record)))


def test_entries_are_ranked_by_the_median_of_three_runs_that_all_reach_the_target(tmp_path):
    write(tmp_path, "slow", 30.0, 50.0, 40.0)
    write(tmp_path, "fast", 9.0, 90.0, 11.0)
    write(tmp_path, "few", 1.0, 1.0)
    write(tmp_path, "unlucky", 1.0, None, 1.0)
    lines = speedrun_tables(tmp_path).splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line[:2] == "| "]
    assert [(row[0], row[1], row[3], row[4]) for row in rows[2:]] == [
        ("1", "fast", "11.0 (9.00 to 90.0)", "3 of 3"),
        ("2", "slow", "40.0 (30.0 to 50.0)", "3 of 3"),
        ("-", "few", "1.00 (1.00 to 1.00)", "2 of 2"),
        ("-", "unlucky", "1.00 (1.00 to 1.00)", "2 of 3"),
    ]
    assert speedrun_tables(tmp_path / "none") == ""


@pytest.mark.parametrize(
    "change",
    [
        {"seconds": "soon"},
        {"seconds": -1.0},
        {"curve": [{"update": 1}]},
        {"environment": {}},
        {"more": 1},
        {"name": 3},
    ],
)
def test_a_file_that_is_no_record_is_reported(change, tmp_path):
    write(tmp_path, "one", 5.0)
    path = tmp_path / "digits" / "one" / "seed0.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(WrongFileError, match=r"seed0\.json is no record of a speed run"):
        speedrun_tables(tmp_path)


def test_committed_runs_reached_their_targets_within_the_rules():
    for path in SPEEDRUNS.rglob("*.json"):
        found = read_speedrun(path)
        track = TRACKS[found.track]
        assert (path.parent.name, path.parent.parent.name) == (found.name, found.track)
        assert found.target == track.target
        assert not {option.partition("=")[0] for option in found.options} & track.fixed
        below = [point for point in found.curve if point["distance"] <= found.target]
        assert [point["seconds"] for point in below] == ([found.seconds] if found.seconds else [])
