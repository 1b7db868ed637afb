"""An audit as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from .audit import EVERYWHERE, Audit
from .parts import Stock
from .people import bound_of


def format_text(audit: Audit) -> str:
    """What the terminal shows: tables, problems and notes by quality, then what experiments lack."""
    return "\n".join(_lines(audit))


def _lines(audit: Audit) -> Iterator[str]:
    for quality, counts in audit.counts.items():
        yield f"\n{quality}: clips of each method and split\n{counts.to_string()}"
        if quality in audit.proofs:
            yield f"  splits  {audit.proofs[quality]}"
        yield from _findings(audit, quality)
    if len(audit.masks):
        yield f"\nmasks, {audit.looked} frames a clip: forged share of the crop at margin 1.3 (quantiles)"
        yield audit.masks.to_string(float_format="{:.3f}".format)
    rest = list(_findings(audit, EVERYWHERE))
    if rest or audit.pairs:
        yield "\nall qualities"
        yield from rest
    if audit.pairs:
        yield f"  people  {people(audit)}"
    yield f"\n{depth(audit)}"
    if audit.needs:
        yield format_needs(audit.needs)


def _findings(audit: Audit, quality: str) -> Iterator[str]:
    those = [finding for where, finding in audit.findings if where == quality]
    for finding in sorted(those, key=lambda each: not each.grave):
        yield f"  {'PROBLEM' if finding.grave else 'note   '} {finding}"


def depth(audit: Audit) -> str:
    """How much was decoded, and what cannot be known by it."""
    if audit.whole:
        return "every picture of every file was decoded"
    if not audit.looked:
        return "no frames were looked at, nor damage looked for: --frames all decodes every picture"
    return (
        f"{audit.looked} frames of each clip were looked at, and what these need to be decoded: damage elsewhere is "
        "not seen; --frames all decodes every picture"
    )


def people(audit: Audit) -> str:
    """What the comparison of faces says, and what it cannot say."""
    suspect = sum(pair.suspect for pair in audit.pairs)
    return (
        f"{audit.faces} faces compared, {suspect} pairs across splits are more alike than strangers "
        f"(a score over {bound_of(audit.faces):.1f}); no trained model is used: a person filmed alike is "
        "found, one with another hair style or pose mostly not"
    )


def format_needs(needs: Mapping[str, Sequence[Stock]]) -> str:
    """What each experiment needs, what there is, and what to select for the rest."""
    lines = ["\nwhat the tables need"]
    for name, stocks in needs.items():
        lacking = [stock for stock in stocks if not stock.is_complete]
        lines.append(f"  {name}: {'all there' if not lacking else f'{len(lacking)} of {len(stocks)} parts lack'}")
        lines += [f"    {stock.there} of {stock.wanted} {stock.part}: take {stock.select}" for stock in lacking]
    return "\n".join(lines)


def format_json(audit: Audit) -> str:
    """Everything but the pictures."""
    findings = [{"quality": quality, **finding._asdict()} for quality, finding in audit.findings]
    return json.dumps(
        {
            "root": str(audit.root),
            "sound": not audit.grave,
            "frames_per_clip": audit.looked,
            "every_picture_decoded": audit.whole,
            "findings": findings,
            "splits": dict(audit.proofs),
            "clips": {quality: json.loads(counts.to_json(orient="index")) for quality, counts in audit.counts.items()},
            "masks": json.loads(audit.masks.to_json(orient="index")),
            "mask_greys": {method: greys.tolist() for method, greys in audit.greys.items()},
            "people": {
                "compared": audit.faces,
                "bound": bound_of(audit.faces) if audit.pairs else None,
                "most_alike": [pair._asdict() for pair in audit.pairs],
            },
            "needs": {
                name: [
                    {"part": str(each.part), "there": each.there, "wanted": each.wanted, "select": each.select}
                    for each in stocks
                ]
                for name, stocks in audit.needs.items()
            },
        },
        indent=1,
    )
