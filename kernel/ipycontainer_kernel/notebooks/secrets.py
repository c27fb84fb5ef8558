"""Which variables look as if they held a secret: a notebook is a file that is given away."""

from __future__ import annotations

import re

_NAMED = re.compile(
    r"(?:^|_)(?:PASS|PASSWD|PASSWORD|PASSPHRASE|PWD|SECRETS?|TOKENS?|CREDENTIALS?|AUTH|COOKIE|PAT|DSN"
    r"|(?:API|ACCESS|AUTH|PRIVATE|SECRET|SIGNING|ENCRYPTION|ACCOUNT|STORAGE|SSH|AWS)_?KEY(?:_ID)?"
    r"|APIKEY|KEY)(?:_|$)|PASSWORD|SECRET|TOKEN",
    re.IGNORECASE,
)
# Each form is its issuer's own; the last is a password in an address.
_LOOKS = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_\w{36}|\bgithub_pat_\w{22}"
    r"|\bglpat-[\w-]{20}|\bpypi-AgEIcHlwaS5vcmc|\bxox[abprs]-[\w-]{10}|\bsk-[\w-]{20}|\bhf_\w{30}"
    r"|\beyJ[\w-]{6,}\.eyJ[\w-]{6,}\.|://[^/\s:@]*:[^/\s@]+@"
)


def looks_secret(name: str, value: str) -> bool:
    """Tell whether a variable's name or its value looks like a password, a key or a token."""
    return bool(value) and bool(_NAMED.search(name) or _LOOKS.search(value))
