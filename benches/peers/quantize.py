"""Writes networks of 8-bit integers, each by its runtime's own tool and as that tool advises.

All are quantized after training, from the same pictures; weights have a scale per output channel, input
and output stay f32. `pictures` are NHWC arrays of batch 1.
"""

import tempfile
from pathlib import Path

import numpy as np


def litert(converter, path, pictures):
    """Full-integer (i8 values, i8 weights). `converter` is a TFLiteConverter of the f32 model."""
    import tensorflow as tf

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([picture] for picture in pictures)
    # Without this, operators that have no integers would stay f32; with it they are errors.
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    path.write_bytes(converter.convert())


def onnx_runtime(model, path, pictures):
    """QDQ, u8 values and i8 weights: twice as fast on x86-64 as its default of i8 values."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType
    from onnxruntime.quantization import quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.left = iter(pictures)

        def get_next(self):
            picture = next(self.left, None)
            return None if picture is None else {"input": _nchw(picture)}

    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        # Shapes by ONNX's inference; the symbolic one is for transformers.
        quant_pre_process(model, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            path,
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )


def openvino(model, path, pictures):
    """By NNCF with its defaults, as OpenVINO's documentation has it."""
    import nncf
    import openvino as ov

    dataset = nncf.Dataset([_nchw(picture) for picture in pictures])
    # Not read_model, which leaves a Reshape behind the weights of depthwise layers: these would then be
    # quantized and yet run in floats.
    converted = ov.convert_model(model)
    # NNCF's defaults look at 300 pictures, and there may be fewer.
    quantized = nncf.quantize(converted, dataset, subset_size=len(pictures))
    ov.save_model(quantized, path)


def _nchw(x):
    return np.ascontiguousarray(np.transpose(x, (0, 3, 1, 2)))
