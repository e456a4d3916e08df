#!/usr/bin/python3
"""Load on a real daemon over loopback: `make load`.

What it answers at 1, 8 and 64 keep-alive clients, by lane (interactive: prompts; bulk: uploads), each lane alone and both
together, and whether the lanes keep what they promise. Prints Markdown; exit status 1 when a bar is missed.
LOAD_SECONDS=n is the length of a measurement (there are ten, two of them twice as long), LOAD_JSON=file also writes the
numbers as JSON.

Clients, daemon and whatever else runs share the machine: bars that are missed on a busy one say little.
"""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path[:0] = [str(ROOT / "tests" / "http"), str(ROOT / "tools")]

import draw_sample  # noqa: E402
from client import Client  # noqa: E402
from clients import prompts, run_clients, uploads  # noqa: E402
from daemon import Daemon  # noqa: E402

SECONDS = float(os.environ.get("LOAD_SECONDS", "8"))
CLIENTS = (1, 8, 64)
FULL = CLIENTS[1]  # uploading, they keep the bulk lane full; prompting, they are a flood
BESIDE = f"1 beside {FULL}"
SIZE = (2250, 1500)
PROMPT = {"points": [[SIZE[0] / 2, SIZE[1] / 2]]}
PATH = "/v1/images/sample/segment"

ANSWERS_MIN = 2  # for a rate

SLOWER_MAX = 3.0    # a prompt's p99 beside uploads, to the p50 without
UPLOADS_MIN = 0.40  # of the uploads' rate that is left under a flood of prompts
QUEUE_MAX_MS = 2.0  # until the first tile of a prompt starts, beside uploads


def sample():
    file = io.BytesIO()
    draw_sample.draw_sample().resize(SIZE).save(file, "JPEG", quality=90)
    return file.getvalue()


@contextlib.contextmanager
def service(photo):
    """A daemon for one measurement, with the sample uploaded, warm; what is queued at the end goes with it."""
    daemon = Daemon("--access-log", "false", "--drain-seconds", "1")
    try:
        client = Client(daemon.port)
        for path, body in [("/v1/images?id=sample", photo)] + [(PATH, PROMPT)] * 5:
            answer = client.request("POST", path, body)
            assert answer.status in (200, 201), answer
        client.close()
        yield daemon
        daemon.stop()
    finally:
        if daemon.alive():
            daemon.kill()


# ---- measuring

def percentile(values, percent):
    return sorted(values)[min(len(values) - 1, int(len(values) * percent / 100))] if values else None


def summary(what, lane, clients, seconds, seen):
    """A row. Those still unanswered at the end are in the percentiles with the time that they had waited: a lower bound."""
    milliseconds = [1000 * time for time in seen.latencies + seen.waited]
    answers = len(seen.latencies)
    return {"measurement": what, "lane": lane, "clients": clients, "seconds": seconds, "answers": answers,
            "rate": answers / seen.until if answers >= ANSWERS_MIN else None,
            "p50_ms": percentile(milliseconds, 50), "p99_ms": percentile(milliseconds, 99),
            "queue_p50_ms": percentile(seen.queued, 50), "queue_p99_ms": percentile(seen.queued, 99),
            "refused": seen.refused, "failed": seen.failed, "unanswered": len(seen.waited)}


def measure_wrk(photo, clients):
    """Prompts alone. wrk does not tell latencies apart by status: with refusals among them there are none."""
    with service(photo) as daemon:
        command = ["wrk", "--threads", "1", "--connections", str(clients), "--duration", f"{SECONDS:.0f}s",
                   "--timeout", "60s", "--script", str(Path(__file__).with_name("prompts.lua")), daemon.url + PATH]
        told = subprocess.run(command, env={**os.environ, "LOAD_PROMPT": json.dumps(PROMPT)}, capture_output=True,
                              text=True, check=True).stdout
    result = json.loads(told.splitlines()[-1])
    answers = result["answers"] - result["not_2xx"]
    pure = result["not_2xx"] == 0
    return {"measurement": "prompts", "lane": "interactive", "clients": clients, "seconds": result["seconds"],
            "answers": answers, "rate": answers / result["seconds"],
            "p50_ms": result["p50_ms"] if pure else None, "p99_ms": result["p99_ms"] if pure else None,
            "queue_p50_ms": None, "queue_p99_ms": None,
            "refused": result["refused"], "failed": result["not_2xx"] - result["refused"] + result["broken"],
            "unanswered": 0}


def measure(photo, what, prompting, uploading, seconds=SECONDS):
    """So many clients of each lane together; a row for each lane."""
    wanted = {}
    if prompting:
        wanted["interactive"] = prompting, prompts(PATH, PROMPT)
    if uploading:
        wanted["bulk"] = uploading, uploads(photo)
    with service(photo) as daemon:
        seen = run_clients(daemon.port, seconds, **wanted)
    return [summary(what, lane, wanted[lane][0], seconds, seen[lane]) for lane in wanted]


def measure_all(photo):
    """What is compared is measured one after the other: the machine's speed may drift."""
    one, full, many = CLIENTS
    rows = [measure_wrk(photo, many), measure_wrk(photo, full), measure_wrk(photo, one)]
    rows += measure(photo, BESIDE, one, full)
    rows += measure(photo, "uploads", 0, full, 2 * SECONDS)  # for some uploads under the flood
    rows += measure(photo, "both", full, full, 2 * SECONDS)
    for clients in one, many:
        rows += measure(photo, "uploads", 0, clients)
        rows += measure(photo, "both", clients, clients)
    return rows


# ---- judging

def find(rows, what, lane, clients):
    return next(row for row in rows if (row["measurement"], row["lane"], row["clients"]) == (what, lane, clients))


def ratio(one, other):
    return None if one is None or other is None else one / other


def judge(rows):
    """What is promised of the lanes: (promise, found, bar, unit, kept)."""
    beside = find(rows, BESIDE, "interactive", 1)
    idle = find(rows, "prompts", "interactive", 1)
    flooded, alone = (find(rows, what, "bulk", FULL) for what in ("both", "uploads"))
    bars = [
        ("one client's prompts beside uploads: p99 to the p50 without", ratio(beside["p99_ms"], idle["p50_ms"]),
         SLOWER_MAX, "x"),
        ("uploads under a flood of prompts: their rate to that without", ratio(flooded["rate"], alone["rate"]),
         UPLOADS_MIN, "x"),
        ("a prompt's wait for its first tile beside uploads: p50", beside["queue_p50_ms"], QUEUE_MAX_MS, "ms"),
        ("a prompt's wait for its first tile beside uploads: p99", beside["queue_p99_ms"], QUEUE_MAX_MS, "ms"),
    ]
    judged = []
    for promise, found, bar, unit in bars:
        least = bar == UPLOADS_MIN
        kept = found is not None and (found >= bar if least else found <= bar)
        judged.append({"promise": promise, "found": found, "least" if least else "most": bar, "unit": unit,
                       "kept": kept})
    return judged


# ---- telling

def shown(value, digits=1):
    return "-" if value is None else f"{value:.{digits}f}"


def print_rows(rows):
    print("| measured | lane | clients | answers/s | p50 ms | p99 ms | queued p50 ms | queued p99 ms | 503 | failed"
          " | unanswered |\n|" + " --- |" * 11)
    for row in rows:
        times = [shown(row[name]) for name in ("p50_ms", "p99_ms")]
        queued = [shown(row[name], 2) for name in ("queue_p50_ms", "queue_p99_ms")]
        cells = [row["measurement"], row["lane"], row["clients"], shown(row["rate"], 2), *times, *queued,
                 row["refused"], row["failed"], row["unanswered"]]
        print("| " + " | ".join(str(cell) for cell in cells) + " |")


def print_bars(bars):
    print("\n| promise | found | bar | |\n| --- | --- | --- | --- |")
    for bar in bars:
        limit = f"at least {bar['least']:g}" if "least" in bar else f"at most {bar['most']:g}"
        print(f"| {bar['promise']} | {shown(bar['found'], 2)} {bar['unit']} | {limit} {bar['unit']} | "
              f"{'pass' if bar['kept'] else 'too few answers' if bar['found'] is None else 'FAIL'} |")


def main():
    os.environ["MASKD"] = str((ROOT / sys.argv[1]).resolve() / "maskd")
    rows = measure_all(sample())
    bars = judge(rows)
    print(f"\nimage {SIZE[0]} x {SIZE[1]}, one point a prompt; {os.cpu_count()} cores, at least {SECONDS:g} s a measurement\n")
    print_rows(rows)
    print_bars(bars)
    if os.environ.get("LOAD_JSON"):
        Path(os.environ["LOAD_JSON"]).write_text(json.dumps({"measurements": rows, "promises": bars}, indent=1))
    return 0 if all(bar["kept"] for bar in bars) else 1


if __name__ == "__main__":
    sys.exit(main())
