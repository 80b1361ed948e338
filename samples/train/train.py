"""Wire the model, then train it.

    train.py WORK [--steps N] [--stop N] [--seed S] [--lr R] [--init CHECKPOINT] [--all] [--threads T]

WORK gets tokenizer.json, wired.pt (the control), trained.pt, trained.gguf and log.jsonl.
One step: one haystack of 6 chunks, about 30 questions, each in a chunk of its own; the far layer
sees the haystack and keys of earlier haystacks, which are distractors: its keys carry no position.

--all trains every weight.  Without it embeddings and output are the wired ones (put back, where --init has
others), and what is wired of queries, keys and values stays.
"""
import argparse
import json
import math
import pathlib
import pickle
import time

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

import tokens
from export import rounded, write_gguf
from model import Model, wire
from tasks import KINDS, Data

WEIGHT = {"value": 1.0, "chain": 1.0, "variable": 1.0}
BANK = 3072                 # keys of earlier haystacks


def load(work, seed, held_out=False):
    path = work / "tokenizer.json"
    tok = Tokenizer.from_file(str(path)) if path.exists() else tokens.train(path)
    kept = work / f"data{int(held_out)}.pkl"
    if kept.exists():
        data = Data.__new__(Data)
        data.__dict__.update(pickle.loads(kept.read_bytes()), tok=tok)
    else:
        data = Data(tok, 0, held_out)
        kept.write_bytes(pickle.dumps({k: v for k, v in data.__dict__.items() if k != "tok"}))
    data.rng = np.random.default_rng([seed, held_out])
    data.at = int(data.rng.integers(len(data.lines)))
    return data


def common(data):
    n = np.bincount(np.concatenate(data.lines), minlength=tokens.N_VOCAB)
    return torch.from_numpy(np.flatnonzero(n > .005 * n.sum()))


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("work", type=pathlib.Path)
    ap.add_argument("--steps", type=int, default=400)
    ap.add_argument("--stop", type=int, default=0, help="end after this step, the rate not yet down")
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--lr", type=float, default=2e-3)
    ap.add_argument("--init", type=pathlib.Path, help="go on from this checkpoint")
    ap.add_argument("--all", action="store_true", help="train every weight")
    ap.add_argument("--threads", type=int, default=1)
    a = ap.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    a.work.mkdir(parents=True, exist_ok=True)
    data = load(a.work, a.seed)
    m = Model()
    wired = a.work / "wired.pt"
    if a.init:
        state = torch.load(a.init, weights_only=True)["state"]
        if not a.all:
            first = torch.load(wired, weights_only=True)["state"]
            state.update(emb=first["emb"], head=first["head"])
        m.load_state_dict(state)
    elif wired.exists():
        m.load_state_dict(torch.load(wired, weights_only=True)["state"])
    else:
        wire(m, common(data))
        torch.save({"state": m.state_dict()}, wired)
    # Embeddings, output and what is wired of queries, keys and values stay: trained with the rest, tokens
    # that come up once in a hundred steps drift, and numbers are copied wrongly.
    for p in () if a.all else (m.emb, m.head, m.norm):
        p.requires_grad_(False)
    train = {n: p for n, p in m.named_parameters() if p.requires_grad}
    free = {n: p.detach().abs() < .2 if n[-2:] in (".q", ".k", ".v") and not a.all else torch.ones_like(p, dtype=torch.bool)
            for n, p in train.items()}
    print(sum(int(f.sum()) for f in free.values()), "weights are trained", flush=True)
    opt = torch.optim.AdamW(train.values(), lr=a.lr, betas=(.9, .98), weight_decay=0)
    weight = {**WEIGHT, "values": .5 if a.all else .3, "line": .3 if a.all else .1}
    bk = bv = torch.zeros(0, 128)
    t0 = time.process_time()
    log = (a.work / "log.jsonl").open("a" if a.init else "w")
    for step in range(1, a.steps + 1):
        for g in opt.param_groups:
            g["lr"] = a.lr * min(1, step / (20 if a.all else 10)) * (.05 + .95 * .5 * (1 + math.cos(math.pi * step / a.steps)))
        t, see, q, mask = map(torch.from_numpy, data.batch())
        with torch.set_grad_enabled(step % (2 if a.all else 4) == 0):   # the others train the readers alone
            k, v = m.keys(m.near(t))
            k, v = k[see], v[see]
        row, pos = mask.nonzero(as_tuple=True)
        scale = 1 + .75 * float(data.rng.random())
        logits = m.far(m.near(q), row, pos, torch.cat([k, bk]), torch.cat([v, bv]), scale)
        kind, gold = mask[row, pos] - 1, q[row, pos + 1]
        nll = F.cross_entropy(logits, gold, reduction="none")
        each = {n: nll[kind == i] for i, n in enumerate(KINDS)}
        loss = sum(weight[n] * x.mean() for n, x in each.items() if len(x))
        opt.zero_grad()
        loss.backward()
        for n, p in train.items():
            p.grad.mul_(free[n])
        norm = torch.nn.utils.clip_grad_norm_(train.values(), 1.0)
        opt.step()
        bk, bv = torch.cat([bk, k.detach()])[-BANK:], torch.cat([bv, v.detach()])[-BANK:]
        right = (logits.argmax(-1) == gold).float()
        line = dict(step=step, cpu_s=round(time.process_time() - t0, 1), loss=round(loss.item(), 4),
                    norm=round(float(norm), 3))
        for i, n in enumerate(KINDS):
            line[n] = round(each[n].mean().item(), 4) if len(each[n]) else None
            line[n + "_right"] = round(right[kind == i].mean().item(), 4) if len(each[n]) else None
        print(json.dumps(line), file=log, flush=True)
        if step % 10 == 0 or step == a.steps:
            torch.save({"state": m.state_dict(), "step": step, "args": {k: str(v) for k, v in vars(a).items()}},
                       a.work / "trained.pt")
            write_gguf(a.work / "trained.gguf", rounded(m.state_dict()), a.work / "tokenizer.json")
        if step == a.stop:
            break


if __name__ == "__main__":
    main()
