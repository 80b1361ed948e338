#!/usr/bin/env python3
"""Make the corpora and the questions: build.py OUT [--archives DIR] [--record]

OUT/corpus/cpython/..., OUT/corpus/redis/...   the text to ingest (corpus.py)
OUT/questions.jsonl                            one question a line (README.md has the fields)

The archives come from DIR, or from Debian's mirror through apt-get.  The questions made by machine
must equal the committed list mechanical.tsv, or nothing is written; --record writes that list.
"""
import argparse
import json
import os
import sys
import tempfile

import corpus
import questions
import words

HERE = os.path.dirname(os.path.abspath(__file__))
LISTED = os.path.join(HERE, "mechanical.tsv")


def row(q):
    return "\t".join([q["id"], q["path"], "%d-%d" % tuple(q["lines"]), q["symbol"],
                      corpus.sha256((q["question"] + "\0" + q["answer"]).encode())])


def written(files):
    """Our own questions, from written.jsonl, with what the mechanical ones have."""
    out = []
    for line in open(os.path.join(HERE, "written.jsonl")):
        q = json.loads(line)
        q["half"] = questions.half(q["id"])
        if q["kind"] == "para":
            q["context"] = q["lines"]
        out.append(q)
    return out


def overlap(q, files):
    """Adds words: [content words of the question that the gold span has, all of them]."""
    if q["kind"] != "none":
        f = files[q["corpus"], q["path"]]
        span = "\n".join(f.lines[q["lines"][0] - 1:q["lines"][1]])
        q["words"] = [len(words.shared(q["question"], span)), len(words.content(q["question"]))]


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("out")
    ap.add_argument("--archives", help="folder with the two .orig.tar.gz files")
    ap.add_argument("--record", action="store_true")
    args = ap.parse_args()
    with tempfile.TemporaryDirectory() as tmp:
        if not args.archives:
            corpus.fetch(tmp)
        files = questions.read(args.archives or tmp)

    made = questions.take(files)
    rows = ["# id, path, gold lines, symbol, SHA-256 of question NUL answer"] + [
        row(q) for q in made]
    if args.record:
        with open(LISTED, "w") as f:
            f.write("\n".join(rows) + "\n")
    elif open(LISTED).read().split("\n")[:-1] != rows:
        raise SystemExit("the questions made here are not the ones in mechanical.tsv")

    for f in files:
        path = os.path.join(args.out, "corpus", f.corpus, f.path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8", newline="") as g:
            g.write(f.text)
    by_path = {(f.corpus, f.path): f for f in files}
    with open(os.path.join(args.out, "questions.jsonl"), "w") as g:
        for q in made + written(files):
            overlap(q, by_path)
            g.write(json.dumps(q) + "\n")
    print("%d files, %d questions in '%s'" % (len(files), len(made) + len(written(files)), args.out),
          file=sys.stderr)


if __name__ == "__main__":
    main()
