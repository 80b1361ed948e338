"""Draw the loss curves of a run: curves.py LOG.jsonl OUT.png"""
import json
import pathlib
import sys

import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt

KINDS = {"value": "value of a name", "chain": "chain of h...", "variable": "chain of x...",
         "values": "several values", "line": "line of the text"}


def smooth(x, n=9):
    return [sum(x[max(0, i - n):i + 1]) / len(x[max(0, i - n):i + 1]) for i in range(len(x))]


log = [json.loads(l) for l in pathlib.Path(sys.argv[1]).read_text().splitlines()]
fig, axes = plt.subplots(1, 2, figsize=(10, 4))
for kind, label in KINDS.items():
    have = [r for r in log if r[kind] is not None]
    steps = [r["step"] for r in have]
    axes[0].plot(steps, smooth([r[kind] for r in have]), label=label)
    axes[1].plot(steps, smooth([r[kind + "_right"] for r in have]), label=label)
axes[0].set(xlabel="step", ylabel="loss of an answer's token (mean of 10 steps)", yscale="log")
axes[1].set(xlabel="step", ylabel="share of tokens right, teacher forced", ylim=(0, 1.02))
axes[1].legend(loc="lower right", fontsize=8)
fig.tight_layout()
fig.savefig(sys.argv[2], dpi=80, metadata={"Software": None})
