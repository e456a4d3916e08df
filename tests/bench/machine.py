"""The machine that bench.py measures on, and what others do on it meanwhile."""

import os
import platform
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Of the processor's flags; and all that begin with avx512 or amx_.
NOTABLE = ("sse4_2", "avx", "f16c", "fma", "avx2", "avx_vnni", "asimd", "asimdhp", "asimddp", "bf16", "i8mm", "sve",
           "sve2")


def first_cpu():
    cpu = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        cpu.setdefault(name.strip(), value.strip())
    return cpu


def cpu_flags():
    return first_cpu().get("flags", first_cpu().get("Features", "")).split()


def describe(maskd):
    """On a cloud the model's name may tell nothing; family, model and instruction sets do."""
    cpu, flags = first_cpu(), cpu_flags()
    version = subprocess.run([maskd, "--version"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    told = dict(line.split(None, 1) for line in version.splitlines())
    return {
        "cpu": cpu.get("model name", f"{platform.machine()} processor"),
        "vendor": cpu.get("vendor_id", cpu.get("CPU implementer", "unknown")),
        "family": cpu.get("cpu family", cpu.get("CPU architecture", "unknown")),
        "model": cpu.get("model", cpu.get("CPU part", "unknown")),
        "instruction_sets": [flag for flag in NOTABLE if flag in flags]
                            + [flag for flag in flags if flag.startswith(("avx512", "amx_"))],
        "cores": len(os.sched_getaffinity(0)),
        "maskd": told["maskd"],
        "weights": told["weights"],
        "kernels": told["kernels"],
    }


class Others:
    """How much of the machine was not ours to use: other processes, and the hypervisor's other guests."""

    def __init__(self):
        self.start = self.look()

    @staticmethod
    def look():
        """Seconds: of the clock, of all cores' work, and of our own, of which the children's count once they ended."""
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
        user, nice, system, _, _, irq, softirq, steal = (int(field) / os.sysconf("SC_CLK_TCK") for field in fields)
        ours = os.times()
        return time.monotonic(), user + nice + system + irq + softirq + steal, sum(ours[:4])

    def share(self):
        """Of all cores, since the start. To be asked when the children have ended."""
        clock, busy, ours = (now - then for now, then in zip(self.look(), self.start))
        return max(0, busy - ours) / (clock * os.cpu_count())
