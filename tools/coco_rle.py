"""COCO's compressed run-length encoding (cocoapi, common/maskApi.c: rleFrString), for the demo and the tests."""


def counts_of(text):
    """The compressed form's characters become run lengths."""
    counts, value, shift = [], 0, 0
    for character in text:
        group = ord(character) - 48
        assert 0 <= group < 64, f"{character!r} is not in the alphabet"
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        if len(counts) > 2:
            value += counts[-2]
        counts.append(value)
        value, shift = 0, 0
    assert shift == 0, "the string ends within a number"
    return counts
