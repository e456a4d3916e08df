#!/usr/bin/env python3
"""Draws the sample photograph of `make demo`: a still life, the same on every machine.

usage: draw_sample.py OUTPUT.jpg
       draw_sample.py --page api/page/sample.jpg     smaller, for the web page
"""
import random
import sys

from PIL import Image, ImageChops, ImageDraw, ImageFilter

WIDTH, HEIGHT = 1280, 853
TABLE = 560  # where the table begins

# What the demo prompts: a point on the apple, a box around the book, both on the jug.
APPLE = (360, 560, 130)
JUG = (590, 250, 830, 700)
BOOK = [(880, 640), (1160, 590), (1215, 690), (930, 750)]


def gradient(top, bottom, size):
    """A vertical gradient."""
    ramp = Image.linear_gradient("L").resize(size)
    return Image.composite(Image.new("RGB", size, bottom), Image.new("RGB", size, top), ramp)


def grain(size, amount, seed):
    """Soft noise around grey, for the texture of wood, wall and film."""
    source = random.Random(seed)
    small = Image.frombytes("L", (size[0] // 2, size[1] // 2),
                            bytes(source.randrange(128 - amount, 128 + amount)
                                  for _ in range((size[0] // 2) * (size[1] // 2))))
    return small.resize(size, Image.BICUBIC).convert("RGB")


def shadow(canvas, box):
    """A soft shadow on the table."""
    layer = Image.new("L", canvas.size, 0)
    ImageDraw.Draw(layer).ellipse(box, fill=110)
    layer = layer.filter(ImageFilter.GaussianBlur(18))
    canvas.paste(Image.new("RGB", canvas.size, (25, 15, 10)), (0, 0), layer)


def ball(canvas, centre, radius, colour):
    """A sphere that is lit from the upper left."""
    x, y = centre
    size = (2 * radius, 2 * radius)
    light = Image.radial_gradient("L").resize((3 * radius, 3 * radius))
    light = ImageChops.invert(light).crop((radius, radius, 3 * radius, 3 * radius))
    dark = tuple(c // 4 for c in colour)
    face = Image.composite(Image.new("RGB", size, colour), Image.new("RGB", size, dark), light)
    mask = Image.new("L", (4 * size[0], 4 * size[1]), 0)
    ImageDraw.Draw(mask).ellipse((0, 0, 4 * size[0] - 1, 4 * size[1] - 1), fill=255)
    canvas.paste(face, (x - radius, y - radius), mask.resize(size, Image.LANCZOS))


def jug(canvas):
    """A glazed jug, shaded as a cylinder."""
    left, top, right, bottom = JUG
    width, height = right - left, bottom - top
    mask = Image.new("L", (2 * canvas.width, 2 * canvas.height), 0)
    draw = ImageDraw.Draw(mask)
    body = [(left + 30, top + 20), (right - 60, top + 20), (right - 45, top + 140),
            (right - 20, top + 300), (right - 50, bottom - 10), (left + 50, bottom - 10),
            (left, top + 300), (left + 30, top + 140)]
    draw.polygon([(2 * x, 2 * y) for x, y in body], fill=255)
    draw.arc((2 * (right - 125), 2 * (top + 60), 2 * right, 2 * (top + 260)), 270, 90, fill=255, width=40)
    mask = mask.resize(canvas.size, Image.LANCZOS).filter(ImageFilter.GaussianBlur(1.2))
    shade = Image.linear_gradient("L").rotate(90).resize((width, height))
    face = Image.composite(Image.new("RGB", (width, height), (30, 70, 110)),
                           Image.new("RGB", (width, height), (120, 175, 205)), shade)
    layer = Image.new("RGB", canvas.size)
    layer.paste(face, (left, top))
    canvas.paste(layer, (0, 0), mask)
    ImageDraw.Draw(canvas).ellipse((left + 32, top + 8, right - 62, top + 34), fill=(24, 50, 78),
                                   outline=(140, 190, 215), width=3)


def book(canvas):
    """A closed book, lying."""
    draw = ImageDraw.Draw(canvas)
    down = [(x, y + 42) for x, y in BOOK]
    draw.polygon([BOOK[3], BOOK[2], down[2], down[3]], fill=(236, 226, 200))
    draw.polygon([BOOK[0], BOOK[3], down[3], down[0]], fill=(120, 32, 30))
    for i in range(6, 40, 6):
        draw.line([(BOOK[3][0], BOOK[3][1] + i), (BOOK[2][0], BOOK[2][1] + i)], fill=(205, 193, 165))
    draw.polygon(BOOK, fill=(168, 48, 42))
    draw.line([(930, 655), (1150, 616)], fill=(228, 190, 110), width=7)


def draw_sample():
    canvas = gradient((206, 196, 178), (158, 146, 128), (WIDTH, HEIGHT))
    table = gradient((122, 78, 44), (168, 112, 66), (WIDTH, HEIGHT - TABLE))
    table = ImageChops.overlay(table, grain((WIDTH // 16 * 2, HEIGHT - TABLE), 40, 2).resize(table.size))
    canvas.paste(table, (0, TABLE))
    for box in [(230, 640, 560, 720), (560, 660, 900, 740), (860, 690, 1270, 820), (20, 700, 230, 760)]:
        shadow(canvas, box)
    ball(canvas, (115, 650), 85, (236, 150, 40))
    ball(canvas, APPLE[:2], APPLE[2], (205, 40, 36))
    ImageDraw.Draw(canvas).line([(362, 440), (372, 405)], fill=(70, 45, 20), width=9)
    jug(canvas)
    book(canvas)
    return ImageChops.overlay(canvas, grain((WIDTH, HEIGHT), 12, 3)).filter(ImageFilter.GaussianBlur(0.6))


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "--page":
        draw_sample().resize((1080, 720), Image.LANCZOS).save(sys.argv[2], quality=80, optimize=True)
    elif len(sys.argv) == 2:
        draw_sample().save(sys.argv[1], quality=92)
    else:
        sys.exit(__doc__)
