"""Cross-entropy and the range loss (Zhang et al. 2017, "Range loss for deep face recognition with long-tailed training data").

It is the column "Range Loss" of tables since OLTR. Batches have four images of each class. The loss is alpha times the part
within classes and beta times the part between them. The values are those of zhmiao/OpenLongTailRecognition-OLTR, whose history
has a file loss/RangeLoss.py, but no config with it. That file differs from the loss of the paper, which is trained here. It takes
the two largest distances of all classes together and each pair twice, so that their harmonic mean is the largest distance. Its
part between classes is a constant, since it compares centers that are never set, also with themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from gradlens.longtail.methods.common import not_negative, positive
from gradlens.longtail.methods.feature_loss import OLTR, UNKNOWN, settings_with, with_feature_loss
from gradlens.longtail.methods.method import Method
from gradlens.longtail.methods.parts.pair_losses import range_between, range_within
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import Setting, Settings
from gradlens.longtail.recipe.task import Task


@dataclass(frozen=True)
class RangeLoss:
    """The range loss of the features of a batch.

    Attributes:
        largest: k, the largest distances of a class that count.
        margin: Margin between class means.
        alpha: Weight of the part within classes.
        beta: Weight of the part between classes.
        squared: True for squared distances.
    """

    largest: int
    margin: float
    alpha: float
    beta: float
    squared: bool

    def __call__(self, features: Tensor, labels: Tensor) -> Tensor:
        """Maps [B, d] features and [B] labels to the loss, a scalar."""
        within = range_within(features, labels, self.largest, self.squared)
        return self.alpha * within + self.beta * range_between(features, labels, self.margin, self.squared)


def _recipe(task: Task, settings: Settings) -> Recipe:
    margin, alpha, beta = (not_negative(settings, name) for name in ("margin", "alpha", "beta"))
    loss = RangeLoss(positive(settings, "largest"), margin, alpha, beta, bool(settings["squared"]))
    return with_feature_loss("range", task, settings, loss)


_FILE = f"{OLTR}, RangeLoss.py in the repository's history"
RANGE = Method(
    "range",
    "cross-entropy and the range loss: small largest distances in a class, large smallest ones between classes",
    settings_with(
        {
            "largest": Setting(2, "Zhang et al. 2017"),
            "margin": Setting(5.0, _FILE),
            "alpha": Setting(1.0, _FILE),
            "beta": Setting(1.0, _FILE),
            "squared": Setting(False, f"{_FILE}; Zhang et al. 2017 take squared distances"),
        }
    ),
    _recipe,
    approximate=UNKNOWN,
)
METHODS = (RANGE,)
