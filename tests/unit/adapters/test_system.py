import os
import time
from uuid import RFC_4122

from adapters.system import RandomIds


def test_command_ids_are_distinct_uuids_that_begin_with_the_time() -> None:
    ids = RandomIds()
    begun = time.time_ns() // 1_000_000
    made = [ids.command() for _ in range(1000)]
    ended = time.time_ns() // 1_000_000
    assert len(set(made)) == 1000
    assert {(each.version, each.variant) for each in made} == {(7, RFC_4122)}
    assert all(begun <= each.int >> 80 <= ended for each in made)
    # Each of the other 74 bits is random.
    assert {bit for each in made for bit in range(80) if each.int >> bit & 1} >= {*range(62), *range(64, 76)}
    assert all(any(not each.int >> bit & 1 for each in made) for bit in (*range(62), *range(64, 76)))


def test_a_forked_process_does_not_repeat_ids() -> None:
    ids = RandomIds()
    ids.command()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, ids.command().bytes)
        os._exit(0)
    theirs = os.read(reading, 16)
    os.waitpid(child, 0)
    os.close(reading)
    os.close(writing)
    assert theirs != ids.command().bytes
