"""The network of a model: an ONNX file, checked before onnxruntime opens it."""

from __future__ import annotations

from pathlib import Path

import onnxruntime

from emo_listen.errors import ModelError
from emo_listen.external_data import has_external_data


def open_network(file: Path, threads: int) -> onnxruntime.InferenceSession:
    """Open `file` once it is known to be one self-contained network on raw sound."""
    try:
        external = has_external_data(file.read_bytes())
    except (OSError, ValueError) as error:
        raise ModelError(f"{file} is not an ONNX file: {error}") from error
    if external:
        raise ModelError(
            f"{file} keeps tensors in other files, which is refused: a model could name any "
            "file of this device. Save it as one file."
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Idle threads would spin: on two, a window each 0.1 s then costs 81 ms of CPU time, not 22.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(
            str(file),
            sess_options=options,
            providers=["CPUExecutionProvider"],
            enable_fallback=False,  # It would print to standard output, and load again.
        )
    except Exception as error:
        # onnxruntime raises classes of its own that share no base but Exception.
        raise ModelError(f"{file} cannot be loaded by onnxruntime: {error}") from error
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
