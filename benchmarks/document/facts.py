"""The machine, the versions on it, and how the run was made."""

from __future__ import annotations

from benchmarks.document.checked import Part
from benchmarks.document.results import Results, Run
from benchmarks.measured import readable

_GIBIBYTE = 2**30
_UNKNOWN = "not known"


def rows(results: Results) -> list[tuple[str, str]]:
    run, machine = results.run, results.machine
    return [
        ("date", f"{run.date:%Y-%m-%d %H:%M} {run.date:%Z}".strip()),
        ("command", f"`{command(run)}`, which took {run.seconds / 60:.0f} min"),
        ("azoth-dlq", ", ".join([_version(machine, "azoth-dlq"), *_commit(run)])),
        ("CPU", _cpu(machine)),
        ("memory", _memory(machine)),
        ("load average of a minute", _load(run)),
        ("system", _system(machine)),
        ("file system of the files", _text(machine, "file_system")),
        ("Python", _python(machine)),
        ("SQLite", _text(machine, "sqlite")),
        ("compiler of the C loop", f"{_text(machine, 'cc')}, `-O2`"),
        ("durability", "WAL, `synchronous=NORMAL`"),
    ]


def command(run: Run) -> str:
    chosen = [name for name, is_chosen in (("quick", run.quick), ("large", run.large)) if is_chosen]
    return " ".join(["pytest benchmarks", *(f"--{name}" for name in chosen)])


def versions(machine: Part) -> dict[str, str]:
    """Of the packages that are installed."""
    packages = machine.get("packages")
    members = packages.members() if packages else ()
    return {name: each.text() for name, each in members if each.value is not None}


def usable_cpus(machine: Part) -> int | None:
    cpus = machine.get("cpus_usable")
    return int(cpus.number()) if cpus else None


def _version(machine: Part, package: str) -> str:
    return versions(machine).get(package, _UNKNOWN)


def _commit(run: Run) -> list[str]:
    if run.commit is None:
        return []
    return [f"commit {run.commit}", *(["with changes"] if run.has_changes else [])]


def _cpu(machine: Part) -> str:
    cpu = machine.get("cpu")
    usable, cores = usable_cpus(machine), cpu.get("count") if cpu else None
    told = [_text(cpu, "brand_raw") if cpu else _UNKNOWN]
    if cores:
        told.append(f"{cores.number():g} logical cores")
        if usable is not None and usable != cores.number():
            told.append(f"{usable} of them usable")
    flags = cpu.get("flags") if cpu else None
    if flags and "hypervisor" in {each.text() for each in flags.elements()}:
        told.append("of a virtual machine")
    return ", ".join(told)


def _memory(machine: Part) -> str:
    held = machine.get("memory_bytes")
    return f"{held.number() / _GIBIBYTE:.1f} GiB" if held else _UNKNOWN


def _load(run: Run) -> str:
    if len(run.load) != 2:
        return _UNKNOWN
    began, ended = map(readable, run.load)
    return f"{began} as the run began, {ended} as it ended"


def _system(machine: Part) -> str:
    names = [_text(machine, name, "") for name in ("distribution", "system", "release", "machine")]
    kernel = " ".join(filter(None, names[1:]))
    return ", ".join(filter(None, (names[0], kernel))) or _UNKNOWN


def _python(machine: Part) -> str:
    names = ("python_implementation", "python_version", "python_compiler")
    what, version, compiler = (_text(machine, name, "") for name in names)
    built = f", built by {compiler}" if compiler else ""
    return f"{what} {version}{built}".strip() or _UNKNOWN


def _text(part: Part, key: str, otherwise: str = _UNKNOWN) -> str:
    found = part.get(key)
    return found.text() if found else otherwise
