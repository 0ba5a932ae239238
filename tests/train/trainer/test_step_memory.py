"""The memory of a training step, estimated before the first one."""

from __future__ import annotations

import copy
import random

import numpy as np
import pytest
import torch

from emo_listen.errors import ModelError
from tests.support import tiny_checkpoints as tiny
from train.trainer import step_memory
from train.trainer.clips import Collator
from train.trainer.emotion_trainer import ClipTrainer, ClipTrainingArguments
from train.trainer.frozen_trunk import freeze
from train.trainer.step_memory import LiveBytes, check_memory, estimate

RATE = 16_000


class Noise(torch.utils.data.Dataset):
    """Two clips of 1 and 3 s, as `Clips` gives them."""

    lengths = np.array([RATE, 3 * RATE])

    def lengths_in(self, epoch: int) -> np.ndarray:
        return self.lengths

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> dict:
        length = int(self.lengths[index])
        sound = np.random.default_rng(0).normal(size=length).astype(np.float32)
        return {"input_values": sound, "length": length, "labels": 0}


@pytest.fixture
def trainer(tmp_path) -> ClipTrainer:
    model = tiny.make_model(tiny.COMPACT, hidden_dropout=0.1, layerdrop=0.5)
    freeze(model, -1)
    args = ClipTrainingArguments(
        output_dir=str(tmp_path),
        use_cpu=True,
        eval_strategy="no",
        save_strategy="no",
        load_best_model_at_end=False,
        per_device_train_batch_size=32,
        gradient_accumulation_steps=4,
    )
    return ClipTrainer(model=model, args=args, train_dataset=Noise(), data_collator=Collator())


def test_bytes_that_live_at_once_are_counted():
    given = torch.ones(1000)
    with LiveBytes() as counted:
        doubled = given * 2
        view = doubled[:10]
        doubled.add_(1)
        assert (counted.live, counted.peak) == (4000, 4000)
        other = doubled + 1
        del other
        assert (counted.live, counted.peak) == (4000, 8000)
        del doubled, view
        assert counted.live == 0


def test_the_longest_clip_counts_and_each_further_clip_costs_the_same(trainer):
    torch.manual_seed(0)
    needed = estimate(trainer)
    assert needed.one < needed.two
    assert needed(4) - needed(3) == pytest.approx(needed(3) - needed(2))
    Noise.lengths, before = np.array([RATE, 6 * RATE]), Noise.lengths
    try:
        torch.manual_seed(0)
        longer = estimate(trainer)
    finally:
        Noise.lengths = before
    assert longer.two - longer.one > 1.8 * (needed.two - needed.one)
    trained = sum(p.numel() for p in trainer.model.parameters() if p.requires_grad)
    assert needed.optimizer == 16 * trained


def test_a_batch_that_does_not_fit_is_refused_with_one_that_does(trainer, monkeypatch):
    needed = estimate(trainer)
    monkeypatch.setattr(step_memory, "free_bytes", lambda device: 1.5 * needed(8))
    with pytest.raises(ModelError, match=r"--per_device_train_batch_size 8 --gradient_acc.* 16"):
        check_memory(trainer)
    monkeypatch.setattr(step_memory, "free_bytes", lambda device: 1e5)
    with pytest.raises(ModelError, match=r"needs about .* GB .*Use a shorter --train_window"):
        check_memory(trainer)


def test_the_run_goes_on_as_if_nothing_had_been_measured(trainer):
    weights = copy.deepcopy(trainer.model.state_dict())
    states = torch.get_rng_state(), random.getstate(), str(np.random.get_state())
    check_memory(trainer)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert str(np.random.get_state()) == states[2]
    for name, value in trainer.model.state_dict().items():
        assert torch.equal(value, weights[name]), name
    assert all(p.grad is None for p in trainer.model.parameters())


@pytest.mark.parametrize(
    ("files", "left"),
    [
        ({"memory.max": "max", "memory.current": "1", "memory.stat": "inactive_file 0"}, None),
        ({"memory.max": "900", "memory.current": "500", "memory.stat": "inactive_file 30"}, 430),
        (
            {
                "memory/memory.limit_in_bytes": "900",
                "memory/memory.usage_in_bytes": "100",
                "memory/memory.stat": "cache 3\ntotal_inactive_file 50",
            },
            850,
        ),
        ({}, None),
    ],
)
def test_a_container_s_limit_counts(tmp_path, monkeypatch, files, left):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    monkeypatch.setattr(step_memory, "CGROUP", tmp_path)
    assert step_memory.container_bytes() == (float("inf") if left is None else left)
