"""Write a checkpoint as GGUF (what folio reads) and as a Hugging Face folder (safetensors, config).

    export.py WORK CHECKPOINT OUT.gguf [HFDIR]
"""
import json
import os
import pathlib
import sys

import gguf
import numpy as np
import torch

from model import CFG
from tokens import BOS, EOS

NAMES = (("n1", "attn_norm", "input_layernorm"), ("n2", "ffn_norm", "post_attention_layernorm"),
         ("q", "attn_q", "self_attn.q_proj"), ("k", "attn_k", "self_attn.k_proj"),
         ("v", "attn_v", "self_attn.v_proj"), ("o", "attn_output", "self_attn.o_proj"),
         ("gate", "ffn_gate", "feed_forward.gate_proj"), ("up", "ffn_up", "feed_forward.up_proj"),
         ("down", "ffn_down", "feed_forward.down_proj"))


def rounded(state):
    """Matrices as the file stores them: every reader computes with the same numbers."""
    return {k: (x.half().float() if x.ndim == 2 else x) for k, x in state.items()}


def write_gguf(path, state, tokenizer):
    c = CFG
    w = gguf.GGUFWriter(str(path) + ".part", "llama4")
    w.add_name("folio-needle")
    w.add_description("A small iRoPE model that finds values, chains and lines in a library.")
    w.add_license("same as folio")
    for key, v in (("block_count", c["n_layer"]), ("context_length", 16_777_216),
                   ("embedding_length", c["d"]), ("vocab_size", c["n_vocab"]),
                   ("attention.head_count", c["n_head"]), ("attention.head_count_kv", 1),
                   ("attention.key_length", c["hd"]), ("attention.value_length", c["hd"]),
                   ("rope.dimension_count", c["hd"]), ("feed_forward_length", c["ff"]),
                   ("interleave_moe_layer_step", 0)):
        w.add_uint32(f"llama4.{key}", v)
    w.add_float32("llama4.attention.layer_norm_rms_epsilon", c["eps"])
    w.add_float32("llama4.rope.freq_base", c["theta"])
    w.add_uint32("folio.attention.chunk_size", c["chunk"])
    w.add_uint32("folio.attention.nope_interval", c["n_layer"])
    w.add_float32("folio.attention.temperature.floor", c["floor"])
    w.add_float32("folio.attention.temperature.scale", c["scale"])
    w.add_bool("folio.attention.qk_norm", True)
    data = json.loads(pathlib.Path(tokenizer).read_text())["model"]
    tokens = sorted(data["vocab"], key=data["vocab"].get)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("llama-bpe")
    w.add_token_list(tokens)
    w.add_token_types([3 if t in (BOS, EOS) else 1 for t in tokens])
    w.add_token_merges([" ".join(m) for m in data["merges"]])
    w.add_bos_token_id(tokens.index(BOS))
    w.add_eos_token_id(tokens.index(EOS))
    w.add_add_bos_token(True)
    for key, name in (("emb", "token_embd"), ("head", "output"), ("norm", "output_norm")):
        x = state[key].numpy()
        w.add_tensor(name + ".weight", x.astype("f2") if x.ndim == 2 else x.astype("f4"))
    for i in range(c["n_layer"]):
        for ours, name, _ in NAMES:
            x = state[f"layers.{i}.{ours}"].numpy()
            w.add_tensor(f"blk.{i}.{name}.weight", x.astype("f2") if x.ndim == 2 else x.astype("f4"))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    os.rename(str(path) + ".part", path)


def hf_model(state):
    import transformers as hf
    c = CFG
    config = hf.Llama4TextConfig(
        vocab_size=c["n_vocab"], hidden_size=c["d"], intermediate_size=c["ff"], intermediate_size_mlp=c["ff"],
        num_hidden_layers=c["n_layer"], num_attention_heads=c["n_head"], num_key_value_heads=1, head_dim=c["hd"],
        rms_norm_eps=c["eps"], rope_theta=c["theta"], max_position_embeddings=16_777_216, moe_layers=[],
        num_local_experts=1, num_experts_per_tok=1, attention_chunk_size=c["chunk"], floor_scale=c["floor"],
        attn_scale=c["scale"], attn_temperature_tuning=True, use_qk_norm=True, no_rope_layer_interval=c["n_layer"],
        tie_word_embeddings=False, bos_token_id=0, eos_token_id=1, pad_token_id=None,
        attn_implementation="eager")
    m = hf.Llama4ForCausalLM(config).float().eval()
    named = {"model.embed_tokens.weight": state["emb"], "lm_head.weight": state["head"],
             "model.norm.weight": state["norm"]}
    for i in range(c["n_layer"]):
        for ours, _, theirs in NAMES:
            named[f"model.layers.{i}.{theirs}.weight"] = state[f"layers.{i}.{ours}"]
    m.load_state_dict(named)
    return m


if __name__ == "__main__":
    work = pathlib.Path(sys.argv[1])
    state = rounded(torch.load(sys.argv[2], weights_only=True)["state"])
    write_gguf(pathlib.Path(sys.argv[3]), state, work / "tokenizer.json")
    if len(sys.argv) > 4:
        hf_model(state).save_pretrained(sys.argv[4])
