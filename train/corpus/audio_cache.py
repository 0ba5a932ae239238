"""Decode each clip once: mono, at the base model's rate, 16-bit, memory-mapped from a cache.

The cache is an Arrow file whose key covers the files' paths, sizes and times and the sampling rate:
a changed file or another rate makes a new one.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from emo_listen.audio import load_audio
from emo_listen.errors import AudioFileError, CorpusError

FORMAT = 3
"""Increased whenever decoding changes, so that old caches are not used."""

FULL_SCALE = 32768
"""Stored value of a sample of 1."""

CACHE_DIR = Path(".cache/train")
"""Default folder of decoded sound."""

SILENT_BELOW = 1e-4
"""Peak (full scale is 1) below which a clip is silent: -80 dBFS."""

MIN_SECONDS = 0.25
"""Shortest clip to train on, in seconds: SpecAugment masks ten frames of 20 ms and a bit more."""

DECODED = datasets.Features(
    {
        "samples": datasets.List(datasets.Value("int16")),
        "length": datasets.Value("int64"),
        "digest": datasets.Value("string"),
        "fault": datasets.Value("string"),
    }
)


def decode_corpus(
    corpus: datasets.Dataset, sampling_rate: int, cache_dir: Path
) -> tuple[datasets.Dataset, dict[str, str]]:
    """Decode a corpus, or read it from the cache.

    Args:
        corpus: rows of `load.COLUMNS`.
        sampling_rate: of the base model, in Hz.
        cache_dir: folder of caches, created if it is missing.

    Returns:
        The usable clips: the corpus's columns without `audio`, with `samples` (int16, mono),
        `length` (samples) and `digest` (of the samples); and the fault of each other clip, by
        name.

    Raises:
        CorpusError: no clip can be used.
    """
    cache_dir.mkdir(parents=True, exist_ok=True)
    key = cache_key(corpus, sampling_rate)
    decoded = corpus.select_columns(["audio"]).map(
        decode_row,
        fn_kwargs={"sampling_rate": sampling_rate},
        remove_columns=["audio"],
        features=DECODED,
        cache_file_name=str(cache_dir / f"audio-{key}.arrow"),
        load_from_cache_file=True,
        new_fingerprint=key,
        writer_batch_size=20,  # 32-bit offsets: 20 recordings have less than 2**31 samples
        desc="Decoding",
    )
    faults = {
        name: fault for name, fault in zip(corpus["name"], decoded["fault"], strict=True) if fault
    }
    clips = datasets.concatenate_datasets(
        [corpus.remove_columns("audio"), decoded.remove_columns("fault")], axis=1
    )
    good = [i for i, name in enumerate(corpus["name"]) if name not in faults]
    if not good:
        shown = "; ".join(f"{name}: {fault}" for name, fault in list(faults.items())[:5])
        raise CorpusError(f"None of the {len(corpus)} clips can be used: {shown}")
    return clips.select(good), faults


def cache_key(corpus: datasets.Dataset, sampling_rate: int) -> str:
    """Hash of everything that decoding depends on, 32 hex digits."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(json.dumps([FORMAT, sampling_rate]).encode())
    for table in corpus.select_columns(["audio"]).with_format("arrow").iter(batch_size=100):
        for audio in table["audio"].to_pylist():
            if audio["bytes"] is not None:
                digest.update(hashlib.blake2b(audio["bytes"]).digest())
                continue
            path = Path(audio["path"]).resolve()
            stat = path.stat() if path.is_file() else None
            state = [str(path), stat and stat.st_size, stat and stat.st_mtime_ns]
            digest.update(json.dumps(state).encode())
    return digest.hexdigest()


def decode_row(row: dict[str, Any], sampling_rate: int) -> dict[str, Any]:
    """Decode one clip; one that cannot be used gets a `fault` and no samples."""
    fault = None
    samples = np.zeros(0, np.float32)
    try:
        samples = read_sound(row["audio"], sampling_rate)
    except FileNotFoundError:
        fault = "missing"
    except (OSError, AudioFileError) as error:
        fault = f"unreadable ({error})"
    else:
        if not samples.size:
            fault = "empty"
        elif not np.isfinite(samples).all():
            fault = "unreadable (samples are not finite)"
        elif np.abs(samples).max() < SILENT_BELOW:
            fault = "silent"
        elif samples.size < MIN_SECONDS * sampling_rate:
            fault = f"shorter than {MIN_SECONDS} s"
    if fault:
        samples = np.zeros(0, np.float32)
    pcm = to_pcm(samples)
    return {
        "samples": pcm,
        "length": pcm.size,
        "digest": hashlib.blake2b(pcm.tobytes(), digest_size=16).hexdigest(),
        "fault": fault,
    }


def read_sound(audio: dict[str, Any], sampling_rate: int) -> np.ndarray:
    """Read a path or a file's bytes as float32 `(n_samples,)`, mono at `sampling_rate` Hz.

    Decoding, mixing and resampling are the listener's. A damaged recording is refused as a whole
    instead of being silently shortened.

    Raises:
        FileNotFoundError: there is no such file.
        AudioFileError: it is not sound, or damaged.
    """
    if audio["bytes"] is not None:
        return load_audio(io.BytesIO(audio["bytes"]), sampling_rate, name=audio["path"] or "a clip")
    if not Path(audio["path"]).is_file():
        raise FileNotFoundError(audio["path"])
    return load_audio(audio["path"], sampling_rate)


def to_pcm(samples: np.ndarray) -> np.ndarray:
    """Convert float samples within -1 to 1, of any shape, to the stored int16."""
    return np.clip(np.rint(samples * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def to_float(samples: np.ndarray) -> np.ndarray:
    """Convert stored int16 samples, of any shape, to float32 within -1 to 1."""
    return samples.astype(np.float32) / np.float32(FULL_SCALE)


def add_cache_dir(parser: argparse.ArgumentParser) -> None:
    """Add the option `--cache_dir`."""
    parser.add_argument(
        "--cache_dir",
        type=Path,
        default=CACHE_DIR,
        help=f"folder of decoded sound (default: {CACHE_DIR})",
    )


def print_faults(faults: dict[str, str]) -> None:
    """Print each clip that is left out with its fault, and their number."""
    for name, fault in faults.items():
        print(f"Left out: {name}: {fault}")
    if faults:
        kinds = Counter(fault.split(" (")[0] for fault in faults.values())
        counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        print(f"{len(faults)} clip(s) left out: {counts}")
