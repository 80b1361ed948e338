#!/usr/bin/env python3
"""folio beside llama.cpp: prefill and decode of the same model file, in one run.

    peer.py --folio ./folio --model M.gguf [--model N.gguf] [--peer NAME=DIR]... [--threads 1,2]
            [--prefill 512,4096] [--decode-after 512,4096] [--reps 5] [--csv FILE] [--cpu]

A peer is the folder of a virtual environment that llama-cpp-python was built into (README.md says
how).  PEER_DEFAULT and PEER_OPENBLAS in the environment name the two usual ones.  If the folder has
a bin/llama-bench, that is the meter; otherwise this file runs itself with the environment's own
Python and times llama_decode through the binding.  Both count the same thing: tokens divided by
the time inside llama_decode, loading and tokenising left out.

Rounds are interleaved: every engine runs every shape once, then all of it again, so that another
program's load falls on all of them.  The first round of each process is led by a short prefill that
is thrown away.  A cell is the median over the rounds, with the lowest and highest beside it; a
ratio compares folio with the better peer of its row.

--cpu counts tokens per second of processor time instead of the clock's.  On a machine that others
load, the clock measures them; processor time of one thread does not, apart from caches and a
shared core.  llama-bench cannot do it, so the binding is used, and folio bench must print a column
tokens_per_cpu_s.  Standard library only.
"""
import argparse
import csv
import json
import os
import platform
import statistics
import subprocess
import sys
import time

DECODED = 32            # tokens that a decode figure is taken over
SHORT = 64              # tokens of the prefill that warms up


# ---------------------------------------------------------------- the binding, in the peer's Python

def child(spec):
    """Time llama_decode.  Runs under the peer's Python; prints one JSON line per measurement."""
    import llama_cpp as ll

    null = ll.llama_log_callback(lambda level, text, user: None)
    ll.llama_log_set(null, None)
    ll.llama_backend_init()
    clock = time.process_time if spec["cpu"] else time.perf_counter
    model = ll.llama_model_load_from_file(spec["model"].encode(), ll.llama_model_default_params())
    if not model:
        raise SystemExit("cannot load '%s'" % spec["model"])
    n_vocab = ll.llama_vocab_n_tokens(ll.llama_model_get_vocab(model))

    def tokens(n):          # the same cheap sequence everywhere; its values do not change the work
        return [(i * 7919 + 13) % (n_vocab - 1) + 1 for i in range(n)]

    def feed(ctx, toks):
        for at in range(0, len(toks), 2048):
            part = toks[at:at + 2048]
            array = (ll.llama_token * len(part))(*part)
            if ll.llama_decode(ctx, ll.llama_batch_get_one(array, len(part))):
                raise SystemExit("llama_decode failed")
        ll.llama_synchronize(ctx)

    def timed(n, kinds):
        """One context serves both kinds: decoding starts where the prefill ended."""
        params = ll.llama_context_default_params()
        params.n_ctx = n + DECODED + 8
        params.n_batch = 2048
        params.n_ubatch = 512
        params.n_threads = params.n_threads_batch = spec["threads"]
        ctx = ll.llama_init_from_model(model, params)
        if not ctx:
            raise SystemExit("cannot make a context of %d tokens" % params.n_ctx)
        start = clock()
        feed(ctx, tokens(n))
        if "prefill" in kinds:
            yield "prefill", n, n / (clock() - start)
        if "decode" in kinds:
            feed(ctx, [1])
            start = clock()
            for tok in tokens(DECODED):
                feed(ctx, [tok])
            yield "decode", n, DECODED / (clock() - start)
        ll.llama_free(ctx)

    for _ in timed(SHORT, ["prefill"]):
        pass
    for n in sorted({n for _, n in spec["shapes"]}):
        for result in timed(n, [kind for kind, m in spec["shapes"] if m == n]):
            print(json.dumps(result), flush=True)


# ---------------------------------------------------------------- one engine, one round

def run(argv, env=None):
    done = subprocess.run(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit("%s: exit %d\n%s" % (argv[0], done.returncode, done.stderr[-2000:]))
    return done.stdout


def llama_bench(program, model, threads, shapes, env):
    """Yield (kind, n, tokens per second) from llama-bench, one test at a time."""
    common = [program, "-m", model, "-t", str(threads), "-r", "1", "-o", "jsonl", "--no-warmup"]
    fills = [n for kind, n in shapes if kind == "prefill"]
    if fills:
        out = run(common + ["-n", "0", "-p", ",".join(map(str, [SHORT] + fills))], env)
        for line in out.splitlines():
            row = json.loads(line)
            if row["n_prompt"] != SHORT:
                yield "prefill", row["n_prompt"], row["avg_ts"]
    depths = [n for kind, n in shapes if kind == "decode"]
    if depths:
        out = run(common + ["-p", "0", "-n", str(DECODED), "-d", ",".join(map(str, depths))], env)
        for line in out.splitlines():
            row = json.loads(line)
            yield "decode", row["n_depth"], row["avg_ts"]


def peer_round(folder, model, threads, shapes, cpu):
    env = dict(os.environ, OMP_WAIT_POLICY="passive")
    meter = os.path.join(folder, "bin", "llama-bench")
    if os.access(meter, os.X_OK) and not cpu:
        yield from llama_bench(meter, model, threads, shapes, env)
        return
    spec = json.dumps({"model": model, "threads": threads, "shapes": shapes, "cpu": cpu})
    python = os.path.join(folder, "bin", "python")
    for line in run([python, os.path.abspath(__file__), "--child", spec], env).splitlines():
        yield json.loads(line)


def folio_round(program, model, threads, shapes, extra, cpu):
    """folio bench --csv prints kind,n,threads,tokens_per_s,rep and, for --cpu, tokens_per_cpu_s."""
    argv = [program, "bench", "--csv", "-m", model, "-j", str(threads), "--reps", "1"]
    for option, kind in (("--prefill", "prefill"), ("--decode-after", "decode")):
        sizes = [str(n) for k, n in shapes if k == kind]
        if sizes:
            argv += [option, ",".join(sizes)]
    column = 3
    for row in csv.reader(run(argv + extra).splitlines()):
        if row and row[0] == "kind" and cpu:
            if "tokens_per_cpu_s" not in row:
                raise SystemExit("this folio bench has no column tokens_per_cpu_s")
            column = row.index("tokens_per_cpu_s")
        if row and row[0] in ("prefill", "decode"):
            yield row[0], int(row[1]), float(row[column])


# ---------------------------------------------------------------- the table

def load():
    return "%.1f" % os.getloadavg()[0]


def processor():
    name, flags = platform.machine(), ""
    try:
        for line in open("/proc/cpuinfo"):
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
            if line.startswith("flags"):
                flags = line.split()
    except OSError:
        pass
    return name + "".join(", " + f for f in ("avx2", "avx512f", "avx512_vnni") if f in flags)


def cell(values):
    return "%.0f (%.0f–%.0f)" % (statistics.median(values), min(values), max(values))


def table(results, engines, model, shapes, threads, unit, out):
    print("\n%s, tokens/%s, median (lowest–highest)\n" % (os.path.basename(model), unit),
          file=out)
    print("| | threads | " + " | ".join(engines) + " | folio / better peer |", file=out)
    print("|---|---|" + "---|" * (len(engines) + 1), file=out)
    for kind, n in shapes:
        for t in threads:
            got = {e: results.get((model, e, kind, n, t), []) for e in engines}
            name = "prefill %d" % n if kind == "prefill" else "decode after %d" % n
            peers = [statistics.median(v) for e, v in got.items() if e != "folio" and v]
            ratio = "–"
            if got.get("folio") and peers:
                ratio = "%.2f" % (statistics.median(got["folio"]) / max(peers))
            cells = [cell(got[e]) if got[e] else "–" for e in engines]
            print("| %s | %d | %s | %s |" % (name, t, " | ".join(cells), ratio), file=out)


def numbers(text):
    return [int(x) for x in text.split(",") if x]


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--folio", help="the program; left out, only the peers run")
    ap.add_argument("--folio-arg", action="append", default=[], help="passed on to folio bench")
    ap.add_argument("--model", action="append", required=True)
    ap.add_argument("--peer", action="append", default=[], metavar="NAME=DIR")
    ap.add_argument("--threads", type=numbers, default=[1, 2])
    ap.add_argument("--prefill", type=numbers, default=[512, 4096])
    ap.add_argument("--decode-after", type=numbers, default=[512, 4096])
    ap.add_argument("--reps", type=int, default=5)
    ap.add_argument("--cpu", action="store_true", help="processor time instead of the clock's")
    ap.add_argument("--csv", help="every single measurement goes here")
    args = ap.parse_args()

    peers = dict(p.split("=", 1) for p in args.peer)
    for name, var in (("default", "PEER_DEFAULT"), ("OpenBLAS", "PEER_OPENBLAS")):
        if os.environ.get(var):
            peers.setdefault(name, os.environ[var])
    if not peers and not args.folio:
        ap.error("nothing to run: give --folio, --peer, PEER_DEFAULT or PEER_OPENBLAS")
    shapes = [("prefill", n) for n in args.prefill] + [("decode", n) for n in args.decode_after]
    engines = (["folio"] if args.folio else []) + ["llama.cpp " + p for p in peers]
    results, rows = {}, []
    print("%s, %d processors, load %s at the start" % (processor(), os.cpu_count(), load()))
    for rep in range(args.reps):
        for model in args.model:
            for t in args.threads:
                for e in engines:
                    if e == "folio":
                        got = folio_round(args.folio, model, t, shapes, args.folio_arg,
                                          args.cpu)
                    else:
                        got = peer_round(peers[e[len("llama.cpp "):]], model, t, shapes, args.cpu)
                    before = load()
                    for kind, n, rate in got:
                        results.setdefault((model, e, kind, n, t), []).append(rate)
                        rows.append([e, os.path.basename(model), kind, n, t,
                                     "%.2f" % rate, rep, before])
                    print("round %d/%d: %s, %s, %d thread(s), load %s" % (
                        rep + 1, args.reps, os.path.basename(model), e, t, load()),
                        file=sys.stderr)
                    if args.csv:
                        with open(args.csv, "w", newline="") as f:
                            w = csv.writer(f)
                            w.writerow("engine model kind n threads tokens_per_s rep load".split())
                            w.writerows(rows)
    for model in args.model:
        table(results, engines, model, shapes, args.threads,
              "s of processor time" if args.cpu else "s", sys.stdout)
    print("\nload %s at the end" % load())


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "--child":
        child(json.loads(sys.argv[2]))
    else:
        main()
