"""A training whose labels and learning rates are noted."""

from gradlens.longtail.training.fit import fit
from gradlens.longtail.training.watcher import Unwatched


class Watcher(Unwatched):
    """Notes labels by (phase, epoch), and the learning rate of each step."""

    def __init__(self):
        self.labels, self.rates = {}, {}

    def start_phase(self, phase, learner, optimizer, step, done):
        self.phase, self.optimizer = phase.name, optimizer

    def backward(self, losses, step):
        self.labels.setdefault((self.phase, step.progress.epoch), []).append(step.labels)
        self.rates.setdefault(self.phase, []).append(self.optimizer.param_groups[0]["lr"])
        super().backward(losses, step)


def watched(recipe, task):
    watcher = Watcher()
    fit(recipe, task, watcher=watcher)
    return watcher
