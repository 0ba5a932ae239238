"""Statistics of voices that a listener needs: how ordinary speech differs between them.

A model whose graph has an `embedding` is used relative to a voice's baseline, which the listener
estimates while it runs (`emo_listen.baselines.running_baseline`). For that it needs the
population's baseline, the distance of each class from ordinary speech, the spread between voices,
and the noise of one window: all as logits, all measured on speakers that the model was not trained
on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from emo_listen import EmotionModel
from emo_listen.head import NEUTRAL
from emo_listen.model_settings import ModelSettings
from train.corpus.recordings import Clip, check_labels

FEWEST_SPEAKERS = 5
"""Fewest speakers with ordinary speech for measuring the spread between voices."""

NEUTRAL_SHARE = 0.55
"""Share of neutral speech in streams; the other classes share the rest. With 0.4, 0.5 and 0.6, a
model not trained on them classifies LibriSpeech's validation readers as emotional in 0.02, 0.01 and
0.00 of the time, 0.08, 0.10 and 0.17 of EMO-DB's emotional clips, one after the other, as neutral,
and 0.73, 0.73 and 0.71 of CREMA-D's validation clips correctly. Between the last two, since far
fields and telephones make more ordinary speech seem emotional."""


def measure(folder: Path, model: EmotionModel, clips: Sequence[Clip]) -> bool:
    """Measure voices and store their statistics in `folder`, if its model uses them.

    If the clips are of too few speakers, nothing is changed and a message is printed.

    Returns:
        Whether `folder` was changed, so that `model` must be loaded again.

    Raises:
        CorpusError: the model does not know a class.
    """
    settings = ModelSettings.read(folder)
    measurable = None not in {clip.speaker for clip in clips} and NEUTRAL in model.labels
    if settings.head is None or not measurable:
        return False
    check_labels(list(clips), model.labels)
    speakers = {clip.speaker for clip in clips if clip.label == NEUTRAL}
    if len(speakers) < FEWEST_SPEAKERS:
        print(
            f"Voices were not measured: only {len(speakers)} speakers have {NEUTRAL} clips, "
            f"{FEWEST_SPEAKERS} are needed."
        )
        return False
    settings.head = with_population(settings.head, measure_voices(model, clips))
    settings.write(folder)
    return True


def measure_voices(model: EmotionModel, clips: Sequence[Clip]) -> dict[str, Any]:
    """Measure the fields of `head` of `emo_listen.json` besides `weight` and `bias`.

    Args:
        model: its graph has an `embedding`, its settings the head's `weight` and `bias`.
        clips: at the model's rate, of at least `FEWEST_SPEAKERS` known speakers with ordinary
            speech that the model was not trained on; speakers with only ordinary speech count
            for the spread between voices.
    """
    windows = logits_of_windows(model, clips)
    return statistics(
        windows["logits"], windows["classes"], windows["speakers"], model.labels.index(NEUTRAL)
    ) | {"prior": prior(model.labels)}


def logits_of_windows(model: EmotionModel, clips: Sequence[Clip]) -> dict[str, NDArray[Any]]:
    """Logits (n, n_labels), classes and speakers (n,) of the clips' windows.

    A clip longer than the model's window is divided into equal parts of at most its length.
    """
    longest = model.settings.window * model.sampling_rate
    rows: dict[str, list[Any]] = defaultdict(list)
    for clip in tqdm(clips, desc="Voices", unit="clip"):
        parts = int(np.ceil(len(clip.samples) / longest))
        for part in np.array_split(clip.samples, parts):
            rows["logits"].append(model.run(part, model.sampling_rate).logits)
            rows["classes"].append(model.labels.index(clip.label))
            rows["speakers"].append(clip.speaker)
    return {name: np.array(values) for name, values in rows.items()}


def statistics(
    logits: NDArray[np.float64],
    classes: NDArray[np.int64],
    speakers: NDArray[np.str_],
    neutral: int,
) -> dict[str, Any]:
    """Compute the fields of `head` from windows' logits (n, n_labels).

    The population is the mean of the speakers with other classes too, since the graph's bias was
    trained on such speakers; those with only ordinary speech show how far other voices, rooms and
    microphones are from it.
    """
    ordinary = {s: logits[(speakers == s) & (classes == neutral)] for s in np.unique(speakers)}
    means = {s: of.mean(axis=0) for s, of in ordinary.items() if len(of)}
    actors = [s for s in means if len(set(classes[speakers == s])) > 1] or list(means)
    population = np.mean([means[s] for s in actors], axis=0)
    shifts = np.array(list(means.values())) - population
    offsets = np.zeros((logits.shape[1], logits.shape[1]))
    residuals = [ordinary[s] - means[s] for s in means if len(ordinary[s]) > 1]
    for label in range(logits.shape[1]):
        of_class = [logits[(speakers == s) & (classes == label)] for s in actors]
        pairs = [(of, s) for of, s in zip(of_class, actors, strict=True) if len(of)]
        if label == neutral or not pairs:
            continue
        offsets[label] = np.mean([of.mean(axis=0) - means[s] for of, s in pairs], axis=0)
        residuals += [of - of.mean(axis=0) for of, _ in pairs if len(of) > 1]
    return {
        "population_logits": population.tolist(),
        "class_offsets": offsets.tolist(),
        "speaker_covariance": (shifts.T @ shifts / len(shifts)).tolist(),
        "noise_covariance": np.cov(np.concatenate(residuals).T).tolist(),
    }


def prior(labels: list[str]) -> list[float]:
    """Share of each class in streams."""
    rest = (1 - NEUTRAL_SHARE) / (len(labels) - 1)
    return [NEUTRAL_SHARE if label == NEUTRAL else round(rest, 6) for label in labels]


def with_population(head: dict[str, Any], measured: dict[str, Any]) -> dict[str, Any]:
    """Add the measured fields to a head's `weight` and `bias`.

    The graph's logits are `weight @ embedding + bias`. The population's baseline is the shortest
    embedding with the population's logits; `bias` becomes those logits, so that
    `weight @ (embedding - population) + bias` is what the graph returns.
    """
    measured = dict(measured)
    wanted = np.array(measured.pop("population_logits"))
    weight, bias = np.array(head["weight"]), np.array(head["bias"])
    if head.get("population") is not None:
        bias = bias - weight @ np.array(head["population"])
    population = np.linalg.pinv(weight) @ (wanted - bias)
    return {
        "weight": head["weight"],
        "bias": (bias + weight @ population).tolist(),
        "population": population.tolist(),
        **measured,
    }
