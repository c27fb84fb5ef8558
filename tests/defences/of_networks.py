"""Defences against containers, and what answers them, as they ask for names and use ports."""

from defence import Defence

ATTACKS = "network/test_helper_attacks.py::"
OUTSIDE = "network/test_helper_outside.py::"
LIFE = "network/test_helper_life.py::"

DEFENCES = (
    Defence(
        "31",
        "a container learns names of a network that it is not in",
        "network/helper/directory.py",
        "        return self._names.get((place.network, name), [])\n",
        "        return [who for (_, other), all in self._names.items() for who in all"
        " if other == name]\n",
        (ATTACKS + "test_the_names_and_addresses_of_other_networks_are_not_told",),
    ),
    Defence(
        "31",
        "a container learns by an address who is in another network",
        "network/helper/directory.py",
        "            container = self._owners.get((place.network, address))\n",
        "            container = next((who for (_, at), who in self._owners.items()"
        " if at == address), None)\n"
        "            return container and self._presences[container].name\n",
        (ATTACKS + "test_the_names_and_addresses_of_other_networks_are_not_told",),
    ),
    Defence(
        "31",
        "a container of an internal network tells the world by what it asks",
        "network/helper/process.py",
        "        if all(place.internal for place in presence.networks):\n",
        "        if False:\n",
        (OUTSIDE + "test_a_container_of_internal_networks_alone_asks_nobody_outside",),
    ),
    Defence(
        "31",
        "an answer is forged with another id",
        "network/helper/messages.py",
        "        and _ID.unpack_from(message)[0] == number\n",
        "",
        (OUTSIDE + "test_an_answer_must_have_the_id_the_question_and_come_from_who_was_asked",),
    ),
    Defence(
        "31",
        "an answer is given to another question",
        "network/helper/messages.py",
        "        and message[HEADER : query.end].lower() == query.message[HEADER : query.end]"
        ".lower()\n",
        "",
        (OUTSIDE + "test_an_answer_must_have_the_id_the_question_and_come_from_who_was_asked",),
    ),
    Defence(
        "31",
        "ids of questions can be foreseen",
        "network/helper/upstream.py",
        'self._number = int.from_bytes(os.urandom(2), "big")',
        "self._number = 7",
        (OUTSIDE + "test_ids_and_ports_cannot_be_foreseen",),
    ),
    Defence(
        "31",
        "a name with a label that DNS has not",
        "network/helper/messages.py",
        " or any(len(label) > LONGEST_LABEL for label in labels)",
        "",
        (ATTACKS + "test_a_malformed_question_costs_an_answer_at_most",),
    ),
    Defence(
        "31",
        "a name longer than DNS has",
        "network/helper/messages.py",
        "len(question.qname) > LONGEST_NAME or ",
        "",
        (ATTACKS + "test_a_malformed_question_costs_an_answer_at_most",),
    ),
    Defence(
        "31",
        "a network's name that DNS cannot carry",
        "network/helper/messages.py",
        "    except (DNSLabelError, UnicodeError):\n",
        "    except ZeroDivisionError:\n",
        (ATTACKS + "test_a_network_whose_name_is_none_of_dns_harms_nobody",),
    ),
    Defence(
        "31",
        "questions of one container take all the room",
        "network/helper/upstream.py",
        "        if self._total >= MOST or len(mine) >= MOST_EACH:\n",
        "        if False:\n",
        (ATTACKS + "test_questions_of_one_that_nobody_answers_leave_room_for_others",),
    ),
    Defence(
        "31",
        "connections to the resolver without end",
        "network/helper/resolver.py",
        "        if len(self._clients) >= MOST_CLIENTS:\n",
        "        if False:\n",
        (ATTACKS + "test_many_idle_connections_are_bounded_and_the_newest_is_served",),
    ),
    Defence(
        "31",
        "a client of the resolver asks and never reads",
        "network/helper/resolver.py",
        "        if len(self._unsent) > MOST_UNSENT:",
        "        if False:",
        (ATTACKS + "test_a_client_that_asks_and_never_reads_is_let_go",),
    ),
    Defence(
        "31",
        "another user may connect to the helper of networks",
        "network/helper/client.py",
        "os.chmod(address, 0o600)",
        "os.chmod(address, 0o666)",
        (LIFE + "test_nobody_else_reaches_its_socket",),
    ),
    Defence(
        "31",
        "the helper of networks obeys another user",
        "network/helper/process.py",
        "        if _CREDENTIALS.unpack(credentials)[1] != os.geteuid():\n",
        "        if False:\n",
        (LIFE + "test_nobody_else_is_obeyed_who_reaches_its_socket_all_the_same",),
    ),
    Defence(
        "31",
        "connections to a port take all the descriptors",
        "network/helper/ports.py",
        "        if self._relay.full:\n",
        "        if False:\n",
        (ATTACKS + "test_a_flood_of_clients_of_a_port_leaves_names_their_descriptors",),
    ),
    Defence(
        "31",
        "clients of a UDP port take all the descriptors",
        "network/helper/datagrams.py",
        "        self._relay.begin()\n",
        "",
        (ATTACKS + "test_a_flood_of_clients_of_a_port_leaves_names_their_descriptors",),
    ),
)
