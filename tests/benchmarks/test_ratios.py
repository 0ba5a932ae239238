"""A regression in speed is a warning, not a failure: times depend on other work."""

from __future__ import annotations

import json
import warnings

from benchmarks import regression


def test_the_bundled_models_speed_against_pytorch():
    committed = json.loads(regression.RATIOS.read_text())
    measured = regression.measure()
    assert measured.keys() == committed.keys()
    for message in regression.regressions(measured, committed):
        warnings.warn(message, stacklevel=1)


def test_a_lower_ratio_is_reported():
    committed = {"pytorch": 3.0, "hubert_base": 20.0}
    assert regression.regressions({"pytorch": 2.9, "hubert_base": 17.0}, committed) == []
    assert regression.regressions({"pytorch": 3.1, "hubert_base": 12.0}, committed) == [
        "the bundled model is 12 times as fast as hubert_base, down from 20"
    ]
