"""Which device and which number format, decided in one place."""

from __future__ import annotations

import contextlib
import os
import platform
from dataclasses import dataclass
from typing import Literal

import torch

from medverdict.errors import RunError

Precision = Literal["fp32", "bf16", "fp16"]
_DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Placement:
    """Where a model runs and in which format its matrices are multiplied."""

    device: torch.device
    precision: Precision

    @property
    def dtype(self) -> torch.dtype:
        """Format of frozen weights and of matrix products; trained weights stay fp32."""
        return _DTYPES[self.precision]

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Casts the products of fp32 trained weights to `dtype`; does nothing in fp32."""
        if self.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)

    @property
    def device_name(self) -> str:
        """For the run's record."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        return f"{platform.processor() or platform.machine()} CPU, {torch.get_num_threads()} threads"

    def reset_peak(self) -> None:
        """Count memory from here, without what torch only keeps of work that is done."""
        if self.device.type == "cuda":
            torch.cuda.init()  # before it there are no counters to reset
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    def peak_bytes(self) -> int | None:
        """Memory that torch held at most since then, fragments included; None on a CPU."""
        return torch.cuda.max_memory_reserved(self.device) if self.device.type == "cuda" else None


def choose_placement(precision: Precision | None = None, device: torch.device | None = None) -> Placement:
    """A device, by default the best one here, and the format it is good at, unless a format is forced.

    A T4 answers yes to `is_bf16_supported()` and has no bf16 units, so the compute capability decides: bf16
    from 8.0 on, fp16 below. On a CPU bf16 pays only where there are instructions for it.
    """
    if device is None:
        here = choose_devices()
        # torchrun numbers the processes of a machine; each takes the GPU of its number
        device = here[int(os.environ.get("LOCAL_RANK", "0")) % len(here)]
    if device.type == "cuda":
        torch.cuda.set_device(device)
        native: Precision = "bf16" if torch.cuda.get_device_capability() >= (8, 0) else "fp16"
    else:
        native = "bf16" if _cpu_multiplies_bf16() else "fp32"
    return Placement(device, precision or native)


def choose_devices(named: str | None = None) -> list[torch.device]:
    """The devices named, as in `cuda:0,cuda:1` or `cpu,cpu`; by default and as `all`, every GPU, or else the CPU.

    Raises RunError for a name that is no device of this machine, or where CPU and GPUs are mixed.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    all_here = [torch.device("cuda", number) for number in range(gpus)] or [torch.device("cpu")]
    if named is None or named == "all":
        return all_here
    names = [name.strip() for name in named.split(",")]
    known = {"cpu", *map(str, all_here)}
    for name in names:
        if name not in known:
            raise RunError(
                f"no device {name!r} here; expected all, or names out of {', '.join(sorted(known))} joined by commas."
            )
    if len({torch.device(name).type for name in names}) > 1:
        raise RunError(f"devices {named}: CPU and GPUs do not round alike; name devices of one kind.")
    return [torch.device(name) for name in names]


def _cpu_multiplies_bf16() -> bool:
    capability = torch.backends.cpu.get_cpu_capability()
    return capability.startswith("AVX512") and torch.cpu._is_avx512_bf16_supported()
