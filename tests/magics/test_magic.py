"""`%container` and `%%container` in a real IPython shell."""

import json
from pathlib import Path

import pytest
from cells import Box, Shell

from ipycontainer.failures import ContainerExit, Failure, Usage

MEGABYTES_100 = 100_000_000


def test_output_and_errors_come_apart(box: Box, shell: Shell) -> None:
    ran = shell.run("%container run --net none --rm busybox sh -c 'echo out; echo err >&2'")
    assert (ran.out, ran.err, ran.error, ran.value) == ("out\n", "err\n", None, None)


def test_the_cells_body_is_standard_input(box: Box, shell: Shell) -> None:
    ran = shell.run(
        '%%container run --net none --rm -i busybox sh\necho $((6 * 7))\necho "{x} $HOME"'
    )
    assert ran.out == "42\n{x} /root\n"


def test_without_a_body_and_a_person_input_is_wanted_in_vain(box: Box, shell: Shell) -> None:
    ran = shell.run("%container run --net none --rm --init -i busybox cat")
    assert ran.out.partition("Failure")[0] == ""
    if box.name == "dockerd":
        assert "cannot see when a program waits for input" in ran.err
        assert ran.error is None
    else:
        assert "cat in container" in str(ran.error)


def test_lines_of_input_are_sent_on_any_engine(box: Box, shell: Shell) -> None:
    shell.names["more"] = "two\nthree"
    ran = shell.run("%container run --net none --rm --input one --input {more} busybox cat")
    assert (ran.out, ran.err) == ("one\ntwo\nthree\n", "")


def test_bundled_and_attached_short_flags_are_dockers(box: Box, shell: Shell) -> None:
    ran = shell.run(
        "%container run --net none --rm -eA=1 -e B=2 -itw /tmp busybox sh -c 'echo $A$B $PWD'"
    )
    assert ran.out.replace("\r", "") == "12 /tmp\n"


def test_a_terminal_in_a_cell_ends_with_the_body(box: Box, shell: Shell) -> None:
    ran = shell.run("%%container run --net none --rm -it busybox sh -c 'test -t 0 && cat'\nhello")
    assert "hello" in ran.out
    assert ran.error is None


def test_a_failing_command_fails_the_cell_with_container_and_code(box: Box, shell: Shell) -> None:
    ran = shell.run("%container run --net none --rm --name web busybox sh -c 'exit 3'")
    assert isinstance(ran.error, ContainerExit)
    assert (ran.error.container, ran.error.exit_code) == ("web", 3)
    assert "Traceback" not in ran.out + ran.err
    assert "ContainerExit: container web exited with code 3" in ran.out + ran.err


@pytest.mark.parametrize("kept", ["--rm", ""])
def test_memory_is_named_when_it_was_the_reason(box: Box, shell: Shell, kept: str) -> None:
    ran = shell.run(f"%container run {kept} -m 16m busybox tail /dev/zero")
    assert isinstance(ran.error, ContainerExit)
    assert ran.error.exit_code == 137
    assert "memory limit of 16MiB" in str(ran.error)


def test_out_and_err_fill_variables_also_of_a_failing_command(box: Box, shell: Shell) -> None:
    ran = shell.run(
        "%container run --net none --rm --out o --err e busybox sh -c 'echo é; echo no >&2; exit 1'"
    )
    assert isinstance(ran.error, ContainerExit)
    assert (shell.names["o"], shell.names["e"]) == ("é\n", "no\n")
    assert ran.out.count("\n") == 1  # the failure alone


def test_what_is_no_text_fills_a_variable_with_bytes(box: Box, shell: Shell) -> None:
    shell.run(r"%container run --net none --rm --out o busybox printf '\377\000'")
    assert shell.names["o"] == b"\xff\x00"


def test_100_mb_go_in_and_come_out_at_once(box: Box, shell: Shell) -> None:
    body = "0123456789abcdef" * (MEGABYTES_100 // 16)
    shell.magic("run --net none --rm -i --out o busybox cat", body)
    assert shell.names["o"] == body


def test_input_that_nobody_reads_is_no_failure(box: Box, shell: Shell) -> None:
    shell.magic("run --net none --rm -i --out o busybox echo done", "x" * 10_000_000)
    assert shell.names["o"] == "done\n"


def test_letters_cut_between_reads_stay_whole(box: Box, shell: Shell) -> None:
    shell.names["text"] = "é" * 40_001
    ran = shell.run("%container run --net none --rm busybox sh -c 'printf %s \"$0\"' {text}")
    assert ran.out == "é" * 40_001


def test_only_whole_words_expand_and_nothing_passes_a_shell(box: Box, shell: Shell) -> None:
    shell.names["x"] = "a b; $HOME `id`"
    ran = shell.run(
        "%container run --net none --rm busybox printf '%s|' {x} '{x}' n{x} $HOME {{.ID}}"
    )
    assert ran.out == "a b; $HOME `id`|{x}|n{x}|$HOME|{{.ID}}|"


def test_detached_it_returns_the_container_and_says_its_id(box: Box, shell: Shell) -> None:
    ran = shell.run("c = %container run --net none -d --name web busybox sleep 600")
    container = shell.names["c"]
    assert container.name == "web"
    assert ran.out == f"{container.id}\n"
    assert shell.run("%container exec {c} echo hello").out == "hello\n"
    assert shell.run("%container kill web").out == "web\n"
    assert shell.run("%container wait web").out == "137\n"


def test_exec_has_its_own_input_environment_and_code(box: Box, shell: Shell) -> None:
    shell.run("%container run --net none -d --name web busybox sleep 600")
    ran = shell.run("%%container exec -i -e A=1 -w /tmp web sh\necho $A $PWD\nexit 7")
    assert ran.out.startswith("1 /tmp\n")
    assert isinstance(ran.error, ContainerExit)
    assert str(ran.error) == "the command in container web exited with code 7"


def test_a_container_is_made_started_attached_and_removed(box: Box, shell: Shell) -> None:
    shell.run("%container create --net none -i --name web busybox cat")
    assert box.state("web")["Status"] == "created"
    assert shell.run("%%container start -a -i web\nhello").out == "hello\n"
    assert shell.run("%container logs web").out == "hello\n"
    assert shell.run("%container rm web").out == "web\n"
    assert not box.exists("web")


def test_logs_tell_streams_apart_and_know_tail_and_times(box: Box, shell: Shell) -> None:
    shell.run("%container run --net none --name web busybox sh -c 'echo 1; echo 2; echo e >&2'")
    ran = shell.run("%container logs web")
    assert (ran.out, ran.err) == ("1\n2\n", "e\n")
    assert shell.run("%container logs -f --tail 0 --since 10m web").out == ""
    stamp = shell.run("%container logs -t web").out.split()[0]
    assert stamp.startswith("20")
    assert "T" in stamp


def test_changes_are_listed_committed_and_run_again(box: Box, shell: Shell) -> None:
    shell.run("%container run --net none --name web busybox sh -c 'echo kept > /kept; rm /bin/yes'")
    changes = shell.run("%container diff web")
    assert {"Path": "/kept", "Kind": 1} in changes.value
    assert "A /kept" in changes.displayed[0].splitlines()
    assert "D /bin/yes" in changes.displayed[0].splitlines()
    made = shell.run('i = %container commit -m why -c \'CMD ["cat", "/kept"]\' web mine:1')
    assert made.error is None
    assert shell.names["i"].tags == ["mine:1"]
    assert shell.run("%container run --net none --rm mine:1").out == "kept\n"
    assert shell.run("%container history mine:1").value[0]["Comment"] == "why"
    assert shell.run("%container tag mine:1 yours:2").error is None
    shell.run("%container rm web")
    assert "Untagged: yours:2" in shell.run("%container rmi yours:2 mine:1").out


def test_listings_show_a_table_once_and_return_objects(box: Box, shell: Shell) -> None:
    shell.run("%container run --net none -d --name web -l a=b busybox sleep 600")
    ran = shell.run("%container ps")
    assert [container.name for container in ran.value] == ["web"]
    assert len(ran.displayed) == 1
    assert "CONTAINER ID" in ran.displayed[0]
    assert shell.run("%container ps -q").value == [ran.value[0].id[:12]]
    assert shell.run("%container ps --filter label=a=c").value == []
    assert shell.run("%container ps --format '{{.Names}} {{.State}}'").value == ["web running"]
    images = shell.run("%container images")
    assert any("busybox:latest" in image.tags for image in images.value)
    assert shell.run("%container rm -f {*names}").error is not None
    shell.names["names"] = shell.run("%container ps -q").value
    assert shell.run("%container rm -f {*names}").error is None


def test_a_listing_in_the_middle_of_a_cell_is_shown_too(box: Box, shell: Shell) -> None:
    ran = shell.run("%container images\nfor _ in range(2):\n    %container images\nx = 1")
    assert len(ran.displayed) == 3
    assert shell.run("x = %container images\nx = 2").displayed == []
    assert len(shell.run("%container images\n%container images").displayed) == 2


def test_inspect_shows_and_returns_what_the_engine_says(box: Box, shell: Shell) -> None:
    shell.run("%container create --net none --name web busybox true")
    ran = shell.run("%container inspect web busybox")
    assert [document["Id"] for document in json.loads(ran.displayed[0])] == [
        item.id for item in ran.value
    ]
    assert shell.run("%container inspect -f '{{.Name}} {{json .Config.Tty}}' web").value == [
        "/web false"
    ]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("run --rm busybox nosuch", "nosuch"),
        ("run --rm busybox /etc", "/etc"),
        ("run --nosuch busybox", "--nosuch"),
        ("frobnicate", "No such command 'frobnicate'"),
        ("run", "IMAGE"),
        ("run Upper", "Upper"),
        ("run --pull never nosuch:1", "nosuch:1"),
        ("pull 127.0.0.1:1/nosuch", "127.0.0.1:1"),
        ("run -m 1x busybox", "1x"),
        ("run --ulimit nofile=a busybox", "nofile=a"),
        ("run -e =x busybox", "=x"),
        ("run --out a-b busybox", "a-b"),
        ("inspect nosuch", "'nosuch'"),
        ("rm nosuch", "nosuch"),
        ("logs nosuch", "nosuch"),
        ("exec nosuch true", "nosuch"),
        ("attach nosuch", "nosuch"),
        ("start nosuch", "nosuch"),
        ("wait nosuch", "nosuch"),
        ("history nosuch", "nosuch"),
        ("diff nosuch", "nosuch"),
        ("tag nosuch a:b", "nosuch"),
        ("rmi nosuch", "nosuch"),
        ("ps --filter nosuch", "the names are ancestor, "),
        ("ps --filter nosuch=1", "the names are ancestor, "),
        ("ps --filter status=nosuch", "'status=nosuch': write created, "),
        ("images --filter nosuch=1", "the names are before, "),
        ("create --name x busybox", "--name 'x': write two or more letters"),
        ("run -m 1 busybox", "--memory: 6m is the least"),
        ("run --cpus 1000 busybox", "--cpus: write a number from 0.01"),
        ("run --shm-size 1x busybox", "--shm-size '1x'"),
        ("run --mount type=bind,target=/x busybox", "source=PATH"),
        ("run --mount type=nosuch,target=/x busybox", "type=nosuch"),
        ("run --cidfile /nosuch/id busybox", "/nosuch/id: No such file or directory"),
        ("tag busybox Upper:1", "'Upper:1'"),
        ("rmi Upper", "'Upper'"),
        ("inspect Upper", "'Upper'"),
        ("history Upper", "'Upper'"),
        ("ps --format {{.Nosuch}}", "'Nosuch'"),
        ("logs --since soon busybox", "soon"),
        ("images 'x", "'x"),
    ],
)
def test_bad_input_is_one_line_that_names_it(box: Box, shell: Shell, line: str, told: str) -> None:
    if line.startswith("ps --format"):
        shell.run("%container create --net none busybox true")
        line = line.replace("ps", "ps -a")
    ran = shell.run(f"%container {line}")
    assert isinstance(ran.error, Failure)
    assert told in str(ran.error)
    assert "\n" not in str(ran.error)
    assert "Traceback" not in ran.out + ran.err
    assert len((ran.out + ran.err).strip().splitlines()) <= 2


@pytest.mark.parametrize(
    ("image", "cure"),
    [
        ("Upper", "write its repository in small letters"),
        ("a//b", "write [HOST/]NAME[:TAG] or NAME@sha256:DIGEST"),
        ("busybox@sha256:0000", "after the @ write sha256: and the 64 digits of its digest"),
    ],
)
@pytest.mark.parametrize("verb", ["run", "create", "pull"])
def test_a_malformed_name_is_quoted_as_written_and_nothing_is_announced(
    box: Box, shell: Shell, verb: str, image: str, cure: str
) -> None:
    ran = shell.run(f"%container {verb} {image}")
    assert str(ran.error) == f"{image!r} is no name of an image: {cure}"
    assert "Unable to find" not in ran.out + ran.err


def test_what_the_engine_lacks_is_told_by_its_flag(box: Box, shell: Shell) -> None:
    if box.name != "engine":
        pytest.skip("only ipycontainer's own engine lacks these")
    line = "%container create --log-driver syslog busybox"
    assert str(shell.run(line).error).startswith('--log-driver "syslog" is not supported')


def test_a_warning_is_given_once(box: Box, shell: Shell) -> None:
    line = "%container create --network host -p 1:1 busybox"
    assert "discarded when using host network mode" in shell.run(line).err
    assert "discarded" not in shell.run(line).err


def test_an_id_file_is_made_with_its_container_or_not_at_all(
    box: Box, shell: Shell, tmp_path: Path
) -> None:
    file = tmp_path / "id"
    assert shell.run(f"%container create --net none --cidfile {file} nosuch:1").error
    assert not file.exists()
    shell.run(f"%container create --net none --cidfile {file} --name web busybox")
    assert file.read_text() == box.client.containers.get("web").id
    assert str(file) in str(shell.run(f"%container create --cidfile {file} busybox").error)
    assert len(box.client.api.containers(all=True)) == 1


def test_a_name_that_is_taken_is_told_and_nothing_is_made(box: Box, shell: Shell) -> None:
    shell.run("%container create --net none --name web busybox true")
    ran = shell.run("%container run --net none --name web busybox true")
    assert isinstance(ran.error, Failure)
    assert "web" in str(ran.error)
    assert len(box.client.api.containers(all=True)) == 1


def test_the_rest_goes_on_when_one_name_fails(box: Box, shell: Shell) -> None:
    shell.run("%container create --net none --name one busybox true")
    shell.run("%container create --net none --name two busybox true")
    ran = shell.run("%container rm one nosuch two")
    assert isinstance(ran.error, Failure)
    assert ran.out.startswith("one\ntwo\n")
    assert not box.exists("two")


def test_no_engine_at_docker_host_is_told(
    box: Box, shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    ran = shell.run("%container ps")
    assert isinstance(ran.error, Failure)
    assert f"unix://{tmp_path}/none.sock" in str(ran.error)
    assert "Traceback" not in ran.out + ran.err


def test_env_files_labels_mounts_and_limits_reach_the_engine(
    box: Box, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "env").write_text("# none\nA=1\nFROM_HERE\n\n")
    monkeypatch.setenv("FROM_HERE", "2")
    ran = shell.run(
        f"%container create --net none --name web --env-file {tmp_path}/env -l a=b -m 64m"
        " --cpus 0.5 --pids-limit 50 --entrypoint /bin/echo -u 1:2 -h box --stop-signal INT"
        " --cap-drop NET_RAW --read-only busybox x"
    )
    assert ran.error is None
    details = box.client.api.inspect_container("web")
    config, host = details["Config"], details["HostConfig"]
    assert {"A=1", "FROM_HERE=2"} <= set(config["Env"])
    assert (config["Labels"]["a"], config["User"], config["Hostname"]) == ("b", "1:2", "box")
    assert (config["Entrypoint"], config["Cmd"]) == (["/bin/echo"], ["x"])
    assert (host["Memory"], host["NanoCpus"], host["PidsLimit"]) == (64 << 20, 500_000_000, 50)
    assert host["ReadonlyRootfs"]
    assert config["StopSignal"] in {"INT", "SIGINT"}


def test_a_missing_image_is_pulled_by_run(box: Box, shell: Shell, busybox: str) -> None:
    if box.client.api.images(busybox):
        box.client.api.remove_image(busybox, force=True)
    ran = shell.run(f"%container run --net none --rm {busybox} echo hello")
    assert ran.out.endswith("hello\n")
    assert f"Unable to find image '{busybox}' here; pulling it" in ran.err


def test_help_is_had_from_every_verb(box: Box, shell: Shell) -> None:
    assert "--entrypoint" in shell.run("%container run --net none --help").out
    assert "Commands:" in shell.run("%container --help").out
    assert "Commands:" in shell.run("%container").out


def test_the_question_mark_names_every_verb(shell: Shell) -> None:
    from ipycontainer.verbs import main

    told = shell.ip.object_inspect("%container")["docstring"]
    assert told is not None
    shown = [n for n, verb in main.commands.items() if not verb.hidden]
    missing = [n for n in (*shown, *main.later) if n not in told]
    assert missing == []


def test_dockers_longer_names_work(box: Box, shell: Shell) -> None:
    assert shell.run("%container container ls").error is None
    assert shell.run("%container image ls -q").error is None


def test_version_and_info_name_both_sides(box: Box, shell: Shell) -> None:
    [version] = shell.run("%container version").displayed
    assert version.startswith("Client: ipycontainer")
    assert "\n  API version:" in version
    [info] = shell.run("%container info").displayed
    assert "\n Containers: " in info
    assert "<table" in (shell.run("%container info").value.html() or "")
    assert shell.run("%container version --format '{{.Server.Os}}'").value == ["linux"]


def test_unloading_takes_all_back(shell: Shell) -> None:
    shell.ip.run_line_magic("unload_ext", "ipycontainer")
    assert shell.ip.find_line_magic("container") is None
    assert shell.ip.find_cell_magic("container") is None
    assert shell.ip.ast_transformers == []
    shell.ip.run_line_magic("load_ext", "ipycontainer")


def test_usage_errors_say_where_help_is(box: Box, shell: Shell) -> None:
    ran = shell.run("%container run --net none --nosuch busybox")
    assert isinstance(ran.error, Usage)
    assert str(ran.error).endswith("see `%container run --help`")
    assert ". (" not in str(ran.error)
    ran = shell.run("%container run --name")
    assert str(ran.error).endswith("see `%container run --help`")


def test_a_body_that_nothing_reads_is_mentioned(box: Box, shell: Shell) -> None:
    ran = shell.run("%%container run --rm --net none busybox true\necho lost")
    assert "was not sent" in ran.err
    assert "was not sent" not in shell.run("%%container run --rm -i --net none busybox true\nx").err


def test_a_paused_containers_processes_are_listed(box: Box, shell: Shell) -> None:
    shell.run("%container run -d --net none --name web busybox sleep 1000")
    shell.run("%container pause web")
    assert "(Paused)" in shell.run("%container ps").value.text()
    processes = shell.run("%container top web").value
    assert [process["CMD"] for process in processes] == ["sleep 1000"]
    assert processes.text().startswith("UID")
    assert "<caption style='text-align:left'>1 process in web</caption>" in processes.html()
    shell.run("%container unpause web")
    assert "(Paused)" not in shell.run("%container ps").value.text()


def test_what_containers_use_is_shown_in_a_table(box: Box, shell: Shell) -> None:
    shell.run("%container run -d --net none --name web -m 64m busybox sleep 1000")
    shell.run("%container create --net none --name idle busybox true")
    shown = shell.run("%container stats").value
    assert [sample["name"] for sample in shown] == ["/web"]
    heading, line = shown.text().splitlines()
    assert heading.startswith("CONTAINER ID")
    assert "/ 64MiB" in line
    assert line.split()[-1] == "1"
    assert "<th scope='col'" in shown.html()
    form = "'{{.Name}} {{.PIDs}}'"
    assert shell.run(f"%container stats --no-stream --format {form} web idle").displayed == [
        "web 1\nidle 0"
    ]
    assert "nosuch" in str(shell.run("%container stats nosuch").error)


def test_a_container_is_renamed_and_restarted(box: Box, shell: Shell) -> None:
    shell.run("%container run -d --net none --name web busybox sh -c 'echo up; sleep 1000'")
    assert shell.run("%container rename web site").error is None
    assert shell.run("%container restart -t 0 site").out == "site\n"
    shell.run("%container stop -t 0 site")
    assert shell.run("%container logs site").out == "up\nup\n"
