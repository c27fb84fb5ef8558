"""What may differ between two runs of one command line: ids, times, sizes, pids and widths."""

import re

MASKS = tuple(
    (re.compile(pattern), mask)
    for pattern, mask in (
        (r"\r\n", "\n"),
        (r"\b[0-9a-f]{64}\b", "<id64>"),
        (r"\b[0-9a-f]{12}\b", "<id12>"),
        (r"\d{4}-\d\d-\d\d[T ][\d:]{8}(\.\d+)?( ?Z| ?[+-]\d\d:?\d\d)?( [A-Z]{3,4})?", "<time>"),
        (r"\b[A-Z][a-z]{2} [ \d]\d \d\d:\d\d\b", "<time>"),
        (r"(Less than a|About a|\d+|About an) (second|minute|hour)s?\b", "<while>"),
        (r"\b\d+ (day|week|month|year)s ago", "<while> ago"),
        (r"\b\d+(\.\d+)?(kB|MB|GB|B)\b", "<size>"),
        # Docker leaves out a step of the progress that another follows within 100 ms.
        (r"<id12>: Verifying Checksum\n", ""),
        # The command of 2022 tells of its own wait when a failed start overtakes it.
        (r'time="<time>" level=error msg="error waiting for container: context canceled"\n', ""),
        # Columns are as wide as their longest value, which the masks have changed.
        (r"[ \t]+\n", "\n"),
        (r" {2,}", "  "),
    )
)


def masked(text: str) -> str:
    """Return `text` with everything masked that two right answers may differ in."""
    for pattern, mask in MASKS:
        text = pattern.sub(mask, text)
    return text
