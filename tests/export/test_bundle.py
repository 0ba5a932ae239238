"""Copying a model folder into the package."""

import shutil

import pytest

from emo_listen import EmotionModel
from emo_listen.model import BUNDLED_MODEL
from emo_listen.model_folder.network import FP32, INT8
from export import bundle


@pytest.fixture
def folder(tmp_path):
    """The bundled model with an fp32 graph, as export/to_onnx.py writes it."""
    made = tmp_path / "made"
    shutil.copytree(BUNDLED_MODEL, made)
    shutil.copyfile(made / INT8, made / FP32)
    (made / "README.md").write_text("# Card\n\n## ONNX\n\nTables.\n\nint8: so and so.\n")
    return made


def test_everything_but_the_fp32_graph_is_bundled(folder, tmp_path, capsys):
    target = tmp_path / "target"
    target.mkdir()
    for old in ("old.png", "config.json"):
        (target / old).touch()
    assert bundle.main([str(folder), "--target", str(target)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"made", "target"}
    names = {path.relative_to(folder) for path in folder.rglob("*")}
    taken = {path.relative_to(target) for path in target.rglob("*")}
    assert {path.as_posix() for path in names - taken} == {FP32}
    assert not taken - names
    card = (target / "README.md").read_text()
    assert card.index("Tables.") < card.index(bundle.NOTE) < card.index("int8: so")
    assert EmotionModel.load(target).file.name == "model_quantized.onnx"
    assert "MB" in capsys.readouterr().out


def test_nothing_is_replaced_by_a_folder_without_int8(folder, tmp_path, capsys):
    target = tmp_path / "target"
    target.mkdir()
    (target / "old.png").touch()
    (folder / INT8).unlink()
    assert bundle.main([str(folder), "--target", str(target)]) == 2
    assert "run export/to_onnx.py first" in capsys.readouterr().err
    assert (target / "old.png").exists()


def test_a_large_graph_is_refused(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bundle, "LARGEST", 1000)
    assert bundle.main([str(folder), "--target", str(tmp_path / "target")]) == 2
    assert "but at most 0 MB are bundled" in capsys.readouterr().err


def test_nothing_is_replaced_by_a_folder_that_cannot_be_loaded(folder, tmp_path, capsys):
    target = tmp_path / "target"
    shutil.copytree(BUNDLED_MODEL, target)
    before = {path.name for path in target.rglob("*")}
    (folder / "config.json").write_text("{}")
    assert bundle.main([str(folder), "--target", str(target)]) == 2
    assert "config.json" in capsys.readouterr().err
    assert {path.name for path in target.rglob("*")} == before
    assert {path.name for path in tmp_path.iterdir()} == {"made", "target"}


def test_a_target_that_holds_something_else_is_not_replaced(folder, tmp_path, capsys):
    holiday = tmp_path / "pictures" / "holiday.png"
    holiday.parent.mkdir()
    holiday.touch()
    assert bundle.main([str(folder), "--target", str(holiday.parent)]) == 2
    assert "is not a model folder" in capsys.readouterr().err
    for target in (folder, folder / "onnx", folder.parent):
        assert bundle.main([str(folder), "--target", str(target)]) == 2
        assert "overlap" in capsys.readouterr().err
    assert holiday.exists()
    assert (folder / INT8).is_file()


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        (
            "# A\n\n## ONNX\n\nTables.\n\n## Use\n\nSo.\n",
            "# A\n\n## ONNX\n\nTables.\n\n{}\n\n## Use\n\nSo.\n",
        ),
        ("# A\n\n## ONNX\n\nTables.\n", "# A\n\n## ONNX\n\nTables.\n\n{}\n"),
        ("# A\n", "# A\n\n## ONNX\n\n{}\n"),
        ("# A\n\n## ONNX\n\nx\n\nint8: y.\n", "# A\n\n## ONNX\n\nx\n\n{}\n\nint8: y.\n"),
    ],
)
def test_the_note_is_added_to_any_card(card, expected):
    assert bundle.with_note(card) == expected.format(bundle.NOTE)


def test_a_folder_without_a_card_is_bundled(folder, tmp_path):
    (folder / "README.md").unlink()
    target = tmp_path / "target"
    assert bundle.main([str(folder), "--target", str(target)]) == 0
    assert not (target / "README.md").exists()
