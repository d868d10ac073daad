"""Reads the file of an offline run of Weights & Biases."""

import json

import pytest

BLOCK, HEADER = 32768, 7


def records(path):
    """The records of an offline run's file, a LevelDB log with a different header."""
    proto = pytest.importorskip(
        "wandb.proto.wandb_internal_pb2", reason="NOT TESTED: wandb is not installed"
    )
    data = path.read_bytes()
    assert data[:4] == b":W&B"
    position, parts = HEADER, []
    while position + HEADER <= len(data):
        if BLOCK - position % BLOCK < HEADER:  # no header fits into the rest of the block
            position += BLOCK - position % BLOCK
            continue
        length = int.from_bytes(data[position + 4 : position + 6], "little")
        kind = data[position + 6]  # 1: a full record, 2: its first part, 3: a middle, 4: the last
        position += HEADER
        parts.append(data[position : position + length])
        position += length
        if kind in (1, 4):
            yield proto.Record.FromString(b"".join(parts))
            parts = []


def read(items):
    """Items as a dictionary; the parts of nested keys are joined by dots."""
    return {".".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}
