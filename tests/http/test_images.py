"""What is inside an upload: good images, strange ones, damaged ones, and bombs."""

import struct
import unittest
import zlib
from pathlib import Path

import images
from case import DaemonCase


class GoodImages(DaemonCase):
    """Sizes in the answer are those of the upright image."""

    def sizes(self, image_id, data):
        answer = self.upload(image_id, data)
        return answer["width"], answer["height"]

    def test_the_content_decides_not_the_type(self):
        for form, claimed in (("JPEG", "image/png"), ("WEBP", "text/html"), ("PNG", "")):
            with self.subTest(form):
                data = images.save(images.disc_image(), form)
                answer = self.request("POST", f"/v1/images?id={form}", data,
                                      {"Content-Type": claimed})
                self.assertEqual(answer.status, 201, answer)

    def test_one_pixel(self):
        self.assertEqual(self.sizes("one", images.plain(1, 1)), (1, 1))
        mask = self.segment("one", {"points": [[0, 0]]})[0]
        self.assertEqual(mask["segmentation"]["size"], [1, 1])

    def test_one_pixel_wide(self):
        self.assertEqual(self.sizes("wide", images.noise(1, 3000)), (1, 3000))
        mask = self.segment("wide", {"points": [[0.5, 1500]]})[0]
        self.assertEqual(mask["segmentation"]["size"], [3000, 1])

    def test_the_longest_side_there_may_be(self):
        self.assertEqual(self.sizes("long", images.plain(32767, 2)), (32767, 2))
        mask = self.segment("long", {"box": [0, 0, 32767, 2]})[0]
        self.assertEqual(mask["segmentation"]["size"], [2, 32767])

    def test_exif_orientation(self):
        for form, orientation, size in (("JPEG", 6, (320, 480)), ("PNG", 8, (480, 320)),
                                        ("WEBP", 5, (90, 60))):
            with self.subTest(form=form, orientation=orientation):
                upright = images.disc_image(size, (30, 30, 20))
                data = images.rotated(upright, orientation, form)
                self.assertEqual(self.sizes(f"turned-{form}", data), size)


class BadImages(DaemonCase):
    """Nothing of these is kept, and none costs much memory."""

    flags = ("--max-pixels", "5000000")

    def refuse(self, name, data, kind):
        answer = self.request("POST", f"/v1/images?id={name}", data)
        detail = self.refused(answer, kind)
        self.assertEqual(self.request("GET", f"/v1/images/{name}").status, 404)
        return detail

    def test_no_image(self):
        self.refused(self.request("POST", "/v1/images", b""), "bad-request")
        for name, data in (("text", b"a photo of a cat"), ("zeros", bytes(5000)),
                           ("gif", b"GIF89a" + bytes(100)), ("svg", b"<svg/>"),
                           ("one-byte", b"\xff"), ("jpeg-magic", b"\xff\xd8\xff"),
                           ("png-magic", images.PNG_MAGIC), ("riff", b"RIFF\4\0\0\0WEBP"),
                           ("tiff", b"II*\0" + bytes(100))):
            with self.subTest(name):
                self.refuse(name, data, "unsupported-image")

    def test_huge_headers(self):
        bombs = (("png", images.png(60000, 60000, zlib.compress(bytes(100)))),
                 ("png-max", images.png(2**31 - 1, 2**31 - 1, b"")),
                 ("jpeg", images.jpeg_header(60000, 60000)),
                 ("jpeg-max", images.jpeg_header(65500, 65500)),
                 ("webp", images.webp_lossless_header(16384, 16384)),
                 ("webp-canvas", images.webp_animation(60000, 60000)))
        with self.memory_limit(20):
            for name, data in bombs:
                with self.subTest(name):
                    detail = self.refuse(name, data, "invalid-image")
                    self.assertRegex(detail, r"\d+ x \d+ pixels; the limit is \d+")

    def test_pixels_over_the_limit(self):
        for form in ("PNG", "JPEG", "WEBP"):
            with self.subTest(form):
                detail = self.refuse(form, images.plain(2501, 2000, form), "invalid-image")
                self.assertIn("5000000", detail)
                self.assertIn("2501 x 2000", detail)

    def test_a_side_over_the_limit(self):
        detail = self.refuse("long", images.plain(32768, 1), "invalid-image")
        self.assertIn("32767", detail)

    def test_a_limit_found_while_decoding(self):
        data = (Path(__file__).parents[1] / "unit/data/image/many_scans.jpg").read_bytes()
        self.assertIn("scans", self.refuse("scans", data, "invalid-image"))

    def test_sizes_that_cannot_be(self):
        for name, data in (("no-width", images.png(0, 10, zlib.compress(b""))),
                           ("no-height", images.png(10, 0, zlib.compress(b""))),
                           ("over-31-bits", images.png(2**32 - 1, 2**32 - 1, b"")),
                           ("no-jpeg-width", images.jpeg_header(0, 16))):
            with self.subTest(name):
                self.refuse(name, data, "unsupported-image")

    def test_zlib_bomb(self):
        bomb = images.png_bomb(64, 64, 200)
        with self.memory_limit(400):  # an encode needs most of this
            answer = self.request("POST", "/v1/images?id=bomb", bomb)
        self.assertIn(answer.status, (201, 415), answer)  # the pixels are there, and much more

    def test_zlib_bomb_in_a_text_chunk(self):
        bomb = zlib.compress(bytes(100 << 20), 9)
        small = images.noise(64, 64)[:-200]  # damaged: it is not encoded
        for chunk in (b"zTXt", b"iCCP", b"iTXt"):
            with self.subTest(chunk), self.memory_limit(50):
                text = b"name\0" + (b"\1\0\0\0" if chunk == b"iTXt" else b"\0") + bomb
                data = small[:33] + images.png_chunk(chunk, text) + small[33:]
                self.refuse(chunk.decode(), data, "unsupported-image")

    def test_truncated(self):
        for form in ("PNG", "JPEG", "WEBP"):
            data = images.noise(200, 150, form)
            for share in (0.001, 0.01, 0.1, 0.5, 0.9, 0.99):
                size = max(3, int(len(data) * share))
                with self.subTest(form=form, size=size):
                    self.refuse(f"{form}-{size}", data[:size], "unsupported-image")

    def test_damaged(self):
        data = images.noise(200, 150)
        at = data.index(b"IDAT") + 100
        self.refuse("crc", data[:at] + bytes([data[at] ^ 1]) + data[at + 1:], "unsupported-image")
        self.refuse("no-data", images.png(64, 64, b""), "unsupported-image")
        self.refuse("little-data", images.png(64, 64, zlib.compress(bytes(99))),
                    "unsupported-image")
        self.refuse("no-idat", data[:33] + data[-12:], "unsupported-image")
        webp = bytearray(images.noise(200, 150, "WEBP"))
        webp[4:8] = struct.pack("<I", 2**32 - 10)
        self.refuse("riff-size", bytes(webp), "unsupported-image")

    def test_a_failed_image_does_not_hold_its_id(self):
        good = images.plain(40, 40)
        self.refuse("again", good[:-20], "unsupported-image")
        self.assertEqual(self.request("POST", "/v1/images?id=again", good).status, 201)


if __name__ == "__main__":
    unittest.main()
