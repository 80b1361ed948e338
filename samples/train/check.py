"""Prove that Hugging Face's Llama4ForCausalLM and folio compute the same from the same weights.

    check.py WORK CHECKPOINT GGUF FOLIO [TOKENS]

Held-out text, causal, no preamble: every position's logits of transformers (eager, f32) beside those of
`folio logits --kernels ref --all`.  Also that both tokenizers give the same ids.
"""
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
from tokenizers import Tokenizer

from export import hf_model, rounded
from tokens import sources


def main():
    work, checkpoint, gguf, folio = sys.argv[1:5]
    n = int(sys.argv[5]) if len(sys.argv) > 5 else 3000
    torch.set_num_threads(1)
    tok = Tokenizer.from_file(work + "/tokenizer.json")
    text = "".join(t for _, t, held in sources() if held)[:n * 6]
    ids = tok.encode(text).ids
    with tempfile.TemporaryDirectory() as d:
        d = pathlib.Path(d)
        (d / "text").write_text(text, encoding="utf-8")
        with open(d / "text", "rb") as f:
            theirs = subprocess.run([folio, "-m", gguf, "tokenize", "-"], stdin=f, capture_output=True, check=True)
        assert [int(x) for x in theirs.stdout.split()] == ids, "token ids differ"
        ids = ids[:n]
        (d / "ids").write_bytes(np.array(ids, "<i4").tobytes())
        subprocess.run([folio, "-m", gguf, "--kernels", "ref", "logits", "--tokens-file", d / "ids", "--all",
                        "-o", d / "logits"], check=True)
        ours = np.fromfile(d / "logits", "<f4").reshape(n, -1)
    m = hf_model(rounded(torch.load(checkpoint, weights_only=True)["state"]))
    with torch.no_grad():
        hf = m(torch.tensor([ids])).logits[0].numpy()
    print(f"{len(ids)} tokens, same ids; largest logit {np.abs(hf).max():.2f}, largest difference "
          f"{np.abs(hf - ours).max():.2e}, same argmax {np.mean(hf.argmax(-1) == ours.argmax(-1)):.5f}")


if __name__ == "__main__":
    main()
