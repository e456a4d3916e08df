"""A maskd on a free port and what it answers: the daemon, client and RLE of the HTTP tests."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "http"))

import rle  # noqa: E402
from client import Client  # noqa: E402
from daemon import Daemon  # noqa: E402

MULTIMASKS = ("auto", True, False)


def request_body(prompts, multimask="auto"):
    """One segment request for all prompts. A prompt's "mask" is an array; it goes out as coco_rle."""
    items = []
    for prompt in prompts:
        item = dict(prompt, multimask=multimask)
        if "mask" in item:
            plain = rle.encode(item["mask"])
            item["mask"] = {"size": plain["size"], "counts": rle.text_of(plain["counts"])}
        items.append(item)
    return {"prompts": items, "format": "coco_rle"}


class Service:
    def __init__(self):
        self.daemon = Daemon()
        self.client = Client(self.daemon.port, timeout=120)

    def close(self):
        self.client.close()
        self.daemon.stop()

    def post(self, path, body):
        answer = self.client.request("POST", path, body)
        if answer.status not in (200, 201):
            raise RuntimeError(f"POST {path}: {answer}")
        return answer.json()

    def upload(self, path):
        """The image's answer: id, width, height ..."""
        return self.post("/v1/images", path.read_bytes())

    def ask(self, image_id, prompts):
        """For each multimask a list: the masks of each prompt."""
        answers = {}
        for multimask in MULTIMASKS:
            answers[multimask] = [[] for _ in prompts]
            body = request_body(prompts, multimask)
            for mask in self.post(f"/v1/images/{image_id}/segment", body)["masks"]:
                answers[multimask][mask["prompt"]].append(mask)
        return answers
