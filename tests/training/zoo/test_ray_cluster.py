"""The same jobs on a real Ray cluster of two nodes on this machine."""

import json
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from training.zoo import Status, ZooSpec, train_all_active
from training.zoo.job import Job
from training.zoo.knobs import Overrides
from training.zoo.ray_cluster import STARTED_FILE, RayCluster
from training.zoo.training import Nobody, ZooSettings


@pytest.fixture(scope="module")
def cluster(monkeypatch_module: pytest.MonkeyPatch) -> Any:
    """Return the address of two nodes, one processor each."""
    monkeypatch_module.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch_module.setenv("RAY_worker_niceness", "0")
    import ray
    from ray.cluster_utils import Cluster

    two = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    two.add_node(num_cpus=1)
    yield two.address
    ray.shutdown()
    two.shutdown()


@pytest.fixture(scope="module")
def monkeypatch_module() -> Any:
    """Return a monkeypatch that lasts for the module."""
    with pytest.MonkeyPatch.context() as patch:
        yield patch


class KillOnce(Nobody):
    """Kills the worker that trains a spec, once, in the middle of its run."""

    def __init__(self, spec_id: str) -> None:
        self._spec_id = spec_id
        self.killed = 0

    def began(self, job: Job) -> None:
        """Wait in a thread for the run's first validation, then kill its worker."""
        if job.spec.id == self._spec_id:
            threading.Thread(target=self._kill, args=(job,), daemon=True).start()

    def _kill(self, job: Job) -> None:
        pause, metrics = threading.Event(), job.folder / "run" / "metrics.jsonl"
        for _ in range(6000):
            if metrics.exists() and '"validation"' in metrics.read_text("utf-8"):
                self.killed = int((job.folder / STARTED_FILE).read_text("utf-8"))
                os.kill(self.killed, signal.SIGKILL)
                return
            pause.wait(0.01)


def test_two_nodes_train_what_one_process_trains_even_when_a_worker_is_killed(
    cluster: str,
    tmp_path: Path,
    settings_in: Callable[..., ZooSettings],
    here: Any,
    refuse_to_train: Any,
) -> None:
    """Equal digests of the weights; the killed worker's run goes on elsewhere; a killed driver takes what has ended."""
    wanted = [ZooSpec(id="long-horizon", overrides=Overrides(horizon=20, total_steps=8 * 32 * 16))]
    settings = settings_in(tmp_path, baseline=False)
    alone = replace(settings, out=tmp_path / "alone", archive=str(tmp_path / "other"))
    expected = {result.spec_id: result.policy_sha256 for result in train_all_active(wanted, alone, runner=here)}
    killer = KillOnce("long-horizon")
    runner = RayCluster(cluster)
    specs = [*wanted, ZooSpec(id="crashes", command=("false",))]
    results = {result.spec_id: result for result in train_all_active(specs, settings, runner=runner, watcher=killer)}
    assert {name: results[name].policy_sha256 for name in expected} == expected
    assert results["crashes"].status is Status.FAILED
    assert killer.killed > 0
    started = int((Path(results["long-horizon"].folder) / STARTED_FILE).read_text("utf-8"))
    assert started != killer.killed
    again = train_all_active(wanted, settings, runner=refuse_to_train)
    assert {result.spec_id: result.policy_sha256 for result in again} == expected
    assert json.loads((Path(again[0].folder) / "result.json").read_text("utf-8"))["status"] in ("lost", "passed")
