"""The `case` group: what people look into, what they found, and who may say so. It shows no picture and no place."""

from __future__ import annotations

import sys
from typing import Any

import click

from scanner.accountability import vouching
from scanner.accountability.appeals import Appeals, Channel
from scanner.accountability.cases import Case, Cases, Word, is_id, of_code, of_ref
from scanner.accountability.levels import Complexity, Finding, Level, Origin, Reason, Urgency
from scanner.accountability.review import Reviews, Statement
from scanner.api import MAX_REF_BYTES, Scanner
from scanner.cli.groups import Group
from scanner.cli.output import emit_json, json_option, note, show, table
from scanner.errors import UsageError


@click.group(cls=Group)
def case() -> None:
    """Cases: reviews of what matched, appeals, and the register of decisions."""


def case_object(each: Case) -> dict[str, object]:
    """A case for programs: nothing that leads to a person, a place or a content."""
    return {
        "case": each.id, "state": each.state, "level": each.level.value, "round": each.round,
        "contested": each.contested, "outcome": each.outcome and each.outcome.value, "origin": each.origin.value,
        "urgency": each.urgency.value, "complexity": each.complexity.value, "report": each.report_id,
        "hash_set": each.hash_set, "classifications": [f"{scheme}:{code}" for scheme, code in each.classifications],
        "hash_type": each.hash_type, "proximity": each.proximity, "media": each.media, "opened": each.opened_day,
        "decided": each.decided_day, "erased": each.content_seq is None,
    }  # fmt: skip


def _word_object(each: Word) -> dict[str, object]:
    return {
        "round": each.round, "day": each.day, "kind": each.kind, "level": each.level.value, "by": each.who,
        "outcome": each.outcome and each.outcome.value, "reason": each.reason and each.reason.value,
        "viewed_by_person": each.viewed, "channel": each.channel, "ticket": each.ticket,
    }  # fmt: skip


def _choice(values: Any) -> click.Choice[str]:
    return click.Choice([each.value for each in values])


_urgency = click.option(
    "--urgency",
    type=_choice(Urgency),
    default=Urgency.ROUTINE.value,
    help="Urgent goes to senior, an emergency to legal.",
)


def _print_cases(found: list[Case], as_json: bool) -> None:
    if as_json:
        emit_json([case_object(each) for each in found])
        return
    rows = table("case", "state", "for", "hash set", "by", "media", "opened", "outcome")
    for each in found:
        by = f"{each.hash_type} {each.proximity}" if each.hash_type else "no list"
        state = each.state + (", contested" if each.contested else "")
        outcome = each.outcome.value.replace("_", " ") if each.outcome else ""
        rows.add_row(each.id, state, each.level.value, each.hash_set or "", by, each.media, each.opened_day, outcome)
    show(rows) if found else click.echo("There are no such cases.")


def settle(scanner: Scanner) -> None:
    """Do what decisions owe the local known-good set, where one is named."""
    name = scanner.config.cases.known_good
    if name is not None:
        vouching.join(scanner.store, scanner.ledger, scanner.clock, name, scanner.rescan)


@case.command("list")
@click.option("--state", type=click.Choice(["open", "proposed", "decided"]), help="Only those that stand so.")
@click.option("--level", type=_choice(Level), help="Only those this level is to decide, or decided.")
@json_option
@click.pass_obj
def list_(scanner: Scanner, state: str | None, level: str | None, as_json: bool) -> None:
    """Show the cases there are, those that wait longest first."""
    _print_cases(
        Cases(scanner.ledger.db, scanner.clock).listed(state, None if level is None else Level(level)), as_json
    )


@case.command("show")
@click.argument("case_id", metavar="CASE")
@json_option
@click.pass_obj
def show_(scanner: Scanner, case_id: str, as_json: bool) -> None:
    """Show a case and everything that was said of it; no picture, no path, no ref."""
    each, words = Cases(scanner.ledger.db, scanner.clock).show(case_id)
    if as_json:
        emit_json(case_object(each) | {"words": [_word_object(word) for word in words]})
        return
    _print_cases([each], False)
    rows = table("day", "round", "what", "level", "by", "outcome", "reason", "seen")
    for word in words:
        outcome, reason = (value.value.replace("_", " ") if value else "" for value in (word.outcome, word.reason))
        seen = "yes" if word.viewed else ""
        rows.add_row(word.day, str(word.round), word.kind, word.level.value, word.who or "", outcome, reason, seen)
    show(rows)
    if each.content_seq is None:
        note("What it was about has been erased by retention.")


@case.command()
@click.argument("report", metavar="[REPORT]", required=False)
@click.option(
    "--next", "most", type=click.IntRange(1, 1000), help="Instead of REPORT: so many that nobody looked into."
)
@_urgency
@click.option(
    "--complexity",
    type=_choice(Complexity),
    default=Complexity.SIMPLE.value,
    help="Complex goes to senior, novel to legal.",
)
@json_option
@click.pass_obj
def review(
    scanner: Scanner, report: str | None, most: int | None, urgency: str, complexity: str, as_json: bool
) -> None:
    """Open the case of a report, for people to look into; `reports list --json` has the ids.

    `case open` tells where to look, and is audited. What they find comes back by `case outcome` or over HTTP.
    """
    if (report is None) == (most is None):
        raise UsageError("Name a REPORT, or say --next and a number.")
    cases = Cases(scanner.ledger.db, scanner.clock)
    if most is not None:
        found = cases.review_next(most)
    else:
        found = [cases.review(str(report), Urgency(urgency), Complexity(complexity))]
    _print_cases(found, as_json)


@case.command()
@click.argument("case_id", metavar="CASE")
@click.argument("finding", metavar="OUTCOME", type=_choice(Finding))
@click.option("--reason", required=True, type=_choice(Reason), help="Why; each outcome has its own.")
@click.option("--by", "who", required=True, help="Who says so: a reviewer of the case's level.")
@click.option("--viewed", is_flag=True, help="They have seen the picture itself.")
@json_option
@click.pass_obj
def outcome(scanner: Scanner, case_id: str, finding: str, reason: str, who: str, viewed: bool, as_json: bool) -> None:
    """Say what somebody found: confirmed, not_confirmed or undecided. A second person of the same mind decides it.

    Undecided, and two who differ, go one level up. Not confirmed withdraws what was reported of the match.
    """
    said = Statement(Finding(finding), Reason(reason), who, viewed)
    each = Reviews.of(scanner).give(case_id, said)
    settle(scanner)
    if as_json:
        emit_json(case_object(each))
    elif each.state == "decided":
        click.echo(f"Decided: {finding.replace('_', ' ')}.")
    elif each.state == "proposed":
        click.echo("Proposed: a second person of this level, or of one above, has to find the same.")
    else:
        click.echo(f"It is for the level {each.level.value} now.")


@case.command()
@click.argument("subject", metavar="SUBJECT")
@click.option(
    "--kind",
    type=click.Choice(["appeal", "abuse_report"]),
    default="appeal",
    show_default=True,
    help="A user complains of a measure, or tells of abuse.",
)
@click.option(
    "--channel",
    type=_choice(Channel),
    default=Channel.INTERNAL.value,
    show_default=True,
    help="With you, or with a judicial authority.",
)
@click.option("--ticket", help="Your own number of it; the same one again opens nothing.")
@_urgency
@json_option
@click.pass_obj
def appeal(
    scanner: Scanner, subject: str, kind: str, channel: str, ticket: str | None, urgency: str, as_json: bool
) -> None:
    """Open cases, or open them again, for a complaint: about a case, a report, the name a user was shown, or `-`.

    With `-` the platform's own ref of the upload is read from standard input, so that it shows in no list of processes.
    """
    appeals = Appeals(scanner.ledger.db, scanner.clock)
    how: dict[str, Any] = {"channel": Channel(channel), "ticket": ticket, "urgency": Urgency(urgency)}
    db, origin = scanner.ledger.db, Origin(kind)
    if subject == "-":
        found = appeals.of_content(of_ref(db, scanner.ledger.locations, read_ref()), origin, **how)
    elif is_id("case", subject):
        found = appeals.of_case(subject, origin, **how)
    elif len(subject) == 36:
        found = appeals.of_report(subject, origin, **how)
    else:
        found = appeals.of_content(of_code(db, subject), origin, **how)
    _print_cases(found, as_json)


def read_ref() -> bytes:
    """The one ref on standard input. Raises UsageError."""
    content: bytes = sys.stdin.buffer.read(MAX_REF_BYTES + 2)
    ref = content.removesuffix(b"\n")
    if not 0 < len(ref) <= MAX_REF_BYTES:
        raise UsageError(f"Standard input holds one ref of 1 to {MAX_REF_BYTES} bytes.")
    return ref


COMMANDS = (case,)
