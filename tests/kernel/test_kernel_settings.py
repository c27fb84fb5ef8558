"""A kernel's settings, as a kernelspec and a notebook's metadata have them."""

from typing import Any

import pytest

from ipycontainer.failures import Failure
from ipycontainer_kernel.settings import Settings


def test_settings_survive_json() -> None:
    settings = Settings(
        image="python:3.12",
        digest="python@sha256:00",
        memory="1g",
        cpus=1.5,
        network="none",
        volumes=("/data:/data:ro",),
        env={"A": "1"},
        workdir="/work",
        user="1000",
        notebook="rw",
        name="py312",
        display_name="Python 3.12",
        wheels=({"name": "ipykernel", "version": "7.0", "sha256": "00"},),
    )
    assert Settings.from_json(settings.to_json()) == settings
    assert settings.reference == "python@sha256:00"


def test_defaults_are_left_out_of_json() -> None:
    assert Settings("busybox").to_json() == {"image": "busybox", "kind": "python", "notebook": "ro"}


def test_fields_of_a_later_release_are_left_out() -> None:
    assert Settings.from_json({"image": "busybox", "moon": 1}) == Settings("busybox")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ([], "an object"),
        ({}, "no image"),
        ({"image": 3}, "a text"),
        ({"image": "a", "kind": "x"}, "one of python, image, shell, dockerfile"),
        ({"image": "a", "notebook": "w"}, "one of ro, rw, none"),
        ({"image": "a", "cpus": "2"}, "a number"),
        ({"image": "a", "cpus": -1}, "a number"),
        ({"image": "a", "volumes": "/:/x"}, "a list"),
        ({"image": "a", "env": {"A": 1}}, "an object of texts"),
        ({"image": "a", "env": {"A=B": "1"}}, "an object of texts"),
        ({"image": "a", "wheels": {}}, "a list"),
    ],
)
def test_foreign_settings_are_refused_in_words(data: Any, told: str) -> None:
    with pytest.raises(Failure, match=told):
        Settings.from_json(data)
