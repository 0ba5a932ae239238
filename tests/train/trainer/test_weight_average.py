"""Averaged weights: the average is scored, saved and returned; training goes on without it."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import TrainingArguments
from transformers.modeling_outputs import SequenceClassifierOutput

from train.trainer.weight_average import WEIGHTS_FILE, AveragingTrainer, WeightAverage

DECAY = 0.8


class Linear(nn.Module):
    """The least that a Trainer trains."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.trained = nn.Linear(3, 2)
        self.frozen = nn.Linear(1, 1).requires_grad_(False)
        self.seen = []

    def forward(self, inputs, labels):
        if self.training:
            self.seen.append(self.trained.weight.detach().clone())
        logits = self.trained(inputs)
        return SequenceClassifierOutput(nn.functional.cross_entropy(logits, labels), logits)


@pytest.fixture
def rows():
    random = np.random.default_rng(0)
    inputs = random.normal(size=(40, 3)).astype(np.float32)
    return [{"inputs": x, "labels": int(x[0] > 0)} for x in inputs]


def trainer(rows, folder, **changes):
    args = TrainingArguments(
        output_dir=str(folder),
        use_cpu=True,
        learning_rate=0.5,
        lr_scheduler_type="constant",
        per_device_train_batch_size=4,
        num_train_epochs=2,
        save_strategy="epoch",
        report_to="none",
        disable_tqdm=True,
        **changes,
    )
    made = AveragingTrainer(model=Linear(), args=args, train_dataset=rows, eval_dataset=rows)
    made.average_decay = DECAY
    return made


def averages(weights):
    """The average after each step, from the weights before the first and after each."""
    average = weights[0].clone()
    found = []
    for step, weight in enumerate(weights[1:], start=1):
        decay = min(DECAY, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * weight
        found.append(average)
    return found


def test_the_average_forgets_early_steps_sooner():
    model = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(0)
        average = WeightAverage(model, 0.9)
        model.weight.fill_(11)
        average.update(1)
    assert average.average["weight"].item() == pytest.approx(9)  # the decay is 2/11
    with average.applied():
        assert model.weight.item() == pytest.approx(9)
    assert model.weight.item() == 11


def test_a_run_ends_with_the_average_and_steps_do_not_see_it(rows, tmp_path):
    run = trainer(rows, tmp_path)
    run.train()
    # The weights of each step, and what the last one made of them.
    after = load_file(tmp_path / "checkpoint-20" / WEIGHTS_FILE)["trained.weight"]
    expected = averages([*run.model.seen, after])[-1]
    assert torch.allclose(run.model.trained.weight, expected, atol=1e-6)
    saved = load_file(tmp_path / "checkpoint-20" / "model.safetensors")
    assert torch.allclose(saved["trained.weight"], expected, atol=1e-6)
    assert not torch.allclose(after, expected, atol=1e-3)


def test_evaluation_is_that_of_the_average(rows, tmp_path):
    run = trainer(rows, tmp_path, eval_strategy="epoch")
    run.train()
    last = [log["eval_loss"] for log in run.state.log_history if "eval_loss" in log][-1]
    assert run.evaluate()["eval_loss"] == pytest.approx(last)


def test_the_best_checkpoint_is_an_average_too(rows, tmp_path):
    run = trainer(rows, tmp_path, eval_strategy="epoch", load_best_model_at_end=True)
    run.train()
    best = load_file(f"{run.state.best_model_checkpoint}/model.safetensors")
    assert torch.allclose(run.model.trained.weight, best["trained.weight"])
    assert run.evaluate()["eval_loss"] == pytest.approx(run.state.best_metric)


def test_a_resumed_run_is_the_run(rows, tmp_path):
    whole = trainer(rows, tmp_path / "run")
    whole.train()
    again = trainer(rows, tmp_path / "run")
    again.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-10"))
    assert len(again.model.seen) == 10
    assert torch.allclose(again.model.trained.weight, whole.model.trained.weight, atol=1e-6)


def test_without_a_decay_nothing_is_averaged(rows, tmp_path):
    run = trainer(rows, tmp_path)
    run.average_decay = 0.0
    run.train()
    assert not (tmp_path / "checkpoint-20" / WEIGHTS_FILE).exists()
    saved = load_file(tmp_path / "checkpoint-20" / "model.safetensors")
    assert torch.equal(run.model.trained.weight, saved["trained.weight"])
