"""`python -m bench`: every defined case, into a run; `python -m bench matching ...`: one question on the spot."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import click

from bench import (
    cases,
    encryption,
    fingerprints,
    imports,
    lists,
    matching,
    report,
    rescan,
    robustness,
    serve,
    video,
    works,
)
from bench.engines import PEERS, EngineMissing
from bench.measure import WrongAnswer
from bench.populations import Kind


@click.group(invoke_without_command=True)
@click.pass_context
def main(context: click.Context) -> None:
    """Measure hashward against its peers. Without a command: every defined case, into a new run."""
    if context.invoked_subcommand is None:
        context.invoke(run_all)


@main.command("run")
@click.option("--only", metavar="TEXT", default="", help="Only cases and works whose name holds this text.")
@click.option("--rows-at-most", type=int, default=None, help="Leave out larger cases, and all works.")
def run_all(only: str = "", rows_at_most: int | None = None) -> None:
    """Run the defined cases and works; Markdown, SVG and raw figures go to bench/runs/."""
    results: list[report.Measured] = []
    for case in cases.load():
        if only in case.name and (rows_at_most is None or case.rows <= rows_at_most):
            try:
                results += _told(case.name, [_result(case)])
            except EngineMissing as missing:
                click.echo(f"{case.name}: not measured: {missing}", err=True)
    chosen: dict[str, Callable[[], works.Figure | list[works.Figure]]] = {
        **works.WORKS,
        **{case.name: partial(rescan.run, case) for case in rescan.load()},
        **fingerprints.chosen(),
        **video.chosen(),
        **{case.name: partial(lists.run, case) for case in lists.load()},
        "import": imports.run,
    }
    for name, work in chosen.items():
        if only in name and rows_at_most is None:
            try:
                figures = work()
            except EngineMissing as missing:
                click.echo(f"{name}: not measured: {missing}", err=True)
                continue
            results += _told(name, figures if isinstance(figures, list) else [figures])
    click.echo(report.write(results, sys.argv[1:]).name)


def _told(name: str, results: Sequence[report.Measured]) -> Sequence[report.Measured]:
    for result in results:
        click.echo(f"{name}: {result.name} {result.ratio:.2f}x of {result.peer} (goal {result.goal:g}x)", err=True)
    return results


@main.command("matching")
@click.option("--size", type=click.IntRange(0), default=1_000_000, show_default=True, help="Listed values.")
@click.option("--distribution", type=click.Choice(["uniform", "skewed"]), default="uniform", show_default=True)
@click.option("--bits", type=click.Choice(["64", "256"]), default="256", show_default=True, help="Bits of a value.")
@click.option("--radius", type=click.IntRange(0, 256), default=31, show_default=True, help="Greatest distance in bits.")
@click.option(
    "--queries", type=click.IntRange(1), default=1, show_default=True, help="Asked at once; 1: singly, blocks of 60."
)
@click.option("--against", type=click.Choice(PEERS), default="faiss", show_default=True, help="The peer.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the population.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def matching_command(
    size: int, distribution: Kind, bits: str, radius: int, queries: int, against: str, seed: int, as_json: bool
) -> None:
    """Ours against one peer on one population, judged by brute force."""
    case = cases.Case("asked", "", distribution, int(bits), radius, size, queries, against, seed, 0, 0, 0, 0)
    try:
        result = _result(case)
    except EngineMissing as missing:
        raise click.ClickException(str(missing)) from missing
    if as_json:
        click.echo(json.dumps(result.as_json()))
    else:
        click.echo(report.table([result]))


@main.command("fingerprints")
@click.option("--only", metavar="TEXT", default="", help="Only cases and works whose name holds this text.")
def fingerprints_command(only: str) -> None:
    """Stills from a path to three digests and PDQ, against peers; one JSON object a line, and a new run."""
    results: list[report.Measured] = []
    for name, work in fingerprints.chosen(only).items():
        try:
            figures = work()
        except EngineMissing as missing:
            click.echo(f"{name}: not measured: {missing}", err=True)
            continue
        except WrongAnswer as error:
            raise click.ClickException(str(error)) from error
        results += _told(name, figures if isinstance(figures, list) else [figures])
    for result in results:
        click.echo(json.dumps(result.as_json()))
    click.echo(report.write(results, sys.argv[1:]).name, err=True)


@main.command("video")
@click.option("--only", metavar="TEXT", default="", help="Only cases and works whose name holds this text.")
def video_command(only: str) -> None:
    """Films to PDQ frames against vpdq, and recall of keyframes; one JSON object a line, and a new run."""
    results: list[report.Measured] = []
    for name, work in video.chosen(only).items():
        try:
            figures = work()
        except (EngineMissing, WrongAnswer) as error:
            raise click.ClickException(str(error)) from error
        results += _told(name, figures if isinstance(figures, list) else [figures])
    for result in results:
        click.echo(json.dumps(result.as_json()))
    click.echo(report.write(results, sys.argv[1:]).name, err=True)


@main.command("rescan")
@click.option("--contents", type=click.IntRange(1), default=1_000_000, show_default=True, help="Contents held.")
@click.option("--delta", type=click.IntRange(1), default=1_000, show_default=True, help="Entries new each round.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def rescan_command(contents: int, delta: int, as_json: bool) -> None:
    """A whole re-scan against reading every signal from the database and asking faiss."""
    (defined,) = rescan.load()
    planted = max(1, defined.planted * delta // defined.delta)
    try:
        figure = rescan.run(replace(defined, name="asked", contents=contents, delta=delta, planted=planted))
    except (EngineMissing, WrongAnswer) as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps(figure.as_json()))
    else:
        click.echo(report.table([figure]))


@main.command("lists")
@click.option("--size", type=click.IntRange(1), default=10_000_000, show_default=True, help="Listed values.")
@click.option("--delta", type=click.IntRange(1), default=10_000, show_default=True, help="Added, and withdrawn.")
@click.option("--home", type=click.Path(path_type=Path), help="A home to fill, or filled before; kept, and changed.")
@click.option("--record", is_flag=True, help="Write the figures under bench/runs/, as `run` does.")
@click.option("--json", "as_json", is_flag=True, help="JSON objects, one a line.")
def lists_command(size: int, delta: int, home: Path | None, record: bool, as_json: bool) -> None:
    """A delta into a large set through the store until it is in force, and opening the set in a new process."""
    (defined,) = lists.load()
    try:
        figures = lists.run(replace(defined, rows=size, added=delta, withdrawn=delta), home)
    except WrongAnswer as error:
        raise click.ClickException(str(error)) from error
    for figure in figures:
        click.echo(json.dumps(figure.as_json()) if as_json else report.table([figure]))
    if record:
        click.echo(report.write(figures, sys.argv[1:]).name, err=True)


@main.command("imports")
@click.option("--rows", type=click.IntRange(1), default=1_000_000, show_default=True, help="Values of the list.")
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="Imports of each, in turns.")
@click.option("--record", is_flag=True, help="Write the figures under bench/runs/, as `run` does.")
def imports_command(rows: int, rounds: int, record: bool) -> None:
    """A list imported and indexed, against plain sqlite-utils inserts with the same tables and indexes."""
    try:
        figure = imports.run(rows, rounds)
    except WrongAnswer as error:
        raise click.ClickException(str(error)) from error
    click.echo(json.dumps(figure.as_json()))
    if record:
        click.echo(report.write([figure], sys.argv[1:]).name, err=True)


@main.command("encryption")
@click.option("--contents", type=click.IntRange(100), default=150_000, show_default=True, help="Contents held.")
@click.option("--rounds", type=click.IntRange(1), default=2, show_default=True, help="Turns of each.")
@click.option("--record", is_flag=True, help="Write the figures under bench/runs/, as `run` does.")
def encryption_command(contents: int, rounds: int, record: bool) -> None:
    """Recording, walking and importing with the databases under a key, against without."""
    figures = encryption.run(contents, rounds)
    for figure in figures:
        click.echo(json.dumps(figure.as_json()))
    if record:
        click.echo(report.write(figures, sys.argv[1:]).name, err=True)


@main.command("serve")
@click.option("--only", type=click.Choice(serve.PARTS), multiple=True, help="Only this part; may be repeated.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Turns of each.")
@click.option("--pairs", type=click.IntRange(2), default=4000, show_default=True, help="Listed and unlisted uploads.")
@click.option("--seconds", type=click.FloatRange(0), default=30.0, show_default=True, help="Of open-loop load.")
@click.option("--pdq", type=click.IntRange(0), default=0, show_default=True, help="PDQ values listed.")
@click.option("--digests", type=click.IntRange(0), default=0, show_default=True, help="Digests listed.")
@click.option("--grain", type=click.IntRange(0), default=serve.BUSY, show_default=True, help="Levels, of pictures.")
@click.option(
    "--halves", type=click.IntRange(1), default=serve.HALVES, show_default=True, help="Half-open connections."
)
@click.option("--ahead", is_flag=True, help="Go before all else that this machine runs; for root.")
@click.option("--home", type=click.Path(path_type=Path), help="A home to fill, or filled before; kept.")
@click.option("--record", is_flag=True, help="Write the figures under bench/runs/.")
def serve_command(
    only: tuple[str, ...], rounds: int, pairs: int, seconds: float, pdq: int, digests: int, grain: int, halves: int,
    ahead: bool, home: Path | None, record: bool,
) -> None:  # fmt: skip
    """The upload doors: known content against ClamAV's daemon, new against its fingerprint, load, accept's silence,
    and half-open connections."""
    plan = serve.Plan(
        only or serve.PARTS, rounds, pairs=pairs, load_s=seconds, pdq=pdq, digests=digests, grain=grain, halves=halves,
        ahead=ahead, home=home,
    )  # fmt: skip
    try:
        found = serve.run(plan, lambda text: click.echo(text, err=True))
    except (WrongAnswer, OSError) as error:
        raise click.ClickException(str(error)) from error
    rounded = {name: round(value, 3) for name, value in found.items()}
    click.echo(json.dumps(rounded))
    if record:
        click.echo(serve.record(rounded, sys.argv[1:]), err=True)


@main.command("robustness")
@click.option("--scenes", type=click.IntRange(1), default=100, show_default=True, help="Generated pictures to edit.")
@click.option("--pairs-of", type=click.IntRange(100), default=2000, show_default=True, help="Unrelated pictures.")
@click.option("--only", metavar="TEXT", default="", help="Only edits whose name holds this text.")
def robustness_command(scenes: int, pairs_of: int, only: str) -> None:
    """Which edits PDQ, its query options, pHash and dHash survive, and at what risk; into a new run."""
    rows = robustness.survivals(robustness.pictures(scenes), robustness.edits_named(only))
    lies = robustness.false_matches(pairs_of)
    click.echo("\n".join([*robustness.table(rows), "", *robustness.told(lies)]))
    click.echo(robustness.write(rows, lies, sys.argv[1:]).name, err=True)


def _result(case: cases.Case) -> matching.Result:
    real = matching.real_values() if case.bits == 256 and case.distribution == "skewed" else None
    try:
        return matching.run(case, real)
    except WrongAnswer as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main(prog_name="python -m bench")
