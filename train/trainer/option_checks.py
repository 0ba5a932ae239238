"""Check options before anything is decoded that would otherwise end a run later."""

from __future__ import annotations

from collections.abc import Iterable

from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

from emo_listen.errors import CorpusError

METRICS = ("uar", "accuracy", "macro_f1", "loss")
"""Values of `--metric_for_best_model`, besides the recall of a class."""


def check_report_to(report_to: str | list[str] | None) -> None:
    """Refuse trackers that are unknown or not installed.

    Raises:
        CorpusError: naming the tracker.
    """
    for name in [report_to] if isinstance(report_to, str) else report_to or []:
        if name not in INTEGRATION_TO_CALLBACK:
            raise CorpusError(
                f"--report_to {name} is unknown: use none, all, or some of "
                f"{', '.join(sorted(INTEGRATION_TO_CALLBACK))}."
            )
        try:
            INTEGRATION_TO_CALLBACK[name]()
        except Exception as error:  # trackers raise anything without their package or account
            reason = str(error) or type(error).__name__
            raise CorpusError(
                f"--report_to {name} cannot be used: {reason} Install and set it up, or use none."
            ) from error


def check_metric(metric: str | None, labels: Iterable[str]) -> None:
    """Refuse a `--metric_for_best_model` that is not computed.

    Args:
        metric: its name, with or without the Trainer's prefix `eval_`; None is the loss.
        labels: classes whose recall is computed.

    Raises:
        CorpusError: naming the computed ones.
    """
    known = [*METRICS, *(f"recall_{label}" for label in sorted(set(labels)))]
    if metric is not None and metric.removeprefix("eval_") not in known:
        raise CorpusError(
            f"--metric_for_best_model {metric} is not computed: use one of {', '.join(known)}."
        )
