"""File locks that a killed engine's processes still hold."""

from pathlib import Path

import pytest

from adapters.embedded.file_lock import FileLock


@pytest.mark.parametrize(("content", "signalled"), [("4321", [(4321, 15)]), ("0", []), ("", []), ("x", [])])
def test_signals_go_to_the_process_in_the_file_only(
    tmp_path: Path, content: str, signalled: list[tuple[int, int]]
) -> None:
    path = tmp_path / "lock"
    holder, lock = FileLock(path), FileLock(path)
    assert holder.try_acquire()
    path.write_text(content)
    sent: list[tuple[int, int]] = []
    assert not lock.acquire_from_leftover([(0, 0.0), (15, 0.0)], lambda pid, number: sent.append((pid, number)))
    assert sent == signalled
    holder.close()
    assert lock.acquire_from_leftover([], lambda _pid, _number: None)
    lock.close()
