"""The network of a model: an ONNX file, checked before onnxruntime opens it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import onnxruntime

from emo_listen.errors import ModelError
from emo_listen.model_folder.onnx_file import check_network
from emo_listen.model_folder.values import one_line

LOAD_SECONDS = 120.0
"""Longest that onnxruntime may take to load a network. A HuBERT-large of 1.3 GB takes some 5 s."""


@contextlib.contextmanager
def time_limit(seconds: float, end: Callable[[], None]) -> Iterator[None]:
    """Call `end` from another thread where the block takes longer than `seconds`."""
    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def open_network(file: Path, threads: int) -> onnxruntime.InferenceSession:
    """Open `file` once it is known to be one self-contained network on raw sound."""
    try:
        check_network(file.read_bytes())
    except (OSError, ValueError) as error:
        raise ModelError(f"{file} cannot be used as ONNX: {one_line(error)}") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Idle threads would spin: on two, a window each 0.1 s then costs 81 ms of CPU time, not 22.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    cancel = getattr(options, "set_load_cancellation_flag", lambda _: None)  # From 1.21 on.
    try:
        with time_limit(LOAD_SECONDS, lambda: cancel(True)):
            session = onnxruntime.InferenceSession(
                str(file),
                sess_options=options,
                providers=["CPUExecutionProvider"],
                enable_fallback=False,  # It would print to standard output, and load again.
            )
    except Exception as error:
        # onnxruntime raises classes of its own that share no base but Exception.
        raise ModelError(f"{file} cannot be loaded by onnxruntime: {one_line(error)}") from error
    inputs = {node.name: node for node in session.get_inputs()}
    waveform = inputs.get("input_values")
    if waveform is None or len(waveform.shape) != 2 or waveform.type != "tensor(float)":
        given = ", ".join(f"{n.name} {n.shape} {n.type}" for n in inputs.values())
        raise ModelError(
            f"{file} takes {given}, not float32 sound as input_values (batch, samples): "
            "use a HuBERT, wav2vec 2.0, WavLM or like audio classifier"
        )
    if unknown := inputs.keys() - {"input_values", "attention_mask"}:
        raise ModelError(f"{file} needs inputs that sound alone cannot give: {sorted(unknown)}")
    return session
