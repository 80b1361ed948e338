#!/usr/bin/env python3
"""Plot accuracy by length from `folio eval --json`: plot.py OUT.png FILE.json...

One picture, a panel for each task; one line for each model and way of asking, with 95 % intervals.
Several files are drawn together: the trained model and its control, say.  Needs matplotlib.
"""
import json
import pathlib
import sys

import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    lines, tasks = {}, []
    for name in sys.argv[2:]:
        report = json.loads(pathlib.Path(name).read_text())
        assert report["schema"] == "folio.eval/1", name
        for length in report["lengths"]:
            for way in length["ways"]:
                label = f"{pathlib.Path(name).stem}: {way['attend']}, {way['attn_temperature']}"
                for t in way["tasks"]:
                    if t["task"] not in tasks:
                        tasks.append(t["task"])
                    lines.setdefault((t["task"], label), []).append((length["tokens"], t["share"], *t["interval95"]))
    columns = min(3, len(tasks))
    rows = -(-len(tasks) // columns)
    fig, axes = plt.subplots(rows, columns, figsize=(4 * columns, 2.8 * rows), squeeze=False, sharey=True)
    for ax, task in zip(axes.flat, tasks):
        for (t, label), points in lines.items():
            if t != task:
                continue
            points.sort()
            x, y, low, high = zip(*points)
            ax.errorbar(x, y, [[a - b for a, b in zip(y, low)], [b - a for a, b in zip(y, high)]], marker="o",
                        capsize=3, label=label)
        ax.set(title=task, xscale="log", ylim=(-.03, 1.03), xlabel="tokens")
    for ax in list(axes.flat)[len(tasks):]:
        ax.axis("off")
    axes[0][0].legend(fontsize=6)
    fig.tight_layout()
    fig.savefig(sys.argv[1], dpi=90, metadata={"Software": None})


if __name__ == "__main__":
    main()
