"""The model: Llama 4's text architecture, dense, small.  Three near layers, then one far layer.

What runs here is what Hugging Face's Llama4ForCausalLM and folio run on the same weights; export.py
proves it.  wire() is the construction that training starts from: README.md says what it does.
"""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

CFG = dict(n_vocab=2048, d=224, n_layer=4, n_head=4, hd=128, ff=224, chunk=256, theta=10000.0, eps=1e-5,
           floor=8192.0, scale=0.1)
CODE = 10                   # values of a token's code; a slot holds one
REST = 53                   # further values that tell tokens apart when one is read out
N_SLOT = 12                 # tokens looked back
EM = 1                      # values 1..63: the token itself, code first
SLOT = EM + CODE + REST     # values 64..183: codes of the tokens 1..12 back
FREE = SLOT + N_SLOT * CODE


def rms(x, w=None, eps=CFG["eps"]):
    y = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)
    return y if w is None else y * w


def rope_table(n, c=CFG):
    f = c["theta"] ** (-torch.arange(0, c["hd"], 2).float() / c["hd"])
    a = torch.arange(n).float()[:, None] * f
    return a.cos(), a.sin()


def rope(x, table):
    """Rotate pairs (2m, 2m + 1) of x [..., T, hd]."""
    cos, sin = table[0][:x.shape[-2]], table[1][:x.shape[-2]]
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)


class Layer(nn.Module):
    def __init__(self, c=CFG):
        super().__init__()
        d, nq, hd, ff = c["d"], c["n_head"] * c["hd"], c["hd"], c["ff"]
        self.n1, self.n2 = nn.Parameter(torch.ones(d)), nn.Parameter(torch.ones(d))
        for name, n_out, n_in, std in (("q", nq, d, d ** -.5), ("k", hd, d, d ** -.5), ("v", hd, d, d ** -.5),
                                       ("o", d, nq, .3 * nq ** -.5), ("gate", ff, d, d ** -.5),
                                       ("up", ff, d, d ** -.5), ("down", d, ff, .05 * ff ** -.5)):
            setattr(self, name, nn.Parameter(torch.randn(n_out, n_in) * std))

    def ffn(self, x):
        h = rms(x, self.n2)
        return x + (F.silu(h @ self.gate.T) * (h @ self.up.T)) @ self.down.T

    def near(self, x, table):
        """x [B, T, d], each row a chunk."""
        B, T, _ = x.shape
        h = rms(x, self.n1)
        q = rms(rope((h @ self.q.T).view(B, T, CFG["n_head"], -1).transpose(1, 2), table))
        k = rms(rope(h @ self.k.T, table))[:, None].expand(-1, CFG["n_head"], -1, -1)
        v = (h @ self.v.T)[:, None].expand(-1, CFG["n_head"], -1, -1)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.ffn(x + y.transpose(1, 2).reshape(B, T, -1) @ self.o.T)


class Model(nn.Module):
    def __init__(self, c=CFG):
        super().__init__()
        self.emb = nn.Parameter(torch.randn(c["n_vocab"], c["d"]) * .02)
        self.head = nn.Parameter(torch.randn(c["n_vocab"], c["d"]) * .02)
        self.layers = nn.ModuleList(Layer(c) for _ in range(c["n_layer"]))
        self.norm = nn.Parameter(torch.ones(c["d"]))
        self.table = rope_table(c["chunk"], c)

    def near(self, t):
        """[B, T] tokens, each row a chunk -> what the far layer reads."""
        x = self.emb[t]
        for l in self.layers[:-1]:
            x = l.near(x, self.table)
        return x

    def keys(self, x):
        h = rms(x, self.layers[-1].n1)
        return h @ self.layers[-1].k.T, h @ self.layers[-1].v.T

    def far(self, x, row, pos, k, v, scale):
        """Logits [n] at positions pos of the sequences x[row] (x is [B, T, d]): attention over the sequence up
        to there, and over k, v [N, hd], whose positions mean nothing."""
        l, H, hd = self.layers[-1], CFG["n_head"], CFG["hd"]
        n, T = len(row), x.shape[1]
        xs = x[row, pos]
        q = (rms(xs, l.n1) @ l.q.T).view(n, H, hd) * (scale * hd ** -.5)
        ok, ov = self.keys(x)
        near = torch.bmm(q, ok[row].transpose(1, 2))
        near = near.masked_fill((torch.arange(T)[None] > pos[:, None])[:, None], -1e9)
        w = torch.cat([near, (q.reshape(-1, hd) @ k.T).view(n, H, -1)], -1).softmax(-1)
        y = torch.bmm(w[..., :T], ov[row]) + (w[..., T:].reshape(n * H, -1) @ v).view(n, H, hd)
        x = l.ffn(xs + y.reshape(n, H * hd) @ l.o.T)
        return rms(x, self.norm) @ self.head.T


def temperature(n, c=CFG):
    """Llama 4's law for the query that stands after n tokens."""
    return 1 + c["scale"] * math.log1p(math.floor((n + 1) / c["floor"]))


def sharpest(c=CFG):
    """Shares of RoPE's frequencies that make a head's look at one offset as sharp as can be: the least
    gap between the score there and at any other distance is maximised."""
    f = c["theta"] ** (-torch.arange(0, c["hd"], 2).float() / c["hd"])
    gap = 1 - torch.cos(torch.arange(1, c["chunk"])[:, None] * f)       # [distance, frequency]
    z = (-torch.arange(c["hd"] // 2) / 8.0).requires_grad_()
    opt = torch.optim.Adam([z], lr=.05)
    for _ in range(600):
        opt.zero_grad()
        (torch.logsumexp(-11.3 * gap @ z.softmax(0), 0)).backward()
        opt.step()
    return z.softmax(0).detach()


def spread(n, d, steps=300):
    """n unit vectors of d values, pushed apart."""
    x = F.normalize(torch.randn(n, d), dim=1).requires_grad_()
    opt = torch.optim.Adam([x], lr=.02)
    for _ in range(steps):
        opt.zero_grad()
        y = F.normalize(x, dim=1)
        g = (y @ y.T).fill_diagonal_(-1)
        torch.exp(16 * (g - .6)).mean().backward()
        opt.step()
    return F.normalize(x.detach(), dim=1)


@torch.no_grad()
def wire(m, common, nats=4.0):
    """Construct retrieval.  common: ids of tokens that are everywhere and tell little; half a code."""
    c = CFG
    with torch.enable_grad():
        share, code, rest = sharpest(), spread(c["n_vocab"], CODE), spread(c["n_vocab"], REST, 100)
    A, R = CODE ** .5, REST ** .5
    code = code * A
    code[common] *= .5
    code[0] = 0                                     # BOS
    m.emb[:, 0] = 2
    m.emb[:, EM:EM + CODE], m.emb[:, EM + CODE:SLOT], m.emb[:, SLOT:FREE] = code, rest * R, 0
    norm2 = 4 + CODE + REST                         # of what the first layer reads
    amp = (128 * share).sqrt()
    freq = c["theta"] ** (-torch.arange(0, c["hd"], 2).float() / c["hd"])

    def look(l, head, off):
        rows = slice(head * c["hd"], (head + 1) * c["hd"])
        l.q[rows] = 0
        l.q[rows.start:rows.stop:2, 0] = amp * torch.cos(freq * off)
        l.q[rows.start + 1:rows.stop:2, 0] = -amp * torch.sin(freq * off)

    slot = lambda n: SLOT + CODE * (n - 1)
    plan = (({0: 1, 1: 2, 2: 3, 3: 4}, 0), ({0: 4}, 4), ({0: 8}, 8))
    for l, (heads, have) in zip(m.layers, plan):
        gain = (norm2 / c["d"]) ** .5
        l.k.zero_()
        l.k[0::2, 0] = amp
        l.v.mul_(.05)
        l.o.mul_(.05)
        copied = min(have, N_SLOT - have) if have else 0
        for i in range(CODE * copied):
            l.v[i] = 0
            l.v[i, SLOT + i] = 1
        if not have:
            for i in range(CODE):
                l.v[i] = 0
                l.v[i, EM + i] = 1
        else:                                       # the token itself, for heads that training finds a use for
            for i in range(min(CODE + REST, c["hd"] - CODE * copied)):
                l.v[CODE * copied + i] = 0
                l.v[CODE * copied + i, EM + i] = 1
        for h in range(c["n_head"]):                # spare heads look 1 to 3 back; nothing reads them yet
            if h not in heads:
                look(l, h, 4 - h)
        for h, off in heads.items():
            look(l, h, off)
            l.o[:, h * c["hd"]:(h + 1) * c["hd"]] = 0
            for n in range(copied or 1):
                for i in range(CODE):
                    l.o[slot(off + n + (1 if have else 0)) + i, h * c["hd"] + CODE * n + i] = gain
        norm2 += CODE * (copied or 4)
    g = m.layers[-1]
    b = math.sqrt(nats * c["hd"] ** .5 * (norm2 / c["d"]) / CODE)
    for w in (g.q, g.k, g.v, g.o):
        w.mul_(.05)
    for n in range(N_SLOT):
        for i in range(CODE):
            g.k[n * CODE + i] = 0
            g.k[n * CODE + i, slot(n + 1) + i] = b
            for h in range(c["n_head"]):
                row = h * c["hd"] + n * CODE + i
                g.q[row] = 0
                g.q[row, (EM if n == 0 else slot(n)) + i] = b
    gain = (norm2 / c["d"]) ** .5
    for i in range(CODE + REST):
        g.v[i] = 0
        g.v[i, EM + i] = 1
        for h in range(c["n_head"]):
            g.o[EM + i, h * c["hd"] + i] = gain
    m.head[:, EM:SLOT] = m.emb[:, EM:SLOT] * .09
    return m
