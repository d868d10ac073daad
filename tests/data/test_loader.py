"""TensorLoader: values, the order of an epoch, the ranks' shares, resuming."""

from itertools import chain, islice, repeat

import pytest
import torch

from gan_lightning.data import TensorLoader
from gan_lightning.errors import TooFewSamplesError

SAMPLES, BATCH = 14, 4
BATCHES = 3  # full ones in an epoch


def numbered(n=SAMPLES, batch_size=BATCH, **arguments):
    """Samples ``(n, 1)`` and labels ``(n,)`` that both say their own index."""
    numbers = torch.arange(n)
    return TensorLoader(numbers.float().unsqueeze(1), numbers, batch_size, **arguments)


def epoch(loader):
    """The indices of each batch."""
    return [y.tolist() for _, y in loader]


def endless(loader):
    """The same, epoch after epoch."""
    return (y.tolist() for _, y in chain.from_iterable(repeat(loader)))


def test_bytes_become_floats_between_minus_one_and_one():
    x = torch.tensor([0, 51, 255], dtype=torch.uint8).view(3, 1, 1, 1)
    ((batch, _),) = TensorLoader(x, None, 3)
    assert batch.dtype == torch.float32
    assert batch.flatten().tolist() == [-1, pytest.approx(-0.6), 1]


def test_floats_stay_as_they_are():
    x = torch.tensor([[-3.0], [0.25], [300.0]])
    ((batch, _),) = TensorLoader(x, None, 3)
    torch.testing.assert_close(batch, x, rtol=0, atol=0)


def test_the_data_itself_is_not_changed():
    x = torch.arange(SAMPLES, dtype=torch.uint8).view(-1, 1, 1, 1)
    list(TensorLoader(x, None, BATCH, seed=0))
    assert x.flatten().tolist() == list(range(SAMPLES))


def test_without_labels_y_is_none():
    assert [y for _, y in TensorLoader(torch.zeros(6, 2), None, 3)] == [None, None]


@pytest.mark.parametrize("seed", [None, 0])
def test_labels_belong_to_their_samples(seed):
    for x, y in numbered(seed=seed):
        assert x.flatten().tolist() == y.tolist()


def test_an_epoch_repeats_no_sample_and_drops_only_what_fills_no_batch():
    batches = epoch(numbered(seed=0))
    indices = list(chain(*batches))
    assert [len(batch) for batch in batches] == [BATCH] * BATCHES == [BATCH] * len(numbered(seed=0))
    assert len(set(indices)) == len(indices)
    assert set(indices) <= set(range(SAMPLES))


def test_an_epoch_that_fits_is_a_permutation():
    batches = epoch(numbered(3 * BATCH, seed=0))
    indices = list(chain(*batches))
    assert indices != sorted(indices)
    assert sorted(indices) == list(range(3 * BATCH))


def test_epochs_differ():
    loader = numbered(seed=0)
    assert epoch(loader) != epoch(loader)


def test_equal_seeds_give_equal_epochs_whatever_the_global_random_state():
    first = list(islice(endless(numbered(seed=7)), 3 * BATCHES))
    torch.manual_seed(1)
    assert list(islice(endless(numbered(seed=7)), 3 * BATCHES)) == first


def test_different_seeds_give_different_epochs():
    assert epoch(numbered(seed=0)) != epoch(numbered(seed=1))


def test_shuffling_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    epoch(numbered(seed=0))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_share_the_batch_of_one_process(world_size):
    together = list(islice(endless(numbered(40, world_size * BATCH, seed=0)), 5))
    ranks = [
        islice(endless(numbered(40, BATCH, seed=0, rank=rank, world_size=world_size)), 5)
        for rank in range(world_size)
    ]
    for batch, shares in zip(together, zip(*ranks, strict=True), strict=True):
        assert [len(share) for share in shares] == [BATCH] * world_size
        assert sorted(chain(*shares)) == sorted(batch)


@pytest.mark.parametrize("world_size", [1, 2])
def test_unshuffled_keeps_the_order_and_leaves_none_out(world_size):
    loaders = [numbered(rank=rank, world_size=world_size) for rank in range(world_size)]
    shares = [list(chain(*epoch(loader))) for loader in loaders]
    assert all(share == sorted(share) for share in shares)
    assert sorted(chain(*shares)) == list(range(SAMPLES))
    assert [len(epoch(loader)) for loader in loaders] == [len(loader) for loader in loaders]
    assert epoch(loaders[0]) == epoch(loaders[0])


# 0: saved before the first batch. 3, 6: at the exact end of an epoch.
@pytest.mark.parametrize("handed_out", range(2 * BATCHES + 2))
def test_a_resumed_loader_goes_on_with_the_next_batch(handed_out):
    loader = numbered(seed=0)
    batches = endless(loader)
    for _ in range(handed_out):
        next(batches)
    state = loader.state_dict()
    resumed = numbered(seed=0)
    resumed.load_state_dict(state)
    rest = 3 * BATCHES
    assert list(islice(endless(resumed), rest)) == list(islice(batches, rest))


@pytest.mark.parametrize(("handed_out", "rest"), [(1, BATCHES - 1), (BATCHES, BATCHES)])
def test_a_resumed_epoch_is_only_as_long_as_its_rest(handed_out, rest):
    loader = numbered(seed=0)
    list(islice(loader, handed_out))
    resumed = numbered(seed=0)
    resumed.load_state_dict(loader.state_dict())
    assert [len(epoch(resumed)), len(epoch(resumed))] == [rest, BATCHES]


@pytest.mark.parametrize("resumed", [False, True])
def test_an_epoch_that_was_broken_off_is_not_gone_on_with(resumed):
    loader, whole = numbered(seed=0), numbered(seed=0)
    list(islice(loader, 1))
    if resumed:
        state, loader = loader.state_dict(), numbered(seed=0)
        loader.load_state_dict(state)
        list(islice(loader, 1))
    epoch(whole)
    assert epoch(loader) == epoch(whole)


def test_a_state_is_a_snapshot():
    loader = numbered(seed=0)
    batches = endless(loader)
    next(batches)
    state = loader.state_dict()
    next(batches)
    assert state == {"epoch": 0, "position": 1}


@pytest.mark.parametrize(("n", "world_size"), [(3, 1), (7, 2)])
def test_too_few_samples_are_refused_with_the_numbers(n, world_size):
    with pytest.raises(
        TooFewSamplesError, match=rf"^{n} samples .*{BATCH} on each of {world_size}"
    ):
        numbered(n, seed=0, world_size=world_size)


def test_a_single_full_batch_is_enough():
    assert sorted(*epoch(numbered(2 * BATCH, 2 * BATCH, seed=0))) == list(range(2 * BATCH))


def test_unshuffled_any_number_is_enough():
    assert epoch(numbered(1)) == [[0]]
