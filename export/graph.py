"""Export a checkpoint's network to an fp32 ONNX graph, through Optimum."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from optimum.exporters.onnx import onnx_export_from_model

from emo_listen.errors import ModelError
from emo_listen.model import LOGITS
from emo_listen.model_folder.network import FP32
from export.checkpoint import NEEDED_FILES, load_classifier
from export.embedding import expose_embedding
from export.fold import fold_weight_norm
from export.streamline import streamline

OPSET = 18
"""ONNX operator set of the graphs: what Optimum chooses for HuBERT with this PyTorch."""


def export_fp32(checkpoint: Path, folder: Path) -> dict[str, Any] | None:
    """Write the fp32 graph and the hub's configuration files of `checkpoint` into `folder`.

    Returns:
        The last layer, as `embedding.expose_embedding` returns it.

    Raises:
        ModelError: not a checkpoint of an audio classifier, or not supported by Optimum.
    """
    # Tracing the scaled-dot-product kernel warns and adds a few needless operators.
    model = load_classifier(checkpoint, attn_implementation="eager")
    fold_weight_norm(model)
    streamline(model)
    try:
        onnx_export_from_model(
            model,
            folder / "onnx",
            task="audio-classification",
            opset=OPSET,
            do_validation=False,  # Optimum validates on random input, parity.py on speech
        )
    except (KeyError, NotImplementedError, RuntimeError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"checkpoint {checkpoint} ({type(model).__name__}) cannot be exported: {reason}"
        ) from error
    for file in (folder / "onnx").iterdir():
        if file.suffix != ".onnx":
            file.unlink()
    for name in NEEDED_FILES:
        shutil.copyfile(checkpoint / name, folder / name)
    return expose_embedding(folder / FP32)


def open_graph(graph: Path | bytes, threads: int = 1) -> onnxruntime.InferenceSession:
    """Open a graph, from a file or serialized, on `threads` CPU threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def logits_of(graph: Path, inputs: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Logits `(n_inputs, n_labels)` of `input_values` `(1, n_samples)`, each run alone."""
    session = open_graph(graph)
    return np.concatenate([session.run([LOGITS], {"input_values": x})[0] for x in inputs])


def frames_of(
    model: onnx.ModelProto, tensors: list[str], inputs: list[NDArray[np.float32]]
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield each of `tensors` for each input, as frames `(n_frames, n_channels)`.

    Args:
        model: the graph that contains them.
        tensors: names of tensors whose last axis is channels.
        inputs: `input_values` `(1, n_samples)`.
    """
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]
    probe.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in tensors)
    session = open_graph(probe.SerializeToString())
    for input_values in inputs:
        found = session.run(tensors, {"input_values": input_values})
        for name, values in zip(tensors, found, strict=True):
            yield name, values.reshape(-1, values.shape[-1])
