"""Tests `ray_classify.py` on a local Ray cluster of two workers, against `sepconv classify`."""

import collections
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet
import pytest
from ray.cluster_utils import Cluster

import sepconv

ROOT = pathlib.Path(__file__).parents[2]
WEIGHTS = str(ROOT / "assets/digits.keras")
SCRIPT = str(pathlib.Path(__file__).with_name("ray_classify.py"))
IMAGES = ROOT / "tests/images"
PICTURES = 1500
PATIENCE = 300


@pytest.fixture(scope="session")
def cluster():
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    workers = [cluster.add_node(num_cpus=1) for _ in range(2)]
    yield cluster.address, workers
    cluster.shutdown()


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Many pictures of a few kinds, damaged and cut ones among them."""
    folder = tmp_path_factory.mktemp("pictures")
    good = ["png-rgba.png", "jpeg-420.jpg", "resize.png", "jpeg-422-no-end.jpg"]
    for i in range(PICTURES):
        name = good[i % len(good)]
        to = folder / f"{i % 7}" / f"{i:05}{pathlib.Path(name).suffix}"
        to.parent.mkdir(exist_ok=True)
        shutil.copyfile(IMAGES / name, to)
        if i % 100 == 50:
            to.write_bytes(to.read_bytes()[:99])
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture(scope="session")
def expected(folder):
    """The rows of the command line by file."""
    words = ["classify", "--weights", WEIGHTS, "--logits", "--columns", str(folder)]
    run = subprocess.run([sys.executable, "-m", "sepconv", *words], stdout=subprocess.PIPE)
    rows = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(rows) == PICTURES and run.returncode == 1
    return {row["file"]: row for row in rows}


def start(cluster, pictures, output, *more):
    words = [pictures, "--weights", WEIGHTS, "--logits", "--output", output, *more]
    command = [sys.executable, SCRIPT, "--address", cluster[0], *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process, status=1):
    out, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == status, (out, errors)
    return out, errors


def files(output):
    return sorted(output.glob("*.parquet"))


def wait_for(condition):
    begin = time.monotonic()
    while not (found := condition()):
        assert time.monotonic() < begin + PATIENCE
        time.sleep(0.01)
    return found


def check(output, expected):
    """Each picture has one row, which is the command line's."""
    rows = [row for path in files(output) for row in pa.parquet.read_table(path).to_pylist()]
    counts = collections.Counter(row["file"] for row in rows)
    assert set(counts.values()) == {1}
    assert counts.keys() == expected.keys()
    numbers = pa.float32()
    for row in rows:
        known = expected[row["file"]]
        assert row.keys() == known.keys()
        for name, value in known.items():
            # The same bits: JSON has as many digits as tell them.
            value = pa.scalar(value, numbers).as_py() if isinstance(value, float) else value
            assert row[name] == value, (row, known)


def actors(cluster):
    """The processes of the model, children of a node's own."""
    raylets = {node.all_processes["raylet"][0].process.pid for node in cluster[1]}
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(") ")[2].split()[1])
            name = (path / "cmdline").read_text()
        except OSError:
            continue
        if parent in raylets and "MapWorker" in name:
            found.append(int(path.name))
    return found


def test_rows_are_those_of_the_command_line(cluster, folder, expected, tmp_path):
    failed = sum(row["error"] is not None for row in expected.values())
    assert failed == PICTURES // 100
    out, errors = finish(start(cluster, folder, tmp_path / "out"))
    assert f"{PICTURES} rows in" in out
    assert f"out: {failed} of {PICTURES} rows have an error" in errors
    check(tmp_path / "out", expected)
    before = files(tmp_path / "out")
    out, _ = finish(start(cluster, folder, tmp_path / "out"))
    assert f"0 rows in 0.0 s after {PICTURES} that were there" in out
    assert files(tmp_path / "out") == before
    _, errors = finish(start(cluster, folder, tmp_path / "out", "--top=2"))
    assert "its rows are of another model or other options" in errors


def test_parquet_of_bytes_has_the_same_rows(cluster, folder, expected, tmp_path):
    table = {"file": list(expected), "bytes": []}
    table["bytes"] = [pathlib.Path(name).read_bytes() for name in table["file"]]
    table = pa.table(table)
    (tmp_path / "in").mkdir()
    for i in range(3):
        part = table.slice(i * 500, 500)
        pa.parquet.write_table(part, tmp_path / f"in/{i}.parquet", row_group_size=200)
    # The first of them, then all.
    finish(start(cluster, tmp_path / "in/0.parquet", tmp_path / "out"))
    out, _ = finish(start(cluster, tmp_path / "in", tmp_path / "out"))
    assert "1000 rows in" in out and "after 500 that were there" in out
    check(tmp_path / "out", expected)
    pa.parquet.write_table(table.slice(0, 1), tmp_path / "in/3.parquet")
    _, errors = finish(start(cluster, tmp_path / "in", tmp_path / "other"))
    assert "expected a file of its own in each row, got one twice" in errors


def test_a_worker_is_killed_in_the_middle(cluster, folder, expected, tmp_path):
    process = start(cluster, folder, tmp_path / "out", "--rows=1")
    wait_for(lambda: files(tmp_path / "out"))
    victim = wait_for(lambda: actors(cluster))[0]
    os.kill(victim, signal.SIGKILL)
    assert len(files(tmp_path / "out")) < PICTURES // 100
    out, _ = finish(process)
    assert f"{PICTURES} rows in" in out
    check(tmp_path / "out", expected)


def test_what_was_killed_is_continued(cluster, folder, expected, tmp_path):
    process = start(cluster, folder, tmp_path / "out", "--rows=1")
    wait_for(lambda: len(files(tmp_path / "out")) >= 2)
    process.kill()
    process.communicate()
    rows = sum(pa.parquet.read_metadata(path).num_rows for path in files(tmp_path / "out"))
    assert 0 < rows < PICTURES
    # What a writer left that was killed.
    (tmp_path / "out/0.parquet.tmp").write_bytes(b"PAR1")
    out, _ = finish(start(cluster, folder, tmp_path / "out"))
    assert f"{PICTURES - rows} rows in" in out and f"after {rows} that were there" in out
    check(tmp_path / "out", expected)


def test_wrong_input_is_an_error(cluster, folder, tmp_path):
    _, errors = finish(start(cluster, folder, tmp_path / "out", "--threads=2"))
    assert "--threads: expected at most 1" in errors
    labels = tmp_path / "labels.txt"
    labels.write_text("one\ntwo\n")
    _, errors = finish(start(cluster, folder, tmp_path / "out", "--labels", labels))
    assert "expected 10 labels, one for each class, got 2" in errors
    with pytest.raises(ValueError, match="JPEG or PNG"):
        sepconv.Picture.decode(b"abcdef")
