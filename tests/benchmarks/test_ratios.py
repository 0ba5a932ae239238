"""A regression in speed is told, never failed on: times depend on what else a machine does."""

from __future__ import annotations

import json
import warnings

from benchmarks import regression


def test_the_bundled_models_speed_against_pytorch():
    held = json.loads(regression.RATIOS.read_text())
    measured = regression.measure()
    assert measured.keys() == held.keys()
    for message in regression.fallen(measured, held):
        warnings.warn(message, stacklevel=1)


def test_a_ratio_that_falls_is_told():
    held = {"pytorch": 3.0, "hubert_base": 20.0}
    assert regression.fallen({"pytorch": 2.9, "hubert_base": 17.0}, held) == []
    assert regression.fallen({"pytorch": 3.1, "hubert_base": 12.0}, held) == [
        "the bundled model is 12 times faster than hubert_base, and was 20"
    ]
