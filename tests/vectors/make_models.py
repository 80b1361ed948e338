#!/usr/bin/env python3
"""Make model/: tiny random models as GGUF, and the logits Hugging Face transformers gives for them.

Needs torch, transformers (2.5.1 and 4.57.1 were used), numpy and gguf (0.19.0).  README.md says what
the files hold.  Everything runs in float32 with eager attention; weights are rounded to the type the
file stores before anything is computed, so both sides see the same numbers.

Every model is checked to be worth having: for each trait it is there for, the script turns that trait
off and demands logits that differ by far more than any tolerance.
"""
import json
import pathlib
import sys

import gguf
import numpy as np
import torch
import transformers as hf
from gguf.quants import dequantize, quantize

torch.manual_seed(0)
torch.set_num_threads(1)
OUT = pathlib.Path(__file__).with_name("model")
QUANT = {name: gguf.GGMLQuantizationType[name] for name in ("Q8_0", "BF16")}
N_POS = 128

BASE = dict(vocab_size=96, hidden_size=48, intermediate_size=40, num_hidden_layers=4,
            num_attention_heads=4, num_key_value_heads=2, head_dim=16, rms_norm_eps=1e-5,
            rope_theta=10000.0, max_position_embeddings=4096, tie_word_embeddings=False,
            bos_token_id=None, eos_token_id=None, pad_token_id=None)
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=64)

# name: (class, config over BASE, storage type, traits to turn off)
MODELS = {
    # 5 layers: RoPE x3, NoPE, RoPE.  128 positions are 8 chunks and 16 temperature steps.
    "llama4-moe": ("Llama4", dict(
        num_hidden_layers=5, num_key_value_heads=1, intermediate_size=24, num_local_experts=4,
        attention_chunk_size=16, floor_scale=8, use_qk_norm=True),
        "F16", dict(chunk=dict(attention_chunk_size=32), floor=dict(floor_scale=16),
                    temperature=dict(attn_temperature_tuning=False), qk_norm=dict(use_qk_norm=False))),
    "llama4-interleave": ("Llama4", dict(
        hidden_size=40, num_attention_heads=5, num_key_value_heads=1, intermediate_size=24,
        intermediate_size_mlp=64, num_local_experts=4, interleave_moe_layer_step=2,
        attention_chunk_size=32, floor_scale=8, use_qk_norm=False, vocab_size=101),
        "F16", dict(chunk=dict(attention_chunk_size=64), qk_norm=dict(use_qk_norm=True))),
    # No folio.* key at all: chunk 8192, floor 8192, no QK-norm because of the 128 experts.
    "llama4-128e": ("Llama4", dict(
        hidden_size=32, intermediate_size=4, intermediate_size_mlp=32, num_local_experts=128,
        interleave_moe_layer_step=2, use_qk_norm=False, attention_chunk_size=8192,
        floor_scale=8192), "F16", dict(qk_norm=dict(use_qk_norm=True))),
    "llama4-gqa1-rope": ("Llama4", dict(
        hidden_size=32, num_attention_heads=3, num_key_value_heads=3, intermediate_size=32,
        num_local_experts=4, attention_chunk_size=48, floor_scale=16, attn_scale=0.25,
        use_qk_norm=True, rope_scaling=LLAMA3, num_hidden_layers=4),
        "F16", dict(scaling=dict(rope_scaling=None), attn_scale=dict(attn_scale=0.1))),
    # Two experts a token, NoPE every second layer, a chunk that is no power of two, no temperature.
    "llama4-top2": ("Llama4", dict(
        num_key_value_heads=2, intermediate_size=24, num_local_experts=6, num_experts_per_tok=2,
        no_rope_layer_interval=2, attention_chunk_size=24, attn_temperature_tuning=False,
        use_qk_norm=True), "F16",
        dict(top2=dict(num_experts_per_tok=1), temperature=dict(attn_temperature_tuning=True,
                                                                floor_scale=8),
             chunk=dict(attention_chunk_size=8192))),
    "llama-tied": ("Llama", dict(
        hidden_size=32, tie_word_embeddings=True, intermediate_size=56, rope_theta=500000.0), "F32", {}),
    "llama-rope-q8": ("Llama", dict(
        hidden_size=64, intermediate_size=96, num_key_value_heads=1, rope_scaling=LLAMA3),
        "Q8_0", dict(scaling=dict(rope_scaling=None))),
    "qwen2-tied": ("Qwen2", dict(
        hidden_size=64, tie_word_embeddings=True, intermediate_size=72, rms_norm_eps=1e-6,
        num_hidden_layers=3), "F16", {}),
    "qwen2-untied": ("Qwen2", dict(
        hidden_size=96, num_attention_heads=6, num_key_value_heads=1, intermediate_size=64,
        rms_norm_eps=1e-6, num_hidden_layers=3), "Q8_0", {}),
    "qwen3": ("Qwen3", dict(
        intermediate_size=72, num_attention_heads=5, num_key_value_heads=1, rms_norm_eps=1e-6,
        tie_word_embeddings=True), "BF16", {}),
    "smollm3": ("SmolLM3", dict(
        hidden_size=48, tie_word_embeddings=True, intermediate_size=64, num_hidden_layers=5,
        rms_norm_eps=1e-6, num_key_value_heads=4), "F16", dict(nope=dict(no_rope_layers=[1] * 5))),
}
CLASSES = {"Llama4": (hf.Llama4TextConfig, hf.Llama4ForCausalLM, "llama4"),
           "Llama": (hf.LlamaConfig, hf.LlamaForCausalLM, "llama"),
           "Qwen2": (hf.Qwen2Config, hf.Qwen2ForCausalLM, "qwen2"),
           "Qwen3": (hf.Qwen3Config, hf.Qwen3ForCausalLM, "qwen3"),
           "SmolLM3": (hf.SmolLM3Config, hf.SmolLM3ForCausalLM, "smollm3")}
PERMUTED = ("llama", "smollm3")     # q and k rows are re-ordered for interleaved pairs


def config_of(kind, over):
    d = {**BASE, **over}
    if kind == "Qwen2":
        assert d["head_dim"] * d["num_attention_heads"] == d["hidden_size"]
        d.pop("head_dim")
    if kind == "SmolLM3":
        d.pop("head_dim")
        d.setdefault("no_rope_layers", None)
    return CLASSES[kind][0](**d, attn_implementation="eager")


def build(kind, over, state=None):
    model = CLASSES[kind][1](config_of(kind, over)).float().eval()
    if state:
        model.load_state_dict(state)
    return model


def random_state(model, store, rng):
    """Weights large enough that attention picks, the router decides and the argmax moves."""
    state = {}
    for name, p in model.state_dict().items():
        shape = tuple(p.shape)
        if len(shape) == 1:
            base = 0.0 if name.endswith("bias") else 1.0
            state[name] = torch.from_numpy((base + 0.3 * rng.standard_normal(shape)).astype("f4"))
            continue
        fan_in = shape[-2] if ".experts." in name else shape[-1]
        gain = 1.0
        if "q_proj" in name or "k_proj" in name:
            gain = 1.6
        elif "router" in name or "embed" in name or "lm_head" in name:
            gain = 2.0
        elif "down_proj" in name or "o_proj" in name:
            gain = 1.5
        w = (rng.standard_normal(shape) * gain / np.sqrt(fan_in)).astype("f4")
        if "router" not in name:
            if store == "F16":
                w = w.astype("f2").astype("f4")
            elif store in QUANT:
                w = dequantize(quantize(w, QUANT[store]), QUANT[store]).reshape(shape)
        state[name] = torch.from_numpy(w)
    if model.config.tie_word_embeddings:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    return state


def logits_of(model, tokens):
    with torch.no_grad():
        return model(torch.tensor(tokens[None], dtype=torch.long)).logits[0].numpy()


def smallest_gap(model, tokens):
    """How far the last chosen expert is from the first one not chosen: no rounding may flip it."""
    gaps, hooks = [], []
    for m in model.modules():
        if type(m).__name__ == "Llama4Router":
            hooks.append(m.register_forward_hook(
                lambda mod, args, out: gaps.append(
                    np.diff(-np.sort(-out[1].numpy(), axis=-1)[:, mod.top_k - 1:mod.top_k + 1]))))
    logits_of(model, tokens)
    for h in hooks:
        h.remove()
    return min((np.abs(g).min() for g in gaps), default=1.0)


def permute(w, n_head):
    return w.reshape(n_head, 2, w.shape[0] // n_head // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def rope_ratios(c, head_dim):
    """f / f' of every pair, the way GGUF carries llama3 scaling."""
    s = c.rope_scaling
    freq = c.rope_theta ** (-np.arange(0, head_dim, 2) / head_dim)
    wave = 2 * np.pi / freq
    length, lo, hi = s["original_max_position_embeddings"], s["low_freq_factor"], s["high_freq_factor"]
    t = np.clip((length / wave - lo) / (hi - lo), 0, 1)
    return (1 / ((1 - t) / s["factor"] + t)).astype("f4")


NAMES = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
         "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
         "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
         "self_attn.k_norm": "attn_k_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
         "mlp.down_proj": "ffn_down", "feed_forward.gate_proj": "ffn_gate",
         "feed_forward.up_proj": "ffn_up", "feed_forward.down_proj": "ffn_down",
         "feed_forward.router": "ffn_gate_inp",
         "feed_forward.shared_expert.gate_proj": "ffn_gate_shexp",
         "feed_forward.shared_expert.up_proj": "ffn_up_shexp",
         "feed_forward.shared_expert.down_proj": "ffn_down_shexp"}


def tensors_of(state, c, arch):
    for name, p in state.items():
        w = p.numpy()
        if name == "lm_head.weight":
            if not c.tie_word_embeddings:
                yield "output.weight", w
            continue
        if name == "model.embed_tokens.weight":
            yield "token_embd.weight", w
            continue
        if name == "model.norm.weight":
            yield "output_norm.weight", w
            continue
        _, _, layer, rest = name.split(".", 3)
        blk = f"blk.{layer}."
        if rest.endswith("experts.gate_up_proj"):
            f = w.shape[2] // 2
            yield blk + "ffn_gate_exps.weight", w[:, :, :f].transpose(0, 2, 1)
            yield blk + "ffn_up_exps.weight", w[:, :, f:].transpose(0, 2, 1)
            continue
        if rest.endswith("experts.down_proj"):
            yield blk + "ffn_down_exps.weight", w.transpose(0, 2, 1)
            continue
        stem, kind = rest.rsplit(".", 1)
        if arch in PERMUTED and stem.endswith(("q_proj", "k_proj")):
            w = permute(w, c.num_attention_heads if "q_proj" in stem else c.num_key_value_heads)
        yield blk + NAMES[stem] + "." + kind, w


def write_gguf(path, kind, name, c, over, state, store):
    arch = CLASSES[kind][2]
    w = gguf.GGUFWriter(path, arch)
    head_dim = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
    w.add_name(name)
    for key, v in (("block_count", c.num_hidden_layers), ("context_length", c.max_position_embeddings),
                   ("embedding_length", c.hidden_size), ("vocab_size", c.vocab_size),
                   ("attention.head_count", c.num_attention_heads),
                   ("attention.head_count_kv", c.num_key_value_heads),
                   ("attention.key_length", head_dim), ("attention.value_length", head_dim),
                   ("rope.dimension_count", head_dim)):
        w.add_uint32(f"{arch}.{key}", v)
    w.add_float32(f"{arch}.attention.layer_norm_rms_epsilon", c.rms_norm_eps)
    w.add_float32(f"{arch}.rope.freq_base", c.rope_theta)
    if kind == "Llama4":
        w.add_uint32("llama4.feed_forward_length", c.intermediate_size_mlp)
        w.add_uint32("llama4.expert_feed_forward_length", c.intermediate_size)
        w.add_uint32("llama4.expert_count", c.num_local_experts)
        w.add_uint32("llama4.expert_used_count", c.num_experts_per_tok)
        w.add_uint32("llama4.interleave_moe_layer_step", c.interleave_moe_layer_step)
        if c.attention_chunk_size != 8192:
            w.add_uint32("folio.attention.chunk_size", c.attention_chunk_size)
            w.add_uint32("folio.attention.nope_interval", over.get("no_rope_layer_interval", 4))
            w.add_float32("folio.attention.temperature.floor", c.floor_scale)
            w.add_float32("folio.attention.temperature.scale",
                          c.attn_scale if c.attn_temperature_tuning else 0.0)
            w.add_bool("folio.attention.qk_norm", c.use_qk_norm)
    else:
        w.add_uint32(f"{arch}.feed_forward_length", c.intermediate_size)
    if c.rope_scaling:
        ratios = rope_ratios(c, head_dim)
        theirs = hf.modeling_rope_utils.ROPE_INIT_FUNCTIONS["llama3"](c, "cpu")[0].numpy()
        assert np.allclose(c.rope_theta ** (-np.arange(0, head_dim, 2) / head_dim) / ratios, theirs,
                           rtol=1e-6)
        w.add_tensor("rope_freqs.weight", ratios)
    for tensor, data in tensors_of(state, c, arch):
        data = np.ascontiguousarray(data)
        if data.ndim == 1 or "ffn_gate_inp" in tensor or store == "F32":
            w.add_tensor(tensor, data.astype("f4"))
        elif store in QUANT:
            w.add_tensor(tensor, quantize(data, QUANT[store]), raw_dtype=QUANT[store])
        else:
            w.add_tensor(tensor, data.astype("f2"))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def make(name):
    kind, over, store, traits = MODELS[name]
    over = dict(over)
    if kind == "Llama4":
        over.setdefault("intermediate_size_mlp", 64)
    for seed in range(20):
        rng = np.random.default_rng([seed, *name.encode()])
        model = build(kind, over)
        state = random_state(model, store, rng)
        model.load_state_dict(state)
        tokens = rng.integers(0, model.config.vocab_size, N_POS).astype("<i4")
        gap = smallest_gap(model, tokens)
        if gap > 1e-3:
            break
    else:
        sys.exit(f"{name}: no seed without a near tie in the router")
    logits = logits_of(model, tokens)
    tops = len(set(logits.argmax(-1).tolist()))
    assert np.isfinite(logits).all() and tops > 20, (name, tops)
    report = {"router_gap": round(float(gap), 5), "logit_std": round(float(logits.std()), 2),
              "distinct_argmax": tops}
    for trait, change in traits.items():
        other = build(kind, {**over, **change}, state)
        diff = np.abs(logits_of(other, tokens) - logits)
        report["without " + trait] = [int(np.argmax(diff.max(-1) > 1e-3)), round(float(diff.max()), 2)]
        assert diff.max() > 0.1, (name, trait, diff.max())
    write_gguf(OUT / f"{name}.gguf", kind, name, model.config, over, state, store)
    (OUT / f"{name}.tokens").write_bytes(tokens.tobytes())
    (OUT / f"{name}.logits").write_bytes(logits.astype("<f4").tobytes())
    print(name, (OUT / f"{name}.gguf").stat().st_size, json.dumps(report))


OUT.mkdir(exist_ok=True)
for model_name in sys.argv[1:] or MODELS:
    make(model_name)
