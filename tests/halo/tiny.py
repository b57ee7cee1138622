"""Tiny random language models of two architectures, saved as Hugging Face folders, and texts to run them on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, OPTConfig, OPTForCausalLM, PreTrainedTokenizerFast

from halo.model import quiet_transformers

VOCABULARY, HIDDEN, INNER, BLOCKS = 300, 48, 80, 2
ARCHITECTURES = ("llama", "opt")


def text_of(words: int, seed: int = 0) -> str:
    """Made-up prose with skewed word frequencies."""
    rng = np.random.default_rng(seed)
    picks = rng.zipf(1.5, words) % 60
    return " ".join(f"word{pick}" if pick % 7 else f"word{pick}.\n" for pick in picks)


def make_model(kind: str) -> torch.nn.Module:
    """A model whose widths fit no tile size exactly."""
    with quiet_transformers(), torch.random.fork_rng():
        torch.manual_seed(7)
        if kind == "llama":
            return LlamaForCausalLM(LlamaConfig(
                vocab_size=VOCABULARY, hidden_size=HIDDEN, intermediate_size=INNER, num_hidden_layers=BLOCKS,
                num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=False,
                initializer_range=0.15)).eval()
        return OPTForCausalLM(OPTConfig(
            vocab_size=VOCABULARY, hidden_size=HIDDEN, ffn_dim=INNER, num_hidden_layers=BLOCKS, num_attention_heads=4,
            max_position_embeddings=64, word_embed_proj_dim=HIDDEN, init_std=0.15)).eval()


def save_model(folder: Path, kind: str, **options: object) -> Path:
    """Write a bf16 model folder with a byte-level tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=["<s>"], show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([text_of(2000)], trainer)
    with quiet_transformers():
        make_model(kind).to(torch.bfloat16).save_pretrained(folder, **options)
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="<s>").save_pretrained(folder)
    return folder
