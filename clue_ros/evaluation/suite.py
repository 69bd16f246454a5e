"""What a suite is, and how one is run: item by item, each on disk before the next, pictures of some of them kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Container, Dict, Iterator, Optional, Protocol, Sequence, Tuple

import numpy as np

from clue_ros.evaluation.comparison import Terms, comparable, comparison
from clue_ros.evaluation.rows import Row, RowStore
from clue_ros.measures.bootstrap import SEED
from clue_ros.measures.plots import save_plots
from clue_ros.measures.results import Picture, Results, save

PICTURES = "pictures"
GALLERY = 6  # successes, and as many failures
PICTURE_WIDTH = 960  # pixels


@dataclass(frozen=True)
class Judged:
    """One item done. success: None where an item is neither; picture: draws it, uint8[h,w,3] RGB, when asked."""

    key: str
    rows: Sequence[Row]
    title: str = ""
    success: Optional[bool] = None
    picture: Optional[Callable[[], np.ndarray]] = None


class Suite(Protocol):
    """name: of the verb and folder; about: JSON values that fix the result; total: items, None if nobody knows."""

    name: str
    title: str

    def about(self) -> Dict[str, Any]: ...

    def total(self) -> Optional[int]: ...

    def terms(self, rows: Sequence[Row]) -> Terms:
        """Figures that are ratios of sums over rows, by name: (numerator, denominator), one number a row each."""
        ...

    def judged(self, done: Container[str]) -> Iterator[Judged]:
        """Every item that is not done yet, in a fixed order."""
        ...

    def summarise(self, rows: Sequence[Row]) -> Results:
        """Everything that is said about these rows; `about`, pictures and completeness are filled in by `run_suite`."""
        ...


def run_suite(
    suite: Suite,
    folder: Path,
    *,
    fresh: bool = False,
    gallery: int = GALLERY,
    against: Optional[Path] = None,
    progress: Callable[[int], Any] = lambda items: None,
) -> Results:
    """Run what is missing, then write results.json, summary.csv, rows.csv, plots and pictures into the folder.

    fresh: begin anew; against: the folder of the same suite's run of another model, compared pairwise on the items that
    both have; progress: called with the number of items just done (first with those of a former run). An interruption
    leaves the files of what was done, marked incomplete, and is passed on.
    """
    folder = Path(folder)
    about = {**suite.about(), "bootstrap_seed": SEED}
    if against is not None:
        comparable(about, Path(against))  # says now what is wrong, not after an hour
    store = RowStore(folder, about, fresh)
    pictures = Gallery(folder, gallery, fresh)
    progress(store.resumed)
    complete = False
    try:
        for item in suite.judged(store):
            store.add(item.key, item.rows)
            pictures.offer(item)
            progress(1)
        complete = True
    finally:
        results = suite.summarise(store.rows).with_(about=about, complete=complete, pictures=pictures.kept)
        if against is not None:
            table = comparison(suite.terms, store.rows, about, Path(against))
            results = results.with_(tables=(*results.tables, table))
        save(results, store.rows, folder)
        save_plots(results.curves, folder)
    return results


class Gallery:
    """The first few successes and failures as WebP files. The lists are kept in the names, so a resumed run goes on."""

    def __init__(self, folder: Path, count: int, fresh: bool = False):
        self._folder, self._count = folder / PICTURES, count
        if fresh:
            for file in self._folder.glob("*-[0-9][0-9].webp"):
                file.unlink()

    @property
    def kept(self) -> Tuple[Picture, ...]:
        found = []
        for file in sorted(self._folder.glob("*-[0-9][0-9].webp")):
            title = file.with_suffix(".txt")
            text = title.read_text(encoding="utf-8") if title.is_file() else file.stem
            found.append(Picture(f"{PICTURES}/{file.name}", text, file.name.startswith("success")))
        return tuple(found)

    def offer(self, item: Judged) -> None:
        if item.success is None or item.picture is None:
            return
        kind = "success" if item.success else "failure"
        number = len(list(self._folder.glob(f"{kind}-*.webp"))) + 1
        if number > min(self._count, 99):
            return
        from PIL import Image

        picture = Image.fromarray(item.picture())
        if picture.width > PICTURE_WIDTH:
            picture = picture.resize(
                (PICTURE_WIDTH, round(picture.height * PICTURE_WIDTH / picture.width)), Image.Resampling.LANCZOS
            )
        self._folder.mkdir(parents=True, exist_ok=True)
        picture.save(self._folder / f"{kind}-{number:02d}.webp", quality=82)
        (self._folder / f"{kind}-{number:02d}.txt").write_text(item.title, encoding="utf-8")
