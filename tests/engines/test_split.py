"""What the split engine refuses before it is too late, and what it measures besides the zoo."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from torch import nn

from gradlens.engines import EngineRefusal
from gradlens.engines.split import SplitEngine
from tests.engines.pairs import trainable


@pytest.mark.parametrize(
    ("normalised", "sources"),
    [(nn.utils.weight_norm, "weight_g and weight_v"), (nn.utils.spectral_norm, "weight_orig")],
)
@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_split_refuses_weights_that_a_hook_computes(normalised: Callable[..., nn.Module], sources: str) -> None:
    model = nn.Sequential(normalised(nn.Linear(5, 8)), nn.ReLU(), nn.Linear(8, 6))
    with pytest.raises(EngineRefusal, match=rf"computes its weight from {sources} \(0: Linear\)"):
        SplitEngine(model, trainable(model)).arm()
