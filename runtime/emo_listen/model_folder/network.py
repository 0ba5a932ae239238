"""Opens a model's ONNX file, after checking it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import onnxruntime

from emo_listen.errors import ModelError
from emo_listen.model_folder.onnx_file import check_network
from emo_listen.model_folder.values import one_line

FP32 = "onnx/model.onnx"
"""Path of the fp32 network in a model folder."""

INT8 = "onnx/model_quantized.onnx"
"""Path of the int8 network in a model folder."""

NETWORK_FILES = (
    INT8,
    FP32,
    Path(INT8).name,
    Path(FP32).name,
)
"""Paths of the network in a model folder; the first one that exists is used."""

LOAD_SECONDS = 120.0
"""Time limit for loading a network, in seconds. A HuBERT-large of 1.3 GB takes about 5 s."""


@contextlib.contextmanager
def time_limit(seconds: float, cancel: Callable[[], None]) -> Iterator[None]:
    """Call `cancel` from another thread if the block takes longer than `seconds`."""
    timer = threading.Timer(seconds, cancel)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def find_network(folder: Path, file_name: str | None) -> Path:
    """Return the path of the network in `folder`: `file_name`, or the first of `NETWORK_FILES`.

    Raises:
        ModelError: there is none.
    """
    names = NETWORK_FILES if file_name is None else (file_name,)
    for name in names:
        if (folder / name).is_file():
            return folder / name
    hint = ""
    if (folder / "model.safetensors").is_file():
        hint = " It is a PyTorch checkpoint: export it with export/to_onnx.py first."
    raise ModelError(f"{folder} contains no {' or '.join(names)}.{hint}")


def open_network(file: Path, threads: int) -> onnxruntime.InferenceSession:
    """Check that `file` is a self-contained network on raw audio, and open it.

    Raises:
        ModelError: it is not, or onnxruntime cannot load it.
    """
    try:
        check_network(file.read_bytes())
    except (OSError, ValueError) as error:
        raise ModelError(f"{file} cannot be used as ONNX: {one_line(error)}") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning idle threads cost CPU time: with two threads and a window every 0.1 s, 81 ms a window
    # instead of 22.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    cancel = getattr(options, "set_load_cancellation_flag", lambda _: None)  # Since 1.21.
    try:
        with time_limit(LOAD_SECONDS, lambda: cancel(True)):
            session = onnxruntime.InferenceSession(
                str(file),
                sess_options=options,
                providers=["CPUExecutionProvider"],
                enable_fallback=False,  # It prints to standard output and loads again.
            )
    except Exception as error:
        # onnxruntime's own errors have no common base class but Exception.
        raise ModelError(f"{file} cannot be loaded by onnxruntime: {one_line(error)}") from error
    inputs = {node.name: node for node in session.get_inputs()}
    waveform = inputs.get("input_values")
    if waveform is None or len(waveform.shape) != 2 or waveform.type != "tensor(float)":
        given = ", ".join(f"{n.name} {n.shape} {n.type}" for n in inputs.values())
        raise ModelError(
            f"{file} takes {given}, not float32 samples as input_values (batch, samples): "
            "use an audio classifier such as HuBERT, wav2vec 2.0 or WavLM"
        )
    if unknown := inputs.keys() - {"input_values", "attention_mask"}:
        raise ModelError(
            f"{file} needs inputs other than audio, {sorted(unknown)}: use another model"
        )
    return session
