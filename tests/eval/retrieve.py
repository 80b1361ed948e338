"""The systems that `folio find` is compared with, over the same spans.

Spans are whole lines, cut at about the size of folio's own (1,024 tokens of code are some 3,400
bytes), at a blank line where one lies in the last third.  A ranking is a list of (corpus, path,
first, last), best first, at most one entry per span.
"""
import math
import os

import words

BYTES = 3400


def texts(out):
    """{(corpus, path): text} of what build.py wrote."""
    found = {}
    for name in sorted(os.listdir(os.path.join(out, "corpus"))):
        top = os.path.join(out, "corpus", name)
        for folder, _, names in os.walk(top):
            for n in names:
                path = os.path.join(folder, n)
                with open(path, encoding="utf-8", newline="") as f:
                    found[name, os.path.relpath(path, top)] = f.read()
    return found


def spans(files):
    """[(corpus, path, first line, last line, text)], sorted."""
    out = []
    for (name, path), text in sorted(files.items()):
        lines = text.split("\n")
        if lines[-1] == "":
            lines.pop()
        start = 0
        while start < len(lines):
            size, end = 0, start
            while end < len(lines) and (size == 0 or size + len(lines[end]) + 1 <= BYTES):
                size += len(lines[end]) + 1
                end += 1
            if end < len(lines):
                for cut in range(end, start + 2 * (end - start) // 3, -1):
                    if not lines[cut - 1].strip():
                        end = cut
                        break
            out.append((name, path, start + 1, end, "\n".join(lines[start:end])))
            start = end
    return out


class BM25:
    """Code-aware: identifiers count whole and in parts, parts as stems."""

    def __init__(self, spans, k1=1.2, b=.75):
        self.spans, self.k1, self.b = spans, k1, b
        self.docs = [self.terms(s[4]) for s in spans]
        self.length = [sum(d.values()) for d in self.docs]
        self.mean = sum(self.length) / len(self.length)
        self.df = {}
        for d in self.docs:
            for t in d:
                self.df[t] = self.df.get(t, 0) + 1

    @staticmethod
    def terms(text):
        import re
        out = {}
        for w in words.split(text):
            if w not in words.STOP and len(w) > 1:
                w = words.stem(w)
                out[w] = out.get(w, 0) + 1
        for w in re.findall(r"[A-Za-z_]\w*", text):
            if "_" in w.strip("_") or not (w.islower() or w.isupper() or w.istitle()):
                out["=" + w.lower()] = out.get("=" + w.lower(), 0) + 1
        return out

    def rank(self, question, k):
        scores = [0.0] * len(self.spans)
        n = len(self.spans)
        for t in self.terms(question):
            df = self.df.get(t, 0)
            if not df:
                continue
            idf = math.log(1 + (n - df + .5) / (df + .5))
            for i, d in enumerate(self.docs):
                f = d.get(t, 0)
                if f:
                    norm = 1 - self.b + self.b * self.length[i] / self.mean
                    scores[i] += idf * f * (self.k1 + 1) / (f + self.k1 * norm)
        best = sorted(range(n), key=lambda i: (-scores[i], i))[:k]
        return [self.spans[i][:4] for i in best if scores[i] > 0]


class Embedded:
    """MiniLM over windows of each span; a span is as good as its best window.  Embedding the corpora
    takes some twenty minutes of one core, so the vectors are kept in `cache`, under a hash of what
    they were made of, and a run that was interrupted goes on."""

    def __init__(self, spans, folder, cache):
        import hashlib
        import sys
        import numpy as np
        import minilm
        self.spans, self.model = spans, minilm.MiniLM(folder)
        key = hashlib.sha256("\0".join(s[4] for s in spans).encode()).hexdigest()[:16]
        path = os.path.join(cache, "minilm-%s.npz" % key)
        vectors, owner, done = np.zeros((0, 384), np.float32), np.zeros(0, np.int64), 0
        if os.path.exists(path):
            kept = np.load(path)
            vectors, owner, done = kept["vectors"], kept["owner"], int(kept["done"])
        while done < len(spans):
            v, o = self.model.embed([s[4] for s in spans[done:done + 40]])
            vectors, owner = np.concatenate([vectors, v]), np.concatenate([owner, o + done])
            done = min(done + 40, len(spans))
            np.savez(path + ".part.npz", vectors=vectors, owner=owner, done=done)
            os.replace(path + ".part.npz", path)
            print("embedded: %d of %d spans" % (done, len(spans)), file=sys.stderr)
        self.vectors, self.owner = vectors, owner

    def rank(self, question, k):
        import numpy as np
        scores = self.vectors @ self.model.embed([question])[0][0]
        best = np.full(len(self.spans), -2.0)
        np.maximum.at(best, self.owner, scores)
        return [self.spans[i][:4] for i in np.argsort(-best, kind="stable")[:k]]

