"""Objects of ranks with GPUs are sent from host to host."""

from unittest import mock

from gan_lightning.utils import ranks as module
from gan_lightning.utils.ranks import from_first, gather_on_first


def sent(backend):
    """What ranks get from each other, and how many groups they make for it."""
    make = mock.Mock(side_effect=module.new_group)
    with (
        mock.patch.object(module, "get_backend", return_value=backend),
        mock.patch.object(module, "new_group", make),
    ):
        module._gloo_group.cache_clear()
        answers = [gather_on_first("x"), from_first(lambda: "first"), gather_on_first([1, 2])]
    return answers, [call.kwargs for call in make.call_args_list]


def test_a_group_for_objects_is_made_once_where_nccl_sends_tensors(ranks):
    (first, made), (other, also_made) = ranks(sent, "nccl")
    assert first == [["x", "x"], "first", [[1, 2], [1, 2]]]
    assert other == [[], "first", []]
    assert made == also_made == [{"backend": "gloo"}]


def test_gloo_sends_them_itself(ranks):
    (first, made), (_, also_made) = ranks(sent, "gloo")
    assert first == [["x", "x"], "first", [[1, 2], [1, 2]]]
    assert made == also_made == []
