"""From the samples of all runs to what is told of them: rows, stages and figures, all fit for JSON."""

import statistics

from runners import LIST

MEGABYTE = 1e6

# (title, task, who, the peer's task). The first prompts on an image go without what later ones find prepared.
ROWS = (
    ("image encoder, in process", "encode", "engine", "encode"),
    ("upload over HTTP, JPEG decoding included", "encode", "http", "encode"),
    ("first prompts on an image, in process", "first", "engine", "prompt"),
    ("later prompts, to run lengths, in process", "prompt", "engine", "prompt"),
    ("prompt over HTTP", "prompt", "http", "prompt"),
)

# The multiply-adds of all stages are told when those that have a count take at least this share of the time.
COUNTED_SHARE = 0.75


def median(samples):
    return statistics.median(sample.milliseconds for sample in samples)


def gflops(macs, milliseconds):
    """None where there is no count."""
    return 2 * macs / milliseconds * 1e-6 if macs else None


def summarise_stages(samples):
    """One entry for each stage, in the engine's order, and one for all; times are medians."""
    stages = []
    for runs in zip(*(sample.stages for sample in samples)):
        name, macs, _ = runs[0]
        took = statistics.median(run[2] for run in runs)
        stages.append({"name": name, "macs": macs, "ms": took, "gflops": gflops(macs, took)})
    whole = sum(stage["ms"] for stage in stages)
    counted = sum(stage["ms"] for stage in stages if stage["macs"])
    macs = sum(stage["macs"] for stage in stages) if counted >= COUNTED_SHARE * whole else 0
    stages.append({"name": "all", "macs": macs, "ms": whole, "gflops": gflops(macs, whole)})
    for stage in stages:
        stage["share"] = stage["ms"] / whole
    return stages


def make_rows(threads, names, samples, stages, peaks):
    rows = []
    for count in threads:
        for title, task, who, peers_task in ROWS:
            peer = median(samples[count, "onnx", None, peers_task])
            for name in names:
                ours = median(samples[count, who, name, task])
                # Over HTTP there is more than arithmetic.
                rate = gflops(stages[count, name, task][-1]["macs"], ours) if who == "engine" else None
                rows.append({"title": title, "configuration": name, "threads": count, "maskd_ms": ours, "peer_ms": peer,
                             "ratio": ours / peer, "gflops": rate, "of_peak": rate / peaks[count] if rate else None})
    return rows


def figure(title, value, unit, bar, threads=None, at_most=True):
    """A number with the bar that it has to pass."""
    return {"title": title, "threads": threads, "value": value, "unit": unit, "bar": bar, "at_most": at_most,
            "met": value <= bar if at_most else value >= bar}


def make_figures(threads, name, samples, life):
    figures = []
    for count in threads:
        together, apart = (median(samples[count, "http", name, task]) for task in ("list", "singles"))
        figures.append(figure(f"{LIST} prompts in one request, to {LIST} requests", together / apart, "", 0.8, count))
    for count in threads:
        around = statistics.median(sample.milliseconds - sample.engine
                                   for sample in samples[count, "http", name, "prompt"])
        figures.append(figure("a prompt's HTTP, JSON and RLE", around, "ms", 1, count))
    for count in threads:
        everything = median(samples[count, "engine", name, "all"]) / 1000
        figures.append(figure("everything, 1024 points, from the embedding", everything, "s", 16 / count, count))
    one, two = (median(samples[count, "engine", name, "encode"]) for count in (1, 2))
    figures.append(figure("image encoder, speed-up from 1 thread to 2", one / two, "", 1.85, at_most=False))
    figures.append(figure("start until ready", life["ready_ms"], "ms", 300))
    figures.append(figure("memory, idle", life["idle"] / MEGABYTE, "MB", 80))
    figures.append(figure(f"memory, idle with {life['images']} images", life["with_images"] / MEGABYTE, "MB",
                          80 + 2.2 * life["images"]))
    figures.append(figure(f"memory, peak of {life['images']} uploads at once", life["peak"] / MEGABYTE, "MB", 200))
    return [{"configuration": name, **item} for item in figures]


def gather(machine, image, rounds, threads, names, samples, lives):
    stages = {(count, name, task): summarise_stages(samples[count, "engine", name, task])
              for count in threads for name in names for task in ("encode", "first", "prompt")}
    return {
        "machine": machine,
        "image": image,
        "rounds": rounds,
        "threads": threads,
        "configurations": names,
        "rows": make_rows(threads, names, samples, stages, machine["peak"]["gflops"]),
        "stages": [{"threads": count, "configuration": name, "task": task, "stages": found}
                   for (count, name, task), found in stages.items()],
        "figures": [item for name in names for item in make_figures(threads, name, samples, lives[name])],
        "samples": [{"threads": count, "runner": who, "configuration": name, "task": task,
                     "ms": [sample.milliseconds for sample in found]}
                    for (count, who, name, task), found in samples.items() if who != "peak"],
    }
