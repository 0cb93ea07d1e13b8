"""MLflow: the metrics of a run in MLflow's store, which its own settings name (MLFLOW_TRACKING_URI)."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

from gradlens.mirror.destination import Point
from gradlens.mirror.errors import MirrorError

PACKAGE = "mlflow"
EXPERIMENT = "gradlens"
# The run that a run of MLflow mirrors.
TAG = "gradlens.run"
# What MLflow takes at a time.
MOST = 1000
# What the name of a metric may not hold.
ODD = re.compile(r"[^\w./ :-]")


class MLflowMirror:
    """Writes metrics into a run of MLflow: one of its own, or the user's.

    Attributes:
        place: The store and the run in it.
        keeps: True.
    """

    def __init__(self, name: str, key: str, run_id: str | None) -> None:
        """Finds or makes the run in MLflow.

        Args:
            name: The run's name.
            key: The run's id, by which its mirror is found again.
            run_id: MLflow's id of the user's run; None = a run of its own, in MLFLOW_EXPERIMENT_NAME or "gradlens".

        Raises:
            ImportError: MLflow is not installed.
            MirrorError: MLflow has no run of the id, or its store cannot be reached.
        """
        import mlflow
        from mlflow.entities import Metric
        from mlflow.exceptions import MlflowException

        self._metric, self._client = Metric, mlflow.MlflowClient()
        store = mlflow.get_tracking_uri()
        try:
            self._own = run_id is None
            self._id = self._own_run(name, key) if run_id is None else self._client.get_run(run_id).info.run_id
        except MlflowException as error:
            raise MirrorError(
                f"MLflow's store {store}: {error.message}; see MLFLOW_TRACKING_URI and --run-id"
            ) from error
        self.place, self.keeps = f"{store}, run {self._id}", True

    def already(self, since: int) -> set[tuple[int, str]]:
        """Returns (step, name) of the metrics of gradlens in the run."""
        names = [name for name in self._client.get_run(self._id).data.metrics if name.startswith("gradlens")]
        found = ((each.step, name) for name in names for each in self._client.get_metric_history(self._id, name))
        return {(step, name) for step, name in found if step >= since}

    def named(self, name: str) -> str:
        """Returns the name of a metric. It may hold letters, digits and some signs; others become "_"."""
        return ODD.sub("_", name)

    def write(self, points: Sequence[Point]) -> None:
        """Writes points.

        Raises:
            MirrorError: Two names are the same for MLflow.
        """
        metrics = []
        for point in points:
            names = {self.named(name): name for name in point.values}
            if len(names) < len(point.values):
                twice = next(name for name in point.values if names[self.named(name)] != name)
                raise MirrorError(
                    f"MLflow takes {twice} and {names[self.named(twice)]} for the same metric; rename a group"
                )
            at = round(1000 * point.time)
            metrics += [self._metric(self.named(name), value, at, point.step) for name, value in point.values.items()]
        for start in range(0, len(metrics), MOST):
            self._client.log_batch(self._id, metrics=metrics[start : start + MOST])

    def supersede(self, step: int) -> bool:  # noqa: ARG002
        """Returns False: MLflow keeps every value of a metric."""
        return False

    def close(self, *, over: bool) -> None:
        """Ends the run in MLflow, if it is the mirror's own and the training is over."""
        if over and self._own:
            self._client.set_terminated(self._id)

    def _own_run(self, name: str, key: str) -> str:
        title = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        experiment = self._client.get_experiment_by_name(title)
        place = self._client.create_experiment(title) if experiment is None else experiment.experiment_id
        found: Any = self._client.search_runs([place], f"tags.`{TAG}` = '{key}'", max_results=1)
        if found:
            return str(found[0].info.run_id)
        return str(self._client.create_run(place, tags={TAG: key}, run_name=name).info.run_id)
