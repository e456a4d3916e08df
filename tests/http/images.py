"""Test images, drawn or made by hand, always the same bytes."""

import functools
import io
import struct
import zlib

import numpy
from PIL import Image, ImageDraw

DISC = (320, 200, 100)  # the disc's centre and radius in disc()
SIZE = (640, 480)

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
ORIENTATION_TAG = 0x0112


def save(image, form="PNG", **options):
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def disc_image(size=SIZE, disc=DISC, seed=0):
    """A bright disc on a plain background; the seed makes it another image, not another scene."""
    image = Image.new("RGB", size, (40, 60 + seed % 16, 50 + seed // 16))
    x, y, radius = disc
    ImageDraw.Draw(image).ellipse([x - radius, y - radius, x + radius, y + radius],
                                  fill=(240, 220, 70))
    return image


@functools.cache
def disc(seed=0):
    return save(disc_image(seed=seed), "PNG")


def disc_mask(size=SIZE, circle=DISC):
    """[height, width] of bool: where the disc is."""
    x, y, radius = circle
    rows, columns = numpy.mgrid[0:size[1], 0:size[0]]
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius ** 2


def plain(width, height, form="PNG", colour=(90, 120, 60)):
    return save(Image.new("RGB", (width, height), colour), form)


def noise(width, height, form="PNG"):
    pixels = numpy.random.default_rng(7).integers(0, 256, (height, width, 3), numpy.uint8)
    return save(Image.fromarray(pixels), form)


# What has to be done to the upright image so that a viewer, told the orientation, undoes it.
STORED = {
    1: (),
    2: (Image.FLIP_LEFT_RIGHT,),
    3: (Image.ROTATE_180,),
    4: (Image.FLIP_TOP_BOTTOM,),
    5: (Image.TRANSPOSE,),
    6: (Image.ROTATE_90,),
    7: (Image.TRANSVERSE,),
    8: (Image.ROTATE_270,),
}


def rotated(image, orientation, form="JPEG", **options):
    """The upright image, stored turned, with the EXIF orientation that says so."""
    for step in STORED[orientation]:
        image = image.transpose(step)
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    return save(image, form, exif=exif.tobytes(), **options)


# ---- by hand

def png_chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + \
        struct.pack(">I", zlib.crc32(name + data))


def png(width, height, idat, depth=8, colour=2):
    """A PNG with this header and these compressed bytes, whatever they are."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return PNG_MAGIC + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", idat) + \
        png_chunk(b"IEND", b"")


def png_bomb(width, height, megabytes):
    """The IDAT unpacks to so many megabytes of zeros."""
    packer = zlib.compressobj(9)
    block = bytes(1 << 20)
    packed = b"".join(packer.compress(block) for _ in range(megabytes)) + packer.flush()
    return png(width, height, packed)


def jpeg_header(width, height):
    """A small JPEG whose frame header lies about its size."""
    data = bytearray(plain(16, 16, "JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 5:at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def webp_chunk(name, data):
    return name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def webp_lossless_header(width, height):
    """At most 16384 a side: 14 bits each."""
    bits = (width - 1) | (height - 1) << 14
    data = b"\x2f" + struct.pack("<I", bits) + bytes(32)
    chunk = webp_chunk(b"VP8L", data)
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def webp_animation(width, height):
    """An animation of one small frame on a canvas of this size: 24 bits a side."""
    def bits_24(value):
        return struct.pack("<I", value)[:3]

    frame = bits_24(0) + bits_24(0) + bits_24(15) + bits_24(15) + bits_24(100) + b"\0" + \
        plain(16, 16, "WEBP")[12:]
    canvas = bytes([2, 0, 0, 0]) + bits_24(width - 1) + bits_24(height - 1)
    chunks = webp_chunk(b"VP8X", canvas) + webp_chunk(b"ANIM", bytes(6)) + \
        webp_chunk(b"ANMF", frame)
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks
