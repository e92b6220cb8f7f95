"""`podium policy`: find mistakes in a policy before it is in force, and ask it why.

What a policy means is `podium.policy`'s; these commands load targets, ask, and print.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, cast

import msgspec
import typer

from .exits import Code, reported
from .options import PEOPLE, JsonOption, Settings, example, settings

if TYPE_CHECKING:
    from podium.policy import Cause, Explanation, Policy
    from podium.policy.lint import Finding, Known
    from podium.ports import Check, Proposal, Tool

    from .tree import Line

TargetsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        metavar="TARGET",
        help="A member whose agents and tools are looked at; may be repeated, and runs its code.",
    ),
]
FileOption = Annotated[
    str | None,
    typer.Option("--file", metavar="FILE", help="The policy, if it is not the one of podium.toml (PODIUM_POLICY)."),
]
_STYLES = {"error": "red", "warning": "yellow", "deny": "red", "ask": "yellow", "allow": "green"}
_UNKNOWN_TOOL = (
    "nothing is known of {tool} but its name, so its tags, effect, reach and cost count as none: give --target"
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(invoke_without_command=True)
    group.callback()(_group)
    group.command(
        "check", epilog=example("podium policy check --target team.py:support", "podium policy check --strict")
    )(check)
    line = """podium policy explain support refund '{"amount": 250}' --target team.py:support"""
    group.command("explain", epilog=example(line, "podium policy explain support refund --tainted --role manager"))(
        explain
    )
    app.add_typer(
        group,
        name="policy",
        rich_help_panel=PEOPLE,
        help="Find mistakes in the policy, and ask it why a call is allowed, asked about or denied.",
        epilog=example("podium policy check --target team.py:support --json", "podium policy explain support refund"),
    )


def _group(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        sys.stdout.write(context.get_help() + "\n")


# --------------------------------------------------------------------------------------------------------------- check


def check(
    file: Annotated[
        str | None, typer.Argument(metavar="[FILE]", help="The policy, if not that of podium.toml.", show_default=False)
    ] = None,
    target: TargetsOption = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 for warnings too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Find mistakes: unknown names, rules that never decide, grants that give too much, tools without an effect.

    Exits with 0 when there are none or only warnings, with 1 for errors, with 2 when the policy cannot be read.
    """
    with reported():
        from podium.policy.lint import lint

        policy, path, chosen = _policy(file)
        findings = lint(policy, _known(target, chosen)[0])
        where = _lines(path)
        errors = sum(finding.severity == "error" for finding in findings)
        if as_json:
            from . import documents

            documents.write(
                {
                    "ok": not errors and not (strict and findings),
                    "file": path,
                    "policy": policy.version,
                    "digest": policy.digest,
                    "findings": [_document(finding, path, where) for finding in findings],
                }
            )
        else:
            _write_findings(findings, policy, path, where)
        raise typer.Exit(Code.FAILED if errors or (strict and findings) else Code.OK)


def _write_findings(findings: list[Finding], policy: Policy, path: str, where: Any) -> None:
    from .screen import write
    from .words import count, visible

    lines: list[Line] = []
    for finding in findings:
        lines.append(
            [
                (f"{visible(_place(finding, path, where))}: ", ""),
                (finding.severity, _STYLES[finding.severity]),
                (f": {visible(finding.message)} ({finding.code})", ""),
            ]
        )
        lines.append([(f"    {visible(finding.remedy)}", "dim")])
    errors = sum(finding.severity == "error" for finding in findings)
    told = f"{count(errors, 'error')}, {count(len(findings) - errors, 'warning')}" if findings else "no findings"
    rules = (
        f"{count(len(policy.agents), 'agent')}, {count(len(policy.tools), 'tool')}, {count(len(policy.rules), 'rule')}"
    )
    lines.append([(f"{visible(path)}: {told} ({rules}; {policy.digest})", "bold")])
    write(lines)


def _document(finding: Finding, path: str, where: Any) -> dict[str, Any]:
    from podium.policy.file import line_of

    document: dict[str, Any] = msgspec.to_builtins(finding)
    return {**document, "where": finding.place, "file": path, "line": line_of(("policy", *finding.where), where)}


def _place(finding: Finding, path: str, where: Any) -> str:
    from podium.policy.file import line_of

    line = line_of(("policy", *finding.where), where)
    return f"{path}:{line} {finding.place}" if line else f"{path} {finding.place}"


# ------------------------------------------------------------------------------------------------------------- explain


def explain(
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="The name of an agent.", show_default=False)],
    tool: Annotated[str, typer.Argument(metavar="TOOL", help="The name of a tool.", show_default=False)],
    args: Annotated[
        str | None,
        typer.Argument(metavar="[ARGS]", help="The arguments of the call, a JSON object.", show_default=False),
    ] = None,
    role: Annotated[
        list[str] | None, typer.Option("--role", metavar="ROLE", help="A role of the principal; may be repeated.")
    ] = None,
    principal: Annotated[str, typer.Option("--as", metavar="ID", help="The principal behind the run.")] = "local",
    tenant: Annotated[str, typer.Option("--tenant", metavar="NAME", help="The tenant of the principal.")] = "",
    tainted: Annotated[bool, typer.Option("--tainted", help="As if the agent had seen untrusted text.")] = False,
    kind: Annotated[
        list[str] | None,
        typer.Option("--seen", metavar="KIND", help="A kind of data it has seen, e.g. pii.email; may be repeated."),
    ] = None,
    target: TargetsOption = None,
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what the gate says to one call, and why: what every check said, in order. Nothing is called.

    Exits with 0 when the call is allowed, 1 when it is denied, 3 when it waits for somebody.
    """
    with reported():
        from podium.core.labels import TRUSTED, Integrity
        from podium.core.records import Principal

        _, path, chosen = _policy(file)
        known, asks = _known(target, chosen)
        label = msgspec.structs.replace(TRUSTED, kinds=frozenset(kind or ()))
        if tainted:
            label = msgspec.structs.replace(label, integrity=Integrity.UNTRUSTED, sources=frozenset(("explain",)))
        who = Principal(principal, tuple(role or ()), tenant)
        proposal, notes = _proposal(agent, tool, _arguments(args), known, given=args is not None)
        proposal = msgspec.structs.replace(proposal, principal=who, label=label, asks=asks.get(agent, ()))
        first, then = _explained(chosen, proposal)
        if as_json:
            from . import documents

            documents.write(_answer(first, then, proposal, path, notes))
        else:
            _write_answer(first, then, proposal, path, notes)
        raise typer.Exit({"deny": Code.FAILED, "ask": Code.WAITING}.get(_final(first).verdict, Code.OK))


def _explained(chosen: Settings, proposal: Proposal) -> tuple[Explanation, list[Explanation]]:
    """What the gate of the app says, and what it says once each hold is lifted."""
    from podium.policy import Chain
    from podium.ports import HoldFor

    gate = cast("Chain", chosen.app().gate)  # not opened: a gate is there before a store is
    first = last = gate.explain(proposal)
    later: list[Explanation] = []
    while isinstance(last.verdict, HoldFor) and last.verdict.rule not in proposal.approved:
        proposal = msgspec.structs.replace(proposal, approved=proposal.approved | {last.verdict.rule})
        last = gate.explain(proposal)
        later.append(last)
    return first, later


def _final(explanation: Explanation) -> Cause:
    from podium.policy.gate import cause

    return cause("gate", explanation.verdict)


def _answer(
    first: Explanation, later: list[Explanation], proposal: Proposal, path: str, notes: list[str]
) -> dict[str, Any]:
    def told(explanation: Explanation) -> dict[str, Any]:
        final: dict[str, Any] = msgspec.to_builtins(_final(explanation))
        approvers = getattr(explanation.verdict, "roles", ())
        return {
            "verdict": final["verdict"],
            "rule": final["rule"],
            "message": final["message"],
            "approvers": list(approvers),
            "expires": getattr(explanation.verdict, "expires", None),
            "causes": msgspec.to_builtins(explanation.causes),
        }

    return {
        "agent": proposal.subject,
        "tool": proposal.name,
        "args": proposal.args,
        "file": path,
        "notes": notes,
        **told(first),
        "after_approval": [told(each) for each in later],
    }


def _write_answer(
    first: Explanation, later: list[Explanation], proposal: Proposal, path: str, notes: list[str]
) -> None:
    from .screen import write
    from .words import inline, visible

    lines: list[Line] = [[(f"{proposal.subject} calls {proposal.name} {inline(proposal.args, 200)}", "bold")]]
    lines += [[(f"  note: {visible(note)}", "dim")] for note in notes]
    for each in first.causes:
        lines.append([(f"  {each.check}: ", ""), (each.verdict or "nothing to say", _STYLES.get(each.verdict, "dim"))])
        if each.rule:
            lines[-1].append((f" by {visible(each.rule)}", ""))
        if each.message:
            lines[-1].append((f": {visible(each.message)}", ""))
        lines += [[(f"      {visible(note)}", "dim")] for note in each.notes]
    final = _final(first)
    verdict = [
        (final.verdict, _STYLES.get(final.verdict, "")),
        (f" by {visible(final.rule)}" if final.rule else "", ""),
    ]
    lines.append([("verdict: ", "bold"), *verdict, (_approvers(first), "")])
    for each in later:
        after = _final(each)
        lines.append([("after approval: ", "bold"), (after.verdict, _STYLES.get(after.verdict, ""))])
        lines[-1].append((f" by {visible(after.rule)}" if after.rule else "", ""))
    lines.append([(f"policy: {visible(path)}" if path else "policy: none", "dim")])
    write(lines)


def _approvers(explanation: Explanation) -> str:
    from podium.ports import HoldFor

    from .words import seconds, visible

    verdict = explanation.verdict
    if not isinstance(verdict, HoldFor):
        return ""
    who = f", of {visible(' or '.join(verdict.roles))}" if verdict.roles else ", of anybody"
    return who + ("" if verdict.expires is None else f", within {seconds(verdict.expires)}")


def _proposal(agent: str, tool: str, args: dict[str, Any], known: Known, *, given: bool) -> tuple[Proposal, list[str]]:
    """The proposal that the runtime would make of the call, and what to know about it."""
    from podium.core.actions import Kind
    from podium.core.errors import ConfigurationError
    from podium.core.labels import TRUSTED
    from podium.core.records import Principal
    from podium.ports import Proposal
    from podium.ports.selectors import nearest

    if known.agents and agent not in known.agents:
        raise ConfigurationError(f"the targets have no agent {agent!r}{nearest(agent, known.agents)}")
    held = known.agents.get(agent)
    found: Tool | None = None if held is None else held.get(tool) or known.tools.get(tool)
    notes: list[str] = []
    if found is None:
        notes.append(_UNKNOWN_TOOL.format(tool=tool))
    if not given:
        notes.append("no arguments were given, so what rules ask about them takes its stricter reading")
    elif found is not None:
        args = found.resolve(args)  # the gate sees what the tool would get, defaults included
    grants = None if not held else frozenset(held)
    return Proposal(Kind.TOOL, tool, args, b"", agent, grants, Principal(), TRUSTED, found), notes


def _arguments(given: str | None) -> dict[str, Any]:
    from podium.core.errors import ConfigurationError

    if given is None:
        return {}
    try:
        value: object = msgspec.json.decode(given)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ConfigurationError(f"ARGS is not JSON ({error}): write an object, '{{\"amount\": 5}}'") from None
    if not isinstance(value, dict):
        raise ConfigurationError("ARGS must be a JSON object: '{\"amount\": 5}'")
    return cast("dict[str, Any]", value)


# ------------------------------------------------------------------------------------------------- policies and targets


def _policy(file: str | None) -> tuple[Policy, str, Settings]:
    """The policy of a file or of the settings, with the path it was read from, and the settings with it."""
    from podium.core.errors import ConfigurationError
    from podium.policy import Policy

    chosen = settings()
    config = chosen.config
    if file is not None:
        config = msgspec.structs.replace(config, policy=Policy.load(file), policy_file=file)
    if config.policy is None:
        raise ConfigurationError(
            "there is no policy: write [policy] into podium.toml, or name its file (docs/how-to/permissions.md)"
        )
    return config.policy, config.policy_file, msgspec.structs.replace(chosen, config=config)


def _lines(path: str) -> dict[tuple[str | int, ...], int]:
    from podium.policy.file import lines, read

    return lines(read(path)[1])


def _known(given: list[str] | None, chosen: Settings) -> tuple[Known, dict[str, tuple[Check, ...]]]:
    """The members and tools of targets, and the approvals that agents have of their own. MCP servers whose tools they
    name are asked for them."""
    from podium import targets
    from podium.policy.lint import Known

    from .held import approvals_of, names_of, tools_of
    from .servers import add_named

    agents: dict[str, dict[str, Tool]] = {}
    names: dict[str, tuple[str, ...]] = {}
    asks: dict[str, tuple[Check, ...]] = {}
    for target in given or ():
        member = targets.load(target)
        for name, tools in tools_of(member).items():
            agents.setdefault(name, {}).update(tools)
        for name, named in names_of(member).items():
            names[name] = (*names.get(name, ()), *named)
        for name, own in approvals_of(member).items():
            asks[name] = (*asks.get(name, ()), *own)
    if names:
        add_named(agents, names, chosen.config)
    return Known(agents, {name: tool for held in agents.values() for name, tool in held.items()}), asks
