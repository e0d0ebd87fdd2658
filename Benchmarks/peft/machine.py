"""What the figures were measured on."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TELLING = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_bf16", "asimd", "bf16", "i8mm")


def fields(path):
    pairs = (line.partition(":") for line in Path(path).read_text(encoding="utf-8").splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def available_bytes():
    return int(fields("/proc/meminfo")["MemAvailable"].split()[0]) * 1024


def commit():
    """The last commit that changed the engine or what measures it."""

    def git(*words):
        paths = ("--", "Sources", "Benchmarks/LoRABenchmarks", "Package.swift")
        return subprocess.run(["git", *words, *paths], cwd=ROOT, capture_output=True, text=True).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no")
    return git("log", "-1", "--abbrev=12", "--format=%h") + ("+changes" if changed else "")


def description(threads):
    processor = fields("/proc/cpuinfo")
    flags = (processor.get("flags") or processor.get("Features") or "").split()
    return {
        "cpu": processor.get("model name", platform.machine()),
        "instructions": [flag for flag in TELLING if flag in flags],
        "cores": os.cpu_count(),
        "threads": threads,
        "memory_gb": round(int(fields("/proc/meminfo")["MemTotal"].split()[0]) * 1024 / 1e9),
        "kernel": platform.release(),
        "swift-lora": commit(),
        "python": platform.python_version(),
    } | {name: importlib.metadata.version(name) for name in ("torch", "transformers", "peft")}


def line(d, engine=""):
    return (
        f"{d['cpu']} ({', '.join(d['instructions'])}), {d['cores']} cores, {d['threads']} threads, {d['memory_gb']} GB, "
        f"Linux {d['kernel']}; swift-lora {d['swift-lora']}{engine}; PEFT {d['peft']}, PyTorch {d['torch']}, "
        f"transformers {d['transformers']}, Python {d['python']}"
    )
