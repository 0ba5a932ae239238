"""Export: a checkpoint into ONNX, in fp32 and int8, verified."""
