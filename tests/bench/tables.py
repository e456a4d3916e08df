"""What summary.py has gathered, as Markdown."""

import textwrap

PARTS = {"encode": "the image encoder", "first": "an image's first prompts", "prompt": "later prompts"}


def number(value, digits=1, unit=""):
    return "-" if value is None else f"{value:.{digits}f}{' ' + unit if unit else ''}"


def percent(value):
    return "-" if value is None else f"{100 * value:.0f} %"


def gmac(macs):
    return number(macs * 1e-9 if macs else None, 2)


def plural(count, noun):
    return f"{count} {noun}{'s' if count > 1 else ''}"


def table(head, lines):
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(str(cell) for cell in row)} |".replace("|  |", "| |") for row in rows)


def titled(found, entry):
    """With the configuration's name, when there are several."""
    title = entry["title"]
    return f"{title}, {entry['configuration']}" if len(found["configurations"]) > 1 else title


def caption(found):
    machine, rounds, image = found["machine"], found["rounds"], found["image"]
    peaks = " and ".join(f"{value:.1f} GFLOP/s on {plural(threads, 'thread')}"
                         for threads, value in machine["peak"]["gflops"].items())
    told = (
        f"{machine['cpu']} ({machine['vendor']}, family {machine['family']}, model {machine['model']}: "
        f"{' '.join(machine['instruction_sets'])}), {plural(machine['cores'], 'core')}, of which others took "
        f"{percent(machine['others'])} meanwhile; kernels {machine['kernels']}. An image of {image['width']} x "
        f"{image['height']}; medians of {plural(rounds['encode'], 'encode')} and {plural(rounds['prompt'], 'prompt')}, "
        f"taking turns. Fused multiply-adds in registers ({machine['peak']['instructions']}) reach {peaks}: the peak.")
    return textwrap.fill(told, 118)


def rows_table(found):
    lines = [[titled(found, row), row["threads"], number(row["maskd_ms"], unit="ms"), number(row["peer_ms"], unit="ms"),
              number(row["ratio"], 2), number(row["gflops"]), percent(row["of_peak"])] for row in found["rows"]]
    return table(["", "threads", "maskd", "ONNX Runtime", "ratio", "GFLOP/s", "of peak"], lines)


def stages_table(found, name, task):
    """A line for each stage; columns for each number of threads."""
    measured = {entry["threads"]: entry["stages"] for entry in found["stages"]
                if (entry["configuration"], entry["task"]) == (name, task)}
    title = titled(found, {"title": f"stages of {PARTS[task]}", "configuration": name})
    head = [title, "GMAC"]
    for threads in measured:
        head += [plural(threads, "thread"), "GFLOP/s", "share"]
    lines = []
    for entries in zip(*measured.values()):
        line = [entries[0]["name"], gmac(entries[0]["macs"])]
        for stage in entries:
            line += [number(stage["ms"], 2, "ms"), number(stage["gflops"]), percent(stage["share"])]
        lines.append(line)
    return table(head, lines)


def figures_table(found):
    lines = []
    for item in found["figures"]:
        digits = 1 if item["unit"] == "MB" else 0 if item["value"] >= 100 else 2
        bar = f"{'at most' if item['at_most'] else 'at least'} {item['bar']:g} {item['unit']}".rstrip()
        lines.append([titled(found, item), item["threads"] or "", number(item["value"], digits, item["unit"]), bar,
                      "yes" if item["met"] else "no"])
    return table(["", "threads", "", "bar", "met"], lines)


def markdown(found):
    stages = [stages_table(found, name, task) for name in found["configurations"] for task in PARTS]
    return "\n" + "\n\n".join([caption(found), rows_table(found), *stages, figures_table(found)])
