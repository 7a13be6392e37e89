"""The walk and the opening of files, against trees that mean harm and trees that change."""

from __future__ import annotations

import ast
import errno
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.patterns import compile_pattern
from scanner.types import Reason
from scanner.walking import (
    FileOpener,
    FileStat,
    FolderListed,
    FolderTrouble,
    FolderUnlisted,
    Found,
    FoundFile,
    Opened,
    Root,
    RootIdentity,
    RootTrouble,
    RootUnavailable,
    Trouble,
    UnlistedFolders,
    Unopenable,
    WalkRules,
    check_unchanged,
    is_settled,
    open_file,
    open_root,
    same_file,
    walk,
)

PROJECT = Path(__file__).resolve().parents[2]
NOBODY = 65534


def root_of(path: Path) -> Root:
    root = open_root(path)
    assert isinstance(root, Root)
    return root


def told(items: Iterator[Found]) -> set[tuple[str, bytes, str]]:
    """Kind, key and reason of each item."""
    told = [
        (type(item).__name__, item.key, str(getattr(item, "reason", getattr(item, "trouble", "")))) for item in items
    ]
    assert len(told) == len(set(told))
    return set(told)


ALL = WalkRules()


def walked(path: Path, rules: WalkRules = ALL, below: bytes = b"") -> set[tuple[str, bytes, str]]:
    with root_of(path) as root:
        return told(walk(root.fd, rules, below=below))


def files(path: Path, **rules: Any) -> list[bytes]:
    return sorted(key for kind, key, _ in walked(path, WalkRules(**rules)) if kind == "FoundFile")


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def shared_tree() -> Iterator[Path]:
    """A folder that another user may use, once it is open: what lies above it may be closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="walk-"))
    folder.chmod(0o755)
    yield folder
    subprocess.run(["chmod", "-R", "u+rwx", folder], check=True)
    subprocess.run(["rm", "-r", folder], check=True)  # deeper than shutil.rmtree can go


def as_nobody(work: Callable[[], object]) -> Any:
    """What `work` returns (a literal) when an ordinary user calls it; runs it at once for one who is no root."""
    if os.getuid() != 0:
        return ast.literal_eval(repr(work()))
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            os.write(writing, repr(work()).encode())
        except BaseException as exc:
            os.write(writing, repr(repr(exc)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return ast.literal_eval(answer.decode())


# -- what is there ---------------------------------------------------------------


def test_yields_each_file_with_its_stat_and_each_folder_once(tmp_path: Path) -> None:
    """A plain tree gives its files as fstat would describe them, and its folders, the root among them."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "top.jpg").write_bytes(b"12345")
    (tmp_path / "a" / "b" / "deep.jpg").write_bytes(b"1")

    with root_of(tmp_path) as root:
        items = list(walk(root.fd))

    found = (tmp_path / "top.jpg").stat()
    expected = FileStat(found.st_dev, found.st_ino, 5, found.st_mtime_ns, found.st_ctime_ns)
    assert FoundFile(b"top.jpg", expected) in items
    assert {b"top.jpg", b"a/b/deep.jpg"} == {item.key for item in items if isinstance(item, FoundFile)}
    assert {FolderListed(key, found.st_dev) for key in (b"", b"a", b"a/b")} == {
        item for item in items if isinstance(item, FolderListed)
    }
    assert 5 == len(items)


def test_links_pipes_and_sockets_are_counted_and_never_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Links out of the tree, to folders, in loops and to nothing, a FIFO, a socket: each one reason, no hang."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("x")
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "to_file").symlink_to(outside / "secret")
    (tree / "to_folder").symlink_to(outside)
    (tree / "loop").symlink_to(tree)
    (tree / "sub" / "mutual").symlink_to(tree / "mutual")
    (tree / "mutual").symlink_to(tree / "sub" / "mutual")
    (tree / "dangling").symlink_to("nowhere")
    os.mkfifo(tree / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        monkeypatch.chdir(tree)
        listening.bind("socket")

    links = {b"to_file", b"to_folder", b"loop", b"mutual", b"sub/mutual", b"dangling"}
    assert {("Ignored", key, "link") for key in links} | {
        ("Ignored", b"fifo", "fifo"),
        ("Ignored", b"socket", "socket"),
        ("FolderListed", b"", ""),
        ("FolderListed", b"sub", ""),
    } == walked(tree)


def test_devices_are_counted(tmp_path: Path) -> None:
    """A device node is no file."""
    try:
        os.mknod(tmp_path / "null", 0o600 | 0o020000, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("needs root to make a device node")

    assert ("Ignored", b"null", "device") in walked(tmp_path)
    with root_of(tmp_path) as root:
        assert Unopenable(Trouble.NOT_A_FILE) == open_file(root.fd, b"null")


def test_any_name_a_file_system_allows_is_a_key(tmp_path: Path) -> None:
    """Line ends, tabs, bytes that are no text, options and formats, and the longest name are read like any other."""
    names = [b"new\nline\ttab", b"\xff\xfe\x80", b"--version", b"%s%n", b"n" * 254, "é".encode(), b" ", b"*", b"[a]"]
    for name in names:
        with open(os.path.join(os.fsencode(tmp_path), name), "wb") as file:
            file.write(name)

    assert sorted(names) == files(tmp_path)
    with root_of(tmp_path) as root:
        for name in names:
            with open_file(root.fd, name) as opened:
                assert isinstance(opened, Opened)
                assert name == os.read(opened.fd, 1000)


def test_hard_links_are_two_files_with_one_identity(tmp_path: Path) -> None:
    """Two names of one inode are two keys; the stat tells that they are one."""
    (tmp_path / "one").write_text("x")
    os.link(tmp_path / "one", tmp_path / "two")

    with root_of(tmp_path) as root:
        found = {item.key: item.stat for item in walk(root.fd) if isinstance(item, FoundFile)}

    assert found[b"one"] == found[b"two"]


def make_deep(folder: Path, levels: int) -> None:
    """Folders named `d` inside each other, `levels` deep, a file in each: beyond what a path can name."""
    fd = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.close(os.open("file", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=fd))
        os.mkdir("d" * 20, dir_fd=fd)
        below = os.open("d" * 20, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)


def test_folders_deeper_than_a_path_can_name_are_walked_to_the_cap(tmp_path: Path) -> None:
    """600 levels (over PATH_MAX): files to the cap are found and can be opened, one folder is counted as too deep."""
    make_deep(tmp_path, 600)
    before = open_descriptors()
    most = 0

    with root_of(tmp_path) as root:
        items = []
        for item in walk(root.fd):
            items.append(item)
            most = max(most, open_descriptors())
        deepest = max((item.key for item in items if isinstance(item, FoundFile)), key=len)
        with open_file(root.fd, deepest) as opened:
            assert isinstance(opened, Opened)

    assert len(deepest) > 4096
    assert 257 == sum(isinstance(item, FoundFile) for item in items)
    [unlisted] = [item for item in items if isinstance(item, FolderUnlisted)]
    assert FolderTrouble.TOO_DEEP is unlisted.reason
    assert 257 == unlisted.key.count(b"/") + 1
    assert most - before <= 257 + 4  # one descriptor a level; the root, two for the folder being listed
    assert open_descriptors() == before


def test_a_folder_with_very_many_names_streams_in_bounded_memory(tmp_path: Path) -> None:
    """Thousands of files and of folders in one folder: memory does not grow with them, the first comes at once."""
    for number in range(6000):
        (tmp_path / f"{number:0200}.jpg").touch()
        if number % 2:
            (tmp_path / f"{number:0200}").mkdir()
    with root_of(tmp_path) as root:
        next(walk(root.fd))
        tracemalloc.start()
        count = sum(isinstance(item, FoundFile) for item in walk(root.fd))
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

    assert 6000 == count
    # 1,024 waiting names of some 240 bytes; the 3,000 folders alone would be 720 kB.
    assert peak_bytes < 400_000
    assert 3001 == sum(kind == "FolderListed" for kind, _, _ in walked(tmp_path))


# -- what may not be read ---------------------------------------------------------------


def test_an_ordinary_user_meets_permissions_as_counted_reasons(shared_tree: Path) -> None:
    """Folders that cannot be listed or entered are unlisted, never empty; a file is opened only when it is read."""
    for name, mode in (("closed", 0o000), ("no_list", 0o711), ("no_enter", 0o744), ("open", 0o755)):
        (shared_tree / name).mkdir()
        (shared_tree / name / "file").write_text("x")
        (shared_tree / name / "file").chmod(0o000)
        (shared_tree / name).chmod(mode)

    def work() -> object:
        opened = open_file(root.fd, b"open/file"), open_file(root.fd, b"closed/file")
        return sorted(told(walk(root.fd))), [str(item.trouble) for item in opened if isinstance(item, Unopenable)]

    with root_of(shared_tree) as root:
        items, troubles = as_nobody(work)

    assert {
        ("FolderListed", b"", ""),
        ("FolderListed", b"open", ""),
        ("FoundFile", b"open/file", ""),
        ("FolderUnlisted", b"closed", "permission"),
        ("FolderUnlisted", b"no_list", "permission"),
        ("FolderListed", b"no_enter", ""),
        ("Unreadable", b"no_enter/file", "permission"),
    } == set(items)
    assert ["permission", "permission"] == troubles


def test_an_ordinary_user_can_walk_the_hostile_tree_too(shared_tree: Path) -> None:
    """The walk needs no privilege for links, FIFOs and deep trees."""
    os.mkfifo(shared_tree / "fifo", 0o666)
    (shared_tree / "link").symlink_to("/")
    (shared_tree / "deep").mkdir()
    make_deep(shared_tree / "deep", 300)

    with root_of(shared_tree) as root:
        kinds = as_nobody(lambda: dict(Counter(kind for kind, _, _ in told(walk(root.fd)))))

    assert {"Ignored": 2, "FoundFile": 256, "FolderListed": 257, "FolderUnlisted": 1} == kinds


def test_a_root_that_cannot_be_opened_is_a_value(tmp_path: Path, shared_tree: Path) -> None:
    """Missing, a file, a dangling link, an impossible path, a closed folder: each its own word, never an exception."""
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "dangling").symlink_to("nowhere")
    troubles = {path: open_root(path) for path in (tmp_path / "absent", tmp_path / "file", tmp_path / "dangling")}

    assert [RootTrouble.MISSING, RootTrouble.NOT_A_FOLDER, RootTrouble.MISSING] == [
        found.trouble for found in troubles.values() if isinstance(found, RootUnavailable)
    ]
    assert RootUnavailable(RootTrouble.NOT_A_FOLDER) == open_root(tmp_path / "fifo")
    assert RootUnavailable(RootTrouble.MISSING) == open_root(b"nul\x00byte")
    assert RootUnavailable(RootTrouble.MISSING) == open_root("x" * 5000)
    (shared_tree / "below").mkdir()
    shared_tree.chmod(0o000)
    assert "permission" == as_nobody(lambda: str(open_root(shared_tree / "below").trouble))  # type: ignore[union-attr]


def test_a_root_is_known_by_device_and_inode_and_may_be_a_link(tmp_path: Path) -> None:
    """The identity is the folder's own, through whatever name it was reached."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    found = (tmp_path / "real").stat()

    with root_of(tmp_path / "link") as root:
        assert RootIdentity(found.st_dev, found.st_ino) == root.identity


def test_a_root_that_may_not_be_listed_is_an_unlisted_folder(shared_tree: Path) -> None:
    """A root whose permission went away in the meantime yields that, and hides everything."""
    with root_of(shared_tree) as root:
        shared_tree.chmod(0o000)
        items = as_nobody(lambda: sorted(told(walk(root.fd))))

    assert [("FolderUnlisted", b"", "permission")] == items


# -- what changes meanwhile ---------------------------------------------------------------


def test_a_folder_replaced_by_a_link_during_the_walk_is_not_followed(tmp_path: Path) -> None:
    """Between listing and entering, a folder becomes a link out of the tree: nothing of outside is seen."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").touch()
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    with root_of(tree) as root:
        walking = walk(root.fd)
        assert isinstance(next(walking), FolderListed)
        (tree / "sub").rmdir()
        (tree / "sub").symlink_to(tmp_path / "outside")

        assert {("FolderUnlisted", b"sub", "vanished")} == told(walking)


def test_a_folder_that_vanishes_during_the_walk_is_unlisted(tmp_path: Path) -> None:
    """What lay in it is not called missing on the word of this walk."""
    (tmp_path / "sub").mkdir()
    with root_of(tmp_path) as root:
        walking = walk(root.fd)
        next(walking)
        (tmp_path / "sub").rmdir()

        assert {("FolderUnlisted", b"sub", "vanished")} == told(walking)


def test_files_that_vanish_during_the_walk_are_counted(tmp_path: Path) -> None:
    """A listed name without a file is unreadable, not an error and not silence."""
    for number in range(10):
        (tmp_path / str(number)).touch()
    with root_of(tmp_path) as root:
        walking = walk(root.fd)
        first = next(walking)
        for number in range(10):
            (tmp_path / str(number)).unlink()

        rest = told(walking)

    assert isinstance(first, FoundFile)
    assert 9 == sum(item[0] == "Unreadable" and item[2] == "vanished" for item in rest)
    assert ("FolderListed", b"", "") in rest


def test_files_that_appear_during_the_walk_are_seen_at_most_once(tmp_path: Path) -> None:
    """New names neither double nor hide the old ones."""
    old = {f"old{number}".encode() for number in range(50)}
    for name in old:
        (tmp_path / os.fsdecode(name)).touch()
    seen: list[bytes] = []
    with root_of(tmp_path) as root:
        for item in walk(root.fd):
            if isinstance(item, FoundFile):
                seen.append(item.key)
                if len(seen) <= 50:
                    (tmp_path / f"new{len(seen)}").touch()

    assert len(seen) == len(set(seen))
    assert old <= set(seen)


def test_a_walk_given_up_halfway_leaves_no_descriptor(tmp_path: Path) -> None:
    """Closing the stream closes every folder."""
    make_deep(tmp_path, 30)
    before = open_descriptors()
    root = root_of(tmp_path)
    walking = walk(root.fd)
    for _ in range(40):
        next(walking)
    assert open_descriptors() > before + 1

    walking.close()  # type: ignore[attr-defined]
    root.close()

    assert before == open_descriptors()


def test_a_listing_that_fails_halfway_is_unlisted(tmp_path: Path) -> None:
    """An I/O error after some names: those are yielded, the folder does not count as listed."""

    class Failing:
        def __init__(self, names: Iterator[Any]) -> None:
            self.names, self.given = names, 0

        def __next__(self) -> Any:
            self.given += 1
            if self.given == 3:
                raise OSError(errno.EIO, "Input/output error")
            return next(self.names)

        def close(self) -> None:
            self.names.close()  # type: ignore[attr-defined]

    for number in range(5):
        (tmp_path / str(number)).touch()
    scandir = os.scandir
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "scandir", lambda fd: Failing(scandir(fd)))
        found = walked(tmp_path)

    assert {"FoundFile": 2, "FolderUnlisted": 1} == Counter(kind for kind, _, _ in found)
    assert ("FolderUnlisted", b"", "io") in found


# -- mounts ---------------------------------------------------------------

_MOUNTED = """
import os, sys
sys.path.insert(0, sys.argv[1])
from scanner.walking import WalkRules, open_root, walk
root = open_root(sys.argv[2])
for rules in (WalkRules(), WalkRules(one_file_system=True)):
    for item in sorted(walk(root.fd, rules), key=lambda item: item.key):
        print(type(item).__name__, item.key.decode(), getattr(item, "reason", "-"))
    print("--")
"""


def in_mounts(folder: Path, mounts: str) -> list[str]:
    """The walks (all, then one file system) of `folder` in a mount namespace of its own, after `mounts` ran in it."""
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare")
    script = f'set -e; cd "$1"; {mounts}; shift; exec "$@"'
    python = [sys.executable, "-c", _MOUNTED, str(PROJECT), str(folder)]
    done = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", str(folder), *python],
                          capture_output=True, text=True, check=False)  # fmt: skip
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip("needs the right to mount")
    assert "" == done.stderr
    return done.stdout.split("--\n")


def test_a_folder_mounted_inside_itself_is_a_loop(tmp_path: Path) -> None:
    """A bind mount of a folder above is found by device and inode."""
    (tmp_path / "sub" / "again").mkdir(parents=True)
    (tmp_path / "file").touch()

    everything, _ = in_mounts(tmp_path, "mount --bind . sub/again")[:2]

    assert ["FolderListed  -", "FoundFile file -", "FolderListed sub -", "FolderUnlisted sub/again loop"] == (
        everything.splitlines()
    )


def test_another_file_system_is_entered_unless_the_rules_forbid(tmp_path: Path) -> None:
    """one_file_system stops at a mount and says so."""
    (tmp_path / "mounted").mkdir()

    everything, one = in_mounts(tmp_path, "mount -t tmpfs none mounted && touch mounted/file")[:2]

    assert ["FolderListed  -", "FolderListed mounted -", "FoundFile mounted/file -"] == everything.splitlines()
    assert ["FolderListed  -", "FolderUnlisted mounted other_device"] == one.splitlines()


# -- patterns ---------------------------------------------------------------


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for key in ("a.jpg", "b.tmp", "cache/x.jpg", "deep/cache/y.jpg", "deep/photos/z.jpg", "deep/photos/more/w.tmp"):
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).touch()
    return tmp_path


def test_exclude_leaves_out_files_and_does_not_enter_folders(photos: Path) -> None:
    """Excluded files are there but not looked at; excluded folders are not entered."""
    found = walked(photos, WalkRules(exclude=(b"*.tmp", b"cache/")))

    assert {
        ("FoundFile", b"a.jpg", ""),
        ("FoundFile", b"deep/photos/z.jpg", ""),
        ("Ignored", b"b.tmp", "excluded"),
        ("Ignored", b"deep/photos/more/w.tmp", "excluded"),
        ("FolderUnlisted", b"cache", "excluded"),
        ("FolderUnlisted", b"deep/cache", "excluded"),
    } == {item for item in found if item[0] != "FolderListed"}


def test_include_looks_only_at_what_matches_or_lies_below(photos: Path) -> None:
    """A pattern of files chooses files; one of folders chooses all below; exclude beats include."""
    assert [b"a.jpg", b"cache/x.jpg", b"deep/cache/y.jpg", b"deep/photos/z.jpg"] == files(photos, include=(b"*.jpg",))
    assert [b"deep/photos/more/w.tmp", b"deep/photos/z.jpg"] == files(photos, include=(b"photos/",))
    assert [b"deep/photos/z.jpg"] == files(photos, include=(b"photos/",), exclude=(b"*.tmp",))
    assert [b"cache/x.jpg"] == files(photos, include=(b"/cache",))


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        (b"*.jpg", [b"a.jpg", b"x/y/a.jpg"], [b"a.jpg/x", b"a.JPG", b"ajpg"]),
        (b"a/*.jpg", [b"a/b.jpg"], [b"a/b/c.jpg", b"x/a/b.jpg"]),
        (b"a/**/z", [b"a/z", b"a/b/z", b"a/b/c/z"], [b"z", b"a", b"ab/z"]),
        (b"**/z", [b"z", b"a/z", b"a/b/z"], [b"za"]),
        (b"a/**", [b"a/b", b"a/b/c"], [b"b", b"ab"]),
        (b"/top", [b"top"], [b"a/top"]),
        (b"a?c", [b"abc", b"x/abc"], [b"ac", b"abbc"]),
        (b"[a-c]1", [b"a1", b"c1"], [b"d1"]),
        (b"[!a-c]1", [b"d1"], [b"a1"]),
        (b"[*]", [b"*"], [b"a"]),
        (b"a**b", [b"ab", b"axxb"], [b"a/b"]),
        (b"\xff*", [b"\xff", b"\xff\xfe"], [b"\xfe"]),
        (b"new\nline*", [b"new\nline\n"], [b"new"]),
        (b"**/a/**/b/**/c", [b"a/b/c", b"x/a/y/b/z/c", b"a/a/b/b/c"], [b"a/c/b", b"a/b"]),
    ],
)
def test_patterns_read_as_documented(pattern: bytes, matching: list[bytes], other: list[bytes]) -> None:
    """Each form matches what the documentation says, and nothing else."""
    compiled = compile_pattern(pattern)

    assert [] == [key for key in matching if not compiled.matches(key.split(b"/"), is_folder=False)]
    assert [] == [key for key in other if compiled.matches(key.split(b"/"), is_folder=False)]


def test_a_trailing_slash_means_folders() -> None:
    """The same name as a file is not meant."""
    assert compile_pattern(b"x/").matches([b"x"], is_folder=True)
    assert not compile_pattern(b"x/").matches([b"x"], is_folder=False)


def as_regex(pattern: bytes) -> re.Pattern[bytes]:
    """The same pattern as one plain regular expression: slow, but short enough to be seen right."""
    parts = []
    for component in pattern.split(b"/"):
        one = b"".join({b"*": b"[^/]*", b"?": b"[^/]"}.get(bytes([c]), re.escape(bytes([c]))) for c in component)
        parts.append(b"(?:[^/]+/)*" if component == b"**" else one + b"/")
    return re.compile(b"".join(parts), re.DOTALL)


_COMPONENTS = st.sampled_from([b"**", b"*", b"a", b"b", b"a*", b"*b", b"?", b"a?", b"*a*b"])
_NAMES = st.lists(st.sampled_from([b"a", b"b", b"ab", b"aab", b"ba"]), min_size=1, max_size=7)


@given(pattern=st.lists(_COMPONENTS, min_size=2, max_size=5).map(b"/".join), names=_NAMES)
def test_patterns_equal_a_plain_regular_expression(pattern: bytes, names: list[bytes]) -> None:
    """Matching by component finds exactly what backtracking over the whole key would."""
    expected = as_regex(pattern).fullmatch(b"/".join(names) + b"/") is not None

    assert expected == compile_pattern(pattern).matches(names, is_folder=False)


def test_no_name_makes_a_pattern_slow() -> None:
    """Stars against a name made for them stay linear."""
    compiled = compile_pattern(b"**/" + b"*a" * 60 + b"b/**/" + b"*a" * 60 + b"b/c")
    began = time.process_time()

    assert not compiled.matches([b"a" * 255] * 256, is_folder=False)
    assert time.process_time() - began < 2.0


@pytest.mark.parametrize("pattern", [b"", b"/", b"//", b"a//b", b"../x", b"a/./b", b"nul\x00", b"x" * 5000])
def test_patterns_that_mean_nothing_are_refused_without_repeating_them(pattern: bytes) -> None:
    """A pattern is refused when it is read, before anything is walked."""
    with pytest.raises(ValueError) as caught:
        walk(0, WalkRules(exclude=(pattern,)))

    assert "x" * 50 not in str(caught.value)


# -- a part of a root ---------------------------------------------------------------


def test_one_folder_or_file_below_can_be_walked_with_keys_from_the_root(photos: Path) -> None:
    """`below` narrows the walk; keys and anchored patterns keep their meaning; what was named is not excluded."""
    rules = WalkRules(exclude=(b"deep", b"/deep/photos/more"))

    assert {
        ("FoundFile", b"deep/photos/z.jpg", ""),
        ("FolderListed", b"deep/photos", ""),
        ("FolderUnlisted", b"deep/photos/more", "excluded"),
    } == walked(photos, rules, below=b"deep/photos")
    assert {("FoundFile", b"deep/photos/z.jpg", "")} == walked(photos, rules, below=b"deep/photos/z.jpg")
    chosen = walked(photos, WalkRules(include=(b"photos/",)), below=b"deep/photos/more")
    assert ("FoundFile", b"deep/photos/more/w.tmp", "") in chosen


@pytest.mark.parametrize(
    ("below", "expected"),
    [
        (b"absent", ("Unreadable", "vanished")),
        (b"a.jpg/x", ("Unreadable", "vanished")),
        (b"link", ("Ignored", "link")),
        (b"link/cache", ("Unreadable", "vanished")),
        (b"../outside", ("Unreadable", "name")),
        (b"/etc", ("Unreadable", "name")),
    ],
)
def test_a_name_below_that_is_nothing_to_look_at_is_a_value(
    photos: Path, below: bytes, expected: tuple[str, str]
) -> None:
    """No key leaves the root, by `..`, by a link or from the top."""
    (photos / "link").symlink_to(photos / "deep")

    assert {(expected[0], below, expected[1])} == walked(photos, below=below)


# -- what absence means ---------------------------------------------------------------


def test_only_folders_that_were_listed_vouch_for_absence() -> None:
    """An unlisted folder hides everything below it and nothing beside it."""
    unlisted = UnlistedFolders()
    assert not unlisted.hide(b"a/b/c")
    unlisted.add(b"a/b")

    assert unlisted.hide(b"a/b/c")
    assert unlisted.hide(b"a/b/c/d")
    assert not unlisted.hide(b"a/c")
    assert not unlisted.hide(b"a/bb/c")
    assert not unlisted.hide(b"a/b")
    unlisted.add(b"")
    assert unlisted.hide(b"anything")


# -- opening ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "trouble", "reason"),
    [
        (b"absent", Trouble.VANISHED, Reason.CHANGED),
        (b"absent/file", Trouble.VANISHED, Reason.CHANGED),
        (b"file/file", Trouble.VANISHED, Reason.CHANGED),
        (b"link", Trouble.NOT_A_FILE, Reason.CHANGED),
        (b"linked/file", Trouble.VANISHED, Reason.CHANGED),
        (b"fifo", Trouble.NOT_A_FILE, Reason.CHANGED),
        (b"socket", Trouble.NOT_A_FILE, Reason.CHANGED),
        (b"sub", Trouble.NOT_A_FILE, Reason.CHANGED),
        (b"", Trouble.NAME, Reason.IO),
        (b"..", Trouble.NAME, Reason.IO),
        (b"sub/../file", Trouble.NAME, Reason.IO),
        (b"/etc/passwd", Trouble.NAME, Reason.IO),
        (b"sub//file", Trouble.NAME, Reason.IO),
        (b"nul\x00", Trouble.NAME, Reason.IO),
        (b"n" * 300, Trouble.NAME, Reason.IO),
    ],
)
def test_only_regular_files_below_the_root_are_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: bytes, trouble: Trouble, reason: Reason
) -> None:
    """Links at any place, special files, folders and keys that lead elsewhere are refused with a closed reason."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "file").touch()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "linked").symlink_to("sub")
    os.mkfifo(tmp_path / "fifo")
    before = open_descriptors()
    with socket.socket(socket.AF_UNIX) as listening:
        monkeypatch.chdir(tmp_path)
        listening.bind("socket")

    with root_of(tmp_path) as root:
        assert Unopenable(trouble) == open_file(root.fd, key)
    assert reason is trouble.reason
    assert before == open_descriptors()


def test_an_opener_reads_many_files_and_keeps_one_folder_open(tmp_path: Path) -> None:
    """Keys of one folder share its descriptor; other folders and missing ones do not confuse it."""
    for key in ("a/1", "a/2", "b/1", "top"):
        (tmp_path / key).parent.mkdir(exist_ok=True)
        (tmp_path / key).write_text(key)
    before = open_descriptors()
    with root_of(tmp_path) as root, FileOpener(root.fd) as opener:
        for key in (b"a/1", b"a/2", b"gone/1", b"a/1", b"b/1", b"top", b"a/2"):
            opened = opener.open(key)
            if key.startswith(b"gone"):
                assert Unopenable(Trouble.VANISHED) == opened
                continue
            assert isinstance(opened, Opened)
            with opened:
                assert key == os.read(opened.fd, 100)
                assert opener.unchanged(key, opened.fd, opened.stat)
        assert open_descriptors() == before + 2

    assert before == open_descriptors()


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def truncate(path: Path) -> None:
    os.truncate(path, 3)


def overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"OTHER")


def rename_over(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    found = path.stat()
    os.utime(other, ns=(found.st_atime_ns, found.st_mtime_ns))
    other.rename(path)


def unlink(path: Path) -> None:
    path.unlink()


def overwrite_and_restore_times(path: Path) -> None:
    found = path.stat()
    overwrite(path)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


EDITS = (append, truncate, overwrite, rename_over, unlink, overwrite_and_restore_times)


@pytest.mark.parametrize("edit", EDITS)
def test_every_edit_while_a_file_is_read_is_detected(tmp_path: Path, edit: Callable[[Path], None]) -> None:
    """Append, truncate, overwrite, rename over, unlink, and an overwrite that restores its times: 6 of 6."""
    path = tmp_path / "file"
    path.write_bytes(b"some content")
    time.sleep(0.02)  # past one tick of the file system's clock; within it the file is not settled and is read again
    with root_of(tmp_path) as root, open_file(root.fd, b"file") as opened:
        assert isinstance(opened, Opened)
        os.read(opened.fd, 5)
        assert check_unchanged(root.fd, b"file", opened.fd, opened.stat)

        edit(path)

        assert not check_unchanged(root.fd, b"file", opened.fd, opened.stat)


def test_a_folder_swapped_while_a_file_is_read_is_detected(tmp_path: Path) -> None:
    """The key must still lead to the very file that was read."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "file").write_text("x")
    with root_of(tmp_path) as root, open_file(root.fd, b"sub/file") as opened:
        assert isinstance(opened, Opened)
        (tmp_path / "sub").rename(tmp_path / "moved")
        assert not check_unchanged(root.fd, b"sub/file", opened.fd, opened.stat)
        (tmp_path / "sub").symlink_to("moved")
        assert not check_unchanged(root.fd, b"sub/file", opened.fd, opened.stat)
        (tmp_path / "sub").unlink()
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "file").write_text("x")

        assert not check_unchanged(root.fd, b"sub/file", opened.fd, opened.stat)


def test_a_file_counts_as_settled_two_seconds_after_its_last_change() -> None:
    """Younger changes, and times in the future, are read again at the next walk."""
    second = 10**9

    def at(mtime: int, ctime: int) -> FileStat:
        return FileStat(1, 2, 3, mtime * second, ctime * second)

    assert is_settled(at(100, 100), 103 * second)
    assert not is_settled(at(100, 100), 102 * second)
    assert not is_settled(at(50, 102), 103 * second)
    assert not is_settled(at(102, 50), 103 * second)
    assert not is_settled(at(100, 500), 103 * second)


@pytest.mark.parametrize("field", ["dev", "ino", "size_bytes", "mtime_ns", "ctime_ns"])
def test_a_difference_in_any_field_is_another_state(field: str) -> None:
    """All five fields tell states apart."""
    values = {"dev": 1, "ino": 2, "size_bytes": 3, "mtime_ns": 4, "ctime_ns": 5}

    assert same_file(FileStat(**values), FileStat(**values))
    assert not same_file(FileStat(**values), FileStat(**{**values, field: 9}))
