"""int8 weights are rounded so that a layer's output stays."""

from __future__ import annotations

import numpy as np
import pytest

from export.weight_rounding import LARGEST, rounded


@pytest.fixture
def inputs() -> np.ndarray:
    """Frames of 48 values that go together, and that are above 0 on average."""
    random = np.random.default_rng(0)
    return random.standard_normal((500, 12)) @ random.standard_normal((12, 48)) + 1.0


def output_error(inputs: np.ndarray, change: np.ndarray) -> float:
    return float(np.square(inputs @ change).mean())


def test_outputs_change_less_than_with_each_weight_rounded_alone(inputs):
    random = np.random.default_rng(1)
    weight = random.standard_normal((48, 20)).astype(np.float32)
    scale = (np.abs(weight).max(axis=0) / LARGEST).astype(np.float32)
    steps = rounded(weight, scale, inputs.T @ inputs)
    assert (steps == np.round(steps)).all() and np.abs(steps).max() <= LARGEST
    alone = np.round(weight / scale) * scale
    assert output_error(inputs, steps * scale - weight) < 0.2 * output_error(inputs, alone - weight)


def test_what_int8_weights_learnt_in_less_than_half_a_step_is_kept(inputs):
    """Rounded alone, the weights would be again what the model began from."""
    random = np.random.default_rng(2)
    scale = np.full(20, 0.02, np.float32)
    before = random.integers(-40, 41, (48, 20)) * scale
    learnt = (0.3 * scale * random.choice([-1, 1], (1, 20))).repeat(48, axis=0)
    weight = (before + learnt).astype(np.float32)
    np.testing.assert_array_equal(np.round(weight / scale), np.round(before / scale))
    found = rounded(weight, scale, inputs.T @ inputs) * scale
    assert output_error(inputs, found - weight) < 0.05 * output_error(inputs, before - weight)


def test_inputs_that_are_always_zero_are_no_obstacle(inputs):
    inputs[:, [3, 7]] = 0
    weight = np.random.default_rng(3).standard_normal((48, 5)).astype(np.float32)
    steps = rounded(weight, np.full(5, 0.1, np.float32), inputs.T @ inputs)
    np.testing.assert_array_equal(steps[[3, 7]], np.round(weight[[3, 7]] / np.float32(0.1)))
