#!/usr/bin/env python3
"""Ask many questions and prove that every citation resolves.

    cites.py --folio ./folio -L LIBRARY -m MODEL [-n 500] [--turns 10] [--max-tokens 24] [--attend 1024]

Questions are made from the identifiers that stand in the library's own files, a few a file, by the
smallest hashes, so that the same library gives the same questions.  They are put to `folio chat
--json`, so many turns a session.  A citation is good when `folio show --json PATH:A-B` gives its
source, snapshot, sha256 and exactly its quote, and when its number stands in the answer; a number in
brackets that stands in an answer must have a citation.  Prints what does not hold, then one line of
figures; exits with 1 if anything did not.  Standard library only.
"""
import argparse
import hashlib
import json
import re
import subprocess
import sys


def folio(args, *words, stdin=None):
    done = subprocess.run([args.folio, "-L", args.library] + list(words), input=stdin,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return done.returncode, done.stdout


def files(args):
    for source in json.loads(folio(args, "ls", "--json")[1])["sources"]:
        name = source["name"]
        listed = json.loads(folio(args, "ls", "--json", name)[1])["sources"][0]["files"]
        for f in listed:
            if f["state"] in ("text", "encoded"):
                yield name + "/" + f["path"]


def questions(args):
    names = list(files(args))
    per_file = -(-args.n // max(1, len(names)))
    for path in names:
        text = folio(args, "show", path)[1].decode(errors="replace")
        words = sorted(set(re.findall(r"[A-Za-z_][A-Za-z0-9_]{6,30}", text)),
                       key=lambda w: hashlib.sha256((path + w).encode()).digest())
        for w in words[:per_file]:
            yield "What is %s for?" % w


def wrong(args, answer, c):
    """Why a citation does not resolve, or None."""
    code, out = folio(args, "show", "--json",
                      "%s@%s/%s:%d-%d" % (c["source"], c["snapshot"], c["path"], *c["lines"]))
    if code:
        return "folio show exits with %d" % code
    shown = json.loads(out)
    for field, want in (("source", c["source"]), ("snapshot", c["snapshot"]), ("path", c["path"]),
                        ("lines", c["lines"]), ("sha256", c["sha256"]), ("text", c["quote"])):
        if shown[field] != want:
            return "%s is %r, folio show has %r" % (field, want, shown[field])
    if "[%d]" % c["n"] not in answer["text"]:
        return "its number does not stand in the answer"
    return None if c["verified"] is True else "it is not verified"


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--folio", default="./folio")
    ap.add_argument("-L", "--library", required=True)
    ap.add_argument("-m", "--model", required=True)
    ap.add_argument("-n", type=int, default=500)
    ap.add_argument("--turns", type=int, default=10)
    ap.add_argument("--max-tokens", default="24")
    ap.add_argument("--attend", default="1024")
    ap.add_argument("--threads", default="1")
    args = ap.parse_args()
    qs = list(questions(args))[:args.n]
    n_answer = n_found = n_cite = n_bad = 0
    for at in range(0, len(qs), args.turns):
        code, out = folio(args, "-m", args.model, "-j", args.threads, "chat", "--json", "--attend",
                          args.attend, "--max-tokens", args.max_tokens,
                          stdin=("\n".join(qs[at:at + args.turns]) + "\n").encode())
        if code not in (0, 1):
            raise SystemExit("folio chat exits with %d: %s" % (code, out.decode()[-500:]))
        for line in out.decode().splitlines():
            answer = json.loads(line)
            n_answer += 1
            n_found += answer["status"] == "answered"
            bad = [(c, wrong(args, answer, c)) for c in answer["citations"]
                   if answer["status"] == "answered"]
            have = {c["n"] for c in answer["citations"]}
            bad += [(m, "no citation has this number")
                    for m in re.findall(r"(?<!\w)\[(\d+)\]", answer["text"]) if int(m) not in have]
            bad = [b for b in bad if b[1]]
            n_cite += len(answer["citations"]) if answer["status"] == "answered" else 0
            n_bad += len(bad)
            for what, why in bad:
                print("%s turn %d: %s: %s" % (answer["session"], answer["turn"], what, why))
        print("%d of %d" % (n_answer, len(qs)), file=sys.stderr)
    print("%d answers, %d found, %d citations, %d do not resolve" % (n_answer, n_found, n_cite, n_bad))
    sys.exit(1 if n_bad or not n_cite else 0)


if __name__ == "__main__":
    main()
