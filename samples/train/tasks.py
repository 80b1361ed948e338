"""The questions: planted lines, prompts and answers.  ingest/eval_task.h states the same formats.

    value     maple_orbit_317 = 482917          prompt "maple_orbit_317 ="     answer " 482917"
    chain     h482917 = h130284                 prompt "h482917 ="             answer " h130284", newline,
                                                and so on from there: "h130284 = h..."
    variable  a chain of x... whose last line is "x130284 = 777123": the answer ends with that number
    values    one name, several lines: the answer is all of them, one per line, each line led by the name
    line      any line of the text, given its first tokens
"""
import re

import numpy as np

from tokens import sources

PROMPT = " ="


class Data:
    """Text as token lines, and names made from its words."""

    def __init__(self, tok, seed, held_out=False):
        self.tok, self.rng = tok, np.random.default_rng([seed, held_out])
        texts = [t for _, t, held in sources() if held == held_out][:900]
        words = sorted({w for t in texts[:500] for w in re.findall(r"[a-z]{3,8}", t)})
        two = tok.encode_batch(["_" + w for w in words])
        one = tok.encode_batch(words)
        self.words = [w for w, a, b in zip(words, one, two) if len(a.ids) <= 2 and len(b.ids) <= 3]
        lines = [l + "\n" for t in texts for l in t.splitlines()]
        self.lines = [np.array(e.ids, np.int64) for e in tok.encode_batch(lines[:300_000])]
        self.at = int(self.rng.integers(len(self.lines)))

    def enc(self, s):
        return self.tok.encode(s).ids

    def word(self):
        return self.words[self.rng.integers(len(self.words))]

    def number(self, n=6):
        return f"{self.rng.integers(10 ** n):0{n}d}"

    def name(self, twin=None):
        """A name, or one that differs from twin in a single place."""
        if not twin:
            return f"{self.word()}_{self.word()}_{self.rng.integers(100, 1000)}"
        part = twin.split("_")
        i = int(self.rng.integers(3))
        part[i] = self.word() if i < 2 else str(self.rng.integers(100, 1000))
        return "_".join(part)

    def names(self, n, twins=.5):
        out = []
        while len(out) < n:
            x = self.name(out[self.rng.integers(len(out))] if out and self.rng.random() < twins else None)
            if x not in out:
                out.append(x)
        return out

    def line(self):
        self.at = (self.at + 1) % len(self.lines)
        return self.lines[self.at]

    def questions(self, n_value=8, n_chain=6, n_values=5):
        """Planted lines, and (kind, prompt, answer) of what is asked about them."""
        planted, ask = [], []
        for x in self.names(n_value + 8):
            v = self.number()
            planted.append(f"{x} = {v}\n")
            if len(planted) <= n_value:
                ask.append(("value", f"{x} =", f" {v}\n"))
        for kind in ("chain", "variable"):
            for _ in range(n_chain):
                k = int(self.rng.integers(2, 5))
                c = "h" if kind == "chain" else "x"
                node = [c + self.number() for _ in range(k + 1)]
                if kind == "variable":
                    node[-1] = node[-1][1:]
                chain = [f"{a} = {b}\n" for a, b in zip(node, node[1:])]
                planted += chain
                ask.append((kind, f"{node[0]} =", "".join(chain)[len(node[0]) + 2:]))
        for x in self.names(n_values):
            both = [f"{x} = {self.number()}\n" for _ in range(self.rng.integers(2, 5))]
            planted += both
            order = self.rng.permutation(len(both))
            ask.append(("values", f"{x} =", "".join(both[i] for i in order)[len(x) + 2:]))
        order = self.rng.permutation(len(planted))
        return [planted[i] for i in order], ask

    def haystack(self, planted, n_chunk, chunk):
        """Chunks [n, chunk]: BOS, then whole lines; and which tokens may be attended to."""
        t = np.zeros((n_chunk, chunk), np.int64)
        see = np.zeros((n_chunk, chunk), bool)
        where = np.sort(self.rng.integers(0, n_chunk, len(planted)))
        text = []
        for c in range(n_chunk):
            mine = [np.array(self.enc(planted[i])) for i in np.flatnonzero(where == c)]
            room, lines = chunk - 1 - sum(map(len, mine)), []
            while room > 0:
                x = self.line()[:room]
                lines.append(x)
                room -= len(x)
                if self.rng.random() < .02:
                    break
            text += [x for x in lines[:-1] if len(x) >= 14]
            for x in mine:
                lines.insert(int(self.rng.integers(0, max(1, len(lines)))), x)
            x = np.concatenate(lines)[:chunk - 1]
            t[c, 1:1 + len(x)] = x
            see[c, 1:1 + len(x)] = True
        return t, see, text

    def batch(self, n_chunk=6, chunk=256, length=44, n_line=4):
        """One haystack and the questions about it.  mask: 0 no loss, else the number of the kind + 1."""
        planted, ask = self.questions()
        t, see, text = self.haystack(planted, n_chunk, chunk)
        rows = []
        for kind, prompt, answer in ask:
            before = list(self.line()[:20]) if self.rng.random() < .25 else []
            if before and before[-1] != self.nl:
                before.append(self.nl)
            p, whole = self.enc(prompt), self.enc(prompt + answer)
            assert whole[:len(p)] == p
            rows.append((kind, [0] + before + whole, 1 + len(before) + len(p)))
        for i in self.rng.permutation(len(text))[:n_line]:
            rows.append(("line", [0] + list(text[i][:40]), 9))
        q = np.zeros((len(rows), length), np.int64)
        mask = np.zeros((len(rows), length), np.int64)
        for r, (kind, ids, start) in enumerate(rows):
            n = min(len(ids), length)
            q[r, :n] = ids[:n]
            mask[r, start - 1:n - 1] = KINDS.index(kind) + 1      # the position that predicts
            if kind == "values":                # the names between the values are put there by the asker
                inside = False
                for i in range(start - 1, n - 1):
                    inside = ids[i + 1] == self.space or inside and ids[i] != self.nl
                    mask[r, i] *= inside
        return t, see, q, mask

    @property
    def nl(self):
        return self.tok.token_to_id("\u010a")

    @property
    def space(self):
        return self.tok.token_to_id("\u0120")


KINDS = ["value", "chain", "variable", "values", "line"]
