"""The loaders: values, the order of an epoch, the ranks' shares, mirroring, resuming."""

import threading
import time
from functools import partial
from itertools import chain, islice, repeat

import numpy as np
import pytest
import torch

from gan_lightning.data import PrefetchLoader, TensorLoader
from gan_lightning.utils.errors import TooFewSamplesError

SAMPLES, BATCH = 14, 4
BATCHES = 3  # full batches per epoch
KINDS = {"tensor": TensorLoader, "prefetch": partial(PrefetchLoader, device=torch.device("cpu"))}


@pytest.fixture(params=KINDS)
def kind(request):
    """Each kind of loader."""
    return KINDS[request.param]


@pytest.fixture
def numbered(kind):
    """``numbered(n, batch_size)``: a loader whose samples ``(n, 1)`` and labels are their index."""

    def make(n=SAMPLES, batch_size=BATCH, **arguments):
        numbers = torch.arange(n)
        return kind(numbers.float().unsqueeze(1), numbers, batch_size, **arguments)

    return make


def epoch(loader):
    """The indices of each batch."""
    return [y.tolist() for _, y in loader]


def endless(loader):
    """The indices of each batch, epoch after epoch."""
    return (y.tolist() for _, y in chain.from_iterable(repeat(loader)))


def test_bytes_become_floats_between_minus_one_and_one(kind):
    x = torch.tensor([0, 51, 255], dtype=torch.uint8).view(3, 1, 1, 1)
    ((batch, _),) = kind(x, None, 3)
    assert batch.dtype == torch.float32
    assert batch.flatten().tolist() == [-1, pytest.approx(-0.6), 1]


def test_floats_are_not_changed(kind):
    x = torch.tensor([[-3.0], [0.25], [300.0]])
    ((batch, _),) = kind(x, None, 3)
    torch.testing.assert_close(batch, x, rtol=0, atol=0)


def test_the_data_itself_is_not_changed(kind):
    x = torch.arange(SAMPLES, dtype=torch.uint8).view(-1, 1, 1, 1)
    list(kind(x, None, BATCH, seed=0))
    assert x.flatten().tolist() == list(range(SAMPLES))


def test_without_labels_y_is_none(kind):
    assert [y for _, y in kind(torch.zeros(6, 2), None, 3)] == [None, None]


@pytest.mark.parametrize("seed", [None, 0])
def test_labels_belong_to_their_samples(numbered, seed):
    for x, y in numbered(seed=seed):
        assert x.flatten().tolist() == y.tolist()


def test_an_epoch_repeats_no_sample_and_drops_only_an_incomplete_batch(numbered):
    batches = epoch(numbered(seed=0))
    indices = list(chain(*batches))
    assert [len(batch) for batch in batches] == [BATCH] * BATCHES == [BATCH] * len(numbered(seed=0))
    assert len(set(indices)) == len(indices)
    assert set(indices) <= set(range(SAMPLES))


def test_an_epoch_of_full_batches_is_a_permutation(numbered):
    batches = epoch(numbered(3 * BATCH, seed=0))
    indices = list(chain(*batches))
    assert indices != sorted(indices)
    assert sorted(indices) == list(range(3 * BATCH))


def test_epochs_differ(numbered):
    loader = numbered(seed=0)
    assert epoch(loader) != epoch(loader)


def test_equal_seeds_give_equal_epochs_whatever_the_global_random_state(numbered):
    first = list(islice(endless(numbered(seed=7)), 3 * BATCHES))
    torch.manual_seed(1)
    assert list(islice(endless(numbered(seed=7)), 3 * BATCHES)) == first


def test_different_seeds_give_different_epochs(numbered):
    assert epoch(numbered(seed=0)) != epoch(numbered(seed=1))


def test_shuffling_does_not_change_the_global_random_state(numbered):
    before = torch.get_rng_state()
    epoch(numbered(seed=0))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_share_the_batch_of_one_process(numbered, world_size):
    together = list(islice(endless(numbered(40, world_size * BATCH, seed=0)), 5))
    ranks = [
        islice(endless(numbered(40, BATCH, seed=0, rank=rank, world_size=world_size)), 5)
        for rank in range(world_size)
    ]
    for batch, shares in zip(together, zip(*ranks, strict=True), strict=True):
        assert [len(share) for share in shares] == [BATCH] * world_size
        assert sorted(chain(*shares)) == sorted(batch)


@pytest.mark.parametrize("world_size", [1, 2])
def test_an_unshuffled_loader_keeps_the_order_and_every_sample(numbered, world_size):
    loaders = [numbered(rank=rank, world_size=world_size) for rank in range(world_size)]
    shares = [list(chain(*epoch(loader))) for loader in loaders]
    assert all(share == sorted(share) for share in shares)
    assert sorted(chain(*shares)) == list(range(SAMPLES))
    assert [len(epoch(loader)) for loader in loaders] == [len(loader) for loader in loaders]
    assert epoch(loaders[0]) == epoch(loaders[0])


# 0: saved before the first batch. 3, 6: at the exact end of an epoch.
@pytest.mark.parametrize("consumed", range(2 * BATCHES + 2))
def test_a_resumed_loader_continues_with_the_next_batch(numbered, consumed):
    loader = numbered(seed=0)
    batches = endless(loader)
    for _ in range(consumed):
        next(batches)
    state = loader.state_dict()
    resumed = numbered(seed=0)
    resumed.load_state_dict(state)
    remaining = 3 * BATCHES
    assert list(islice(endless(resumed), remaining)) == list(islice(batches, remaining))


@pytest.mark.parametrize(("consumed", "remaining"), [(1, BATCHES - 1), (BATCHES, BATCHES)])
def test_a_resumed_epoch_has_only_its_remaining_batches(numbered, consumed, remaining):
    loader = numbered(seed=0)
    list(islice(loader, consumed))
    resumed = numbered(seed=0)
    resumed.load_state_dict(loader.state_dict())
    assert [len(epoch(resumed)), len(epoch(resumed))] == [remaining, BATCHES]


@pytest.mark.parametrize("resumed", [False, True])
def test_an_abandoned_epoch_is_not_continued(numbered, resumed):
    loader, whole = numbered(seed=0), numbered(seed=0)
    list(islice(loader, 1))
    if resumed:
        state, loader = loader.state_dict(), numbered(seed=0)
        loader.load_state_dict(state)
        list(islice(loader, 1))
    epoch(whole)
    assert epoch(loader) == epoch(whole)


def test_a_state_is_a_snapshot(numbered):
    loader = numbered(seed=0)
    batches = endless(loader)
    next(batches)
    state = loader.state_dict()
    next(batches)
    assert state == {"epoch": 0, "position": 1, "seed": 0}


def test_a_resumed_loader_keeps_the_order_of_its_first_seed(numbered):
    loader, resumed = numbered(seed=3), numbered(seed=5)
    list(islice(loader, 1))
    resumed.load_state_dict(loader.state_dict())
    whole = numbered(seed=3)
    assert epoch(resumed) == epoch(whole)[1:]
    assert epoch(resumed) == epoch(whole)


def test_a_state_of_an_earlier_version_has_no_seed(numbered):
    loader = numbered(seed=3)
    loader.load_state_dict({"epoch": 0, "position": 1})
    assert epoch(loader) == epoch(numbered(seed=3))[1:]


@pytest.mark.parametrize(("n", "world_size"), [(3, 1), (7, 2)])
def test_too_few_samples_are_rejected_with_the_counts(numbered, n, world_size):
    with pytest.raises(
        TooFewSamplesError, match=rf"^{n} samples .*{BATCH} on each of {world_size}"
    ):
        numbered(n, seed=0, world_size=world_size)


def test_a_single_full_batch_is_enough(numbered):
    assert sorted(*epoch(numbered(2 * BATCH, 2 * BATCH, seed=0))) == list(range(2 * BATCH))


def test_an_unshuffled_loader_accepts_any_number_of_samples(numbered):
    assert epoch(numbered(1)) == [[0]]


# Mirroring


def images(n=400):
    return torch.arange(n * 4, dtype=torch.int32).remainder(256).to(torch.uint8).view(n, 1, 1, 4)


def test_a_different_half_of_the_images_is_mirrored_each_epoch(kind):
    x, numbers = images(), torch.arange(400)

    def mirrored(loader):
        chosen = {}
        for batch, y in loader:
            for image, number in zip(batch, y.tolist(), strict=True):
                original = x[number] / 127.5 - 1
                chosen[number] = torch.equal(image, original.flip(-1))
                assert chosen[number] or torch.equal(image, original)
        return [chosen[number] for number in sorted(chosen)]

    loader = kind(x, numbers, 20, seed=3, flip=True)
    first, second = mirrored(loader), mirrored(loader)
    assert 0.4 < np.mean(first) < 0.6
    assert first != second
    assert mirrored(kind(x, numbers, 20, seed=3, flip=True)) == first
    assert not any(mirrored(kind(x, numbers, 20, seed=3)))


def test_mirroring_does_not_change_the_order(kind):
    numbers = torch.arange(400)
    plain, flipped = (kind(images(), numbers, 20, seed=3, flip=flip) for flip in (False, True))
    assert epoch(plain) == epoch(flipped)


def test_ranks_mirror_what_one_process_mirrors(kind):
    def sums(**arguments):
        loader = kind(images(), None, flip=True, seed=1, **arguments)
        return [x[:, 0, 0, :2].sum(dim=1) for x, _ in loader]

    ranks = zip(*(sums(batch_size=10, rank=rank, world_size=2) for rank in (0, 1)), strict=True)
    for together, shares in zip(sums(batch_size=20), ranks, strict=True):
        assert torch.equal(together.sort()[0], torch.cat(shares).sort()[0])


def test_a_resumed_epoch_continues_mirroring(kind):
    loader = kind(images(), None, 20, seed=5, flip=True)
    batches = iter(loader)
    for _ in range(3):
        next(batches)
    resumed = kind(images(), None, 20, seed=5, flip=True)
    resumed.load_state_dict(loader.state_dict())
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(batches, resumed, strict=True))


# Prefetching


def test_prefetching_a_memory_mapped_tensor_gives_the_same_batches(tmp_path):
    x = torch.randint(0, 256, (100, 3, 4, 4), dtype=torch.uint8)
    x.numpy().tofile(tmp_path / "x")
    mapped = torch.from_numpy(np.memmap(tmp_path / "x", np.uint8, "r+", shape=(100, 3, 4, 4)))
    expected = TensorLoader(x, None, 8, seed=2, flip=True)
    found = PrefetchLoader(mapped, None, 8, seed=2, flip=True, device=torch.device("cpu"))
    for _ in range(2):
        pairs = zip(found, expected, strict=True)
        assert all(torch.equal(a, b) for (a, _), (b, _) in pairs)


def test_batches_are_gathered_ahead_of_their_use(monkeypatch):
    gathered = []
    gather = PrefetchLoader._gather
    monkeypatch.setattr(
        PrefetchLoader, "_gather", lambda *args: gathered.append(1) or gather(*args)
    )
    loader = PrefetchLoader(torch.zeros(1000, 1), None, 10, device=torch.device("cpu"))
    batches = iter(loader)
    next(batches)
    deadline = time.monotonic() + 30
    while len(gathered) < 1 + PrefetchLoader.AHEAD and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(gathered) == 1 + PrefetchLoader.AHEAD
    assert loader.state_dict() == {"epoch": 0, "position": 1}


def test_an_abandoned_epoch_leaves_no_threads():
    batches = iter(PrefetchLoader(torch.zeros(1000, 1), None, 10, device=torch.device("cpu")))
    next(batches)
    batches.close()
    deadline = time.monotonic() + 30
    while any(t.name.startswith("gather") for t in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
