"""Defences of what a capture must not take along."""

from defence import Defence

SECRETS = "capture/test_capture_secrets.py::"

DEFENCES = (
    Defence(
        "15",
        "a project's .dockerignore fills the memory",
        "engine/capturing/__init__.py",
        "text = file.read(MAX_SIZE + 1)",
        "text = file.read()",
        (SECRETS + "test_a_dockerignore_without_end_is_refused",),
    ),
    Defence(
        "22",
        "a key among a person's own code comes into a captured image",
        "capture/code.py",
        "and (reason := secrets.found(path)):",
        'and (reason := ""):',
        (SECRETS + "test_own_code_is_taken_when_asked_and_without_its_secrets",),
    ),
    Defence(
        "22",
        "a key that lies about in an environment comes into a captured image",
        "capture/sites.py",
        "if reason := secrets.found(path) if stat.S_ISREG(found.st_mode) else",
        'if reason := "" if stat.S_ISREG(found.st_mode) else',
        (SECRETS + "test_no_secret_in_or_beside_an_environment_is_taken",),
    ),
    Defence(
        "22",
        "an installed project names other people's files as its own",
        "capture/distributions.py",
        'below != path and below.partition("/")[0] in DATA and "/" in below',
        "True",
        (SECRETS + "test_a_record_names_no_file_outside_the_environment_s_own_folders",),
    ),
    Defence(
        "22",
        "the password of an index comes into a captured image",
        "capture/sites.py",
        "(cleaned := without_credentials(said)) != said",
        "(cleaned := said) != said",
        (SECRETS + "test_credentials_in_the_url_of_an_installation_are_not_taken",),
    ),
    Defence(
        "22",
        "a program names somebody's key as its loader, and brings it into a captured image",
        "capture/libraries.py",
        "if p in seen or _is_library(p)",
        "if p",
        ("capture/test_libraries.py::test_a_program_does_not_bring_what_is_no_library",),
    ),
)
