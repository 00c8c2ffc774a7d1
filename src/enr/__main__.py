"""`python -m enr` is `enr`; such as `torchrun` starts it (`torchrun --nproc-per-node 4 -m enr train shards`)."""

import importlib

if __name__ == "__main__":
    importlib.import_module("enr.pipelines.cli.main").main(prog_name="enr")
