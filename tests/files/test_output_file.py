"""Outputs are written without a buffer, and cut to the length that a journal says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from headrace.errors import HeadraceError, StateError
from headrace.files.output_file import OutputFile


class TestOutput:
    def test_starts_empty_unless_it_is_told_to_append(self, tmp_path):
        path = tmp_path / "out"
        path.write_bytes(b"before\n")
        appending = OutputFile(str(path), append=True)
        assert appending.length == 7
        appending.write([b"a\n", b"b\n"])
        assert appending.length == 11
        appending.close()
        assert path.read_bytes() == b"before\na\nb\n"
        assert OutputFile(str(path)).length == 0
        assert path.read_bytes() == b""

    def test_resume_cuts_off_what_was_written_after(self, tmp_path):
        path = tmp_path / "out"
        path.write_bytes(b"one\ntwo\nthr")
        output = OutputFile(str(path), append=True)
        output.resume(4)
        output.write([b"2\n"])
        assert output.length == 6
        assert path.read_bytes() == b"one\n2\n"

    def test_resume_refuses_a_shorter_file_and_a_pipe(self, tmp_path):
        output = OutputFile(str(tmp_path / "out"))
        with pytest.raises(StateError, match="has 0 bytes; the run had written 4"):
            output.resume(4)
        with pytest.raises(StateError, match="is no file"):
            OutputFile("/dev/null").resume(0)

    def test_standard_output(self, capfd):
        output = OutputFile("-")
        output.write([b"a\n"])
        output.close()
        assert capfd.readouterr().out == "a\n"
        assert (output.length, output.regular) == (2, False)

    def test_a_short_write_is_continued(self, tmp_path, monkeypatch):
        write = os.write
        monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:3]))
        output = OutputFile(str(tmp_path / "out"))
        output.write([b"one\n", b"two\n"])
        assert (tmp_path / "out").read_bytes() == b"one\ntwo\n"
        assert output.length == 8

    @pytest.mark.parametrize("fsync", [True, False])
    def test_fsync_follows_every_write_when_asked_for(self, tmp_path, monkeypatch, fsync):
        synced = []
        monkeypatch.setattr(os, "fsync", synced.append)
        output = OutputFile(str(tmp_path / "out"), fsync=fsync)
        output.write([b"a\n"])
        output.write([b"b\n"])
        assert len(synced) == (2 if fsync else 0)

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
    def test_a_full_disk_is_an_error_that_names_the_file(self):
        with pytest.raises(HeadraceError, match="/dev/full: byte 0: can't be written: No space left"):
            OutputFile("/dev/full").write([b"a\n"])

    def test_what_can_t_be_opened_is_an_error(self, tmp_path):
        with pytest.raises(HeadraceError, match="can't be written: No such file"):
            OutputFile(str(tmp_path / "none" / "out"))
