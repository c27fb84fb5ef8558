"""Certificates for servers on loopback, made by openssl and signed by a test's authority."""

import ssl
import subprocess
from pathlib import Path

HOST = "subjectAltName=IP:127.0.0.1,DNS:localhost"


class Authority:
    """An authority in a folder of its own: `certificate` is what others trust it by."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()
        self.certificate = folder / "ca.crt"
        usage = "basicConstraints=critical,CA:TRUE"
        self._request("ca", self.certificate, "-x509", "-addext", usage)

    def sign(self, name: str) -> tuple[Path, Path]:
        """Return a certificate for loopback, or for a client, and its key."""
        wish, made = self._folder / f"{name}.csr", self._folder / f"{name}.cert"
        key = self._request(name, wish, "-addext", HOST)
        issuer = ["-CA", str(self.certificate), "-CAkey", str(self._folder / "ca.key")]
        wanted = ["-in", str(wish), "-out", str(made), "-copy_extensions", "copy", "-days", "2"]
        _openssl("x509", "-req", "-CAcreateserial", *issuer, *wanted)
        return made, key

    def server(self) -> ssl.SSLContext:
        """Return how a server speaks that takes a client's certificate where it gets one."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.certificate)
        context.load_cert_chain(*self.sign("server"))
        context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def _request(self, name: str, out: Path, *options: str) -> Path:
        key = self._folder / f"{name}.key"
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        _openssl(
            *("req", *curve, "-subj", f"/CN={name}", "-days", "2"),
            *("-keyout", str(key), "-out", str(out), *options),
        )
        return key


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
