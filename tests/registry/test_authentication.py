"""Tokens and passwords: who is asked for them, and who is given them."""

import base64
import json
from collections.abc import Iterator

import pytest

from ipycontainer_runtime.credentials.login import Login
from ipycontainer_runtime.errors import Unauthorized, Unavailable
from ipycontainer_runtime.registry.auth import Authorizer, TokenCall, parse_challenges
from ipycontainer_runtime.registry.client import Call, Registry
from ipycontainer_runtime.registry.errors import RegistryError
from ipycontainer_runtime.registry.hosts import endpoint
from support.scripted import Answer, Scripted, Seen, in_turn, scripted_registry

LOGIN = Login("me", "s3cret")
BASIC = "Basic " + base64.b64encode(b"me:s3cret").decode()
SCOPE = "repository:x:pull"
MANIFEST = Call("GET", "x/manifests/latest", SCOPE)


class Fixed:
    """Credentials that know one login for whichever registry asks."""

    def __init__(self, login: Login | None) -> None:
        self.login = login

    def lookup(self, domain: str) -> Login | None:
        return self.login


@pytest.fixture
def other() -> Iterator[Scripted]:
    """Another server on this machine."""
    with scripted_registry() as running:
        yield running


def challenge(realm: str) -> str:
    # A registry must not widen by its challenge what the token is for.
    return f'Bearer realm="{realm}",service="a service",scope="repository:x:pull,push,delete"'


def guard(server: Scripted, wanted: str, challenges: str) -> None:
    """Let only requests with this Authorization through."""

    def script(seen: Seen) -> Answer:
        if seen.headers.get("Authorization") == wanted:
            return Answer(b"{}")
        return Answer(b"", 401, {"WWW-Authenticate": challenges})

    server.on("/v2/", script)


def token(name: str, text: str = "t0ken") -> Answer:
    return Answer(json.dumps({name: text, "expires_in": 60}).encode())


@pytest.mark.parametrize("name", ["token", "access_token"])
def test_an_anonymous_token_is_fetched_once_and_kept(server: Scripted, name: str) -> None:
    guard(server, "Bearer t0ken", challenge(f"{server.url}/token"))
    server.on("/token", token(name))
    with Registry(server.address) as registry:
        for _ in range(2):
            assert registry.read(MANIFEST, 100)[0] == b"{}"
    [asked] = server.asked("/token")
    assert "scope=repository%3Ax%3Apull&service=a+service" in asked.path
    assert "delete" not in asked.path
    assert "Authorization" not in asked.headers


def test_a_token_service_that_is_busy_is_asked_again(server: Scripted) -> None:
    guard(server, "Bearer t0ken", challenge(f"{server.url}/token"))
    busy = Answer(b"", 503, {"Retry-After": "0"})
    server.on("/token", in_turn(lambda _: busy, lambda _: token("token")))
    with Registry(server.address) as registry:
        assert registry.fetch(MANIFEST, 100)[0] == b"{}"
    assert len(server.asked("/token")) == 2


def test_a_login_goes_to_the_token_service_and_not_to_the_registry(server: Scripted) -> None:
    guard(server, "Bearer t0ken", challenge(f"{server.url}/token"))
    server.on("/token", token("token"))
    with Registry(server.address, Fixed(LOGIN)) as registry:
        registry.read(MANIFEST, 100)
    assert server.asked("/token")[0].headers["Authorization"] == BASIC
    assert BASIC not in [seen.headers.get("Authorization") for seen in server.asked("/v2/")]


def test_an_identity_token_is_posted_as_a_refresh_token(server: Scripted) -> None:
    guard(server, "Bearer t0ken", challenge(f"{server.url}/token"))
    server.on("/token", token("access_token"))
    with Registry(server.address, Fixed(Login(identity_token="r3fresh"))) as registry:
        registry.read(MANIFEST, 100)
    [asked] = server.asked("/token")
    assert asked.method == "POST"
    assert "r3fresh" not in asked.path


def test_an_expired_token_is_renewed(server: Scripted) -> None:
    tokens = iter(["first", "second"])
    current = {"token": "first"}
    server.on("/token", lambda _: token("token", next(tokens)))

    def script(seen: Seen) -> Answer:
        if seen.headers.get("Authorization") == f"Bearer {current['token']}":
            return Answer(b"{}")
        return Answer(b"", 401, {"WWW-Authenticate": challenge(f"{server.url}/token")})

    server.on("/v2/", script)
    with Registry(server.address) as registry:
        registry.read(MANIFEST, 100)
        current["token"] = "second"
        assert registry.read(MANIFEST, 100)[0] == b"{}"


def test_a_password_is_sent_only_after_a_basic_challenge(server: Scripted) -> None:
    guard(server, BASIC, 'Basic realm="r"')
    with Registry(server.address, Fixed(LOGIN)) as registry:
        registry.read(MANIFEST, 100)
        registry.read(MANIFEST, 100)
    sent = [seen.headers.get("Authorization") for seen in server.requests]
    assert sent == [None, BASIC, BASIC]


@pytest.mark.parametrize("challenges", ['Basic realm="r"', "", "Negotiate"])
def test_without_credentials_a_registry_that_wants_them_is_unauthorized(
    server: Scripted, challenges: str
) -> None:
    guard(server, BASIC, challenges)
    with Registry(server.address) as registry, pytest.raises(RegistryError) as caught:
        registry.read(MANIFEST, 100)
    assert caught.value.code == "UNAUTHORIZED"
    assert len(server.requests) == 1


def test_a_wrong_password_is_tried_once(server: Scripted) -> None:
    guard(server, "Basic other", 'Basic realm="r"')
    with Registry(server.address, Fixed(LOGIN)) as registry:
        for _ in range(2):
            with pytest.raises(RegistryError) as caught:
                registry.read(MANIFEST, 100)
    assert caught.value.http == 401
    assert len(server.requests) == 3
    assert "s3cret" not in str(caught.value)


def test_a_challenge_of_one_endless_word_is_none() -> None:
    # auth._CHALLENGE: its bounds, without which it takes time by the square of the word's length
    assert parse_challenges("a" * 33 + ' realm="https://auth.example.com/token"') == []
    assert parse_challenges("Bearer " + "a" * 33 + '="x"') == []


# security: fails without `may_follow` in Authorizer._call.
@pytest.mark.parametrize(
    "realm",
    [
        "http://auth.example.com/token",
        "https://169.254.169.254/token",
        "http://169.254.169.254/latest/meta-data",
        "http://127.0.0.1/token",
        "https://me:secret@auth.example.com/token",
        "file:///etc/passwd",
        "/token",
    ],
)
def test_a_remote_registry_cannot_name_such_a_realm(realm: str) -> None:
    calls: list[TokenCall] = []

    def fetch(call: TokenCall) -> bytes:
        calls.append(call)
        return b'{"token": "t"}'

    authorizer = Authorizer(endpoint("registry.example.com"), None, fetch)
    with pytest.raises(Unauthorized, match="token service"):
        authorizer.answer(challenge(realm), SCOPE, None)
    assert calls == []


# security: fails without `is_kin` in Authorizer._call.
def test_credentials_do_not_go_to_a_realm_of_another_domain() -> None:
    calls: list[TokenCall] = []

    def fetch(call: TokenCall) -> bytes:
        calls.append(call)
        return b'{"token": "t"}'

    realm = challenge("https://auth.evil.example/token")
    with pytest.raises(Unauthorized, match=r"sent to auth\.evil\.example, which is refused"):
        Authorizer(endpoint("docker.io"), LOGIN, fetch).answer(realm, SCOPE, None)
    assert calls == []
    assert Authorizer(endpoint("docker.io"), None, fetch).answer(realm, SCOPE, None) == "Bearer t"
    assert calls[0].authorization is None


# security: fails with `allow_redirects=True` in Registry._fetch_token and `requests.Session`.
def test_a_token_call_is_not_redirected(server: Scripted, other: Scripted) -> None:
    guard(server, "Bearer t0ken", challenge(f"{server.url}/token"))
    server.on("/token", Answer(b"", 307, {"Location": f"{other.url}/steal"}))
    other.on("/steal", token("token"))
    with Registry(server.address, Fixed(LOGIN)) as registry, pytest.raises(RegistryError):
        registry.read(MANIFEST, 100)
    assert other.requests == []


# security: fails without `if ours` in Registry._follow.
def test_a_redirect_to_another_host_carries_no_authorization(
    server: Scripted, other: Scripted
) -> None:
    def script(seen: Seen) -> Answer:
        if seen.headers.get("Authorization") != BASIC:
            return Answer(b"", 401, {"WWW-Authenticate": 'Basic realm="r"'})
        return Answer(b"", 307, {"Location": f"{other.url}/cdn/blob"})

    server.on("/v2/", script)
    other.on("/cdn/", Answer(b"content"))
    with Registry(server.address, Fixed(LOGIN)) as registry:
        assert registry.read(MANIFEST, 100)[0] == b"content"
    [asked] = other.requests
    assert "Authorization" not in asked.headers


# security: fails without `self._check(target)` in Registry._follow.
@pytest.mark.parametrize("login", [LOGIN, Login(identity_token="r3fresh")])
def test_a_redirect_s_target_is_given_no_credentials_for_its_challenge(
    server: Scripted, other: Scripted, login: Login
) -> None:
    server.on("/v2/", Answer(b"", 307, {"Location": f"{other.url}/blob"}))
    other.on("/blob", Answer(b"", 401, {"WWW-Authenticate": challenge(f"{other.url}/token")}))
    other.on("/token", token("token"))
    with Registry(server.address, Fixed(login)) as registry:
        with pytest.raises(RegistryError, match=f"{other.address} wants a login"):
            registry.read(MANIFEST, 100)
    assert [seen.path for seen in other.requests] == ["/blob"]


@pytest.mark.parametrize("target", ["http://169.254.169.254/x", "http://10.0.0.1/x", "file:///etc"])
def test_a_redirect_off_this_machine_in_plain_http_is_refused(
    server: Scripted, target: str
) -> None:
    server.on("/v2/", Answer(b"", 302, {"Location": target}))
    with Registry(server.address) as registry, pytest.raises(Unavailable, match="is refused"):
        registry.read(MANIFEST, 100)


def test_a_circle_of_redirects_ends(server: Scripted) -> None:
    server.on("/v2/", Answer(b"", 302, {"Location": f"{server.url}/v2/again"}))
    with Registry(server.address) as registry, pytest.raises(Unavailable, match="more than 5"):
        registry.read(MANIFEST, 100)


def test_a_netrc_file_is_not_read(
    server: Scripted, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = f"{tmp_path}/netrc"
    with open(netrc, "w") as file:
        file.write("machine 127.0.0.1 login me password s3cret\n")
    monkeypatch.setenv("NETRC", netrc)
    server.on("/v2/", Answer(b"{}"))
    registry = Registry(server.address)
    registry._session.trust_env = True  # as for every registry that is not on this machine
    with registry:
        registry.read(MANIFEST, 100)
    assert "Authorization" not in server.requests[0].headers


def test_a_token_answer_is_bounded(server: Scripted) -> None:
    guard(server, "Bearer t0ken", challenge(f"{server.url}/token"))
    server.on("/token", Answer(b" " * (2 << 20) + b'{"token": "t0ken"}'))
    with Registry(server.address) as registry, pytest.raises(RegistryError):
        registry.read(MANIFEST, 100)


@pytest.mark.parametrize("text", ["t\r\nX-Evil: 1", "", "t\u00e9"])
def test_a_token_that_is_no_token_is_refused(server: Scripted, text: str) -> None:
    guard(server, "Bearer t0ken", challenge(f"{server.url}/token"))
    server.on("/token", token("token", text))
    with Registry(server.address) as registry, pytest.raises(RegistryError, match="did not answer"):
        registry.read(MANIFEST, 100)


def test_challenges_are_parsed_in_their_order() -> None:
    found = parse_challenges('Bearer realm="https://a/b",service="x, y",error="z", Basic realm="r"')
    assert [c.scheme for c in found] == ["bearer", "basic"]
    assert found[0].parameters["service"] == "x, y"
    assert found[1].parameters == {"realm": "r"}
    assert [c.scheme for c in parse_challenges("Basic")] == ["basic"]
    assert parse_challenges("%%% " * 4000) == []
