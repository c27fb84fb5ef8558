"""What is never taken, whatever it lies in: files that hold keys, passwords and tokens.

It looks at what nobody published: a person's own code, and files that lie about in an environment.
What a distribution brought is public, and some bring keys for their tests.
"""

import fnmatch
import os
import re

FOLDERS = frozenset(
    (".git", ".hg", ".svn", ".bzr", ".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker", ".pki")
)
_NAMES = (
    ".env", ".env.*", "*.env", ".envrc", ".netrc", "_netrc", ".pypirc", ".pgpass", ".my.cnf",
    ".npmrc", ".git-credentials", ".gitconfig", ".dockercfg", ".htpasswd", ".vault-token",
    ".s3cfg", ".boto", "pip.conf", "uv.toml", "kubeconfig", "credentials", "credentials.*",
    "client_secret*.json", "service[-_]account*.json", "secrets.*", "secret.*", "token", "token.*",
    "*.token", ".token", "passwords.*", "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "*.key",
    "*.pem", "*.p12", "*.pfx", "*.ppk", "*.jks", "*.keystore", "*.kdbx", "*.gpg", "*.asc",
    "*.tfstate", ".bash_history", ".python_history", "shadow",
)  # fmt: skip
_HARMLESS = (".env.example", ".env.sample", ".env.template", "*.py", "*.pyc", "*.pyi", "*.so")
_NAMED = re.compile("|".join(fnmatch.translate(name) for name in _NAMES), re.IGNORECASE)
_PLAIN = re.compile("|".join(fnmatch.translate(name) for name in _HARMLESS), re.IGNORECASE)

MOST = 64 << 20
"""Bytes of a file that are looked at: notebooks with what their cells showed are large, too."""
_PIECE = 1 << 20
_OVERLAP = 4 << 10  # more than any of these is long
# Each begins with plain letters: looking for them is 30 times as fast as with `\b` before them.
_CONTENTS = (
    # Also as a string of JSON or of a program has it, where a line's end is written as `\n`.
    (rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY( BLOCK)?-----(\s|\\[nr])", "a private key"),
    (rb"AKIA(?<!\wAKIA)[0-9A-Z]{16}\b", "an AWS access key"),
    (rb"gh[pousr]_(?<!\w....)[A-Za-z0-9]{36}", "a GitHub token"),
    (rb"github_pat_(?<!\wgithub_pat_)\w{40}", "a GitHub token"),
    (rb"glpat-(?<!\wglpat-)[\w-]{20}", "a GitLab token"),
    (rb"pypi-AgEIcHlwaS5vcmc", "a PyPI token"),
    (rb"xox[abprs]-(?<!\w.....)[0-9A-Za-z-]{20}", "a Slack token"),
    (rb"sk-(?<!\wsk-)[A-Za-z0-9_-]{32}", "an API key"),
    (rb"hf_(?<!\whf_)[A-Za-z0-9]{30}", "an API key"),
)
_PATTERNS = tuple((re.compile(pattern, re.DOTALL), what) for pattern, what in _CONTENTS)
# In settings, not in programs and texts, which have such URLs as examples.
_SETTINGS = (".txt", ".in", ".cfg", ".ini", ".conf", ".toml", ".yaml", ".yml", ".json", ".pth")
_PASSWORD = re.compile(rb"://[^/\s:@'\"{}$<>]*:[^/\s@'\"{}$<>]+@")


def named(path: str) -> str:
    """Return why a path's name says that it holds a secret; empty when it does not."""
    name = os.path.basename(path)
    if _NAMED.match(name) and not _PLAIN.match(name):
        return "its name is that of a file with secrets"
    return ""


def found(path: str) -> str:
    """Return why a file is not to be taken, by its name or by what it holds; empty when it may."""
    return named(path) or _held(path)


def _held(path: str) -> str:
    try:
        with open(path, "rb") as file:
            before, line = b"", 1
            for _ in range(MOST // _PIECE):
                piece = file.read(_PIECE)
                if not piece:
                    break
                content = before + piece
                if what := _seen(content, line, settings=path.endswith(_SETTINGS)):
                    return what
                before = content[-_OVERLAP:]
                line += content.count(b"\n", 0, len(content) - len(before))
    except OSError:
        return "it cannot be read"
    return ""


def _seen(content: bytes, line: int, *, settings: bool) -> str:
    """Return what is in a piece of a file that begins in this line; empty for nothing secret."""
    url = ((_PASSWORD, "a URL with a password"),) if settings else ()
    for pattern, what in (*_PATTERNS, *url):
        if match := pattern.search(content):
            at = line + content.count(b"\n", 0, match.start())
            return f"it holds {what} (line {at})"
    return ""
