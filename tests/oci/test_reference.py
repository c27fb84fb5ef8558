"""References are read as Docker reads them."""

import pytest

from ipycontainer_runtime.errors import InvalidParameter
from ipycontainer_runtime.oci import digest as digests
from ipycontainer_runtime.oci.reference import Reference

D = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("x", "docker.io/library/x:latest", "x:latest"),
        ("x:1", "docker.io/library/x:1", "x:1"),
        ("library/x", "docker.io/library/x:latest", "x:latest"),
        ("docker.io/x", "docker.io/library/x:latest", "x:latest"),
        ("index.docker.io/a/b", "docker.io/a/b:latest", "a/b:latest"),
        ("localhost/x", "localhost/x:latest", "localhost/x:latest"),
        ("localhost:5000/x:2", "localhost:5000/x:2", "localhost:5000/x:2"),
        ("[::1]:5000/x", "[::1]:5000/x:latest", "[::1]:5000/x:latest"),
        ("ghcr.io/a/b/c:v1.0_x-y", "ghcr.io/a/b/c:v1.0_x-y", "ghcr.io/a/b/c:v1.0_x-y"),
        ("a__b-c.d", "docker.io/library/a__b-c.d:latest", "a__b-c.d:latest"),
        (f"x@{D}", f"docker.io/library/x@{D}", f"x@{D}"),
        (f"x:1@{D}", f"docker.io/library/x:1@{D}", f"x:1@{D}"),
    ],
)
def test_a_reference_is_normalised_as_docker_does(text: str, full: str, familiar: str) -> None:
    reference = Reference.parse(text)
    assert (reference.full, reference.familiar) == (full, familiar)
    assert Reference.parse(full) == reference


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("UPPER", "invalid reference format: repository name (library/UPPER) must be lowercase"),
        ("", "invalid reference format"),
        ("a b", "invalid reference format: 'a b'"),
        ("x:", "invalid reference format"),
        ("-x", "invalid reference format"),
        ("x/../y", "invalid reference format"),
        ("x\n", "invalid reference format"),
        ("é", "invalid reference format"),
        ("x:" + "t" * 129, "invalid reference format"),
        ("a" * 64, "cannot specify 64-byte hexadecimal strings"),
        ("a/" * 128 + "a", "repository name must not be more than 255 characters"),
        ("x@sha256:" + "a" * 40, "invalid digest"),
        ("x@md5:" + "a" * 32, "neither sha256 nor sha512"),
    ],
)
def test_a_malformed_reference_is_refused_in_dockers_words(text: str, message: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        Reference.parse(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_digest_wins_over_a_tag() -> None:
    assert Reference.parse(f"x:1@{D}").canonical.full == f"docker.io/library/x@{D}"


@pytest.mark.parametrize("text", ["sha256:../../etc", "sha256:" + "A" * 64, "", "sha256", "a:b"])
def test_what_is_no_digest_never_becomes_a_path(text: str) -> None:
    with pytest.raises(InvalidParameter):
        digests.validate(text)
