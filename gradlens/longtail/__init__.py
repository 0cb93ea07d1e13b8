"""The long-tail lab: data sets, networks and methods for long-tailed recognition. ``gradlens train`` trains with it."""

from gradlens.longtail.data.cifar import Cifar, load_cifar
from gradlens.longtail.data.counts import balanced_counts, head_size, long_tailed_counts
from gradlens.longtail.data.digits import Digits, load_digits
from gradlens.longtail.data.image_set import ImageSet
from gradlens.longtail.data.subset import Subset, balanced_subset, long_tailed_subset, select_subset
from gradlens.longtail.errors import DatasetNotFoundError, LongTailError
from gradlens.longtail.methods import METHODS, Method, find_method
from gradlens.longtail.methods.parts.cosine import CosineClassifier
from gradlens.longtail.methods.parts.exemplars import select_exemplars
from gradlens.longtail.methods.parts.intra import intra_class_loss
from gradlens.longtail.methods.parts.prototypes import class_prototypes
from gradlens.longtail.methods.parts.resize import extended, truncated
from gradlens.longtail.methods.parts.retention import retention_loss, retention_weight
from gradlens.longtail.networks.resnet_cifar import ResNetCifar
from gradlens.longtail.recipe.phases import Step, TrainingPhase
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.task import Task
from gradlens.longtail.tasks.loading import load_task
from gradlens.longtail.training.accuracy import group_accuracies, shot_accuracies
from gradlens.longtail.training.fit import Fitted, fit

__all__ = [
    "METHODS",
    "Cifar",
    "CosineClassifier",
    "DatasetNotFoundError",
    "Digits",
    "Fitted",
    "ImageSet",
    "LongTailError",
    "Method",
    "Recipe",
    "ResNetCifar",
    "Step",
    "Subset",
    "Task",
    "TrainingPhase",
    "balanced_counts",
    "balanced_subset",
    "class_prototypes",
    "extended",
    "find_method",
    "fit",
    "group_accuracies",
    "head_size",
    "intra_class_loss",
    "load_cifar",
    "load_digits",
    "load_task",
    "long_tailed_counts",
    "long_tailed_subset",
    "retention_loss",
    "retention_weight",
    "select_exemplars",
    "select_subset",
    "shot_accuracies",
    "truncated",
]
