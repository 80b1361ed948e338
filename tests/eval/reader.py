#!/usr/bin/env python3
"""llama.cpp reads the same spans in sequence: what composing stored pages is compared with.

    PEER/bin/python reader.py OUT --model M.gguf --spans ask.jsonl|bm25|gold [--half tuning]
                              [--n 40] [--threads 2] [--run NAME]

Runs in a virtual environment that llama-cpp-python was built into (tests/bench/README.md).  The
spans come from a run of `score.py ask` whose records name the spans attended to (`spans`, as
source, path, lines), or are the four best of BM25, or the gold span alone, which is the upper
bound.  Spans are read in order with the best one last, each led by its path, the question right
after; greedy, 96 tokens.  Time to first token is llama.cpp's prefill of everything after the
instruction, whose state is kept between questions: the fairest case for it.

Records go to OUT/NAME.jsonl, like score.py's.  `score.py compare OUT A B` pairs two runs.
"""
import argparse
import hashlib
import json
import os
import time

import retrieve

SYSTEM = ("Answer the question from the given source text, in one short sentence. Name functions, "
          "values and exceptions exactly as they are written.")


def prompt_parts(spans, question):
    """ChatML (Qwen2.5, SmolLM2): the fixed head, and the rest."""
    head = "<|im_start|>system\n%s<|im_end|>\n<|im_start|>user\n" % SYSTEM
    text = "".join("%s:\n%s\n\n" % (path, body) for path, body in spans)
    return head, text + question + "<|im_end|>\n<|im_start|>assistant\n"


def choose(args, qs):
    """{id: [(path, text)], best last}."""
    files = retrieve.texts(args.out)
    cut = retrieve.spans(files)
    out = {}
    if args.spans == "bm25":
        bm25 = retrieve.BM25(cut)
        body = {s[:4]: s[4] for s in cut}
        for q in qs:
            best = bm25.rank(q["question"], args.k)
            out[q["id"]] = [(b[1], body[b]) for b in reversed(best)]
    elif args.spans == "gold":
        for q in qs:
            first, last = q["context"]
            out[q["id"]] = [(s[1], s[4]) for s in cut if s[:2] == (q["corpus"], q["path"])
                            and s[2] <= last and first <= s[3]]
    else:
        with open(os.path.join(args.out, args.spans)) as f:
            for line in f:
                r = json.loads(line)
                spans = r["answer"].get("spans") or []
                out[r["id"]] = [
                    (s["path"], "\n".join(files[s["source"], s["path"]].split("\n")
                                          [s["lines"][0] - 1:s["lines"][1]])) for s in spans]
    return out


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("out")
    ap.add_argument("--model", required=True)
    ap.add_argument("--spans", default="bm25")
    ap.add_argument("--half", choices=("tuning", "held-out", "all"), default="tuning")
    ap.add_argument("-n", "--n", type=int, default=0, help="so many questions, by hash; 0: all")
    ap.add_argument("-k", type=int, default=4)
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--run")
    args = ap.parse_args()

    import llama_cpp as ll
    with open(os.path.join(args.out, "questions.jsonl")) as f:
        qs = [json.loads(x) for x in f]
    qs = [q for q in qs if args.half in (q["half"], "all") and q["kind"] != "none"]
    qs.sort(key=lambda q: hashlib.sha256(q["id"].encode()).hexdigest())
    qs = qs[:args.n] if args.n else qs
    spans = choose(args, qs)
    name = os.path.join(args.out, (args.run or "reader-" + args.spans.split(".")[0]) + ".jsonl")
    have = {}
    if os.path.exists(name):
        with open(name) as f:
            have = {json.loads(x)["id"] for x in f}
    model = ll.Llama(args.model, n_ctx=8192, n_batch=2048, n_threads=args.threads,
                     n_threads_batch=args.threads, verbose=False)
    with open(name, "a") as f:
        for i, q in enumerate(qs):
            if q["id"] in have or not spans.get(q["id"]):
                continue
            head, rest = prompt_parts(spans[q["id"]], q["question"])
            prompt = model.tokenize((head + rest).encode(), add_bos=False, special=True)
            if len(prompt) > 8000:
                raise SystemExit("%s: %d tokens do not fit" % (q["id"], len(prompt)))
            start, first, tokens = time.monotonic(), None, []
            for token in model.generate(prompt, temp=0, repeat_penalty=1.0):
                first = first or time.monotonic() - start
                if ll.llama_vocab_is_eog(model._model.vocab, token) or len(tokens) == 96:
                    break
                tokens.append(token)
            f.write(json.dumps({
                "id": q["id"], "prompt_tokens": len(prompt), "first_token_s": round(first, 3),
                "seconds": round(time.monotonic() - start, 3),
                "answer": {"text": model.detokenize(tokens).decode("utf-8", "replace")}}) + "\n")
            f.flush()
            print("%d/%d %s %d tokens, first after %.1f s" % (i + 1, len(qs), q["id"],
                                                             len(prompt), first), flush=True)


if __name__ == "__main__":
    main()
