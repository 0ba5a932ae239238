"""Putting a model folder into the package."""

import shutil

import pytest

import bundle
from emo_listen import EmotionModel
from emo_listen.model import BUNDLED_MODEL
from graph import FP32, INT8


@pytest.fixture
def folder(tmp_path):
    """The bundled model as export/to_onnx.py leaves one, with a graph in fp32 too."""
    made = tmp_path / "made"
    shutil.copytree(BUNDLED_MODEL, made)
    shutil.copyfile(made / INT8, made / FP32)
    (made / "README.md").write_text("# Card\n\n## ONNX\n\nTables.\n\nint8: so and so.\n")
    return made


def test_the_package_gets_all_but_the_fp32_graph(folder, tmp_path, capsys):
    target = tmp_path / "target"
    target.mkdir()
    (target / "old.png").touch()
    assert bundle.main([str(folder), "--target", str(target)]) == 0
    names = {path.relative_to(folder) for path in folder.rglob("*")}
    taken = {path.relative_to(target) for path in target.rglob("*")}
    assert {path.as_posix() for path in names - taken} == {FP32}
    assert not taken - names
    card = (target / "README.md").read_text()
    assert card.index("Tables.") < card.index(bundle.TOLD) < card.index("int8: so")
    assert EmotionModel.load(target).file.name == "model_quantized.onnx"
    assert "MB" in capsys.readouterr().out


def test_nothing_is_replaced_by_a_folder_without_int8(folder, tmp_path, capsys):
    target = tmp_path / "target"
    target.mkdir()
    (target / "old.png").touch()
    (folder / INT8).unlink()
    assert bundle.main([str(folder), "--target", str(target)]) == 2
    assert "export with export/to_onnx.py first" in capsys.readouterr().err
    assert (target / "old.png").exists()


def test_a_large_graph_is_refused(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bundle, "LARGEST", 1000)
    assert bundle.main([str(folder), "--target", str(tmp_path / "target")]) == 2
    assert "above 25 MB" in capsys.readouterr().err
