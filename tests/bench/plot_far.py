#!/usr/bin/env python3
"""Pictures of far_bench's and select_study's CSV: plot_far.py OUT-PREFIX SPEED.csv STUDY.csv...

Needs matplotlib.  Writes OUT-PREFIX-time.png (processor time per decoded token by mounted tokens) and
OUT-PREFIX-choice.png (share of the best possible mass by tokens chosen, one panel per study)."""
import collections
import csv
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def rows(path, head):
    with open(path, newline="") as f:
        for r in csv.reader(f):
            if len(r) >= len(head) and r[0] != head[0]:
                # Notes may hold commas: the last field takes the rest.
                yield dict(zip(head, r[:len(head) - 1] + [",".join(r[len(head) - 1:])]))


def time_plot(path, out):
    by = collections.defaultdict(list)
    for r in rows(path, ("what", "tokens", "variant", "value", "unit", "note")):
        if r["what"] == "decode" and "processor" in r["note"]:
            by[r["variant"]].append((int(r["tokens"]), float(r["value"])))
    fig, ax = plt.subplots(figsize=(5, 3.2), dpi=110)
    for name, points in sorted(by.items()):
        points.sort()
        ax.plot(*zip(*points), marker="o", label=name)
    ax.set(xscale="log", yscale="log", xlabel="tokens mounted", ylabel="processor ms per token")
    ax.grid(alpha=.3)
    ax.legend()
    fig.tight_layout()
    fig.savefig(out)


def choice_plot(paths, out):
    head = "model far_layer keys queries code bytes budget_pct mass oracle ratio best".split()
    fig, axes = plt.subplots(1, len(paths), figsize=(4.2 * len(paths), 3.4), dpi=110, squeeze=False)
    for ax, path in zip(axes[0], paths):
        by, n, title = collections.defaultdict(lambda: collections.defaultdict(list)), 0, ""
        for r in rows(path, head):
            by[r["code"]][float(r["budget_pct"])].append(float(r["ratio"]))
            title = f"{r['model']}, {int(r['keys']):,} keys"
        for code, points in by.items():
            if code != "oracle":
                x = sorted(points)
                ax.plot(x, [sum(points[b]) / len(points[b]) for b in x], marker="o", ms=3, label=code)
        ax.set(xscale="log", ylim=(0, 1.02), xlabel="% of the tokens chosen", title=title)
        ax.grid(alpha=.3)
    axes[0][0].set_ylabel("mass / best possible")
    axes[0][-1].legend(fontsize=7)
    fig.tight_layout()
    fig.savefig(out)


if len(sys.argv) < 4:
    sys.exit(__doc__)
time_plot(sys.argv[2], sys.argv[1] + "-time.png")
choice_plot(sys.argv[3:], sys.argv[1] + "-choice.png")
