"""`python -m azoth_dlq`: the command line."""

from azoth_dlq.cli import run_process

if __name__ == "__main__":
    run_process()
