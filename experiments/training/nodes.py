"""A training on several nodes has a process started on each: by torchrun or by SLURM, never by itself."""

from __future__ import annotations

import os
from typing import Any

from ..errors import ExperimentValueError


def explain_alone(nodes: int, devices: Any) -> str:
    """What is said to who asks for several nodes and starts on one.

    Args:
        nodes: How many were asked for.
        devices: On each, as the trainer was told.
    """
    return (
        f"trainer.num_nodes is {nodes}, but nothing starts the others, wanted a start on each of the {nodes} nodes: "
        f"torchrun --nnodes {nodes} --nproc_per_node {devices} --rdzv_backend c10d --rdzv_endpoint FIRST-NODE:29500 "
        "-m experiments row -c experiments/tables/base.yaml -c experiments/tables/table-1/resnet50-unet.yaml "
        f"--trainer.num_nodes {nodes} --trainer.devices {devices}"
    )


def refuse_alone(trainer: Any) -> None:
    """Ends with a sentence where a trainer would wait for nodes that nobody starts.

    Raises:
        ValueError: It wants several nodes, and neither torchrun, SLURM nor the environment says which this is.
    """
    from lightning_fabric.plugins.environments import LightningEnvironment  # here, for plans do without Lightning

    environment = getattr(trainer.strategy, "cluster_environment", None)
    told = "NODE_RANK" in os.environ or "GROUP_RANK" in os.environ
    if trainer.num_nodes > 1 and isinstance(environment, LightningEnvironment) and not told:
        raise ExperimentValueError(explain_alone(trainer.num_nodes, trainer.num_devices))
