"""Tests of files that another process waits for."""

import threading
from pathlib import Path

from onecard_protocol.whole_files import write_whole


def test_a_reader_sees_the_old_text_or_the_new_one_and_never_a_part(tmp_path: Path) -> None:
    file = tmp_path / "country.json"
    texts = {"a" * 4_000_000, "b" * 4_000_000}
    write_whole(file, "a" * 4_000_000)
    is_done = threading.Event()

    def write() -> None:
        for text in sorted(texts) * 10:
            write_whole(file, text)
        is_done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set[str]()
    while not is_done.is_set():
        seen.add(file.read_text(encoding="utf-8"))
    writer.join()
    assert seen <= texts
    assert [path.name for path in tmp_path.iterdir()] == ["country.json"]
