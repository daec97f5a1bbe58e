"""Golden files, as tests/golden/mod.rs reads them: what a framework computes from the synthetic weights."""

import json

import numpy as np

import synthetic


def number(value):
    """A float32 in the fewest decimal digits that give it back."""
    return float(str(np.float32(value)))


def write(path, head, values, logits, samples):
    """Writes `head` (with the picture's size), so many samples of each node's value, and the logits."""
    lines = []
    for node, value in values:
        value = np.asarray(value)
        exact = value.astype(np.float64)
        positions = synthetic.indices(f"golden/{head['size']}/{node}", samples, value.size)
        entry = {
            "node": node,
            "shape": list(value.shape),
            "mean": exact.mean(),
            "std": exact.std(),
            "max_abs": number(np.abs(value).max()),
            "indices": positions,
            "samples": [number(value.flat[i]) for i in positions],
        }
        lines.append(json.dumps(entry))
    logits = json.dumps([number(v) for v in np.asarray(logits)[0]])
    blocks = ",\n".join(lines)
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'{{{json.dumps(head)[1:-1]},\n"blocks": [\n{blocks}\n],\n"logits": {logits}}}\n')
