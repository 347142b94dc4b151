"""Time of a gallery search, of a BLAS product and of faiss on the same templates, in turns.

python benchmarks/search.py --chips lfw_pairs.tar --bundle build/bundle --out
docs/measurements/search.md
"""

from __future__ import annotations

import argparse
import ctypes
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import faiss
import numkong
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_info, threadpool_limits

from edge.gallery.live_gallery import LiveGallery
from edge.gallery.search import Index
from edge.gallery.store import GalleryStore
from edge.subject import SubjectRecord

Rows = NDArray[np.float32]
Search = Callable[[Rows], object]

DIMENSION = 256
SIZES = (1_000, 10_000, 100_000)
OF_ONE = 3  # templates a subject
APART = 0.75  # noise between photos of one subject, as long as the face is: a cosine of 0.64
BATCH = 4
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
SLOWING = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")  # make numpy's product slower than it is


@dataclass(frozen=True, slots=True)
class Timing:
    """Median and 99th percentile in milliseconds."""

    median: float
    p99: float

    @classmethod
    def summarise(cls, seconds: Sequence[float]) -> Timing:
        return cls(float(np.median(seconds)) * 1e3, float(np.quantile(seconds, 0.99)) * 1e3)

    def __str__(self) -> str:
        return f"{_short(self.median)} / {_short(self.p99)}"


@dataclass(frozen=True, slots=True)
class Row:
    """Times for one gallery size and batch, with faiss and BLAS in the same run."""

    size: int
    batch: int
    ours: Timing
    faiss: Timing
    blas: Timing


@dataclass(frozen=True, slots=True)
class ChangeTimes:
    """Times of changes of a gallery, in milliseconds."""

    build: float
    put: Timing
    drop: Timing
    load: float
    refresh: Timing
    asked: Timing


def unit(rows: NDArray[np.floating]) -> Rows:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


class TemplateSource:
    """Templates distributed like those of a network: real ones first, then drawn ones.

    The drawn ones have the mean and covariance of the real ones.
    """

    def __init__(self, real: Rows | None) -> None:
        self._rng = np.random.default_rng(0)
        self.real = np.zeros((0, DIMENSION), np.float32) if real is None else real
        if real is None:  # a decaying spectrum in a random basis
            basis = np.linalg.qr(self._rng.standard_normal((DIMENSION, DIMENSION)))[0]
            self._mean, self._factor = (
                np.zeros(DIMENSION),
                basis * np.arange(1, DIMENSION + 1) ** -0.5,
            )
        else:
            self._mean = real.mean(axis=0)
            self._factor = np.linalg.cholesky(np.cov(real.T) + 1e-6 * np.eye(DIMENSION))

    def people(self, count: int) -> Rows:
        return unit(self._mean + self._rng.standard_normal((count, DIMENSION)) @ self._factor.T)

    def photos_of(self, faces: Rows) -> Rows:
        """Return the embedding of another photo for each face."""
        return unit(
            faces
            + APART * self.people(len(faces))
            + 0.2 * unit(self._rng.standard_normal(faces.shape))
        )

    def templates(self, count: int) -> Rows:
        """Return templates, at most half of them real; those of a person are adjacent."""
        real = self.real[: min(len(self.real), count // 2)]
        return np.concatenate(
            [
                real,
                self.photos_of(
                    np.repeat(self.people(count // OF_ONE + 1), OF_ONE, axis=0)[: count - len(real)]
                ),
            ]
        )

    def probes(self, templates: Rows, count: int) -> Rows:
        """Return probes, half of enrolled people and half of strangers."""
        enrolled = templates[self._rng.integers(0, len(templates), count // 2)]
        probes = np.concatenate([self.photos_of(enrolled), self.people(count - len(enrolled))])
        return np.ascontiguousarray(probes[self._rng.permutation(count)])


def real_templates(chips: Path, bundle: Path) -> Rows:
    """Return one embedding per chip, in the order of people."""
    from calibration.chips import validation_chips
    from calibration.scores import embed_chips
    from edge.bundle import EMBEDDER_NETWORK, open_bundle
    from edge.chip import PREPROCESSING
    from edge.engine import open_engine

    engine = open_engine(
        open_bundle(bundle, PREPROCESSING).onnx_path(EMBEDDER_NETWORK, "fp32"), threads=2
    )
    folder = validation_chips([chips], all_identities=True)
    return np.ascontiguousarray(
        embed_chips(engine, len(folder), folder.chip, what="chips")["embedding"], np.float32
    )


def index_of(templates: Rows) -> Index:
    index = Index()
    index.update(
        {
            i: (f"person {i}", templates[i * OF_ONE : (i + 1) * OF_ONE])
            for i in range(-(-len(templates) // OF_ONE))
        }
    )
    return index


def flat_of(templates: Rows) -> faiss.IndexFlatIP:
    flat = faiss.IndexFlatIP(DIMENSION)
    flat.add(templates)
    return flat


def interleaved(searches: Mapping[str, Search], probes: Sequence[Rows]) -> dict[str, Timing]:
    """Run all searches for each probe, in random order."""
    order, taken = list(searches), {name: list[float]() for name in searches}
    for i, probe in enumerate((*probes[:20], *probes)):
        random.shuffle(order)
        for name in order:
            started = time.perf_counter()
            searches[name](probe)
            if i >= 20:  # not while caches are cold
                taken[name].append(time.perf_counter() - started)
    return {name: Timing.summarise(seconds) for name, seconds in taken.items()}


def compare(faces: TemplateSource, size: int, repeats: int) -> list[Row]:
    templates = faces.templates(size)
    index, flat = index_of(templates), flat_of(templates)
    probes = faces.probes(templates, repeats)
    _agree(index, flat, probes[:200])
    one = interleaved(
        {
            "ours": index.search,
            "faiss": lambda q: flat.search(q[None], 2),
            "blas": lambda q: templates @ q,
        },
        list(probes),
    )
    several = interleaved(
        {
            "ours": index.search_all,
            "faiss": lambda q: flat.search(q, 2),
            "blas": lambda q: templates @ q.T,
        },
        [probes[i : i + BATCH] for i in range(0, len(probes) - BATCH, BATCH)],
    )
    return [Row(size, batch, **found) for batch, found in ((1, one), (BATCH, several))]


def _agree(index: Index, flat: faiss.IndexFlatIP, probes: Rows) -> None:
    scores, _ = flat.search(probes, 1)
    for score, match in zip(scores[:, 0], index.search_all(probes), strict=True):
        if match is None or abs(match.score - score) > 1e-5:
            raise SystemExit("the best scores of index and faiss differ")


def changing(faces: TemplateSource, size: int, rounds: int) -> ChangeTimes:
    """Measure changes of one subject in a large gallery, also by another process."""
    templates = faces.templates(size)
    started = time.perf_counter()
    index = index_of(templates)
    build = (time.perf_counter() - started) * 1e3
    added = [faces.photos_of(np.repeat(faces.people(1), OF_ONE, axis=0)) for _ in range(rounds)]
    put = [_taken(lambda i=i: index.add(10**6 + i, "new", added[i])) for i in range(rounds)]
    drop = [_taken(lambda i=i: index.update({i: None})) for i in range(rounds)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gallery.db"
        ours, theirs = (
            GalleryStore(path, key=bytes(32), terminal="bench", model_digest="0" * 64)
            for _ in range(2)
        )
        with theirs.write_transaction("no one was enrolled"):
            for i in range(0, size, OF_ONE):
                theirs.write_subject(
                    f"person {i}", SubjectRecord(), templates[i : i + OF_ONE], theirs.model
                )
        started = time.perf_counter()
        gallery = LiveGallery(ours)
        load = (time.perf_counter() - started) * 1e3
        refresh, asked = [], []
        for i, rows in enumerate(added):
            theirs.enroll(f"new {i}", rows)
            refresh.append(_taken(gallery.refresh))
            asked.append(_taken(gallery.refresh))
            match = gallery.search(rows[0])
            if match is None or match.subject != f"new {i}":
                raise SystemExit("a subject who was enrolled is not found after refresh")
        ours.close()
        theirs.close()
    return ChangeTimes(
        build,
        Timing.summarise(put),
        Timing.summarise(drop),
        load,
        Timing.summarise(refresh),
        Timing.summarise(asked),
    )


def _taken(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def megabytes(make: Callable[[Rows], object], size: int) -> float:
    """Return the additional memory of a process that holds the index, without the templates."""
    context = multiprocessing.get_context("fork")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_weigh, args=(make, size, sending))
    process.start()
    found = receiving.recv()
    process.join()
    return float(found)


def _weigh(make: Callable[[Rows], object], size: int, sending: object) -> None:
    templates = unit(np.random.default_rng(0).standard_normal((size, DIMENSION), np.float32))
    trim = ctypes.CDLL(
        None
    ).malloc_trim  # what was freed before would be used again, and not be counted
    trim(0)
    before = _resident()
    made = make(templates)
    trim(0)
    sending.send((_resident() - before) / 1e6)  # type: ignore[attr-defined]
    del made


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def one_thread() -> Iterator[str]:
    """Limit all libraries to one thread; yield the names of processor and kernels."""
    faiss.omp_set_num_threads(1)
    with threadpool_limits(1):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        about = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        libraries = [
            lib for lib in threadpool_info() if "numpy" in lib["filepath"] and "architecture" in lib
        ]
        blas = ", ".join(
            f"{lib['internal_api']} {lib['version']} for {lib['architecture']}" for lib in libraries
        )
        can = " ".join(name for name, has in numkong.get_capabilities().items() if has)
        flat = f"faiss {faiss.__version__} ({faiss.get_compile_options().strip()})"
        ours = f"numkong {numkong.__version__} ({can})"
        yield (
            f"{(about or [os.uname().machine])[0]}; numpy {np.__version__} with {blas}; {flat}; "
            f"{ours}"
        )


def _short(ms: float) -> str:
    return f"{ms:.4f}" if ms < 0.1 else f"{ms:.3f}" if ms < 1 else f"{ms:.2f}"


def page(
    machine: str,
    data: str,
    rows: Sequence[Row],
    memory: Mapping[int, tuple[float, float]],
    change: ChangeTimes,
) -> str:
    """Return the tables in Markdown."""
    parts = [f"{machine}. Templates: {data}.", ""]
    parts += [
        "| templates | probes at once | ours | faiss | BLAS | ours / faiss | ours / BLAS |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        ours, flat, blas = row.ours, row.faiss, row.blas
        ratios = f"{ours.median / flat.median:.2f} | {ours.median / blas.median:.2f}"
        parts.append(f"| {row.size:,} | {row.batch} | {ours} | {flat} | {blas} | {ratios} |")
    parts += ["", "| templates | memory, ours | faiss |", "|---|---|---|"]
    parts += [
        f"| {size:,} | {ours:.1f} MB | {flat:.1f} MB |" for size, (ours, flat) in memory.items()
    ]
    parts += [
        "",
        f"| with {max(memory):,} templates | ms |",
        "|---|---|",
        f"| one subject added | {change.put} |",
        f"| one subject removed | {change.drop} |",
        f"| one subject enrolled by another process: `refresh` | {change.refresh} |",
        f"| nothing changed: `refresh`, once per frame | {change.asked} |",
        f"| all templates into an empty index | {change.build:.0f} |",
        f"| gallery read and decrypted at start | {change.load:.0f} |",
    ]
    return "\n".join([*parts, ""])


def write(text: str, path: Path) -> None:
    """Write the text between the marks of a page, or a new page."""
    old = path.read_text(encoding="utf-8") if path.exists() else f"{BEGIN}\n{END}\n"
    before, _, rest = old.partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}", encoding="utf-8")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, help="a page in markdown, whose tables are replaced")
    parser.add_argument(
        "--chips", type=Path, help="a .tar of chips, for real templates; else all are drawn"
    )
    parser.add_argument(
        "--bundle",
        type=Path,
        default=Path("build/bundle"),
        help="bundle with the embedder (default build/bundle)",
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument(
        "--repeats",
        type=int,
        default=2000,
        help="probes in galleries up to 10,000; fewer in larger ones",
    )
    return parser.parse_args()


def main() -> int:
    args = _parse()
    for name in SLOWING:
        if name in os.environ:
            print(
                f"search-bench: warning: {name} is set: numpy's product may be slower than it "
                "could be",
                file=sys.stderr,
            )
    memory = {size: (megabytes(index_of, size), megabytes(flat_of, size)) for size in args.sizes}
    real = real_templates(args.chips, args.bundle) if args.chips else None
    faces = TemplateSource(real)
    data = (
        "drawn"
        if real is None
        else f"at most half from {len(real):,} real photos, the rest drawn like them"
    )
    with one_thread() as machine:
        print(machine)
        rows: list[Row] = []
        for size in args.sizes:
            rows += compare(faces, size, args.repeats if size <= 10_000 else args.repeats // 4)
            for row in rows[-2:]:
                print(
                    f"{row.size:>8,} x {row.batch}: ours {row.ours}, faiss {row.faiss}, BLAS "
                    f"{row.blas}"
                )
        change = changing(faces, max(args.sizes), rounds=50)
    text = page(machine, data, rows, memory, change)
    print(text)
    if args.out:
        write(text, args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
