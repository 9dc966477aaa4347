"""How fast claims are scored: this project's scorer, its plain twin, padded batches, and generating one by one.

    python3 bench/score_speed.py --base FOLDER --claims FILE.jsonl --out score_speed.json --limit 60
    python3 bench/score_speed.py --run RUN --claims FILE.jsonl --out x.json        # a run's own adapter and prompt
    python3 bench/score_speed.py --tiny --device cpu --out x.json                  # rehearsal in seconds

All arms score the same claims with the same weights, v5-optimized's prompt and adapters that are not zero; they take
turns in rounds, alone on the device. Tokenising counts. Each arm goes on from where it stopped until its share of
the time is over, so slow arms see fewer claims; ratios are taken round by round. A folder without model.safetensors
gets random weights of its config's size: answers then mean nothing, and the speed is the same.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

import medverdict
from medverdict.model.lora import add_lora
from medverdict.model.precision import Placement, choose_placement
from medverdict.model.prompt import Encoder
from medverdict.model.verifier import Verifier, end_token
from medverdict.predict import score
from medverdict.predict.load import load_run
from medverdict.recipes.recipe import load_recipe
from medverdict.train.run import make_deterministic

WIDTH = 256
"""To which the published scripts pad."""
NEW_TOKENS = 5
"""Enough for either label word."""
PADDED_ROWS = {"cuda": 64, "cpu": 4}
CHUNK = {"cuda": 20_000, "cpu": 64}
"""Claims that one call of our scorer is given."""
CLAIMS = Path(medverdict.__file__).parent / "claims"
Score = Callable[[Sequence[str]], list[float]]


class Arm:
    """One way of scoring, and how far it has come."""

    def __init__(self, name: str, size: int, judge: Score) -> None:
        self.name, self.size, self._judge = name, size, judge
        self.rates: list[float] = []
        self.answers: dict[str, float] = {}
        self.peak_gib = 0.0

    def round(self, claims: Iterator[str], seconds: float) -> None:
        """Score on until the time is over, one chunk at least."""
        done = 0
        reset_peak()
        synchronize()
        started = time.perf_counter()
        while done == 0 or time.perf_counter() - started < seconds:
            texts = list(itertools.islice(claims, self.size))
            self.answers.update(zip(texts, self._judge(texts), strict=True))
            done += len(texts)
        synchronize()
        self.rates.append(done / (time.perf_counter() - started))
        self.peak_gib = max(self.peak_gib, peak_gib())


def synchronize() -> None:
    """Wait for the device."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def reset_peak() -> None:
    """Forget the peak of the arm before."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_gib() -> float:
    """Most memory allocated since."""
    return torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0


def make_verifier(options: argparse.Namespace, folder: Path) -> Verifier:
    """The run asked for, or the base with v5-optimized's adapters, filled with small random numbers."""
    from tokenizers import Tokenizer
    from transformers import AutoConfig, AutoModelForCausalLM

    place = choose_placement(options.precision)
    if options.device == "cpu":
        place = Placement(torch.device("cpu"), options.precision or "fp32")
    if options.run:
        return load_run(Path(options.run), place).verifier
    recipe = load_recipe("v5-optimized", ["lora_rank=4"] if options.tiny else [])
    torch.manual_seed(0)
    if (folder / "model.safetensors").is_file():
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=place.dtype, attn_implementation="sdpa", local_files_only=True
        ).to(place.device)
    else:
        with torch.device(place.device):
            config = AutoConfig.from_pretrained(folder, attn_implementation="sdpa")
            model = AutoModelForCausalLM.from_config(config).to(place.dtype)
    model.eval()
    add_lora(model, recipe)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.002)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return Verifier(model, Encoder(tokenizer, recipe, end_token(model)), place, recipe)


def padded(verifier: Verifier) -> Score:
    """Every row padded to WIDTH with its mask, through the model's own forward pass; the head at one position."""

    @torch.inference_mode()
    def judge(texts: Sequence[str]) -> list[float]:
        prompts = verifier.encoder.prompts_ids(texts)
        ids = torch.zeros(len(prompts), WIDTH, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, : len(prompt)], mask[row, : len(prompt)] = torch.tensor(prompt), 1
        device = verifier.placement.device
        with verifier.placement.autocast():
            body = verifier.model.get_submodule("model")
            states = body(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False).last_hidden_state
            at_answer = states[torch.arange(len(prompts)), [len(p) - 1 for p in prompts]]
        logits = verifier.head(at_answer)
        true_id, false_id = verifier.encoder.label_ids
        margins: list[float] = (logits[:, true_id] - logits[:, false_id]).tolist()
        return margins

    return judge


def generated(verifier: Verifier) -> Score:
    """As the published evaluation: greedy tokens for one claim at a time, and the first label word in them."""
    model: Any = verifier.model
    recipe, tokenizer = verifier.recipe, verifier.encoder
    words = recipe.label_true.strip().casefold(), recipe.label_false.strip().casefold()

    @torch.inference_mode()
    def judge(texts: Sequence[str]) -> list[float]:
        found = []
        for text in texts:
            ids = torch.tensor([tokenizer.prompt_ids(text)], device=verifier.placement.device)
            with verifier.placement.autocast():
                out = model.generate(
                    ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW_TOKENS, do_sample=False,
                    pad_token_id=end_token(model),
                )  # fmt: skip
            said = tokenizer.decode(tuple(out[0, ids.shape[1] :].tolist())).casefold()
            found.append(first_word(said, *words))
        return found

    return judge


def first_word(said: str, true: str, false: str) -> float:
    """1 for the word of TRUE, -1 for the other, 0 for neither; the first, as a model may go on and repeat both."""
    places = {said.find(true): 1.0, said.find(false): -1.0}
    places.pop(-1, None)
    return places[min(places)] if places else 0.0


def with_batches_of(tokens: int, judge: Score) -> Score:
    """A scorer with other batches than it would take."""

    def other(texts: Sequence[str]) -> list[float]:
        before = dict(score.TOKENS_A_BATCH)
        score.TOKENS_A_BATCH.update(cuda=tokens, cpu=tokens)
        try:
            return judge(texts)
        finally:
            score.TOKENS_A_BATCH.update(before)

    return other


def make_arms(verifier: Verifier, options: argparse.Namespace) -> list[Arm]:
    """All arms, and our scorer and its plain twin once more for every size of batch that was asked for."""
    device, chunk = verifier.placement.device.type, options.chunk or CHUNK[verifier.placement.device.type]
    ours: Score = lambda texts: score.score_margins(verifier, texts).tolist()  # noqa: E731
    plain: Score = lambda texts: score.plain_margins(verifier, texts).tolist()  # noqa: E731
    sizes = [int(size) for size in options.tokens.split(",") if size]
    return [
        Arm("ours", chunk, ours),
        *(Arm(f"ours-{size}", chunk, with_batches_of(size, ours)) for size in sizes),
        Arm("plain", chunk, plain),
        *(Arm(f"plain-{size}", chunk, with_batches_of(size, plain)) for size in sizes),
        Arm("padded", PADDED_ROWS[device], padded(verifier)),
        Arm("generate", 1, generated(verifier)),
    ]


def same_answers(arm: Arm, reference: Arm) -> dict[str, float]:
    """How the answers to claims that both have seen compare; an arm that gave no answer (0) counts as differing."""
    both = [(arm.answers[text], reference.answers[text]) for text in arm.answers.keys() & reference.answers.keys()]
    result = {"claims": len(both), "same_verdict": sum((a > 0) == (b > 0) and a != 0 for a, b in both)}
    if arm.name == "generate":
        return result | {"no_answer": sum(a == 0 for a, _ in both)}
    apart = [abs(a - b) for a, b in both]
    flipped = [abs(b) for a, b in both if (a > 0) != (b > 0)]
    return result | {"margins_apart_at_most": max(apart, default=0.0), "widest_margin_flipped": max(flipped, default=0)}


def summarise(arms: Sequence[Arm], verifier: Verifier, texts: Sequence[str], options: argparse.Namespace) -> Any:
    """Claims a second of every arm, ratios of ours to each round by round, and whether the answers are the same."""
    lengths = [len(ids) for ids in verifier.encoder.prompts_ids(texts[:2000])]
    found = {}
    for arm in arms:
        ratios = [ours / theirs for ours, theirs in zip(arms[0].rates, arm.rates, strict=True)]
        found[arm.name] = {
            "claims_a_second": spread(arm.rates),
            "ours_faster": spread(ratios),
            "against_plain": same_answers(arm, next(a for a in arms if a.name == "plain")),
            "peak_gib": arm.peak_gib,
            "rates": arm.rates,
        }
    return {
        "device": verifier.placement.device_name,
        "precision": verifier.placement.precision,
        "torch": torch.__version__,
        "base": options.run or options.base or "tiny",
        "claims": len(texts),
        "mean_prompt_tokens": statistics.fmean(lengths),
        "why_not_fast": score.why_not_fast(verifier),
        "arms": found,
    }


def spread(values: list[float]) -> dict[str, float]:
    """Median, lowest and highest."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def read_texts(path: Path) -> list[str]:
    """Claims of a JSON-lines file, each once."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return list(dict.fromkeys(row.get("text") or row["claim"] for row in rows))


def run(options: argparse.Namespace, folder: Path) -> None:
    """Warm up, then rounds until the time is over; the file is written after every round."""
    deadline = time.monotonic() + options.limit
    make_deterministic()  # as a real evaluation after a training does
    verifier = make_verifier(options, folder)
    texts = read_texts(Path(options.claims))
    arms = make_arms(verifier, options)
    arms = [arm for arm in arms if not options.arms or arm.name in (*options.arms.split(","), "ours", "plain")]
    for arm in arms:
        arm.round(iter(texts[: min(arm.size, options.warm)]), 0.0)
        arm.rates.clear()
        print(f"{arm.name} is warm, {deadline - time.monotonic():.0f} s left", flush=True)
    streams = {arm.name: itertools.cycle(texts) for arm in arms}
    share = max(0.0, (deadline - time.monotonic()) * 0.8 / options.rounds / len(arms))
    for number in range(options.rounds):
        for arm in arms if number % 2 == 0 else arms[::-1]:
            arm.round(streams[arm.name], share)
        result = summarise(arms, verifier, texts, options)
        Path(options.out).write_text(json.dumps(result, indent=1), encoding="utf-8")
        if time.monotonic() > deadline:
            break
    print_table(result)


def print_table(result: Any) -> None:
    """One line an arm."""
    print(f"{result['device']}, {result['precision']}, {result['mean_prompt_tokens']:.1f} tokens a prompt")
    for name, arm in result["arms"].items():
        rate, ratio, same = arm["claims_a_second"], arm["ours_faster"], json.dumps(arm["against_plain"])
        print(
            f"{name:14}{rate['median']:11.2f}/s ({rate['low']:.2f} to {rate['high']:.2f}); ours {ratio['median']:.2f}x "
            f"({ratio['low']:.2f} to {ratio['high']:.2f}); {arm['peak_gib']:.2f} GiB; {same}"
        )


def main() -> None:
    """Read what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="", help="folder with config.json, tokenizer.json, model.safetensors")
    parser.add_argument("--run", default="", help="a stored run instead: its base, its adapter, its prompt")
    parser.add_argument("--claims", default=str(CLAIMS / "10-teacher-style-by-disease.jsonl"), help="JSON lines")
    parser.add_argument("--out", required=True, help="where the JSON goes")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds for everything")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--arms", default="", help="comma list; ours and plain always run")
    parser.add_argument("--tokens", default="", help="comma list: other sizes of batches, in tokens")
    parser.add_argument("--chunk", type=int, default=0, help="claims a call of our scorer")
    parser.add_argument("--warm", type=int, default=2000, help="claims before the first round, at most")
    parser.add_argument("--device", default="", choices=("", "cuda", "cpu"))
    parser.add_argument("--precision", default=None, choices=("fp32", "bf16", "fp16"))
    parser.add_argument("--tiny", action="store_true", help="a toy model, to rehearse")
    options = parser.parse_args()
    if not (options.base or options.run or options.tiny):
        parser.error("say --base FOLDER, --run RUN or --tiny")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(options.base)
        if options.tiny:
            sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
            from tiny import make_tiny_base

            folder = make_tiny_base(Path(scratch) / "tiny")
        run(options, folder)


if __name__ == "__main__":
    main()
