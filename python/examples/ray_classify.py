"""Classifies the pictures of a folder, or of Parquet files, on the machines of a Ray cluster.

    pip install ./python "ray[data]"
    python python/examples/ray_classify.py --weights kitchen.keras --output classes/ photos/

The pictures are the files in a folder, or the rows of Parquet files with the columns `file`, a name
of its own for each, and `bytes`, its content. All machines see them under the same path. An actor
on each machine has the model and computes on all CPUs there. The model is in the store of
objects once.

The output is a folder of Parquet files, with the columns of `sepconv classify --columns` and the
same numbers. A picture that can't be read is a row with its error; the exit status is then 1. The
same command again continues: it leaves out the pictures that have rows.
"""

import argparse
import concurrent.futures
import fcntl
import hashlib
import itertools
import json
import os
import pathlib
import sys
import time
import uuid

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import ray

import sepconv

# Pictures that a thread computes at a time, and those of a task for each thread. What a killed
# worker was at is done again.
BATCH = 8
PER_THREAD = 64
# After so many seconds rows are written, however few.
SECONDS = 30.0


class Classifier:
    """Classifies blocks of pictures on the threads of a machine."""

    def __init__(self, model, options, threads, done):
        # From the store of objects. Each thread computes pictures of its own.
        self.model = ray.get(model).with_options(threads=1)
        self.options = options
        self.done = ray.get(done)
        self.pool = concurrent.futures.ThreadPoolExecutor(threads)
        self.function = {
            None: None,
            "softmax": sepconv.kernels.Softmax(threads=1),
            "sigmoid": sepconv.kernels.Elementwise(activation="sigmoid", threads=1),
        }[options["function"]]

    def __call__(self, block):
        for task in block.to_pylist():
            for names, contents in self.pictures(task):
                pictures = [p for p in zip(names, contents) if p[0] not in self.done]
                parts = [pictures[i : i + BATCH] for i in range(0, len(pictures), BATCH)]
                rows = [row for part in self.pool.map(self.classify, parts) for row in part]
                yield pa.Table.from_pylist(rows, schema=self.options["schema"])

    def pictures(self, task):
        """The names and contents of some pictures at a time; no contents of what are files."""
        if task["parquet"] is None:
            yield task["files"], itertools.repeat(None)
            return
        with pyarrow.parquet.ParquetFile(task["parquet"]) as file:
            for part in file.iter_batches(
                self.options["block"], row_groups=[task["group"]], columns=["file", "bytes"]
            ):
                yield part["file"].to_pylist(), part["bytes"]

    def classify(self, pictures):
        rows, inputs = [], []
        for name, content in pictures:
            rows.append(row := {"file": name})
            try:
                x, row["warning"] = self.read(name, content)
                inputs.append((row, x))
            except (OSError, ValueError) as e:
                row["error"] = str(e).removeprefix(f"{name}: ")
        if inputs:
            outputs = self.outputs(np.concatenate([x for _, x in inputs]))
            for (row, _), numbers in zip(inputs, outputs):
                row.update(self.columns(numbers))
        return rows

    def read(self, name, content):
        if content is None:
            picture = sepconv.Picture.read(name)
        else:
            picture = sepconv.Picture.decode(content.as_py(), name)
        if self.options["upright"]:
            picture = picture.upright()
        return self.model.preprocess(picture, **self.options["preprocess"]), picture.warning

    def outputs(self, x):
        (y,) = self.model.run(x, nodes=self.model.output_names[:1])
        if self.function is not None:
            y = self.function(y.reshape(len(x), 1, 1, -1))
        return y.reshape(len(x), -1)

    def columns(self, numbers):
        if numbers.size == 1 and self.options["is_probable"]:
            # The probability of yes.
            numbers = np.float32([1 - numbers[0], numbers[0]])
        labels, row = self.options["labels"], {}
        # Of equal numbers the first comes first; NaN is last.
        order = np.argsort(-numbers, kind="stable")
        for (index, label, number), i in zip(self.options["columns"], order):
            row[index], row[number] = int(i), numbers[i]
            if labels is not None:
                row[label] = labels[i]
        return row


def columns(top, is_probable):
    """The names of those for each class that is shown: its number, its label, its probability."""
    number = "probability" if is_probable else "value"
    ends = ["", *(f"_{place}" for place in range(2, top + 1))]
    return [("class" + end, "label" + end, number + end) for end in ends]


def described(model, args):
    """What actors need to know besides the model, and what must be the same to continue."""
    size = args.size or model.input_shape[1:3]
    if None in size:
        sys.exit("the model takes pictures of any size: choose one with --size")
    x = np.zeros((1, *size, model.input_shape[3]), np.float32)
    (y,) = model.run(x, nodes=model.output_names[:1])
    if y.shape[1:-1] not in ((), (1, 1)):
        sys.exit(f"the model gives a feature map of {list(y.shape[1:])}, not classes")
    if args.logits and model.head:
        sys.exit("--logits does not apply: the model's outputs are probabilities already")
    function = None
    if model.head is None and (model.link or args.logits):
        function = model.link or ("sigmoid" if y.size == 1 else "softmax")
    is_probable = bool(model.head or function)
    classes = 2 if is_probable and y.size == 1 else y.size
    labels = model.labels
    if args.labels:
        labels = args.labels.read_text(encoding="utf-8").splitlines()
    if labels is not None and len(labels) != classes:
        sys.exit(f"expected {classes} labels, one for each class, got {len(labels)}")
    shown = columns(min(args.top, classes), is_probable)
    options = {
        "upright": args.apply_orientation,
        "function": function,
        "is_probable": is_probable,
        "labels": labels,
        "columns": shown,
        "preprocess": {
            "size": args.size,
            "resize": args.resize,
            "crop": args.crop,
            "scaling": args.preprocess,
        },
    }
    of_model = hashlib.sha256(model.to_bytes()).hexdigest()
    same = json.dumps({"model": of_model, **options}, sort_keys=True)
    fields = [("file", pa.string()), ("error", pa.string()), ("warning", pa.string())]
    for index, label, number in shown:
        fields += [(index, pa.int32()), (label, pa.string()), (number, pa.float32())]
    return {**options, "schema": pa.schema(fields, {"sepconv": same})}


class Output:
    """A folder of Parquet files, each complete, to which one process writes."""

    def __init__(self, folder, schema, rows):
        self.folder, self.schema, self.rows = folder, schema, rows
        folder.mkdir(parents=True, exist_ok=True)
        self.lock = open(folder / ".lock", "w")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"{folder}: another process writes to it")
        self.waiting, self.since = [], time.monotonic()

    def done(self):
        """The pictures that have rows, and how many of these have an error."""
        files, failed = [], 0
        for path in sorted(self.folder.glob("*.parquet")):
            table = pyarrow.parquet.read_table(path)
            if not table.schema.equals(self.schema, check_metadata=True):
                sys.exit(f"{path}: its rows are of another model or other options")
            files += table["file"].to_pylist()
            failed += len(table) - table["error"].null_count
        return frozenset(files), failed

    def add(self, table):
        self.waiting.append(table)
        is_old = time.monotonic() > self.since + SECONDS
        if is_old or sum(map(len, self.waiting)) >= self.rows:
            self.write()

    def write(self):
        if any(map(len, self.waiting)):
            table = pa.concat_tables(self.waiting).cast(self.schema.remove_metadata())
            name = f"{time.time_ns()}-{uuid.uuid4().hex[:8]}.parquet"
            # Nobody sees a part of it.
            part = self.folder / f"{name}.tmp"
            with open(part, "wb") as file:
                schema = self.schema
                pyarrow.parquet.write_table(table.replace_schema_metadata(schema.metadata), file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, self.folder / name)
        self.waiting, self.since = [], time.monotonic()


def tasks(pictures, done, block):
    """What is left to do, a table for each task: files, or a row group; and how many pictures."""
    paths = sorted(pictures.rglob("*.parquet")) if pictures.is_dir() else [pictures]
    tasks, left, names = [], 0, set()
    if paths and paths[0].suffix == ".parquet":
        for path in paths:
            with pyarrow.parquet.ParquetFile(path) as file:
                for group in range(file.num_row_groups):
                    table = file.read_row_group(group, columns=["file"])
                    these = frozenset(table["file"].to_pylist())
                    if len(these) != len(table) or not names.isdisjoint(these):
                        sys.exit(f"{path}: expected a file of its own in each row, got one twice")
                    names |= these
                    left += (new := len(these - done))
                    if new:
                        tasks.append({"files": None, "parquet": str(path), "group": group})
    else:
        kinds = {".jpg", ".jpeg", ".png"}
        # By name, as `sepconv classify` takes them.
        files = sorted(p for p in pictures.rglob("*") if p.suffix.lower() in kinds and p.is_file())
        new = [name for path in files if (name := str(path)) not in done]
        left = len(new)
        for i in range(0, left, block):
            tasks.append({"files": new[i : i + block], "parquet": None, "group": None})
    fields = {"files": pa.list_(pa.string()), "parquet": pa.string(), "group": pa.int32()}
    return [pa.Table.from_pylist([task], schema=pa.schema(fields)) for task in tasks], left


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pictures", type=pathlib.Path, help="a folder, or a Parquet file")
    parser.add_argument("--weights", required=True)
    parser.add_argument("--model", help="the architecture of a file of weights alone")
    parser.add_argument("--output", required=True, type=pathlib.Path, help="a folder")
    parser.add_argument("--rows", type=int, default=20_000, help="of a file of the output")
    parser.add_argument("--labels", type=pathlib.Path, help="a name in each line")
    parser.add_argument("--top", type=int, default=5, help="classes of each picture")
    parser.add_argument("--logits", action="store_true", help="make probabilities of the outputs")
    parser.add_argument("--size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--resize")
    parser.add_argument("--crop", type=float)
    parser.add_argument("--preprocess", help="tf, torch, caffe, unit or none")
    parser.add_argument("--apply-orientation", action="store_true")
    parser.add_argument("--address", help="of a Ray cluster; without, this machine is one")
    parser.add_argument("--threads", type=int, help="of each actor; by default all of a machine")
    return parser.parse_args()


def main():
    args = arguments()
    model = sepconv.Model.load(args.weights, architecture=args.model)
    options = described(model, args)
    ray.init(address=args.address, log_to_driver=False, ignore_reinit_error=True)
    cpus = [int(n["Resources"].get("CPU", 0)) for n in ray.nodes() if n["Alive"]]
    threads = args.threads or min(n for n in cpus if n > 0)
    actors = sum(n // threads for n in cpus)
    if actors == 0:
        sys.exit(f"--threads: expected at most {max(cpus)}, the CPUs of a machine, got {threads}")

    output = Output(args.output, options["schema"], args.rows)
    done, failed = output.done()
    options["block"] = threads * PER_THREAD
    work, left = tasks(args.pictures, done, options["block"])
    count, start = 0, time.monotonic()
    if work:
        print(f"{left} pictures to classify", flush=True)
        rows = ray.data.from_arrow(work).map_batches(
            Classifier,
            fn_constructor_args=(ray.put(model), options, threads, ray.put(done)),
            batch_size=None,
            batch_format="pyarrow",
            num_cpus=threads,
            compute=ray.data.ActorPoolStrategy(size=actors),
        )
        try:
            for table in rows.iter_batches(batch_size=None, batch_format="pyarrow"):
                output.add(table)
                count += len(table)
                failed += len(table) - table["error"].null_count
        finally:
            output.write()
    seconds = time.monotonic() - start
    rate = f": {count / seconds:.1f} pictures per second" if count else ""
    print(f"{count} rows in {seconds:.1f} s after {len(done)} that were there{rate}")
    if failed:
        sys.exit(f"{args.output}: {failed} of {count + len(done)} rows have an error")


if __name__ == "__main__":
    main()
