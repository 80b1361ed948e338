#!/usr/bin/env python3
"""The second question, by a new process, from a cold disk: folio beside llama.cpp's saved state.

    second.py --folio ./folio --model M.gguf --library DIR [--peer DIR] [--peer-tokens 8000]
              [--reps 5] [--threads N] QUESTION QUESTION

The library holds the text; its sources may be as large as one likes.  Before anything is measured
the first question is asked, in a session of its own, and so are the others, so that the passages
they need are encoded; the state that llama.cpp saves holds --peer-tokens tokens, nearly as many as
the model was trained to read, and so a small part of what the library holds.  Then, --reps times, in
turn: the files of the library (or the state) and of the model are written back and dropped from the
page cache (posix_fadvise, as any user may), and a new process

  folio   goes on with a fork of the session, asking the next QUESTION; the clock stops at the first
          "token" event of --jsonl on its standard output
  peer    loads the model and the state, feeds the same question, and picks the first token

from the start of the process to that token: wall seconds and, since a machine may have other work,
processor seconds of the whole process up to its end (folio is told to end after two tokens, the peer ends
after one).  The peer is a virtual environment with llama-cpp-python (README.md).  Standard library
only.
"""
import argparse
import glob
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time


def peer_child(spec):
    """Runs under the peer's Python."""
    import llama_cpp as ll

    quiet = ll.llama_log_callback(lambda level, text, user: None)     # must outlive the calls
    ll.llama_log_set(quiet, None)
    ll.llama_backend_init()
    model = ll.llama_model_load_from_file(spec["model"].encode(), ll.llama_model_default_params())
    params = ll.llama_context_default_params()
    params.n_ctx = spec["tokens"] + 128
    params.n_batch = 2048
    params.n_threads = params.n_threads_batch = spec["threads"]
    ctx = ll.llama_init_from_model(model, params)
    vocab = ll.llama_model_get_vocab(model)

    def feed(toks):
        for at in range(0, len(toks), 2048):
            part = toks[at:at + 2048]
            array = (ll.llama_token * len(part))(*part)
            if ll.llama_decode(ctx, ll.llama_batch_get_one(array, len(part))):
                raise SystemExit("llama_decode failed")

    if not ctx:
        raise SystemExit("cannot make a context of %d tokens" % params.n_ctx)
    if spec["save"]:
        toks = [(i * 7919 + 13) % (ll.llama_vocab_n_tokens(vocab) - 1) + 1
                for i in range(spec["tokens"])]
        feed(toks)
        array = (ll.llama_token * len(toks))(*toks)
        if not ll.llama_state_save_file(ctx, spec["state"].encode(), array, len(toks)):
            raise SystemExit("cannot save the state")
        return
    room = (ll.llama_token * spec["tokens"])()
    n = ll.ctypes.c_size_t(0)
    if not ll.llama_state_load_file(ctx, spec["state"].encode(), room, spec["tokens"],
                                    ll.ctypes.byref(n)) or n.value != spec["tokens"]:
        raise SystemExit("cannot load the state")
    text = ("Question: %s\n" % spec["question"]).encode()
    ids = (ll.llama_token * 512)()
    n_ids = ll.llama_tokenize(vocab, text, len(text), ids, 512, False, False)
    feed(list(ids[:n_ids]))
    logits = ll.llama_get_logits_ith(ctx, -1)
    max(range(ll.llama_vocab_n_tokens(vocab)), key=lambda i: logits[i])
    print("first", flush=True)


def drop(paths):
    os.sync()
    for path in paths:
        fd = os.open(path, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


def until(argv, is_first, env=None):
    """(wall seconds to the first line that is_first likes, processor seconds of the whole process)."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start, first, tail = time.monotonic(), None, []
    p = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                         env=env, text=True)
    for line in p.stdout:
        tail = tail[-4:] + [line]
        if first is None and is_first(line):
            first = time.monotonic() - start
    err = p.stderr.read()
    p.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if first is None:
        raise SystemExit("%s: no first token\n%s%s" % (argv[0], "".join(tail)[-800:], err[-800:]))
    return first, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, tail


def show(name, runs):
    def cell(i):
        v = sorted(r[i] for r in runs)
        return "%.2f (%.2f–%.2f)" % (statistics.median(v), v[0], v[-1])
    print("| %s | %s | %s |" % (name, cell(0), cell(1)))


def main():
    if len(sys.argv) == 2 and sys.argv[1].startswith("{"):
        return peer_child(json.loads(sys.argv[1]))
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--folio", default="./folio")
    ap.add_argument("--model", required=True)
    ap.add_argument("--library", required=True)
    ap.add_argument("--peer")
    ap.add_argument("--peer-tokens", type=int, default=8000)
    ap.add_argument("--reps", type=int, default=5)
    ap.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    ap.add_argument("question", nargs="+")
    args = ap.parse_args()
    base = [args.folio, "-L", args.library, "-m", args.model, "-j", str(args.threads)]

    def folio(*words):
        done = subprocess.run(base + list(words), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              stdin=subprocess.DEVNULL)
        if done.returncode not in (0, 1):
            raise SystemExit("folio %s: %s" % (words[0], done.stderr.decode()[-500:]))
        return done.stdout

    session = "bench-%d" % os.getpid()
    rest = args.question[1:] or args.question
    for q in args.question:
        folio("ask", "--no-keep", "--anyway", "--max-tokens", "1", q)
    folio("ask", "-s", session, "--anyway", "--max-tokens", "24", args.question[0])
    total = 0
    mine, theirs, forks = [], [], []
    with tempfile.TemporaryDirectory() as tmp:
        spec = {"model": args.model, "tokens": args.peer_tokens, "threads": args.threads,
                "state": os.path.join(tmp, "state"), "question": rest[0], "save": True}
        python = args.peer and os.path.join(args.peer, "bin", "python3")
        env = dict(os.environ, OMP_WAIT_POLICY="passive")
        if args.peer:
            subprocess.run([python, __file__, json.dumps(spec)], check=True, env=env)
        for i in range(args.reps):
            forks.append("%s-%d" % (session, i))
            folio("session", "fork", session, forks[-1])
            drop([args.model] + [f for f in glob.glob(args.library + "/**", recursive=True)
                                 if os.path.isfile(f)])
            wall, cpu, tail = until(base + ["ask", "-s", forks[-1], "--jsonl", "--anyway", "--no-encode",
                                            "--max-tokens", "2", rest[i % len(rest)]],
                                    lambda line: json.loads(line)["event"] == "token")
            done = json.loads(tail[-1])
            total = done["total_tokens"]
            mine.append((wall, cpu, done["reused_tokens"], done["encoded_tokens"]))
            if args.peer:
                drop([args.model, spec["state"]])
                spec.update(save=False, question=rest[i % len(rest)])
                theirs.append(until([python, __file__, json.dumps(spec)],
                                    lambda line: line.startswith("first"), env)[:2])
    folio("session", "rm", session, *forks)
    print("%d threads; library of %d tokens, read back %d, computed %d; load %.1f\n" % (
        args.threads, total, mine[-1][2], mine[-1][3], os.getloadavg()[0]))
    print("| new process, cold, to its first token | wall s, median (range) | processor s |\n|---|---|---|")
    show("folio", mine)
    if theirs:
        show("llama.cpp, %d tokens of saved state" % args.peer_tokens, theirs)


if __name__ == "__main__":
    main()
