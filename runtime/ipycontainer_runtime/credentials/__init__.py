"""Logins to registries as Docker keeps them: its config.json, and helpers that keep secrets.

Clients and the engine both stand on this; only clients run helpers, as the `docker` command does:
a helper may want the person's keyring, terminal or environment, which an engine has not.
"""
