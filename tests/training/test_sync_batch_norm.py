"""Synchronised batch normalisation on one device; test_equality covers several ranks."""

import pytest
import torch
from torch import nn

from gan_lightning.training.sync_batch_norm import PlainSyncBatchNorm, SyncBatchNorm


@pytest.mark.parametrize("options", [{}, {"affine": False}, {"momentum": None}, {"momentum": 0.0}])
@pytest.mark.parametrize(
    ("layer", "shape"), [(nn.BatchNorm1d, (7, 5)), (nn.BatchNorm2d, (7, 5, 3, 3))]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_on_one_device_it_equals_the_standard_layer(layer, shape, options, dtype):
    plain, synchronised = layer(5, **options), layer(5, **options)
    model = SyncBatchNorm().apply(nn.Sequential(synchronised))
    assert type(synchronised) is PlainSyncBatchNorm
    if dtype == torch.float64:
        plain.double(), model.double()
    bound = {"rtol": 2e-2, "atol": 2e-2} if dtype == torch.bfloat16 else {}
    for _ in range(3):
        x = (torch.randn(shape) * 3 + 5).to(dtype)
        ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
        y, expected = model(ours), plain(theirs)
        assert y.dtype == expected.dtype
        torch.testing.assert_close(y, expected, **bound)
        weights = torch.randn_like(y)
        (y * weights).sum().backward()
        (expected * weights).sum().backward()
        torch.testing.assert_close(ours.grad, theirs.grad, **bound)
        for name, buffer in plain.named_buffers():
            torch.testing.assert_close(dict(synchronised.named_buffers())[name], buffer, **bound)
    plain.eval(), model.eval()
    torch.testing.assert_close(model(x), plain(x), **bound)
    assert type(SyncBatchNorm().revert(model)[0]) is layer
    assert model[0].state_dict().keys() == plain.state_dict().keys()
