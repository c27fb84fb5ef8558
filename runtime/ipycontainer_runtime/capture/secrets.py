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

MOST = 1 << 20
"""Bytes of a file that are looked at; keys and settings are smaller."""
_CONTENTS = (
    (re.compile(rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY( BLOCK)?-----\s"), "a private key"),
    (re.compile(rb"\bAKIA[0-9A-Z]{16}\b"), "an AWS access key"),
    (re.compile(rb"\bgh[pousr]_[A-Za-z0-9]{36}|\bgithub_pat_\w{40}"), "a GitHub token"),
    (re.compile(rb"\bglpat-[\w-]{20}"), "a GitLab token"),
    (re.compile(rb"\bpypi-AgEIcHlwaS5vcmc"), "a PyPI token"),
    (re.compile(rb"\bxox[abprs]-[0-9A-Za-z-]{20}"), "a Slack token"),
    (re.compile(rb"\bsk-[A-Za-z0-9_-]{32}|\bhf_[A-Za-z0-9]{30}"), "an API key"),
)
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
            content = file.read(MOST)
    except OSError:
        return "it cannot be read"
    for pattern, what in _CONTENTS:
        if match := pattern.search(content):
            return f"it holds {what} (line {_line(content, match)})"
    if path.endswith(_SETTINGS) and (match := _PASSWORD.search(content)):
        return f"it holds a URL with a password (line {_line(content, match)})"
    return ""


def _line(content: bytes, match: re.Match[bytes]) -> int:
    return content.count(b"\n", 0, match.start()) + 1
