"""python -m sgd_bench vs-torch|report ...: what the program sgd-bench hands over to."""
import importlib
import sys

COMMANDS = {"vs-torch": "vs_torch", "report": "report"}


def main():
    command = sys.argv[1] if len(sys.argv) > 1 else None
    if command not in COMMANDS:
        print(f"sgd-bench: no command: {' or '.join(COMMANDS)}", file=sys.stderr)
        return 2
    try:
        module = importlib.import_module(f"sgd_bench.{COMMANDS[command]}")
    except ModuleNotFoundError as error:
        if error.name.split(".")[0] == "sgd_bench":
            raise
        print(f"sgd-bench: {command} needs the Python package {error.name}, which {sys.executable} does not have "
              "(scripts/setup test puts it into build/venv)", file=sys.stderr)
        return 2
    return module.main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
