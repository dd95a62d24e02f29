import os

from adapters.system import RandomIds


def test_command_ids_are_distinct_random_uuids() -> None:
    ids = RandomIds()
    made = [ids.command() for _ in range(1000)]
    assert len(set(made)) == 1000
    assert {each.version for each in made} == {4}


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
