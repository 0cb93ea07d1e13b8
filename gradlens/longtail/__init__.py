"""The long-tail lab: data sets, models and methods for long-tailed recognition."""

from gradlens.longtail.accuracy import group_accuracies, shot_accuracies
from gradlens.longtail.cifar import Cifar, load_cifar
from gradlens.longtail.counts import balanced_counts, head_size, long_tailed_counts
from gradlens.longtail.digits import Digits, load_digits
from gradlens.longtail.errors import DatasetNotFoundError, LongTailError
from gradlens.longtail.image_set import ImageSet
from gradlens.longtail.resnet_cifar import ResNetCifar
from gradlens.longtail.subset import Subset, balanced_subset, long_tailed_subset, select_subset

__all__ = [
    "Cifar",
    "DatasetNotFoundError",
    "Digits",
    "ImageSet",
    "LongTailError",
    "ResNetCifar",
    "Subset",
    "balanced_counts",
    "balanced_subset",
    "group_accuracies",
    "head_size",
    "load_cifar",
    "load_digits",
    "long_tailed_counts",
    "long_tailed_subset",
    "select_subset",
    "shot_accuracies",
]
