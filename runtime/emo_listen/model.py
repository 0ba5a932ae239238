"""EmotionModel: one onnxruntime session; samples -> Prediction."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from emo_listen.audio import resample
from emo_listen.errors import AudioInputError, BaselineError, ModelError
from emo_listen.head import Head, voice_temperature
from emo_listen.model_folder.config import ModelConfig
from emo_listen.model_folder.hub import how_to_download
from emo_listen.model_folder.network import open_network, time_limit
from emo_listen.model_folder.values import one_line, whole_number
from emo_listen.model_settings import MAX_THREADS, UNCERTAIN, ModelSettings, file_sha256
from emo_listen.smoothing import softmax
from emo_listen.sound.rates import check_rate
from emo_listen.sources.blocks import float_samples

if TYPE_CHECKING:
    from emo_listen.baselines.baseline import Baseline

BUNDLED_MODEL = Path(__file__).parent / "models" / "hubert-compact"
"""The model that the package brings."""

MODEL_FILES = (
    "onnx/model_quantized.onnx",
    "onnx/model.onnx",
    "model_quantized.onnx",
    "model.onnx",
)
"""Where a model folder keeps its network, the first that exists being used."""

LOGITS, EMBEDDING = "logits", "embedding"
"""Names of a network's outputs; that of the logits may differ where there is one output alone."""

TRIAL_SOUND, TRIAL_SECONDS = 0.5, 30.0
"""Sound that a network is tried with when it is loaded, and the longest that this may take, in
seconds. The bundled model takes 0.005 s, HuBERT-large fp32 0.3 s."""

MIN_SECONDS = 0.1
"""Shortest sound that any model is given, in seconds."""


@dataclass(frozen=True)
class Output:
    """What the network itself returns for one stretch of sound."""

    logits: NDArray[np.float64]
    """(n_labels,), relative to the population's baseline, before the temperature."""

    embedding: NDArray[np.float32] | None
    """(n,), where the model has a head; else None."""


@dataclass(frozen=True)
class Prediction:
    """What a model hears in one stretch of sound."""

    label: str
    """The most probable emotion, or `uncertain` where it is not probable enough."""

    top_label: str
    """The most probable emotion."""

    confidence: float
    """Probability of `top_label`, 0 to 1."""

    scores: dict[str, float]
    """Probability of every label, 0 to 1, in the model's order; they sum to 1."""

    embedding: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    """(n,), of which the mean over a voice's ordinary speech is its baseline; None where the model
    takes no baseline."""


class EmotionModel:
    """An audio classifier in ONNX, with the labels and the sampling rate it was trained with.

    Attributes:
        name: Name of the model's folder.
        file: Path of the network.
        labels: Names of the classes, in the order of the logits.
        sampling_rate: Rate of the sound that the network takes, in Hz.
        settings: The folder's `emo_listen.json`, or its defaults.
        head: What a baseline is used with; None where the model takes none.
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
        """Wrap a session; `EmotionModel.load` makes one from a folder."""
        self.name = name
        self.file = file
        self.labels = labels
        self.sampling_rate = sampling_rate
        self.settings = settings
        self.head = head
        self._session = session
        self._input_names = [node.name for node in session.get_inputs()]
        outputs = [node.name for node in session.get_outputs()]
        self._logits_name = LOGITS if LOGITS in outputs else outputs[0]
        self._do_normalize = do_normalize
        self._receptive_field = receptive_field

    @property
    def log_prior(self) -> NDArray[np.float64]:
        """What a listener adds to the scaled logits (n_labels,); zeros for a model without head."""
        return np.zeros(len(self.labels)) if self.head is None else self.head.log_prior

    @classmethod
    def load(
        cls, path: str | Path | None = None, *, file_name: str | None = None, threads: int = 1
    ) -> EmotionModel:
        """Load a model folder in the hub's layout.

        Args:
            path: The folder, with `config.json`, `preprocessor_config.json` and a network;
                the bundled model where None.
            file_name: The network's path below `path`; the first of `MODEL_FILES` where None.
            threads: CPU threads that one prediction may use, 1 to 256.

        Raises:
            ModelError: the folder is absent, incomplete or damaged, no classifier of sound, or one
                whose labels do not exclude each other; or `threads` is out of range.
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
                f"{folder} is not a folder. A model is a local folder with config.json, "
                "preprocessor_config.json and onnx/model.onnx, as export/to_onnx.py writes it."
                f"{how_to_download(folder)}"
            )
        try:
            whole_number(threads, "threads", 1, MAX_THREADS)
        except ValueError as error:
            raise ModelError(str(error)) from error
        file = _network_file(folder, file_name)
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
        model._try()
        return model

    @cached_property
    def sha256(self) -> str:
        """SHA-256 in hex of the network's file: what a baseline belongs to."""
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
        """Tell the emotion in one stretch of sound, at its true length.

        Args:
            samples: Mono sound, float32 (n_samples,), nominally within -1 to 1 (int16 and int32
                are scaled to that), of any length from 0.1 s up. What is shorter than the
                receptive field of the model's waveform front end (as a rule under 0.1 s) is
                extended to it with zeros.
            sampling_rate: Rate of `samples` in Hz, 1,000 to 1,000,000; resampled where the
                model's differs.
            baseline: The speaker's own baseline; the population's where None.

        Raises:
            AudioInputError: `samples` is not mono sound, too short, or not finite, or the rate is
                not usable.
            BaselineError: `baseline` is of another model, or the model takes none.
            ModelError: the network does not return one finite logit for each label.
        """
        return self.judge(self.run(samples, sampling_rate), baseline)

    def embed(self, samples: NDArray[Any], sampling_rate: int) -> NDArray[np.float32]:
        """Return the embedding (n,) of one stretch of sound; takes and raises what `predict` does.

        Raises:
            BaselineError: the model has no embedding.
        """
        self.require_head()
        embedding = self.run(samples, sampling_rate).embedding
        assert embedding is not None
        return embedding

    def judge(self, output: Output, baseline: Baseline | None = None) -> Prediction:
        """Turn the network's output into a prediction, relative to any baseline.

        Raises:
            BaselineError: `baseline` is of another model, or the model takes none.
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
            BaselineError: the model takes no baseline.
        """
        if self.head is None:
            raise BaselineError(
                f"{self.name} takes no baseline: it has no output `embedding`, or no `head` in "
                "emo_listen.json. Use --baseline off, or another model"
            )
        return self.head

    def shift(self, baseline: Baseline) -> NDArray[np.float64]:
        """Logits (n_labels,) to take off for a baseline other than the population's.

        Raises:
            BaselineError: `baseline` is of another model, or the model takes none.
        """
        head = self.require_head()
        if baseline.sha256 != self.sha256 or baseline.embedding.shape != (head.size,):
            raise BaselineError(
                f"this baseline is of another model ({baseline.model}, SHA-256 "
                f"{baseline.sha256[:12]}) than {self.name} ({self.sha256[:12]}): enroll again "
                "with this model"
            )
        return head.shift(baseline.embedding)

    def run(self, samples: NDArray[Any], sampling_rate: int) -> Output:
        """Run the network; takes and raises what `predict` does."""
        sampling_rate = check_rate(sampling_rate)
        samples = float_samples(samples)
        if samples.ndim != 1:
            raise AudioInputError(
                f"samples must be mono, of shape (n_samples,), not {samples.shape}: "
                "average the channels first"
            )
        if len(samples) < round(MIN_SECONDS * sampling_rate):
            raise AudioInputError(
                f"{len(samples)} samples at {sampling_rate} Hz are too short to hear an emotion "
                f"in: give at least {MIN_SECONDS} s"
            )
        if not np.isfinite(samples).all():
            raise AudioInputError("samples hold NaN or infinite values: repair the sound first")
        return self._run(resample(samples, sampling_rate, self.sampling_rate))

    def _try(self) -> None:
        """Run the network once, so that one that cannot be run is told before anyone speaks."""
        options = onnxruntime.RunOptions()
        samples = np.sin(np.arange(round(TRIAL_SOUND * self.sampling_rate), dtype=np.float32))
        with time_limit(TRIAL_SECONDS, lambda: setattr(options, "terminate", True)):
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
        wanted = [self._logits_name] if self.head is None else [self._logits_name, EMBEDDING]
        try:
            logits, *rest = self._session.run(wanted, inputs, options)
        except Exception as error:
            # onnxruntime raises classes of its own that share no base but Exception.
            raise ModelError(f"{self.file} cannot be run: {one_line(error)}") from error
        if logits.shape != (1, len(self.labels)):
            raise ModelError(
                f"{self.file} returned an array of shape {logits.shape} for the "
                f"{len(self.labels)} labels of config.json: it is not their classifier"
            )
        if not _finite(logits):
            raise ModelError(
                f"{self.file} returned logits that are not finite numbers: it is damaged, or "
                "overflows. Export the model again"
            )
        if self.head is None:
            return Output(logits[0].astype(np.float64), None)
        embedding = rest[0]
        if embedding.shape != (1, self.head.size) or not _finite(embedding):
            raise ModelError(
                f"{self.file} returned an embedding of shape {embedding.shape}, and the head in "
                f"emo_listen.json is for {self.head.size} finite values: export the model again"
            )
        return Output(logits[0].astype(np.float64), embedding[0].astype(np.float32))


def normalize(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Zero mean and unit variance, as transformers' `Wav2Vec2FeatureExtractor` does.

    Args:
        samples: `(n_samples,)`.
    """
    return (samples - samples.mean()) / np.sqrt(samples.var() + np.float32(1e-7))


def _network_file(folder: Path, file_name: str | None) -> Path:
    names = MODEL_FILES if file_name is None else (file_name,)
    for name in names:
        if (folder / name).is_file():
            return folder / name
    hint = ""
    if (folder / "model.safetensors").is_file():
        hint = " It is a PyTorch checkpoint: export it with export/to_onnx.py first."
    raise ModelError(f"{folder} holds no {' or '.join(names)}.{hint}")


def _finite(array: NDArray[Any]) -> bool:
    """Whether it holds finite floating-point numbers alone."""
    return array.dtype.kind == "f" and bool(np.isfinite(array).all())


def _head(
    session: onnxruntime.InferenceSession, settings: ModelSettings, labels: list[str]
) -> Head | None:
    """Return the head, where the network has an embedding and its voices were measured."""
    if settings.head is None or "population" not in settings.head:
        return None
    if EMBEDDING not in [node.name for node in session.get_outputs()]:
        return None
    return Head.from_json(settings.head, labels)
