import subprocess
import sys

from azoth_dlq import kernels


def test_the_three_modules_are_compiled() -> None:
    for module in (kernels.backoff, kernels.eligibility, kernels.order):
        assert module.__file__
        assert module.__file__.endswith((".so", ".pyd"))


def test_a_missing_module_says_how_to_build_it() -> None:
    program = (
        "import sys; sys.modules['azoth_dlq.kernels.order'] = None\n"
        "try:\n    import azoth_dlq.kernels\n"
        "except ImportError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "the compiled modules of azoth_dlq cannot be imported" in done.stdout
    assert "pip install ." in done.stdout
