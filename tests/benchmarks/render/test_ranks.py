"""Ranks: shared where the seeds do not tell rows apart."""

import dataclasses

import pytest

from benchmarks.protocols import PROTOCOLS
from benchmarks.render.ranks import ranks
from benchmarks.render.table import rows

DIGITS = PROTOCOLS["digits"]
KEYS = ("dcgan", "lsgan", "wgan", "wgan_gp", "sngan", "sagan")
COLLAPSED = {"diversity/fake": 0.1, "diversity/real": 1.0}


@pytest.fixture
def ranked(record, tmp_path):
    """``ranked(runs, ...)``: the ranks of rows with the distances of their runs, as text."""

    def ranked(*table, collapsed=()):
        runs = [
            dataclasses.replace(
                record,
                technique=key,
                seed=seed,
                last=record.last
                | {"fd1797_digits_cnn": distance}
                | (COLLAPSED if key in collapsed else {}),
            )
            for key, distances in zip(KEYS, table, strict=False)
            for seed, distance in enumerate(distances)
        ]
        found = rows(runs, DIGITS, tmp_path)
        return {
            row.key: "-" if rank is None else str(rank)
            for row, rank in zip(found, ranks(found), strict=True)
            if row.runs
        }

    return ranked


def test_rows_that_the_seeds_tell_apart_have_ranks_of_their_own(ranked):
    found = ranked([1.0, 1.1, 1.2], [5.0, 5.1, 5.2], [9.0, 9.1, 9.2])
    assert found == {"dcgan": "1", "lsgan": "2", "wgan": "3"}


def test_rows_share_the_rank_of_the_leader_that_they_are_not_told_from(ranked):
    found = ranked([1.0, 2.0, 3.0], [1.5, 2.5, 3.5], [20.0, 21.0, 22.0], [20.5, 21.5, 22.5])
    assert found == {"dcgan": "=1", "lsgan": "=1", "wgan": "=3", "wgan_gp": "=3"}


def test_a_rank_is_shared_with_its_leader_and_not_from_neighbour_to_neighbour(ranked):
    # Each is within the seeds of the one before, and the third is not of the first.
    found = ranked([10.0, 12.0, 14.0], [12.0, 14.0, 16.0], [15.0, 17.0, 19.0])
    assert found == {"dcgan": "=1", "lsgan": "=1", "wgan": "3"}


def test_a_row_with_one_run_has_its_place_in_brackets(ranked):
    found = ranked([1.0, 2.0, 3.0], [2.1], [2.0, 3.0, 4.0])
    assert found == {"dcgan": "=1", "lsgan": "(2)", "wgan": "=1"}
    assert ranked([2.0], [1.0]) == {"lsgan": "(1)", "dcgan": "(2)"}


def test_a_collapsed_row_is_below_all_and_has_no_rank(ranked):
    found = ranked([1.0, 1.1, 1.2], [5.0, 5.1, 5.2], collapsed=["dcgan"])
    assert found == {"lsgan": "1", "dcgan": "-"}
    assert list(found) == ["lsgan", "dcgan"]


def test_equal_runs_share_a_rank(ranked):
    assert ranked([2.0, 2.0], [2.0, 2.0]) == {"dcgan": "=1", "lsgan": "=1"}
