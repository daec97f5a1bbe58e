"""The runtimes that sepconv is measured against, each in its own best configuration.

Every one is made from a model file and a number of threads, is given an NHWC input once, and from
then on only runs: no copy of input or output is timed. `precision` is what it was asked for: "f32",
"default" (what a user gets who asks for nothing) or "int8" (a file quantized by quantize.py). Where
there is no class for "default", the class for f32 asks for nothing.
"""

import os
from importlib import metadata

import numpy as np


def _nchw(x):
    return np.ascontiguousarray(np.transpose(x, (0, 3, 1, 2)))


def _nhwc(y):
    return np.transpose(y, (0, 2, 3, 1)) if y.ndim == 4 else y


class LiteRT:
    """TensorFlow Lite with XNNPACK, which is its default on CPUs. NHWC is its own layout."""

    name, package, format, nhwc = "LiteRT (XNNPACK)", "ai-edge-litert", "tflite", True
    precision = "f32"

    def __init__(self, path, threads):
        from ai_edge_litert.interpreter import Interpreter

        self.interpreter = Interpreter(model_path=str(path), num_threads=threads)
        self.interpreter.allocate_tensors()

    def feed(self, x):
        self.interpreter.set_tensor(self.interpreter.get_input_details()[0]["index"], x)

    def run(self):
        self.interpreter.invoke()

    def output(self):
        return self.interpreter.get_tensor(self.interpreter.get_output_details()[0]["index"])


class LiteRTInt8(LiteRT):
    """Full-integer, between a conversion from f32 and one to f32."""

    format, precision = "int8.tflite", "int8"


class OnnxRuntime:
    """NCHW in and out; NCHWc inside (`ORT_ENABLE_ALL`). Buffers are bound once."""

    name, package, format, nhwc = "ONNX Runtime", "onnxruntime", "onnx", False
    precision, plain = "f32", False

    def __init__(self, path, threads):
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        levels = ort.GraphOptimizationLevel
        options.graph_optimization_level = (
            levels.ORT_ENABLE_EXTENDED if self.plain else levels.ORT_ENABLE_ALL
        )
        # Its threads spin while a run lasts, but not into the next runtime's turn.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        options.log_severity_level = 3
        self.value = ort.OrtValue.ortvalue_from_numpy
        self.session = ort.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )

    def feed(self, x):
        self.input = self.value(x if self.nhwc else _nchw(x))
        self.binding = self.session.io_binding()
        self.binding.bind_ortvalue_input(self.session.get_inputs()[0].name, self.input)
        output = self.session.get_outputs()[0]
        self.result = self.value(np.zeros(output.shape, np.float32))
        self.binding.bind_ortvalue_output(output.name, self.result)

    def run(self):
        self.session.run_with_iobinding(self.binding)

    def output(self):
        y = self.result.numpy()
        return y if self.nhwc else _nhwc(y)


class OnnxRuntimePlain(OnnxRuntime):
    """The same without NCHWc: a single layer may gain more from it than the conversion costs."""

    name, plain = "ONNX Runtime, NCHW kernels", True


class OnnxRuntimeNhwc(OnnxRuntime):
    """The same from NHWC to NHWC, two transposes in the graph: what a change of layout costs."""

    name, format, nhwc = "ONNX Runtime from NHWC", "nhwc.onnx", True


class OnnxRuntimeInt8(OnnxRuntime):
    """QDQ, whose pairs are fused into operators of integers as the file is loaded."""

    format, precision = "int8.onnx", "int8"


class OpenVino:
    """The CPU plugin for one request at a time, in f32."""

    name, package, format, nhwc = "OpenVINO", "openvino", "onnx", False
    precision, hint = "f32", "f32"

    def __init__(self, path, threads):
        import openvino as ov

        os.environ.setdefault("OPENVINO_TELEMETRY", "0")
        self.tensor = ov.Tensor
        core = ov.Core()
        options = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
        }
        if self.hint:
            options["INFERENCE_PRECISION_HINT"] = self.hint
        compiled = core.compile_model(str(path), "CPU", options)
        # What it chose, "bf16" or "f16" where the CPU has instructions for it.
        self.chosen = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        self.request = compiled.create_infer_request()

    def feed(self, x):
        self.input = _nchw(x)
        self.request.set_input_tensor(self.tensor(self.input, shared_memory=True))

    def run(self):
        self.request.infer()

    def output(self):
        return _nhwc(np.array(self.request.get_output_tensor().data))


class OpenVinoDefault(OpenVino):
    """The same, its precision left to it."""

    precision, hint = "default", None


class OpenVinoInt8(OpenVinoDefault):
    """Quantized by NNCF; what isn't quantized has the default precision."""

    format, precision = "int8.xml", "int8"


class OpenVinoQdq(OpenVinoInt8):
    """Quantized by ONNX Runtime's tool: with integers in additions, too, where NNCF leaves bf16."""

    name, format = "OpenVINO, QDQ", "int8.onnx"


class PyTorch:
    """Compiled with its weights frozen, which packs them for oneDNN. NHWC in memory (`channels_last`)."""

    name, package, format, nhwc = "PyTorch", "torch", "onnx", True

    def __init__(self, path, threads):
        # Else it compiles into the system's temporary files.
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(path.parent / "inductor"))
        import torch
        from torch._inductor import config

        from torch_model import Graph

        torch.set_num_threads(threads)
        config.freezing = True
        self.torch = torch
        # What it knows of the model before is of the same class, and of no use.
        torch.compiler.reset()
        module = Graph(path).eval().to(memory_format=torch.channels_last)
        self.module = torch.compile(module, dynamic=False)

    def feed(self, x):
        # A view: NCHW in shape, NHWC in memory.
        self.input = self.torch.from_numpy(x).permute(0, 3, 1, 2)

    def run(self):
        # Not inference_mode, in which nothing is frozen.
        with self.torch.no_grad():
            self.result = self.module(self.input)

    def output(self):
        return _nhwc(self.result.numpy())


NETWORK = [OnnxRuntime, OpenVino, LiteRT]
LAYER = [LiteRT, OnnxRuntime, OnnxRuntimePlain, OnnxRuntimeNhwc, OpenVino]
PRECISIONS = [*NETWORK, OpenVinoDefault, OnnxRuntimeInt8, OpenVinoInt8, OpenVinoQdq, LiteRTInt8]


def version(runtime):
    return metadata.version(runtime.package)
