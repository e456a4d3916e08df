"""The prompts that every image is asked: members of a segment request's prompt, without multimask."""

import numpy as np


def box_at(width, height, x1, y1, x2, y2):
    return [x1 * width, y1 * height, x2 * width, y2 * height]


def clicks(random, width, height, count, foreground):
    """`count` clicks around a place, the first `foreground` of them on the object."""
    centre = random.uniform(0.25, 0.75, 2)
    places = np.clip(centre + random.normal(0, 0.12, (count, 2)), 0.01, 0.99)
    points = (places * (width, height)).round(2).tolist()
    return {"points": points, "labels": [1] * foreground + [0] * (count - foreground)}


def ellipse(width, height, x, y, radius_x, radius_y):
    rows, columns = (np.mgrid[:height, :width].T + 0.5).T
    return ((columns / width - x) / radius_x) ** 2 + ((rows / height - y) / radius_y) ** 2 < 1


def sieve(width, height):
    """An ellipse with many small holes, off the grid of the low-resolution cells."""
    rows, columns = np.mgrid[:height, :width]
    holes = (rows % 7 < 3) & (columns % 11 < 4)
    return ellipse(width, height, 0.55, 0.45, 0.3, 0.35) & ~holes


def prompts_for(width, height):
    """(name, prompt) pairs. A prior mask is an array of bool, under "mask"."""
    random = np.random.RandomState(width * 10007 + height)
    named = []
    for y in (0.2, 0.5, 0.8):
        for x in (0.2, 0.5, 0.8):
            named.append((f"point {x:.1f} {y:.1f}", {"points": [[x * width, y * height]]}))
    named.append(("first pixel", {"points": [[0, 0]]}))
    named.append(("last pixel", {"points": [[width - 1, height - 1]]}))

    for count, foreground in ((2, 2), (2, 1), (3, 1), (6, 3)):
        named.append((f"clicks {foreground}+{count - foreground}", clicks(random, width, height, count, foreground)))
    for count, foreground in ((10, 7), (20, 11), (20, 20)):
        named.append((f"clicks {foreground}+{count - foreground}", clicks(random, width, height, count, foreground)))

    boxes = {
        "box middle": box_at(width, height, 0.3, 0.3, 0.7, 0.7),
        "box left": box_at(width, height, 0.03, 0.1, 0.45, 0.93),
        "box small": box_at(width, height, 0.6, 0.55, 0.68, 0.66),
        "box all": [0, 0, width, height],
    }
    named += [(name, {"box": box}) for name, box in boxes.items()]
    for name, count, foreground in (("box middle", 1, 1), ("box left", 1, 0), ("box all", 3, 2)):
        prompt = {"box": boxes[name], **clicks(random, width, height, count, foreground)}
        named.append((f"{name}, clicks {foreground}+{count - foreground}", prompt))

    round_mask = ellipse(width, height, 0.4, 0.5, 0.2, 0.3)
    named.append(("prior", {"mask": round_mask}))
    named.append(("prior, point", {"mask": round_mask, "points": [[0.4 * width, 0.5 * height]]}))
    named.append(("prior, box", {"mask": round_mask, "box": box_at(width, height, 0.2, 0.2, 0.6, 0.8)}))
    sieved = {"mask": sieve(width, height), **clicks(random, width, height, 4, 2)}
    named.append(("prior sieve, clicks 2+2", sieved))
    return named


def chains_for(width, height):
    """(name, steps) pairs. A step is (prompt, multimask, index): what is asked, each time of the mask that the step
    before chose from its answer, and which mask of its own answer it chooses."""
    points = (np.array([[0.5, 0.5], [0.62, 0.4], [0.35, 0.7]]) * (width, height)).round(2).tolist()
    box = box_at(width, height, 0.25, 0.25, 0.75, 0.8)
    prior = ellipse(width, height, 0.45, 0.5, 0.25, 0.3)
    return [
        ("a second click", [({"points": points[:1]}, "auto", 0), ({"points": points[:2]}, "auto", 0)]),
        ("the second click alone", [({"points": points[:1]}, True, 2), ({"points": points[1:2]}, True, 0)]),
        ("a background click", [({"box": box}, "auto", 0), ({"points": points[2:], "labels": [0], "box": box}, "auto", 0)]),
        (
            "three clicks",
            [
                ({"points": points[:1]}, False, 0),
                ({"points": points[:2]}, "auto", 0),
                ({"points": points, "labels": [1, 1, 0]}, "auto", 0),
            ],
        ),
        ("of a prior mask", [({"mask": prior, "points": points[:1]}, True, 1), ({"points": points[:2]}, "auto", 0)]),
    ]
