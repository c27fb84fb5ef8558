"""Container names: the rule, and names for containers that were given none."""

import random
import re
from collections.abc import Callable

from ipycontainer_runtime.errors import Conflict, InvalidParameter

_ALLOWED = "[a-zA-Z0-9][a-zA-Z0-9_.-]"
_NAME = re.compile(_ALLOWED + "+")

_ADJECTIVE_WORDS = (
    "able agile airy amber ample apt azure balmy blithe bold bonny brave breezy bright brisk "
    "calm candid cheery civil clear clever copper coral cosy crisp curious dapper daring deft "
    "eager earnest easy elated even fair fleet fluent fond frank fresh gallant gentle giddy "
    "glad golden hale handy hardy hearty honest humble ivory jaunty jolly jovial keen kind "
    "lively loyal lucid lucky mellow merry mighty modest neat nimble noble patient placid "
    "plucky polite proud quick quiet radiant ready rosy serene sharp silver sincere smart "
    "snug sober spry steady stoic sunny supple swift tidy true upbeat vivid warm wise witty "
    "zesty"
)
_ADJECTIVES = _ADJECTIVE_WORDS.split()
_SURNAME_WORDS = (
    "abel agnesi anning avogadro banneker bernoulli boole borges carson cauchy celsius "
    "chandra coulomb cori dalton darwin dirac dyson elion erdos euclid fermat fisher fleming "
    "fourier franklin fuchs galois gauss germain gibbs goldberg gosset hahn hamilton herschel "
    "hilbert hodgkin humboldt huygens hypatia ibnsina jacobi joule julian kahn kepler khorana "
    "kolmogorov lagrange lamarr laplace leavitt legendre linne lovelace markov maxwell "
    "meitner mendel mercator mirzakhani morse nash neumann newton noether ohm pascal pauling "
    "payne planck poincare ramanujan riemann rubin sagan shannon somerville steno tesla "
    "turing volta wegener weil wiles wu yalow yukawa zuse"
)
_SURNAMES = _SURNAME_WORDS.split()


def checked_name(name: str) -> str:
    """Return a given name without its leading `/`, or refuse it in Docker's words."""
    bare = name.removeprefix("/")
    if not _NAME.fullmatch(bare):
        raise InvalidParameter(f"Invalid container name ({name}), only {_ALLOWED} are allowed")
    return bare


def random_name(taken: Callable[[str], bool]) -> str:
    """Return a name, `adjective_surname`, that no container has."""
    for attempt in range(100):
        name = f"{random.choice(_ADJECTIVES)}_{random.choice(_SURNAMES)}"  # noqa: S311 - no secret
        if attempt > 5:
            name += str(random.randrange(1000))  # noqa: S311 - no secret
        if not taken(name):
            return name
    raise Conflict("could not find a free container name: give one with --name")
