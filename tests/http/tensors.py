"""safetensors files, read and made by hand (github.com/huggingface/safetensors, README)."""

import json
import struct

import numpy

DTYPES = {"F16": "<f2", "F32": "<f4"}


def read(data):
    """The metadata and the tensors by name."""
    size, = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + size])
    metadata = header.pop("__metadata__")
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + size + offset for offset in entry["data_offsets"])
        values = numpy.frombuffer(data[begin:end], DTYPES[entry["dtype"]])
        tensors[name] = values.reshape(entry["shape"])
    return metadata, tensors


def pack(header, data):
    """Any header (JSON, or bytes as they are) before any data."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % 64)
    return struct.pack("<Q", len(text)) + text + data


def write(metadata, tensors):
    header, data = {"__metadata__": metadata}, b""
    for name, values in tensors.items():
        raw = values.tobytes()
        kind = next(kind for kind, dtype in DTYPES.items() if values.dtype == dtype)
        header[name] = {"dtype": kind, "shape": list(values.shape),
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    return pack(header, data)
