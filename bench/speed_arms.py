"""One arm of `train_speed.py`: a way of training, run in a process of its own on the rows that all arms share."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

if "--arm=unsloth" in sys.argv:  # it patches transformers and TRL as it is imported: before both
    # UNSLOTH_SITE may name a folder of packages for this arm alone: it wants another TRL than the newest.
    sys.path[:0] = [folder for folder in [os.environ.get("UNSLOTH_SITE", "")] if folder]
    import unsloth  # noqa: F401

import torch

from medverdict.model.lora import add_lora
from medverdict.model.precision import Placement, Precision
from medverdict.model.prompt import Encoder, Example
from medverdict.model.verifier import Verifier, end_token
from medverdict.recipes.recipe import load_recipe
from medverdict.train.fast import FastEngine, Switches
from medverdict.train.plain import PlainEngine
from medverdict.train.run import make_deterministic

PREFIX = 20
ROWS_A_STEP = 16
FULL_RUN_ROWS = 463_431
LIBRARIES = ("published", "free", "trl", "trl-padded", "unsloth")
LADDER = ("pack", "whole_step", "prefix", "last_layer", "fused", "flat", "graph")
OURS = ("plain", "body", *(f"+{name}" for name in LADDER))
LEFT_OUT = tuple(f"-{name}" for name in ("pack", "prefix", "last_layer", "fused"))
VARIANTS = ("fast-dropout0", "fast-free", "plain-fp16", "fast-fp16")
ARMS = (*LIBRARIES, *OURS, *LEFT_OUT, *VARIANTS)
SUSTAINED = {"+graph": 1500, "fast-fp16": 63}
"""Steps on rows never seen that follow the rounds of an arm; 63 steps are 1,008 prompts."""
T4_GIB = 15
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj"]
DTYPES: dict[Precision, str] = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


# ---- model and rows -------------------------------------------------------------------------------------------


def make_config(options: argparse.Namespace) -> Any:
    """Qwen2.5-0.5B with its whole vocabulary, a tiny one, or the base that was named."""
    from transformers import AutoConfig, Qwen2Config

    if options.base:
        return AutoConfig.from_pretrained(options.base, attn_implementation="sdpa")
    sizes = dict(vocab_size=151_936, hidden_size=896, intermediate_size=4864, num_hidden_layers=options.layers)
    heads = dict(num_attention_heads=14, num_key_value_heads=2)
    if options.tiny:
        sizes = dict(vocab_size=512, hidden_size=32, intermediate_size=64, num_hidden_layers=2)
        heads = dict(num_attention_heads=4, num_key_value_heads=2)
    return Qwen2Config(
        **sizes, **heads, tie_word_embeddings=True, max_position_embeddings=1024, bos_token_id=0, eos_token_id=1,
        pad_token_id=1, rope_parameters={"rope_type": "default", "rope_theta": 1_000_000.0},
        attn_implementation="sdpa",
    )  # fmt: skip


def make_model(options: argparse.Namespace, precision: Precision) -> Any:
    """Random weights, or those of the base that was named."""
    from transformers import AutoModelForCausalLM, Qwen2ForCausalLM

    dtype = getattr(torch, DTYPES[precision])
    if options.base:
        return AutoModelForCausalLM.from_pretrained(
            options.base, dtype=dtype, attn_implementation="sdpa", local_files_only=True
        ).to(options.device)
    torch.manual_seed(0)
    with torch.device(options.device):
        return Qwen2ForCausalLM(make_config(options)).to(dtype)


def make_recipe(options: argparse.Namespace, dropout: float) -> Any:
    """v5-optimized, adapted to the model's size."""
    return load_recipe("v5-optimized", [f"lora_rank={rank(options)}", f"lora_dropout={dropout}"])


def rank(options: argparse.Namespace) -> int:
    """Of the adapters."""
    return 4 if options.tiny else 64


def make_rows(count: int, options: argparse.Namespace) -> list[list[int]]:
    """Token rows: random, sized like the templated data's (20 constant tokens, about 28 own, one answer); or real.

    With a base they are this project's training claims in the recipe's prompt, over and over.
    """
    import numpy as np

    if options.base:
        return real_rows(count, options)
    rng = np.random.default_rng(0)
    vocabulary = make_config(options).vocab_size
    prefix = rng.integers(0, vocabulary, PREFIX).tolist()
    own = np.clip(np.exp(rng.normal(np.log(26), 0.385, count)), 10, 120).round().astype(int)
    answers = rng.choice([8214 % vocabulary, 7833 % vocabulary], count)
    return [prefix + rng.integers(0, vocabulary, n).tolist() + [int(a)] for n, a in zip(own, answers, strict=True)]


def real_rows(count: int, options: argparse.Namespace) -> list[list[int]]:
    """Claims that are not held out, shuffled by a fixed seed."""
    import random

    from tokenizers import Tokenizer

    import medverdict

    config = argparse.Namespace(config=make_config(options))
    tokenizer = Tokenizer.from_file(str(Path(options.base) / "tokenizer.json"))
    encoder = Encoder(tokenizer, make_recipe(options, 0.0), end_token(config))  # type: ignore[arg-type]
    files = sorted((Path(medverdict.__file__).parent / "claims").glob("[0-9]*.jsonl"))
    claims = [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    random.Random(0).shuffle(claims)
    wanted = [claims[n % len(claims)] for n in range(count)]
    return [list(encoder.example(claim["claim"], claim["label"]).ids) for claim in wanted]


def make_examples(count: int, options: argparse.Namespace) -> list[Example]:
    """The same rows as our engines take them."""
    return [Example(tuple(row), 1) for row in make_rows(count, options)]


def make_verifier(options: argparse.Namespace, precision: Precision, recipe: Any) -> Verifier:
    """Model and adapters; there is no encoder, because rows are token ids already."""
    model = make_model(options, precision)
    add_lora(model, recipe)
    encoder: Any = None
    return Verifier(model, encoder, Placement(torch.device(options.device), precision), recipe)


def cap_memory(gib: float) -> None:
    """Let this process allocate no more than a smaller GPU has."""
    if torch.cuda.is_available():
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(gib * 2**30 / total)


# ---- what all arms share --------------------------------------------------------------------------------------


class Gate:
    """Stops an arm after warm-up and after each round until the parent says go on; measures rounds."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.done, self.started = 0, 0.0
        self.total = options.warm + options.rounds * options.steps
        self._edges = {options.warm + n * options.steps for n in range(options.rounds + 1)}
        self.losses: list[Any] = []
        self.skipped = 0

    def step_done(self) -> None:
        """To be called after each optimizer step, with its loss in `losses`."""
        self.done += 1
        if self.done in self._edges:
            self._wait()

    def _wait(self) -> None:
        """Say how the round went, then wait for the parent. Raises FloatingPointError on a loss that is no number."""
        synchronize()
        seconds = time.perf_counter() - self.started
        losses = [float(loss) for loss in self.losses]
        bad = [n for n, loss in enumerate(losses) if not math.isfinite(loss)]
        if bad:
            raise FloatingPointError(f"loss {losses[bad[0]]} at pass {bad[0] + 1}, in the round up to {self.done}")
        self.losses.clear()
        report = {"seconds": seconds, "first_losses": losses[:3], "skipped": self.skipped, **memory()}
        tell(report)
        if self.done < self.total and sys.stdin.readline() != "go\n":
            raise SystemExit("the parent has gone")
        self.started = time.perf_counter()


def synchronize() -> None:
    """Wait for the device."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def memory() -> dict[str, float]:
    """Peaks of this process so far, in GiB."""
    if not torch.cuda.is_available():
        return {}
    return {
        "peak_allocated_gib": torch.cuda.max_memory_allocated() / 2**30,
        "peak_reserved_gib": torch.cuda.max_memory_reserved() / 2**30,
    }


def tell(report: dict[str, Any]) -> None:
    """To the parent."""
    print("@" + json.dumps(report), flush=True)


# ---- our arms -------------------------------------------------------------------------------------------------


def switches_of(arm: str) -> Switches | None:
    """None for the plain engine; for ladder arms, everything up to and including the named switch."""
    if arm.startswith("plain"):
        return None
    if arm == "fast-fp16":
        return Switches(flash=False)
    if arm.startswith("fast"):
        return Switches()
    if arm.startswith("-"):
        return dataclasses.replace(Switches(), **{arm[1:]: False})
    on = LADDER[: LADDER.index(arm[1:]) + 1] if arm.startswith("+") else ()
    return Switches(**{name: name in on for name in LADDER})


def run_ours(arm: str, options: argparse.Namespace, gate: Gate) -> None:
    """The plain or the fast engine, with or without some of its ideas."""
    if arm != "fast-free":
        make_deterministic()  # as a real training does
    precision: Precision = "fp32" if options.device == "cpu" else "fp16" if arm.endswith("fp16") else "bf16"
    if arm.endswith("fp16"):
        cap_memory(T4_GIB)
    recipe = make_recipe(options, 0.0 if arm == "fast-dropout0" else 0.1)
    verifier = make_verifier(options, precision, recipe)
    examples = make_examples(ROWS_A_STEP * gate.total, options)
    batches = [examples[n * ROWS_A_STEP : (n + 1) * ROWS_A_STEP] for n in range(gate.total)]
    switches = switches_of(arm)
    engine: Any = FastEngine(verifier, recipe, examples, switches) if switches else PlainEngine(verifier, recipe)
    if switches and engine.uses_graphs:  # every shape twice, so that rounds measure replays; `sustain` pays for all
        for batch in batches + batches:
            gate.skipped += engine.step(batch, 5e-6, recipe.batch_size).skipped
    before = None
    for batch in batches:
        if switches:  # a step is launched before the one before it is asked how it went
            now = engine.launch(batch, 5e-6, recipe.batch_size)
            result, before = (before.result() if before else None), now
        else:
            result = engine.step(batch, 5e-6, recipe.batch_size)
        if result:
            gate.losses.append(result.loss)
            gate.skipped += result.skipped
        gate.step_done()
    if arm in SUSTAINED:
        sustain(FastEngine(verifier, recipe, examples, switches), options, SUSTAINED[arm], gate.total)


def sustain(engine: FastEngine, options: argparse.Namespace, steps: int, seen: int) -> None:
    """Steps on rows that follow the first `seen` steps' rows, captures included, as a whole training runs them."""
    steps = 10 if options.tiny else steps
    examples = make_examples(ROWS_A_STEP * (steps + seen), options)[-steps * ROWS_A_STEP :]
    synchronize()
    started, before, half = time.perf_counter(), None, 0.0
    results = []
    for n in range(steps):
        now = engine.launch(examples[n * ROWS_A_STEP : (n + 1) * ROWS_A_STEP], 5e-6, 4)
        if before:
            results.append(before.result())
        before = now
        if n == steps // 2 - 1:
            synchronize()
            half = time.perf_counter() - started
    assert before
    results.append(before.result())
    synchronize()
    seconds = time.perf_counter() - started
    tell(
        {
            "steps": steps,
            "seconds": seconds,
            "second_half_seconds": seconds - half,
            "graphs": engine.graph_count,
            "skipped": sum(result.skipped for result in results),
            "overflows": [n + 1 for n, result in enumerate(results) if result.skipped],
            "loss_finite": all(math.isfinite(result.loss) for result in results),
            "last_loss": results[-1].loss,
            "scale": engine.state().numbers["scale"],
            **memory(),
        }
    )


# ---- the libraries --------------------------------------------------------------------------------------------


def watched(kind: type, gate: Gate) -> type:
    """A Trainer that keeps the order of rows, stops at the gate and lets losses be seen."""
    from torch.utils.data import SequentialSampler

    class Watched(kind):  # type: ignore[misc,valid-type]
        def _get_train_sampler(self, *_: Any) -> Any:
            return SequentialSampler(self.train_dataset)

        def training_step(self, *arguments: Any, **named: Any) -> Any:
            loss = super().training_step(*arguments, **named)
            gate.losses.append(loss)
            return loss

    return Watched


def at_the_gate(gate: Gate) -> Any:
    """The callback for it."""
    from transformers import TrainerCallback

    class AtTheGate(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            gate.step_done()

    return AtTheGate()


def common_settings(options: argparse.Namespace, published: bool = False) -> dict[str, Any]:
    """What all trainers are told; `published` adds the published script's own."""
    return dict(
        output_dir=options.scratch, per_device_train_batch_size=4 if published else ROWS_A_STEP,
        gradient_accumulation_steps=4 if published else 1, gradient_checkpointing=published, num_train_epochs=1,
        learning_rate=5e-6, lr_scheduler_type="cosine", bf16=options.device == "cuda", max_grad_norm=1.0,
        logging_steps=50, save_strategy="no", report_to=[], disable_tqdm=True, use_cpu=options.device == "cpu", seed=0,
    )  # fmt: skip


def lora_config(options: argparse.Namespace) -> Any:
    """v5's adapters, for peft."""
    from peft import LoraConfig

    return LoraConfig(
        r=rank(options), lora_alpha=2 * rank(options), lora_dropout=0.1, target_modules=TARGETS, task_type="CAUSAL_LM"
    )


def run_trainer(arm: str, options: argparse.Namespace, gate: Gate) -> None:
    """transformers' Trainer with peft, as published or with its free flags."""
    from peft import get_peft_model
    from transformers import Trainer, TrainingArguments

    published = arm == "published"
    model = make_model(options, "fp32" if options.device == "cpu" else "bf16")
    rows = make_rows(ROWS_A_STEP * gate.total, options)
    model.config.use_cache = False
    if published:
        model.enable_input_require_grads()
    model = get_peft_model(model, lora_config(options))

    def collate(items: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        width = 256 if published else max(len(item["input_ids"]) for item in items)
        ids = torch.ones(len(items), width, dtype=torch.long)
        mask = torch.zeros(len(items), width, dtype=torch.long)
        for n, item in enumerate(items):
            ids[n, : len(item["input_ids"])] = torch.tensor(item["input_ids"])
            mask[n, : len(item["input_ids"])] = 1
        labels = ids.clone() if published else ids.masked_fill(mask == 0, -100)
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}

    settings = TrainingArguments(**common_settings(options, published), eval_strategy="no", remove_unused_columns=False)
    trainer: Any = watched(Trainer, gate)(
        model=model, args=settings, train_dataset=[{"input_ids": row} for row in rows], data_collator=collate,
        callbacks=[at_the_gate(gate)],
    )  # fmt: skip
    trainer.train()


def run_trl(arm: str, options: argparse.Namespace, gate: Gate) -> None:
    """TRL's SFTTrainer, answer-only loss in chunks (its "nll"); padding-free, or padded to the batch."""
    from trl import SFTConfig, SFTTrainer

    model = make_model(options, "fp32" if options.device == "cpu" else "bf16")
    settings = SFTConfig(
        **common_settings(options), padding_free=arm == "trl", loss_type="nll", max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
    )  # fmt: skip
    trainer: Any = watched(SFTTrainer, gate)(
        model=model, args=settings, train_dataset=answered_rows(gate, options), peft_config=lora_config(options),
        callbacks=[at_the_gate(gate)], processing_class=make_tokenizer(),
    )  # fmt: skip
    trainer.train()


def run_unsloth(arm: str, options: argparse.Namespace, gate: Gate) -> None:
    """Unsloth's patched model in TRL's trainer, padded to the batch; dropout .1 as v5 has it."""
    from trl import SFTConfig, SFTTrainer
    from unsloth import FastLanguageModel

    folder = Path(options.scratch) / "base"
    make_model(options, "bf16").save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    model, tokenizer = FastLanguageModel.from_pretrained(
        str(folder), max_seq_length=512, dtype=torch.bfloat16, load_in_4bit=False, local_files_only=True
    )
    model = FastLanguageModel.get_peft_model(
        model, r=rank(options), lora_alpha=2 * rank(options), lora_dropout=0.1, target_modules=TARGETS,
        use_gradient_checkpointing=False, random_state=0,
    )  # fmt: skip
    settings = SFTConfig(**common_settings(options), max_length=None, dataset_kwargs={"skip_prepare_dataset": True})
    trainer: Any = watched(SFTTrainer, gate)(
        model=model, args=settings, train_dataset=answered_rows(gate, options), callbacks=[at_the_gate(gate)],
        processing_class=tokenizer,
    )  # fmt: skip
    trainer.train()


def answered_rows(gate: Gate, options: argparse.Namespace) -> Any:
    """A data set whose labels are the answers alone."""
    from datasets import Dataset
    from datasets.table import InMemoryTable

    rows = make_rows(ROWS_A_STEP * gate.total, options)
    labels = [[-100] * (len(row) - 1) + row[-1:] for row in rows]
    return Dataset(InMemoryTable.from_pydict({"input_ids": rows, "labels": labels}), fingerprint="rows")


def make_tokenizer() -> Any:
    """Only its pad and end tokens are looked at: rows are token ids already."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"a": 0, "<end>": 1}, unk_token="a"))
    return PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<end>", pad_token="<end>", unk_token="a")


def run_arm(arm: str, options: argparse.Namespace) -> None:
    """The process of one arm."""
    if options.device == "cpu":
        torch.set_num_threads(1)
    known = {"published": run_trainer, "free": run_trainer, "trl": run_trl, "trl-padded": run_trl}
    known["unsloth"] = run_unsloth
    known.get(arm, run_ours)(arm, options, Gate(options))
