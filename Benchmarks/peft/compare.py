"""Runs swift-lora and PEFT alternately on the same weights, rows and threads, and compares medians.

    Benchmarks/peft/run.sh [--rounds 3] [--cases 4x512,chat] [--resume]        (make bench-peft ROUNDS=3 CASES=4x512,chat)

Each run is a process of its own, started the same way: the same number of threads, no environment variable that
steers a mathematics library, peak memory as the kernel reports it when the process ends (ru_maxrss). A run may take
95% of the free memory; one that asks for more is not to be had here, and the table says so. Results are written after
every run, so that Ctrl-C loses only the run under way; --resume goes on with the runs that are missing.
"""

import argparse
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import machine
import report
from cases import ROOT, all_cases

FOREIGN = re.compile("OMP|BLAS|MKL|DNN|KMP|MALLOC|LORA_|TORCH|ATEN|LD_PRELOAD")


def environment(threads):
    kept = {name: value for name, value in os.environ.items() if not FOREIGN.search(name)}
    return kept | {"OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def run_once(command, threads):
    """→ the run's figures, or {"failed": reason}."""
    limit = int(machine.available_bytes() * 0.95)
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment(threads), stdout=output, stderr=errors, start_new_session=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)))
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        lines, problem = output.read().split("\n"), errors.read()
    if process.returncode != 0:
        if "alloc" in problem.lower() or "memory" in problem.lower():
            return {"failed": f"needs more than the {limit / 1e9:.0f} GB that are free"}
        last = (problem.strip().split("\n") or [""])[-1]
        return {"failed": f"exit {process.returncode}: {last[:200]}"}
    figures = json.loads([line for line in lines if line.startswith("{")][-1])
    if "tokens" in figures:
        speeds = [tokens / seconds for tokens, seconds in zip(figures["tokens"], figures["seconds"])]
        figures["tokens_per_second"] = report.median(speeds)
    return figures | {"peak_mb": usage.ru_maxrss * 1024 / 1e6, "wall_seconds": time.perf_counter() - began}


def said(case, figures):
    if "failed" in figures:
        return figures["failed"]
    values = [f"{report.number(figures[m.key], m.unit)} {m.unit}" for m in case.measures if m.key in figures]
    return f"{', '.join(dict.fromkeys(values))}, {figures['peak_mb'] / 1000:.2f} GB ({figures['wall_seconds']:.0f} s)"


def measure(cases, results, rounds, threads, save):
    done = {(run["case"], run["name"], run["round"]) for run in results["runs"]}
    hopeless = {(run["case"], run["name"]) for run in results["runs"] if "failed" in run}
    for turn in range(1, rounds + 1):
        for case in cases:
            for run in case.runs:
                key = (case.name, run.name)
                if (*key, turn) in done or key in hopeless:
                    continue
                print(f"round {turn}/{rounds}  {case.name:7} {run.name:26}", end=" ", flush=True)
                figures = run_once(run.command, threads)
                print(said(case, figures), flush=True)
                if "failed" in figures:
                    hopeless.add(key)
                results["runs"].append(
                    {"case": case.name, "name": run.name, "program": run.program, "setting": run.setting,
                     "default": run.is_default, "round": turn} | figures)
                save()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="the demo model's GGUF")
    parser.add_argument("folder", type=Path, help="what prepare.py has made")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cases", help="names, separated by commas; all without it")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--output", type=Path, default=ROOT / "Benchmarks" / "results")
    parser.add_argument("--resume", action="store_true", help="keep the results there, run what is missing")
    arguments = parser.parse_args()
    everything = all_cases(arguments.model, arguments.folder, sys.executable)
    names = arguments.cases.split(",") if arguments.cases else [case.name for case in everything]
    unknown = set(names) - {case.name for case in everything}
    if unknown:
        parser.error(f"no case {', '.join(sorted(unknown))}; there are {', '.join(c.name for c in everything)}")

    file = arguments.output / "peft.json"
    described = machine.description(arguments.threads)
    results = {"machine": described, "runs": []}
    if arguments.resume and file.exists():
        results = json.loads(file.read_text(encoding="utf-8"))
        if results["machine"] != described:
            parser.error(f"{file} is of another machine, commit or version; run without --resume")
    arguments.output.mkdir(parents=True, exist_ok=True)

    def save():
        runs = ",\n".join(json.dumps(run) for run in results["runs"])  # a line for each
        text = f'{{"machine": {json.dumps(results["machine"])}, "runs": [\n{runs}\n]}}\n'
        file.with_suffix(".new").write_text(text, encoding="utf-8")
        os.replace(file.with_suffix(".new"), file)

    print(machine.line(described), flush=True)
    interrupted = False
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    try:
        chosen = [case for case in everything if case.name in names]
        measure(chosen, results, arguments.rounds, arguments.threads, save)
    except KeyboardInterrupt:
        interrupted = True
        print("\ninterrupted; what there is so far:", flush=True)
    problems = report.write(everything, results, arguments.output)
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    sys.exit(130 if interrupted else 1 if problems else 0)


if __name__ == "__main__":
    main()
