"""Refuse options before anything is decoded that would end a run later on."""

from __future__ import annotations

from collections.abc import Iterable

from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

from emo_listen.errors import CorpusError

METRICS = ("uar", "accuracy", "macro_f1", "loss")
"""What `--metric_for_best_model` may name, beside the recall of a class."""


def check_report_to(report_to: str | list[str] | None) -> None:
    """Refuse trackers that are unknown or not installed.

    Raises:
        CorpusError: naming the tracker.
    """
    for name in [report_to] if isinstance(report_to, str) else report_to or []:
        if name not in INTEGRATION_TO_CALLBACK:
            raise CorpusError(
                f"--report_to {name} is unknown. Give none, all, or some of "
                f"{', '.join(sorted(INTEGRATION_TO_CALLBACK))}."
            )
        try:
            INTEGRATION_TO_CALLBACK[name]()
        except Exception as error:  # whatever a tracker raises without its package or account
            reason = str(error) or type(error).__name__
            raise CorpusError(f"--report_to {name} cannot be used: {reason}") from error


def check_metric(metric: str | None, labels: Iterable[str]) -> None:
    """Refuse a `--metric_for_best_model` that evaluation does not compute.

    Args:
        metric: its name, with or without the Trainer's prefix `eval_`; None is the loss.
        labels: classes whose recall is computed.

    Raises:
        CorpusError: naming those that are computed.
    """
    known = [*METRICS, *(f"recall_{label}" for label in sorted(set(labels)))]
    if metric is not None and metric.removeprefix("eval_") not in known:
        raise CorpusError(
            f"--metric_for_best_model {metric} is not computed. Give one of {', '.join(known)}."
        )
