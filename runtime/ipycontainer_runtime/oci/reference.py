"""Image references, parsed and normalised as Docker does it.

`x` is docker.io/library/x:latest, `localhost/x` and `registry:5000/x` keep their domain. Grammar:
https://github.com/distribution/reference (docs of `Parse` and `ParseNormalizedNamed`).
"""

import re
from dataclasses import dataclass, replace

from ipycontainer_runtime.errors import InvalidParameter
from ipycontainer_runtime.oci import digest as digests

DEFAULT_DOMAIN = "docker.io"
OFFICIAL = "library/"
DEFAULT_TAG = "latest"
MAX_NAME = 255

_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])"
_DOMAIN = rf"{_HOST}(?::[0-9]+)?"
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PATH = rf"{_COMPONENT}(?:/{_COMPONENT})*"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_REFERENCE = re.compile(
    rf"(?P<domain>{_DOMAIN})/(?P<path>{_PATH})"
    rf"(?::(?P<tag>[\w][\w.-]{{0,127}}))?(?:@(?P<digest>{_DIGEST}))?",
    re.ASCII,
)
_IMAGE_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Reference:
    """A name of an image in a registry, with a tag, a digest, or both."""

    domain: str
    path: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str, default_tag: str | None = DEFAULT_TAG) -> "Reference":
        """Parse what a person writes; `default_tag` is given to a name with neither tag nor digest.

        Raises InvalidParameter in Docker's words.
        """
        if _IMAGE_ID.fullmatch(text):
            raise InvalidParameter(
                f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"
            )
        domain, remainder = _split_domain(text)
        repository = remainder.partition(":")[0].partition("@")[0]
        if repository != repository.lower():
            raise InvalidParameter(
                f"invalid reference format: repository name ({repository}) must be lowercase"
            )
        match = _REFERENCE.fullmatch(f"{domain}/{remainder}")
        if match is None:
            raise InvalidParameter(
                f"invalid reference format: {text[:300]!r} is not NAME, NAME:TAG or NAME@DIGEST"
            )
        if len(match["path"]) > MAX_NAME:
            raise InvalidParameter(f"repository name must not be more than {MAX_NAME} characters")
        if match["digest"]:
            digests.validate(match["digest"])
        tag = match["tag"] or (None if match["digest"] else default_tag)
        return cls(match["domain"], match["path"], tag, match["digest"])

    @property
    def name(self) -> str:
        """The repository with its domain: `docker.io/library/x`."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_name(self) -> str:
        """The repository as Docker shows it: `x`, `user/x`, `registry:5000/x`."""
        return (
            self.name.removeprefix(f"{DEFAULT_DOMAIN}/").removeprefix(OFFICIAL)
            if (self.domain == DEFAULT_DOMAIN)
            else self.name
        )

    @property
    def suffix(self) -> str:
        """What follows the repository: `:tag`, `@digest`, both or nothing."""
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    @property
    def familiar(self) -> str:
        """The reference as Docker shows it: `x:1`."""
        return self.familiar_name + self.suffix

    @property
    def full(self) -> str:
        """The reference with nothing left out: `docker.io/library/x:1`."""
        return self.name + self.suffix

    @property
    def canonical(self) -> "Reference":
        """What names this image locally: by digest alone where there is one, else by tag."""
        return replace(self, tag=None) if self.digest else self

    def with_tag(self, tag: str) -> "Reference":
        """Return this repository with another tag, checked; any digest is dropped."""
        return Reference.parse(f"{self.name}:{tag}")

    def with_digest(self, digest: str) -> "Reference":
        """Return this repository at a digest, without a tag: how a repo digest is written."""
        return replace(self, tag=None, digest=digests.validate(digest))

    def __str__(self) -> str:
        return self.familiar


def _split_domain(text: str) -> tuple[str, str]:
    """Split at the first slash if what precedes it can only be a host (Docker's rule)."""
    head, slash, rest = text.partition("/")
    is_host = slash and ("." in head or ":" in head or head == "localhost" or head != head.lower())
    domain, remainder = (head, rest) if is_host else (DEFAULT_DOMAIN, text)
    if domain == "index.docker.io":
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in remainder:
        remainder = OFFICIAL + remainder
    return domain, remainder
