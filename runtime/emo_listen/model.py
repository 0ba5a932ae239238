"""`EmotionModel`: runs a network in onnxruntime and turns its logits into a `Prediction`."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from emo_listen.audio import resample
from emo_listen.cores import usable_cores
from emo_listen.errors import AudioInputError, BaselineError, EmoListenError, ModelError
from emo_listen.head import Head, voice_temperature
from emo_listen.model_folder.config import ModelConfig
from emo_listen.model_folder.hub import how_to_download
from emo_listen.model_folder.network import find_network, open_network, time_limit
from emo_listen.model_folder.values import one_line, whole_number
from emo_listen.model_settings import MAX_THREADS, UNCERTAIN, ModelSettings, file_sha256
from emo_listen.prediction import Output, Prediction
from emo_listen.smoothing import softmax
from emo_listen.sound.rates import check_rate
from emo_listen.sources.blocks import float_samples

if TYPE_CHECKING:
    from emo_listen.baselines.baseline import Baseline

BUNDLED_MODEL = Path(__file__).parent / "models" / "hubert-compact"
"""The model in the package."""

LOGITS, EMBEDDING = "logits", "embedding"
"""Names of a network's outputs; if there is only one, it is the logits, whatever its name."""

TEST_SOUND_SECONDS = 0.5
"""Length of the sound that a network is tested with when it is loaded, in seconds."""

TEST_TIME_LIMIT = 30.0
"""Time limit for this test, in seconds. The bundled model takes 0.005 s, HuBERT-large 0.3 s."""

MIN_SECONDS = 0.1
"""Shortest sound that a model accepts, in seconds."""


class EmotionModel:
    """An ONNX audio classifier with its labels, sampling rate and settings.

    Attributes:
        name: Name of the model's folder.
        file: Path of the network.
        labels: Names of the classes, in the order of the logits.
        sampling_rate: Sampling rate of the network's input, in Hz.
        settings: The folder's `emo_listen.json`, or its defaults.
        head: The linear head; None if the model does not support baselines.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        *,
        name: str,
        file: Path,
        labels: list[str],
        sampling_rate: int,
        do_normalize: bool,
        receptive_field: int,
        settings: ModelSettings,
        head: Head | None = None,
    ) -> None:
        """Wrap a session; use `EmotionModel.load` to open a model folder."""
        self.name = name
        self.file = file
        self.labels = labels
        self.sampling_rate = sampling_rate
        self.settings = settings
        self.head = head
        self._session = session
        self._input_names = [node.name for node in session.get_inputs()]
        outputs = {node.name: node for node in session.get_outputs()}
        self._output_names = [LOGITS if LOGITS in outputs else next(iter(outputs))]
        if EMBEDDING in outputs and (head is not None or len(outputs[EMBEDDING].shape) == 2):
            self._output_names.append(EMBEDDING)
        self._do_normalize = do_normalize
        self._receptive_field = receptive_field

    @property
    def log_prior(self) -> NDArray[np.float64]:
        """Logits (n_labels,) that a listener adds for the prior; zeros for a model without head."""
        return np.zeros(len(self.labels)) if self.head is None else self.head.log_prior

    @classmethod
    def load(
        cls, path: str | Path | None = None, *, file_name: str | None = None, threads: int = 1
    ) -> EmotionModel:
        """Load a model folder in the hub's layout.

        Args:
            path: A folder with `config.json`, `preprocessor_config.json` and a network; None for
                the bundled model.
            file_name: The network's path inside `path`; None for the first of `NETWORK_FILES`.
            threads: CPU threads for one prediction, 1 to 256.

        Raises:
            ModelError: the folder does not exist, is incomplete or damaged, or is not a
                single-label audio classifier; or `threads` is out of range.
        """
        folder = BUNDLED_MODEL if path is None else Path(path)
        try:
            return cls._load(folder, file_name, threads)
        except OSError as error:
            raise ModelError(f"{folder} cannot be read: {error}") from error

    @classmethod
    def _load(cls, folder: Path, file_name: str | None, threads: int) -> EmotionModel:
        if not folder.is_dir():
            raise ModelError(
                f"{folder} is not a folder: give a local model folder with config.json, "
                "preprocessor_config.json and onnx/model.onnx, as written by export/to_onnx.py."
                f"{how_to_download(folder)}"
            )
        try:
            whole_number(threads, "threads", 1, MAX_THREADS)
        except ValueError as error:
            raise ModelError(str(error)) from error
        file = find_network(folder, file_name)
        settings = ModelSettings.read(folder)
        config = ModelConfig.read(folder)
        for used in (file, folder / "config.json", folder / "preprocessor_config.json"):
            settings.verify(folder, used)
        session = open_network(file, threads)
        model = cls(
            session,
            name=folder.resolve().name,
            file=file,
            labels=config.labels,
            sampling_rate=config.sampling_rate,
            do_normalize=config.do_normalize,
            receptive_field=config.receptive_field,
            settings=settings,
            head=_head(session, settings, config.labels),
        )
        model._test()
        return model

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the network's file in hex; a baseline is valid only for one network."""
        return file_sha256(self.file)

    def __repr__(self) -> str:
        return (
            f"EmotionModel({self.name!r}, file={self.file.name!r}, labels={self.labels}, "
            f"sampling_rate={self.sampling_rate}, window={self.settings.window}, "
            f"hop={self.settings.hop}, temperature={self.settings.temperature}, "
            f"uncertain_below={self.settings.uncertain_below})"
        )

    def predict(
        self,
        samples: NDArray[Any],
        sampling_rate: int,
        *,
        baseline: Baseline | None = None,
    ) -> Prediction:
        """Predict the emotion in one piece of sound, without padding it to a fixed length.

        Args:
            samples: Mono sound, float32 (n_samples,), nominally from -1 to 1 (int16 and int32 are
                scaled to that), 0.1 s or longer. Sound shorter than the receptive field of the
                model's front end (usually less than 0.1 s) is extended with zeros.
            sampling_rate: Rate of `samples` in Hz, 1,000 to 1,000,000; resampled to the model's.
            baseline: The speaker's baseline; None for the population's.

        Raises:
            AudioInputError: `samples` are not mono, too short, or not finite, or the sampling rate
                is unusable.
            BaselineError: `baseline` belongs to another model, or the model does not support
                baselines.
            ModelError: the network does not return one finite logit for each label.
        """
        return self.judge(self.run(samples, sampling_rate), baseline)

    def predict_batch(
        self,
        clips: Iterable[NDArray[Any]],
        sampling_rate: int,
        *,
        baseline: Baseline | None = None,
    ) -> list[Prediction]:
        """Predict the emotion in each of many clips, with the results of `predict`.

        Each clip runs alone, in as many threads as there are cores: on two idle cores, windows
        are predicted 1.8 times as fast by two threads as by one. One call for eight clips of equal
        length is not faster than eight calls, and changes the logits of an int8 network by up to
        0.16, since its scales depend on the batch (`benchmarks/streaming.py`).

        Args:
            clips: Each as `samples` of `predict`. An iterator is read to its end first, so all its
                clips must fit into memory.
            sampling_rate: Rate of all clips, in Hz.
            baseline: The baseline of all clips' speaker; None for the population's.

        Returns:
            A prediction for each clip, in the order of the clips.

        Raises:
            AudioInputError: a clip cannot be used; the message says which, counted from 0.
            BaselineError: see `predict`.
            ModelError: see `predict`.
        """
        sampling_rate = check_rate(sampling_rate)
        if baseline is not None:
            self.shift(baseline)

        def predict_clip(indexed: tuple[int, NDArray[Any]]) -> Prediction:
            index, clip = indexed
            try:
                return self.predict(clip, sampling_rate, baseline=baseline)
            except EmoListenError as error:
                raise type(error)(f"clip {index}: {error}") from error

        threads = self._session.get_session_options().intra_op_num_threads
        with ThreadPoolExecutor(max(1, usable_cores() // threads)) as pool:
            return list(pool.map(predict_clip, enumerate(clips)))

    def embed(self, samples: NDArray[Any], sampling_rate: int) -> NDArray[np.float32]:
        """Return the embedding (n,) of one piece of sound: what the network's last layer takes.

        `predict` returns it too, as `Prediction.embedding`: for both, call only `predict`.
        Its mean over a voice's ordinary speech is the voice's baseline.

        Args:
            samples: As for `predict`.
            sampling_rate: As for `predict`.

        Raises:
            AudioInputError: see `predict`.
            ModelError: the network has no output `embedding`, or cannot be run.
        """
        if EMBEDDING not in self._output_names:
            raise ModelError(
                f"{self.file} has no embedding, since it has no output `{EMBEDDING}` "
                "(batch, n): export the model with export/to_onnx.py, which adds it, or use the "
                "bundled model"
            )
        embedding = self.run(samples, sampling_rate).embedding
        assert embedding is not None
        return embedding

    def judge(self, output: Output, baseline: Baseline | None = None) -> Prediction:
        """Turn the network's output into a prediction, relative to a baseline.

        Raises:
            BaselineError: `baseline` belongs to another model, or the model does not support
                baselines.
        """
        logits, temperature = output.logits, self.settings.temperature
        if baseline is not None:
            logits = logits - self.shift(baseline)
            temperature *= voice_temperature(unknown=0.0)
        scores = softmax(logits / temperature)
        best = int(scores.argmax())
        confidence = float(scores[best])
        return Prediction(
            label=UNCERTAIN if confidence < self.settings.uncertain_below else self.labels[best],
            top_label=self.labels[best],
            confidence=confidence,
            scores=dict(zip(self.labels, scores.tolist(), strict=True)),
            embedding=output.embedding,
        )

    def require_head(self) -> Head:
        """Return the head.

        Raises:
            BaselineError: the model does not support baselines.
        """
        if self.head is None:
            raise BaselineError(
                f"{self.name} does not support baselines: it has no output `embedding`, or no "
                "`head` in emo_listen.json. Use --baseline off or another model"
            )
        return self.head

    def shift(self, baseline: Baseline) -> NDArray[np.float64]:
        """Return the logits (n_labels,) to subtract for a baseline other than the population's.

        Raises:
            BaselineError: `baseline` belongs to another model, or the model does not support
                baselines.
        """
        head = self.require_head()
        if baseline.sha256 != self.sha256 or baseline.embedding.shape != (head.size,):
            raise BaselineError(
                f"the baseline belongs to another model ({baseline.model}, SHA-256 "
                f"{baseline.sha256[:12]}), not to {self.name} ({self.sha256[:12]}): enroll again "
                "with this model"
            )
        return head.shift(baseline.embedding)

    def run(self, samples: NDArray[Any], sampling_rate: int) -> Output:
        """Run the network; see `predict` for arguments and errors."""
        sampling_rate = check_rate(sampling_rate)
        samples = float_samples(samples)
        if samples.ndim != 1:
            raise AudioInputError(
                f"samples must be mono, of shape (n_samples,), not {samples.shape}: "
                "average the channels first"
            )
        if len(samples) < round(MIN_SECONDS * sampling_rate):
            raise AudioInputError(
                f"{len(samples)} samples at {sampling_rate} Hz are too short: give at least "
                f"{MIN_SECONDS} s of sound"
            )
        if not np.isfinite(samples).all():
            raise AudioInputError("samples contain NaN or infinite values: remove them first")
        return self._run(resample(samples, sampling_rate, self.sampling_rate))

    def _test(self) -> None:
        """Run the network once, to report an unusable one when it is loaded."""
        options = onnxruntime.RunOptions()
        samples = np.sin(
            np.arange(round(TEST_SOUND_SECONDS * self.sampling_rate), dtype=np.float32)
        )
        with time_limit(TEST_TIME_LIMIT, lambda: setattr(options, "terminate", True)):
            self._run(samples, options)

    def _run(
        self, samples: NDArray[np.float32], options: onnxruntime.RunOptions | None = None
    ) -> Output:
        """Run the network on mono sound (n_samples,) at the model's rate."""
        if self._do_normalize:
            samples = normalize(samples)
        if len(samples) < self._receptive_field:
            samples = np.pad(samples, (0, self._receptive_field - len(samples)))
        inputs: dict[str, NDArray[Any]] = {"input_values": samples[np.newaxis]}
        if "attention_mask" in self._input_names:
            inputs["attention_mask"] = np.ones((1, len(samples)), dtype=np.int64)
        try:
            logits, *rest = self._session.run(self._output_names, inputs, options)
        except Exception as error:
            # onnxruntime's own errors have no common base class but Exception.
            raise ModelError(f"{self.file} cannot be run: {one_line(error)}") from error
        if logits.shape != (1, len(self.labels)):
            raise ModelError(
                f"{self.file} returned an array of shape {logits.shape} for the "
                f"{len(self.labels)} labels of config.json: the two do not belong together"
            )
        if not _finite(logits):
            raise ModelError(
                f"{self.file} returned logits that are not finite: it is damaged or overflows. "
                "Export the model again"
            )
        if not rest:
            return Output(logits[0].astype(np.float64), None)
        embedding = rest[0]
        size = embedding.shape[-1] if self.head is None else self.head.size
        if embedding.shape != (1, size) or not _finite(embedding):
            raise ModelError(
                f"{self.file} returned an embedding of shape {embedding.shape}, not {size} finite "
                "values: export the model again"
            )
        return Output(logits[0].astype(np.float64), embedding[0].astype(np.float32))


def normalize(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return samples of zero mean and unit variance, like `Wav2Vec2FeatureExtractor`.

    Args:
        samples: `(n_samples,)`.
    """
    deviation = np.sqrt(samples.var() + np.float32(1e-7))
    normalized: NDArray[np.float32] = (samples - samples.mean()) / deviation
    return normalized


def _finite(array: NDArray[Any]) -> bool:
    """Whether the array holds only finite floating-point numbers."""
    return array.dtype.kind == "f" and bool(np.isfinite(array).all())


def _head(
    session: onnxruntime.InferenceSession, settings: ModelSettings, labels: list[str]
) -> Head | None:
    """Return the head if the network has an embedding and emo_listen.json has a complete head."""
    if settings.head is None or "population" not in settings.head:
        return None
    if EMBEDDING not in [node.name for node in session.get_outputs()]:
        return None
    return Head.from_json(settings.head, labels)
