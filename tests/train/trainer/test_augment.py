"""Augmentation: what each transform does to sound, and that it is the same wherever it is drawn."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import datasets
import numpy as np
import pytest
import soundfile
from torch.utils.data import DataLoader
from transformers import Wav2Vec2FeatureExtractor

from emo_listen.errors import CorpusError
from train.trainer import augment
from train.trainer.augment import PROBABILITIES, Augmentation, make_transforms
from train.trainer.clips import Clips

RATE = 16_000
TIME = np.arange(2 * RATE) / RATE


@pytest.fixture(scope="module")
def noise_dir(tmp_path_factory) -> str:
    """A short and a long recording, one in a sub-folder, at other rates than the clips'."""
    folder = tmp_path_factory.mktemp("noise")
    (folder / "deeper").mkdir()
    generator = np.random.default_rng(0)
    soundfile.write(folder / "short.wav", generator.normal(0, 0.1, 4000), 8000)
    soundfile.write(folder / "deeper" / "long.flac", generator.normal(0, 0.1, 200_000), 44_100)
    return str(folder)


@pytest.fixture(scope="module")
def transforms(noise_dir) -> dict[str, augment.Apply]:
    recordings = augment.load_noise(Path(noise_dir), RATE)
    return make_transforms(RATE, recordings, recordings)


@pytest.fixture
def certain(monkeypatch) -> None:
    """A clip gets all that was chosen."""
    monkeypatch.setattr(augment, "PROBABILITIES", dict.fromkeys(PROBABILITIES, 1.0))


def tone(*frequencies: float) -> np.ndarray:
    partials = 0.1 * np.sin(2 * np.pi * np.array(frequencies)[:, None] * TIME)
    return partials.sum(axis=0).astype(np.float32)


def white() -> np.ndarray:
    return np.random.default_rng(3).normal(0, 0.1, len(TIME)).astype(np.float32)


def level(samples: np.ndarray, frequency: float) -> float:
    """dB of a tone in the middle of `samples`."""
    middle = samples[len(samples) // 4 : -len(samples) // 4]
    wave = np.exp(-2j * np.pi * frequency * np.arange(len(middle)) / RATE)
    return 20 * np.log10(abs((middle * np.hanning(len(middle)) * wave).sum()) + 1e-9)


def loudest(samples: np.ndarray) -> float:
    """Frequency of the loudest partial, Hz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 8 * RATE))
    return float(spectrum.argmax() / 8)


def several(transform: augment.Apply, samples: np.ndarray) -> list[np.ndarray]:
    return [transform(samples, np.random.default_rng(seed)) for seed in range(12)]


@pytest.mark.parametrize("name", PROBABILITIES)
def test_every_transform_varies_by_seed_epoch_and_clip_only(name, noise_dir, certain):
    sound = white()
    before = sound.copy()
    vary = Augmentation([name], RATE, 5, noise_dir, noise_dir)
    random.seed(1)
    np.random.seed(1)
    first = vary(sound, 2, 7)
    untouched = random.random(), np.random.random()
    random.seed(1)
    np.random.seed(1)
    assert untouched == (random.random(), np.random.random())
    np.testing.assert_array_equal(sound, before)
    assert first.dtype == np.float32
    assert np.isfinite(first).all()
    assert len(first) == len(sound) or name == "speed"

    def same(other: np.ndarray) -> bool:
        return np.array_equal(first, other)

    assert not same(sound)
    again = Augmentation([name], RATE, 5, noise_dir, noise_dir)
    assert same(again(sound, 2, 7))
    drawn = [vary(sound, 3, 7), vary(sound, 2, 8)]
    drawn.append(Augmentation([name], RATE, 6, noise_dir, noise_dir)(sound, 2, 7))
    if name not in ("telephone", "codec"):  # a line is a line, and codecs are few
        assert not any(same(other) for other in drawn)


def test_speed_changes_pitch_and_length_together(transforms):
    varied = several(transforms["speed"], tone(1000))
    factors = [loudest(sound) / 1000 for sound in varied]
    lengths = [len(TIME) / len(sound) for sound in varied]
    np.testing.assert_allclose(factors, lengths, rtol=2e-3)
    assert 0.9 <= min(lengths) < 0.95 and 1.05 < max(lengths) <= 1.1


def test_pitch_keeps_the_length(transforms):
    semitones = [12 * np.log2(loudest(s) / 500) for s in several(transforms["pitch"], tone(500))]
    assert -2.1 < min(semitones) < -1 and 1 < max(semitones) < 2.1


def test_noise_lies_5_to_30_db_below(transforms):
    sound = tone(700)
    ratios = []
    for varied in several(transforms["noise"], sound):
        ratios.append(10 * np.log10(np.square(sound).mean() / np.square(varied - sound).mean()))
    assert 4.9 < min(ratios) < 12 and 22 < max(ratios) < 30.1


def test_a_pause_in_the_noise_adds_nothing():
    sound = tone(700)
    silence = [np.zeros(5000, np.int16)]
    assert np.array_equal(augment.add_noise(sound, np.random.default_rng(0), silence), sound)


def test_a_room_rings_on_and_fades(transforms):
    click = np.zeros_like(TIME, np.float32)
    click[1000] = 1.0
    for varied in several(transforms["reverb"], click):
        assert abs(varied[:1000]).max() < 1e-5
        assert varied[1000] == pytest.approx(1.0, abs=1e-3)
        early = np.square(varied[1001 : 1001 + RATE // 20]).sum()
        late = np.square(varied[1001 + RATE // 20 :]).sum()
        assert 1e-3 < early < 1.01  # 0 to 20 dB below the click, all together
        assert early > 2 * late
        assert abs(varied[1000 + RATE * 6 // 10 + 10 :]).max() < 1e-5


def test_an_equalizer_stays_within_its_gains(transforms):
    tones = (60, 150, 300, 700, 1500, 3000, 6000)
    sound = tone(*tones)
    gains = np.array(
        [
            [level(varied, f) - level(sound, f) for f in tones]
            for varied in several(transforms["equalizer"], sound)
        ]
    )
    assert (gains.max(axis=0) > 0.5).all() and (gains.min(axis=0) < -0.5).all()
    assert abs(gains).max() < 12  # neighbouring bands add up


def test_a_telephone_passes_300_to_3400_hz(transforms):
    sound = tone(80, 1000, 7000)
    varied = transforms["telephone"](sound, np.random.default_rng(0))
    lost = [level(sound, f) - level(varied, f) for f in (80, 1000, 7000)]
    assert abs(lost[1]) < 1
    assert lost[0] > 20 and lost[2] > 20


def test_codecs_are_narrow_and_coarse(transforms):
    sound = tone(1000, 6000)
    distinct = set()
    for varied in several(transforms["codec"], sound):
        assert level(varied, 6000) < level(varied, 1000) - 25
        distinct.add(varied.tobytes())
    assert len(distinct) == len(augment.CODECS)


def test_masks_hide_a_part(transforms):
    sound = white()
    for varied in several(transforms["time_mask"], sound):
        hidden = (varied == 0).mean()
        assert 0.01 < hidden < 0.2
    sound = tone(*range(100, 7000, 50))
    for varied in several(transforms["frequency_mask"], sound):
        lost = np.array([level(sound, f) - level(varied, f) for f in range(100, 7000, 50)])
        assert lost.max() > 15
        assert (lost < 3).mean() > 0.3


def test_chances_are_kept(noise_dir):
    sound = white()
    vary = Augmentation(["speed"], RATE, seed=0, noise_dir=noise_dir)
    changed = sum(len(vary(sound, 0, clip)) != len(sound) for clip in range(200))
    assert abs(changed / 200 - PROBABILITIES["speed"]) < 0.12


@pytest.mark.parametrize(
    ("names", "folder", "message"),
    [
        (
            ["speed", "wobble", "gain"],
            None,
            "--augment gain wobble is unknown: use some of speed pitch",
        ),
        (["noise"], None, "needs --noise_dir"),
        (["noise"], "nothing", "has no sound files"),
        (["noise"], "unusable", "none of its 2 files can be used"),
    ],
)
def test_what_cannot_be_used_is_told(names, folder, message, tmp_path):
    for name in ("nothing", "unusable"):
        (tmp_path / name).mkdir()
    (tmp_path / "nothing" / "notes.txt").write_text("no sound")
    (tmp_path / "unusable" / "broken.wav").write_bytes(b"no sound")
    soundfile.write(tmp_path / "unusable" / "silent.wav", np.zeros(1000), RATE)
    with pytest.raises(CorpusError, match=message):
        Augmentation(names, RATE, 0, folder and str(tmp_path / folder))


def test_noise_that_cannot_be_used_is_named_and_left_out(noise_dir, tmp_path, capsys):
    folder = tmp_path / "noise"
    shutil.copytree(noise_dir, folder)
    usable = len(augment.load_noise(folder, RATE))
    (folder / "broken.wav").write_bytes(b"no sound")
    soundfile.write(folder / "silent.wav", np.zeros(1000), RATE)
    assert len(augment.load_noise(folder, RATE)) == usable
    out = capsys.readouterr().out
    assert "Left out: broken.wav: unreadable" in out
    assert "Left out: silent.wav: silent" in out


@pytest.fixture
def decoded() -> datasets.Dataset:
    generator = np.random.default_rng(0)
    lengths = [16_000, 12_000, 4000]
    return datasets.Dataset.from_dict(
        {
            "samples": [generator.normal(0, 3000, n).astype(np.int16) for n in lengths],
            "length": lengths,
            "digest": ["a", "b", "c"],
            "label": ["x", "y", "x"],
        },
        features=datasets.Features(
            {
                "samples": datasets.List(datasets.Value("int16")),
                "length": datasets.Value("int64"),
                "digest": datasets.Value("string"),
                "label": datasets.Value("string"),
            }
        ),
    )


def clips_of(decoded: datasets.Dataset, window: tuple[float, float] | None = None) -> Clips:
    vary = Augmentation(["speed", "equalizer"], RATE, seed=1)
    return Clips(decoded, {"x": 0, "y": 1}, Wav2Vec2FeatureExtractor(), window, vary, seed=1)


def test_worker_processes_vary_clips_as_the_main_process_does(decoded, certain):
    clips = clips_of(decoded)
    expected = []
    for epoch in range(2):
        clips.set_epoch(epoch)
        expected.append([clips[i]["input_values"] for i in range(3)])
    assert not any(np.array_equal(*pair) for pair in zip(*expected, strict=True))
    loader: DataLoader = DataLoader(
        clips,
        batch_size=None,
        num_workers=2,
        persistent_workers=True,
    )
    for epoch in range(2):
        clips.set_epoch(epoch)
        for item, wanted in zip(loader, expected[epoch], strict=True):
            np.testing.assert_array_equal(item["input_values"], wanted)


def test_a_window_is_full_whatever_the_speed(decoded, certain):
    clips = clips_of(decoded, window=(0.5, 0.5))
    for epoch in range(6):
        clips.set_epoch(epoch)
        assert abs(clips[0]["length"] - 8000) <= 1
        assert len(clips[1]["input_values"]) == clips[1]["length"] <= 8000
        assert 3600 <= clips[2]["length"] <= 4500


def test_clips_of_one_recording_share_all_but_the_masks(noise_dir, certain):
    sound = white()
    line = Augmentation(["high_pass", "noise"], RATE, 0, noise_dir)
    np.testing.assert_array_equal(line(sound, 0, 1, recording=4), line(sound, 0, 2, recording=4))
    assert not np.array_equal(line(sound, 0, 1, recording=4), line(sound, 0, 1, recording=5))
    assert not np.array_equal(line(sound, 0, 1, recording=4), line(sound, 1, 1, recording=4))
    masks = Augmentation(["time_mask"], RATE, 0)
    assert not np.array_equal(masks(sound, 0, 1, recording=4), masks(sound, 0, 2, recording=4))


def test_high_pass_takes_the_lowest_frequencies(transforms):
    low, high = tone(50.0), tone(2000.0)
    for varied in several(transforms["high_pass"], low + high):
        spectrum = np.abs(np.fft.rfft(varied))
        at = [round(frequency * len(varied) / RATE) for frequency in (50, 2000)]
        assert spectrum[at[0]] < 0.2 * spectrum[at[1]]


def test_a_far_talker_is_drowned_by_the_room(transforms):
    click = np.zeros(RATE, np.float32)
    click[0] = 1.0
    near, far = (
        np.mean([np.square(v[1:]).sum() for v in several(transforms[name], click)])
        for name in ("reverb", "far_field")
    )
    assert far > 3 * near


def test_babble_needs_a_folder(certain):
    with pytest.raises(CorpusError, match="--babble_dir"):
        Augmentation(["babble"], RATE, 0)
