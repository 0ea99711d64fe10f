"""onnxruntime, which runs ONNX graphs."""
