"""Real training: loss curves and every parameter must have the bits of torch.optim.SGD's."""

import copy
from collections.abc import Callable

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import exactsgd
from comparing import check_optimizers, check_value

STEPS = 200
BATCH = 32


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2),
        nn.ReLU(), nn.Flatten(), nn.Linear(144, 10),
    )


class Transformer(nn.Module):
    """The eight rows of a digit as a sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(8, 16)
        self.place = nn.Parameter(torch.randn(8, 16) * 0.1)
        self.encoder = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
        self.head = nn.Linear(16, 10)

    def forward(self, digits: Tensor) -> Tensor:
        return self.head(self.encoder(self.embed(digits.view(-1, 8, 8)) + self.place).mean(1))


def train(model: nn.Module, dtype: torch.dtype, make: Callable[..., torch.optim.Optimizer], path: dict[str, bool]) -> tuple:
    """The losses, and the optimizer at the end."""
    digits, labels = (torch.as_tensor(part) for part in load_digits(return_X_y=True))
    digits = (digits / 16).to(dtype)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = make([{"params": decayed, "weight_decay": 1e-3}, {"params": others}], lr=0.05, momentum=0.9, **path)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=STEPS)
    order = torch.Generator().manual_seed(1)
    losses = []
    for _ in range(STEPS):
        chosen = torch.randint(len(digits), (BATCH,), generator=order)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(digits[chosen]).float(), labels[chosen])
        loss.backward()
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
    return losses, optimizer


@pytest.mark.parametrize("path", [{}, {"foreach": True}], ids=["forloop", "foreach"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("network", [cnn, Transformer])
def test_training_takes_another_course(network: Callable[[], nn.Module], dtype: torch.dtype, path: dict[str, bool]) -> None:
    torch.manual_seed(0)
    model = network().to(dtype)
    theirs, their_optimizer = train(copy.deepcopy(model), dtype, torch.optim.SGD, path)
    before = exactsgd.fallback_counts()
    ours, our_optimizer = train(copy.deepcopy(model), dtype, exactsgd.SGD, path)
    assert exactsgd.fallback_counts() == before, "PyTorch computed some of it"
    check_value(ours, theirs, "losses")
    check_optimizers(our_optimizer, their_optimizer)
    assert sum(theirs[-20:]) < sum(theirs[:20]) / 2, "nothing was learnt"
