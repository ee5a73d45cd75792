"""A file is whole or absent; what stood there is replaced or untouched."""

from __future__ import annotations

import errno
import hashlib
import os
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cinn_clusters.errors import BundleError, OutputError
from cinn_clusters.files import (
    atomic_directory,
    atomic_file,
    demand_free,
    read_json,
    sha256_of,
    write_json,
)


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def write_and_fail(
    place: AbstractContextManager[Path], failure: BaseException, name: str = ""
) -> None:
    """Write half of something, then fail."""
    with place as scratch:
        (scratch / name).write_text("half")
        raise failure


class TestFile:
    def test_appears_when_the_block_ends_and_not_before(self, tmp_path: Path) -> None:
        place = tmp_path / "new" / "a.nc"
        with atomic_file(place) as scratch:
            scratch.write_text("whole")
            assert scratch.suffix == ".nc"
            assert not place.exists()
        assert content(tmp_path) == {"new/a.nc": b"whole"}

    @pytest.mark.parametrize("old", [None, b"old"])
    @pytest.mark.parametrize(
        "failure", [ValueError("ours"), KeyboardInterrupt(), MemoryError()]
    )
    def test_failure_leaves_what_was(
        self, old: bytes | None, failure: BaseException, tmp_path: Path
    ) -> None:
        if old is not None:
            (tmp_path / "a").write_bytes(old)
        before = content(tmp_path)
        with pytest.raises(type(failure)):
            write_and_fail(atomic_file(tmp_path / "a"), failure)
        assert content(tmp_path) == before

    def test_full_disk_is_told(self, tmp_path: Path) -> None:
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with pytest.raises(
            OutputError,
            match="a: expected to be written whole; got No space left on device; nothing",
        ):
            write_and_fail(atomic_file(tmp_path / "a"), full)
        assert content(tmp_path) == {}

    def test_full_disk_at_the_last_moment_is_told(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(_: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        (tmp_path / "a").write_text("old")
        monkeypatch.setattr(os, "fsync", fail)
        with (
            pytest.raises(OutputError, match="No space left"),
            atomic_file(tmp_path / "a") as scratch,
        ):
            scratch.write_text("new")
        assert content(tmp_path) == {"a": b"old"}

    def test_all_of_several_or_none(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("old")
        with atomic_file(tmp_path / "c") as third:
            third.write_text("new")
            with pytest.raises(OutputError, match="b: expected to be written whole"):
                self.write_two(tmp_path / "a", tmp_path / "b")
        assert content(tmp_path) == {"a": b"old", "c": b"new"}

    @staticmethod
    def write_two(one: Path, other: Path) -> None:
        with atomic_file(one) as first, atomic_file(other) as second:
            first.write_text("new")
            write_and_fail(atomic_file(second), OSError(errno.ENOSPC, "full"))

    def test_an_error_names_the_place_that_was_asked_for(self, tmp_path: Path) -> None:
        def write() -> None:
            with atomic_directory(tmp_path / "run") as folder:
                write_and_fail(atomic_file(folder / "a"), OSError(errno.ENOSPC, "full"))

        with pytest.raises(OutputError) as caught:
            write()
        assert caught.value.subject == str(tmp_path / "run" / "a")
        assert content(tmp_path) == {}

    def test_below_a_file_is_no_place(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("mine")
        with (
            pytest.raises(OutputError, match="expected to be written whole"),
            atomic_file(tmp_path / "file/a.nc") as _,
        ):
            raise AssertionError("never asked to write")
        assert content(tmp_path) == {"file": b"mine"}

    def test_what_exists_is_refused_unless_allowed(self, tmp_path: Path) -> None:
        place = tmp_path / "a"
        place.write_text("old")
        with pytest.raises(
            OutputError, match=r"a path that does not exist yet; .*--overwrite"
        ):
            demand_free(place, overwrite=False)
        with (
            pytest.raises(OutputError, match="--overwrite"),
            atomic_file(place, overwrite=False) as _,
        ):
            raise AssertionError("never asked to write")
        demand_free(place, overwrite=True)
        with atomic_file(place) as scratch:
            scratch.write_text("new")
        assert content(tmp_path) == {"a": b"new"}


class TestDirectory:
    @pytest.mark.parametrize("is_there", [False, True])
    def test_appears_whole(self, is_there: bool, tmp_path: Path) -> None:
        place = tmp_path / "deep" / "run"
        if is_there:
            place.mkdir(parents=True)
        with atomic_directory(place, markers=("mark",)) as scratch:
            (scratch / "mark").write_text("1")
            assert not is_there or not any(place.iterdir())
        assert content(tmp_path) == {"deep/run/mark": b"1"}
        assert place.stat().st_mode & 0o777 == 0o755
        assert [path.name for path in place.parent.iterdir()] == ["run"]

    def test_replaces_ours_with_all_that_was_in_it(self, tmp_path: Path) -> None:
        place = tmp_path / "run"
        place.mkdir()
        (place / "mark").write_text("old")
        (place / "result").write_text("old")
        with (
            pytest.raises(OutputError, match="--overwrite"),
            atomic_directory(place, markers=("mark",)),
        ):
            raise AssertionError("never asked to write")
        with atomic_directory(place, overwrite=True, markers=("mark",)) as scratch:
            (scratch / "mark").write_text("new")
        assert content(tmp_path) == {"run/mark": b"new"}
        assert [path.name for path in tmp_path.iterdir()] == ["run"]

    @pytest.mark.parametrize("is_file", [False, True])
    def test_never_replaces_what_is_not_ours(
        self, is_file: bool, tmp_path: Path
    ) -> None:
        place = tmp_path / "thesis"
        if is_file:
            place.write_text("years")
        else:
            place.mkdir()
            (place / "thesis.tex").write_text("years")
        before = content(tmp_path)
        with (
            pytest.raises(
                OutputError,
                match="a folder holding one or two; got something else; it is not ours",
            ),
            atomic_directory(place, overwrite=True, markers=("one", "two")),
        ):
            raise AssertionError("never asked to write")
        assert content(tmp_path) == before

    @pytest.mark.parametrize(
        "failure",
        [OSError(errno.ENOSPC, "full"), ValueError("ours"), KeyboardInterrupt()],
    )
    def test_failure_leaves_what_was(
        self, failure: BaseException, tmp_path: Path
    ) -> None:
        place = tmp_path / "run"
        place.mkdir()
        (place / "mark").write_text("old")
        expected = OutputError if isinstance(failure, OSError) else type(failure)
        with pytest.raises(expected):
            write_and_fail(
                atomic_directory(place, overwrite=True, markers=("mark",)),
                failure,
                "mark",
            )
        assert content(tmp_path) == {"run/mark": b"old"}
        assert [path.name for path in tmp_path.iterdir()] == ["run"]

    def test_the_old_comes_back_when_the_new_cannot_take_its_place(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place = tmp_path / "run"
        place.mkdir()
        (place / "mark").write_text("old")
        rename = Path.rename

        def fail(self: Path, target: Path) -> Path:
            if self.suffix == ".tmp":
                raise OSError(errno.EIO, "broken")
            return rename(self, target)

        monkeypatch.setattr(Path, "rename", fail)
        with (
            pytest.raises(OutputError, match="got broken"),
            atomic_directory(place, overwrite=True, markers=("mark",)) as scratch,
        ):
            (scratch / "mark").write_text("new")
        assert content(tmp_path) == {"run/mark": b"old"}
        assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_hash_is_that_of_the_whole_file(tmp_path: Path) -> None:
    data = bytes(range(256)) * ((1 << 20) // 256) + b"end"
    (tmp_path / "a").write_bytes(data)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(data).hexdigest()


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=8,
)


@given(values=JSON)
def test_json_goes_round(
    values: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.getbasetemp() / "values.json"
    write_json(place, values)
    assert read_json(place) == values


def test_json_without_a_number_for_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"score": float("nan")})
    assert content(tmp_path) == {}


@pytest.mark.parametrize(
    ("data", "told"),
    [(None, "No such file"), (b"{", "damage"), (b"", "damage"), (b'"\xff"', "damage")],
)
def test_json_that_is_none_is_told(
    data: bytes | None, told: str, tmp_path: Path
) -> None:
    if data is not None:
        (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(BundleError, match=f"a.json: expected .*{told}"):
        read_json(tmp_path / "a.json")
