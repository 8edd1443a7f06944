from pathlib import Path

from azoth_dlq import kernels
from tests.programs import run_program


def test_the_modules_are_compiled() -> None:
    for module in (
        kernels.backoff,
        kernels.eligibility,
        kernels.failures,
        kernels.order,
        kernels.templates,
    ):
        assert module.__file__
        assert module.__file__.endswith((".so", ".pyd"))


def test_a_missing_module_says_how_to_build_it(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['azoth_dlq.kernels.order'] = None\n"
        "try:\n    from azoth_dlq import ReplayPriority\n"
        "except ImportError as error:\n    print(error)\n"
    )
    told = run_program(program, tmp_path)
    assert "the compiled modules of azoth_dlq cannot be imported" in told
    assert "pip install ." in told


def test_a_name_that_is_not_there_is_told() -> None:
    assert not hasattr(kernels, "verdicts")
