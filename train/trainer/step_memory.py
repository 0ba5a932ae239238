"""Estimate the memory that training needs, and refuse a run that does not fit.

The system kills a process that uses too much memory without a message. So forward and backward
passes of the longest clip, alone and twice, are run first on a copy of the model, counting the
bytes of all live tensors. A batch needs the first number, and the difference for each further clip.
"""

from __future__ import annotations

import copy
import os
import random
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import Trainer

from emo_listen.errors import ModelError

MARGIN = 1.3
"""Memory of a step divided by that of its live tensors: buffers inside operators, and memory that
the allocator keeps. Estimated and measured growth of a process on a CPU, batches of 4 clips:
0.99 and 0.70 GB (HuBERT-base of 6 layers, 2 trained, 10 s), 0.77 and 0.74 GB (3 layers, all
trained, 6 s)."""

OPTIMIZER_BYTES = 16
"""Bytes per trained parameter: its gradient, AdamW's two moments, and a buffer of its step."""

CGROUP = Path("/sys/fs/cgroup")


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of live tensors that operators have created."""

    def __init__(self) -> None:
        """Start at zero."""
        super().__init__()
        self.live = 0
        self.peak = 0
        self.seen: dict[int, weakref.finalize] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operator, and count its results."""
        given = {
            leaf.untyped_storage()._cdata
            for leaf in tree_leaves((args, kwargs))
            if isinstance(leaf, torch.Tensor)
        }
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self.count(leaf.untyped_storage(), given)
        return result

    def count(self, storage: torch.UntypedStorage, given: set[int]) -> None:
        """Count a storage until it is freed, unless it is one of the operator's inputs."""
        key, size = storage._cdata, storage.nbytes()
        if key in given or key in self.seen:
            return
        self.seen[key] = weakref.finalize(storage, self.free, key, size)
        self.live += size
        self.peak = max(self.peak, self.live)

    def free(self, key: int, size: int) -> None:
        """Subtract a freed storage."""
        self.seen.pop(key, None)
        self.live -= size


@dataclass
class MemoryOfBatch:
    """Memory of training on one machine besides the weights, by clips per batch."""

    optimizer: int
    """Bytes of gradients and optimizer state."""

    one: int
    """Bytes of a forward and backward pass of one clip."""

    two: int
    """Bytes of two clips."""

    def __call__(self, batch_size: int) -> float:
        """Bytes of a batch of `batch_size` clips."""
        return self.optimizer + MARGIN * (self.one + (batch_size - 1) * (self.two - self.one))


def check_memory(trainer: Trainer) -> None:
    """Refuse a batch size whose steps need more memory than is free.

    Call it before training; it changes neither the model nor the state of random numbers.

    Raises:
        ModelError: with the memory needed, and the batch size that fits.
    """
    if trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled:
        return  # these distribute a step's memory over several devices
    args = trainer.args
    needed, free = estimate(trainer), free_bytes(trainer.args.device)
    batch_size = args.train_batch_size
    if needed(batch_size) <= free:
        return
    message = (
        f"A training step needs about {needed(batch_size) / 1e9:.1f} GB of memory, and "
        f"{free / 1e9:.1f} GB are free. Use "
    )
    fits = batch_size
    while fits > 1 and needed(fits) > free:
        fits //= 2
    if needed(fits) <= free:
        steps = -(-batch_size * args.gradient_accumulation_steps // fits)
        message += (
            f"--per_device_train_batch_size {fits} --gradient_accumulation_steps {steps}, or "
        )
    raise ModelError(
        f"{message}a shorter --train_window, fewer --trainable_layers or a smaller --base_model."
    )


def estimate(trainer: Trainer) -> MemoryOfBatch:
    """Measure batches of one clip and of two.

    Args:
        trainer: before it trains, with a dataset that has `lengths_in`.
    """
    dataset: Any = trainer.train_dataset
    item = dataset[int(np.argmax(dataset.lengths_in(0)))]
    with random_state_restored():
        model = copy.deepcopy(trainer.model).train()
        model.config.layerdrop = 0.0  # run all layers
        if trainer.args.gradient_checkpointing:
            model.gradient_checkpointing_enable(trainer.args.gradient_checkpointing_kwargs)
        one, two = (step_bytes(trainer, model, [item] * n_clips) for n_clips in (1, 2))
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    processes = 1
    if trainer.args.device.type == "cpu":
        processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return MemoryOfBatch(processes * OPTIMIZER_BYTES * trained, processes * one, processes * two)


def step_bytes(trainer: Trainer, model: Any, items: list[dict[str, Any]]) -> int:
    """Peak bytes of a forward and backward pass of `items`, without the weights."""
    inputs = trainer._prepare_inputs(trainer.data_collator(items))
    with LiveBytes() as counted:
        with trainer.accelerator.autocast():
            loss = trainer.compute_loss(model, inputs)
        loss.backward()
    model.zero_grad(set_to_none=True)
    return counted.peak


def free_bytes(device: torch.device) -> float:
    """Bytes of memory that this process can still allocate on `device`."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return min(psutil.virtual_memory().available, container_bytes())


def container_bytes() -> float:
    """Bytes left below the container's limit; infinite if there is none."""
    first, second = CGROUP, CGROUP / "memory"  # of version 2 and 1
    for limit, usage, cache in (
        (first / "memory.max", first / "memory.current", "inactive_file"),
        (second / "memory.limit_in_bytes", second / "memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            most = int(limit.read_text())  # or "max", a ValueError
            lines = (limit.parent / "memory.stat").read_text().splitlines()
            reclaimable = int(dict(line.split() for line in lines)[cache])
            return most - int(usage.read_text()) + reclaimable
        except (OSError, ValueError, KeyError):
            continue
    return float("inf")


@contextmanager
def random_state_restored() -> Iterator[None]:
    """Restore the state of Python's, numpy's and PyTorch's random numbers afterwards."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
