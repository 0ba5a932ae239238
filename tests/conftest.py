"""Fixtures that the tests of all parts share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # Set before NumPy and PyTorch start their threads: the other processes need the other cores.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from emo_listen import EmotionModel
from emo_listen.samples import SAMPLE

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = REPOSITORY.parent / "shared"
CORPUS = SHARED / "crema-d"

# Tests name their corpora: none is to be found beside the clone.
os.environ["EMO_LISTEN_DATA"] = ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not CORPUS.is_dir():
        absent = pytest.mark.skip(reason=f"needs CREMA-D in {CORPUS}, which is absent")
        for item in items:
            if item.get_closest_marker("corpus"):
                item.add_marker(absent)


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the clone."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """`../shared`, the folder of data beside the clone."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is absent")
    return SHARED


@pytest.fixture(scope="session")
def bundled_model() -> EmotionModel:
    """The model that the package brings."""
    return EmotionModel.load()


@pytest.fixture(scope="session")
def sample_file() -> Path:
    """The bundled sample: a synthetic voice."""
    return SAMPLE
