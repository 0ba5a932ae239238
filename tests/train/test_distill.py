"""The compact student: how it begins, and that distillation brings it nearer to its teacher."""

import json
import struct
import zipfile

import datasets
import numpy as np
import pytest
import soundfile
import torch
from transformers import BertConfig, HubertConfig, HubertModel, WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from emo_listen.errors import ModelError
from train import distill
from train.convert_whisper import encoder_state, join_parts, read_ctranslate2
from train.distillation import hidden_states, stages
from train.distillation.mel_front_end import KERNELS, SHIFT, STRIDES
from train.distillation.probe import probe_states, regression
from train.distillation.student import OFFSET, build_student
from train.distillation.teacher import WaveformTeacher, WhisperTeacher, load_teacher

WIDTH, LAYERS = 48, 2


def student_values(**changes):
    values = {
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "intermediate_size": 96,
        "conv_dim": [1, 603, 80, 960, 80, WIDTH, WIDTH],
        "conv_kernel": KERNELS,
        "conv_stride": STRIDES,
        "num_feat_extract_layers": 7,
        "conv_bias": True,
        "feat_extract_norm": "group",
        "feat_proj_layer_norm": False,
        "do_stable_layer_norm": True,
        "num_conv_pos_embeddings": 60,
        "num_conv_pos_embedding_groups": WIDTH,
    }
    names = ("hidden_dropout", "activation_dropout", "attention_dropout", "feat_proj_dropout")
    return values | dict.fromkeys((*names, "layerdrop"), 0.0) | changes


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    encoder = WhisperEncoder(
        WhisperConfig(
            d_model=WIDTH,
            encoder_layers=LAYERS,
            encoder_attention_heads=4,
            encoder_ffn_dim=96,
            max_source_positions=200,
        )
    )
    with torch.no_grad():  # so that the sound moves each channel, as in a trained model
        encoder.conv1.weight.mul_(4)
        encoder.conv2.weight.mul_(8)
    return encoder.eval()


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


@pytest.fixture(scope="module")
def teacher(encoder):
    return WhisperTeacher(encoder)


@pytest.fixture(scope="module")
def student(teacher, speech):
    return build_student(HubertConfig(**student_values()), teacher, speech).eval()


def test_teacher_frames_are_those_of_the_student(teacher, student, speech):
    for length in (5000, 15999, 16000):
        states = teacher(speech[:, :length])
        assert len(states) == LAYERS + 1
        with torch.no_grad():
            mine = student(speech[:, :length]).last_hidden_state
        assert states[0].shape == mine.shape


def test_teacher_equals_whisper_itself_but_for_padding(encoder, teacher, speech):
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


def test_student_layers_begin_as_the_teachers(encoder, student):
    hidden = torch.randn(2, 30, WIDTH)
    with torch.no_grad():
        for mine, theirs in zip(student.encoder.layers, encoder.layers, strict=True):
            assert torch.allclose(mine(hidden)[0], theirs(hidden, None, None)[0], atol=1e-5)


def test_student_positions_begin_as_the_teachers(encoder, student):
    constant = torch.full((1, 40, WIDTH), OFFSET)
    with torch.no_grad():
        positions = (constant + student.encoder.pos_conv_embed(constant))[0]
    assert torch.allclose(positions[:31], encoder.embed_positions.weight[:31], atol=1e-4)


def test_front_end_computes_whispers_spectrogram(teacher, student, speech):
    wanted = teacher.log_mel(speech)
    hidden = speech[:, None]
    with torch.no_grad():
        for layer in student.feature_extractor.conv_layers[:5]:
            hidden = layer(hidden)
    error = (hidden - SHIFT - wanted).square().mean() / wanted.var()
    assert error < 0.02
    # Unlike an average spectrum, it follows the sound from frame to frame and band to band.
    assert torch.corrcoef(torch.stack([(hidden - SHIFT).flatten(), wanted.flatten()]))[0, 1] > 0.99


@pytest.mark.parametrize("level", [0.01, 1.0, 100.0])
def test_hidden_states_begin_as_the_teachers_at_any_level(teacher, student, speech, level):
    with torch.no_grad():
        mine = hidden_states.hidden_states(student, speech * level, LAYERS, bf16=False)
    targets = teacher(speech)
    scales = hidden_states.channel_scales(targets)
    # Of buzzes that never change, little but the noise between harmonics varies: real speech is
    # followed ten times as closely. A front end begun at random is beyond 1.
    assert hidden_states.relative_errors(mine, targets, scales).max() < 0.3


def test_a_hubert_is_a_teacher_of_another_width(speech):
    torch.manual_seed(0)
    large = HubertModel(
        HubertConfig(
            **student_values(
                hidden_size=96,
                num_hidden_layers=4,
                conv_dim=[32] * 7,
                conv_kernel=[10, 3, 3, 3, 3, 2, 2],
                conv_stride=[5, 2, 2, 2, 2, 2, 2],
                feat_proj_layer_norm=True,
                num_conv_pos_embedding_groups=8,
            )
        )
    )
    teacher = WaveformTeacher(large)
    config = HubertConfig(**large.config.to_dict() | {"hidden_size": 48, "num_hidden_layers": 2})
    small = build_student(config, teacher, speech)
    taken, given = (model.feature_extractor.state_dict() for model in (small, large))
    assert all(torch.equal(taken[name], given[name]) for name in given)
    pupil = hidden_states.Pupil(small, teacher.width)
    everything = teacher(speech)
    targets = [everything[n] for n in (0, 2, 4)]
    states = pupil(speech, 2, bf16=False)
    errors = hidden_states.relative_errors(states, targets, hidden_states.channel_scales(targets))
    assert errors.shape == (3,)
    assert torch.isfinite(errors).all()
    # Of the same width, layers are taken too: evenly spaced ones.
    config = HubertConfig(**large.config.to_dict() | {"num_hidden_layers": 2})
    small = build_student(config, teacher, speech)
    for mine, theirs in zip(small.encoder.layers, (1, 3), strict=True):
        expected = large.encoder.layers[theirs].state_dict()
        assert all(torch.equal(v, expected[n]) for n, v in mine.state_dict().items())


def test_students_of_another_frame_rate_are_refused():
    with pytest.raises(ModelError, match="product of its strides"):
        hidden_states.squared_error(torch.zeros(1, 50, 4), torch.zeros(1, 99, 4))


def test_probe_reads_what_is_there(speech):
    features = torch.randn(300, 5, generator=torch.Generator().manual_seed(0))
    classes = features[:, :3].argmax(1)
    assert regression(300).fit(features, classes).score(features, classes) > 0.9
    samples = [(0.1 * sound * 32767).short().numpy() for sound in speech[:, :6000]] * 10
    rows = datasets.Dataset.from_dict({"samples": samples, "label": ["a", "b", "c", "d"] * 10})
    rows = rows.cast_column("samples", datasets.List(datasets.Value("int16")))

    def states(values):
        spectrum = torch.fft.rfft(values[:, :4000]).abs().log1p()[:, None, :300]
        return [spectrum, torch.zeros_like(spectrum)]

    there, nothing = probe_states(states, rows, rows, torch.device("cpu"))
    assert there == 1.0
    assert nothing == 0.25


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_size": 24},
        {"num_hidden_layers": 3},
        {"feat_proj_layer_norm": True},
        {"conv_dim": [1, 603, 80, 970, 80, WIDTH, WIDTH]},
    ],
)
def test_a_student_of_another_shape_is_refused(teacher, speech, change):
    groups = {"num_conv_pos_embedding_groups": change.get("hidden_size", WIDTH)}
    config = HubertConfig(**student_values(**groups, **change))
    with pytest.raises(ModelError, match="student's config"):
        build_student(config, teacher, speech)


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


def run_distill(corpus, teacher, folder, *options):
    place, config = corpus.parent / "teacher", corpus.parent / "student.json"
    teacher.save_pretrained(place)
    if teacher.config.model_type == "whisper":
        config.write_text(json.dumps(student_values()))
    else:
        config.write_text(json.dumps(student_values(**PLAIN)))
    places = ["--teacher", place, "--student", config, "--data", corpus, "--output", folder]
    places += ["--cache_dir", corpus.parent / "cache"]
    sizes = ["--crop", "1", "--batch_size", "4", "--log_steps", "5", "--save_steps", "10"]
    return distill.main([str(word) for word in (*places, *sizes, *options)])


PLAIN = {
    "conv_dim": [24] * 4,
    "conv_kernel": [400, 1, 3, 3],
    "conv_stride": [160, 1, 1, 2],
    "num_feat_extract_layers": 4,
    "feat_extract_norm": "layer",
    "feat_proj_layer_norm": True,
}
"""Front end of a student that has to learn it."""


def test_of_whisper_a_student_is_made_without_a_step(corpus, encoder, tmp_path, capsys):
    folder = tmp_path / "student"
    assert run_distill(corpus, encoder, folder, "--front_end_steps", "0", "--steps", "0") == 0
    origin = json.loads((folder / "emo_listen.json").read_text())["origin"]
    assert max(origin["squared_error_over_variance"]) < 0.3
    (probed,) = [
        json.loads(line) for line in (folder / distill.PROBE_FILE).read_text().splitlines()
    ]
    assert probed["step"] == 0
    assert max(probed["accuracy"]) == 1.0  # two buzzes are easy to tell apart
    student = HubertModel.from_pretrained(folder)
    assert len(student.encoder.layers) == LAYERS


@pytest.fixture(scope="module")
def hubert_teacher():
    torch.manual_seed(0)
    return HubertModel(HubertConfig(**student_values(**PLAIN, hidden_size=96)))


def test_distillation_learns_and_resumes(corpus, hubert_teacher, tmp_path, monkeypatch):
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    steps = ("--front_end_steps", "40", "--steps", "20", "--probe_steps", "10")
    options = (*steps, "--learning_rate", "2e-3", "--front_end_learning_rate", "2e-3")
    assert run_distill(corpus, hubert_teacher, whole, *options) == 0
    log = [json.loads(line) for line in (whole / stages.LOG_FILE).read_text().splitlines()]
    of_layers = [row["errors"] for row in log if row["stage"] == "layers"]
    front_end = [row["errors"][0] for row in log if row["stage"] == "front_end"]
    assert front_end[-1] < 0.7 * front_end[0]
    assert np.mean(of_layers[-1]) < np.mean(of_layers[0])
    assert len(of_layers[-1]) == LAYERS + 1
    assert (whole / "distillation.png").stat().st_size > 5000
    probes = [json.loads(line) for line in (whole / distill.PROBE_FILE).read_text().splitlines()]
    assert [row["step"] for row in probes] == [10, 20]
    assert len(probes[0]["accuracy"]) == LAYERS + 1

    # Stopped at step 15 of the second stage, whose state was saved at step 10.
    crops = stages.Crops.__call__

    def interrupted(self, step):
        if step == 40 + 15:
            raise KeyboardInterrupt
        return crops(self, step)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(stages.Crops, "__call__", interrupted)
        run_distill(corpus, hubert_teacher, halves, *options)
    assert torch.load(halves / f"layers-{stages.STATE_FILE}", weights_only=True)["step"] == 10
    assert run_distill(corpus, hubert_teacher, halves, *options) == 0
    first, second = (HubertModel.from_pretrained(folder).state_dict() for folder in (whole, halves))
    assert all(torch.allclose(first[name], second[name], atol=1e-5) for name in first)


def test_a_missing_teacher_is_a_named_error(corpus, tmp_path, capsys):
    (tmp_path / "student.json").write_text(json.dumps(student_values()))
    places = ["--student", tmp_path / "student.json", "--data", corpus, "--output", tmp_path / "o"]
    words = ["--teacher", tmp_path / "nowhere", *places, "--cache_dir", tmp_path / "cache"]
    assert distill.main([str(word) for word in words]) == 2
    assert "cannot be loaded" in capsys.readouterr().err


def test_a_teacher_that_is_no_speech_encoder_is_refused(tmp_path):
    BertConfig().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="must be Whisper or one of"):
        load_teacher(str(tmp_path))


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
