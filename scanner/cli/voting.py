"""`hashset vote`: what this site says of an entry, to the provider that shares it; only ever by hand."""

from __future__ import annotations

import click

from hashsets import hashtypes
from hashsets.errors import SourceError, Unreachable
from hashsets.sources.ncmec_votes import NCMECVotes, Reason
from hashsets.store.votes import Vote
from scanner.api import Scanner
from scanner.cli.groups import set_name
from scanner.cli.hash_sets import hashset
from scanner.cli.output import emit_json, json_option
from scanner.clock import utc_day
from scanner.errors import UsageError
from scanner.feeds import vote_client
from scanner.settings import SourceKind


@hashset.command(name="vote")
@set_name
@click.argument("ref")
@click.argument("which", metavar="up|down", type=click.Choice(["up", "down"]))
@click.option("--type", "type_name", help="Which fingerprint of the entry; needed where it has several.")
@click.option("--reason", help="Of down: what is wrong, as NCMEC names it. Without one the reasons are listed.")
@click.option("--again", is_flag=True, help="Send it though the same was sent before.")
@json_option
@click.pass_obj
def vote_(
    scanner: Scanner, name: str, ref: str, which: str, type_name: str | None, reason: str | None, again: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Tell NCMEC that an entry's fingerprint is right (up) or wrong (down), in this site's name.

    The vote names the entry and who votes: NCMEC's members see it. Nothing is said of any file here. REF is the
    entry's, as reports and `lookup` tell it.
    """
    config = next((each for each in scanner.config.sources if each.hash_set == name), None)
    if config is None or config.kind is not SourceKind.NCMEC:
        raise UsageError("Only entries of a set whose source is of kind ncmec can be voted on.")
    uid, votes = scanner.store.hash_set(name).uid, scanner.store.votes
    hash_type = _type(votes.types_of(uid, ref), type_name)
    client = NCMECVotes(vote_client(config, scanner.clock))
    chosen = _reason(client, hash_type, reason) if which == "down" else None
    if which == "up" and reason is not None:
        raise UsageError("A vote up has no reason.")
    vote = Vote(ref, hash_type, which == "up", None if chosen is None else chosen.name, utc_day(scanner.clock), False)
    before = [each for each in votes.of(uid, ref) if each.hash_type == hash_type]
    if before and (before[-1].up, before[-1].reason) == (vote.up, vote.reason) and not again:
        took = "it was taken" if before[-1].answered else "whether it arrived is not known"
        raise UsageError(f"The same was voted on {before[-1].day}, and {took}: --again sends it again.")
    number = votes.sending(uid, vote)
    try:
        client.vote(ref, hash_type, None if chosen is None else (chosen,))
    except Unreachable:
        raise  # it may have arrived
    except SourceError:
        votes.refused(number)
        raise
    votes.answered(number)
    said = {"hash_set": name, "ref": ref, "type": hash_type, "vote": which, "reason": vote.reason}
    emit_json(said) if as_json else click.echo(f"{name}: voted {which} on the {hash_type} of {ref}")


def _type(types: set[str], named: str | None) -> str:
    """The fingerprint that is meant."""
    if not types:
        raise UsageError("The set has no such entry in force: check the ref.")
    if named is None and len(types) > 1:
        raise UsageError(f"The entry has several fingerprints: say --type with one of {', '.join(sorted(types))}.")
    chosen = min(types) if named is None else hashtypes.get(named).name
    if chosen not in types:
        raise UsageError(f"The entry has no such fingerprint; it has {', '.join(sorted(types))}.")
    return chosen


def _reason(client: NCMECVotes, hash_type: str, named: str | None) -> Reason:
    """The reason that is meant, out of those on offer."""
    offered = client.reasons(hash_type)
    if not offered:
        raise UsageError("NCMEC offers no reason for a vote down on this kind of fingerprint.")
    found = [each for each in offered if named is not None and named.lower() in (each.name.lower(), each.guid.lower())]
    if not found:
        raise UsageError(f"Say --reason with one of: {'; '.join(each.name for each in offered)}.")
    return found[0]


COMMANDS = ()
