"""System calls of a process on files, traced by strace and repeated on a `Disk`."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from tests.durability.disk import (
    Disk,
    File,
    Folder,
    Named,
    Node,
    Renamed,
    Resized,
    Unnamed,
    Written,
)

# Calls that change files, and calls that could do so in ways that are not supported here.
# A question mark: not available on every machine.
_SUPPORTED = (
    "?open", "openat", "?creat", "close", "dup", "?dup2", "dup3", "fcntl", "lseek", "read",
    "write", "pwrite64", "writev", "fsync", "fdatasync", "sync", "syncfs", "ftruncate",
    "fallocate", "?rename", "renameat", "?renameat2", "?unlink", "unlinkat", "?link", "linkat",
    "?mkdir", "mkdirat", "?rmdir", "mmap", "clone", "?clone3", "?fork", "?vfork", "?chmod",
    "fchmod", "fchmodat",
)  # fmt: skip
_REFUSED = (
    "openat2", "truncate", "pwritev", "pwritev2", "sendfile", "copy_file_range", "splice",
    "sync_file_range", "?symlink", "symlinkat", "io_uring_setup", "msync",
)  # fmt: skip
_LINE = re.compile(r"^(\d+)\s+(\w+)\((.*)\)\s+=\s+(0x[0-9a-f]+|-?\d+|\?)")
_UNFINISHED = re.compile(r"^(\d+)\s+(.*) <unfinished \.\.\.>$")
_RESUMED = re.compile(r"^(\d+)\s+<\.\.\. \w+ resumed>(.*)$")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')
_IGNORED = "-shm"  # SQLite rebuilds it from the write-ahead log
_BIRTHS = ("clone", "clone3", "fork", "vfork")
_BYTES_MAX = 1 << 26


class Unsupported(Exception):
    """The process changed its files in a way that cannot be repeated here."""


def tracing_obstacle() -> str | None:
    """Return why tracing is not possible on this machine; None if it is."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    done = subprocess.run(
        ["strace", "-o", "/dev/null", "true"], capture_output=True, text=True, check=False
    )
    return (
        None
        if done.returncode == 0
        else f"strace cannot trace here: {done.stderr.strip().splitlines()[-1]}"
    )


def run_traced(command: Sequence[str], out: Path) -> None:
    """Run a command to its end under strace."""
    calls = ",".join((*_SUPPORTED, *_REFUSED))
    options = [
        "-f",
        "--seccomp-bpf",
        "-o",
        str(out),
        "-xx",
        "-s",
        str(_BYTES_MAX),
        "-e",
        f"trace={calls}",
        "-e",
        "raw=read",
        "-e",
        "signal=none",
    ]
    done = subprocess.run(
        ["strace", *options, *command], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"the traced process failed ({done.returncode}): {done.stderr[-2000:]}")


@dataclass(frozen=True)
class Call:
    """System call that did not fail."""

    process: int
    name: str
    arguments: str
    result: int

    @cached_property
    def strings(self) -> list[bytes]:
        found = _STRING.findall(self.arguments)
        if any(cut for _, cut in found):
            raise Unsupported(f"{self.name}: strace cut its data short")
        return [bytes.fromhex(text.replace("\\x", "")) for text, _ in found]

    def number(self, which: int) -> int:
        """An argument that is a number; negative ones count from the end."""
        return int(self.arguments.split(",")[which].strip(), 0)


def read_trace(path: Path) -> list[Call]:
    """Return the calls of a trace in the order in which they ended."""
    with path.open() as lines:
        return list(_calls(lines))


def _calls(lines: Iterable[str]) -> Iterator[Call]:
    begun: dict[str, str] = {}
    for line in lines:
        line = line.rstrip("\n")
        if found := _UNFINISHED.match(line):
            begun[found[1]] = found[2]
            continue
        if found := _RESUMED.match(line):
            line = f"{found[1]} {begun.pop(found[1])}{found[2]}"
        if (found := _LINE.match(line)) and found[4] != "?" and not found[4].startswith("-"):
            yield Call(int(found[1]), found[2], found[3], int(found[4], 0))


@dataclass(eq=False)
class _Open:
    """An open file or folder; `node` is None for what does not concern us."""

    path: PurePosixPath | None
    node: Node | None
    append: bool = False
    at: int = 0


_Table = dict[int, _Open]


class Replay:
    """Repeats the calls of a trace on a disk; lines written to the path `output` are yielded."""

    def __init__(self, disk: Disk, root: Path, output: Path) -> None:
        self._disk, self._root, self._output = disk, root, output
        self._tables: dict[int, _Table] = {}

    def steps(self, calls: Sequence[Call]) -> Iterator[str | None]:
        """Yield None after each call that changed the disk, and each line of output."""
        parents = {call.result: call for call in calls if call.name in _BIRTHS and call.result}
        for call in calls:
            if call.process not in self._tables:
                self._tables[call.process] = self._born(parents.get(call.process))
            handler = getattr(self, f"_{call.name}", None)
            done = handler(call, self._tables[call.process]) if handler else self._refuse(call)
            if done is not None:
                yield done or None

    def _born(self, parent: Call | None) -> _Table:
        """Return the file table of a process: threads share their parent's, processes copy it."""
        if parent is None:
            return {}
        table = self._tables.get(parent.process, {})
        return table if "CLONE_FILES" in parent.arguments else dict(table)

    def _refuse(self, call: Call) -> str | None:
        if call.name == "io_uring_setup" or any(self._relative(text) for text in call.strings):
            raise Unsupported(f"{call.name}({call.arguments[:200]})")
        first = call.arguments.split(",")[0].strip()
        if (
            first.isdigit()
            and (found := self._tables[call.process].get(int(first))) is not None
            and found.node is not None
        ):
            raise Unsupported(f"{call.name}({call.arguments[:200]})")
        return None

    def _relative(self, path: bytes) -> PurePosixPath | None:
        """Return the path below the root; None if it is elsewhere."""
        try:
            found = PurePosixPath(
                Path(path.decode("utf-8", "surrogateescape")).relative_to(self._root).as_posix()
            )
        except ValueError:
            return None
        return None if found.name.endswith(_IGNORED) else found

    def _openat(self, call: Call, table: _Table) -> str | None:
        flags = call.arguments.split('"')[2]
        (text,) = call.strings
        if text == str(self._output).encode():
            table[call.result] = _Open(PurePosixPath(self._output), None)
            return None
        path = self._relative(text)
        if path is None:
            table.pop(call.result, None)
            return None
        changed = None
        node: Node | None = Folder() if path == PurePosixPath() else self._disk.names.get(path)
        if node is None:
            node, changed = File(), ""
            self._disk.name(Named(path, node))
        if "O_TRUNC" in flags and isinstance(node, File) and node.now:
            node.do(Resized(0))
            changed = ""
        table[call.result] = _Open(path, node, "O_APPEND" in flags)
        return changed

    _open = _openat

    def _creat(self, call: Call, table: _Table) -> str | None:
        return self._refuse(call)

    def _close(self, call: Call, table: _Table) -> None:
        table.pop(call.number(0), None)

    def _dup(self, call: Call, table: _Table) -> None:
        if (found := table.get(call.number(0))) is not None:
            table[call.result] = found
        else:
            table.pop(call.result, None)

    _dup2 = _dup3 = _dup

    def _fcntl(self, call: Call, table: _Table) -> None:
        if "F_DUPFD" in call.arguments:
            self._dup(call, table)

    def _lseek(self, call: Call, table: _Table) -> None:
        if (found := table.get(call.number(0))) is not None:
            found.at = call.result

    def _read(self, call: Call, table: _Table) -> None:
        if (found := table.get(call.number(0))) is not None:
            found.at += call.result

    def _write(self, call: Call, table: _Table) -> str | None:
        found = table.get(int(call.arguments.split(",", 1)[0]))
        if found is None:
            return None
        data = b"".join(call.strings)[: call.result]
        if found.node is None:
            return data.decode()
        if not isinstance(found.node, File):
            raise Unsupported(f"write to the folder {found.path}")
        at = len(found.node.now) if found.append else found.at
        found.node.do(Written(at, data))
        found.at = at + len(data)
        return ""

    _writev = _write

    def _pwrite64(self, call: Call, table: _Table) -> str | None:
        found = table.get(int(call.arguments.split(",", 1)[0]))
        if found is None or not isinstance(found.node, File):
            return None
        (data,) = call.strings
        found.node.do(Written(call.number(-1), data[: call.result]))
        return ""

    def _fsync(self, call: Call, table: _Table) -> str | None:
        found = table.get(call.number(0))
        if found is None or found.node is None or found.path is None:
            return None
        if isinstance(found.node, File):
            found.node.sync()
        else:
            self._disk.sync_folder(found.path)
        return ""

    _fdatasync = _fsync

    def _sync(self, call: Call, table: _Table) -> str | None:
        self._disk.sync_all()
        return ""

    _syncfs = _sync

    def _ftruncate(self, call: Call, table: _Table) -> str | None:
        found = table.get(call.number(0))
        if found is None or not isinstance(found.node, File):
            return None
        found.node.do(Resized(call.number(1)))
        return ""

    def _fallocate(self, call: Call, table: _Table) -> str | None:
        found = table.get(call.number(0))
        if found is None or not isinstance(found.node, File):
            return None
        _, mode, at, size = (part.strip() for part in call.arguments.split(","))
        if mode != "0":
            raise Unsupported(f"fallocate({call.arguments})")
        found.node.do(Resized(max(len(found.node.now), int(at) + int(size))))
        return ""

    def _rename(self, call: Call, table: _Table) -> str | None:
        old, new = (self._relative(text) for text in call.strings)
        if old is None and new is None:
            return None
        if old is None or new is None or old.parent != new.parent:
            raise Unsupported(f"{call.name}: from one folder to another")
        self._disk.name(Renamed(old, new))
        return ""

    _renameat = _renameat2 = _rename

    def _unlink(self, call: Call, table: _Table) -> str | None:
        path = self._relative(call.strings[0])
        if path is None:
            return None
        self._disk.name(Unnamed(path))
        return ""

    _unlinkat = _rmdir = _unlink

    def _link(self, call: Call, table: _Table) -> str | None:
        old, new = (self._relative(text) for text in call.strings)
        if old is None and new is None:
            return None
        if old is None or new is None:
            raise Unsupported(f"{call.name}: out of the folder")
        self._disk.name(Named(new, self._disk.names[old]))
        return ""

    _linkat = _link

    def _mkdir(self, call: Call, table: _Table) -> str | None:
        path = self._relative(call.strings[0])
        if path is None:
            return None
        self._disk.name(Named(path, Folder()))
        return ""

    _mkdirat = _mkdir

    def _mmap(self, call: Call, table: _Table) -> None:
        """Refuse writable shared mappings: strace does not see writes to them."""
        if "MAP_SHARED" in call.arguments and "PROT_WRITE" in call.arguments:
            found = table.get(call.number(4))
            if found is not None and found.node is not None:
                raise Unsupported(f"{found.path}: written through a shared mapping")

    def _nothing(self, call: Call, table: _Table) -> None: ...

    _clone = _clone3 = _fork = _vfork = _chmod = _fchmod = _fchmodat = _nothing
