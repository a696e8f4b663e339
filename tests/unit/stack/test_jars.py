"""The lock of Kafka's jars: whole, without addresses, and unforgiving."""

from pathlib import Path

import pytest
from jgo.maven import MavenContext

from stack import jars
from stack.errors import StackError


def test_the_lock_names_every_jar_once_with_a_sha256() -> None:
    locked = jars.locked()
    assert len({(jar.group, jar.artifact) for jar in locked}) == len(locked) > 40
    assert all(len(jar.sha256) == 64 for jar in locked)
    assert any(jar.artifact == "kafka_2.13" and jar.version == "4.1.1" for jar in locked)


def test_neither_lock_carries_an_address() -> None:
    for path in (jars.LOCK_PATH, jars.LOCK_PATH.parents[1] / "requirements.lock"):
        assert "://" not in path.read_text(), path.name


def test_a_changed_jar_is_not_sound(tmp_path: Path) -> None:
    context = MavenContext(repo_cache=tmp_path)
    jar = jars.Jar("org.example", "thing", "1.0", "0" * 64)
    path = jars.location(jar, context)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half a jar")
    assert not jars.is_sound(jar, context)


def test_a_jar_that_cannot_be_had_says_so_and_leaves_no_half_file(tmp_path: Path) -> None:
    nowhere = (tmp_path / "nowhere").as_uri()
    context = MavenContext(repo_cache=tmp_path, remote_repos={"none": nowhere})
    jar = jars.Jar("org.example", "thing", "1.0", "0" * 64)
    with pytest.raises(StackError, match=r"org\.example:thing:1\.0"):
        jars.fetch([jar], context)
    assert not jars.location(jar, context).exists()
