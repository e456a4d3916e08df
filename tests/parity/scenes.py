"""Three images, drawn the same on every machine: textured scenes with overlapping shapes, so that masks have
something to find and their edges are not trivial."""

import numpy as np
from PIL import Image, ImageDraw

ORIENTATION, ROTATED_90 = 0x0112, 6  # EXIF: the camera was held upright, the rows are columns


def noise(random, width, height, cell):
    """Smooth noise in [0, 1], of structures about `cell` pixels large."""
    coarse = random.randint(0, 256, (height // cell + 2, width // cell + 2)).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.BICUBIC), np.float32) / 255


def texture(random, width, height, colour):
    """A coloured surface: clouds, grain and, now and then, stripes."""
    light = 0.55 + 0.35 * noise(random, width, height, max(8, width // 9))
    light += 0.12 * noise(random, width, height, 3)
    if random.uniform() < 0.4:
        period, slope = random.uniform(6, 24), random.uniform(-1, 1)
        y, x = np.mgrid[:height, :width]
        light += 0.10 * np.sin((x + slope * y) * (2 * np.pi / period))
    return np.clip(light[..., None] * np.asarray(colour), 0, 255).astype(np.uint8)


def outline(random, width, height):
    """The mask of a blob, a box, a star or a ring."""
    mask = Image.new("L", (width, height))
    draw = ImageDraw.Draw(mask)
    short = min(width, height)
    x, y = random.uniform(0.05, 0.95) * width, random.uniform(0.05, 0.95) * height
    size = random.uniform(0.06, 0.24) * short
    kind = random.randint(4)
    if kind == 0:
        draw.ellipse((x - size, y - size * 0.7, x + size, y + size * 0.7), fill=255)
    elif kind == 1:
        draw.rectangle((x - size, y - size * 0.6, x + size, y + size * 0.6), fill=255)
    elif kind == 2:
        angles = np.linspace(0, 2 * np.pi, 15)[:-1]
        reach = size * random.uniform(0.4, 1.2, angles.size)
        draw.polygon(list(zip(x + reach * np.cos(angles), y + reach * np.sin(angles))), fill=255)
    else:
        draw.ellipse((x - size, y - size, x + size, y + size), fill=255)
        size *= 0.55
        draw.ellipse((x - size, y - size, x + size, y + size), fill=0)
    return mask


def scene(seed, width, height, shapes):
    random = np.random.RandomState(seed)  # the generator whose numbers never change
    image = Image.fromarray(texture(random, width, height, (130, 160, 190)))
    ground = Image.fromarray(texture(random, width, height, (120, 140, 90)))
    horizon = int(height * 0.6)
    image.paste(ground.crop((0, horizon, width, height)), (0, horizon))
    for _ in range(shapes):
        colour = random.randint(60, 256, 3)
        mask = outline(random, width, height)
        shade = Image.new("RGB", (width, height), tuple(int(c) // 5 for c in colour))
        shifted = Image.new("L", (width, height))
        shifted.paste(mask.point(lambda v: v // 3), (min(width, height) // 60, min(width, height) // 60))
        image.paste(shade, mask=shifted)
        image.paste(Image.fromarray(texture(random, width, height, colour)), mask=mask)
    return image


def draw(directory):
    """Draws the scenes into a folder; returns the files. One of each kind that maskd reads."""
    landscape = directory / "landscape.png"
    scene(1, 1350, 900, 22).save(landscape)

    # Stored lying, with the orientation that makes it upright: 720 x 1080.
    portrait = directory / "portrait.jpg"
    exif = Image.Exif()
    exif[ORIENTATION] = ROTATED_90
    upright = scene(2, 720, 1080, 18)
    upright.transpose(Image.ROTATE_90).save(portrait, quality=90, exif=exif)

    small = directory / "small.webp"
    scene(3, 200, 133, 9).save(small, lossless=True)
    return [landscape, portrait, small]
