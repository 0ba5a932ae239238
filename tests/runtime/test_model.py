"""`EmotionModel`: inputs, outputs and errors."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from transformers import AutoConfig, HubertModel, Wav2Vec2FeatureExtractor

from emo_listen import Baseline, EmotionModel
from emo_listen.audio import load_audio
from emo_listen.errors import AudioInputError, ModelError
from emo_listen.model import BUNDLED_MODEL, normalize
from emo_listen.model_folder.config import receptive_field
from emo_listen.model_folder.onnx_file import check_network
from tests.support.tiny_models import write_head_model, write_model


@pytest.fixture
def model_copy(tmp_path: Path) -> Path:
    """A copy of the bundled model to be damaged."""
    return Path(shutil.copytree(BUNDLED_MODEL, tmp_path / "model"))


def test_scores_are_probabilities(bundled_model: EmotionModel, sample_file: Path) -> None:
    samples = load_audio(sample_file, bundled_model.sampling_rate)[:48000]
    prediction = bundled_model.predict(samples, bundled_model.sampling_rate)
    assert list(prediction.scores) == bundled_model.labels
    assert sum(prediction.scores.values()) == pytest.approx(1)
    assert prediction.confidence == prediction.scores[prediction.top_label]
    assert prediction.confidence == max(prediction.scores.values())
    assert set(bundled_model.labels) == {
        "anger", "disgust", "fear", "happiness", "neutral", "sadness",
    }  # fmt: skip
    assert "anger" in repr(bundled_model)
    assert bundled_model.name in repr(bundled_model)


def test_normalisation_is_that_of_transformers(
    bundled_model: EmotionModel, sample_file: Path
) -> None:
    samples = load_audio(sample_file, 16000)[3000:40000]
    extractor = Wav2Vec2FeatureExtractor(do_normalize=True)
    expected = extractor(samples, sampling_rate=16000).input_values[0]
    np.testing.assert_allclose(normalize(samples), expected, atol=1e-6)


@pytest.mark.parametrize("seconds", [0.1, 0.125, 0.5, 1.2345, 7])
def test_any_length_from_a_tenth_of_a_second_works(
    bundled_model: EmotionModel, sample_file: Path, seconds: float
) -> None:
    samples = load_audio(sample_file, 16000)[: round(seconds * 16000)]
    scores = bundled_model.predict(samples, 16000).scores.values()
    assert np.isfinite(list(scores)).all()


def test_silence_gives_finite_scores(bundled_model: EmotionModel) -> None:
    scores = bundled_model.predict(np.zeros(16000, np.float32), 16000).scores.values()
    assert np.isfinite(list(scores)).all()


def test_other_rates_are_resampled(bundled_model: EmotionModel, sample_file: Path) -> None:
    at_16000 = bundled_model.predict(load_audio(sample_file, 16000)[:48000], 16000)
    at_48000 = bundled_model.predict(load_audio(sample_file, 48000)[: 3 * 48000], 48000)
    assert at_48000.top_label == at_16000.top_label
    assert at_48000.confidence == pytest.approx(at_16000.confidence, abs=0.05)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((16000, 2), np.float32), "mono"),
        (np.zeros(1599, np.float32), "too short"),
        (np.full(16000, np.nan, np.float32), "NaN"),
    ],
)
def test_unusable_samples(bundled_model: EmotionModel, samples: np.ndarray, message: str) -> None:
    with pytest.raises(AudioInputError, match=message):
        bundled_model.predict(samples, 16000)


@pytest.mark.parametrize(
    "rate", [0, -1, 999, 16000.5, float("nan"), float("inf"), "16000", None, True, [16000]]
)
def test_unusable_rates(bundled_model: EmotionModel, rate: Any) -> None:
    with pytest.raises(AudioInputError, match=r"the sampling rate .* is not valid: give a whole"):
        bundled_model.predict(np.zeros(16000, np.float32), rate)


def test_integers_are_scaled(bundled_model: EmotionModel, sample_file: Path) -> None:
    samples = np.round(load_audio(sample_file, 16000)[:32000] * 32768).astype(np.int16)
    expected = bundled_model.predict(samples / np.float32(32768), 16000)
    assert bundled_model.predict(samples, 16000) == expected
    assert bundled_model.predict(samples.astype(np.int32) * 65536, 16000) == expected


@pytest.mark.parametrize("samples", ["talk.wav", None, np.zeros(16000, np.int64), [[1.0], [1, 2]]])
def test_other_values_than_sound_are_refused(bundled_model: EmotionModel, samples: Any) -> None:
    with pytest.raises(AudioInputError, match="give float32"):
        bundled_model.predict(samples, 16000)


def test_many_clips_have_the_predictions_of_each(
    bundled_model: EmotionModel, sample_file: Path
) -> None:
    speech = load_audio(sample_file, 44100)
    clips = [speech[44100 * i :][:length] for i, length in enumerate([66150, 44100, 5000] * 3)]
    clips.append(np.round(speech[:44100] * 32768).astype(np.int16))
    ordinary = Baseline.from_speech(bundled_model, [speech[: 5 * 44100]], 44100)
    for baseline in (None, ordinary):
        alone = [bundled_model.predict(clip, 44100, baseline=baseline) for clip in clips]
        together = bundled_model.predict_batch(iter(clips), 44100, baseline=baseline)
        assert together == alone
        for one, other in zip(together, alone, strict=True):
            np.testing.assert_array_equal(one.embedding, other.embedding)
    assert bundled_model.predict_batch([], 44100) == []


def test_an_unusable_clip_among_many_is_named(bundled_model: EmotionModel) -> None:
    good, short = np.zeros(16000, np.float32), np.zeros(1599, np.float32)
    with pytest.raises(AudioInputError, match=r"^clip 2: 1599 samples at 16000 Hz are too short"):
        bundled_model.predict_batch([good, good, short, good], 16000)
    with pytest.raises(AudioInputError, match=r"^the sampling rate 0 is not valid"):
        bundled_model.predict_batch([good], 0)


def test_the_embedding_is_what_predict_returns(
    bundled_model: EmotionModel, sample_file: Path
) -> None:
    samples = load_audio(sample_file, 16000)[:32000]
    embedding = bundled_model.embed(samples, 16000)
    head = bundled_model.require_head()
    assert (embedding.dtype, embedding.shape) == (np.float32, (head.size,))
    np.testing.assert_array_equal(embedding, bundled_model.predict(samples, 16000).embedding)
    logits = head.weight @ (embedding - head.population) + head.bias
    expected = bundled_model.run(samples, 16000).logits
    np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_an_embedding_needs_no_head(tmp_path: Path) -> None:
    folder = write_head_model(tmp_path / "levels")
    samples = np.full(8000, 0.5, np.float32)
    expected = EmotionModel.load(folder).embed(samples, 16000)
    (folder / "emo_listen.json").unlink()
    model = EmotionModel.load(folder)
    assert model.head is None
    np.testing.assert_array_equal(model.embed(samples, 16000), expected)
    np.testing.assert_array_equal(model.predict(samples, 16000).embedding, expected)


def test_a_network_without_an_embedding_says_how_to_get_one(tmp_path: Path) -> None:
    model = EmotionModel.load(write_model(tmp_path / "any"))
    samples = np.full(8000, 0.5, np.float32)
    with pytest.raises(ModelError, match=r"no output `embedding`.*export the model with export/"):
        model.embed(samples, 8000)
    assert model.predict(samples, 8000).embedding is None


def test_receptive_field_is_that_of_transformers() -> None:
    for kernels, strides in [
        ((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)),
        ((400, 3, 3), (160, 1, 2)),
    ]:
        dims = (8,) * len(kernels)
        config = AutoConfig.for_model(
            "hubert", conv_kernel=kernels, conv_stride=strides, conv_dim=dims,
            hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
            num_feat_extract_layers=len(kernels), num_conv_pos_embedding_groups=2,
        )  # fmt: skip
        field = receptive_field(list(kernels), list(strides))
        frames = HubertModel(config)._get_feat_extract_output_lengths
        assert (int(frames(field - 1)), int(frames(field))) == (0, 1)


def test_a_folder_without_settings_works(tmp_path: Path) -> None:
    model = EmotionModel.load(write_model(tmp_path / "any"))
    assert (model.labels, model.sampling_rate) == (["calm", "loud"], 8000)
    assert (model.settings.window, model.settings.hop) == (3.0, 0.5)
    prediction = model.predict(np.full(8000, 0.5, np.float32), 8000)
    assert prediction.label == "loud"
    assert prediction.confidence == pytest.approx(1 / (1 + np.exp(-4.5)), abs=1e-6)


def test_the_temperature_divides_the_logits(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "any")
    (folder / "emo_listen.json").write_text('{"temperature": 3}')
    prediction = EmotionModel.load(folder).predict(np.full(8000, 0.5, np.float32), 8000)
    assert prediction.confidence == pytest.approx(1 / (1 + np.exp(-1.5)), abs=1e-6)


def test_labels_below_the_threshold_are_uncertain(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "any")
    loud, louder = (np.full(8000, level, np.float32) for level in (0.1, 0.2))
    (folder / "emo_listen.json").write_text("{}")
    before = EmotionModel.load(folder).predict(loud, 8000)
    assert (before.label, before.top_label) == ("loud", "loud")
    assert 0.7 < before.confidence < 0.72

    (folder / "emo_listen.json").write_text('{"uncertain_below": 0.8}')
    model = EmotionModel.load(folder)
    assert "uncertain_below=0.8" in repr(model)
    assert model.predict(loud, 8000) == dataclasses.replace(before, label="uncertain")
    assert model.predict(louder, 8000).label == "loud"
    model.settings.uncertain_below = model.predict(loud, 8000).confidence
    assert model.predict(loud, 8000).label == "loud"


@pytest.mark.parametrize("value", [-0.1, 1])
def test_a_threshold_that_is_not_a_probability_is_refused(tmp_path: Path, value: float) -> None:
    folder = write_model(tmp_path / "any")
    (folder / "emo_listen.json").write_text(json.dumps({"uncertain_below": value}))
    with pytest.raises(ModelError, match="uncertain_below"):
        EmotionModel.load(folder)


def test_an_attention_mask_is_passed_if_needed(tmp_path: Path) -> None:
    plain = EmotionModel.load(write_model(tmp_path / "plain"))
    masked = EmotionModel.load(write_model(tmp_path / "masked", masked=True))
    samples = np.full(8000, 0.5, np.float32)
    assert masked.predict(samples, 8000) == plain.predict(samples, 8000)


def test_the_quantized_network_is_preferred(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "any")
    shutil.copy(folder / "onnx" / "model.onnx", folder / "onnx" / "model_quantized.onnx")
    assert EmotionModel.load(folder).file.name == "model_quantized.onnx"
    assert EmotionModel.load(folder, file_name="onnx/model.onnx").file.name == "model.onnx"
    with pytest.raises(ModelError, match=r"contains no onnx/other\.onnx"):
        EmotionModel.load(folder, file_name="onnx/other.onnx")


def test_a_damaged_network_is_refused(model_copy: Path) -> None:
    file = EmotionModel.load(model_copy).file
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(ModelError, match="SHA-256"):
        EmotionModel.load(model_copy)


@pytest.mark.parametrize("content", [b"", b"not a network", b"\x08\x08\x3a\xff\xff\xff\xff\x0f"])
def test_a_file_that_is_not_a_network_is_refused(tmp_path: Path, content: bytes) -> None:
    folder = write_model(tmp_path / "any")
    (folder / "onnx" / "model.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.onnx"):
        EmotionModel.load(folder)


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json"])
@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_missing_or_broken_config_is_reported(
    tmp_path: Path, name: str, content: str | None
) -> None:
    folder = write_model(tmp_path / "any")
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    with pytest.raises(ModelError, match=name):
        EmotionModel.load(folder)


def test_labels_must_have_names_and_match_the_logits(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "three", n_logits=3)
    with pytest.raises(ModelError, match="shape"):
        EmotionModel.load(folder)
    (folder / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="id2label"):
        EmotionModel.load(folder)


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
def test_logits_that_are_not_finite_are_an_error(tmp_path: Path, value: float) -> None:
    folder = write_model(tmp_path / "any")
    network = onnx.load(folder / "onnx" / "model.onnx")
    ten = numpy_helper.from_array(np.array([value], np.float32), "ten")
    network.graph.initializer[0].CopyFrom(ten)
    onnx.save(network, folder / "onnx" / "model.onnx")
    with pytest.raises(ModelError, match="not finite"):
        EmotionModel.load(folder).predict(np.full(8000, 2, np.float32), 8000)


@pytest.mark.parametrize("threads", [0, -1, 257, 10**20, "2"])
def test_threads_out_of_range_are_refused(tmp_path: Path, threads: int) -> None:
    with pytest.raises(ModelError, match="threads is"):
        EmotionModel.load(write_model(tmp_path / "any"), threads=threads)


def test_a_pytorch_checkpoint_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match="export it"):
        EmotionModel.load(tmp_path)


def test_a_network_on_spectrograms_is_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "any")
    network = onnx.load(folder / "onnx" / "model.onnx")
    network.graph.input[0].type.tensor_type.shape.dim.add().dim_value = 128
    onnx.save(network, folder / "onnx" / "model.onnx")
    with pytest.raises(ModelError, match=r"not float32 samples|cannot be loaded"):
        EmotionModel.load(folder)


def test_external_data_is_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "any")
    file = folder / "onnx" / "model.onnx"
    check_network(file.read_bytes())
    network = onnx.load(file)
    onnx.save(network, file, save_as_external_data=True, size_threshold=0, location="weights.bin")
    with pytest.raises(ModelError, match="other files"):
        EmotionModel.load(folder)


def test_external_data_is_found_in_subgraphs() -> None:
    tensor = numpy_helper.from_array(np.array([1], np.float32), "hidden")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    constant = helper.make_node("Constant", [], ["value"], value=tensor)
    branch = helper.make_graph([constant], "branch", [], [])
    choice = helper.make_node("If", ["condition"], ["out"], then_branch=branch, else_branch=branch)
    network = helper.make_model(helper.make_graph([choice], "outer", [], []))
    with pytest.raises(ValueError, match="other files"):
        check_network(network.SerializeToString())


@pytest.mark.parametrize("operator", ["Loop", "Scan"])
@pytest.mark.parametrize("hidden", [False, True])
def test_loops_are_refused(operator: str, hidden: bool) -> None:
    node = helper.make_node(operator, [], ["value"])
    if hidden:
        branch = helper.make_graph([node], "branch", [], [])
        node = helper.make_node("If", ["a"], ["b"], then_branch=branch, else_branch=branch)
    network = helper.make_model(helper.make_graph([node], "outer", [], []))
    with pytest.raises(ValueError, match=f"operator {operator}"):
        check_network(network.SerializeToString())


def test_names_in_a_network_are_escaped(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "any")
    network = onnx.load(folder / "onnx" / "model.onnx")
    network.graph.node[0].input[0] = "\x1b[2J\nname"
    onnx.save(network, folder / "onnx" / "model.onnx")
    with pytest.raises(ModelError, match="cannot be loaded") as raised:
        EmotionModel.load(folder)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("length", [0, 1, 16000])
def test_a_network_with_a_fixed_input_length_is_refused(tmp_path: Path, length: int) -> None:
    folder = write_model(tmp_path / "any")
    network = onnx.load(folder / "onnx" / "model.onnx")
    network.graph.input[0].type.tensor_type.shape.dim[1].dim_value = length
    onnx.save(network, folder / "onnx" / "model.onnx")
    with pytest.raises(ModelError, match=f"fixed length of {length} samples"):
        EmotionModel.load(folder)


def test_a_file_of_countless_fields_is_refused_quickly() -> None:
    with pytest.raises(ValueError, match="more than 2000000 fields"):
        check_network(b"\x3a\x80\x80\x80\x02" + b"\x08\x01" * (1 << 21))
    deep = b""
    for _ in range(2000):
        deep = b"\x32" + _length(deep) + deep  # A graph in an attribute ...
        deep = b"\x2a" + _length(deep) + deep  # ... of a node ...
        deep = b"\x0a" + _length(deep) + deep  # ... of a graph.
    check_network(b"\x3a" + _length(deep) + deep)


def _length(message: bytes) -> bytes:
    """Encode as protocol buffers do."""
    number, encoded = len(message), b""
    while number > 0x7F:
        encoded += bytes([number & 0x7F | 0x80])
        number >>= 7
    return encoded + bytes([number])


def test_a_network_that_takes_too_long_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_model(tmp_path / "any")
    network = onnx.load(folder / "onnx" / "model.onnx")
    sizes = numpy_helper.from_array(np.array([20_000_000], np.int64), "sizes")
    network.graph.initializer.append(sizes)
    slow = [helper.make_node("Expand", ["loud", "sizes"], ["wide0"])]
    slow += [helper.make_node("Sin", [f"wide{i}"], [f"wide{i + 1}"]) for i in range(300)]
    slow.append(helper.make_node("ReduceMean", ["wide300"], ["still"], axes=[1], keepdims=1))
    for node in reversed(slow):
        network.graph.node.insert(4, node)
    network.graph.node[-1].input[1] = "still"
    onnx.save(network, folder / "onnx" / "model.onnx")
    monkeypatch.setattr("emo_listen.model.TEST_TIME_LIMIT", 0.2)
    with pytest.raises(ModelError, match="terminate"):
        EmotionModel.load(folder)
