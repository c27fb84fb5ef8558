"""POST /auth: are these the credentials of a registry?"""

import asyncio
from typing import Any

from ipycontainer_runtime.credentials.login import HUB, Entry, Login
from ipycontainer_runtime.credentials.login import domain as domain_of
from ipycontainer_runtime.errors import InvalidParameter, Unauthorized


class Logins:
    """Checks logins; keeps none: that is the client's to do."""

    async def check(self, entry: Entry) -> dict[str, Any]:
        """Return Docker's reply to a login that the registry accepts.

        Raises Unauthorized where it does not, Unavailable where it cannot be asked.
        """
        domain = domain_of(entry.server) or HUB
        login = Login(entry.username, entry.password, entry.identity_token)
        if not login:
            raise InvalidParameter(f"no user name and no identity token to log in to {domain} with")
        token = await asyncio.to_thread(_checked, domain, login)
        return {"Status": "Login Succeeded", "IdentityToken": token or entry.identity_token}


def _checked(domain: str, login: Login) -> str:
    from ipycontainer_runtime.registry.client import Registry
    from ipycontainer_runtime.registry.errors import RegistryError

    with Registry(domain, _Only(login)) as registry:
        try:
            return registry.log_in()
        except RegistryError as error:
            if error.http not in (401, 403):
                raise
            where = f"{registry.endpoint.base}/v2/"
            raise Unauthorized(
                f"login attempt to {where} failed with status: {error.http} "
                f"{'Unauthorized' if error.http == 401 else 'Forbidden'}"
            ) from error


class _Only:
    """One login, for the registry that it was given for."""

    def __init__(self, login: Login) -> None:
        self._login = login

    def lookup(self, server: str) -> Login | None:
        """Return it."""
        return self._login
