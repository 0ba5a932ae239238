"""Mutated inputs: whatever they hold, emo-listen takes them or refuses them by name, in time.

    make fuzz
    python -m tests.fuzz --kind onnx_network --count 2000
    python -m tests.fuzz --kind onnx_network --only 1234    # one input again

Each module of `fuzz.kinds` is a kind of input, with

    prepare(folder)           what is needed once in each process, in an empty folder
    attempt(random, folder)   make an input from `random`, try it, return "taken" or "refused"

`attempt` raises for whatever else happens: that is a fault, as is a process that dies, takes
longer than `workers.SECONDS`, or needs more than `workers.MEMORY`.
"""
