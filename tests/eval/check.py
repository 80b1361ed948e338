#!/usr/bin/env python3
"""Check what build.py made: check.py OUT [--tokenizer "COMMAND"]

Prints TAP.  Every gold line exists, every answer stands in what a reader gets, paraphrases share no
content word with their gold span, questions without an answer ask for words that the corpora do not
have, the documentation that questions were made from is gone, halves follow the hash, and the set
is as large as it claims to be.  --tokenizer is a command that reads text and prints token ids
(`folio tokenize -m MODEL --ids -`), to count the tokens of the corpora.
"""
import argparse
import json
import os
import re
import shlex
import subprocess

import questions
import words

count = 0


def ok(good, name, detail=()):
    global count
    count += 1
    for d in list(detail)[:10]:
        print("# " + d)
    print("%sok %d - %s" % ("" if good else "not ", count, name))


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("out")
    ap.add_argument("--tokenizer")
    args = ap.parse_args()
    text = {}
    for name in ("cpython", "redis"):
        top = os.path.join(args.out, "corpus", name)
        for folder, _, names in os.walk(top):
            for n in names:
                path = os.path.join(folder, n)
                text[name, os.path.relpath(path, top)] = open(path, newline="").read()
    qs = [json.loads(x) for x in open(os.path.join(args.out, "questions.jsonl"))]
    gold = [q for q in qs if q["kind"] != "none"]
    none = [q for q in qs if q["kind"] == "none"]

    def lines(q, field):
        first, last = q[field]
        return "\n".join(text[q["corpus"], q["path"]].split("\n")[first - 1:last])

    ok(len({q["id"] for q in qs}) == len(qs), "ids are unique")
    ok(len({q["question"] for q in qs}) == len(qs), "no question is asked twice")
    bad = [q["id"] for q in gold if (q["corpus"], q["path"]) not in text or not
           1 <= q["lines"][0] <= q["lines"][1] <= text[q["corpus"], q["path"]].count("\n") + 1]
    ok(not bad, "every gold line exists", bad)
    bad = [q["id"] for q in gold if q["answer"] not in lines(q, "context")]
    ok(not bad, "every answer stands in the context of its gold span", bad)
    bad = ["%s: %s" % (q["id"], s) for q in gold if q["kind"] == "para"
           for s in [words.shared(q["question"], lines(q, "lines"))] if s]
    ok(not bad, "paraphrases share no content word with their gold span", bad)
    bad = [q["id"] for q in gold if q["kind"] == "para" and len(words.content(q["question"])) < 2]
    ok(not bad, "and have at least two of their own", bad)
    bad = ["%s: %s" % (q["id"], p) for q in none for p in text
           if re.search(q["absent"], text[p], re.I)]
    ok(not bad, "no file has the words that questions without an answer ask for", bad)
    bad = []
    flat = {p: " ".join(re.findall(r"[a-z0-9_]+", t.lower())) for p, t in text.items()}
    for q in gold:
        if q["kind"] == "doc":
            w = re.findall(r"[a-z0-9_]+", q["question"].split("? ", 1)[1].lower())
            runs = [" ".join(w[i:i + 6]) for i in range(len(w) - 5)]
            bad += [q["id"] for p in flat if p[0] == q["corpus"] for r in runs if r in flat[p]]
    ok(not bad, "no six words in a row of a documentation sentence are left in its corpus", bad)
    ok(all(q["half"] == questions.half(q["id"]) for q in qs), "halves follow the hash of the id")

    n = {k: sum(q["kind"] == k for q in qs) for k in ("doc", "para", "none")}
    ok(len(gold) >= 200, "%d questions have a gold span" % len(gold))
    ok(2 * n["doc"] >= len(gold), "%d of them come from documentation" % n["doc"])
    ok(n["para"] >= 50, "%d are paraphrases" % n["para"])
    ok(n["none"] >= 50, "%d questions have no answer" % n["none"])
    held = sum(q["half"] == "held-out" for q in qs)
    ok(.4 <= held / len(qs) <= .6, "%d of %d questions are held out" % (held, len(qs)))
    for name in ("cpython", "redis"):
        whole = "\n".join(t for p, t in sorted(text.items()) if p[0] == name)
        if args.tokenizer:
            out = subprocess.run(shlex.split(args.tokenizer), input=whole.encode(), check=True,
                                 stdout=subprocess.PIPE).stdout
            tokens = len(out.replace(b",", b" ").split())
            ok(tokens >= 300000, "%s has %d tokens" % (name, tokens))
        else:
            ok(len(whole) > 1000000, "%s has %d bytes" % (name, len(whole.encode())))
    print("1..%d" % count)


if __name__ == "__main__":
    main()
