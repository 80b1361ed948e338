#!/usr/bin/env python3
"""Make real/: what Hugging Face transformers answers for real models, on the weights of their GGUF.

    make_real.py smollm2-135m SMOLLM2_Q4_1.gguf
    make_real.py qwen2.5-coder-0.5b QWEN_Q4_K_M.gguf

Needs torch, transformers, accelerate (2.5.1, 4.57.1 and 1.x were used), numpy and gguf (0.19.0).
transformers dequantises the file with the gguf package and computes in float32, eager attention.
README.md says what the files hold.
"""
import pathlib
import sys

import numpy as np
import torch
import transformers as hf

HERE = pathlib.Path(__file__).parent
N_POS, N_ID, N_GREEDY = 128, 512, 200
# Tried in order; the first one whose 200 greedy tokens are never decided by less than GAP is kept.
PROMPTS = {
    "smollm2-135m": [
        "The history of the printing press begins", "Water boils when", "Once upon a time",
        "A short guide to growing tomatoes:\n\n1.", "The capital of France is",
        "def fibonacci(n):\n", "The sun is a star", "Photosynthesis is the process by which",
        "In mathematics, a prime number is"],
    "qwen2.5-coder-0.5b": [
        "def quicksort(items):\n", "#include <stdio.h>\n\nint main(void)\n{\n",
        "class Stack:\n    def __init__(self):\n", "SELECT name, COUNT(*) FROM",
        "// Binary search in a sorted array\n", "import argparse\n\ndef main():\n",
        "package main\n\nimport \"fmt\"\n\nfunc main() {\n", "fn main() {\n    let mut v = vec![",
        "# Read a CSV file and print the sum of each column\nimport csv\n"],
}
GAP = 0.02


def greedy(model, prompt):
    """200 tokens after prompt, and the smallest lead of a best logit over the second one."""
    ids, lead, past = [], 1e9, None
    step = torch.tensor([prompt])
    with torch.no_grad():
        for _ in range(N_GREEDY):
            out = model(step, past_key_values=past, use_cache=True)
            past = out.past_key_values
            top = torch.topk(out.logits[0, -1], 2)
            lead = min(lead, float(top.values[0] - top.values[1]))
            ids.append(int(top.indices[0]))
            step = torch.tensor([[ids[-1]]])
    return ids, lead


def save(name, kind, values, dtype):
    path = HERE / "real" / f"{name}.{kind}"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(np.ascontiguousarray(values, dtype=dtype).tobytes())


def main(name, path):
    path = pathlib.Path(path)
    torch.set_num_threads(1)
    tok = hf.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    model = hf.AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32, attn_implementation="eager").eval()
    c = model.config
    print(name, "theta", c.rope_theta, "eps", c.rms_norm_eps, "tied", c.tie_word_embeddings,
          "vocabulary", c.vocab_size)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    tokens = tok((HERE / "text_2000.txt").read_text(), add_special_tokens=False)["input_ids"][:N_POS]
    assert len(tokens) == N_POS
    with torch.no_grad():
        logits = model(torch.tensor([tokens])).logits[0]
    ids = np.sort(np.random.default_rng(7).choice(c.vocab_size, N_ID, replace=False))
    nll = torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(tokens[1:]))
    print("mean loss over the text", float(nll))
    save(name, "tokens", tokens, "<i4")
    save(name, "ids", ids, "<i4")
    save(name, "logits", logits[:, torch.from_numpy(ids)].numpy(), "<f4")
    save(name, "argmax", logits.argmax(-1).numpy(), "<i4")
    save(name, "lse", torch.logsumexp(logits.double(), -1).numpy(), "<f4")
    if c.vocab_size < 100000:
        save(name, "last", logits[-1].numpy(), "<f4")
    for prompt in PROMPTS[name]:
        start = tok(prompt, add_special_tokens=False)["input_ids"]
        out, lead = greedy(model, start)
        special = set(out) & set(tok.all_special_ids)
        print(repr(prompt), "smallest lead", round(lead, 4), "specials", sorted(special))
        if lead > GAP and not special:
            print(repr(tok.decode(out)))
            save(name, "prompt", start, "<i4")
            save(name, "greedy", out, "<i4")
            return
    sys.exit("no prompt without a near tie: add some")


main(*sys.argv[1:])
