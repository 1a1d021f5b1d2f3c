"""Large files are read and written in pieces: one long call into the kernel would hold up every packet."""

import os

import pytest

from callqa import files
from callqa.files import DISK, read_file


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 1000])
@pytest.mark.parametrize("most", [-1, 0, 1, 99, 100, 101, 5000])
def test_a_file_read_in_pieces_is_the_file(tmp_path, monkeypatch, size, most):
    monkeypatch.setattr(files, "_MOST_AT_ONCE", 100)
    data = os.urandom(size)
    (tmp_path / "f").write_bytes(data)
    assert read_file(tmp_path / "f", most) == (data if most < 0 else data[:most])


def test_no_piece_written_is_larger_than_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_MOST_AT_ONCE", 100)
    written = []

    class Watched(files.Files):
        def write(self, descriptor, data):
            written.append(len(data))
            return super().write(descriptor, data)

    data = os.urandom(1050)
    Watched().put(tmp_path / "f", data)
    assert DISK.read(tmp_path / "f") == data
    assert written == [*[100] * 10, 50]


def test_a_file_that_is_away_is_told(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "nothing")
