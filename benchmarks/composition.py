"""The cost of composing the configurations of many jobs, next to Hydra's loader: `python benchmarks/composition.py`.

Measured for the example application: the jobs of a sweep over two values, those of a sweep over a value and a config
group, and finding the run directories of jobs that are composed already, for which Hydra composes each once more.
"""

from __future__ import annotations

import itertools
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from mlxp_core.sweeps.composition import SweepConfigLoader

EXAMPLE = Path(__file__).parent.parent / "example_app" / "configs"
JOBS, HYDRAS_JOBS = 1_000, 40  # Hydra's time per job does not depend on the number of jobs


def ms_per_job(call: Callable[[list[str]], Any], jobs: Sequence[list[str]]) -> float:
    start = time.perf_counter()
    for overrides in jobs:
        call(overrides)
    return (time.perf_counter() - start) / len(jobs) * 1000


def main() -> None:
    warnings.simplefilter("ignore")  # Hydra 1.4 deprecates version_base, which 1.3 wants
    with initialize_config_dir(str(EXAMPLE), version_base=None):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        master = hydra.config_loader.load_configuration("config", ["hydra.mode=MULTIRUN"], RunMode.MULTIRUN)
        print(f"{'jobs over':<26}  {'ours (ms/job)':>13}  {'Hydra (ms/job)':>14}  ratio")
        models = ["linear", "mlp", "deep"]
        values = [[f"optimizer.lr={n}e-4", f"seed={n}"] for n in range(JOBS)]
        groups = [[f"model={models[n % 3]}", f"seed={n}"] for n in range(JOBS)]
        loader = SweepConfigLoader(hydra.config_loader)
        number = itertools.count()
        for name, call, jobs in (
            ("two values", partial(loader.load_sweep_config, master), values),
            ("a group and a value", partial(loader.load_sweep_config, master), groups),
            ("directories of two values", lambda job: loader.job_paths(master, job, next(number)), values),
        ):
            ours = ms_per_job(call, jobs)
            theirs = ms_per_job(partial(hydra.config_loader.load_sweep_config, master), jobs[:HYDRAS_JOBS])
            print(f"{name:<26}  {ours:>13.2f}  {theirs:>14.2f}  {ours / theirs:.4f}")


if __name__ == "__main__":
    main()
