"""Times a Keras model here, in ONNX Runtime and in LiteRT, in turns, and plots the times.

    pip install "./python[compare]"
    python python/examples/compare.py --size 299 --threads 1 --plot times.svg

Engines that aren't installed are left out, and named.
"""

import argparse
import os
import tempfile

import keras
import numpy as np

import sepconv


def onnx_runtime(model, x, threads):
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.onnx")
        model.export(path, format="onnx", verbose=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})[0]


def litert(model, x, threads):
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    converted = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    interpreter = Interpreter(model_content=converted, num_threads=threads)
    given, returned = (
        details[0]["index"]
        for details in (interpreter.get_input_details(), interpreter.get_output_details())
    )
    interpreter.resize_tensor_input(given, x.shape)
    interpreter.allocate_tensors()

    def run(x):
        interpreter.set_tensor(given, x)
        interpreter.invoke()
        return interpreter.get_tensor(returned)

    return run


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--weights", help="a Keras file; by default a random Xception")
    parser.add_argument("--size", type=int, default=299)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=sepconv.available_threads())
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--plot", metavar="FILE", help="a picture to write")
    args = parser.parse_args()

    if args.weights:
        model = keras.saving.load_model(args.weights)
    else:
        shape = (args.size, args.size, 3)
        model = keras.applications.Xception(weights=None, input_shape=shape)
    shape = (args.batch, args.size, args.size, 3)
    x = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)

    # Keras exports no model that has never been called.
    model(x)
    contenders = {"sepconv": sepconv.from_keras(model, threads=args.threads)}
    for name, make in (("ONNX Runtime", onnx_runtime), ("LiteRT", litert)):
        try:
            contenders[name] = make(model, x, args.threads)
        except ImportError as e:
            print(f"{name} is left out: {e}")
    ours = contenders["sepconv"](x)
    for name, run in contenders.items():
        error = np.max(np.abs(run(x) - ours)) / np.max(np.abs(ours))
        print(f"{name}: the largest difference is {error:.1e} of the largest output")

    records = sepconv.bench(contenders, x, seconds=args.seconds)
    for record in records:
        milliseconds = record.median * 1e3
        print(f"{record.name:12} {milliseconds:8.1f} ms, {record.ratio:.2f} of sepconv's time")
    if args.plot:
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots(figsize=(6, 2))
        axes.barh([r.name for r in records], [r.median * 1e3 for r in records])
        axes.invert_yaxis()
        axes.set_xlabel(f"ms for {shape[0]}×{args.size}×{args.size}, {args.threads} threads")
        figure.tight_layout()
        figure.savefig(args.plot)


if __name__ == "__main__":
    main()
