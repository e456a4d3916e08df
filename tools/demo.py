#!/usr/bin/env python3
"""The whole main job, from nothing to masks: starts a daemon on a free port, uploads an image, prompts it with a point, a box
and both, prints the answers and how long they took, writes overlays, stops the daemon.

usage: demo.py MASKD OUTPUT_DIRECTORY [IMAGE]     without IMAGE: the sample that draw_sample.py draws
"""
import json
import os
import re
import subprocess
import sys
import time
import urllib.request

from PIL import Image, ImageDraw, ImageOps

import coco_rle
import draw_sample


def start_daemon(maskd, log_path):
    """Starts maskd on a free port; gives the process and its URL."""
    with open(log_path, "w") as log:
        flags = ["--host", "127.0.0.1", "--port", "0", "--log-format", "text", "--log-level", "info"]
        process = subprocess.Popen([maskd, *flags], stderr=log)
    for _ in range(200):
        text = open(log_path).read()
        found = re.search(r"listening host=\S+ port=(\d+)", text)
        if found:
            return process, f"http://127.0.0.1:{found.group(1)}"
        if process.poll() is not None:
            break
        time.sleep(0.05)
    process.kill()
    sys.exit(f"demo: the daemon did not start:\n{open(log_path).read()}")


def post(url, body):
    """Gives the parsed answer and the milliseconds that it took."""
    start = time.perf_counter()
    with urllib.request.urlopen(urllib.request.Request(url, data=body, method="POST")) as answer:
        parsed = json.load(answer)
    return parsed, (time.perf_counter() - start) * 1000


def mask_image(segmentation):
    """The RLE as a black and white image; runs go down the columns."""
    height, width = segmentation["size"]
    columns = b"".join((b"\xff" if i % 2 else b"\0") * n
                       for i, n in enumerate(coco_rle.counts_of(segmentation["counts"])))
    return Image.frombytes("L", (height, width), columns).transpose(Image.TRANSPOSE)


def overlay(image, mask, prompt, path):
    """The image with the mask tinted and outlined and the prompt drawn."""
    tinted = Image.blend(image, Image.new("RGB", image.size, (0, 255, 130)), 0.55)
    shown = Image.composite(tinted, image, mask)
    draw = ImageDraw.Draw(shown)
    size = max(image.size) // 160 + 2
    for x, y in prompt.get("points", []):
        draw.ellipse((x - size, y - size, x + size, y + size), fill=(230, 0, 90), outline="white",
                     width=size // 4 + 1)
    if "box" in prompt:
        draw.rectangle(prompt["box"], outline=(255, 210, 0), width=size // 2)
    shown.save(path)


def prompts_for(image, is_sample):
    """A point, a box, and both; for a foreign image its middle."""
    if is_sample:
        x, y, _ = draw_sample.APPLE
        corners = draw_sample.BOOK
        book = [min(x for x, _ in corners) - 10, min(y for _, y in corners) - 10,
                max(x for x, _ in corners) + 10, max(y for _, y in corners) + 55]
        jug = list(draw_sample.JUG)
        inside = [[(jug[0] + jug[2]) // 2 - 15, (jug[1] + jug[3]) // 2]]
        return {"point": {"points": [[x, y]]}, "box": {"box": book},
                "box_and_point": {"box": jug, "points": inside}}
    width, height = image.size
    middle = [[width // 2, height // 2]]
    box = [width // 4, height // 4, width * 3 // 4, height * 3 // 4]
    return {"point": {"points": middle}, "box": {"box": box}, "box_and_point": {"box": box, "points": middle}}


def run(url, image_path, is_sample, directory):
    with open(image_path, "rb") as file:
        content = file.read()
    image = ImageOps.exif_transpose(Image.open(image_path)).convert("RGB")
    uploaded, took = post(url + "/v1/images", content)
    print(f"uploaded {image_path}: {json.dumps(uploaded)}\n  {took:.0f} ms in all\n")
    for name, prompt in prompts_for(image, is_sample).items():
        answer, took = post(f"{url}/v1/images/{uploaded['id']}/segment", json.dumps(prompt).encode())
        print(f"prompt {json.dumps(prompt)}\n{json.dumps(answer)}\n  {took:.1f} ms in all")
        path = os.path.join(directory, name + ".png")
        overlay(image, mask_image(answer["masks"][0]["segmentation"]), prompt, path)
        print(f"  overlay: {path}\n")


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    maskd, directory = sys.argv[1:3]
    os.makedirs(directory, exist_ok=True)
    is_sample = len(sys.argv) == 3
    image_path = os.path.join(directory, "sample.jpg") if is_sample else sys.argv[3]
    if is_sample:
        draw_sample.draw_sample().save(image_path, quality=92)
    process, url = start_daemon(maskd, os.path.join(directory, "maskd.log"))
    try:
        run(url, image_path, is_sample, directory)
    finally:
        process.terminate()
        status = process.wait(30)
    print(f"the daemon stopped with status {status}; its log: {directory}/maskd.log")
    return status


if __name__ == "__main__":
    sys.exit(main())
