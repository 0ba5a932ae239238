"""Scores clips relative to a baseline of a few neutral clips of the same speaker."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.scoring.figures import NEUTRAL
from emo_listen import Baseline, EmotionModel
from emo_listen.head import voice_temperature
from emo_listen.prediction import Output
from train.corpus.recordings import Clip
from train.evaluation.calibration import Answers


def outputs_of(model: EmotionModel, clips: Sequence[Clip], name: str) -> list[Output]:
    """Run the network on each whole clip; `name` is shown on the progress bar."""

    def run(clip: Clip) -> Output:
        return model.run(clip.samples, model.sampling_rate)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(tqdm(pool.map(run, clips), name, len(clips), unit="clip"))


def clips_of_speakers(clips: Sequence[Clip], label: str) -> dict[str, list[int]]:
    """Return the indices of each known speaker's clips of one class."""
    found: dict[str, list[int]] = defaultdict(list)
    for index, clip in enumerate(clips):
        if clip.speaker is not None and clip.label == label:
            found[clip.speaker].append(index)
    return dict(found)


def enrol(
    clips: Sequence[Clip], count: int, random: np.random.Generator, label: str = NEUTRAL
) -> dict[str, list[int]]:
    """Choose the clips of each speaker's baseline.

    Args:
        clips: a corpus.
        count: clips of a speaker; at least one is left to be scored.
        random: makes the choice.
        label: class of the clips.

    Returns:
        Indices by speaker, without speakers who have fewer than two such clips.
    """
    enrolled = {}
    for speaker, indices in clips_of_speakers(clips, label).items():
        if len(indices) > 1:
            chosen = random.permutation(indices)[: min(count, len(indices) - 1)]
            enrolled[speaker] = [int(index) for index in chosen]
    return enrolled


def baseline_of(
    model: EmotionModel, clips: Sequence[Clip], outputs: Sequence[Output], chosen: Sequence[int]
) -> Baseline:
    """Compute a baseline from the clips at the indices `chosen`, as `Baseline.from_speech` does."""
    lengths = np.array([len(clips[index].samples) for index in chosen], float)
    embeddings = np.array([outputs[index].embedding for index in chosen])
    mean = np.average(embeddings, axis=0, weights=lengths)
    return Baseline.of(model, mean, lengths.sum() / model.sampling_rate)


def answers_of(
    model: EmotionModel,
    clips: Sequence[Clip],
    outputs: Sequence[Output],
    rows: Sequence[int] | None = None,
    shifts: Sequence[NDArray[np.float64]] | None = None,
) -> Answers:
    """Combine calibrated logits with the clips' classes and speakers.

    Args:
        model: the model that computed the outputs.
        clips: all clips.
        outputs: outputs of all clips.
        rows: indices of the clips to score; all if None.
        shifts: shift of the logits by a baseline, for each of `rows`; none if None.
    """
    rows = range(len(clips)) if rows is None else rows
    logits = np.array([outputs[index].logits for index in rows])
    temperature = model.settings.temperature
    if shifts is not None:
        logits = logits - np.array(shifts)
        temperature *= voice_temperature(unknown=0.0)
    return Answers(
        logits=logits / temperature,
        classes=np.array([model.labels.index(clips[index].label) for index in rows]),
        speakers=[clips[index].speaker for index in rows],
    )


def answers_with_baselines(
    model: EmotionModel,
    clips: Sequence[Clip],
    outputs: Sequence[Output],
    chosen: dict[str, list[int]],
    assigned: dict[str, str] | None = None,
) -> Answers:
    """Score the clips that are not part of a baseline, each relative to its speaker's baseline.

    Args:
        model: the model that computed the outputs.
        clips: all clips.
        outputs: outputs of all clips.
        chosen: indices of each speaker's clips for the baseline; other speakers are left out.
        assigned: whose baseline each speaker gets; their own if None.
    """
    shifts = {
        speaker: model.shift(baseline_of(model, clips, outputs, indices))
        for speaker, indices in chosen.items()
    }
    used = {index for indices in chosen.values() for index in indices}
    rows = [i for i, clip in enumerate(clips) if i not in used and clip.speaker in shifts]
    whose = [str(clips[index].speaker) for index in rows]
    return answers_of(
        model, clips, outputs, rows, [shifts[(assigned or {}).get(who, who)] for who in whose]
    )
