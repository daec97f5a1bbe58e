"""Child processes, and the command line."""

import multiprocessing
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import uniform

import sepconv
from sepconv import kernels

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def work(model, layer, x, z, queue):
    queue.put((model(x), layer(z)))


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("threads", [1, 2])
def test_children_compute_the_same(digits, method, threads):
    """Also those of a process whose threads have computed before."""
    model = digits.with_options(threads=threads)
    layer = kernels.Pointwise(uniform(8, 8), threads=threads)
    x, z = uniform(3, 32, 32, 3), uniform(1, 9, 9, 8)
    expected = model(x), layer(z)
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    children = [
        context.Process(target=work, args=(model, layer, x, z, queue), daemon=True)
        for _ in range(2)
    ]
    [child.start() for child in children]
    results = [queue.get(timeout=120) for _ in children]
    [child.join(timeout=120) for child in children]
    assert [child.exitcode for child in children] == [0, 0]
    for got in results:
        for array, reference in zip(got, expected):
            np.testing.assert_array_equal(array, reference)
    # And the parent goes on.
    np.testing.assert_array_equal(model(x), expected[0])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_child_forked_during_a_run_computes():
    """A gunicorn that preloads, or a DataLoader: fork comes at any time."""
    import threading

    layer = kernels.Separable(uniform(3, 3, 64, 1), uniform(64, 64, seed=1), threads=2)
    x = uniform(1, 40, 40, 64)
    expected = layer(x)
    stop = threading.Event()

    def run():
        while not stop.is_set():
            layer(x)

    busy = threading.Thread(target=run)
    busy.start()
    try:
        for _ in range(5):
            child = os.fork()
            if child == 0:
                os._exit(0 if np.array_equal(layer(x), expected) else 1)
            _, status = os.waitpid(child, 0)
            assert status == 0
    finally:
        stop.set()
        busy.join()


def run(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", "sepconv", *words], capture_output=True, text=True, **options
    )


def test_the_command_line(digits, digits_path, tmp_path):
    version = run("--version")
    assert (version.returncode, version.stdout) == (0, f"sepconv {sepconv.__version__}\n")
    x = uniform(9, 32, 32, 3)
    np.save(tmp_path / "x.npy", x)
    for words, logits in ((["--predict"], False), ([], True)):
        wanted = tmp_path / "y.npy"
        done = run(
            "run", "--weights", digits_path, "--input", tmp_path / "x.npy", "--output", wanted,
            *words,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        np.testing.assert_array_equal(np.load(wanted), digits(x, logits=logits))


def test_the_command_line_fails_as_it_does_alone(tmp_path):
    none = tmp_path / "none.keras"
    done = run("run", "--weights", none, "--input", none, "--output", tmp_path / "y.npy")
    assert done.returncode == 1
    assert done.stderr == f"error: {none}: No such file or directory (os error 2)\n"
    with pytest.raises(FileNotFoundError) as caught:
        sepconv.Model.load(none)
    assert done.stderr == f"error: {caught.value}\n"
    wrong = run("run", "--frobnicate")
    assert wrong.returncode == 2 and "--frobnicate" in wrong.stderr
    assert run().returncode == 2
