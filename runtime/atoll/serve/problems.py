"""A worker that does not load, told to its author: what is wrong, in which line, and the line itself."""

from pathlib import Path

from atoll.observe.escape import shown
from atoll.serve.channel import Problem


def described(problem: Problem) -> str:
    """Several lines of text, safe for a terminal."""
    parts = [f'Worker "{problem.worker}" does not load: {shown(problem.text)}']
    if problem.file:
        parts.append(f"  {shown(_near(problem.file))}{f':{problem.line}' if problem.line else ''}")
    source = _source(problem)
    if source and source.strip() not in problem.detail:
        parts.append(f"    {problem.line} | {shown(source)}")
    parts += [f"  {shown(line)}" for line in problem.detail.splitlines()]
    return "\n".join(parts)


def _near(file: str) -> str:
    """The path as seen from here, where that is shorter."""
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file


def _source(problem: Problem) -> str:
    if not problem.file or not problem.line:
        return ""
    try:
        lines = Path(problem.file).read_text(errors="backslashreplace").splitlines()
    except OSError:
        return ""
    return lines[problem.line - 1].rstrip() if problem.line <= len(lines) else ""
