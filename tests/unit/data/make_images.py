#!/usr/bin/env python3
"""Makes tests/unit/data/image/: small images of every kind and, beside each, Pillow's pixels as NAME.ppm.

Needs python3-pil (9.4 made the files that are checked in) and python3-numpy. Deterministic:

    python3 tests/unit/data/make_images.py
"""

import io
import pathlib
import struct
import warnings
import zlib

import numpy
from PIL import Image, ImageOps

FOLDER = pathlib.Path(__file__).parent / "image"
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


# ---- what the files are made of --------------------------------------------------------------------


def noise(width, height, channels=3):
    """The bytes of image_fixture.c's noise_image(): a linear congruential generator's high byte."""
    state, data = 1, bytearray()
    for _ in range(width * height * channels):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        data.append(state >> 24)
    return numpy.frombuffer(bytes(data), numpy.uint8).reshape(height, width, channels)


def picture(width, height):
    """Smooth, and different in each corner: what a lossy format keeps and a wrong orientation shows."""
    y, x = numpy.mgrid[0:height, 0:width]
    red, green = x * 255 // max(1, width - 1), y * 255 // max(1, height - 1)
    return Image.fromarray(numpy.stack([red, green, (red + 2 * green) % 256], -1).astype(numpy.uint8))


def with_alpha(image):
    alpha = noise(*image.size, 1)[:, :, 0]
    image = image.convert("RGBA")
    image.putalpha(Image.fromarray(numpy.where(alpha < 128, 0, alpha).astype(numpy.uint8)))
    return image


def exif(orientation):
    data = Image.Exif()
    data[0x0112] = orientation
    return data.tobytes()


def encode(image, form, **options):
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


# ---- writing ---------------------------------------------------------------------------------------


def write_ppm(name, pixels):
    height, width = pixels.shape[:2]
    (FOLDER / f"{name}.ppm").write_bytes(b"P6\n%d %d\n255\n" % (width, height) + pixels.tobytes())


def write(name, data, pixels=None):
    """The file, and the pixels that Pillow reads in it unless others are given."""
    if pixels is None:
        image = Image.open(io.BytesIO(data))
        pixels = numpy.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    write_only(name, data)
    write_ppm(name.replace(".", "_"), pixels)


def write_only(name, data):
    assert len(data) <= 2048, f"{name} has {len(data)} bytes"
    (FOLDER / name).write_bytes(data)


# ---- JPEG ------------------------------------------------------------------------------------------


def segment(marker, payload):
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def jpeg_scans(data):
    """The bytes before the first scan, and each scan with the tables in front of it."""
    at, start, head, scans = 2, 2, None, []
    while data[at + 1] != 0xD9:
        marker, (length,) = data[at + 1], struct.unpack(">H", data[at + 2 : at + 4])
        at += 2 + length
        if marker == 0xC2:
            head, start = data[:at], at
        if marker == 0xDA:
            while data[at] != 0xFF or data[at + 1] == 0:
                at += 1
            scans.append(data[start:at])
            start = at
    return head, scans


def jpeg_header(width, height, components):
    frame = struct.pack(">BHHB", 8, height, width, components)
    scan = bytes([components])
    for index in range(components):
        frame += bytes([index + 1, 0x11, 0])
        scan += bytes([index + 1, 0])
    return b"\xff\xd8" + segment(0xC0, frame) + segment(0xDA, scan + b"\x00\x3f\x00")


def make_jpeg():
    for orientation in range(1, 9):
        write(f"orientation{orientation}.jpg", encode(picture(11, 7), "JPEG", exif=exif(orientation)))
    image = picture(33, 17)
    for name, subsampling in (("444", 0), ("422", 1), ("420", 2)):
        write(f"{name}.jpg", encode(image, "JPEG", quality=85, subsampling=subsampling))
    write("progressive.jpg", encode(image, "JPEG", quality=85, progressive=True))
    write("grey.jpg", encode(image.convert("L"), "JPEG"))
    grey = encode(picture(16, 12).convert("L"), "JPEG", progressive=True)
    write("grey_progressive.jpg", grey)

    cmyk = encode(Image.fromarray(noise(16, 12, 4), "CMYK"), "JPEG", quality=90)
    write("cmyk.jpg", cmyk)
    adobe = cmyk.index(b"Adobe")
    write("ycck.jpg", cmyk[: adobe + 11] + b"\x02" + cmyk[adobe + 12 :])
    write("cmyk_plain.jpg", cmyk[: adobe - 4] + cmyk[adobe + 12 :])

    plain = encode(picture(11, 7), "JPEG")
    xmp = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>")
    write("xmp_then_exif.jpg", plain[:2] + xmp + segment(0xE1, exif(6)) + plain[2:])

    head, scans = jpeg_scans(grey)
    again = scans[1][scans[1].index(b"\xff\xda") :]  # without its Huffman table, which is known by now
    write_only("many_scans.jpg", head + b"".join(scans[:2]) + again * 50 + b"\xff\xd9")
    write_only("huge.jpg", jpeg_header(60000, 60000, 1))
    write_only("two_components.jpg", jpeg_header(7, 7, 2))
    write_only("empty.jpg", jpeg_header(7, 0, 1))
    flat = Image.new("L", (480, 400), 128)
    write_only("flat.jpg", encode(flat, "JPEG", quality=30, optimize=True))
    write_only("flat_progressive.jpg", encode(flat, "JPEG", quality=30, progressive=True))


# ---- PNG -------------------------------------------------------------------------------------------


def chunk(kind, payload):
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def png(width, height, depth, colour, rows, before=b"", after=b"", interlaced=0):
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    data = chunk(b"IDAT", zlib.compress(rows, 9))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + data + after + chunk(b"IEND", b"")


def random_rows(width, height, bits):
    """Rows of random samples, each with filter type 0 in front."""
    size = (width * bits + 7) // 8
    return b"".join(b"\0" + row.tobytes() for row in noise(size, height, 1)[:, :, 0])


def adam7_rows(pixels):
    rows = b""
    for left, top, dx, dy in ADAM7:
        part = pixels[top::dy, left::dx]
        if part.size:
            rows += b"".join(b"\0" + row.tobytes() for row in part)
    return rows


def make_png():
    width, height = 13, 9
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
    names = {0: "grey", 2: "rgb", 3: "palette", 4: "grey_alpha", 6: "rgba"}
    transparent = {0: b"\0\1", 2: b"\0\1\0\2\0\3", 3: b"\0\x80\xff"[:2]}
    kinds = [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16), (3, 1), (3, 2), (3, 4), (3, 8)]
    for colour, depth in kinds + [(4, 8), (4, 16), (6, 8), (6, 16)]:
        rows = random_rows(width, height, depth * channels[colour])
        before = chunk(b"PLTE", noise(1 << depth, 1).tobytes()) if colour == 3 else b""
        if colour in transparent:
            before += chunk(b"tRNS", transparent[colour])
        pixels = None
        if (colour, depth) == (0, 16):  # Pillow clips these at 255; maskd takes the high byte
            high = numpy.frombuffer(rows, numpy.uint8).reshape(height, 1 + 2 * width)[:, 1::2]
            pixels = numpy.repeat(high[:, :, None], 3, 2)
        data = png(width, height, depth, colour, rows, before)
        write(f"{names[colour]}{depth}.png", data, pixels)

    for width, height in ((13, 9), (3, 1), (1, 5)):
        pixels = noise(width, height)
        rows = adam7_rows(pixels)
        write(f"interlaced{width}x{height}.png", png(width, height, 8, 2, rows, interlaced=1))
    rows = random_rows(5, 4, 24)
    write("exif_first.png", png(5, 4, 8, 2, rows, before=chunk(b"eXIf", exif(6)[6:])))
    write("exif_last.png", png(5, 4, 8, 2, rows, after=chunk(b"eXIf", exif(8)[6:])))

    write_only("flat.png", png(480, 400, 1, 0, (b"\0" + b"\xff" * 60) * 400))
    write_only("huge.png", png(60000, 60000, 8, 2, b""))


# ---- WebP ------------------------------------------------------------------------------------------


def riff(kind, payload):
    return kind + struct.pack("<I", len(payload)) + payload + b"\0" * (len(payload) & 1)


def three(number):
    return struct.pack("<I", number)[:3]


def webp(chunks):
    return riff(b"RIFF", b"WEBP" + chunks)


def extended(width, height, flags, chunks):
    return webp(riff(b"VP8X", bytes([flags, 0, 0, 0]) + three(width - 1) + three(height - 1)) + chunks)


def animation(width, height, frames):
    """Frames are (x, y, still WebP file, blend); x and y are even."""
    chunks = riff(b"ANIM", b"\xff\x80\x40\xff\0\0")
    for x, y, still, blend in frames:
        size = Image.open(io.BytesIO(still)).size
        place = three(x // 2) + three(y // 2) + three(size[0] - 1) + three(size[1] - 1)
        chunks += riff(b"ANMF", place + three(100) + bytes([0 if blend else 2]) + still[12:])
    return extended(width, height, 0x12, chunks)


def make_webp():
    image = picture(33, 17)
    write("lossy.webp", encode(image, "WEBP", quality=80))
    write("lossy_alpha.webp", encode(with_alpha(image), "WEBP", quality=80))
    image = picture(16, 12)
    lossless = encode(image, "WEBP", lossless=True)
    write("lossless.webp", lossless)
    write("lossless_alpha.webp", encode(with_alpha(image), "WEBP", lossless=True, exact=True))
    for name, data in (("prefixed", exif(6)), ("bare", exif(6)[6:])):
        write(f"exif_{name}.webp", encode(picture(11, 7), "WEBP", lossless=True, exif=data))
    lossy = encode(picture(16, 12), "WEBP", quality=60)
    write("animated.webp", animation(20, 18, [(2, 4, lossless, True), (0, 0, lossy, False)]))
    write("animated_lossy.webp", animation(16, 12, [(0, 0, lossy, False), (0, 0, lossless, True)]))

    flat = Image.new("RGB", (480, 400), (200, 100, 50))
    write_only("flat.webp", encode(flat, "WEBP", lossless=True))
    write_only("huge.webp", animation(60000, 60000, [(0, 0, lossless, True)]))


# ---- resampling ------------------------------------------------------------------------------------

RESIZES = """33x17-16x12 16x12-33x17 16x12-16x5 16x12-5x12 16x12-16x20 16x12-29x12 1x1-9x7 1x40-1x7 40x1-7x1
1x40-3x9 500x3-2x3 3x500-3x2 200x2-3x30 2x200-30x3 97x61-20x13 9000x1-2x2 7x5-1x1 5x3-25x19 26x25-25x24"""


def make_resized():
    for name in RESIZES.split():
        source, target = (tuple(map(int, size.split("x"))) for size in name.split("-"))
        resized = Image.fromarray(noise(*source)).resize(target, Image.BILINEAR)
        write_ppm(f"resize_{name}", numpy.asarray(resized))


warnings.simplefilter("ignore", UserWarning)  # Pillow's advice on palettes with transparency
FOLDER.mkdir(exist_ok=True)
make_jpeg()
make_png()
make_webp()
make_resized()
