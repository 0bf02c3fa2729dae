"""The command line. Exit codes: 0 parity holds, 1 parity broken, 2 bad usage or unreadable input, 3 incomplete."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lossparity

HOLDS, BROKEN, USAGE, INCOMPLETE = 0, 1, 2, 3
_LONGEST = 86400  # seconds: a day, which every clock and lock can wait


class UsageError(Exception):
    """The command asks for what there is not; the message says what there is."""


class IncompleteError(Exception):
    """Something that was asked for could not run; the message says why and what to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(words)
    options.words = words
    try:
        code: int = options.command(options)
    except (UsageError, ValueError) as error:
        print(f"lossparity: {error}", file=sys.stderr)
        return USAGE
    except IncompleteError as error:
        print(f"lossparity: {error}", file=sys.stderr)
        return INCOMPLETE
    except OSError as error:
        print(f"lossparity: {error.filename or ''}: {error.strerror or error}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        print("\nlossparity: interrupted; nothing was written", file=sys.stderr)
        return INCOMPLETE
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lossparity",
        description="Does a framework compute a loss, and its gradient, as defined?",
        epilog="Exit codes: 0 parity holds, 1 parity broken, 2 bad usage or unreadable input, 3 incomplete.",
    )
    parser.add_argument("--version", action="version", version=f"lossparity {lossparity.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser(
        "run", help="run the matrix on the installed frameworks; write parity.json and parity.html"
    )
    _add_selection(run)
    run.add_argument("-o", "--output", default="parity", metavar="DIR", help="where to write (default: %(default)s)")
    run.add_argument("--seed", type=int, default=None, help="of the cases' data and the cotangents (default: 0)")
    _add_execution(run)
    run.set_defaults(command=_run)

    report = commands.add_parser("report", help="write the HTML report of a record")
    report.add_argument("record", metavar="RUN", help="parity.json")
    report.add_argument("-o", "--output", required=True, metavar="FILE", help="parity.html")
    report.set_defaults(command=_report)

    merge = commands.add_parser("merge", help="make one record, and its report, of several")
    merge.add_argument("records", nargs="+", metavar="RUN")
    merge.add_argument(
        "-o", "--output", required=True, metavar="OUT", help="a folder, or a file named *.json or *.json.gz"
    )
    merge.set_defaults(command=_merge)

    _add_gate(commands)

    explain = commands.add_parser("explain", help="one check: inputs, reference, framework, error, reproducer")
    explain.add_argument("id", metavar="ID", help="a check's ID, as the report and the record give it")
    explain.add_argument("--seed", type=int, default=None)
    explain.set_defaults(command=_explain)

    listing = commands.add_parser("list", help="list losses, backends, cases or implementations")
    listing.add_argument("what", choices=("losses", "backends", "cases", "implementations"))
    listing.add_argument("--loss", action="append", default=[], help="only of this loss")
    listing.add_argument("--backend", action="append", default=[], help="only of this backend")
    listing.set_defaults(command=_list)
    return parser


def _add_gate(commands: Any) -> None:
    gate = commands.add_parser(
        "gate",
        help="may this upgrade go in? compare a record with a baseline and judge what changed",
        usage="%(prog)s [options] BASELINE CANDIDATE\n       %(prog)s [options] --from PINS --to PINS",
        description="Compare CANDIDATE with BASELINE and judge what changed by the policy. With --from and --to, build "
        "both environments, run both here, and compare those.",
        epilog="Exit codes: 0 it may, 1 it may not, 2 the records do not compare, 3 incomplete.",
    )
    gate.add_argument("baseline", nargs="?", metavar="BASELINE", help="a record: parity.json or parity.json.gz")
    gate.add_argument(
        "candidate", nargs="?", metavar="CANDIDATE", help="a record, or the word now: run what the baseline ran"
    )
    gate.add_argument("--from", dest="before", metavar="PINS", help='such as "torch==2.9.1 torchvision==0.24.1"')
    gate.add_argument("--to", dest="after", metavar="PINS", help="the same packages in other versions")
    _add_environments(gate)
    _add_policy(gate)
    gate.add_argument("--require-backend", action="append", default=[], metavar="B", help="incomplete if B did not run")
    gate.add_argument("--require-device", action="append", default=[], metavar="X", help="incomplete if X was not used")
    gate.add_argument("--quick", action="store_true", help="only what the quick matrix has, of both")
    gate.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        help="also write gate.html there, and the records that were made: of now parity.json, of --from before.json, "
        "of --to after.json",
    )
    _add_comparison(gate)
    _add_execution(gate)
    gate.set_defaults(command=_gate)

    diff = commands.add_parser("diff", help="what changed from one record to another, without a verdict")
    diff.add_argument("before", metavar="A", help="a record")
    diff.add_argument("after", metavar="B", help="a record")
    _add_comparison(diff)
    diff.set_defaults(command=_diff)

    accept = commands.add_parser("accept", help="make a candidate the baseline, with the reason on record")
    accept.add_argument("baseline", metavar="BASELINE", help="the record to rewrite, or to begin")
    accept.add_argument("candidate", metavar="CANDIDATE", help="a record, or the word now")
    accept.add_argument("--reason", required=True, metavar="TEXT", help="why; it stays in the file")
    _add_policy(accept)
    _add_execution(accept)
    accept.set_defaults(command=_accept)

    sweep = commands.add_parser(
        "sweep",
        help="run a ladder of releases: which of them changed what?",
        description="Run each release in an environment of its own and compare it with the one before it.",
        epilog="Exit codes: 0 all of them ran, 2 bad usage, 3 one of them did not run.",
    )
    sweep.add_argument("package", metavar="PACKAGE", help="such as scikit-learn")
    sweep.add_argument("versions", nargs="+", metavar="V", help="its releases, in the order to compare them")
    sweep.add_argument("--markdown", metavar="FILE", help="also write the table there")
    sweep.add_argument("-o", "--output", metavar="DIR", help="keep each record there: VERSION.json")
    _add_environments(sweep)
    _add_selection(sweep)
    _add_execution(sweep, elsewhere=False)
    sweep.set_defaults(command=_sweep)

    bisect = commands.add_parser(
        "bisect",
        help="find the release that changed one check",
        description="Find the first release in which a check is not as it was, in as few environments as it takes.",
        epilog="Exit codes: 0 found, 2 bad usage or no difference to look for, 3 a release that is needed did not run.",
    )
    bisect.add_argument("id", metavar="CHECK_ID", help="a check's ID, as the report and the record give it")
    bisect.add_argument("--package", required=True, metavar="P", help="such as keras")
    bisect.add_argument("--good", required=True, metavar="V", help="a release in which it is as wanted")
    bisect.add_argument("--bad", required=True, metavar="V", help="a release in which it is not")
    _add_environments(bisect)
    _add_execution(bisect, elsewhere=False)
    bisect.set_defaults(command=_bisect)


def _add_environments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--no-cache", action="store_true", help="make the environments anew and remove each after its use"
    )


def _add_comparison(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--format",
        action="append",
        default=[],
        metavar="F[=FILE]",
        help="text (default), json, markdown, github, junit, html; into FILE, else printed (repeatable)",
    )
    parser.add_argument("--backend", action="append", default=[], metavar="B", help="compare only B (repeatable)")
    parser.add_argument("--other-machine", action="store_true", help="compare records of other kinds of machine too")


def _add_policy(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--policy", metavar="FILE", help="a TOML file with [tool.lossparity.gate] (default: the nearest pyproject.toml)"
    )


def _add_execution(parser: argparse.ArgumentParser, *, elsewhere: bool = True) -> None:
    parser.add_argument(
        "--timeout", type=_positive, default=None, metavar="S", help="a backend silent for so long hangs"
    )
    parser.add_argument("-j", "--jobs", type=_count, default=None, metavar="N", help="backends at a time (default: 2)")
    if not elsewhere:
        return
    parser.add_argument(
        "--python",
        action="append",
        default=[],
        metavar="BACKEND=PATH",
        help="the interpreter of a backend that lives in another environment (lossparity must be installed there)",
    )


def _add_selection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--backend", action="append", default=[], metavar="B", help="only this backend (repeatable)")
    parser.add_argument("--loss", action="append", default=[], metavar="L", help="only this loss (repeatable)")
    parser.add_argument("--dtype", action="append", default=[], metavar="D", help="only this dtype (repeatable)")
    parser.add_argument(
        "--device", action="append", default=[], metavar="X", help="cpu (default), cuda:0, ... (repeatable)"
    )
    parser.add_argument("--mode", action="append", default=[], metavar="M", help="eager (default) (repeatable)")
    parser.add_argument(
        "-k", dest="expression", default="", metavar="EXPR", help="only checks whose ID matches, as in pytest"
    )
    parser.add_argument(
        "--quick", action="store_true", help="of each row of the case table only its first reduction and the mean"
    )


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number <= _LONGEST:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds between 0 and {_LONGEST}")
    return number


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of 1 or more")
    return int(text)


def _run(options: argparse.Namespace) -> int:
    from lossparity import adapters
    from lossparity.conformance import record
    from lossparity.conformance.execution.run import DEFAULT_JOBS, DEFAULT_TIMEOUT, exit_code, run
    from lossparity.conformance.matrix import DEFAULT_SEED, Selection
    from lossparity.reports import html
    from lossparity.reports.summary import summary

    _known("backend", options.backend, adapters.BACKENDS)
    selection = Selection(
        tuple(options.loss),
        tuple(options.dtype),
        tuple(options.device),
        tuple(options.mode),
        options.expression,
        options.quick,
    )
    selection.validate()
    pythons = _pythons(options.python, adapters.BACKENDS)
    folder = Path(options.output)
    _writable(folder)
    with _progress() as progress:
        result = run(
            tuple(dict.fromkeys(options.backend)),
            selection,
            seed=DEFAULT_SEED if options.seed is None else options.seed,
            pythons=pythons,
            timeout=options.timeout or DEFAULT_TIMEOUT,
            jobs=options.jobs or DEFAULT_JOBS,
            command=["lossparity", *options.words],
            progress=progress,
        )
    if not result.checks:
        raise UsageError("no check matches what was asked for; `lossparity list cases` names them")
    json_path = record.save(result, folder / "parity.json")
    html_path = html.write(result, folder / "parity.html")
    print(summary(result))
    print(f"record  {json_path}\nreport  {html_path}")
    return exit_code(result)


def _gate(options: argparse.Namespace) -> int:
    from lossparity.conformance import record
    from lossparity.reports import html
    from lossparity.reports.formats import FORMATS

    targets = _targets(options.format)
    policy = _policy(options)
    if options.before or options.after:
        return _gate_releases(options, targets, policy)
    if not options.baseline or not options.candidate:
        raise UsageError("gate takes BASELINE and CANDIDATE, or --from and --to")
    baseline = lossparity.load(options.baseline)
    now = options.candidate == "now"
    if options.output:
        _writable(Path(options.output))
    if now:
        _comparable_now(baseline, options)
    candidate = _run_again(baseline, options) if now else lossparity.load(options.candidate)
    if options.output and now:
        record.save(candidate, Path(options.output) / "parity.json")
        html.write(candidate, Path(options.output) / "parity.html")
    comparison = _judged(baseline, candidate, options, policy)
    if options.output:
        targets.append(("html", Path(options.output) / "gate.html"))
    _emit(comparison, targets, FORMATS)
    _summarize(comparison)
    return int(comparison.decision.code)


def _gate_releases(options: argparse.Namespace, targets: list[tuple[str, Path | None]], policy: Any) -> int:
    """The gate over two releases that are built, run and compared here."""
    from lossparity.conformance import record
    from lossparity.conformance.execution.environments import label
    from lossparity.conformance.execution.upgrade import both, sides
    from lossparity.reports.formats import FORMATS

    if options.baseline or not (options.before and options.after):
        raise UsageError("give --from and --to, and no record beside them; or BASELINE and CANDIDATE")
    if options.python:
        raise UsageError("--python does not go with --from and --to, which make their own environments")
    pins = sides(options.before, options.after)
    if options.output:
        _writable(Path(options.output))
    with _plan(options) as plan:
        before, after = both(*pins, plan)
    options.baseline, options.candidate = map(label, pins)
    if options.baseline == options.candidate:
        options.candidate += " again"
    comparison = _judged(before, after, options, policy)
    if options.output:
        for name, run in (("before", before), ("after", after)):
            record.save(run, Path(options.output) / f"{name}.json")
        targets.append(("html", Path(options.output) / "gate.html"))
    _emit(comparison, targets, FORMATS)
    _summarize(comparison)
    return int(comparison.decision.code)


def _sweep(options: argparse.Namespace) -> int:
    from lossparity.conformance import record
    from lossparity.conformance.execution.upgrade import sweep
    from lossparity.reports import ladder

    if options.output:
        _writable(Path(options.output))
    rungs: list[ladder.Rung] = []
    with _plan(options) as plan:
        for step in sweep(options.package, options.versions, plan):
            rungs.append(ladder.climb(options.package, rungs, step.version, step.run, step.problem))
    for rung in rungs:
        if options.output and rung.run:
            record.save(rung.run, Path(options.output) / f"{rung.version}.json")
    print(ladder.table(options.package, rungs), end="")
    if options.markdown:
        record.write_whole(options.markdown, ladder.markdown(options.package, rungs).encode())
    return INCOMPLETE if any(rung.run is None or rung.incomplete for rung in rungs) else HOLDS


def _bisect(options: argparse.Namespace) -> int:
    from lossparity.conformance.execution.upgrade import bisect
    from lossparity.reports import ladder

    with _plan(options) as plan:
        found = bisect(
            options.id,
            options.package,
            options.good,
            options.bad,
            plan,
            lambda good, other: ladder.first_change(good, other) is not None,
        )
    if found is None:
        raise UsageError(
            f"{options.id} is the same in {options.package} {options.good} and {options.bad}: there is nothing to find"
        )
    print(ladder.found(found, options.good))
    return HOLDS


@contextlib.contextmanager
def _plan(options: argparse.Namespace) -> Any:
    """What to run on each release, from the options; where no environment can be made, the command is incomplete."""
    from lossparity import adapters
    from lossparity.conformance.execution.environments import BuildError, library
    from lossparity.conformance.execution.run import DEFAULT_JOBS, DEFAULT_TIMEOUT
    from lossparity.conformance.execution.upgrade import Plan, interruptible
    from lossparity.conformance.matrix import Selection

    backends = getattr(options, "backend", [])
    _known("backend", backends, adapters.BACKENDS)
    selection = Selection(
        tuple(getattr(options, "loss", ())),
        tuple(getattr(options, "dtype", ())),
        tuple(getattr(options, "device", ())),
        tuple(getattr(options, "mode", ())),
        getattr(options, "expression", ""),
        getattr(options, "quick", False),
    )
    selection.validate()
    try:
        with interruptible(), library() as copy, _progress() as progress:
            yield Plan(
                library=copy,
                selection=selection,
                backends=tuple(dict.fromkeys(backends)),
                timeout=options.timeout or DEFAULT_TIMEOUT,
                jobs=options.jobs or DEFAULT_JOBS,
                command=["lossparity", *options.words],
                keep=not options.no_cache,
                progress=progress,
                say=lambda words: print(words, file=sys.stderr),
            )
    except BuildError as error:
        raise IncompleteError(str(error)) from None


def _diff(options: argparse.Namespace) -> int:
    from lossparity.reports.diff import compare, narrow
    from lossparity.reports.findings import backend_names
    from lossparity.reports.formats import FORMATS, Comparison

    targets = _targets(options.format)
    sides = [lossparity.load(path) for path in (options.before, options.after)]
    _known("backend", options.backend, backend_names(sides[0]))
    sides = [narrow(side, options.backend) for side in sides]
    diff = compare(sides[0], sides[1], names=(options.before, options.after), other_machine=options.other_machine)
    _emit(Comparison(diff), targets, FORMATS)
    return HOLDS


def _accept(options: argparse.Namespace) -> int:
    from lossparity.conformance import record
    from lossparity.conformance.execution.run import exit_code
    from lossparity.reports import formats, gate
    from lossparity.reports.diff import IncomparableError

    if not options.reason.strip():
        raise UsageError('--reason is empty; say why the change is agreed: --reason "..."')
    path = Path(options.baseline)
    baseline = lossparity.load(path) if path.exists() else None
    if options.candidate != "now":
        candidate = lossparity.load(options.candidate)
    elif baseline is not None:
        candidate = _run_again(baseline, options)
    else:
        raise UsageError(f"there is no {path} to repeat; make a record with `lossparity run --quick -o DIR` first")
    findings: list[str] = []
    words = f"a first baseline of {len(candidate.checks):,} checks"
    gaps = ["the candidate's own run is incomplete"] if exit_code(candidate) == INCOMPLETE else []
    if baseline is not None:
        options.backend, options.require_backend, options.require_device, options.quick = [], [], [], False
        options.other_machine = True
        try:
            comparison = _judged(baseline, candidate, options, _policy(options))
            words, gaps = comparison.sentence, gaps or comparison.decision.gaps
            findings = [each.finding.says for each in comparison.judged]
        except IncomparableError as error:
            words = f"a new baseline, which does not compare with the old: {error}"
    if gaps:
        print(f"lossparity: nothing was accepted: {'; '.join(gaps)}", file=sys.stderr)
        return INCOMPLETE
    accepted = gate.accept(baseline, candidate, words, findings, options.reason.strip())
    record.save(accepted, path)
    print(formats.clean(f"accepted into {path}: {words}"))
    for says in findings[: formats.SHOWN]:
        print(formats.clean(f"  {says}"))
    if len(findings) > formats.SHOWN:
        print(f"  ... and {len(findings) - formats.SHOWN:,} more, all of them in the file")
    print(formats.clean(f"reason: {options.reason.strip()}"))
    return HOLDS


def _judged(baseline: Any, candidate: Any, options: argparse.Namespace, policy: Any) -> Any:
    """What changed, judged by the policy, of the part that the options ask for."""
    from lossparity.conformance.cases import CASES
    from lossparity.reports.diff import compare, narrow
    from lossparity.reports.findings import backend_names
    from lossparity.reports.formats import Comparison
    from lossparity.reports.gate import decide

    _known("backend", options.backend, backend_names(baseline))

    def part(run: Any) -> Any:
        run = narrow(run, options.backend)
        if options.quick:
            slow = {(loss, name) for loss, cases in CASES.items() for name, case in cases.items() if not case.quick}
            run.checks = [check for check in run.checks if (check.loss, check.case) not in slow]
        return run

    after = part(candidate)
    diff = compare(
        part(baseline),
        after,
        names=(options.baseline, options.candidate),
        drift_factor=policy.drift_factor,
        other_machine=options.other_machine,
    )
    decision = decide(
        diff, after, policy, require_backends=options.require_backend, require_devices=options.require_device
    )
    return Comparison(diff, decision)


def _policy(options: argparse.Namespace) -> Any:
    from lossparity.reports import policy

    return policy.load(options.policy)


def _comparable_now(baseline: Any, options: argparse.Namespace) -> None:
    """Refuse a baseline that does not compare before anything is run, rather than after."""
    from lossparity.conformance.cases import digest
    from lossparity.conformance.execution.run import host
    from lossparity.conformance.record import Run
    from lossparity.reports.diff import comparable

    here = Run(host(), baseline.seed, [], [], data=digest(baseline.seed))
    comparable(baseline, here, (options.baseline, "now"), options.other_machine)


def _run_again(baseline: Any, options: argparse.Namespace) -> Any:
    """What the baseline ran, on what is installed now."""
    import dataclasses

    from lossparity import adapters
    from lossparity.conformance.execution.run import DEFAULT_JOBS, DEFAULT_TIMEOUT, run
    from lossparity.conformance.matrix import Selection

    if not baseline.selection:
        raise UsageError(
            f"{options.baseline} does not say what was asked for (it was merged, or made by hand): run the matrix "
            "yourself and give its record instead of now"
        )
    selection = Selection.of(baseline.selection)
    if getattr(options, "quick", False):
        selection = dataclasses.replace(selection, quick=True)
    selection.validate()
    ran = [name for name, backend in baseline.backends.items() if backend.get("status") != "not-run"]
    backends = [name for name in ran if name in (getattr(options, "backend", None) or ran)]
    _known("backend", backends, adapters.BACKENDS)
    if not backends:
        raise UsageError(f"{options.baseline} ran none of the backends asked for; it ran {', '.join(ran) or 'none'}")
    pythons = _pythons(options.python, adapters.BACKENDS)
    with _progress() as progress:
        return run(
            backends,
            selection,
            seed=baseline.seed,
            pythons=pythons,
            timeout=options.timeout or DEFAULT_TIMEOUT,
            jobs=options.jobs or DEFAULT_JOBS,
            command=["lossparity", *options.words],
            progress=progress,
        )


def _targets(given: Sequence[str]) -> list[tuple[str, Path | None]]:
    """(format, file) of each --format; no file: printed."""
    from lossparity.reports.formats import FORMATS

    targets: list[tuple[str, Path | None]] = []
    for each in given or ["text"]:
        name, separator, file = each.partition("=")
        if name not in FORMATS:
            raise UsageError(f"unknown format {name!r}; there are {', '.join(FORMATS)}")
        if (separator and not file) or (name == "html" and not file):
            raise UsageError(f"--format {each}: give a file: --format {name}=FILE")
        targets.append((name, Path(file) if file else None))
    return targets


def _emit(comparison: Any, targets: Sequence[tuple[str, Path | None]], formats: Any) -> None:
    """Print or write a comparison in each of the formats."""
    from lossparity.conformance.record import write_whole

    for name, file in targets:
        page = formats[name](comparison)
        if file is None:
            print(page, end="")
        else:
            write_whole(file, page.encode("utf-8", "replace"))


def _summarize(comparison: Any) -> None:
    """Add the Markdown to GitHub's step summary, where there is one. A summary that fails is no verdict."""
    from lossparity.reports.formats import within

    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        return
    try:
        taken = Path(path).stat().st_size if Path(path).exists() else 0
        with open(path, "a", encoding="utf-8", errors="replace") as stream:
            stream.write(within(comparison, taken))
    except OSError as error:
        print(f"lossparity: no step summary: {path}: {error.strerror or error}", file=sys.stderr)


def _report(options: argparse.Namespace) -> int:
    from lossparity.reports import html

    print(html.write(lossparity.load(options.record), options.output))
    return HOLDS


def _merge(options: argparse.Namespace) -> int:
    from lossparity.conformance import record
    from lossparity.conformance.execution.run import exit_code
    from lossparity.reports import html
    from lossparity.reports.merge import merge
    from lossparity.reports.summary import summary

    merged = merge([lossparity.load(path) for path in options.records])
    out = Path(options.output)
    if out.name.endswith((".json", ".json.gz")):
        print(record.save(merged, out))
    else:
        print(record.save(merged, out / "parity.json"))
        print(html.write(merged, out / "parity.html"))
    print(summary(merged))
    return exit_code(merged)


def _explain(options: argparse.Namespace) -> int:
    from lossparity.conformance.explain import explain
    from lossparity.conformance.matrix import DEFAULT_SEED

    print(explain(options.id, DEFAULT_SEED if options.seed is None else options.seed))
    return HOLDS


def _list(options: argparse.Namespace) -> int:
    from lossparity import adapters
    from lossparity.conformance.cases import CASES
    from lossparity.conformance.census import census
    from lossparity.conformance.describe import DEFINITIONS, describe_losses

    _known("backend", options.backend, adapters.BACKENDS)
    _known("loss", options.loss, DEFINITIONS)
    losses = options.loss or list(DEFINITIONS)
    backends = options.backend or list(adapters.BACKENDS)
    if options.what == "losses":
        _table([(name, each["summary"]) for name, each in describe_losses().items() if name in losses])
    elif options.what == "backends":
        _table([(name, _installed(adapters.BACKENDS[name])) for name in backends])
    elif options.what == "cases":
        for loss in losses:
            _table([(f"{loss}/{name}", " ".join(sorted(case.tags))) for name, case in CASES.get(loss, {}).items()])
    else:
        for name in backends:
            if adapters.BACKENDS[name].missing():
                print(f"# {name}: {adapters.BACKENDS[name].missing()}", file=sys.stderr)
                continue
            seen = census(adapters.load(name))
            uncovered, offered = len(seen["uncovered"]), sum(map(len, seen["namespaces"].values()))
            print(f"# {name}: of {offered} losses found, {uncovered} have no adapter", file=sys.stderr)
            found = [each for each in adapters.load(name).IMPLEMENTATIONS if each.loss in losses]
            _table([(each.name, each.loss, name, ", ".join(each.reductions)) for each in found])
    return HOLDS


def _installed(backend: Any) -> str:
    return backend.missing() or ", ".join(f"{name} {version}" for name, version in backend.versions().items())


def _table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))] if rows else []
    for row in rows:
        print("  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip())


def _known(kind: str, given: Sequence[str], known: Any) -> None:
    for name in given:
        if name not in known:
            raise UsageError(f"unknown {kind} {name!r}; there are {', '.join(known)}")


def _writable(folder: Path) -> None:
    """Refuse a folder that cannot be made or written to now, not after the run."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise UsageError(f"-o {folder}: {there} is a file; give a folder")
    if not os.access(there, os.W_OK):
        raise UsageError(f"-o {folder}: {there} cannot be written to; give another folder")


def _pythons(given: Sequence[str], known: Any) -> dict[str, str]:
    found = {}
    for each in given:
        backend, separator, path = each.partition("=")
        if not separator:
            raise UsageError(f"--python takes BACKEND=PATH; {each!r} has no =")
        _known("backend", [backend], known)
        if not Path(path).is_file():
            raise UsageError(f"--python {each}: there is no interpreter at {path}")
        found[backend] = path
    return found


@contextlib.contextmanager
def _progress() -> Any:
    """A line per backend when it starts and ends; on a terminal, counts while it runs."""
    live = sys.stderr.isatty()
    state: dict[str, tuple[int, int]] = {}

    def show(backend: str, done: int, planned: int, status: str) -> None:
        if status == "running" and not done and backend not in state:
            print(f"{backend}: starting", file=sys.stderr)
        elif status != "running":
            state.pop(backend, None)
            clear = "\r\033[K" if live else ""
            count = f"{done} of {planned} checks, " if planned else ""
            print(f"{clear}{backend}: {count}{status}", file=sys.stderr)
            return
        state[backend] = (done, planned)
        if live and done % 50 == 0:
            counts = "  ".join(f"{name} {n}/{of}" for name, (n, of) in state.items())
            print(f"\r\033[K{counts}", end="", file=sys.stderr, flush=True)

    yield show


if __name__ == "__main__":
    raise SystemExit(main())
