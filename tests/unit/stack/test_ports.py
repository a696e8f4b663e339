"""Which ports a stack takes, and what is said when one is taken."""

import os
import socket

import pytest

from stack.errors import StackError
from stack.ports import (
    PRIVATE_FIRST,
    PRIVATE_LAST,
    Ports,
    free_base,
    free_ports,
    is_free,
    require_free,
)


def test_without_a_base_the_documented_ports_are_used() -> None:
    ports = Ports.of(None)
    assert ports.services["insights"] == 8000
    assert ports.services["webhooks"] == 8005
    assert (ports.postgres, ports.kafka) == (5432, 9092)


def test_a_base_shifts_all_eight_in_a_row() -> None:
    assert sorted(Ports.of(21000).named().values()) == list(range(21000, 21008))


def test_two_bases_eight_apart_do_not_meet() -> None:
    first, second = Ports.of(21000), Ports.of(21008)
    assert not set(first.named().values()) & set(second.named().values())


def test_a_free_base_is_out_of_reach_of_ephemeral_ports() -> None:
    base = free_base()
    assert base + 8 < 32_768
    assert all(is_free(port) for port in range(base, base + 8))


def test_a_port_in_use_is_named_with_its_holder_and_the_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(StackError) as refused:
            require_free(port, "ingest")
    assert str(port) in refused.value.message
    assert "ingest" in refused.value.message
    assert str(os.getpid()) in refused.value.message
    assert "--port-base" in refused.value.remedy
    require_free(port, "ingest")


def test_workers_never_get_a_port_of_the_stack_itself() -> None:
    span = set(range(PRIVATE_FIRST, PRIVATE_LAST))
    (wanted,) = free_ports(1)
    assert list(free_ports(1, avoid=span - {wanted})) == [wanted]
    with pytest.raises(StackError, match="No 2 free ports"):
        free_ports(2, avoid=span - {wanted})
