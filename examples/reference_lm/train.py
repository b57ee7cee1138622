"""Train the reference language model: a small Llama on Python's standard library source.

    python corpus.py fetch --out build/corpus
    python train.py --corpus build/corpus --work build/reference_lm --out model

Resumable: kill it and run the same line again. Every random choice is a function of the seed and the step.
On two CPU cores 60 M tokens take about 65 to 120 minutes.
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from pathlib import Path

import numpy as np
import torch
from corpus import read_split
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

VOCABULARY = 2048
BOUNDARY = "<|file|>"
WINDOW = 256
BATCH = 32
TOKENS = 64_000_000
STEPS = TOKENS // (WINDOW * BATCH)
PEAK_RATE = 3e-3
WARMUP_STEPS = 200
SAVE_EVERY = 200
SEED = 20261120


def model_config() -> LlamaConfig:
    """Return the architecture: 4.5 M parameters, every width a multiple of 128."""
    return LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=256, intermediate_size=768, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=4, max_position_embeddings=1024, tie_word_embeddings=False, bos_token_id=0, eos_token_id=0,
    )


def train_tokenizer(texts: list[str]) -> Tokenizer:
    """Return a byte-level BPE tokenizer of `VOCABULARY` entries; entry 0 marks the start of a file."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=[BOUNDARY], initial_alphabet=alphabet)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def prepare_tokens(corpus: Path, work: Path) -> np.ndarray:
    """Return the training stream as uint16 [tokens], tokenizing once and keeping the result in `work`."""
    saved, vocabulary = work / "tokens.npy", work / "tokenizer.json"
    if not saved.exists():
        texts = read_split(corpus, "train")
        tokenizer = train_tokenizer(texts)
        tokenizer.save(str(vocabulary))
        stream = [np.array([0, *encoding.ids], np.uint16) for encoding in tokenizer.encode_batch(texts)]
        np.save(work / "partial.npy", np.concatenate(stream))
        (work / "partial.npy").replace(saved)
    return np.load(saved)


def batch_at(tokens: np.ndarray, step: int) -> torch.Tensor:
    """Return the windows of one step, int64 [BATCH, WINDOW]; random offsets drawn from the seed and the step."""
    offsets = np.random.default_rng((SEED, step)).integers(0, len(tokens) - WINDOW, BATCH)
    return torch.from_numpy(np.stack([tokens[o : o + WINDOW] for o in offsets]).astype(np.int64))


def rate_at(step: int) -> float:
    """Return the learning rate: linear warm-up, then a half cosine to one hundredth of the peak."""
    if step < WARMUP_STEPS:
        return PEAK_RATE * (step + 1) / WARMUP_STEPS
    progress = (step - WARMUP_STEPS) / (STEPS - WARMUP_STEPS)
    return PEAK_RATE * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def make_optimizer(model: torch.nn.Module) -> torch.optim.AdamW:
    """Return AdamW with weight decay on matrices only."""
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=PEAK_RATE, betas=(0.9, 0.95), fused=True)


def save_state(path: Path, step: int, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Write model and optimizer under a temporary name, then rename."""
    partial = path.with_suffix(".partial")
    torch.save({"step": step, "model": model.state_dict(), "optimizer": optimizer.state_dict()}, partial)
    partial.replace(path)


def train(tokens: np.ndarray, work: Path, device: str, compiled: bool) -> LlamaForCausalLM:
    """Return the trained model, resuming from `work/state.pt` where one is."""
    torch.manual_seed(SEED)
    model = LlamaForCausalLM(model_config()).to(device)
    optimizer, first, state = make_optimizer(model), 0, work / "state.pt"
    if state.exists():
        saved = torch.load(state, map_location=device)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        first = saved["step"]
    forward = torch.compile(model) if compiled else model
    started, losses = time.monotonic(), []
    for step in range(first, STEPS):
        losses.append(train_step(forward, model, optimizer, batch_at(tokens, step).to(device), rate_at(step)))
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == STEPS:
            save_state(state, step + 1, model, optimizer)
            speed = (step + 1 - first) * BATCH * WINDOW / (time.monotonic() - started)
            log_progress(work / "log.csv", step + 1, float(np.mean(losses)), speed)
            losses = []
    return model


def train_step(
    forward: torch.nn.Module, model: torch.nn.Module, optimizer: torch.optim.Optimizer, batch: torch.Tensor, rate: float
) -> float:
    """Take one optimizer step on `batch` and return its loss in nats per token."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    with torch.autocast(batch.device.type, dtype=torch.bfloat16):
        loss = forward(input_ids=batch, labels=batch).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return float(loss.detach())


def log_progress(path: Path, step: int, loss: float, speed: float) -> None:
    """Append one line to the training log and show it."""
    is_new = not path.exists()
    with path.open("a", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        if is_new:
            writer.writerow(["step", "tokens", "loss_nats", "tokens_per_s"])
        writer.writerow([step, step * BATCH * WINDOW, f"{loss:.4f}", f"{speed:.0f}"])
    remaining = (STEPS - step) * BATCH * WINDOW / speed
    print(f"step {step}/{STEPS}  loss {loss:.4f}  {speed:.0f} tokens/s  {remaining / 60:.0f} min left", flush=True)


def export(model: LlamaForCausalLM, work: Path, out: Path) -> None:
    """Write the bf16 checkpoint and the tokenizer as a Hugging Face model folder."""
    model.to(torch.bfloat16).save_pretrained(out)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(work / "tokenizer.json"), bos_token=BOUNDARY, eos_token=BOUNDARY, model_max_length=1024
    )
    tokenizer.save_pretrained(out)


def main() -> None:
    """Parse the command line, train, and write the model folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, default=Path("build/corpus"))
    parser.add_argument("--work", type=Path, default=Path("build/reference_lm"))
    parser.add_argument("--out", type=Path, default=Path("model"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compile", action="store_true", help="torch.compile: about a third faster, needs a compiler")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    tokens = prepare_tokens(arguments.corpus, arguments.work)
    print(f"{len(tokens)} training tokens, {STEPS} steps of {BATCH} x {WINDOW}", flush=True)
    export(train(tokens, arguments.work, arguments.device, arguments.compile), arguments.work, arguments.out)


if __name__ == "__main__":
    main()
