"""`podium prices`: what a model costs, where that is known from, and what is known of the model."""

from __future__ import annotations

import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .exits import Code, reported
from .options import MONEY, BaseUrlOption, JsonOption, example, settings

if TYPE_CHECKING:
    from podium.core.prices import Price, Tier

    from .tree import Line

_RATES = {
    "input": "input",
    "output": "output",
    "cache_read": "read from the prompt cache",
    "cache_write": "written to it",
    "cache_write_long": "written for an hour",
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "prices",
        rich_help_panel=MONEY,
        epilog=example("podium prices", "podium prices anthropic:claude-sonnet-5-5 --json"),
    )(prices)


def prices(
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="A model by its name: provider:NAME.", show_default=False)
    ] = None,
    base_url: BaseUrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a model costs, in US dollars per million tokens; without one, where prices are from.

    Prices under [prices] in podium.toml win. A model whose price is not known exits with 1.
    """
    with reported():
        from podium.app.pricing import Pricing
        from podium.config import meant_by
        from podium.core.errors import ConfigurationError
        from podium.models import prices as table
        from podium.runtime.clock import SystemClock

        chosen = settings(base_url=base_url)
        own = Pricing(chosen.config.prices, SystemClock())
        info = table.table_info()
        source = {"source": info.source, "version": info.version, "date": info.date}
        if model is None:
            _write_source(source, chosen.config.prices, chosen.config.file, as_json=as_json)
            raise typer.Exit(Code.OK)
        name = model.strip()
        if ":" not in name and (meant := meant_by(name)):
            raise ConfigurationError(f"{name!r} names no provider: did you mean {meant}?")
        price = own.named(name, server=base_url or "")
        mine = name in chosen.config.prices
        if as_json:
            from . import documents

            rates = None if price is None else _rates(price)
            told = {"model": name, "price": rates, "own": mine, "table": source, "known": _known(name)}
            documents.write(told)
        else:
            from .screen import write

            write(_lines(name, price, f"[prices] of {chosen.config.file}" if mine else str(info)))
        raise typer.Exit(Code.FAILED if price is None else Code.OK)


def _write_source(source: dict[str, str], own: dict[str, Any], file: str, *, as_json: bool) -> None:
    if as_json:
        from . import documents

        documents.write({"table": source, "own": list(own)})
        return
    from .words import visible

    sys.stdout.write(f"prices of {source['date']}, from {source['source']} {source['version']}\n")
    mine = f"own prices ({file}): {', '.join(own)}" if own else "own prices: none; they go into podium.toml, as in\n"
    sys.stdout.write(visible(mine, lines=True) + ("\n" if own else ""))
    if not own:
        sys.stdout.write(
            '  [prices]\n  "openai:my-model" = { input = 0.5, output = 2 }  # US dollars per million tokens\n'
        )


def _rates(price: Price) -> dict[str, Any]:
    """The rates as decimal texts, tiers included."""

    def of(each: Price | Tier) -> dict[str, Any]:
        found: dict[str, Decimal | None] = {name: getattr(each, name) for name in _RATES}
        return {name: f"{rate:f}" for name, rate in found.items() if rate is not None}

    tiers = [{"above": tier.above, **of(tier)} for tier in price.tiers]
    return {**of(price), "request": f"{price.request:f}", "tiers": tiers}


def _known(name: str) -> dict[str, Any]:
    """Sizes and abilities of the model, as far as they are known."""
    from podium.models.capabilities import capabilities

    can = capabilities(name)
    return {
        "context": can.context,
        "max_output": can.max_output,
        "tools": can.tools,
        "images": can.images,
        "files": can.files,
        "thinking": can.thinking,
        "structured": can.structured,
        "sampling": sorted(can.sampling),
    }


def _lines(name: str, price: Price | None, source: str) -> list[Line]:
    from .words import visible

    lines: list[Line] = [[(visible(name), "bold"), (f"  {visible(source)}", "dim")]]
    if price is None:
        lines.append(
            [("  the price is not known: calls are shown as unpriced, and no budget in US dollars allows", "")]
        )
        lines.append([("  them. Give it one under [prices] in podium.toml, or set a budget of tokens or calls.", "")])
    else:
        rates = _rates(price)
        lines += _rate_lines(rates)
        if price.request:
            lines.append([(f"  {'each call':<28}", "dim"), (f"${rates['request']}", "")])
        for tier in rates["tiers"]:
            lines.append([(f"  for all of a call of more than {tier['above']:,} tokens of input", "dim")])
            lines += _rate_lines(tier)
        lines.insert(1, [("  US dollars per million tokens", "dim")])
    known = _known(name)
    sizes = [
        f"{known[field]:,} tokens {what}"
        for field, what in (("context", "fit in one call"), ("max_output", "at most in an answer"))
        if known[field]
    ]
    return [*lines, *([[(f"  {', '.join(sizes)}", "")]] if sizes else [])]


def _rate_lines(rates: dict[str, Any]) -> list[Line]:
    return [[(f"  {what:<28}", "dim"), (f"${rates[field]}", "")] for field, what in _RATES.items() if field in rates]
